"""featureforest: features to a file, a random forest on them, all settings its widgets' own.

The module of SAM 2 is not installed: featureforest imports it, and DINOv2 does not need it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from unittest.mock import MagicMock

import h5py
import numpy as np
import torch

SAM2 = (
    "sam2",
    "sam2.automatic_mask_generator",
    "sam2.build_sam",
    "sam2.modeling",
    "sam2.modeling.sam2_base",
    "sam2.sam2_image_predictor",
)
sys.modules |= {name: MagicMock() for name in SAM2}

from common import Run, known_slices, random_dinov2  # noqa: E402
from featureforest.models import get_model  # noqa: E402
from featureforest.utils.data import get_patch_indices, get_stride_margin  # noqa: E402
from featureforest.utils.extract import extract_embeddings_to_file  # noqa: E402
from featureforest.utils.pipeline_prediction import (  # noqa: E402
    get_image_mask,
    predict_patches,
)
from sklearn.ensemble import RandomForestClassifier  # noqa: E402


def train(storage: h5py.File, paint: np.ndarray, adapter: object) -> RandomForestClassifier:
    """Fit a forest as its widget does."""
    stride, _ = get_stride_margin(adapter.patch_size, adapter.overlap)
    height, width = paint.shape[1:]
    values, targets = [], []
    for k in known_slices(paint):
        places = np.argwhere(paint[k])
        patches = get_patch_indices(places, height, width, adapter.patch_size, adapter.overlap)
        features = storage[str(k)]["features"]
        for patch in np.unique(patches):
            here = places[patches == patch]
            values.append(features[int(patch)][here[:, 0] % stride, here[:, 1] % stride])
            targets.append(paint[k][here[:, 0], here[:, 1]])
    forest = RandomForestClassifier(
        n_estimators=450,
        max_depth=9,
        class_weight="balanced",
        min_samples_split=15,
        min_samples_leaf=3,
        max_features=25,
        n_jobs=max(1, (os.cpu_count() or 1) - 1),
    )
    return forest.fit(np.concatenate(values).astype(float), np.concatenate(targets))


def main() -> None:
    """Extract, train, label, correct."""
    run = Run()
    torch.hub.load = random_dinov2
    # A stack of the sampled slices and those with paint, numbered anew.
    kept = sorted({*run.slices, *known_slices(run.correction)})
    image, paint, correction = run.image[kept], run.paint[kept], run.correction[kept]
    height, width = image.shape[1:]
    adapter = get_model("DinoV2", height, width)
    path = Path(tempfile.mkdtemp()) / "features.h5"
    with run.stage("extract"):
        for _ in extract_embeddings_to_file(image, str(path), adapter):
            pass
    run.seconds["extract"] *= len(run.slices) / len(kept)

    def label(storage: h5py.File, k: int) -> np.ndarray:
        masks = predict_patches([storage[str(k)]["features"][:]], forest, adapter)
        return get_image_mask(masks, height, width, adapter.patch_size, adapter.overlap)

    found = np.zeros(run.image.shape, np.uint8)
    with h5py.File(path) as storage:
        with run.stage("train"):
            forest = train(storage, paint, adapter)
        with run.stage("predict"):
            for k in run.slices:
                found[k] = label(storage, kept.index(k))
        with run.stage("retrain"):
            forest = train(storage, correction, adapter)
        with run.stage("slice"):
            label(storage, kept.index(run.corrected))
    run.finish(found, version("featureforest"), ("extract", "predict"))


if __name__ == "__main__":
    main()

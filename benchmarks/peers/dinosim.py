"""napari-dinosim: similarity to clicked points, one label after the other, its widget's settings.

It takes points, not strokes: the middle pixel of the paint of each label on each slice is clicked.
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import torch
from common import Run, known_slices, random_dinov2
from napari_dinosim.utils import (
    DINOSim_pipeline,
    ensure_valid_dtype,
    gaussian_kernel,
    get_img_processing_f,
    get_nhwc_image,
    torch_convolve,
)

SIDE = 518


def clicks(paint: np.ndarray, value: int) -> list[tuple[int, int, int]]:
    """One (slice, x, y) on each slice where a value is painted."""
    chosen = []
    for k in known_slices(paint == value):
        places = np.argwhere(paint[k] == value)
        row, column = places[len(places) // 2]
        chosen.append((k, int(column), int(row)))
    return chosen


def label(engine: DINOSim_pipeline, paint: np.ndarray) -> np.ndarray:
    """The label whose distance is least, where that is below one half."""
    kernel = torch.tensor(gaussian_kernel(size=3, sigma=1), dtype=torch.float32)

    def smooth(distances: torch.Tensor) -> torch.Tensor:
        return torch_convolve(distances, kernel)

    values = [int(v) for v in np.unique(paint) if v > 1]
    maps = []
    for value in values:
        engine.set_reference_vector(clicks(paint, value), smooth)
        distances = engine.get_ds_distances_sameRef(verbose=False)
        maps.append(
            np.asarray(engine.distance_post_processing(distances, smooth, "bilinear")).squeeze(-1)
        )
    nearest = np.argmin(maps, axis=0)
    return np.where(np.min(maps, axis=0) < 0.5, np.array(values)[nearest], 1).astype(np.uint8)


def main() -> None:
    """Embed, label, correct."""
    run = Run()
    kept = sorted({*run.slices, *known_slices(run.correction)})
    image = ensure_valid_dtype(get_nhwc_image(run.image[kept]))
    engine = DINOSim_pipeline(
        random_dinov2(),
        14,
        torch.device("cpu"),
        get_img_processing_f(resize_size=SIDE),
        384,
        dino_image_size=SIDE,
    )
    with run.stage("extract"):
        engine.pre_compute_embeddings(
            image, overlap=(0, 0), padding=(0, 0), crop_shape=(SIDE, SIDE, 1), verbose=False
        )
    run.seconds["train"] = run.seconds["retrain"] = 0.0  # points need none
    found = np.zeros(run.image.shape, np.uint8)
    with run.stage("predict"):
        found[kept] = label(engine, run.paint[kept])
    with run.stage("slice"):  # it labels all slices at once
        label(engine, run.correction[kept])
    for name in ("extract", "predict", "slice"):
        run.seconds[name] *= len(run.slices) / len(kept)
    run.finish(found, version("napari-dinosim"), ("extract", "predict", "slice"))


if __name__ == "__main__":
    main()

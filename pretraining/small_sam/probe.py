"""Score a small SAM with prompts from the truth of real images, which never take part in training.

``python -m pretraining.small_sam.probe WEIGHTS --data ../shared/data``
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from skimage.measure import label

from ..probe_data import Slice, load_problems
from .files import read_sam

__all__ = ["components", "main", "score_slices"]

Mask = npt.NDArray[np.bool_]
_LEAST = 20


def components(labels: npt.NDArray[np.int64]) -> list[Mask]:
    """Connected components of each label, from 20 pixels on."""
    pieces = np.asarray(label(labels, background=0, connectivity=1))
    return [pieces == k for k in np.flatnonzero(np.bincount(pieces.ravel()) >= _LEAST) if k]


def _prompts(mask: Mask, rng: np.random.Generator) -> dict[str, dict[str, npt.NDArray[np.float64]]]:
    """Box of the truth, its deepest pixel, and ten random pixels of it."""
    rows, columns = np.nonzero(mask)
    box = np.array([columns.min(), rows.min(), columns.max(), rows.max()], dtype=float)
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    deepest = np.unravel_index(int(np.argmax(depth)), mask.shape)
    at = rng.choice(len(rows), 10)
    ten = np.stack([columns[at], rows[at]], 1).astype(float)
    return {
        "box": {"box": box},
        "point": {"point_coords": np.array([deepest[::-1]], dtype=float)},
        "ten points": {"point_coords": ten},
    }


def score_slices(sam: Sam, slices: Iterable[Slice], seed: int = 0) -> dict[str, float]:
    """Mean IoU and Dice over the components of all slices, by kind of prompt.

    Of the three masks counts the one of highest predicted IoU; ``single`` is the single mask.
    """
    predictor, rng = SamPredictor(sam), np.random.default_rng(seed)
    found: dict[str, list[float]] = {}
    count = 0
    for s in slices:
        truths = components(s.labels)
        if not truths:
            continue
        colours = s.image if s.image.ndim == 3 else np.repeat(s.image[..., None], 3, -1)
        predictor.set_image((255 * colours).round().astype(np.uint8))
        for truth in truths:
            count += 1
            for kind, prompt in _prompts(truth, rng).items():
                if "point_coords" in prompt:
                    prompt["point_labels"] = np.ones(len(prompt["point_coords"]))
                for several in (True, False):
                    masks, quality, _ = predictor.predict(**prompt, multimask_output=several)
                    mask = masks[int(np.argmax(quality))]
                    iou = (mask & truth).sum() / (mask | truth).sum()
                    name = kind if several else f"{kind}, single"
                    found.setdefault(f"{name}: iou", []).append(float(iou))
                    found.setdefault(f"{name}: dice", []).append(float(2 * iou / (1 + iou)))
    return {"components": count, **{k: round(float(np.mean(v)), 3) for k, v in found.items()}}


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, score and print."""
    parser = argparse.ArgumentParser(
        prog="python -m pretraining.small_sam.probe", description=__doc__
    )
    parser.add_argument("weights", type=Path, help="exported weights, or last.pt of a run")
    parser.add_argument("--data", type=Path, required=True, help="folder of development data")
    parser.add_argument(
        "--sets", nargs="+", default=["mr_abdomen", "cardiac", "wbc"], help="beginnings of names"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sam = read_sam(options.weights)
    for problem in load_problems(options.data, full=False):
        if problem.name.startswith(tuple(options.sets)):
            slices = [*problem.painted, *(s for volume in problem.targets for s in volume)]
            scores = score_slices(sam, slices)
            print(json.dumps({"set": problem.name, **scores}))  # noqa: T201


if __name__ == "__main__":
    main()

"""Segment the embedded sample: paint five slices of one phantom, label it and a second one."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from . import shared
from .reporting import ProgressBars

if TYPE_CHECKING:
    from ..phantoms import Phantom
    from ..segmenter import FewShotSegmenter, Prediction
    from ..types import Landmark

NAME = "demo"
HELP = "segment the embedded sample, print the scores"
TEMPLATE_SLICES = 5
PATIENTS, LANDMARK_PATIENTS = (0, 1), (2, 3, 4)
ENDINGS = (".nii.gz", "_labels.nii.gz", "_labels.json", "_landmarks.csv", ".png")
COLUMNS = 8

__all__ = ["HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        default=Path("fewshot-demo"),
        metavar="DIR",
        help="folder of the results (default: %(default)s)",
    )
    add("--kind", choices=["torso", "joint"], default="torso", help="sample (default: %(default)s)")
    add("--seed", type=int, default=0, metavar="S", help="default: %(default)s")
    shared.add_options(parser, "--overwrite")


def run(options: argparse.Namespace) -> int:
    """Train, predict, score and write."""
    shared.check_folder("--out", options.out)
    stems = [options.out / f"{options.kind}{patient}" for patient in PATIENTS]
    outputs = shared.check_outputs(
        "--out",
        [stem.with_name(stem.name + ending) for stem in stems for ending in ENDINGS],
        (),
        overwrite=options.overwrite,
    )
    from ..phantoms import make_phantom, painted_labels, template_slices
    from ..segmenter import FewShotSegmenter
    from ..templates import Template

    start = time.perf_counter()
    model = FewShotSegmenter(seed=options.seed)
    first, second = (make_phantom(options.kind, patient) for patient in PATIENTS)
    slices = template_slices(first, TEMPLATE_SLICES)
    print(
        f"{options.kind} phantom, {len(slices)} painted slices of "
        f"{first.image.shape[0]}; {model.config.backbone} + {model.config.adapter}"
    )
    with ProgressBars("learning") as bars:
        model.fit(Template(first.image, painted_labels(first, slices)), progress=bars)
    marks = _fit_landmarks(options)
    for phantom, painted in ((first, slices), (second, ())):
        with ProgressBars(f"patient {phantom.patient}") as bars:
            found = model.predict(phantom.image, landmarks=False, progress=bars)
            points = marks.predict(phantom.image, progress=bars).landmarks
        with outputs.writing():
            _show(options.out, phantom, found, points, painted)
    print(f"\n{time.perf_counter() - start:.0f} s. Results: {options.out}")
    return 0


def _fit_landmarks(options: argparse.Namespace) -> FewShotSegmenter:
    """Learn the landmarks of other patients."""
    from ..phantoms import make_phantom
    from ..segmenter import FewShotSegmenter
    from ..templates import Template

    model = FewShotSegmenter(seed=options.seed)
    with ProgressBars("learning landmarks") as bars:
        patients = (make_phantom(options.kind, patient) for patient in LANDMARK_PATIENTS)
        templates = [Template(p.image, None, points=p.landmarks) for p in patients]
        model.fit(templates, progress=bars)
    return model


def _show(
    out: Path,
    phantom: Phantom,
    found: Prediction,
    points: tuple[Landmark, ...],
    painted: tuple[int, ...],
) -> None:
    """Score one patient, and write its labels, landmarks and contact sheet."""
    from ..bench.pictures import SheetRow, contact_sheet, even_slices
    from ..io import write_image, write_labels, write_points
    from ..metrics.labels import evaluate_labels
    from ..metrics.landmarks import evaluate_landmarks

    image, truth = phantom.image, phantom.labels
    scores = evaluate_labels(
        found.labels,
        truth.data,
        image.spacing,
        names=truth.names,
        exclude=(0, painted) if painted else None,
    )
    marks = evaluate_landmarks(points, phantom.landmarks, image.spacing)
    kind = "its other slices" if painted else "no slice of it painted"
    print(f"\nPatient {phantom.patient} ({kind})\n{scores.format_table()}\n{marks.format_table()}")
    stem = f"{phantom.kind}{phantom.patient}"
    write_image(out / f"{stem}.nii.gz", image.data, image)
    write_labels(out / f"{stem}_labels.nii.gz", found.labels, image, names=found.names)
    write_points(out / f"{stem}_landmarks.csv", points, image)
    contact_sheet(
        image,
        [
            SheetRow("truth", truth.data, phantom.landmarks),
            SheetRow("prediction", found.labels, points),
        ],
        out / f"{stem}.png",
        slices=even_slices(truth.data, COLUMNS),
        scores=scores,
        landmark_scores=marks,
        template_slices=painted,
    )

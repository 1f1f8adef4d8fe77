"""Segment the embedded sample: paint five slices of one phantom, label it and a second one.

Writes both images, the painted slices, labels, landmarks and contact sheets, and ends with the
commands that do the same from files.
"""

from __future__ import annotations

import argparse
import shlex
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
EXAMPLE = "napari-fewshot demo --out fewshot-demo"
TEMPLATE_SLICES = 5
PATIENTS, LANDMARK_PATIENTS = (0, 1), (2, 3, 4)
ENDINGS = (".nii.gz", "_labels.nii.gz", "_labels.json", "_landmarks.csv", ".png")
PAINTED = "_painted.nii.gz"
OF_PAINTED = (PAINTED, "_painted_labels.json")
COLUMNS = 8

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]


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
    files = [stem.with_name(stem.name + ending) for stem in stems for ending in ENDINGS]
    painted_file, names_file = (stems[0].with_name(stems[0].name + end) for end in OF_PAINTED)
    files += [painted_file, names_file]
    outputs = shared.check_outputs("--out", files, (), overwrite=options.overwrite)
    from ..io import write_labels
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
    painted = painted_labels(first, slices)
    with outputs.writing():
        write_labels(painted_file, painted.data, first.image, names=painted.names)
    with ProgressBars("learning") as bars:
        model.fit(Template(first.image, painted), progress=bars)
    marks = _fit_landmarks(options)
    for phantom, known in ((first, slices), (second, ())):
        with ProgressBars(f"patient {phantom.patient}") as bars:
            found = model.predict(phantom.image, landmarks=False, progress=bars)
            points = marks.predict(phantom.image, progress=bars).landmarks
        with outputs.writing():
            _show(options.out, phantom, found, points, known)
    print(f"\n{time.perf_counter() - start:.0f} s. Results: {options.out}")
    print(_next_commands(options.out, options.kind))
    return 0


def _next_commands(out: Path, kind: str) -> str:
    """What to do next, with the files that were written."""
    first, second = (f"{kind}{patient}" for patient in PATIENTS)
    model = out / f"{kind}.fewshot"
    image, painted = out / f"{first}.nii.gz", out / f"{first}{PAINTED}"
    commands = (
        ("napari", image, out / f"{first}_labels.nii.gz"),
        ("napari-fewshot", "train", "--image", image, "--labels", painted, "-o", model),
        ("napari-fewshot", "predict", model, out / f"{second}.nii.gz", "-o", out / "results"),
    )
    lines = (f"  {shlex.join(map(str, words))}" for words in commands)
    heading = "Next: look at it, learn from the painted slices, label another image; then your own."
    return "\n".join(["", heading, *lines])


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

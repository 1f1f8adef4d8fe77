"""Score a prediction against the truth: label maps, or landmarks as CSV against CSV.

Two folders are compared by names: NAME_labels, or NAME, of the one with that of the other, also
below (sub/NAME). The exit status is 2 where a truth has no prediction, or a pair cannot be scored.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from . import shared
from .reporting import BAD_INPUT, Failures

if TYPE_CHECKING:
    from ..metrics.scores import LabelScores, LandmarkScores
    from ..types import Volume

NAME = "evaluate"
HELP = "score labels or landmarks against the truth"

__all__ = ["HELP", "NAME", "add_arguments", "excluded_slices", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--pred", type=Path, required=True, metavar="P", help="predicted label map, CSV, or folder")
    add("--truth", type=Path, required=True, metavar="T", help="true label map, CSV, or folder")
    add(
        "--exclude-slices-of",
        type=Path,
        metavar="L",
        help="leave out the slices that are painted in this label map (with folders: in that of "
        "the same name in this folder)",
    )
    add("--labels", metavar="V,V", help="score only these (default: all that occur)")
    add(
        "--axis",
        default="auto",
        metavar="auto|N|axial|coronal|sagittal",
        help="axis of the slices (default: that of L, else axial, else 0)",
    )
    add(
        "--image",
        type=Path,
        metavar="I",
        help="image of the landmarks: gives their spacing where the CSV has no R, A, S",
    )
    add("--json", type=Path, metavar="FILE", help="write the scores here too")
    shared.add_options(parser, "--overwrite")


def run(options: argparse.Namespace) -> int:
    """Print the table, and write the JSON."""
    shared.check_axis(options.axis, "auto")
    if _is_folder(options.pred) or _is_folder(options.truth):
        return _run_folders(options)
    shared.existing_image("--pred", options.pred)
    shared.existing_image("--truth", options.truth)
    kinds = {path.suffix.lower() == ".csv" for path in (options.pred, options.truth)}
    if len(kinds) > 1:
        raise InputError(
            "--pred", "be of the kind of --truth", f"{options.pred} against {options.truth}"
        )
    outputs = shared.check_outputs(
        "--json",
        [options.json],
        [*shared.with_names(options.pred, options.truth), options.exclude_slices_of, options.image],
        overwrite=options.overwrite,
    )
    scores: LandmarkScores | LabelScores
    if kinds == {True}:
        scores = _landmark_scores(options)
    else:
        _only_label_maps(options)
        scores = label_scores(options.pred, options.truth, options.exclude_slices_of, options)
    print(scores.format_table())
    if options.json is not None:
        with outputs.writing():
            _write_json(options.json, scores.as_dict())
    return 0


def _axis(options: argparse.Namespace) -> str | None:
    return None if options.axis == "auto" else options.axis


def _is_folder(path: Path) -> bool:
    """Whether it is a folder of label maps, not one that is a label map."""
    from ..io.formats import is_image_folder

    return path.is_dir() and not is_image_folder(path)


def _run_folders(options: argparse.Namespace) -> int:
    """Score all pairs of two folders; a bad one does not keep the others from being scored."""
    from ..metrics.image_set import ImageSetScores

    _only_label_maps(options)
    excluded = options.exclude_slices_of
    pred, truth = (_maps_in(name, vars(options)[name]) for name in ("pred", "truth"))
    painted = {} if excluded is None else _maps_in("exclude_slices_of", excluded)
    pairs = {name: (pred[name], true) for name, true in truth.items() if name in pred}
    if not pairs:
        first, second = next(iter(pred), "nothing"), next(iter(truth), "nothing")
        given = f"{options.pred} ({first}, ...) and {options.truth} ({second}, ...)"
        raise InputError("--pred", "have names of label maps that --truth has", given)
    files = [*pred.values(), *truth.values(), *painted.values()]
    outputs = shared.check_outputs(
        "--json", [options.json], shared.with_names(*files), overwrite=options.overwrite
    )
    unmatched = {
        "without_prediction": [name for name in truth if name not in pred],
        "without_truth": [name for name in pred if name not in truth],
    }
    for what, names in unmatched.items():
        if names:
            print(f"napari-fewshot: {what.replace('_', ' ')}: {', '.join(names)}", file=sys.stderr)
    failures, scored = Failures(), {}
    for name, (predicted, true) in pairs.items():
        with failures.of(predicted):
            scored[name] = label_scores(predicted, true, painted.get(name), options)
    scores = ImageSetScores(scored)
    if scored:
        print(scores.format_table())
    if options.json is not None:
        failed = [name for name in pairs if name not in scored]
        with outputs.writing():
            _write_json(options.json, {**scores.as_dict(), "failed": failed, **unmatched})
    return failures.status or (BAD_INPUT if unmatched["without_prediction"] else 0)


def _maps_in(name: str, folder: Path) -> dict[str, Path]:
    """Label maps of a folder and those below, by the names of their images."""
    from ..io.find import label_maps_in

    option = f"--{name.replace('_', '-')}"
    if not _is_folder(folder):
        raise InputError(option, "be a folder of label maps, as the other is", folder)
    return label_maps_in(folder, deep=True)


def _only_label_maps(options: argparse.Namespace) -> None:
    if options.image is not None:
        raise InputError("--image", "stand beside landmarks (CSV) only", options.image)


def label_scores(
    pred_path: Path, truth_path: Path, painted: Path | None, options: argparse.Namespace
) -> LabelScores:
    """Score one label map, without the slices that are painted in another."""
    from ..io import check_match, read_labels
    from ..metrics.labels import evaluate_labels
    from ..slices.axis import file_axis

    pred, truth = read_labels(pred_path), read_labels(truth_path)
    check_match(truth, pred)
    axis, exclude = file_axis(truth, _axis(options)), None
    if painted is not None:
        axis, exclude = excluded_slices(painted, truth, _axis(options))
    return evaluate_labels(
        pred.data,
        truth.data,
        truth.spacing,
        labels=shared.parse_numbers("--labels", options.labels),
        names={**pred.names, **truth.names},
        exclude=None if exclude is None else (axis, exclude),
        axis=axis,
    )


def excluded_slices(path: Path, truth: Volume, given: str | None) -> tuple[int, list[int]]:
    """Axis in file order, and the slices along it that are painted in a label map."""
    import numpy as np

    from ..io import check_match, read_labels
    from ..slices.axis import file_axis, painted_axis

    painted = read_labels(shared.existing_image("--exclude-slices-of", path))
    check_match(truth, painted)
    if painted.ndim == 2:
        raise InputError("--exclude-slices-of", "be a label map of a volume", "a 2D image")
    axis = file_axis(painted, given)
    if given is None:
        axis = painted_axis(painted.data, axis)
    slices = np.moveaxis(painted.data, axis, 0).any(axis=(1, 2))
    if slices.all():
        raise InputError(
            "--exclude-slices-of", "leave slices to score", f"paint on all {painted.shape[axis]}"
        )
    return axis, [int(k) for k in np.flatnonzero(slices)]


def _landmark_scores(options: argparse.Namespace) -> LandmarkScores:
    from ..bench.point_files import read_point_pair
    from ..metrics.landmarks import evaluate_landmarks
    from ..slices.axis import file_axis

    for option, value in (
        ("--exclude-slices-of", options.exclude_slices_of),
        ("--labels", options.labels),
    ):
        if value is not None:
            raise InputError(option, "stand beside label maps only", value)
    if options.image is not None:
        shared.existing_image("--image", options.image)
    pair = read_point_pair(options.pred, options.truth, options.image)
    given = _axis(options)
    if pair.image is not None:
        axis = file_axis(pair.image, given)
    elif given is None or given.isdecimal():
        axis = int(given or 0)
    else:
        raise InputError("--axis", "be a number without --image", given)
    return evaluate_landmarks(pair.pred, pair.truth, pair.spacing, axis=axis)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    from ..io.outputs import replacing

    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

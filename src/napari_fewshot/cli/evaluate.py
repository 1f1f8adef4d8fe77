"""Score a prediction against the truth: label maps, or landmarks as CSV against CSV.

Two folders are compared by names: NAME_labels, or NAME, of the one with that of the other, also
below (sub/NAME). The exit status is 2 where a truth has no prediction, or a pair cannot be scored.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from . import shared
from .reporting import BAD_INPUT, Failures, ProgressBars

if TYPE_CHECKING:
    from ..metrics.files import LabelMapPair
    from ..metrics.scores import LabelScores, LandmarkScores

NAME = "evaluate"
HELP = "score labels or landmarks against the truth"
EXAMPLE = "napari-fewshot evaluate --pred results/image_labels.nii.gz --truth truth.nii.gz"

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]


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
    shared.add_options(parser, "--frame", help="time point of label maps of four axes")
    shared.add_options(parser, "--max-memory")
    add("--json", type=Path, metavar="FILE", help="write the scores here too")
    shared.add_options(parser, "--overwrite")
    shared.add_scheduler_options(parser, "pairs of two folders")


def run(options: argparse.Namespace) -> int:
    """Print the table, and write the JSON."""
    from ..io.points import is_point_file

    shared.check_axis(options.axis, "auto")
    if _is_folder(options.pred) or _is_folder(options.truth):
        return _run_folders(options)
    shared.check_scheduler(options)
    if options.scheduler is not None:
        raise InputError("--scheduler", "stand beside folders", options.pred)
    shared.existing_image("--pred", options.pred)
    shared.existing_image("--truth", options.truth)
    kinds = {is_point_file(path) for path in (options.pred, options.truth)}
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
        if options.exclude_slices_of is not None:
            shared.existing_image("--exclude-slices-of", options.exclude_slices_of)
        scores = _pair(options, options.pred, options.truth, options.exclude_slices_of).score()
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
    shared.check_scheduler(options)
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
    wanted = [_pair(options, *paths, painted.get(name)) for name, paths in pairs.items()]
    for name, pair, outcome in zip(pairs, wanted, _outcomes(wanted, options), strict=True):
        with failures.of(pair.pred):
            if isinstance(outcome, Exception):
                raise outcome
            scored[name] = outcome
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


def _pair(
    options: argparse.Namespace, pred: Path, truth: Path, painted: Path | None
) -> LabelMapPair:
    """Label maps, and what is scored of them."""
    from ..metrics.files import LabelMapPair

    numbers = shared.parse_numbers("--labels", options.labels)
    labels = None if numbers is None else tuple(numbers)
    return LabelMapPair(pred, truth, painted, labels, _axis(options), options.frame)


def _outcomes(
    pairs: Sequence[LabelMapPair], options: argparse.Namespace
) -> Iterator[LabelScores | Exception]:
    """Scores of each pair, or what is wrong with it, in their order."""
    with shared.scheduler_client(options, "cpu") as client:
        if client is None:
            for pair in pairs:
                try:
                    yield pair.score()
                except Exception as error:
                    yield error
            return
        from ..jobs.tasks import each
        from ..metrics.files import LabelMapPair

        # Workers may have been started elsewhere.
        there = {pair.absolute(): pair for pair in pairs}
        with ProgressBars() as bars:
            found = {
                there[pair]: one
                for pair, one in each(client, LabelMapPair.score, list(there), bars)
            }
    yield from (found[pair] for pair in pairs)


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
    elif given is None or shared.is_count(given):
        axis = int(given or 0)
    else:
        raise InputError("--axis", "be a number without --image", given)
    return evaluate_landmarks(pair.pred, pair.truth, pair.spacing, axis=axis)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    from ..io.outputs import replacing

    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

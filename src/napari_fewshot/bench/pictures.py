"""Pictures of results: a contact sheet of a volume, and the worst slice of a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..errors import InputError
from ..io.outputs import replacing
from ..metrics.landmarks import match_landmarks
from ..metrics.scores import LabelScores, LandmarkScores
from ..types import Array, Landmark, Volume
from .drawing import (
    DARK,
    PREDICTED,
    TRUE,
    View,
    as_stack,
    grey_range,
    label_colours,
    lay_out,
    mark,
    overlay,
    with_legend,
)
from .kept import evenly
from .methods import Predicted
from .prepare import PreparedCase
from .scoring import points_of

__all__ = ["SheetRow", "contact_sheet", "draw_worst", "even_slices", "worst_slice"]

_SIDE, _WORST_SIDE, _GAP = 236, 260, 6
_REGION = {1: "foreground"}


@dataclass(frozen=True, eq=False)
class SheetRow:
    """One row of overlays; landmarks of the first row are the truth, and drawn in all rows."""

    title: str
    labels: Array
    landmarks: tuple[Landmark, ...] = ()


def even_slices(labels: Array, n: int = 8) -> list[int]:
    """At most ``n`` slices, evenly spaced over those that hold a label, or over all if none."""
    used = np.flatnonzero(labels.any(axis=(1, 2)))
    first, last = (int(used[0]), int(used[-1])) if used.size else (0, len(labels) - 1)
    return evenly(first, last, n)


def contact_sheet(
    image: Volume,
    rows: Sequence[SheetRow],
    path: Path,
    *,
    slices: Sequence[int],
    scores: LabelScores,
    landmark_scores: LandmarkScores | None = None,
    template_slices: Sequence[int] = (),
) -> Path:
    """Draw slices along axis 0 as columns, the image and each row of labels below one another.

    The legend is made of the scores: names of labels with their Dice, and how far landmarks, in
    the order of the true ones, are off. ``template_slices`` are marked as painted. The PNG
    appears only when it is whole.

    Raises
    ------
    InputError
        If a row does not match the image, or a slice lies outside of it.
    """
    _check(image, rows, slices)
    view, limits = View.of(image, 0, slices, _SIDE), grey_range(image)
    colours = label_colours([score.label for score in scores.labels])
    truth = [(point, TRUE, str(n)) for n, point in enumerate(rows[0].landmarks, start=1)]
    marks = [truth, *([*truth, *((p, PREDICTED, "") for p in row.landmarks)] for row in rows[1:])]
    greys = [view.take(image.data, position) for position in slices]
    panels = [[overlay(grey, None, limits, {}, view.size) for grey in greys]]
    for row, points in zip(rows, marks, strict=True):
        panels.append([])
        for grey, position in zip(greys, slices, strict=True):
            labels = view.take(row.labels, position)
            panel = overlay(grey, labels, limits, colours, view.size)
            for point, colour, name in points:
                if position == min(slices, key=lambda n: abs(n - point.position[0])):
                    mark(panel, view.locate(point.position), colour, name)
            panels[-1].append(panel)
    heads = [(f"slice {n}", n in template_slices) for n in slices]
    sheet = lay_out(panels, ["image", *(row.title for row in rows)], heads, DARK)
    legend = [
        (f"{one.name} {_number(one.dice, 2) or 'none'}", colours[one.label])
        for one in scores.labels
    ]
    sheet = with_legend(sheet, legend, DARK)
    if landmark_scores is not None:
        sheet = with_legend(sheet, _landmark_legend(landmark_scores), DARK)
    with replacing(path) as part:
        sheet.save(part, format="PNG")
    return path


def _landmark_legend(scores: LandmarkScores) -> list[tuple[str, None]]:
    text = "Landmarks in the nearest slice shown (white: truth, orange: predicted), mm off:"
    points = enumerate(scores.landmarks, start=1)
    errors = [f"{n} {one.name} {_number(one.error_mm, 1) or 'missed'}" for n, one in points]
    return [(line, None) for line in (text, *errors)]


def _check(image: Volume, rows: Sequence[SheetRow], slices: Sequence[int]) -> None:
    for row in rows:
        if row.labels.shape != image.shape:
            raise InputError(
                f"labels of {row.title!r}", f"have shape {image.shape}", f"shape {row.labels.shape}"
            )
    if not slices or min(slices) < 0 or max(slices) >= image.shape[0]:
        raise InputError("slices", f"be at least one of 0..{image.shape[0] - 1}", list(slices))


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else ""


def worst_slice(pred: Array, truth: Array, painted: Sequence[int]) -> int | None:
    """Slice of (N, H, W) with the most wrong pixels, but for painted ones; None if all is right."""
    wrong = (pred != truth).sum(axis=(1, 2))
    wrong[list(painted)] = 0
    return int(wrong.argmax()) if wrong.any() else None


def draw_worst(
    found: Predicted,
    case: PreparedCase,
    painted: Sequence[int],
    path: Path,
    taught: Mapping[int, str] = MappingProxyType({}),
) -> str | None:
    """Draw the worst slice: truth, prediction, both outlines, and a legend of the labels.

    ``taught`` are names of labels that the truth has none for. Returned is what the picture
    shows; None where nothing is wrong. Of landmarks, it is the slice of the worst one.
    """
    from PIL import Image
    from scipy.ndimage import maximum_filter, minimum_filter

    if case.landmarks:
        return _draw_landmark(found, case, path)
    if found.labels is None or case.truth is None:
        return None
    image = as_stack(case.image)
    truth = case.truth.data.reshape(image.shape)
    pred, names = found.labels.reshape(truth.shape), {**taught, **case.truth.names}
    if found.scored != "labels":  # numbers mean nothing: what is compared is shown
        truth, pred, names = (truth > 0).view(np.uint8), (pred > 0).view(np.uint8), _REGION
    planes, true_planes = (np.moveaxis(data, case.axis, 0) for data in (pred, truth))
    index = worst_slice(planes, true_planes, painted)
    if index is None:
        return None
    colours = label_colours(sorted({int(v) for v in (*np.unique(truth), *np.unique(pred))} - {0}))
    view, limits = View.of(image, case.axis, [index], _WORST_SIDE), grey_range(image)
    height, width = view.size
    grey, true, guess = (view.take(data, index) for data in (image.data, truth, pred))
    sheet = Image.new("RGB", (3 * width + 2 * _GAP, height), "white")
    for column, labels in enumerate((true, guess)):
        panel = overlay(grey, labels, limits, colours, view.size)
        sheet.paste(panel, (column * (width + _GAP), 0))
    both = np.array(overlay(grey, None, limits, {}, view.size))
    for labels, colour in ((true, TRUE), (guess, PREDICTED)):
        large = Image.fromarray(labels.astype(np.int32)).resize((width, height), 0)
        both[maximum_filter(large, 2) != minimum_filter(large, 2)] = colour
    sheet.paste(Image.fromarray(both), (2 * (width + _GAP), 0))
    legend = [(names.get(label, str(label)), colour) for label, colour in colours.items()]
    # Few colours make small files; those of the legend are added to them, and so stay as they are.
    sheet = with_legend(sheet.quantize(128).convert("RGB"), legend)
    with replacing(path) as part:
        sheet.quantize(256).save(part, format="PNG", optimize=True)
    return f"slice {index}, {int((planes[index] != true_planes[index]).sum())} wrong pixels"


def _draw_landmark(found: Predicted, case: PreparedCase, path: Path) -> str | None:
    image = as_stack(case.image)
    guesses = match_landmarks(points_of(found, case), case.landmarks, image.spacing)
    pairs = [(t, g) for t, g in zip(case.landmarks, guesses, strict=True) if g is not None]
    if not pairs:
        return None
    errors = [np.linalg.norm(np.subtract(g.position, t.position) * image.spacing) for t, g in pairs]
    worst = int(np.argmax(errors))
    index = case.slice_of(pairs[worst][0])
    view = View.of(image, case.axis, [index], 2 * _WORST_SIDE)
    picture = overlay(view.take(image.data, index), None, grey_range(image), {}, view.size)
    for true, guess in zip(case.landmarks, guesses, strict=True):
        if case.slice_of(true) == index:
            there = view.locate(true.position)
            if guess is not None:
                mark(picture, view.locate(guess.position), PREDICTED, line_to=there)
            mark(picture, there, TRUE)
    with replacing(path) as part:
        picture.save(part, format="PNG", optimize=True)
    return f"slice {index}, landmark {pairs[worst][0].name} {errors[worst]:.1f} mm off"

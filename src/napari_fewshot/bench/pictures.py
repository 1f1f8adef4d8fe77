"""The worst slice of a case: truth, prediction, and both outlines on the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..io.outputs import replacing
from ..types import Array, Landmark, Volume
from .drawing import View, grey_range, label_colours, overlay
from .methods import Predicted
from .prepare import PreparedCase
from .scoring import landmarks_of_labels

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["draw_worst", "worst_slice"]

_SIDE, _GAP, _COLOURS = 260, 4, 128
_TRUTH, _PRED = (255, 255, 255), (255, 140, 0)


def worst_slice(pred: Array, truth: Array, painted: Sequence[int]) -> int | None:
    """Slice with the most wrong pixels; None where all are right.

    Parameters
    ----------
    pred, truth : array, shape (N, H, W)
        Labels as stacks of slices.
    painted : sequence of int
        Slices that do not count.
    """
    wrong = (pred != truth).sum(axis=(1, 2))
    wrong[list(painted)] = 0
    return int(wrong.argmax()) if wrong.any() else None


def draw_worst(
    found: Predicted, case: PreparedCase, painted: Sequence[int], path: Path
) -> str | None:
    """Draw the worst slice as a PNG.

    Returns
    -------
    str or None
        What the picture shows; None where nothing is wrong.
    """
    if case.landmarks:
        return _draw_landmark(found, case, path)
    if found.labels is None or case.truth is None:
        return None
    pred = found.labels[None] if found.labels.ndim == 2 else found.labels
    pred_planes = pred if case.image.ndim == 2 else np.moveaxis(pred, case.axis, 0)
    index = worst_slice(pred_planes, case.planes, painted)
    if index is None:
        return None
    image = _volume(case.image)
    truth = case.truth.data if case.truth.data.ndim == 3 else case.truth.data[None]
    view = View.of(image, case.axis, [index], _SIDE)
    values = sorted({int(v) for v in np.unique(truth)} | {int(v) for v in np.unique(pred)} - {0})
    colours = label_colours([value for value in values if value])
    grey, limits = view.take(image.data, index), grey_range(image)
    true, guess = view.take(truth, index), view.take(pred, index)
    panels = [overlay(grey, one, limits, colours, view.size) for one in (true, guess)]
    both = overlay(grey, None, limits, {}, view.size)
    for labels, colour in ((true, _TRUTH), (guess, _PRED)):
        both = _outlined(both, labels, colour)
    _save([*panels, both], path)
    wrong = int((pred_planes[index] != case.planes[index]).sum())
    return f"slice {index}, {wrong} wrong pixels"


def _draw_landmark(found: Predicted, case: PreparedCase, path: Path) -> str | None:
    from PIL import ImageDraw

    points: Sequence[Landmark] = found.landmarks
    if not points and found.labels is not None:
        names = {point.label: point.name for point in case.landmarks}
        points = landmarks_of_labels(found.labels, names)
    sizes = np.array((1.0,) * (3 - case.image.ndim) + case.image.spacing)
    guesses = {point.name: point for point in sorted(points, key=lambda p: p.score or 0.0)}
    errors = {
        mark.name: float(
            np.linalg.norm(np.subtract(guesses[mark.name].position, mark.position) * sizes)
        )
        for mark in case.landmarks
        if mark.name in guesses
    }
    if not errors:
        return None
    worst = max(errors, key=lambda name: errors[name])
    index = case.slice_of(next(mark for mark in case.landmarks if mark.name == worst))
    image = _volume(case.image)
    view = View.of(image, case.axis, [index], 2 * _SIDE)
    picture = overlay(view.take(image.data, index), None, grey_range(image), {}, view.size)
    pen = ImageDraw.Draw(picture)
    for mark in case.landmarks:
        if case.slice_of(mark) != index:
            continue
        there = view.locate(mark.position)
        if mark.name in guesses:
            pen.line((there, view.locate(guesses[mark.name].position)), fill=_PRED, width=1)
        _dot(pen, there, _TRUTH)
        if mark.name in guesses:
            _dot(pen, view.locate(guesses[mark.name].position), _PRED)
    _save([picture], path)
    return f"slice {index}, landmark {worst} {errors[worst]:.1f} mm off"


def _dot(pen: object, at: tuple[float, float], colour: tuple[int, int, int]) -> None:
    x, y = at
    box = (x - 3, y - 3, x + 3, y + 3)
    pen.ellipse(box, fill=colour, outline=(0, 0, 0))  # type: ignore[attr-defined]


def _volume(image: Volume) -> Volume:
    """One slice of a 2D image as a volume, for the view."""
    if image.ndim == 3:
        return image
    return replace(image, data=image.data[None], spacing=(1.0, *image.spacing), affine=None)


def _outlined(picture: Image.Image, labels: Array, colour: tuple[int, int, int]) -> Image.Image:
    """Draw the borders between labels, one screen pixel wide."""
    from PIL import Image

    large = Image.fromarray(labels.astype(np.int32)).resize(picture.size, Image.Resampling.NEAREST)
    values = np.asarray(large)
    edge = np.zeros(values.shape, bool)
    edge[:-1] |= values[1:] != values[:-1]
    edge[:, :-1] |= values[:, 1:] != values[:, :-1]
    canvas = np.asarray(picture).copy()
    canvas[edge] = colour
    return Image.fromarray(canvas)


def _save(panels: Sequence[Image.Image], path: Path) -> None:
    from PIL import Image

    width = sum(panel.width for panel in panels) + _GAP * (len(panels) - 1)
    sheet = Image.new("RGB", (width, max(panel.height for panel in panels)), (255, 255, 255))
    left = 0
    for panel in panels:
        sheet.paste(panel, (left, 0))
        left += panel.width + _GAP
    with replacing(path) as part:
        sheet.quantize(_COLOURS).save(part, format="PNG", optimize=True)

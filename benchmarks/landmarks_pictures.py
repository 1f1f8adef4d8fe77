"""Pictures of benchmarks/landmarks.py: the best, the median and the worst case of a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from landmarks_methods import Places
from landmarks_tasks import Example
from PIL import Image, ImageDraw

_HEIGHT = 360
_TRUE, _FOUND = (255, 255, 255), (255, 140, 0)
_GREYS = 64  # few enough for small files


def draw_cases(
    path: Path,
    cases: Sequence[Example],
    places: Sequence[Places],
    errors: Sequence[Sequence[float | None]],
    unit: str,
) -> None:
    """Write three panels beside each other; volumes are seen through, along their first axis.

    True points are white, found ones orange, and a line joins those of one name.
    """
    means = [np.mean([e for e in case if e is not None] or [np.inf]) for case in errors]
    order = np.argsort(means, kind="stable")
    panels = []
    for word, k in zip(("best", "median", "worst"), order[[0, len(order) // 2, -1]], strict=True):
        panel = _panel(cases[k], places[k])
        text = f"{word}\nmean {means[k]:.2f} {unit}"
        ImageDraw.Draw(panel).text((4, 4), text, fill=_FOUND)
        panels.append(panel)
    whole = Image.new("RGB", (sum(p.width for p in panels) + 8, max(p.height for p in panels)))
    left = 0
    for panel in panels:
        whole.paste(panel, (left, 0))
        left += panel.width + 4
    path.parent.mkdir(parents=True, exist_ok=True)
    whole.quantize(_GREYS).save(path, optimize=True)


def _panel(case: Example, places: Places) -> Image.Image:
    data = np.asarray(case.image.data, np.float32)
    plane = data.max(axis=0) if data.ndim == 3 else data
    low, high = np.percentile(plane, (1, 99.5))
    grey = np.clip((plane - low) / max(high - low, 1e-6), 0, 1)
    scale = _HEIGHT / plane.shape[0]
    width = max(1, round(plane.shape[1] * scale))
    panel = Image.fromarray(np.uint8(200 * grey)).resize((width, _HEIGHT)).convert("RGB")
    draw = ImageDraw.Draw(panel)

    def at(place: Sequence[float]) -> tuple[float, float]:
        return (place[-1] + 0.5) * scale, (place[-2] + 0.5) * scale

    for point in case.points:
        true = at(point.position)
        if point.name in places:
            found = at(places[point.name][0])
            draw.line([true, found], fill=_FOUND)
            _ring(draw, found, _FOUND)
        _ring(draw, true, _TRUE)
    return panel


def _ring(draw: ImageDraw.ImageDraw, at: tuple[float, float], colour: tuple[int, ...]) -> None:
    x, y = at
    draw.ellipse((x - 2, y - 2, x + 2, y + 2), outline=colour)

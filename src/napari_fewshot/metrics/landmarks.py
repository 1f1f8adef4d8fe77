"""Scores of predicted landmarks against the truth."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from ..errors import InputError
from ..types import Landmark
from .scores import LandmarkScore, LandmarkScores

__all__ = ["evaluate_landmarks", "match_landmarks"]


def evaluate_landmarks(
    pred: Iterable[Landmark],
    truth: Iterable[Landmark],
    spacing: Sequence[float],
    *,
    axis: int = 0,
    radius_px: float = 10.0,
) -> LandmarkScores:
    """Compare predicted landmarks with the truth.

    Landmarks are matched by name; by label where the true one has no name or no prediction
    has any. Where several predictions answer to one true landmark, the one of the highest
    score is taken (one without a score was placed by a person and goes first). Where several
    true landmarks share a name or label, as many predictions of the highest scores are
    assigned to them one to one, with the least sum of distances.

    Parameters
    ----------
    pred, truth : iterable of Landmark
        Positions (z, y, x) in voxels.
    spacing : sequence of float
        mm of (z, y, x), or of (y, x) for a 2D image.
    axis : int
        Working axis: the plane across it has the pixels in which hits are measured; 0 in 2D.
    radius_px : float
        A hit is nearer than this. 10 pixels is the published measure.

    Returns
    -------
    LandmarkScores

    Raises
    ------
    InputError
        If the spacing, the axis or the radius makes no sense, or a position is not finite.

    Notes
    -----
    The distance in pixels is Euclidean. Within the working plane it counts in pixels, as
    published for 2D images; across slices, in mm over the plane's pixel size (the geometric
    mean of its two spacings). With square pixels this is the full distance in units of a
    pixel. A true landmark without a prediction is no hit, and enters ``missing`` but not the
    mean, standard deviation and median of the radial error.
    """
    sizes = _checked_spacing(spacing, axis, radius_px)
    guesses, points = list(pred), list(truth)
    for parameter, group in (("pred", guesses), ("truth", points)):
        for point in group:
            if not np.isfinite(point.position).all():
                raise InputError(parameter, "have finite positions (z, y, x)", point)
    matches = match_landmarks(guesses, points, sizes)
    rows = tuple(
        _score(point, match, sizes, axis, radius_px)
        for point, match in zip(points, matches, strict=True)
    )
    errors = [row.error_mm for row in rows if row.found]
    return LandmarkScores(
        landmarks=rows,
        accuracy=sum(row.hit for row in rows) / len(rows) if rows else math.nan,
        radius_px=float(radius_px),
        mean_error_mm=statistics.fmean(errors) if errors else math.nan,
        sd_error_mm=statistics.stdev(errors) if len(errors) > 1 else math.nan,
        median_error_mm=statistics.median(errors) if errors else math.nan,
        missing=len(rows) - len(errors),
        extra=_extra(guesses, points),
    )


def _checked_spacing(
    spacing: Sequence[float], axis: int, radius_px: float
) -> tuple[float, float, float]:
    sizes = tuple(float(size) for size in spacing)
    if len(sizes) not in (2, 3) or not all(np.isfinite(s) and s > 0 for s in sizes):
        raise InputError("spacing", "be two or three finite values above 0 mm", sizes)
    if axis not in (range(3) if len(sizes) == 3 else (0,)):
        raise InputError("axis", f"be {'0, 1 or 2' if len(sizes) == 3 else '0 in 2D'}", axis)
    if not radius_px > 0:
        raise InputError("radius_px", "be above 0", radius_px)
    z, y, x = sizes if len(sizes) == 3 else (1.0, *sizes)
    return z, y, x


def _key(point: Landmark, by_name: bool) -> str | int:
    return point.name if by_name and point.name else point.label


def match_landmarks(
    guesses: Sequence[Landmark], points: Sequence[Landmark], spacing: Sequence[float]
) -> list[Landmark | None]:
    """Return the prediction of each true landmark, None where there is none.

    ``spacing`` is in mm, of (z, y, x); how they are matched is said at :func:`evaluate_landmarks`.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    by_name = any(guess.name for guess in guesses)
    groups = defaultdict(list)
    for number, point in enumerate(points):
        groups[_key(point, by_name)].append(number)
    matches: list[Landmark | None] = [None] * len(points)
    for key, numbers in groups.items():
        answers = [guess for guess in guesses if key in (guess.name, guess.label)]
        best = sorted(answers, key=_rank, reverse=True)[: len(numbers)]
        if not best:
            continue
        there = np.array([points[number].position for number in numbers]) * spacing
        here = np.array([guess.position for guess in best]) * spacing
        rows, columns = linear_sum_assignment(cdist(there, here))
        for row, column in zip(rows, columns, strict=True):
            matches[numbers[row]] = best[column]
    return matches


def _rank(guess: Landmark) -> float:
    return math.inf if guess.score is None else guess.score


def _extra(guesses: Sequence[Landmark], points: Sequence[Landmark]) -> int:
    """Count the predictions whose name (or label) no true landmark has."""
    by_name = any(guess.name for guess in guesses)
    keys = {_key(point, by_name) for point in points}
    return sum(guess.name not in keys and guess.label not in keys for guess in guesses)


def _score(
    point: Landmark,
    guess: Landmark | None,
    spacing: tuple[float, float, float],
    axis: int,
    radius_px: float,
) -> LandmarkScore:
    if guess is None:
        return LandmarkScore(point.name, point.label, False, math.nan, math.nan, False)
    apart = np.subtract(guess.position, point.position)
    millimetres = float(np.linalg.norm(apart * spacing))
    plane = [size for number, size in enumerate(spacing) if number != axis]
    units = np.ones(3)
    units[axis] = spacing[axis] / math.sqrt(plane[0] * plane[1])
    pixels = float(np.linalg.norm(apart * units))
    return LandmarkScore(point.name, point.label, True, millimetres, pixels, pixels < radius_px)

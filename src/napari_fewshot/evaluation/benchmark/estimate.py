"""How long a benchmark takes and how much room it needs, before it is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from .plan import Fit, Unit
from .records import Record
from .runner import Benchmark

__all__ = ["Estimate", "estimate", "format_plan"]

ROUGH = {
    "forest": (15.0, 15.0),
    "fewshot": (30.0, 15.0),
    "unet": (600.0, 10.0),
    "nnunet": (7200.0, 20.0),
    "universeg": (1.0, 60.0),
}
"""Seconds of a fit, and of predicting a case, where nothing was run yet: on a processor, for a
volume of about a hundred small slices. They say minutes or days, no more."""

_OTHERS = (60.0, 30.0)
_RECORD_MB, _PICTURE_MB, _PREDICTION_MB = 0.01, 0.06, 0.5


@dataclass(frozen=True)
class Estimate:
    """What is left of a method.

    Parameters
    ----------
    method : str
    fits, predictions : int
        Still to do.
    done : int
        Predictions that are there.
    seconds : float
    measured : bool
        Whether the time is that of finished units; else it is a rough rate.
    """

    method: str
    fits: int
    predictions: int
    done: int
    seconds: float
    measured: bool


def estimate(benchmark: Benchmark) -> list[Estimate]:
    """Estimate each method."""
    records = benchmark.records
    return [
        _estimate([fit for fit in benchmark.plan if fit.method.name == method.name], records.read)
        for method in benchmark.config.methods
    ]


def _estimate(fits: Sequence[Fit], read: Callable[[Unit], Record | None]) -> Estimate:
    method = fits[0].method
    found = {unit.key: read(unit) for fit in fits for unit in fit.units}
    done = {key: record for key, record in found.items() if record and not record.error}
    rough_fit, rough_case = ROUGH.get(method.method, _OTHERS)
    fitting = [record.fit_seconds for record in done.values() if record.fit_seconds is not None]
    predicting = [r.predict_seconds for r in done.values() if r.predict_seconds is not None]
    left = [[unit for unit in fit.units if unit.key not in done] for fit in fits]
    count, cases = sum(bool(units) for units in left), sum(len(units) for units in left)
    seconds = count * (fmean(fitting) if fitting else rough_fit)
    seconds += cases * (fmean(predicting) if predicting else rough_case)
    return Estimate(method.name, count, cases, len(done), seconds, bool(done))


def format_plan(benchmark: Benchmark) -> str:
    """Describe the plan: cases, fits, predictions, time, room on the disk."""
    config, rows = benchmark.config, estimate(benchmark)
    selection = benchmark.selection
    lines = [config.title] if config.title else []
    pool = f", templates from {len(selection.pool)} others" if selection.pool else ""
    lines.append(f"{len(selection.scored)} cases are scored{pool}")
    if selection.left_out:
        lines.append(f"left out, since they share a group with the pool: {selection.left_out}")
    width = max(len("method"), *(len(row.method) for row in rows))
    lines.append(f"{'method':<{width}}  fits  predictions  done  time left")
    for row in rows:
        how = "" if row.measured or not row.predictions else "  (rough)"
        lines.append(
            f"{row.method:<{width}}  {row.fits:4d}  {row.predictions:11d}  {row.done:4d}  "
            f"{_duration(row.seconds):>9}{how}"
        )
    total = sum(row.seconds for row in rows)
    fits, predictions = sum(row.fits for row in rows), sum(row.predictions for row in rows)
    lines.append(f"{fits} fits and {predictions} predictions, about {_duration(total)}")
    lines.append(
        f"disk: about {_megabytes(benchmark, predictions):.0f} MB{_features(config.features)}"
    )
    return "\n".join(lines)


def _megabytes(benchmark: Benchmark, predictions: int) -> float:
    output = benchmark.config.output
    each = _RECORD_MB + (_PICTURE_MB if output.pictures else 0)
    return predictions * (each + (_PREDICTION_MB if output.predictions else 0)) + 5


def _features(kept: str) -> str:
    return ", and features of transformers (about 1 MB a slice and backbone)" * (kept == "disk")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

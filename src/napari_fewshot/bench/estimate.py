"""How long a benchmark takes and how much room it needs, before it is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ..config import CACHE_LIMIT_MB
from ..device import choose_device
from .config import BenchmarkConfig, MethodConfig, Shot
from .methods import METHODS
from .plan import Fit
from .rates import encoders_of, rate_of, work_mb
from .runner import Benchmark
from .sizes import CaseSize, size_of
from .templates import FOLDS

__all__ = ["Estimate", "estimate", "format_plan"]

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
    features_mb : dict of str to float
        Features that are left to keep on disk, by backbone; methods share them.
    work_mb : float
        Largest folder of a training.
    """

    method: str
    fits: int
    predictions: int
    done: int
    seconds: float
    measured: bool
    features_mb: dict[str, float]
    work_mb: float


def estimate(benchmark: Benchmark) -> list[Estimate]:
    """Estimate each method."""
    config, selection = benchmark.config, benchmark.selection
    scored = size_of(selection.scored, config)
    sizes = (scored, size_of(selection.pool, config) if selection.pool else scored)
    shared: set[str] = set()
    found = []
    for method in config.methods:
        fits = [fit for fit in benchmark.plan if fit.method.name == method.name]
        found.append(_estimate(benchmark, fits, sizes, shared))
    return found


def _estimate(
    benchmark: Benchmark, fits: Sequence[Fit], sizes: tuple[CaseSize, CaseSize], shared: set[str]
) -> Estimate:
    """Estimate a method; of ``shared`` backbones an earlier method keeps the features on disk."""
    config, method = benchmark.config, fits[0].method
    records = {unit.key: benchmark.records.read(unit) for fit in fits for unit in fit.units}
    done = {key: record for key, record in records.items() if record and not record.error}
    fitting = [record.fit_seconds for record in done.values() if record.fit_seconds is not None]
    predicting = [r.predict_seconds for r in done.values() if r.predict_seconds is not None]
    left = [fit for fit in fits if any(unit.key not in done for unit in fit.units)]
    cases = [unit.case for fit in left for unit in fit.units if unit.key not in done]

    scored, pooled = sizes
    device = choose_device(config.device)
    rate = rate_of(method, scored, device)
    painted = [_template_slices(benchmark, method, fit.shot, sizes) for fit in left]
    within = config.templates.scope == "within"
    trainings = sum(FOLDS if within and fit.shot == "all" else 1 for fit in left)
    seconds = len(left) * fmean(fitting) if fitting else trainings * rate.fit
    seconds += len(cases) * (fmean(predicting) if predicting else rate.predict)
    # What is encoded in all, and what of it is not the same slice again.
    every = sum(painted) + len(cases) * scored.slices
    once = min(sum(painted), len(benchmark.selection.pool) * pooled.slices)
    once += len(set(cases)) * scored.slices
    features = {}
    for encoder in encoders_of(method, scored, device):
        kept = config.features == "disk"
        if kept:
            features[encoder.name] = once * encoder.megabytes
        kept |= config.features == "memory" and once * encoder.megabytes < CACHE_LIMIT_MB
        new = 0.0 if encoder.name in shared else once if kept else every
        if not done:
            seconds += new * encoder.seconds
        if config.features == "disk" and left:
            shared.add(encoder.name)
    most = max(painted, default=0.0) * pooled.pixels
    return Estimate(
        method.name,
        len(left),
        len(cases),
        len(done),
        seconds,
        bool(done),
        features,
        work_mb(method, most) if left else 0.0,
    )


def _template_slices(
    benchmark: Benchmark, method: MethodConfig, shot: Shot, sizes: tuple[CaseSize, CaseSize]
) -> float:
    """Slices that a fit learns from, about."""
    how, (scored, pooled) = benchmark.config.templates, sizes
    if how.scope == "across" and METHODS.get(method.method).oracle:
        return 0.0
    if how.scope == "within":
        return scored.slices if shot == "all" else float(shot)
    if shot == "all":
        return len(benchmark.selection.pool) * pooled.slices
    return shot * pooled.slices if how.choice == "cases" else float(shot)


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
    lines.append(f"disk: about {_megabytes(_results_mb(config, predictions))}")
    features: dict[str, float] = {}
    for row in rows:
        for name, size in row.features_mb.items():
            features[name] = max(size, features.get(name, 0.0))
    if sum(features.values()):
        names = ", ".join(features)
        words = f"features of {names}: {_megabytes(sum(features.values()))}"
        lines.append(f"{words}  (rough)")
    work = max(row.work_mb for row in rows)
    if work:
        lines.append(f"a training, until it is done: up to {_megabytes(work)}  (rough)")
    return "\n".join(lines)


def _results_mb(config: BenchmarkConfig, predictions: int) -> float:
    output = config.output
    each = _RECORD_MB + (_PICTURE_MB if output.pictures else 0)
    return predictions * (each + (_PREDICTION_MB if output.predictions else 0)) + 5


def _megabytes(size: float) -> str:
    return f"{size:.0f} MB" if size < 2000 else f"{size / 1000:.0f} GB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

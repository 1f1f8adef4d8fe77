"""How long a benchmark takes and how much room it needs, before it is run: minutes or days."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from ..backbones import backbone_entry
from ..config import DEFAULT_SAM, ExtractionConfig, SegmenterConfig
from ..device import choose_device
from ..errors import FewShotError
from .config import MethodConfig
from .methods import METHODS
from .methods.fewshot import settings_for_task
from .plan import Fit
from .runner import Benchmark
from .templates import FOLDS

__all__ = ["Estimate", "estimate", "format_plan"]

_SECONDS = {
    "forest": (15.0, 15.0),
    "fewshot": (30.0, 15.0),
    "unet": (600.0, 10.0),
    "nnunet": (7200.0, 20.0),
    "universeg": (1.0, 60.0),
}
"""Of a fit, and of predicting a volume of the reference size, on a few processor cores; without the
encoding of slices by a transformer."""
_OTHERS = (10.0, 30.0)
_SLICES, _PIXELS = 100, 200 * 200
"""The reference size, which is taken for that of all cases where the first cannot be read."""
_ON_DEVICE = 20.0
_SECONDS_PER_MB_TOKEN = 1e-5
"""Of a transformer: megabytes of weights, times tokens of a slice."""
_ENTRY_MB, _RECORD_MB, _PICTURE_MB, _PREDICTION_MB, _REPORT_MB = 0.025, 0.01, 0.06, 0.5, 5
_NNUNET_MB, _NNUNET_BYTES = 1000.0, 6
"""Checkpoints, and bytes of each template voxel, raw and preprocessed."""
_UNET_MB = 0.03
"""Times the square of the width: weights, the best ones, and two moments."""


@dataclass(frozen=True)
class Estimate:
    """What is left of a method: fits and predictions, and what they take.

    The time is that of finished units where there are some (``measured``), else a rough rate.
    ``features_mb`` are left to keep on disk, by backbone; methods share them. ``work_mb`` is the
    largest folder of a training.
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
    """Estimate each method; all cases are taken to be as large as the first."""
    shared: set[str] = set()
    return [_estimate(benchmark, method, shared) for method in benchmark.config.methods]


def _estimate(benchmark: Benchmark, method: MethodConfig, shared: set[str]) -> Estimate:
    """Estimate a method; of ``shared`` backbones an earlier method keeps the features on disk."""
    config = benchmark.config
    case = benchmark.first_case
    slices, pixels = (case.slices, case.pixels) if case.slices else (_SLICES, _PIXELS)
    fits = [fit for fit in benchmark.plan if fit.method.name == method.name]
    records = benchmark.records.all(unit for fit in fits for unit in fit.units)
    done = {unit.key: record for unit, record in records if not record.error}
    left = [fit for fit in fits if any(unit.key not in done for unit in fit.units)]
    cases = [unit.case for fit in left for unit in fit.units if unit.key not in done]
    fitting = [r.fit_seconds for r in done.values() if r.fit_seconds is not None]
    predicting = [r.predict_seconds for r in done.values() if r.predict_seconds is not None]

    fit_rate, predict_rate = _SECONDS.get(method.method, _OTHERS)
    # UniverSeg brings slices to one size; what others do goes with the pixels.
    predict_rate *= slices / _SLICES
    predict_rate *= 1.0 if method.method == "universeg" else pixels / _PIXELS
    faster = 1.0 if choose_device(config.device) == "cpu" else _ON_DEVICE
    own = 1.0 if method.method == "forest" else faster
    folds = FOLDS if config.templates.scope == "within" else 1
    trainings = sum(folds if fit.shot == "all" else 1 for fit in left)
    seconds = len(left) * fmean(fitting) if fitting else trainings * fit_rate / own
    seconds += len(cases) * (fmean(predicting) if predicting else predict_rate / own)

    painted = [_template_slices(benchmark, fit, slices) for fit in left]
    pooled = len(benchmark.selection.pool) * slices
    encoded = sum(painted) + len(cases) * slices
    if config.features != "none":  # the same slice is not encoded again
        encoded = min(sum(painted), pooled) + len(set(cases)) * slices
    features = {}
    for name, weights_mb, tokens, channels in _encoders(
        method, pixels, config.landmarks is not None
    ):
        if config.features == "disk":
            features[name] = encoded * (_ENTRY_MB + tokens * channels * 2e-6)
        if not done and name not in shared:
            seconds += encoded * _SECONDS_PER_MB_TOKEN * weights_mb * tokens / faster
        if config.features == "disk" and left:
            shared.add(name)
    return Estimate(
        method.name,
        len(left),
        len(cases),
        len(done),
        seconds,
        bool(done),
        features,
        _work_mb(method, max(painted) * pixels) if left else 0.0,
    )


def _template_slices(benchmark: Benchmark, fit: Fit, slices: int) -> int:
    """Slices that a fit learns from, about."""
    how, shot = benchmark.config.templates, fit.shot
    if how.scope == "within":
        return slices if shot == "all" else shot
    if METHODS.get(fit.method.method).oracle:
        return 0
    if shot == "all":
        return len(benchmark.selection.pool) * slices
    return shot * slices if how.choice == "cases" else shot


def _encoders(
    method: MethodConfig, pixels: int, landmarks: bool
) -> Iterator[tuple[str, float, float, int]]:
    """Transformers that a method encodes slices with: name, MB of weights, tokens, and channels.

    There are none for features that cost little. A slice is taken as a square.
    """
    settings = method.settings
    backbones: dict[str, ExtractionConfig] = {}
    if METHODS.get(method.method).oracle or method.method in ("persam", "sam-everything"):
        backbones[str(settings.get("sam", DEFAULT_SAM))] = ExtractionConfig()
    if method.method == "fewshot":
        known = {k: v for k, v in settings.items() if k in SegmenterConfig.model_fields}
        known = settings_for_task(known, landmarks=landmarks)
        config = SegmenterConfig.of(known, "settings")
        backbones[config.backbone] = config.extraction
        if config.propagation.refinement.method is not None:
            backbones[config.propagation.refinement.method] = ExtractionConfig()
    for name, extraction in backbones.items():
        try:
            spec = backbone_entry(name).spec
        except FewShotError:
            continue
        if spec.store:
            side, wanted = math.sqrt(pixels) / spec.stride, spec.preprocessing
            if wanted.resize in ("longest", "square") and wanted.size is not None:
                side = wanted.size / spec.stride
            elif wanted.resize == "grid":
                side = max(side, float(extraction.min_tokens))
            channels = (spec.channels or 768) * extraction.blocks
            yield name, spec.size_mb or 400.0, side * side, channels


def _work_mb(method: MethodConfig, template_voxels: float) -> float:
    """Files of a training, which are removed when all of its cases are predicted."""
    if method.method == "unet":
        return _UNET_MB * float(method.settings.get("width", 24)) ** 2
    if method.method == "nnunet":
        return _NNUNET_MB + template_voxels * _NNUNET_BYTES / 1e6
    return 0.0


def format_plan(benchmark: Benchmark) -> str:
    """Describe the plan: cases, fits, predictions, time, room on the disk."""
    config, rows, selection = benchmark.config, estimate(benchmark), benchmark.selection
    lines = [config.title] if config.title else []
    which = "of them" if config.dataset.test == "all" else "others"
    pool = f", templates from {len(selection.pool)} {which}" if selection.pool else ""
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
    fits, predictions = sum(row.fits for row in rows), sum(row.predictions for row in rows)
    total = _duration(sum(row.seconds for row in rows))
    lines.append(f"{fits} fits and {predictions} predictions, about {total}")
    each = _RECORD_MB + (_PICTURE_MB if config.output.pictures else 0)
    each += _PREDICTION_MB if config.output.predictions else 0
    lines.append(f"disk: about {_megabytes(predictions * each + _REPORT_MB)}")
    features: dict[str, float] = {}
    for row in rows:
        for name, size in row.features_mb.items():
            features[name] = max(size, features.get(name, 0.0))
    if sum(features.values()):
        room = _megabytes(sum(features.values()))
        lines.append(f"features of {', '.join(features)}: {room}  (rough)")
    work = max(row.work_mb for row in rows)
    if work:
        lines.append(f"a training, until it is done: up to {_megabytes(work)}  (rough)")
    return "\n".join(lines)


def _megabytes(size: float) -> str:
    return f"{size:.0f} MB" if size < 2000 else f"{size / 1000:.0f} GB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

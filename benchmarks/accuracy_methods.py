"""Methods of benchmarks/accuracy.py: ours with and without its experts, and pixel classifiers."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from accuracy_scores import Found
from accuracy_supervised import supervised
from accuracy_tasks import Task
from speed_peers import CONVPAINT, HERE, python_of
from speed_process import environment

from napari_fewshot import FewShotSegmenter, SegmenterConfig, Template
from napari_fewshot.adapters import ADAPTERS, AdapterEntry, AdapterState, PixelAdapter

if TYPE_CHECKING:
    import torch

TREES = 100
PIXELS_OF_A_TREE = 300_000


class Forest:
    """A random forest on the features of pixels, as pixel classification tools train it."""

    def fit(self, samples: Any, seed: int, progress: Any = None) -> Forest:
        """Grow the trees, each on a bootstrap of the samples (of at most so many of them)."""
        from sklearn.ensemble import RandomForestClassifier

        self.classes = samples.class_count
        count = len(samples.features)
        self.forest = RandomForestClassifier(
            TREES,
            class_weight="balanced",
            max_samples=PIXELS_OF_A_TREE if count > PIXELS_OF_A_TREE else None,
            n_jobs=-1,
            random_state=seed,
        )
        self.forest.fit(samples.features, samples.classes)
        self.forest.n_jobs = 1  # many small parts are predicted
        return self

    def projection(self) -> None:
        """Trees look at the features as they are."""

    def predict(self, projected: torch.Tensor) -> torch.Tensor:
        """Class probabilities, shape (n, L + 1)."""
        import torch

        result = np.zeros((len(projected), self.classes), dtype=np.float32)
        result[:, self.forest.classes_] = self.forest.predict_proba(projected.numpy())
        return torch.from_numpy(result)

    def state(self) -> AdapterState:
        """Return nothing: forests are not saved."""
        return AdapterState({}, {})


ADAPTERS.add(
    "forest",
    AdapterEntry(
        "random forest, of this benchmark alone",
        lambda config, device, weights: PixelAdapter.of(config, Forest()),  # type: ignore[arg-type]
    ),
)


@dataclass(frozen=True)
class Method(ABC):
    """How a task is solved.

    ``reference``: it stands outside of what is developed here, so that its rows count for every
    tag. ``always`` in the set of methods that run if none are named. ``seeded``: whether the seed
    changes anything.
    """

    reference: bool = field(default=False, kw_only=True)
    always: bool = field(default=True, kw_only=True)
    seeded: bool = field(default=True, kw_only=True)

    @abstractmethod
    def missing(self, environments: Path) -> str | None:
        """Why it cannot be run here; None if it can. ``environments`` of other tools lie there."""

    @abstractmethod
    def solve(self, task: Task, seed: int, environments: Path) -> Found:
        """Train on the templates, predict the cases."""


@dataclass(frozen=True)
class Ours(Method):
    """A segmenter of this package.

    ``polished``: whether the network is polished for as long as it takes by default. ``weights``
    of the experts that are set afterwards. ``axis`` of the prediction of volumes.
    """

    settings: dict[str, Any]
    polished: bool = False
    weights: Mapping[str, float] = field(default_factory=dict)
    axis: str | None = None

    def missing(self, environments: Path) -> str | None:
        """Settings that this version does not have."""
        unknown = sorted({*self.settings} - {*SegmenterConfig.model_fields})
        return f"this version has no setting {', '.join(unknown)}" if unknown else None

    def solve(self, task: Task, seed: int, environments: Path) -> Found:
        """Train on the templates, predict the cases."""
        _forget_peak()
        start = time.perf_counter()
        model = FewShotSegmenter(seed=seed, **self.settings)
        model.fit(task.templates)
        if self.polished:
            model = model.polish()
        if model.config.experts.choose and (score := model.held_out_score()) is not None:
            model = model.with_weights(score.weights)  # as the command train does, and the viewer
        if self.weights:
            model = model.with_weights(replace(model.weights_, **self.weights))
        fitted = time.perf_counter()
        predictions = [
            model.predict(case.image, axis=self.axis, landmarks=False) for case in task.cases
        ]
        done = time.perf_counter()
        return Found(
            [np.asarray(p.labels) for p in predictions],
            [np.asarray(p.confidence) for p in predictions],
            fitted - start,
            (done - fitted) / _slices(task),
            _peak_mb(),
        )


class WithoutNeighbours(Ours):
    """The same, whose hand-made features are of each slice alone; no setting says so."""

    def solve(self, task: Task, seed: int, environments: Path) -> Found:
        """Train on the templates, predict the cases."""
        with patch("napari_fewshot.segmenter.companions.shows_neighbours", return_value=False):
            return super().solve(task, seed, environments)


_NO_SCREEN = {"QT_QPA_PLATFORM": "offscreen", "MPLBACKEND": "agg"}


class Convpaint(Method):
    """napari-convpaint in its own environment, on the same paint; it has a fixed seed."""

    def missing(self, environments: Path) -> str | None:
        """Whether its environment is made."""
        if (environments / "convpaint" / "installed").exists():
            return None
        return "its environment is not made (--environments, benchmarks/speed_peers.py)"

    def solve(self, task: Task, seed: int, environments: Path) -> Found:
        """Train on the templates, predict the cases, in another process."""
        values = sorted({v for template in task.templates for v in template.painted_labels()})
        arrays = {"label_values": np.array(values)}
        for number, template in enumerate(task.templates):
            arrays[f"train_{number}"] = np.asarray(template.volume.data)
            arrays[f"paint_{number}"] = paint_classes(template, values)
        for number, case in enumerate(task.cases):
            arrays[f"test_{number}"] = np.asarray(case.image.data)
        with tempfile.TemporaryDirectory() as folder:
            data, result = Path(folder) / "task.npz", Path(folder) / "found.npz"
            np.savez(data, **arrays)
            color = ["--colour"] if task.cases[0].image.has_channels else []
            python = python_of(environments / "convpaint")
            script = HERE / "peers" / "convpaint_task.py"
            done = subprocess.run(
                [str(python), str(script), str(data), str(result), *color],
                capture_output=True,
                text=True,
                check=False,
                env=environment("PYTHONPATH") | _NO_SCREEN,
            )
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no output"])[-1]
                raise RuntimeError(f"{CONVPAINT[0]}: {last[:300]}")
            report = json.loads(done.stdout.strip().splitlines()[-1])
            with np.load(result) as found:
                labels = [found[f"labels_{n}"] for n in range(len(task.cases))]
                confidence = [found[f"confidence_{n}"] for n in range(len(task.cases))]
        seconds = report["predict_seconds"] / _slices(task)
        return Found(labels, confidence, report["fit_seconds"], seconds, report["memory_mb"])


class Supervised(Method):
    """The upper line: a U-Net that learns from all images that are not scored."""

    def missing(self, environments: Path) -> str | None:
        """Whether MONAI is there."""
        found = find_spec("monai") is not None
        return None if found else "MONAI is not installed (the extra baselines)"

    def solve(self, task: Task, seed: int, environments: Path) -> Found:
        """Train on the other images, predict the cases."""
        return supervised(task, seed)


ALONE = {
    "hand_made": False,
    "grey": False,
    "carried": False,
    "registered": False,
    "self_training": False,
    "choose": False,
}
"""No expert beside the adapter."""
_BARE: dict[str, Any] = {"experts": ALONE}
_FOREST: dict[str, Any] = {
    "backbone": "multiscale",
    "adapter": "forest",
    "position": {"use": False},
    "sampling": {"pixels_per_label": 0, "background_factor": 1e9, "max_memory": 64},  # all painted
    "propagation": {"smoothing": 0.0},
    **_BARE,
}
_PUBLISHED: dict[str, Any] = {
    "preset": "published",
    "backbone": "embedded",
    "propagation": {"refinement": {"method": "none"}},
}
"""The published adapters on the features of the others, so that these alone are compared."""

METHODS: dict[str, Method] = {
    "default": Ours({}),
    "forest": Ours(_FOREST, reference=True),
    "forest of volumes": Ours({**_FOREST, "backbone": "multiscale-3d"}, always=False),
    "convpaint": Convpaint(reference=True, seeded=False),
    "supervised": Supervised(reference=True, always=False),
    "embedded": Ours({"experts": ALONE}),
    "hand-made": Ours({"backbone": "multiscale", "experts": ALONE}),
    "usual weights": Ours({"experts": {"choose": False}}),
    "temperature 1": Ours({"experts": {"choose": False}}, weights={"temperature": 1.0}),
    "without carried": Ours({"experts": {"carried": False, "choose": False}}),
    "without registered": Ours({"experts": {"registered": False, "choose": False}}),
    "without hand-made": Ours({"experts": {"hand_made": False, "choose": False}}),
    "without neighbours": WithoutNeighbours({}, always=False),
    "without grey": Ours({"experts": {"grey": False}}, always=False),
    "without self-training": Ours(
        {"experts": {"self_training": False, "choose": False}}, always=False
    ),
    "three planes": Ours({}, always=False, axis="fused"),
    "polished": Ours({}, always=False, polished=True),
    "cosine": Ours({"adapter": "cosine", **_BARE}, always=False),
    "classification": Ours({"adapter": "classification", **_BARE}, always=False),
    "hand-made classification": Ours(
        {"backbone": "multiscale", "adapter": "classification", **_BARE}, always=False
    ),
    "without position": Ours({"position": {"use": False}}, always=False),
    "published cosine": Ours({"adapter": "cosine", **_PUBLISHED}, always=False),
    "published classification": Ours({"adapter": "classification", **_PUBLISHED}, always=False),
    "published contrastive": Ours({"adapter": "contrastive", **_PUBLISHED}, always=False),
}


def runnable(names: Iterable[str], environments: Path) -> list[str]:
    """Those of the methods that can be run here; a line says why another cannot."""
    found = []
    for name in names:
        why = METHODS[name].missing(environments)
        if why is None:
            found.append(name)
        else:
            print(f"{name}: left out, {why}", flush=True)
    return found


def paint_classes(template: Template, values: list[int]) -> np.ndarray:
    """Paint of a template: 0 where nothing is known, 1 background, from 2 on the labels."""
    labels = template.label_volume
    if labels is None:
        raise ValueError("the template has no labels")
    table = {value: 2 + number for number, value in enumerate(values)}
    paint = np.zeros(labels.shape, np.uint8)
    for value, number in table.items():
        paint[labels.data == value] = number
    if template.kind == "scribble":
        paint[labels.data == template.background] = 1
    elif template.slices == "all" or labels.ndim == 2:
        paint[paint == 0] = 1
    else:
        for k in template.painted_slices():
            paint[k][paint[k] == 0] = 1
    return paint


def _slices(task: Task) -> int:
    return sum(1 if c.image.ndim == 2 else c.image.shape[0] for c in task.cases)


def _forget_peak() -> None:
    """Let the peak of resident memory count from now on, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    except OSError:
        return


def _peak_mb() -> float | None:
    """Peak of resident memory in MB, libraries included; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return None
    return next((int(ln.split()[1]) / 1e3 for ln in lines if ln.startswith("VmHWM")), None)

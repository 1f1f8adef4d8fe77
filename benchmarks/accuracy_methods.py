"""Methods of benchmarks/accuracy.py: ours with and without its experts, and pixel classifiers."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
class Method:
    """How a task is solved.

    ``settings`` are those of a segmenter; None: it is none of ours. ``reference``: it stands
    outside of what is developed here, so that its rows count for every tag. ``always`` in the set
    of methods that run if none are named. ``seeded``: whether the seed changes anything.
    ``polished``: whether the network is polished for as long as it takes by default.
    """

    settings: dict[str, Any] | None
    reference: bool = False
    always: bool = True
    seeded: bool = True
    polished: bool = False
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def missing(self) -> str | None:
        """Why this version of the package cannot run it; None if it can."""
        unknown = sorted({*(self.settings or {})} - {*SegmenterConfig.model_fields})
        return f"this version has no setting {', '.join(unknown)}" if unknown else None


ALONE = {
    "hand_made": False,
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
    "default": Method({}),
    "forest": Method(_FOREST, reference=True),
    "convpaint": Method(None, reference=True, seeded=False),
    "supervised": Method(None, reference=True, always=False),
    "embedded": Method({"experts": ALONE}),
    "hand-made": Method({"backbone": "multiscale", "experts": ALONE}),
    "usual weights": Method({"experts": {"choose": False}}),
    "temperature 1": Method({"experts": {"choose": False}}, weights={"temperature": 1.0}),
    "without carried": Method({"experts": {"carried": False, "choose": False}}),
    "without registered": Method({"experts": {"registered": False, "choose": False}}),
    "without hand-made": Method({"experts": {"hand_made": False, "choose": False}}),
    "without self-training": Method(
        {"experts": {"self_training": False, "choose": False}}, always=False
    ),
    "polished": Method({}, always=False, polished=True),
    "cosine": Method({"adapter": "cosine", **_BARE}, always=False),
    "classification": Method({"adapter": "classification", **_BARE}, always=False),
    "hand-made classification": Method(
        {"backbone": "multiscale", "adapter": "classification", **_BARE}, always=False
    ),
    "without position": Method({"position": {"use": False}}, always=False),
    "published cosine": Method({"adapter": "cosine", **_PUBLISHED}, always=False),
    "published classification": Method({"adapter": "classification", **_PUBLISHED}, always=False),
    "published contrastive": Method({"adapter": "contrastive", **_PUBLISHED}, always=False),
}

Solve = Callable[[Task, int], Found]


@dataclass(frozen=True)
class Solver:
    """Finds how methods are run on this machine."""

    environments: Path | None = None
    _said: set[str] = field(default_factory=set)

    def get(self, name: str) -> Solve | None:
        """Return what runs a method; None, and a line said once, where it cannot be run."""
        method = METHODS[name]
        why = method.missing
        if name == "supervised":
            if find_spec("monai") is not None:
                return supervised
            why = "MONAI is not installed (the extra baselines)"
        elif method.settings is None:
            place = None if self.environments is None else self.environments / "convpaint"
            if place is not None and (place / "installed").exists():
                return partial(convpaint, python_of(place))
            why = "its environment is not made (--environments, benchmarks/speed_peers.py)"
        if why is None:
            return partial(ours, method)
        if name not in self._said:
            print(f"{name}: left out, {why}", flush=True)
            self._said.add(name)
        return None


def ours(method: Method, task: Task, seed: int) -> Found:
    """Train on the templates, predict the cases."""
    _forget_peak()
    start = time.perf_counter()
    model = FewShotSegmenter(seed=seed, **(method.settings or {}))
    model.fit(task.templates)
    if method.polished:
        model = model.polish()
    if model.config.experts.choose and (score := model.held_out_score()) is not None:
        model = model.with_weights(score.weights)  # as the command train does, and the viewer
    if method.weights:
        model = model.with_weights(replace(model.weights_, **method.weights))
    fitted = time.perf_counter()
    predictions = [model.predict(case.image, landmarks=False) for case in task.cases]
    done = time.perf_counter()
    return Found(
        [np.asarray(p.labels) for p in predictions],
        [np.asarray(p.confidence) for p in predictions],
        fitted - start,
        (done - fitted) / _slices(task),
        _peak_mb(),
    )


def convpaint(python: Path, task: Task, seed: int) -> Found:
    """napari-convpaint in its own environment, on the same paint; it has a fixed seed."""
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
        command = [str(python), str(HERE / "peers" / "convpaint_task.py"), str(data), str(result)]
        done = subprocess.run(
            [*command, *color],
            capture_output=True,
            text=True,
            check=False,
            env=environment("PYTHONPATH") | {"QT_QPA_PLATFORM": "offscreen", "MPLBACKEND": "agg"},
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

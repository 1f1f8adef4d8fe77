"""How good weights are: few-shot score on labelled images, else the rank of the features."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config import ExtractionConfig, FinetuneConfig, SegmenterConfig
from ..errors import InputError
from ..features.extract import FeatureExtractor
from ..segmenter import FewShotSegmenter
from ..templates import Template
from ..templates.training_set import TrainingSet
from ..types import Array, Progress, no_progress
from .scans import Drawn, Scans
from .weights_file import RANK

if TYPE_CHECKING:
    import torch

    from ..backbones import Backbone
    from .learner import Learner

__all__ = ["FEW_SHOT", "FewShotProbe", "Judge", "effective_rank", "rank_of"]

FEW_SHOT = "held-out Dice of the probe"

_SLICES = 8
_PIXELS = 128
"""Of each slice: enough to tell a rank of less than fifty, or of some hundred for transformers."""
_ALONE = {"hand_made": False, "grey": False, "carried": False, "registered": False, "choose": False}
"""The features alone are judged: not what others know, nor where in the image a pixel lies."""


class FewShotProbe:
    """Held-out score of an adapter that learns from labelled slices, with some weights.

    Parameters
    ----------
    backbone : str
    templates : sequence of Template
    config : FinetuneConfig
    device : str

    Raises
    ------
    InputError
        If fewer than two slices have labels.
    """

    measure = FEW_SHOT

    def __init__(
        self, backbone: str, templates: Sequence[Template], config: FinetuneConfig, device: str
    ) -> None:
        self._backbone, self._device, self._config = backbone, device, config
        each = max(1, config.probe_slices // max(1, len(templates)))
        self._templates = [_thinned(one, each) for one in templates]
        known = TrainingSet.of(self._templates, SegmenterConfig(intensity=config.intensity))
        if len(known.examples) < 2:
            raise InputError("probe", "have two labelled slices at least", "fewer")

    def score(self, weights: Path, progress: Progress = no_progress) -> float:
        """Mean held-out Dice with a weights file; ``progress`` may raise ``Cancelled``."""
        config = self._config
        model = FewShotSegmenter(
            backbone=self._backbone,
            weights=weights,
            device=self._device,
            seed=config.seed,
            intensity=config.intensity,
            resampling=config.resampling,
            adapter="classification",
            classification={"steps": config.probe_steps},
            experts=_ALONE,
            position={"use": False},
        )
        model.fit(self._templates, progress)
        found = model.held_out_score(progress)
        if found is None or not np.isfinite(found.for_comparison):
            raise InputError("probe", "have labels that occur on two slices at least", "fewer")
        return float(found.for_comparison)


def _thinned(template: Template, most: int) -> Template:
    """A template of some of its labelled slices, at equal distances."""
    labels = template.label_volume
    if labels is None:
        raise InputError("probe", "have label maps", "points")
    given = template.slices
    painted = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else None
    painted = template.painted_slices() if painted is None else painted
    if labels.ndim == 2 or len(painted) <= most:
        return template
    places = np.linspace(0, len(painted) - 1, most + 2)[1:-1]
    chosen = [painted[k] for k in np.unique(places.round().astype(int)).tolist()]
    axis = template.file_axis()
    data = np.zeros_like(np.asarray(labels.data))
    at = (slice(None),) * axis + (chosen,)
    data[at] = np.asarray(labels.data)[at]
    return replace(
        template, labels=labels.with_data(data, names=labels.names), slices=chosen, axis=axis
    )


def rank_of(backbone: Backbone, drawn: Sequence[Drawn], seed: int, device: str) -> float:
    """Effective rank of the features of pixels of some slices."""
    extractor = FeatureExtractor(backbone, ExtractionConfig(), device)
    rng = np.random.default_rng(seed)
    found = []
    for one in drawn:
        for part in extractor.map(one.stack, one.index).parts():
            flat = np.asarray(part.data, np.float32).reshape(part.channels, -1)
            chosen = rng.choice(flat.shape[1], min(_PIXELS, flat.shape[1]), replace=False)
            found.append(flat[:, np.sort(chosen)].T)
    return effective_rank(np.concatenate(found))


def effective_rank(features: Array) -> float:
    """Exponential of the entropy of the singular values, as shares of their sum (n, C).

    RankMe (Garrido et al. 2023, arXiv:2210.02885), of centred features: a mean that they share
    tells nothing.
    """
    centred = features - features.mean(axis=0)
    values = np.linalg.svd(centred.astype(np.float64), compute_uv=False)
    shares = values / max(values.sum(), 1e-12)
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))


class Judge:
    """Scores of the weights of a learner, and the guard against collapse.

    Parameters
    ----------
    learner : Learner
    scans : Scans
    config : FinetuneConfig
    probe : FewShotProbe, optional
        None: the rank is the score.
    device : str
    """

    def __init__(
        self,
        learner: Learner,
        scans: Scans,
        config: FinetuneConfig,
        probe: FewShotProbe | None,
        device: str,
    ) -> None:
        self._learner, self._probe, self._config, self._device = learner, probe, config, device
        rng = np.random.default_rng([config.seed, 2**33])
        self._drawn = [scans.draw(step, rng) for step in range(_SLICES)]
        self.measure = RANK if probe is None else probe.measure

    @property
    def shares(self) -> tuple[float, ...]:
        """Shares of what was learned that can be told apart."""
        return (1.0,) if self._probe is None else self._config.shares

    def judge(
        self, weights: Mapping[str, torch.Tensor], progress: Progress = no_progress
    ) -> tuple[float, float]:
        """Score of weights, and the rank of what the learner has now.

        ``progress`` may raise ``Cancelled``.
        """
        rank = rank_of(self._learner.backbone(), self._drawn, self._config.seed, self._device)
        if self._probe is None:
            return rank, rank
        with tempfile.TemporaryDirectory(prefix="napari-fewshot-") as folder:
            path = Path(folder) / "probe.safetensors"
            self._learner.write(path, weights, {})
            return self._probe.score(path, progress), rank

"""A run of fine-tuning: steps, probes, checkpoints, the best weights, and what it came to."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..backbones import backbone_entry, get_backbone
from ..backbones.base import Backbone
from ..backbones.embedded import EmbeddedBackbone
from ..backbones.timm_network import TimmBackbone
from ..config import DEFAULT_BACKBONE, FinetuneConfig
from ..device import choose_device
from ..errors import Cancelled, InputError
from ..templates import Template
from ..types import Progress, no_progress
from .checkpoint import checkpoint_path, read_checkpoint, run_digest, write_checkpoint
from .contrast import DenseContrast
from .distillation import SelfDistillation
from .group import Group, open_group
from .history import History, write_grid
from .learner import Learner
from .mixing import blended
from .probe import FewShotProbe, Judge
from .result import Finetuned, beside, check_weights_name
from .scans import ImageLike, Scans, ScanSummary
from .weights_file import Story

if TYPE_CHECKING:
    import torch

__all__ = ["Run", "finetune", "learner_of"]

_LEAST_ENTROPY = 0.01
"""Share of the highest entropy of what a teacher says; below it, it says the same of everything."""
_LEAST_SHARPNESS = 0.003
"""What its entropy for one image lacks to the highest, as a share; below it, it says nothing."""


def finetune(
    backbone: str = DEFAULT_BACKBONE,
    images: Iterable[ImageLike] = (),
    *,
    output: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    probe: Template | Sequence[Template] = (),
    config: FinetuneConfig | dict[str, Any] | None = None,
    device: str = "auto",
    progress: Progress = no_progress,
) -> Finetuned:
    """Fine-tune a backbone on images without labels.

    Parameters
    ----------
    backbone : str
        ``embedded``, or a vision transformer with a class token (DINOv2, DINOv3, of timm), which
        needs the extra ``finetune``.
    images : iterable of path, Volume or array
        Files of any format that is read, volumes, arrays in memory or of dask. Those that cannot be
        read, are constant or too small are left out. They are read as they are needed.
    output : path, optional
        Weights file to write, ``.safetensors``. Beside it lie the table of losses and scores
        (``.csv``), its picture (``.png``), what the network was shown (``_views.png``), and until
        the run has ended a checkpoint, from which the same call goes on.
    weights : path, optional
        Where training begins, in place of the weights of the backbone.
    probe : Template or sequence of Template
        Labelled images that weights are judged by: the held-out few-shot score. Without them it
        is the rank of the features, which says less.
    config : FinetuneConfig or dict, optional
        Steps, time, what is learned, seed.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    progress : callable
        Called between steps; when it raises ``Cancelled``, training stops, and the best weights so
        far are what is returned and written.

    Raises
    ------
    InputError
        If no image can be learned from, a setting does not exist, or the output is there already.
    WeightsError
        If the weights to begin with cannot be had.

    Examples
    --------
    >>> scans = sorted(Path("scans").glob("*.nii.gz"))
    >>> print(finetune("embedded", scans, output="own.safetensors").verdict)
    >>> model = FewShotSegmenter(weights="own.safetensors")
    """
    target = None if output is None else check_weights_name(output)
    if target is not None and not checkpoint_path(target).is_file():
        for curve in (beside(target, ".csv"), beside(target, ".png")):
            if curve.exists():
                raise InputError("output", "not be there already", curve, "Choose another name.")
    run = Run.of(
        backbone, images, weights=weights, probe=probe, config=config, device=device,
        progress=progress,
    )  # fmt: skip
    if target is not None:
        run.begin(target)
    return run.finish(run.train(progress))


def learner_of(
    name: str, backbone: Backbone, scans: Scans, config: FinetuneConfig, group: Group
) -> Learner:
    """What trains a backbone; InputError if there is nothing to train."""
    if isinstance(backbone, EmbeddedBackbone):
        return DenseContrast(backbone, scans, config, group)
    if isinstance(backbone, TimmBackbone):
        return SelfDistillation(backbone, scans, config, group)
    raise InputError("backbone", "be one that can be fine-tuned: embedded, or a transformer", name)


class Run:
    """A run: it trains until its end, and finishes with the best weights.

    Parameters
    ----------
    backbone : str
    base : str
        Where the weights of the start come from.
    base_hash : str
    learner : Learner
    scans : Scans
    config : FinetuneConfig
    probe : FewShotProbe, optional
    group : Group
        Of the processes that train; the first one judges and writes.
    """

    def __init__(
        self,
        backbone: str,
        base: str,
        base_hash: str,
        learner: Learner,
        scans: Scans,
        config: FinetuneConfig,
        probe: FewShotProbe | None,
        group: Group,
    ) -> None:
        self._group = group
        self._backbone, self._base, self._base_hash = backbone, base, base_hash
        self._learner, self._scans, self._config = learner, scans, config
        self._judge = Judge(learner, scans, config, probe, group.device)
        self._digest = run_digest(backbone, base_hash, config, scans, probe is not None)
        self._output: Path | None = None
        self._written = -math.inf
        self.history = History()
        self.steps, self.seconds = 0, 0.0
        self._start: dict[str, torch.Tensor] = learner.averaged()
        self._best, self._best_share = self._start, 1.0
        self._best_score, self._best_step = -math.inf, 0

    @classmethod
    def of(
        cls,
        backbone: str,
        images: Iterable[ImageLike],
        *,
        weights: str | os.PathLike[str] | None = None,
        probe: Template | Sequence[Template] = (),
        config: FinetuneConfig | dict[str, Any] | None = None,
        device: str = "auto",
        progress: Progress = no_progress,
    ) -> Self:
        """Look at the images and load the weights; parameters are those of :func:`finetune`."""
        settings = FinetuneConfig.of(config, "config")
        entry = backbone_entry(backbone)
        group = open_group(choose_device(device), settings.devices)
        base = get_backbone(backbone, None if weights is None else Path(weights))
        scans = Scans.of(images, settings, progress)
        templates = [probe] if isinstance(probe, Template) else list(probe)
        few_shot = FewShotProbe(backbone, templates, settings, group.device) if templates else None
        learner = learner_of(backbone, base, scans, settings, group)
        origin = entry.spec.source if weights is None else Path(weights).name
        return cls(backbone, origin, base.weights_hash, learner, scans, settings, few_shot, group)

    @property
    def leads(self) -> bool:
        """Whether this process judges and writes: of several, the first one."""
        return self._group.leads

    @property
    def method(self) -> str:
        """How the backbone learns."""
        return self._learner.method

    @property
    def summary(self) -> ScanSummary:
        """What there is to learn from."""
        return self._scans.summary

    @property
    def left_out(self) -> tuple[tuple[str, str], ...]:
        """Images that are not learned from, and why."""
        return self._scans.left_out

    def begin(self, output: Path, overwrite: bool = False) -> None:
        """Write to an output; go on from its checkpoint, where there is one.

        Raises
        ------
        InputError
            If the output is there already without a checkpoint of this run.
        """
        checkpoint = checkpoint_path(output)
        if overwrite and self._group.leads:
            checkpoint.unlink(missing_ok=True)
        elif checkpoint.is_file() and not overwrite:
            self._restore(read_checkpoint(checkpoint, self._digest), checkpoint)
        elif output.exists() and not overwrite:
            raise InputError(
                "output", "not be there already", output, "Choose another name, or overwrite."
            )
        if not self._group.leads:
            return
        self._output = output
        write_grid(beside(output, "_views.png"), self._learner.pictures(0))

    def train(self, progress: Progress = no_progress) -> str:
        """Train until the steps or the minutes are over, the features collapse, or it is stopped.

        Returns which of these it was. ``Cancelled`` passes through while nothing was learned.
        """
        config, leads, sound = self._config, self._group.leads, True
        if leads and not self.history.column("score"):
            progress(0, 1, "probe")
            self._probe(progress)
        since = time.monotonic() - self.seconds
        while not (ended := self._group.agree(self._end(progress, sound))):
            losses = self._learner.step(self.steps)
            self.steps += 1
            self.seconds = time.monotonic() - since
            self.history.add(self.steps, losses)
            sound = _says_something(losses)
            if leads and sound and self.steps % config.probe_every == 0:
                sound = self._probe(progress)
            self._keep()
        if leads and ended in ("steps", "minutes") and self.steps != self._last_probed():
            self._probe(progress)
        return ended

    def _end(self, progress: Progress, sound: bool) -> str:
        """Why training ends now; empty if it goes on."""
        minutes = self._config.minutes
        if not sound:
            return "collapsed"
        if self.steps >= self._config.most_steps:
            return "steps"
        if minutes is not None and self.seconds >= 60 * minutes:
            return "minutes"
        try:
            progress(*self._done(), "fine-tuning")
        except Cancelled:
            return "stopped"
        return ""

    def _done(self) -> tuple[int, int]:
        """How far it is, in steps, or in seconds where time ends it."""
        most, minutes = self._config.most_steps, self._config.minutes
        if minutes is None:
            return self.steps, int(most)
        seconds = math.ceil(60 * minutes)
        fraction = max(self.steps / most, self.seconds / seconds)
        return min(seconds, int(fraction * seconds)), seconds

    def _last_probed(self) -> int:
        probed = self.history.column("score")
        return probed[-1][0] if probed else -1

    def _probe(self, progress: Progress) -> bool:
        """Judge the weights, keep them if they are the best; whether the features are sound.

        Where it is stopped meanwhile they are not judged.
        """

        def asked(done: int, total: int, what: str) -> None:
            progress(*self._done(), "fine-tuning")

        now = self._learner.averaged()
        weights, share, score, rank = now, 1.0, -math.inf, math.nan
        try:
            for each in self._judge.shares if self.steps else (1.0,):
                mixed = now if each == 1 else blended(self._start, now, each)
                found, rank = self._judge.judge(mixed, asked)
                if found > score:
                    weights, share, score = mixed, each, found
        except Cancelled:
            if not self.steps:
                raise
            return True
        self.history.add(self.steps, {"score": score, "share": share, "rank": rank})
        first = self.history.column("rank")[0][1]
        sound = rank >= self._config.min_rank * first
        gain = self._config.min_gain if self._best_step == 0 and self.steps else 0.0
        if sound and (not self.steps or score > self._best_score + gain):
            self._best, self._best_step, self._best_share = weights, self.steps, share
            self._best_score = score
        return sound

    def _keep(self) -> None:
        """Write a checkpoint now and then."""
        now = time.monotonic()
        if self._output is not None and now - self._written >= 60 * self._config.checkpoint_minutes:
            self._checkpoint(self._output)
            self._written = time.monotonic()

    def _checkpoint(self, output: Path) -> None:
        state = {
            "learner": self._learner.state(),
            "steps": self.steps,
            "seconds": self.seconds,
            "rows": self.history.rows,
            "best": self._best,
            "best_score": self._best_score,
            "best_step": self._best_step,
            "best_share": self._best_share,
        }
        write_checkpoint(checkpoint_path(output), self._digest, state)

    def _restore(self, state: dict[str, Any], path: Path) -> None:
        try:
            self._learner.restore(state["learner"])
            self.steps, self.seconds = int(state["steps"]), float(state["seconds"])
            self.history = History(list(state["rows"]))
            self._best = state["best"]
            self._best_score, self._best_step = state["best_score"], state["best_step"]
            self._best_share = state["best_share"]
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(str(path), "be a whole checkpoint", type(error).__name__) from error

    def finish(self, ended: str) -> Finetuned:
        """Write the best weights so far, the table and its picture."""
        scores = self.history.column("score")
        start = scores[0][1] if scores else math.nan
        better = self._best_step > 0
        story = Story(
            backbone=self._backbone,
            base=self._base,
            base_hash=self._base_hash,
            method=self._learner.method,
            steps=self._best_step,
            share=self._best_share,
            data=self._scans.summary.to_dict(),
            settings=self._config.model_dump(mode="json"),
            measure=self._judge.measure,
            scores={str(step): value for step, value in scores},
            start=start,
            best=self._best_score if better else start,
            better=better,
        )
        found = Finetuned(
            self._best, story, self.history, self._scans.summary, self._scans.left_out, ended,
            self._learner,
        )  # fmt: skip
        if self._output is not None:
            found.save(self._output)
            self.history.write_csv(beside(self._output, ".csv"))
            self.history.write_png(beside(self._output, ".png"))
            if ended == "stopped":
                self._checkpoint(self._output)
            else:
                checkpoint_path(self._output).unlink(missing_ok=True)
        return found


def _says_something(losses: Mapping[str, float]) -> bool:
    """Whether a teacher tells images apart, where there is one."""
    of_all, of_each = losses.get("entropy", 1.0), losses.get("sharpness", 1.0)
    return of_all >= _LEAST_ENTROPY and of_each >= _LEAST_SHARPNESS

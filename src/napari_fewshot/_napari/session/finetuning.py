"""The backbone learns from images of the viewer, or of a folder, beside all other work.

What trains is imported when it is asked for: it brings torch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from ...backbones import backbone_entry
from ...backbones.weights import weights_folder
from ...config import DEFAULT_BACKBONE, FinetuneConfig
from ...errors import InputError
from ...io.find import find_images
from .jobs import Callbacks, Job, JobRunner
from .notifications import Activity
from .state import State
from .teaching import is_result
from .training import TrainingController
from .view import View

if TYPE_CHECKING:
    from ...finetuning import Finetuned
    from ...templates import Template

__all__ = ["SessionFinetuning"]

_DRAW_S = 2.0
"""How often the curve is drawn anew."""
_CURVE = (280, 130)
"""Pixels of one curve."""
_MIN_PROBED = 2


class SessionFinetuning:
    """Fine-tunes the backbone of a session: ``session.finetuning``.

    It has a worker of its own: what is labelled meanwhile does not wait for it. Without labelled
    slices nobody knows whether weights have become better: then they are written, and not taken.

    ``drawn`` gives losses and scores so far as a picture, shape (H, W, 3), uint8, now and then.
    """

    drawn = Signal(object)

    def __init__(
        self, state: State, view: View, training: TrainingController, activity: Activity
    ) -> None:
        self._state, self._view, self._training = state, view, training
        self._runner = JobRunner(activity.tell, activity.show)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The run that there is, if any."""
        return self._runner.jobs

    @property
    def problem(self) -> str:
        """Why the chosen backbone cannot learn, for people; empty if it can."""
        name = self._state.settings.backbone
        if name == DEFAULT_BACKBONE:
            return ""
        if backbone_entry(name).spec.source == "built in":
            return f"choose another network: {name} has nothing to learn"
        return "" if find_spec("lightly") else 'run pip install "napari-fewshot[finetune]"'

    @property
    def probed(self) -> int:
        """Labelled slices of the templates that weights can be judged by."""
        entries = (x for x in self._state.sources() if x.kind != "points")
        found = sum(len(entry.slices()) for entry in entries)
        return found if found >= _MIN_PROBED else 0

    def images(self) -> list[Any]:
        """Image layers that it learns from: all but results; of channels, the first."""
        leader_of = self._state.channels.leader_of
        found = (x for x in self._view.viewer.layers if x._type_string == "image")
        return [x for x in found if not is_result(x) and leader_of(x) is x]

    def start(
        self,
        images: Sequence[Any] | None = None,
        *,
        folder: str | os.PathLike[str] | None = None,
        output: str | os.PathLike[str] | None = None,
        minutes: float | None = 30.0,
        **settings: Any,
    ) -> Job:
        """Fine-tune the chosen backbone; ``Job.result`` is what it came to (a ``Finetuned``).

        Stopped, it keeps the best weights so far. Where labelled slices of the templates say that
        they are better than those of the start, the session goes on with them.

        Parameters
        ----------
        images : sequence of layers or names, optional
            None: all image layers but results. Of a time series the place in view is taken.
        folder : path, optional
            Images of this folder are learned from instead.
        output : path, optional
            Weights file to write, ``.safetensors``. None: a new one in the folder of weights.
        minutes : float, optional
            Most time; None: as many steps as set.
        **settings
            Fields of :class:`~napari_fewshot.config.FinetuneConfig`.
        """
        from ...finetuning.result import check_weights_name

        if self._runner.jobs:
            raise InputError("fine-tuning", "be one at a time", "one that runs", "Stop it first.")
        state, chosen = self._state, self._state.settings
        given = {"intensity": chosen.config.intensity, "resampling": chosen.config.resampling}
        config = FinetuneConfig.of(given | {"minutes": minutes} | settings, "settings")
        sources = self._sources(images) if folder is None else _files(Path(folder))
        probe = self._probe()
        target = _free_name(chosen.backbone) if output is None else check_weights_name(output)
        self._backbone = chosen.backbone, chosen.weights, chosen.device
        job = Job(
            f"Fine-tuning {chosen.backbone}",
            "finetune",
            lambda job: self._work(job, sources, target, probe, config),
            Callbacks(piece=self.drawn.emit, done=lambda found: self._take(job, found, target)),
            keeps_result=True,
        )
        state.events.settings.emit()
        return self._runner.start(job)

    def cancel(self) -> None:
        """Stop it; the best weights so far are kept."""
        self._runner.cancel()

    def close(self) -> None:
        """Stop it, within one step."""
        self._runner.close()

    def _sources(self, images: Sequence[Any] | None) -> list[Any]:
        view, state = self._view, self._state
        layers = self.images() if images is None else [view.image(one) for one in images]
        if not layers:
            raise InputError("images", "be open", "none", "Open some, or choose a folder.")
        return [state.channels.volume(x, view.lead(x), state.level_of(x)) for x in layers]

    def _probe(self) -> list[Template]:
        """Templates with labels that weights can be judged by; none if they are too few."""
        if not self.probed:
            return []
        return [one for one in self._training.templates() if one.label_volume is not None]

    def _work(
        self,
        job: Job,
        sources: Sequence[Any],
        target: Path,
        probe: Sequence[Template],
        config: FinetuneConfig,
    ) -> Finetuned:
        from ...finetuning.run import Run

        target.parent.mkdir(parents=True, exist_ok=True)
        backbone, weights, device = self._backbone
        run = Run.of(
            backbone, sources, weights=weights, probe=probe, config=config, device=device,
            progress=job.progress,
        )  # fmt: skip
        run.begin(target)
        drawn = 0.0

        def progress(done: int, total: int, what: str) -> None:
            nonlocal drawn
            job.progress(done, total, what)
            if what == "fine-tuning" and time.monotonic() - drawn >= _DRAW_S:
                drawn = time.monotonic()
                job.send(run.history.drawn(*_CURVE))

        return run.finish(run.train(progress))

    def _take(self, job: Job, found: Finetuned, target: Path) -> None:
        """Say what it came to, and go on with better weights."""
        from ...finetuning.weights_file import RANK

        self.drawn.emit(found.history.drawn(*_CURVE))
        job.note = f"{found.verdict} ({target.name})"
        if found.better and found.story.measure != RANK:
            if self._state.settings.backbone == self._backbone[0]:
                self._training.configure({"weights": target})
        elif found.better:
            job.note += ". Choose it as Weights to try it."


def _files(folder: Path) -> list[Path]:
    return list(find_images("folder", [folder]).images)


def _free_name(backbone: str) -> Path:
    """A new file in the folder of weights."""
    from ...finetuning.checkpoint import checkpoint_path
    from ...finetuning.result import outputs_of

    folder, stem = weights_folder(), "".join(c if c.isalnum() else "-" for c in backbone)
    paths = (folder / f"{stem}-own-{number}.safetensors" for number in count(1))
    return next(
        path
        for path in paths
        if not any(one.exists() for one in (*outputs_of(path), checkpoint_path(path)))
    )

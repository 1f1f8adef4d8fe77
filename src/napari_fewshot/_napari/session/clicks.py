"""Clicks on a slice become masks to choose from, and these become paint of the label in hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from psygnal import Signal

from ...config import DEFAULT_SAM
from ...errors import InputError, UnknownNameError
from ...sam.checkpoint import SAMS
from ...types import Array
from ..annotations import boxes_in
from ..layers import image_volume, placed_in
from .answers import WALKER, Answers, Asked, ClickChoice
from .click_layers import ClickLayers
from .jobs import Callbacks, Job, JobRunner, single_shot
from .slicing import Slicing
from .state import State
from .teaching import provenance_of
from .view import View

__all__ = ["SessionClicks"]

_AFTER_CLICK_MS = 80


class SessionClicks:
    """Clicks and boxes on one slice, answered at once: ``session.clicks``.

    :meth:`begin` adds layers to click into; each click is answered with up to three
    :attr:`choices`, of which the chosen one is shown; :meth:`accept` paints it as a person would.

    Attributes
    ----------
    changed : psygnal signal
        There are other choices, or another one is chosen.
    """

    changed = Signal()

    def __init__(self, state: State, runner: JobRunner, view: View) -> None:
        self._state, self._runner, self._view = state, runner, view
        self._drawn: ClickLayers | None = None
        self._answers = Answers(state.cache)
        self._job: Job | None = None
        self._timer: Any = None
        self.choices: tuple[ClickChoice, ...] = ()
        self.chosen = 0
        state.events.layers.connect(self._end_if_gone)

    @property
    def image(self) -> Any:
        """Image that is clicked on; None: clicks have not begun."""
        return None if self._drawn is None else self._drawn.image

    @property
    def method(self) -> str:
        """Name of the SAM, or ``"random-walker"``; empty before :meth:`begin`."""
        return "" if self._drawn is None else self._drawn.method

    @property
    def is_looking(self) -> bool:
        """Whether an answer is looked for."""
        return self._job is not None and not self._job.is_over

    @property
    def into(self) -> Any:
        """Layer that takes the paint; None before :meth:`begin`."""
        return None if self._drawn is None else self._drawn.into

    @property
    def methods(self) -> tuple[str, ...]:
        """Ways to answer clicks that are at hand, the best first."""
        files = self._state.settings.sam_file
        here = [n for n, sam in SAMS.items() if files(n) is not None or sam.available()]
        here.sort(key=lambda name: (SAMS[name].one_mask, name != DEFAULT_SAM))
        return (*here, WALKER)

    def begin(self, image: Any = None, *, into: Any = None, method: str = "auto") -> None:
        """Add layers to click into, the one for clicks inside of the structure selected.

        Parameters
        ----------
        image : napari.layers.Image or str, optional
            None: the active one, else the topmost that is visible.
        into : napari.layers.Labels or str, optional
            Layer whose selected label is meant. None: the active one if it is of the image, else
            the result, else the template.
        method : str
            The name of a SAM, or ``"random-walker"``: clicks correct the label by what the model
            says and by edges. ``"auto"``: a SAM whose weights are here, else the random walker.
        """
        image = self._view.image(image)
        method = self.methods[0] if method == "auto" else method
        if method != WALKER and method not in SAMS:
            raise UnknownNameError("method", method, [WALKER, *SAMS])
        into = self._layer_for(image, into)
        self.end()
        drawn = ClickLayers(self._view.viewer, image, into, method, self._state.level_of(image))
        self._drawn = drawn
        for emitter in self._followed(drawn):
            emitter.connect(self._on_clicked)
        drawn.choose("inside")
        self.changed.emit()

    def click(self, kind: str) -> None:
        """Select the layer for the next click: ``"inside"``, ``"outside"`` or ``"box"``."""
        drawn = self._begun()
        if kind == "box" and drawn.boxes is None:
            drawn.add_boxes().events.data.connect(self._on_clicked)
        if kind == "outside" and drawn.outside is None:
            drawn.add_outside().events.data.connect(self._on_clicked)
        drawn.choose(kind)

    def ask(self) -> Job:
        """Ask about the clicks on the slice in view; asked by itself after each click.

        ``Job.result`` are the choices.
        """
        drawn = self._begun()
        asked = self._asked(drawn)
        self._stop("there was another click")

        def work(job: Job) -> tuple[ClickChoice, ...]:
            return self._answers.to(asked, job)

        def done(found: tuple[ClickChoice, ...]) -> None:
            if self._drawn is drawn:
                drawn.asked, self.choices = asked, found
                self.choose(0)

        name = f"Looking at clicks on {drawn.image.name}"
        layers = [drawn.image, drawn.into]
        job = Job(name, "sam", work, Callbacks(done=done), layers=layers, stores_features=True)
        self._job = job
        return self._runner.start(job)

    def choose(self, number: int) -> None:
        """Show another choice."""
        if self.choices and not 0 <= number < len(self.choices):
            raise InputError("number", f"be within 0..{len(self.choices) - 1}", number)
        self.chosen = number
        self._show()
        self.changed.emit()

    def accept(self) -> int:
        """Paint the chosen mask with the label in hand, as one stroke; how many voxels it changes.

        The clicks are done with, and the next ones are for the next structure.
        """
        drawn = self._begun()
        if not self.choices or drawn.asked is None:
            raise InputError("clicks", "have an answer to accept", "none", "Click first.")
        choice, asked, layer = self.choices[self.chosen], drawn.asked, drawn.into
        if layer not in self._view.viewer.layers:
            raise InputError("into", "be in this viewer", layer.name, "Begin anew.")
        with layer.block_history():
            for mask, value in ((choice.added, asked.label), (choice.removed, 0)):
                if mask.any():
                    layer.data_setitem(asked.voxels(mask), value)
        self.clear()
        return int(choice.added.sum() + choice.removed.sum())

    def clear(self) -> None:
        """Take all clicks and boxes back."""
        drawn = self._begun()
        self._stop()
        for layer in drawn.clicked:
            with layer.events.data.blocker(self._on_clicked):
                layer.data = [] if layer is drawn.boxes else np.zeros((0, layer.ndim))
        self.choices, self.chosen, drawn.asked = (), 0, None
        self._show()
        self.changed.emit()

    def undo(self) -> None:
        """Take the last stroke in the layer that takes the paint back, as Ctrl+Z there does."""
        self._begun().into.undo()

    def close(self) -> None:
        """Follow no more clicks; the layers go with the viewer."""
        self._drawn = None
        self._answers.forget()
        if self._timer is not None:
            self._timer.stop()

    def end(self) -> None:
        """Remove the layers of clicks; what was accepted stays."""
        drawn, self._drawn = self._drawn, None
        if drawn is None:
            return
        self._stop()
        if self._timer is not None:
            self._timer.stop()
        layers = self._view.viewer.layers
        for emitter in self._followed(drawn):
            emitter.disconnect(self._on_clicked)
        for layer in drawn.layers:
            if layer in layers:
                layers.remove(layer)
        self.choices, self.chosen = (), 0
        self._answers.forget()
        if drawn.into in layers:
            layers.selection.active = drawn.into
        self.changed.emit()

    # What is asked

    def _begun(self) -> ClickLayers:
        if self._drawn is None:
            raise InputError("clicks", "have begun", "none", "Begin first.")
        return self._drawn

    def _layer_for(self, image: Any, into: Any) -> Any:
        """Labels layer that takes the paint."""
        if into is not None:
            return self._view.layer(into, ("labels",), "into")
        active = self._view.viewer.layers.selection.active
        mine = [one for one in self._state.labels_of(image) if one._type_string == "labels"]
        if active is not None and any(active is one for one in mine):
            return active
        result = self._state.result_of(image)
        if result is not None and result.labels is not None:
            return result.labels
        if mine:
            return mine[0]
        raise InputError("into", "be a labels layer of the image", "none", "Paint a slice first.")

    def _followed(self, drawn: ClickLayers) -> list[Any]:
        """What may change the answer: clicks, the label in hand, and the slice in view."""
        clicks = [layer.events.data for layer in drawn.clicked]
        label, step = drawn.into.events.selected_label, self._view.viewer.dims.events.current_step
        return [*clicks, label, step]

    def _stop(self, why: str = "") -> None:
        """Let the answer go that is looked for."""
        if self._job is not None and self.is_looking:
            self._job.cancel(why)

    def _asked(self, drawn: ClickLayers) -> Asked:
        """What there is on the slice in view of the image, frozen."""
        image, layer, settings = drawn.image, drawn.into, self._state.settings
        found = provenance_of(layer)
        slicing = self._view.slicing_of(image) if found is None else found.slicing
        index = self._view.slice_of(image)
        if index is None:
            raise InputError("slice", "be one of the image", "a place beyond it")
        lead, level = self._view.lead(image), self._state.level_of(image)
        # The model knows all channels; SAM looks at the image that is clicked on.
        read = self._state.channels.volume if drawn.method == WALKER else image_volume
        inside = self._places(drawn.inside, image, slicing, index)
        outside = self._places(drawn.outside, image, slicing, index)
        boxes = self._boxes(drawn, slicing, index)
        if not len(boxes) and not len(inside):
            raise InputError("clicks", "have one inside, or a box", "none", "Click into it.")
        label = int(layer.selected_label) or 1
        key = (*lead[len(lead) - slicing.leading :], index)
        return Asked(
            volume=read(image, lead, level),
            where=(id(image), lead, level),
            slicing=slicing,
            key=key,
            points=np.concatenate([inside, outside]),
            inside=np.repeat([True, False], [len(inside), len(outside)]),
            boxes=boxes,
            label=label,
            painted=np.asarray(slicing.plane(layer.data, key)) == label,
            method=drawn.method,
            sam_file=settings.sam_file(drawn.method),
            device=settings.device,
            config=settings.config,
            model=self._state.model,
        )

    def _places(self, clicks: Any, image: Any, slicing: Slicing, index: int) -> Array:
        """Points (N, D) of a layer (None: none) on a slice of the image, in its voxels."""
        if clicks is None:
            return np.zeros((0, slicing.spatial))
        lead, level = self._view.lead(image), self._state.level_of(image)
        places, here = placed_in(clicks, np.asarray(clicks.data, float), image, lead, level)
        if slicing.spatial == 3:
            here &= np.round(places[:, slicing.axis]) == index
        kept: Array = places[here]
        return kept

    def _boxes(self, drawn: ClickLayers, slicing: Slicing, index: int) -> Array:
        """Corners (M, 2, D) of the boxes on a slice of the image, in its voxels."""
        image, is_volume = drawn.image, slicing.spatial == 3
        found = []
        if drawn.boxes is not None:
            lead, level = self._view.lead(image), self._state.level_of(image)
            axis = slicing.axis if is_volume else 0
            given = boxes_in(
                drawn.boxes, image, axis=axis, here=index, label=1, lead=lead, level=level
            )
            on_slice = [one for one in given if not is_volume or round(one.first[axis]) == index]
            found = [(one.first, one.last) for one in on_slice]
        return np.array(found, float).reshape(-1, 2, slicing.spatial)

    # What is shown

    def _on_clicked(self, event: Any) -> None:
        if str(getattr(event, "action", "")).endswith("ing"):
            return  # it is not done yet
        if self._timer is None:
            self._timer = single_shot(_AFTER_CLICK_MS, self._ask_if_any)
        self._timer.start()

    def _ask_if_any(self) -> None:
        clicked = () if self._drawn is None else self._drawn.clicked
        if not self.choices and not any(len(layer.data) for layer in clicked):
            return
        try:
            self.ask()
        except InputError:  # all were taken away, or lie on other slices
            self._stop()
            self.choices, self.chosen = (), 0
            self._show()
            self.changed.emit()

    def _show(self) -> None:
        if self._drawn is not None:
            self._drawn.show(self.choices[self.chosen] if self.choices else None)

    def _end_if_gone(self) -> None:
        drawn = self._drawn
        if drawn is None:
            return
        layers = self._view.viewer.layers
        if any(one not in layers for one in (drawn.image, *drawn.clicked)):
            self.end()

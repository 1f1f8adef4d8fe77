"""Section "Refine" of the dock "Label propagation"."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...config import PromptConfig
from ...predict.refiners import AUTO, REFINERS
from ...sam.checkpoint import SAMS
from .parts.choices import WEIGHTS_FILES
from .parts.forms import ActionButton, Choice, Form, PathField, Section, row
from .parts.settings_form import SettingsForm

if TYPE_CHECKING:
    from .propagation import LabelPropagation

__all__ = ["RefineSection"]

AUTO_TIP = "A SAM whose weights are on this machine, else the random walker."


class RefineSection(Section):
    """Makes predicted labels more exact, and asks whether to keep what changed."""

    def __init__(self, dock: LabelPropagation) -> None:
        tip = "Labels drawn to the edges of the image, or prompts to SAM"
        super().__init__("Refine", tip)
        self._dock = dock
        methods = ((name, name, entry.summary) for name, entry in REFINERS.items())
        self.method = Choice([(AUTO, AUTO, AUTO_TIP), *methods])
        self.weights = PathField("fetched", WEIGHTS_FILES)
        names = ("strategy", "points", "negatives", "agreement")
        self.prompts = SettingsForm(PromptConfig, names)
        self.one = ActionButton("Refine slice", "Refine the slice in view.")
        self.all = ActionButton("Refine all", "Refine all predicted slices, from the one in view.")
        self.keep = ActionButton("Keep", "The refined labels are better: go on with them.")
        self.discard = ActionButton("Discard", "Bring back the labels from before.")
        self.form = Form()
        self.form.add("Method", self.method, "How labels are made more exact.")
        self.form.add("Weights", self.weights, "Local file of SAM's weights: the official .pth.")
        self.add(self.form, self.prompts, row(self.one, self.all), row(self.keep, self.discard))
        self.method.currentIndexChanged.connect(self.show_state)
        self.weights.changed.connect(
            lambda: dock.configure(sam_weights={self.method.value: self.weights.path})
        )
        self.prompts.changed.connect(
            lambda: dock.configure(propagation={"refinement": {"prompts": self.prompts.values()}})
        )
        self.one.clicked.connect(lambda: self._refine(current_slice_only=True))
        self.all.clicked.connect(lambda: self._refine(current_slice_only=False))
        self.keep.clicked.connect(lambda: self._end(dock.session.keep_refinement))
        self.discard.clicked.connect(lambda: self._end(dock.session.discard_refinement))

    def show_state(self, *_: object) -> None:
        """Show the session as it is now."""
        session, image, method = self._dock.session, self._dock.image.layer, self.method.value
        self.form.set_row_visible(self.weights, method in SAMS)
        self.prompts.setVisible(method != "random-walker")
        self.weights.show_path(session.settings.sam_file(method))
        self.prompts.show_values(session.settings.config.propagation.refinement.prompts)
        result = None if image is None else session.result_layer(image)
        self.all.block("" if result is not None else "propagate first")
        here = self._dock.slice_in_view
        predicted = here is not None and here.status == "predicted"
        self.one.block(self.all.reason or ("" if predicted else "this slice has no prediction"))
        waits = image is not None and session.can_discard_refinement(image)
        for button in (self.keep, self.discard):
            button.block("" if waits else "nothing was refined")

    def _refine(self, *, current_slice_only: bool) -> None:
        session, image = self._dock.session, self._dock.image.layer
        here = session.slice_in_view(image)
        slices = [here] if current_slice_only and here is not None else None
        self._dock.attempt(session.refine, image, method=self.method.value, slices=slices)

    def _end(self, act: Callable[[Any], object]) -> None:
        self._dock.attempt(act, self._dock.image.layer)
        self.show_state()

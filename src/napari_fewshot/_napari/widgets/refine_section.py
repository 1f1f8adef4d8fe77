"""Section "Refine" of the dock "Label propagation"."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker

from ...config import PromptConfig
from ...predict.refiners import AUTO, REFINERS
from ...sam.encoder import SAMS
from .parts.action_button import ActionButton
from .parts.backbone_choice import WEIGHTS_FILES
from .parts.forms import ElidingComboBox, Form, Section, row
from .parts.path_field import PathField
from .parts.settings_form import Setting, SettingsForm

if TYPE_CHECKING:
    from .propagation import LabelPropagation

__all__ = ["RefineSection"]

PROMPTS = (
    Setting("strategy", "Prompts", "What SAM gets for each label of a slice."),
    Setting("points", "Points", "Random pixels of the region."),
    Setting("negatives", "Negatives", "Points in other labels and in sure background."),
    Setting("agreement", "Agreement", "Least overlap of SAM's mask with the region.", 0.05),
)
AUTO_TIP = "A SAM whose weights are on this machine, else the random walker."


class RefineSection(Section):
    """Makes predicted labels more exact, and asks whether to keep what changed.

    Parameters
    ----------
    dock : LabelPropagation
        Whose image and session are used.
    """

    def __init__(self, dock: LabelPropagation) -> None:
        super().__init__("Refine", "Labels drawn to the edges of the image, or prompts to SAM")
        self._dock = dock
        self.method = ElidingComboBox()
        for name, tip in ((AUTO, AUTO_TIP), *((n, e.summary) for n, e in REFINERS.items())):
            self.method.addItem(name, name)
            self.method.setItemData(self.method.count() - 1, tip, 3)  # as a tooltip
        self.weights = PathField("fetched", WEIGHTS_FILES)
        self.prompts = SettingsForm(PromptConfig, PROMPTS)
        self.one = ActionButton("Refine slice", "Refine the slice in view.")
        self.all = ActionButton("Refine all", "Refine all predicted slices, from the one in view.")
        self.keep = ActionButton("Keep", "The refined labels are better: go on with them.")
        self.discard = ActionButton("Discard", "Bring back the labels from before.")
        self.form = Form()
        self.form.add("Method", self.method, "How labels are made more exact.")
        self.form.add("Weights", self.weights, "Local file of SAM's weights: the official .pth.")
        for part in (
            self.form,
            self.prompts,
            row(self.one, self.all),
            row(self.keep, self.discard),
        ):
            self.addWidget(part)
        self.method.currentIndexChanged.connect(self.show_state)
        self.weights.changed.connect(self._on_weights)
        self.prompts.changed.connect(self._on_prompts)
        self.one.clicked.connect(lambda: self._refine(alone=True))
        self.all.clicked.connect(lambda: self._refine(alone=False))
        self.keep.clicked.connect(lambda: self._end(dock.session.keep_refinement))
        self.discard.clicked.connect(lambda: self._end(dock.session.discard_refinement))

    def show_state(self, *_: object) -> None:
        """Show the session as it is now."""
        session, image = self._dock.session, self._dock.image.layer
        method = self._name
        self.form.set_row_visible(self.weights, method in SAMS)
        self.prompts.setVisible(method != "random-walker")
        self.weights.show_path(session.settings.sam_file(method))
        with QSignalBlocker(self.prompts):
            self.prompts.show_values(session.settings.config.propagation.refinement.prompts)
        result = None if image is None else session.result_layer(image)
        reason = "" if result is not None else "propagate first"
        self.all.block(reason)
        status = self._dock.status_in_view()
        self.one.block(reason or ("" if status == "predicted" else "this slice has no prediction"))
        waits = image is not None and session.can_discard_refinement(image)
        for button in (self.keep, self.discard):
            button.block("" if waits else "nothing was refined")

    @property
    def _name(self) -> str:
        return str(self.method.currentData())

    def _on_weights(self) -> None:
        files = {self._name: self.weights.path}
        self._dock.attempt(lambda: self._dock.session.configure(sam_weights=files))

    def _on_prompts(self) -> None:
        prompts = {"refinement": {"prompts": self.prompts.values()}}
        self._dock.attempt(lambda: self._dock.session.configure(propagation=prompts))

    def _refine(self, *, alone: bool) -> None:
        session, image = self._dock.session, self._dock.image.layer
        here = session.slice_in_view(image)
        slices = [here] if alone and here is not None else None
        self._dock.attempt(lambda: session.refine(image, method=self._name, slices=slices))

    def _end(self, act: Callable[[Any], object]) -> None:
        self._dock.attempt(lambda: act(self._dock.image.layer))
        self.show_state()

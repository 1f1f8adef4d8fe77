"""Dock "Segment with SAM": all objects of an image, or what is in boxes that somebody drew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QDoubleSpinBox, QSpinBox

from ...config import BOX_SAM, DEFAULT_SAM, AutomaticConfig
from ...sam.encoder import SAMS
from .dock import SessionDock, is_plain_image
from .parts.action_button import ActionButton
from .parts.backbone_choice import WEIGHTS_FILES
from .parts.forms import ElidingComboBox, Form, Section, note, row
from .parts.layer_choice import LayerChoice
from .parts.path_field import PathField
from .parts.settings_form import Setting, SettingsForm

if TYPE_CHECKING:
    from ..session import Job

__all__ = ["SegmentWithSam"]

EVERYTHING, BOXES = "everything", "boxes"
FILTERS = (
    Setting("points_per_side", "Points", "A grid of that many points along each side is asked."),
    Setting("iou", "Least IoU", "Masks that SAM holds for worse are dropped.", 0.02),
    Setting("stability", "Stability", "Masks with vague edges are dropped.", 0.01),
    Setting("on_top", "On top", "Which of two overlapping objects has what they share."),
)


class SegmentWithSam(SessionDock):
    """Segment without a template: objects between two limits of size, or what is in boxes.

    Parameters
    ----------
    napari_viewer : Viewer
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        defaults = AutomaticConfig()
        self.what = ElidingComboBox()
        self.what.addItem("all objects", EVERYTHING)
        self.what.addItem("what is in boxes", BOXES)
        self.image = LayerChoice(self.viewer, ["image"], prefer=is_plain_image)
        self.sam = ElidingComboBox()
        for name, sam in SAMS.items():
            self.sam.addItem(name, name)
            self.sam.setItemData(self.sam.count() - 1, sam.spec.summary, 3)  # as a tooltip
        self.weights = PathField("fetched", WEIGHTS_FILES)
        self.least, self.most = _share(defaults.min_area), _share(defaults.max_area)
        self.boxes = LayerChoice(self.viewer, ["shapes"])
        self.label = QSpinBox()
        self.label.setRange(0, 2**31 - 1)
        self.label.setSpecialValueText("one for each box")
        self.filters = SettingsForm(AutomaticConfig, FILTERS)
        self.one = ActionButton("Slice in view", "Segment the slice in view.")
        self.all = ActionButton("All slices", "Segment all slices, from the one in view.")
        form = self._form = Form()
        form.add("Segment", self.what, "All objects, or what is in boxes of a shapes layer.")
        form.add("Image", self.image, "Image to segment.")
        form.add("Boxes", self.boxes, "Shapes layer; each rectangle is asked for on its slice.")
        form.add("Label", self.label, "Of boxes whose layer has no feature named label.")
        form.add("Network", self.sam, "A SAM; its weights are fetched, or a local file.")
        form.add("Weights", self.weights, "Local file of SAM's weights: the official .pth.")
        area = "From 1 on in pixels, below 1 as a share of the slice."
        form.add("Smallest", self.least, f"Smaller objects are dropped. {area}")
        form.add("Largest", self.most, f"Larger ones are dropped, the background too. {area}")
        more = self._more = Section("Filters", "Which masks are objects")
        more.addWidget(self.filters)
        self.hint = note(
            "On a processor SAM takes 10 to 30 seconds to look at a slice, once; it is kept."
        )
        for part in (form, more, row(self.one, self.all), self.hint, self.progress, self.status):
            self.body.addWidget(part)
        self.what.currentIndexChanged.connect(self._on_what)
        self.image.chosen.connect(self.show_state)
        self.boxes.chosen.connect(self.show_state)
        self.sam.currentIndexChanged.connect(self.show_state)
        self.weights.changed.connect(self._on_weights)
        self.connections.add(self.viewer.dims.events.current_step, self._on_change)
        self.one.clicked.connect(lambda: self._start(alone=True))
        self.all.clicked.connect(lambda: self._start(alone=False))
        self._on_what()

    def shows_job(self, job: Job) -> bool:
        """Whether SAM segments without an adapter."""
        return job.stage == "sam"

    def show_state(self, *_: object) -> None:
        """Show the session as it is now."""
        self.weights.show_path(self.session.settings.sam_file(self._name))
        image = self.image.layer
        missing = "" if image is not None else "open an image"
        if not missing and self._in_boxes and self.boxes.layer is None:
            missing = "make a shapes layer and draw a rectangle"
        self.all.block(missing)
        shown = image is not None and self.session.slice_in_view(image) is not None
        self.one.block(self.all.reason or ("" if shown else "show a slice of the image"))

    def _on_weights(self) -> None:
        files = {self._name: self.weights.path}
        self.attempt(lambda: self.session.configure(sam_weights=files))

    @property
    def _name(self) -> str:
        return str(self.sam.currentData())

    @property
    def _in_boxes(self) -> bool:
        return bool(self.what.currentData() == BOXES)

    def _on_what(self) -> None:
        boxes = self._in_boxes
        for field in (self.boxes, self.label):
            self._form.set_row_visible(field, boxes)
        for field in (self.least, self.most):
            self._form.set_row_visible(field, not boxes)
        self._more.setVisible(not boxes)
        self.sam.setCurrentIndex(self.sam.findData(BOX_SAM if boxes else DEFAULT_SAM))
        self.show_state()

    def _start(self, *, alone: bool) -> None:
        here = self.session.slice_in_view(self.image.layer)
        slices = [here] if alone and here is not None else None
        self.attempt(lambda: self._segment(slices))

    def _segment(self, slices: list[int] | None) -> Job:
        sam = self._name
        if self._in_boxes:
            return self.session.segment_boxes(
                self.boxes.layer,
                self.image.layer,
                sam=sam,
                label=self.label.value() or None,
                slices=slices,
            )
        return self.session.segment_everything(
            self.image.layer,
            sam=sam,
            slices=slices,
            min_area=self.least.value(),
            max_area=self.most.value(),
            **self.filters.values(),
        )


def _share(value: float | None) -> QDoubleSpinBox:
    """Field for an area."""
    field = QDoubleSpinBox()
    field.setDecimals(3)
    field.setRange(0.001, 1e7)
    field.setValue(value or 1e7)
    field.setKeyboardTracking(False)
    return field

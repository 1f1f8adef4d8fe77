"""Dock "Segment with SAM": all objects, what is in boxes, like the templates, or clicked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtWidgets import QDoubleSpinBox, QSpinBox

from ...config import BOX_SAM, DEFAULT_SAM, AutomaticConfig
from ...sam.checkpoint import SAMS
from ..session import Job
from .dock import SessionDock, is_plain_image
from .parts.choices import WEIGHTS_FILES, LayerChoice
from .parts.clicks import ClickPanel
from .parts.connections import listen
from .parts.forms import ActionButton, Choice, Form, Note, PathField, Section, row
from .parts.settings_form import SettingsForm

__all__ = ["SegmentWithSam"]

EVERYTHING, BOXES, LIKE = "everything", "boxes", "like"
FILTERS = ("points_per_side", "iou", "stability", "on_top")
LARGEST = 1e7


class SegmentWithSam(SessionDock):
    """Segment without a template: objects between two limits of size, or what is in boxes."""

    stages = ("sam",)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.what = Choice(
            (
                ("all objects", EVERYTHING, ""),
                ("what is in boxes", BOXES, ""),
                ("what the templates show", LIKE, "PerSAM: one painted slice is enough."),
            )
        )
        self.image = LayerChoice(self.viewer, ["image"], prefer=is_plain_image)
        self.boxes = LayerChoice(self.viewer, ["shapes"])
        self.label = QSpinBox()
        self.label.setRange(0, 2**31 - 1)
        self.label.setSpecialValueText("one for each box")
        self.sam = Choice((name, name, sam.spec.summary) for name, sam in SAMS.items())
        self.weights = PathField("fetched", WEIGHTS_FILES)
        defaults = AutomaticConfig()
        self.min_area, self.max_area = _area(defaults.min_area), _area(defaults.max_area)
        self.filters = SettingsForm(AutomaticConfig, FILTERS)
        self.one = ActionButton("Slice in view", "Segment the slice in view.")
        self.all = ActionButton("All slices", "Segment all slices, from the one in view.")
        self.form = Form()
        self._more = Section("Filters", "Which masks are objects", self.filters)
        self.clicks = ClickPanel(self.session, lambda: self.image.layer, self.attempt)
        self._fill()
        self._connect()
        self._on_what()

    def _fill(self) -> None:
        form = self.form
        form.add("Segment", self.what, "All objects, or what is in boxes of a shapes layer.")
        form.add("Image", self.image, "Image to segment.")
        form.add("Boxes", self.boxes, "Shapes layer; each rectangle is asked for on its slice.")
        form.add("Label", self.label, "Of boxes whose layer has no feature named label.")
        form.add("Network", self.sam, "A SAM; its weights are fetched, or a local file.")
        form.add("Weights", self.weights, "Local file of SAM's weights: the official .pth.")
        area = "From 1 on in pixels, below 1 as a share of the slice."
        form.add("Smallest", self.min_area, f"Smaller objects are dropped. {area}")
        form.add("Largest", self.max_area, f"Larger ones are dropped, the background too. {area}")
        hint = Note(
            "On a processor SAM takes 10 to 30 seconds to look at a slice, once; it is kept."
        )
        clicked = Section("Clicks", "Masks of what you click on, to choose from", self.clicks)
        found = row(self.one, self.all)
        self.add(form, self._more, found, clicked, hint, self.progress, self.status)

    def _connect(self) -> None:
        self.what.currentIndexChanged.connect(self._on_what)
        for changed in (self.image.chosen, self.boxes.chosen, self.sam.currentIndexChanged):
            changed.connect(self.show_state)
        self.weights.changed.connect(
            lambda: self.configure(sam_weights={self.sam.value: self.weights.path})
        )
        listen(self, self.viewer.dims.events.current_step, self.show_soon)
        self.one.clicked.connect(lambda: self._start(current_slice_only=True))
        self.all.clicked.connect(lambda: self._start(current_slice_only=False))

    def show_state(self, *_: object) -> None:
        """Show the session as it is now."""
        self.weights.show_path(self.session.settings.sam_file(self.sam.value))
        image = self.image.layer
        missing = "" if image is not None else "open an image"
        if not missing and self.what.value == BOXES and self.boxes.layer is None:
            missing = "make a shapes layer and draw a rectangle"
        if not missing and self.what.value == LIKE and not self.session.templates:
            missing = "add a template in Feature extraction"
        self.all.block(missing)
        shown = image is not None and self.session.slice_in_view(image) is not None
        self.one.block(missing or ("" if shown else "show a slice of the image"))

    def _on_what(self) -> None:
        boxes, everything = (self.what.value == one for one in (BOXES, EVERYTHING))
        for field in (self.boxes, self.label):
            self.form.set_row_visible(field, boxes)
        for field in (self.min_area, self.max_area):
            self.form.set_row_visible(field, everything)
        self._more.setVisible(everything)
        self.sam.choose(BOX_SAM if boxes else DEFAULT_SAM)
        self.show_state()

    def _start(self, *, current_slice_only: bool) -> None:
        image, sam = self.image.layer, self.sam.value
        here = self.session.slice_in_view(image)
        slices = [here] if current_slice_only and here is not None else None
        act: Callable[..., Job]
        if self.what.value == LIKE:
            act = self.session.segment_like
        elif self.what.value == BOXES:
            act = partial(
                self.session.segment_boxes, self.boxes.layer, label=self.label.value() or None
            )
        else:
            areas = {"min_area": self.min_area.value(), "max_area": self.max_area.value()}
            act = partial(self.session.segment_everything, **areas, **self.filters.values())
        self.attempt(act, image=image, sam=sam, slices=slices)


def _area(value: float | None) -> QDoubleSpinBox:
    """Field for an area; None: no limit."""
    field = QDoubleSpinBox()
    field.setDecimals(3)
    field.setRange(0.001, LARGEST)
    field.setValue(value or LARGEST)
    field.setKeyboardTracking(False)
    return field

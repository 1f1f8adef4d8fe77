"""Dock "Feature extraction": images, backbone, templates, and their features."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker

from ...config import IntensityConfig
from ..session import is_result
from .dock import SessionDock, is_plain_image
from .parts.action_button import ActionButton
from .parts.axis_choice import AxisChoice
from .parts.backbone_choice import BackboneChoice
from .parts.forms import ElidingComboBox, Form, Section, note
from .parts.layer_choice import LayerChoice
from .parts.settings_form import Setting, SettingsForm
from .parts.template_list import TemplateList
from .parts.words import estimate

if TYPE_CHECKING:
    from napari.layers import Layer

    from ..session import Job, TemplateEntry

__all__ = ["FeatureExtraction"]

PAINT = (("dense", "dense"), ("scribbles", "scribble"))
POINTS = (("points (landmarks)", "points"),)
INTENSITY = (
    Setting(
        "mode",
        "Range",
        "percentile: of the grey values of each volume.\n"
        "window: fixed values, as for CT (soft tissue: -160 to 240 HU).",
    ),
    Setting("low", "Black", "Percentile, or grey value, that becomes black.", 1.0),
    Setting("high", "White", "Percentile, or grey value, that becomes white.", 1.0),
)
SOFT_TISSUE = {"low": -160.0, "high": 240.0}
"""Window of CT in HU to begin with."""
PERCENTILES = {name: getattr(IntensityConfig(), name) for name in ("low", "high")}
DEVICES = ("auto", "cpu", "mps") if sys.platform == "darwin" else ("auto", "cpu", "cuda")


def _painted_by_hand(layer: Layer) -> bool:
    """Whether a layer may be a template: seen, and not what a model made.

    Points are offered, but labels come first: a sample has both.
    """
    return bool(layer.visible) and not is_result(layer) and layer._type_string == "labels"


class FeatureExtraction(SessionDock):
    """First step: what to learn from, and the network whose features it is learned in.

    Parameters
    ----------
    napari_viewer : Viewer
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.image = LayerChoice(self.viewer, ["image"], prefer=is_plain_image)
        self.labels = LayerChoice(self.viewer, ["labels", "points"], prefer=_painted_by_hand)
        self.kind = ElidingComboBox()
        self.axis = AxisChoice()
        self.templates = TemplateList()
        self.backbone = BackboneChoice()
        self.device = ElidingComboBox()
        self.intensity = SettingsForm(IntensityConfig, INTENSITY)
        self.extract = ActionButton(
            "Extract features",
            "Run the backbone over the templates and the image in view.\n"
            "Kept on disk: later training and propagation start at once.",
        )
        self.cost = note()
        self._fill()
        self._connect()
        self.show_state()

    def shows_job(self, job: Job) -> bool:
        """Whether it is an extraction."""
        return job.stage in ("extract",)

    def show_state(self) -> None:
        """Show the session as it is now."""
        settings = self.session.settings
        self.backbone.show_choice(settings.backbone, settings.weights)
        self.device.setCurrentText(settings.device)
        self.intensity.show_values(settings.config.intensity)
        self._show_kinds(settings.template_kind)
        self._show_axes()
        self._show_templates()
        self._show_actions()

    def _fill(self) -> None:
        self.device.addItems(DEVICES)
        form = Form()
        form.add("Image", self.image, "Image that the labels belong to.")
        form.add(
            "Labels",
            self.labels,
            "Labels painted on some slices, or points that mark landmarks\n"
            "(named by a feature column of the layer).",
        )
        form.add(
            "Painted as",
            self.kind,
            "dense: on painted slices all that is not painted is background.\n"
            "scribbles: only painted pixels are known.\n"
            "points: each is a landmark.",
        )
        form.add("Axis", self.axis, "Axis along which slices are painted and predicted.")
        self.body.addWidget(form)
        self.body.addWidget(self.templates)
        network = Section("Network", "Backbone and device", unfolded=True)
        network.addWidget(self.backbone)
        device = Form()
        device.add("Device", self.device, "auto: the graphics card if there is one.")
        network.addWidget(device)
        self.body.addWidget(network)
        grey = Section("Grey values", "What becomes black and white")
        grey.addWidget(self.intensity)
        self.body.addWidget(grey)
        for widget in (self.extract, self.cost, self.progress, self.status):
            self.body.addWidget(widget)

    def _connect(self) -> None:
        configure = self.session.configure
        self.image.chosen.connect(self.show_state)
        self.labels.chosen.connect(self.show_state)
        self.kind.activated.connect(
            lambda _: (
                self.kind.currentData() == "points"  # no choice: the layer says it
                or self.attempt(lambda: configure(template_kind=self.kind.currentData()))
            )
        )
        self.axis.changed.connect(lambda: self.attempt(lambda: configure(axis=self.axis.axis)))
        self.device.activated.connect(
            lambda _: self.attempt(lambda: configure(device=self.device.currentText()))
        )
        self.backbone.changed.connect(self._on_backbone)
        self.intensity.changed.connect(self._on_intensity)
        self.templates.adding.connect(self._on_add)
        self.templates.removing.connect(
            lambda entry: self.attempt(lambda: self.session.remove_template(entry))
        )
        self.extract.clicked.connect(self._on_extract)
        self.connections.add(self.viewer.dims.events.order, self._on_dims)

    def _on_intensity(self) -> None:
        values = self.intensity.values()
        if values["mode"] != self.session.settings.config.intensity.mode:
            # Percentiles make no window, nor the other way round.
            values |= SOFT_TISSUE if values["mode"] == "window" else PERCENTILES
        self.attempt(lambda: self.session.configure(intensity=values))

    def _on_dims(self, event: Any) -> None:
        self._show_axes()

    def _on_backbone(self) -> None:
        name, weights = self.backbone.name, self.backbone.weights_file
        if self.backbone.problem:
            self._show_actions()
            return
        self.attempt(lambda: self.session.configure(backbone=name, weights=weights))

    def _on_add(self) -> TemplateEntry | None:
        return self.attempt(lambda: self.session.add_template(self.image.layer, self.labels.layer))

    def _on_extract(self) -> None:
        # A newcomer goes from top to bottom: what is chosen above is meant as the template.
        if not self.session.templates and self._on_add() is None:
            return
        self.attempt(lambda: self.session.extract(self.image.layer))

    def _show_axes(self) -> None:
        image = self.image.layer
        if image is None:
            self.axis.show_axes((), None, None)
            return
        names = self.session.axis_names(image)
        self.axis.show_axes(names, self.session.settings.axis, self.session.sliced_axis(image))

    def _show_kinds(self, kind: str) -> None:
        labels = self.labels.layer
        points = labels is not None and labels._type_string == "points"
        with QSignalBlocker(self.kind):
            self.kind.clear()
            for text, value in POINTS if points else PAINT:
                self.kind.addItem(text, value)
            self.kind.setCurrentIndex(max(self.kind.findData(kind), 0))

    def _show_templates(self) -> None:
        self.templates.show_templates(
            [(entry, str(entry), entry.about) for entry in self.session.templates]
        )

    def _show_actions(self) -> None:
        image, labels = self.image.layer, self.labels.layer
        missing = "open an image" if image is None else ""
        if labels is None:
            missing = missing or "add a Labels layer and paint a slice, or a Points layer"
        self.templates.add.block(missing)
        blocked = missing if not self.session.templates else ""
        self.extract.block(blocked or self.backbone.problem)
        cost = self.session.estimate("extract", image) if self.session.templates else None
        text = estimate(cost.seconds, cost.megabytes) if cost is not None else ""
        self.cost.setText(f"First: {self.extract.reason}." if self.extract.reason else text)
        self.cost.setVisible(bool(self.cost.text()))

"""Dock "Feature extraction": images, backbone, templates, and their features."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ..session import is_result
from ..session.landmarks import drawn_names, give_name, given_names, problem_of_points
from .dock import SessionDock, is_plain_image
from .parts.choices import AxisChoice, BackboneChoice, LayerChoice
from .parts.connections import listen
from .parts.finetuning import FinetuneSection
from .parts.forms import ActionButton, Choice, Form, Note, Section
from .parts.grey_values import GreyValues
from .parts.instances import InstancesNote
from .parts.landmarks import LandmarkTable
from .parts.tables import TemplateList

if TYPE_CHECKING:
    from napari.layers import Layer

    from ..session import TemplateEntry

__all__ = ["FeatureExtraction"]

PAINT = (("dense", "dense", ""), ("scribbles", "scribble", ""))
POINTS = (("points (landmarks)", "points", ""),)
DEVICES = ("auto", "cpu", "mps") if sys.platform == "darwin" else ("auto", "cpu", "cuda")


class FeatureExtraction(SessionDock):
    """First step: what to learn from, and the network whose features it is learned in."""

    stages = ("extract", "restore")
    resumes = True

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.image = LayerChoice(self.viewer, ["image"], prefer=is_plain_image)
        self.labels = LayerChoice(self.viewer, ["labels", "points"], prefer=self._is_of_image)
        self.kind = Choice()
        self.doubt = Note()
        self.points = LandmarkTable()
        self.axis = AxisChoice()
        self.templates = TemplateList()
        self.instances = InstancesNote()
        self.backbone = BackboneChoice()
        self.device = Choice((name, name, "") for name in DEVICES)
        self.intensity = GreyValues(self)
        self.finetuning = FinetuneSection(self.session)
        self.extract = ActionButton(
            "Extract features",
            "Optional: training and propagation do it too. Run the backbone over the templates\n"
            "and the image in view now, so that later work starts at once.",
        )
        self._fill()
        self._connect()
        self.show_state()

    def show_state(self) -> None:
        """Show the session as it is now."""
        settings = self.session.settings
        self.backbone.show_choice(settings.backbone, settings.weights)
        self.device.show_value(settings.device)
        self.intensity.show_values(settings.config.intensity)
        labels = self.labels.layer
        points = labels is not None and labels._type_string == "points"
        chosen = self._chosen_template()
        kind = settings.template_kind if chosen is None else chosen.kind
        self.kind.offer(POINTS if points else PAINT, kind)
        self._show_doubt()
        self._show_points(chosen)
        self._show_axes()
        self.instances.keep_among(self.session.templates)
        self.templates.show_templates([(x, str(x), x.about) for x in self.session.templates])
        self.finetuning.show_state()
        self._show_actions()

    def _fill(self) -> None:
        form = Form()
        form.add("Image", self.image, "Image that the labels belong to.")
        form.add(
            "Labels",
            self.labels,
            "Labels painted on some slices, or points that mark landmarks.",
        )
        form.add_wide(self.doubt)
        form.add_wide(self.points)
        form.add(
            "Painted as",
            self.kind,
            "dense: on painted slices all that is not painted is background.\n"
            "scribbles: only painted pixels are known.\n"
            "points: each is a landmark.\n"
            "Of a template that was added already, it counts from now on.",
        )
        form.add("Axis", self.axis, "Axis along which slices are painted and predicted.")
        device = Form()
        device.add("Device", self.device, "auto: the graphics card if there is one.")
        self.add(
            form,
            self.templates,
            self.instances,
            Section("Network", "Backbone and device", self.backbone, device, unfolded=True),
            Section("Grey values", "What becomes black and white", self.intensity),
            self.finetuning,
            *(self.extract, self.cost, self.progress, self.status),
        )

    def _connect(self) -> None:
        self.image.chosen.connect(self._on_image)
        self.labels.chosen.connect(self.show_state)
        self.kind.activated.connect(self._on_kind)
        self.points.named.connect(self._on_named)
        self.axis.activated.connect(lambda _: self.configure(axis=self.axis.value))
        self.device.activated.connect(lambda _: self.configure(device=self.device.value))
        self.backbone.changed.connect(self._on_backbone)
        self.templates.adding.connect(self._on_add)
        self.instances.wanted.connect(self._on_one_class)
        self.templates.removing.connect(
            lambda entry: self.attempt(self.session.remove_template, entry)
        )
        self.extract.clicked.connect(self._on_extract)
        self.finetuning.said.connect(lambda text: self.say(text, wrong=True))
        listen(self, self.viewer.dims.events.order, self._show_axes)

    def _on_image(self) -> None:
        self.labels.refresh()  # those of this image come first
        self.show_state()

    def _on_kind(self) -> None:
        chosen = self._chosen_template()
        if self.kind.value == "points":  # no choice: the layer says it
            return
        if chosen is None:
            self.configure(template_kind=self.kind.value)
        else:
            self.attempt(self.session.retype_template, chosen, self.kind.value)

    def _chosen_template(self) -> TemplateEntry | None:
        """The template of the chosen layers, if they were added."""
        pair = self.image.layer, self.labels.layer
        found = (x for x in self.session.templates if (x.image, x.labels) == pair)
        return next(found, None)

    def _show_points(self, chosen: TemplateEntry | None) -> None:
        """Points of the chosen template, with their names, and what is wrong with them."""
        if chosen is None or chosen.kind != "points":
            self.points.show_points((), ())
            return
        entries, layer = self.session.templates, chosen.labels
        names, problem = given_names(layer), problem_of_points(entries)
        try:
            drawn = drawn_names(entries, layer)
        except InputError:  # what the problem is about
            drawn = [""] * len(names)
        self.points.show_points(drawn, names, problem)

    def _on_named(self, row: int, name: str) -> None:
        chosen = self._chosen_template()
        if chosen is not None and row < len(chosen.labels.data):
            give_name(chosen.labels, row, name)

    def _show_doubt(self) -> None:
        image, labels = self.image.layer, self.labels.layer
        there = image is not None and labels is not None
        self.doubt.say(self.session.doubt(image, labels) if there else "")

    def _is_of_image(self, layer: Layer) -> bool:
        """Whether a layer may be a template of the chosen image: seen, and made by a person.

        Points are offered, but labels come first: a sample has both.
        """
        by_hand = layer.visible and not is_result(layer) and layer._type_string == "labels"
        image = self.image.layer
        return by_hand and (image is None or not self.session.doubt(image, layer))

    def _on_backbone(self) -> None:
        if self.backbone.problem:
            self._show_actions()
            return
        self.configure(backbone=self.backbone.name, weights=self.backbone.weights_file)

    def _on_add(self) -> TemplateEntry | None:
        entry = self.attempt(self.session.add_template, self.image.layer, self.labels.layer)
        if entry is not None:
            self.instances.show_entry(entry, self.session.objects.count_instances(entry))
        return entry

    def _on_one_class(self, entry: TemplateEntry) -> None:
        found = self.attempt(self.session.objects.learn_as_one_class, entry)
        if found is not None:
            self.labels.choose(found.labels)

    def _on_extract(self) -> None:
        # A newcomer goes from top to bottom: what is chosen above is meant as the template.
        if not self.session.templates and self._on_add() is None:
            return
        self.attempt(self.session.extract, self.image.layer)

    def _show_axes(self, *_: object) -> None:
        image, session = self.image.layer, self.session
        if image is None:
            self.axis.show_axes((), None, None)
            return
        names, sliced = session.axis_names(image), session.sliced_axis(image)
        self.axis.show_axes(names, session.settings.axis, sliced)

    def _show_actions(self) -> None:
        image, templates = self.image.layer, self.session.templates
        missing = "open an image" if image is None else ""
        if self.labels.layer is None:
            missing = missing or "add a Labels layer and paint a slice, or a Points layer"
        self.templates.add.block(missing)
        self.extract.block(("" if templates else missing) or self.backbone.problem)
        done = self.progress.isVisibleTo(self)
        self.show_cost(self.extract, "extract" if templates and not done else None, image)
        if self.cost.text() and not self.extract.reason:
            self.cost.say(f"{self.cost.text()} Optional: Train and Propagate do it, too.")

"""Dock "Label propagation": labels for all slices, the loop of corrections, and refinement."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox

from ...config import CleanupConfig, PromptConfig
from ...predict.refiners import AUTO, REFINERS
from ...sam.checkpoint import SAMS
from ..session.autosave.folder import holds_session
from .dock import SessionDock, is_plain_image
from .parts.choices import WEIGHTS_FILES, LayerChoice
from .parts.connections import listen
from .parts.correcting import CorrectSection
from .parts.forms import ActionButton, Choice, Form, Note, PathField, Section, row
from .parts.settings_form import SettingsForm

if TYPE_CHECKING:
    from ..session import SliceInfo

__all__ = ["LabelPropagation"]

ALL_PLANES_TIP = """Learn the two other planes of the volume from what is found along the painted \
one, and average all three.
Fewer errors where slices lie close together. It takes as long as training and two more \
propagations; the painted plane is shown until then."""
AUTO_TIP = "A SAM whose weights are on this machine, else the random walker."
POLICIES = (
    ("fill empty voxels", "fill", "Only voxels without a label are written."),
    ("replace predictions", "overwrite", "Earlier predictions are replaced; paint is kept."),
)


class RefineSection(Section):
    """Makes predicted labels of an image more exact, and asks whether to keep what changed."""

    def __init__(self, dock: SessionDock, image: LayerChoice) -> None:
        tip = "Labels drawn to the edges of the image, or prompts to SAM"
        super().__init__("Refine", tip)
        self._dock, self._image = dock, image
        self._here: SliceInfo | None = None
        self._shown: str | None = None  # method of the settings
        methods = ((name, name, entry.summary) for name, entry in REFINERS.items())
        self.method = Choice([(AUTO, AUTO, AUTO_TIP), *methods])
        self.weights = PathField("fetched", WEIGHTS_FILES)
        names = ("strategy", "points", "negatives", "choice", "agreement")
        self.prompts = SettingsForm(PromptConfig, names)
        self.one = ActionButton("Refine slice", "Refine the slice in view.")
        self.all = ActionButton("Refine all", "Refine all predicted slices, from the one in view.")
        self.keep = ActionButton("Keep", "The refined labels are better: go on with them.")
        self.discard = ActionButton("Discard", "Bring back the labels from before.")
        self.form = Form()
        self.form.add("Method", self.method, "How labels are made more exact.")
        self.form.add("Weights", self.weights, "Local file of SAM's weights: the official .pth.")
        self.add(self.form, self.prompts, row(self.one, self.all), row(self.keep, self.discard))
        self.method.currentIndexChanged.connect(self._on_method)
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

    def show_state(self, here: SliceInfo | None) -> None:
        """Show the session as it is now, with the slice in view."""
        self._here = here
        session, image = self._dock.session, self._image.layer
        wanted = session.settings.config.propagation.refinement.method
        if wanted != self._shown:  # a preset, a model or a script chose it
            self._shown = wanted
            if wanted is not None:
                self.method.show_value(wanted)
        method = self.method.value
        self.form.set_row_visible(self.weights, method in SAMS)
        self.prompts.setVisible(method != "random-walker")
        self.weights.show_path(session.settings.sam_file(method))
        self.prompts.show_values(session.settings.config.propagation.refinement.prompts)
        result = None if image is None else session.result_layer(image)
        self.all.block("" if result is not None else "propagate first")
        predicted = here is not None and here.status == "predicted"
        self.one.block(self.all.reason or ("" if predicted else "this slice has no prediction"))
        waits = image is not None and session.can_discard_refinement(image)
        for button in (self.keep, self.discard):
            button.block("" if waits else "nothing was refined")

    def _on_method(self, _: int) -> None:
        if self._shown is not None:  # propagation is refined: by this one from now on
            self.refine_afterwards(True)
        self.show_state(self._here)

    def refine_afterwards(self, on: bool) -> None:
        """Refine whatever is propagated from now on, or leave it as it is."""
        method = self.method.value if on else None
        self._dock.configure(propagation={"refinement": {"method": method}})

    def _refine(self, *, current_slice_only: bool) -> None:
        session, image = self._dock.session, self._image.layer
        here = session.slice_in_view(image)
        slices = [here] if current_slice_only and here is not None else None
        self._dock.attempt(session.refine, image, method=self.method.value, slices=slices)

    def _end(self, act: Callable[[Any], object]) -> None:
        self._dock.attempt(act, self._image.layer)
        self.show_state(self._here)


class LabelPropagation(SessionDock):
    """Third step: labels for the whole image, then correct, update, and paint where it helps."""

    stages = ("propagate", "update", "refine", "restore")
    resumes = True

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.image = LayerChoice(self.viewer, ["image"], prefer=is_plain_image)
        self.into = LayerChoice(self.viewer, ["labels"], none="a new layer")
        self.policy = Choice(POLICIES)
        self.form = Form()
        self.owner = Note()
        self.changed = Note()
        self.confidence = QCheckBox("Confidence")
        self.landmarks = QCheckBox("Landmarks")
        self.refined = QCheckBox("Refine")
        self.all_planes = QCheckBox("All planes")
        self.cleanup = SettingsForm(CleanupConfig, ("min_fraction", "min_size", "dimensions"))
        self.propagate = ActionButton("Propagate", "Predict labels for all slices of the image.")
        self.correct = CorrectSection(self, "Correct and improve", lambda: self.image.layer)
        self.refine = RefineSection(self, self.image)
        self.folder = PathField("off until the first result")
        self.save_now = ActionButton("Save now", "Write templates and results to the folder.")
        self.restore = ActionButton("Restore", "Open what was saved in the folder.")
        self._chosen: tuple[Any] | None = None  # layer (None: a new one) chosen for this image
        self._followed: Any = None  # layer that was shown last
        self._fill()
        self._connect()
        self.correct.expand(animate=False)
        self.show_state()

    def _fill(self) -> None:
        self.form.add("Image", self.image, "Image to label; it may be another than the template's.")
        self.form.add(
            "Into",
            self.into,
            "Labels layer that takes the result.\n"
            "It follows the image: its own result, or a new layer if it has none.",
        )
        self.form.add(
            "Existing",
            self.policy,
            "What becomes of labels that are there. Painted and reviewed slices always stay.",
        )
        self.confidence.setToolTip("Image layer of the probability of the label, 0 to 1.")
        self.landmarks.setToolTip("Points layer of the best places of each label, with scores.")
        self.refined.setToolTip("Refine the labels afterwards, by the method chosen in Refine.")
        self.all_planes.setToolTip(ALL_PLANES_TIP)
        for box in (self.confidence, self.landmarks):
            box.setChecked(True)
        folder = Form()
        folder.add("Folder", self.folder, "Templates and results are kept here as they change.")
        self.add(
            *(self.form, self.owner, row(self.confidence, self.landmarks)),
            row(self.refined, self.all_planes),
            Section("Clean up", "Connected parts of each label", self.cleanup),
            *(self.changed, self.propagate, self.cost, self.progress),
            self.correct,
            self.refine,
            Section(
                "Autosave",
                "Templates and results in a folder",
                *(folder, row(self.save_now, self.restore)),
            ),
            self.status,
        )

    def _connect(self) -> None:
        session = self.session
        self.image.chosen.connect(self._on_image)
        self.into.chosen.connect(self._on_into)
        self.policy.currentIndexChanged.connect(self._show_target)
        self.cleanup.changed.connect(
            lambda: self.configure(propagation={"cleanup": self.cleanup.values()})
        )
        self.refined.clicked.connect(self.refine.refine_afterwards)
        self.propagate.clicked.connect(self._on_propagate)
        self.folder.changed.connect(self._on_folder)
        self.save_now.clicked.connect(lambda: self.attempt(session.save))
        self.restore.clicked.connect(
            lambda: self.attempt(session.restore, session.latest_autosave(self.image.layer))
        )
        events = session.events
        active = self.viewer.layers.selection.events.active
        for emitter in (events.slices, events.trained, events.propagated, active):
            listen(self, emitter, self.show_soon)
        listen(self, self.viewer.dims.events.current_step, self._show_current)

    # What is shown

    def show_state(self) -> None:
        """Show the session as it is now."""
        session, image = self.session, self.image.layer
        self._follow_image()
        self._show_target()
        settings = session.settings.config.propagation
        self.cleanup.show_values(settings.cleanup)
        self.refined.setChecked(settings.refinement.method is not None)
        no_image = "open an image" if image is None else ""
        trained = session.model is not None
        untrained = "" if trained else "train a model, or load one, in Adapter training"
        self.propagate.block(no_image or untrained)
        done = image is not None and session.result_layer(image) is not None
        done = done and not session.outdated
        self.show_cost(self.propagate, None if done else "propagate", image)
        self.changed.say(self.of_outdated("Train again, or Update,"))
        untaught = "" if session.templates else "add a template in Feature extraction"
        untrained = "" if trained else "train a model in Adapter training"
        self.correct.show_state(no_image or untaught or untrained)
        folder = session.autosave_folder
        self.folder.show_path(folder)
        self.save_now.block("" if folder else "choose a folder")
        saved = session.latest_autosave(image) is not None
        self.restore.block("" if saved else "nothing is saved yet for this image")
        self._show_current()

    def _show_target(self, *_: object) -> None:
        self.form.set_row_visible(self.policy, self.into.layer is not None)
        self.owner.say(self._whose())
        self.all_planes.setVisible(self._has_planes())

    def _has_planes(self) -> bool:
        """Whether all planes of the image can take part in what is asked for."""
        image, model = self.image.layer, self.session.model
        is_flat = image is not None and len(self.session.axis_names(image)) < 3
        replaces = self.into.layer is None or self.policy.value == "overwrite"
        return replaces and not is_flat and (model is None or model.fuses_planes_)

    def _show_current(self, *_: object) -> None:
        self.refine.show_state(self.correct.here)

    def _whose(self) -> str:
        """What becomes of another image's labels in the layer that is chosen."""
        into = self.into.layer
        owner = "" if into is None else self.session.owner_of(into, self.image.layer)
        if into is None or not owner:
            return ""
        act = "replaced" if self.policy.value == "overwrite" else "filled up"
        return f"“{into.name}” holds labels of “{owner}”. They would be {act}."

    # What a person does

    def _on_image(self) -> None:
        self._chosen = None
        self.show_state()

    def _on_into(self) -> None:
        """Somebody chose a layer, unless this dock did, or the one before is gone."""
        before, layer = self._followed, self.into.layer
        if layer is not before:
            self._followed = layer
            gone = before is not None and before not in self.viewer.layers
            self._chosen = None if gone else (layer,)
        self._show_target()

    def _follow_image(self) -> None:
        """Write to the result of the image, or to a new layer, unless somebody chose another."""
        image = self.image.layer
        result = None if image is None else self.session.result_layer(image)
        if self._chosen is not None or self.into.layer is result:
            return
        self._followed = result
        if self.into.choose(result) and result is not None:
            self.policy.choose("overwrite")

    def _on_propagate(self) -> None:
        into, model = self.into.layer, self.session.model
        job = self.attempt(
            self.session.propagate,
            self.image.layer,
            into=into,
            policy="new" if into is None else self.policy.value,
            confidence=self.confidence.isChecked(),
            landmarks=self.landmarks.isChecked(),
            all_planes=self._has_planes() and self.all_planes.isChecked(),
        )
        if job is None or model is None:
            return
        self._chosen = None  # the next run goes on with the same layer
        self._follow_image()
        method = self.session.settings.config.propagation.refinement.method
        if method is not None and set(model.label_values_) - model.point_labels_:
            self.attempt(self.session.refine, self.image.layer, method=method)

    def _on_folder(self) -> None:
        folder = self.folder.path
        self.attempt(setattr, self.session, "autosave_folder", folder)
        self.show_state()
        if folder is not None and holds_session(folder):
            self.say("This folder holds saved work. Restore opens it; Save now replaces it.")

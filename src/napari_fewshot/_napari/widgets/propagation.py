"""Dock "Label propagation": labels for all slices, and the loop of corrections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox

from ...config import CleanupConfig
from ...errors import FewShotError
from .dock import SessionDock, is_plain_image
from .parts.action_button import ActionButton
from .parts.forms import ElidingComboBox, Form, Section, note, row
from .parts.keys import bind_keys
from .parts.layer_choice import LayerChoice
from .parts.path_field import PathField
from .parts.settings_form import Setting, SettingsForm
from .parts.slice_table import SliceTable
from .parts.words import estimate
from .refine_section import RefineSection

if TYPE_CHECKING:
    from ..session import Job
    from ..session.results import Policy
    from .parts.slice_table import SliceRow

__all__ = ["KEYS", "LabelPropagation"]

KEYS = {"update": "U", "next": "N", "reviewed": "K", "accept": "G"}
"""Keys that neither napari nor its layers use."""

LIVE_TIP = "Update the slice in view after each stroke of the brush."
CLEANUP = (
    Setting("largest_only", "Largest only", "Keep one connected part of each label."),
    Setting("min_size", "Smallest", "Connected parts with fewer voxels are removed.", 10),
    Setting("dimensions", "Parts in", "3: parts of the volume; 2: parts of each slice."),
)
POLICIES = (
    ("fill empty voxels", "fill", "Only voxels without a label are written."),
    ("replace predictions", "overwrite", "Earlier predictions are replaced; paint is kept."),
)


class LabelPropagation(SessionDock):
    """Third step: labels for the whole image, then correct, update, and paint where it helps.

    Parameters
    ----------
    napari_viewer : Viewer
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.image = LayerChoice(self.viewer, ["image"], prefer=is_plain_image)
        self.into = LayerChoice(self.viewer, ["labels"], none="a new layer")
        self.policy = ElidingComboBox()
        self.form = Form()
        self.confidence = QCheckBox("Confidence")
        self.landmarks = QCheckBox("Landmarks")
        self.propagate = ActionButton("Propagate", "Predict labels for all slices of the image.")
        self.cleanup = SettingsForm(CleanupConfig, CLEANUP)
        self.cost = note()
        self.table = SliceTable()
        self.owner = note()
        self.strokes = note()
        self.update_labels = ActionButton(
            "Update", "Train again with what was painted; the slice in view is redone first."
        )
        self.live = QCheckBox("Live")
        self.next = ActionButton(
            "Next slice to paint", "Go to the slice where painting should help most."
        )
        self.reviewed = ActionButton(
            "This slice is reviewed",
            "All that is on this slice is painted, even if that is nothing.\nAgain: take it back.",
        )
        self.accept = ActionButton(
            "Accept slice as template",
            "The prediction on this slice, as corrected, is right: learn from it.",
        )
        self.refine = RefineSection(self)
        self.folder = PathField("off until the first result")
        self.save_now = ActionButton("Save now", "Write templates and results to the folder.")
        self.restore = ActionButton("Restore", "Open what was saved in the folder.")
        self._chosen: tuple[Any] | None = None  # layer (None: a new one) chosen for this image
        self._followed: Any = None  # layer that was shown last
        self._fill()
        self._connect()
        self.show_state()

    def shows_job(self, job: Job) -> bool:
        """Whether it is a propagation, an update or a refinement."""
        return job.stage in ("propagate", "update", "refine")

    def show_state(self) -> None:
        """Show the session as it is now."""
        session, image = self.session, self.image.layer
        self._follow_image()
        self.cleanup.show_values(session.settings.config.propagation.cleanup)
        trained = session.model is not None
        no_image = "open an image" if image is None else ""
        untrained = "" if trained else "train a model, or load one, in Adapter training"
        self.propagate.block(no_image or untrained)
        self.update_labels.block(no_image or self._why_no_update())
        self.live.setChecked(session.live)
        why_not_live = self.update_labels.reason
        self.live.setEnabled(not why_not_live)
        self.live.setToolTip(f"{LIVE_TIP}\n\nNot now: {why_not_live}" if why_not_live else LIVE_TIP)
        cost = session.estimate("propagate", image) if not self.propagate.reason else None
        text = estimate(cost.seconds, cost.megabytes) if cost is not None else ""
        self.cost.setText(f"First: {self.propagate.reason}." if self.propagate.reason else text)
        self.cost.setVisible(bool(self.cost.text()))
        self._show_target()
        folder = session.autosave_folder
        self.folder.show_path(folder)
        self.save_now.block("" if folder else "choose a folder")
        saved = folder if folder and folder.is_dir() else session.latest_autosave(image)
        self.restore.block("" if saved else "nothing is saved yet for this image")
        self._show_slices()

    def _fill(self) -> None:
        for text, value, tip in POLICIES:
            self.policy.addItem(text, value)
            self.policy.setItemData(self.policy.count() - 1, tip, 3)  # as a tooltip
        self.confidence.setToolTip("Image layer of the probability of the label, 0 to 1.")
        self.landmarks.setToolTip("Points layer of the best places of each label, with scores.")
        for box in (self.confidence, self.landmarks):
            box.setChecked(True)
        form = self.form
        form.add("Image", self.image, "Image to label; it may be another than the template's.")
        form.add(
            "Into",
            self.into,
            "Labels layer that takes the result.\n"
            "It follows the image: its own result, or a new layer if it has none.",
        )
        form.add(
            "Existing",
            self.policy,
            "What becomes of labels that are there. Painted and reviewed slices always stay.",
        )
        self.body.addWidget(form)
        self.body.addWidget(self.owner)
        correct = Section("Correct and improve", "Slices, and what to do next", unfolded=True)
        for part in (
            row(self.update_labels, self.live),
            self.next,
            self.reviewed,
            self.strokes,
            self.accept,
            self.table,
        ):
            correct.addWidget(part)
        keep = Section("Autosave", "Templates and results in a folder")
        folder = Form()
        folder.add("Folder", self.folder, "Templates and results are kept here as they change.")
        keep.addWidget(folder)
        keep.addWidget(row(self.save_now, self.restore))
        clean = Section("Clean up", "Connected parts of each label")
        clean.addWidget(self.cleanup)
        for widget in (
            *(
                row(self.confidence, self.landmarks),
                clean,
                self.propagate,
                self.cost,
                self.progress,
            ),
            *(correct, self.refine, keep, self.status),
        ):
            self.body.addWidget(widget)

    def _connect(self) -> None:
        session = self.session
        self.image.chosen.connect(self._on_image)
        self.into.chosen.connect(self._on_into)
        self.policy.currentIndexChanged.connect(self._show_target)
        self.cleanup.changed.connect(
            lambda: self.attempt(
                lambda: session.configure(propagation={"cleanup": self.cleanup.values()})
            )
        )
        self.propagate.clicked.connect(self._on_propagate)
        self.update_labels.clicked.connect(self._on_update)
        self.live.clicked.connect(self._on_live)
        self.next.clicked.connect(self._on_next)
        self.reviewed.clicked.connect(self._on_reviewed)
        self.accept.clicked.connect(self._on_accept)
        self.table.picked.connect(
            lambda index: self.attempt(lambda: session.go_to(index, self.image.layer))
        )
        self.folder.changed.connect(self._on_folder)
        self.save_now.clicked.connect(self._on_save)
        self.restore.clicked.connect(self._on_restore)
        events = session.events
        for emitter in (events.slices, events.trained, events.propagated):
            self.connections.add(emitter, self._on_change)
        self.connections.add(self.viewer.dims.events.current_step, self._on_dims)
        self.connections.add(self.viewer.layers.selection.events.active, self._on_change)
        acts = {
            "update": self.update_labels,
            "next": self.next,
            "reviewed": self.reviewed,
            "accept": self.accept,
        }
        # A key clicks the button, which does nothing while it is disabled.
        bound = bind_keys(
            self.viewer, {KEYS[name]: button.click for name, button in acts.items()}, self
        )
        for name, button in acts.items():
            if KEYS[name] in bound:
                button.setText(f"{button.text()}  [{KEYS[name]}]")

    def _why_no_update(self) -> str:
        if not self.session.templates:
            return "add a template in Feature extraction"
        return "" if self.session.model is not None else "train a model in Adapter training"

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

    def _show_target(self, *_: object) -> None:
        self.form.set_row_visible(self.policy, self.into.layer is not None)
        self.owner.setText(self._whose())
        self.owner.setVisible(bool(self.owner.text()))

    def _follow_image(self) -> None:
        """Write to the result of the image, or to a new layer, unless somebody chose another."""
        image = self.image.layer
        result = None if image is None else self.session.result_layer(image)
        if self._chosen is not None or self.into.layer is result:
            return
        self._followed = result
        if self.into.choose(result) and result is not None:
            self.policy.setCurrentIndex(self.policy.findData("overwrite"))

    def _whose(self) -> str:
        """What becomes of another image's labels in the layer that is chosen."""
        into, image = self.into.layer, self.image.layer
        images = () if into is None else self.session.images_of(into)
        if into is None or not images or image in images:
            return ""
        act = "replaced" if self.policy.currentData() == "overwrite" else "filled up"
        return f"“{into.name}” holds labels of “{images[0].name}”. They would be {act}."

    def _on_propagate(self) -> None:
        into = self.into.layer
        policy: Policy = "new" if into is None else self.policy.currentData()
        job = self.attempt(
            lambda: self.session.propagate(
                self.image.layer,
                into=into,
                policy=policy,
                confidence=self.confidence.isChecked(),
                landmarks=self.landmarks.isChecked(),
            )
        )
        if job is not None:
            self._chosen = None  # the next run goes on with the same layer
            self._follow_image()

    def _on_update(self) -> None:
        self.attempt(lambda: self.session.update(self.image.layer))

    def _on_live(self, on: bool) -> None:
        def switch() -> None:
            self.session.live = on

        self.attempt(switch)

    def _on_next(self) -> None:
        index = self.attempt(lambda: self.session.next_slice(self.image.layer))
        if index is None:
            if not self.status.text():
                self.say("No slice is left to paint.")
            return
        self.session.go_to(index, self.image.layer)

    def _on_reviewed(self) -> None:
        here = self._slice_in_view()
        reviewed = here is not None and here.status == "reviewed"
        act = self.session.unmark_reviewed if reviewed else self.session.mark_reviewed
        self.attempt(lambda: act(image=self.image.layer))

    def _on_accept(self) -> None:
        self.attempt(lambda: self.session.accept(image=self.image.layer))

    def _on_folder(self) -> None:
        def switch() -> None:
            self.session.autosave_folder = self.folder.path

        self.attempt(switch)
        self.show_state()

    def _on_save(self) -> None:
        folder = self.session.autosave_folder
        if folder is not None:
            self.attempt(lambda: self.session.save(folder))

    def _on_restore(self) -> None:
        folder = self.session.autosave_folder
        there = folder if folder is not None and folder.is_dir() else None
        self.attempt(lambda: self.session.restore(there))

    def _on_dims(self, event: Any = None) -> None:
        self._show_current()

    def status_in_view(self) -> str | None:
        """Status of the slice in view, as :meth:`Session.slices` gives it."""
        here = self._slice_in_view()
        return None if here is None else here.status

    def _slice_in_view(self) -> SliceRow | None:
        index = self.session.slice_in_view(self.image.layer)
        return next((s for s in self.table.model.slices if s.index == index), None)

    def _show_slices(self) -> None:
        self.table.show_slices(self.session.slices(self.image.layer) if self.image.layer else ())
        known = bool(self.table.model.slices)
        self.next.block("" if known else "open an image")
        self._show_current()

    def _show_current(self) -> None:
        here = self._slice_in_view()
        self.table.show_current(None if here is None else here.index)
        nowhere = "" if here is not None else "show a slice of the image"
        self.reviewed.block(nowhere)
        self.strokes.setText(self._what_of_strokes(here))
        self.strokes.setVisible(bool(self.strokes.text()))
        predicted = here is not None and here.status == "predicted"
        self.accept.block(nowhere or ("" if predicted else "this slice has no prediction"))
        self.refine.show_state()

    def _what_of_strokes(self, here: SliceRow | None) -> str:
        """What a slice that is painted in part teaches, and how to say that it is complete."""
        if here is None or not getattr(here, "strokes", False):
            return ""
        try:
            layer = self.session.review_layer(here.index, self.image.layer)
        except FewShotError:  # its layers have just gone
            return ""
        return (
            f"Of slice {here.index} only the strokes are learned, the rest stays predicted. When "
            f"“{layer.name}” has all there is on it, press “This slice is reviewed”."
        )

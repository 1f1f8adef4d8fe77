"""Section *Learn and label*: the one button, and how sure the result is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox

from ...session import is_result
from ..parts.choices import AxisChoice
from ..parts.forms import ActionButton, Choice, Form, Note, Section
from ..parts.grey_values import GreyValues
from ..parts.scores import ScoreTable
from .channels import ChannelChoice

if TYPE_CHECKING:
    from ...session.jobs import Stage
    from .host import MainDock

__all__ = ["LearnSection"]

TEXTS = {
    "learn": "Learn and label",
    "label": "Label this image",
    "again": "Label again",
}
PAINTED = (
    ("whole slices", "dense", "On a painted slice, all that is not painted is background."),
    ("parts of slices", "scribble", "Only what is painted is known; paint background with 255."),
)
EXPERTS = (
    ("Features", "Feature extraction"),
    ("Training", "Adapter training"),
    ("Propagation", "Label propagation"),
)
PLAIN = (
    ("template slices", "painted slices"),
    ("No score:", "Not estimated:"),
    ("Not scored:", "Not estimated:"),
    ("Being scored:", "Being estimated:"),
    ("The score is computed when", "It is estimated when"),
    ("The score could not be computed", "It could not be estimated"),
    ("Train to score it on the templates", "Learn again to have it estimated"),
    ("it is when “Score afterwards” is on and “Train” is pressed", "it was learned without that"),
)
"""Words of the docks for experts, and ours."""
AGREEMENT = "Estimated agreement with your painting"


class LearnSection(Section):
    """What is learned from, the button, its progress, and the agreement label by label."""

    stages: tuple[Stage, ...] = ("extract", "train", "update", "propagate", "polish", "restore")

    def __init__(self, dock: MainDock) -> None:
        super().__init__("Learn and label", "Learn what is painted, and label the image in view")
        self._dock = dock
        self.taught = Note()
        self.learn = ActionButton(
            TEXTS["learn"],
            "Learn from all that is painted, and label the image in view, the slice in view\n"
            "first. What you painted is never changed.",
        )
        self.cost, self.progress = Note(), dock.progress
        self.agreement = Note()
        self.scores = ScoreTable()
        self.painted = Choice(PAINTED)
        self.axis = AxisChoice()
        self.places = QCheckBox("All time points")
        self.places.setChecked(True)
        self.places.setToolTip("Label all time points of the image, not only the one in view.")
        self.channels = ChannelChoice(dock)
        self.lies = QCheckBox("Where it lies counts")
        self.lies.setToolTip(
            "Learn where labels lie, too: good where poses are alike, as of patients.\n"
            "Switch it off for cells, and where poses vary."
        )
        self.grey = GreyValues(dock)
        self.experts = [
            ActionButton(text, f"Open the dock “{name}”: all settings.") for text, name in EXPERTS
        ]
        self._fill()
        self._connect()

    def _fill(self) -> None:
        form = Form()
        form.add("Painted", self.painted, "How slices are painted: as a whole, or in part.")
        form.add("Slices", self.axis, "Axis along which slices are painted and labelled.")
        form.add_wide(self.lies)
        form.add_wide(self.grey)
        form.add_wide(Note("Docks with all settings:"))
        for button in self.experts:
            form.add_wide(button)
        self.more = Section("Settings", "Rarely needed", form)
        self.add(self.taught, self.channels, self.places, self.learn, self.cost)
        self.add(self.progress, self.agreement, self.scores, self.more)

    def _connect(self) -> None:
        dock = self._dock
        self.learn.clicked.connect(self._on_learn)
        self.painted.activated.connect(self._on_painted)
        self.lies.clicked.connect(lambda on: dock.configure(position=on))
        self.axis.activated.connect(lambda _: dock.configure(axis=self.axis.value))
        for button, (_, name) in zip(self.experts, EXPERTS, strict=True):
            button.clicked.connect(lambda _=False, name=name: dock.open_dock(name))

    def show_state(self) -> None:
        """Show the session as it is now."""
        session, image = self._dock.session, self._dock.image
        step = session.labelling.next_step(image)
        self.learn.setText(TEXTS[step])
        self.learn.block(self._missing(step))
        self.taught.say(session.labelling.about())
        self._show_cost(step)
        kinds = {entry.kind for entry in session.templates} - {"points"}
        known = next(iter(kinds)) if len(kinds) == 1 else session.settings.template_kind
        self.painted.show_value(known)
        names = () if image is None else session.axis_names(image)
        sliced = None if image is None else session.sliced_axis(image)
        self.axis.show_axes(names, session.settings.axis, sliced)
        self.lies.setChecked(session.settings.position)
        self.grey.show_values(session.settings.config.intensity)
        self.places.setVisible(image is not None and session.labelling.places(image) > 1)
        self.channels.show_state()
        self._show_scores()

    def _missing(self, step: str) -> str:
        if self._dock.image is None:
            return "open an image"
        known = step != "learn" or self._dock.session.labelling.is_taught
        return "" if known else "add a label and paint it on a slice"

    def _show_cost(self, step: str) -> None:
        session, image = self._dock.session, self._dock.image
        self.cost.say("")
        if self.learn.reason:
            self.cost.say(f"First: {self.learn.reason}.")
        elif not self.progress.follows and step != "again":
            self._dock.show_time(self.cost, "update" if step == "learn" else "propagate", image)
        changed = session.outdated
        if changed and not self.progress.follows:
            self.cost.say(f"Changed since it was learned: {', '.join(changed)}.")

    def _show_scores(self) -> None:
        session = self._dock.session
        self.agreement.setVisible(session.model is not None)
        if session.model is None:
            self.scores.hide()
            return
        self.agreement.say(f"{AGREEMENT}:")
        self.scores.show()
        found = session.labelling.agreement
        if found is None:
            text = session.unscored
            for theirs, ours in PLAIN:
                text = text.replace(theirs, ours)
            self.scores.clear(text)
        else:
            names, colours = session.label_names(), session.label_colours()
            self.scores.show_score(found, names, colours)

    def _on_learn(self) -> None:
        learn, image = self._dock.session.labelling.learn, self._dock.image
        before = self._dock.viewer.layers.selection.active
        job = self._dock.attempt(learn, image, all_places=self.places.isChecked())
        if job is not None:
            self.cost.say("")
            self._dock.paint_in_result(job, image, before)

    def _on_painted(self) -> None:
        dock, kind = self._dock, self.painted.value
        dock.configure(template_kind=kind)
        for entry in dock.session.templates:
            if entry.kind not in ("points", kind) and not is_result(entry.labels):
                dock.attempt(dock.session.retype_template, entry, kind)

"""Dock "Adapter training": learn from the templates, and say how far to trust the result."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QCheckBox, QFileDialog

from ...config import DEFAULT_BACKBONE, HAND_MADE, NO_REFINEMENT, ExpertsConfig, SegmenterConfig
from ...errors import FewShotError
from .dock import SessionDock
from .parts.connections import listen
from .parts.forms import ActionButton, Choice, Form, Note, Section, row
from .parts.progress import duration
from .parts.scores import ScoreTable
from .parts.settings_form import AdapterChoice, SettingsForm

__all__ = ["AdapterTraining"]

EXPERTS = ("hand_made", "grey", "carried", "registered", "self_training", "choose")
"""How the flow is found stays with scripts."""
MODEL_FILES = "Models (*.fewshot);;All files (*)"
PRESETS = (
    ("our defaults", None, "What scored best in our own evaluation."),
    ("published", "published", "Each method as its paper has it, backbone and SAM included."),
)


class AdapterTraining(SessionDock):
    """Second step: train the adapter on the templates, and score it on slices left out."""

    stages = ("train", "polish", "score")
    resumes = True

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.adapter = AdapterChoice()
        self.experts = SettingsForm(ExpertsConfig, EXPERTS)
        self.beside = Section(
            "Beside the adapter",
            "What labels slices together with it. Each can be switched off.",
            self.experts,
        )
        self.preset = Choice(PRESETS)
        self.chain = Note()
        self.changed = Note()
        self.position = QCheckBox("Use position")
        self.score = QCheckBox("Score afterwards")
        self.score.setChecked(True)
        self.goes_on = QCheckBox("Go on from the opened model")
        self.goes_on.setChecked(True)
        self.train = ActionButton(
            "Train", "Learn from the templates. Features that are missing are extracted first."
        )
        self.polish = ActionButton(
            "Polish",
            "Let the embedded network itself learn from the painted slices, as one more expert.\n"
            "Cancel it at any time: the best so far is kept. So it is when you ask for anything\n"
            "else. Labelling takes about twice as long afterwards.",
        )
        self.scores = ScoreTable()
        self.save = ActionButton("Save model…", "Write the model to a file, for other images.")
        self.load = ActionButton("Load model…", "Read a model from a file, in place of this one.")
        self._fill()
        self._connect()
        self.show_state()

    def show_state(self) -> None:
        """Show the session as it is now."""
        settings, session = self.session.settings, self.session
        self.adapter.show_choice(settings.config)
        self.experts.show_values(settings.config.experts)
        self.experts.fields["hand_made"].setEnabled(settings.backbone not in HAND_MADE.values())
        self.experts.fields["grey"].setEnabled(settings.backbone == DEFAULT_BACKBONE)
        self.beside.setVisible(settings.config.fuses)
        self.preset.show_value(settings.config.preset)
        self.chain.say(chain_of(settings.config))
        self.position.setChecked(settings.position)
        self.goes_on.setVisible(session.model is not None and session.model.base_ is not None)
        self.train.block("" if session.templates else "add a template in Feature extraction")
        self.save.block("" if session.model is not None else "train a model first")
        done = session.model is not None and not session.outdated
        self.show_cost(self.train, None if done else "train")
        self.changed.say(self.of_outdated("Train again"))
        self._show_polish()
        self._show_scores()

    def _fill(self) -> None:
        self.position.setToolTip(
            "Learn where labels lie as well as how they look.\n"
            "Good where poses are alike; switch it off for cells, or where poses vary."
        )
        self.score.setToolTip(
            "After training, leave out template slices in turn and predict them.\n"
            "Runs in the background and delays nothing; needs two template slices."
        )
        self.goes_on.setToolTip(
            "What the model that was loaded knows stays, and your templates come to it.\n"
            "Off: learn from the templates alone."
        )
        switches = Form()
        switches.add(
            "Settings",
            self.preset,
            "Choosing sets the adapter's settings, the backbone in Feature extraction,\n"
            "and clean-up and refinement in Label propagation. Each can be changed afterwards.",
        )
        switches.add_wide(self.chain)
        switches.add_wide(self.position)
        switches.add_wide(self.score)
        self.add(
            *(self.adapter, self.beside, switches, self.changed),
            *(self.goes_on, self.train, self.cost),
            *(self.polish, self.progress),
            Section("What to trust", "Held-out score of each label", self.scores, unfolded=True),
            Section("Model file", "Save the model, or load one", row(self.save, self.load)),
            self.status,
        )

    def _connect(self) -> None:
        session = self.session
        self.adapter.changed.connect(self._on_adapter)
        self.experts.changed.connect(lambda: self.configure(experts=self.experts.values()))
        self.preset.currentIndexChanged.connect(lambda _: self.configure(preset=self.preset.value))
        self.position.clicked.connect(lambda on: self.configure(position=on))
        self.train.clicked.connect(
            lambda: self.attempt(
                session.train, score=self.score.isChecked(), anew=not self.goes_on.isChecked()
            )
        )
        self.polish.clicked.connect(lambda: self.attempt(session.polish))
        self.save.clicked.connect(self._on_save)
        self.load.clicked.connect(self._on_load)
        for emitter in (session.events.trained, session.events.scored):
            listen(self, emitter, self.show_soon)

    def _on_adapter(self) -> None:
        values = self.adapter.values()
        if self.adapter.name != self.session.settings.adapter:  # its own settings are kept
            self.configure(adapter=self.adapter.name)
        elif values:  # there may be none
            self.configure(of_adapter=values)

    def _on_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the model", "model.fewshot", MODEL_FILES)
        if path:
            self.attempt(self.session.save_model, path)

    def _on_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load a model", "", MODEL_FILES)
        if path:
            self.attempt(self.session.load_model, path)

    def _show_polish(self) -> None:
        """How long polishing should take, or why it cannot be done."""
        try:
            seconds = self.session.estimate("polish").seconds
        except FewShotError as error:
            trained = self.session.model is not None
            self.polish.block(str(error) if trained else "train a model first")
            return
        self.polish.setText(f"Polish (about {duration(seconds or 0)})")
        self.polish.block()

    def _show_scores(self) -> None:
        session = self.session
        found = session.labelling.agreement
        if found is None:
            self.scores.clear(session.unscored)
        else:
            self.scores.show_score(found, session.label_names(), session.label_colours())


def chain_of(config: SegmenterConfig) -> str:
    """What a preset means for the other docks, and where they are set to something else."""
    if config.preset is None:
        return ""
    paper = SegmenterConfig(preset=config.preset, adapter=config.adapter)
    steps = (
        ("backbone", "Feature extraction", config.backbone, paper.backbone),
        ("refinement", "Label propagation", _refinement(config), _refinement(paper)),
    )
    lines = [f"Published: backbone {paper.backbone}, refinement {_refinement(paper)}."]
    for what, dock, chosen, published in steps:
        if chosen != published:
            lines.append(f"Not as published: {what} {chosen}, chosen in {dock}.")
    return " ".join(lines)


def _refinement(config: SegmenterConfig) -> str:
    return config.propagation.refinement.method or NO_REFINEMENT

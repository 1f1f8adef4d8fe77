"""The guide that opens with a sample: one step at a time, from painted slices to a saved result."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from qtpy.QtCore import QSize
from qtpy.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QWidget

from ..session import viewer_session
from ..session.jobs import single_shot
from .dock import SessionDock
from .parts.connections import listen
from .parts.forms import GAP, ActionButton, Note, row

if TYPE_CHECKING:
    from ..session import Job, Session

__all__ = ["STEPS", "Guide", "Progress", "guide_mark", "offer_guide", "open_guide"]

PLUGIN = "napari-fewshot"
DOCK = "Few-shot segmentation"
TITLE = "Guide"
HEIGHT = 84


@dataclass
class Progress:
    """What a person has done since the guide was opened."""

    dock: bool = False
    labelled: bool = False
    updated: bool = False


@dataclass(frozen=True)
class Step:
    """What to do, and how the guide knows that it is done; else a person presses Next."""

    text: str
    is_done: Callable[[Progress], bool] = lambda _: False


STEPS = (
    Step(
        "This is a computed patient. Three of its slices are painted, in the layer that ends with "
        "<b>template</b>. One is in view: move the slider below the image to find the others."
    ),
    Step(
        "Open the dock: <b>Open the dock</b> here, or Plugins › Few-shot segmentation › Few-shot "
        "segmentation.",
        lambda progress: progress.dock,
    ),
    Step(
        "Press <b>Learn and label</b>. It learns from the painted slices and labels all others, in "
        "seconds, the one in view first. Look at them with the slider.",
        lambda progress: progress.labelled,
    ),
    Step(
        "Press <b>N</b>: it goes to the slice where paint helps most. Correct it with the brush in "
        "the layer that ends with <b>predicted</b>, press <b>K</b> when it is right, then "
        "<b>U</b> to learn from it.",
        lambda progress: progress.updated,
    ),
    Step(
        "That is all. <b>Save labels</b> and <b>Save what was learned…</b> are at the end of the "
        "dock. Then drop an image of your own on the viewer, <b>Add</b> a label, and paint three "
        "slices."
    ),
)


class Guide(QWidget):
    """A line of text with buttons; it goes on by itself when a step is done.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.index = 0
        self.progress = Progress()
        self.text = Note(" ")
        self.place = QLabel()
        self.open = ActionButton("Open the dock", "Open the dock of this plugin.")
        self.back = ActionButton("Back", "Show the step before.")
        self.next = ActionButton("Next", "Show the next step; it is also shown when this is done.")
        self.close_it = ActionButton(
            "Close", "Close the guide. It comes back by Layers › Segment › Guide (few-shot)."
        )
        buttons = row(self.place, self.open, self.back, self.next, self.close_it)
        buttons.setFixedWidth(420)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(GAP, 0, GAP, 0)
        layout.addWidget(self.text, 1)
        layout.addWidget(buttons)
        self.open.clicked.connect(self.open_dock)
        self.back.clicked.connect(lambda: self.show_step(self.index - 1))
        self.next.clicked.connect(lambda: self.show_step(self.index + 1))
        self.close_it.clicked.connect(self.dismiss)
        self.session: Session = viewer_session(napari_viewer)
        listen(self, self.session.events.job, self._on_job)
        window = napari_viewer.window._qt_window
        self.progress.dock = any(one.isVisible() for one in window.findChildren(SessionDock))
        self.show_step(0)

    def sizeHint(self) -> QSize:  # noqa: N802
        """As high as two lines of text."""
        return QSize(super().sizeHint().width(), HEIGHT)

    def show_step(self, index: int) -> None:
        """Show a step, of those that there are."""
        self.index = min(max(index, 0), len(STEPS) - 1)
        self.text.say(STEPS[self.index].text)
        self.place.setText(f"{self.index + 1} of {len(STEPS)}")
        self.open.setVisible(self.index == 1)
        self.back.block("" if self.index else "this is the first step")
        is_last = self.index == len(STEPS) - 1
        self.next.block("this is the last step" if is_last else "")

    def open_dock(self) -> None:
        """Open the dock, or bring it to the front, and go on."""
        frame, _ = self.viewer.window.add_plugin_dock_widget(PLUGIN, DOCK)
        frame.show()
        frame.raise_()
        self.progress.dock = True
        self._go_on()

    def dismiss(self) -> None:
        """Close the guide, and remember that a person did."""
        with contextlib.suppress(OSError):  # it is offered once more, no harm
            mark = guide_mark()
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        self.viewer.window.remove_dock_widget(self)
        self.deleteLater()

    def _on_job(self, job: Job) -> None:
        if job.state != "done":
            return
        if job.stage in ("propagate", "update"):
            self.progress.dock = True
            self.progress.updated |= job.stage == "update" and self.progress.labelled
            self.progress.labelled = True
        self._go_on()

    def _go_on(self) -> None:
        """Leave steps that are done; a person who went back stays there."""
        while STEPS[self.index].is_done(self.progress) and self.index < len(STEPS) - 1:
            self.show_step(self.index + 1)


def guide_mark() -> Path:
    """File that says that a person has closed the guide."""
    return platformdirs.user_config_path(PLUGIN) / "guide-closed"


def offer_guide() -> None:
    """Open the guide beside a sample, unless a person has closed it once or nobody is looking."""
    import napari

    viewer = napari.current_viewer()
    if viewer is None or not viewer.window._qt_window.isVisible() or guide_mark().exists():
        return
    reference = weakref.ref(viewer)

    def act() -> None:
        found = reference()
        if found is not None:
            open_guide(found)

    # In a moment: the layers come first. The timer goes with the window.
    single_shot(0, act, viewer.window._qt_window).start()


def open_guide(viewer: Any) -> Guide:
    """Open the guide of a viewer at the bottom of its window, or begin with the one that is there.

    Parameters
    ----------
    viewer : napari.Viewer
        Its window may have it already.
    """
    for dock in viewer.window._qt_window.findChildren(QDockWidget):
        if isinstance(dock.widget(), Guide):
            found: Guide = dock.widget()
            dock.show()
            found.show_step(0)
            return found
    guide = Guide(viewer)
    viewer.window.add_dock_widget(guide, name=TITLE, area="bottom")
    return guide

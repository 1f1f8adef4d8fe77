"""What all dock widgets are: a scrolling column over one session, with a line for what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QDockWidget, QFrame, QMainWindow, QScrollArea, QWidget

from ...errors import FewShotError
from ..session import is_result, viewer_session
from .parts.connections import Connections
from .parts.forms import column, note
from .parts.progress_row import ProgressRow
from .warm_up import warm_up

if TYPE_CHECKING:
    from ..session import Job, Session

__all__ = ["SessionDock", "is_plain_image"]

WIDTH, HEIGHT = 300, 420
SOON_MS = 30
Result = TypeVar("Result")


def is_plain_image(layer: Any) -> bool:
    """Whether an image layer is one to work on: seen, and not what propagation made."""
    return bool(layer.visible) and not is_result(layer)


class SessionDock(QScrollArea):
    """Column of sections that shows a session and asks it to act.

    Subclasses fill ``body`` and implement ``show_state``, which is called after every change of
    the session or of the layers, for many changes in a row once.

    Parameters
    ----------
    napari_viewer : Viewer
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        warm_up()
        self.viewer = napari_viewer
        self._placed = False
        self.session: Session = viewer_session(napari_viewer)
        self.connections = Connections(self)
        self.progress = ProgressRow()
        self.status = note()
        # A propagation tells of every slice: show many changes at once.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON_MS)
        self._soon.timeout.connect(self.show_state)
        self._join_soon = QTimer(self)
        self._join_soon.setSingleShot(True)
        self._join_soon.timeout.connect(self._join)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumSize(220, 120)
        page = QWidget()
        self.body = column(page)
        self.setWidget(page)
        events = self.session.events
        for emitter in (events.settings, events.templates, events.layers):
            self.connections.add(emitter, self._on_change)
        self.connections.add(events.job, self._on_job)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Narrow, and as high as its neighbours leave room for."""
        return QSize(WIDTH, HEIGHT)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """When it is first shown, join the other docks of the session as a tab."""
        super().showEvent(event)
        if not self._placed:
            self._join_soon.start()  # the window is still at adding it

    def _join(self) -> None:
        """Below each other, three docks would leave no room for any of them."""
        mine = self._dock_of(self)
        main = None if mine is None else mine.parentWidget()
        if not isinstance(main, QMainWindow) or mine is None or mine.isFloating():
            return
        for other in main.findChildren(SessionDock):
            dock = self._dock_of(other)
            if dock is None or dock is mine or not other._placed or not _is_docked(dock):
                continue
            if main.dockWidgetArea(dock) == main.dockWidgetArea(mine):
                if mine not in main.tabifiedDockWidgets(dock):
                    main.tabifyDockWidget(dock, mine)
                mine.raise_()
                break
        self._placed = True

    @staticmethod
    def _dock_of(widget: QWidget) -> QDockWidget | None:
        parent = widget.parentWidget()
        while parent is not None and not isinstance(parent, QDockWidget):
            parent = parent.parentWidget()
        return parent

    def show_state(self) -> None:
        """Show the session as it is now."""
        raise NotImplementedError

    def shows_job(self, job: Job) -> bool:
        """Whether this dock shows the progress of a job."""
        raise NotImplementedError

    def attempt(self, act: Callable[[], Result]) -> Result | None:
        """Do what a person asked for; what is wrong with it is said in the status line."""
        try:
            result = act()
        except FewShotError as error:
            self.say(str(error))
            return None
        self.say("")
        return result

    def say(self, text: str) -> None:
        """Show a line at the end of the dock; nothing hides it."""
        self.status.setText(text)
        self.status.setVisible(bool(text))
        if text:
            self.ensureWidgetVisible(self.status)

    def _on_change(self, *_: object) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def _on_job(self, job: Job) -> None:
        if self.shows_job(job) and job.state in ("waiting", "running"):
            self.progress.follow(job)
        self.progress.refresh()
        if not self.progress.follows:  # the one before it may still run
            for other in filter(self.shows_job, self.session.jobs):
                self.progress.follow(other)
                break
        self._on_change()


def _is_docked(dock: QDockWidget) -> bool:
    """Whether a dock is in the window and open; one behind another tab is open too."""
    return not dock.isFloating() and dock.toggleViewAction().isChecked()

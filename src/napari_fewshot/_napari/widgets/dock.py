"""What all dock widgets are: a scrolling column over one session, with a line for what is wrong."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QDockWidget, QFrame, QMainWindow, QScrollArea, QVBoxLayout, QWidget

from ...backbones import get_backbone
from ...config import DEFAULT_BACKBONE
from ...device import avoid_llvm_clash
from ...errors import FewShotError
from ..session import is_result, viewer_session
from ..session.jobs import single_shot
from ..whole_view import WholeView
from ..wording import in_viewer
from .parts.connections import listen
from .parts.forms import GAP, ActionButton, Note
from .parts.progress import ProgressRow, estimate
from .parts.resume import Resume

if TYPE_CHECKING:
    from ..session import Job, Session
    from ..session.jobs import Stage

__all__ = ["SessionDock", "is_plain_image", "warm_up"]

WIDTH, HEIGHT = 300, 420
SOON_MS = 30
P = ParamSpec("P")
Result = TypeVar("Result")


def is_plain_image(layer: Any) -> bool:
    """Whether an image layer is one to work on: seen, and not what propagation made."""
    return bool(layer.visible) and not is_result(layer)


class SessionDock(QScrollArea):
    """Column of sections that shows a session and asks it to act.

    Subclasses name the ``stages`` whose jobs they show, say whether they offer saved work
    (``resumes``), fill the column by ``add`` and implement ``show_state``, which is called after
    every change of the session or of the layers, for many changes in a row once.
    """

    stages: tuple[Stage, ...] = ()
    resumes = False

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        warm_up()
        self.viewer = napari_viewer
        self._placed = False
        self.session: Session = viewer_session(napari_viewer)
        self.cost = Note()
        self.progress = ProgressRow()
        self.status = Note()
        # A propagation tells of every slice: show many changes at once.
        self._soon = single_shot(SOON_MS, self._show_all, self)
        self._join_soon = single_shot(0, self._join, self)
        WholeView(getattr(napari_viewer, "__wrapped__", napari_viewer)).keep()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumSize(220, 120)
        page = QWidget()
        self._body = QVBoxLayout(page)
        self._body.setContentsMargins(GAP, GAP, GAP, GAP)
        self._body.setSpacing(GAP)
        self._body.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setWidget(page)
        self.resume = Resume()
        self.resume.resuming.connect(self._on_resume)
        self.resume.leaving.connect(self._on_leave)
        self.add(self.resume)
        events = self.session.events
        for emitter in (events.settings, events.templates, events.layers):
            listen(self, emitter, self.show_soon)
        listen(self, events.job, self._on_job)
        self.show_soon()  # what was begun before

    def add(self, *widgets: QWidget) -> None:
        """Put widgets below those that are there."""
        for widget in widgets:
            self._body.addWidget(widget)

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
        mine = _dock_of(self)
        main = None if mine is None else mine.parentWidget()
        if not isinstance(main, QMainWindow) or mine is None or mine.isFloating():
            return
        for other in main.findChildren(SessionDock):
            dock = _dock_of(other)
            if dock is None or dock is mine or not other._placed or not _is_docked(dock):
                continue
            if main.dockWidgetArea(dock) == main.dockWidgetArea(mine):
                if mine not in main.tabifiedDockWidgets(dock):
                    main.tabifyDockWidget(dock, mine)
                mine.raise_()
                break
        self._placed = True

    def show_state(self) -> None:
        """Show the session as it is now."""
        raise NotImplementedError

    def _show_all(self) -> None:
        self.show_state()
        found = self.session.unfinished() if self.resumes else None
        self.resume.offer(*(() if found is None else (found.image.name, found.when)))

    def _on_resume(self) -> None:
        found = self.session.unfinished()
        if found is not None:
            self.attempt(self.session.restore, found.folder)

    def _on_leave(self) -> None:
        found = self.session.unfinished()
        if found is not None:
            self.session.leave_unfinished(found.image)

    def show_soon(self, *_: object) -> None:
        """Show the session in a moment, after other changes."""
        if not self._soon.isActive():
            self._soon.start()

    def show_cost(self, button: ActionButton, stage: Stage | None, image: Any = None) -> None:
        """Say what a button waits for, or how long its stage (None: unknown, done) should take."""
        if button.reason:
            self.cost.say(f"First: {button.reason}.")
        elif stage is None or self.progress.follows:
            self.cost.say("")
        else:
            cost = self.session.estimate(stage, image)
            self.cost.say(estimate(cost.seconds, cost.megabytes))

    def of_outdated(self, act: str) -> str:
        """What of the settings the model does not know yet, and how it learns them."""
        found = self.session.outdated
        if not found:
            return ""
        return f"Changed since the training: {', '.join(found)}. {act} to use it."

    def attempt(self, act: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result | None:
        """Do what a person asked for; what is wrong with it is said below the button."""
        button = ActionButton.take_pressed(self)
        try:
            result = act(*args, **kwargs)
        except FewShotError as error:
            self._place_status(button)
            self.forget_what_was_done()
            self.say(in_viewer(error), wrong=True)
            return None
        self.say("")
        return result

    def forget_what_was_done(self) -> None:
        """Nothing says that something is done while something else is wrong."""
        self.progress.forget()

    def _place_status(self, button: QWidget | None) -> None:
        """Put the line for what is wrong below a button, or at the end."""
        page = self.widget()
        inside = self.status if button is None else button
        while button is not None and inside is not page:
            above = inside.parentWidget()
            layout = above.layout()
            if isinstance(layout, QVBoxLayout) and layout.indexOf(inside) >= 0:
                layout.insertWidget(layout.indexOf(inside) + 1, self.status)
                return
            inside = above
        self._body.addWidget(self.status)

    def configure(self, **changes: Any) -> None:
        """Change settings of the session, as :meth:`attempt` does."""
        self.attempt(self.session.configure, **changes)

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Show a line; nothing hides it."""
        self.status.say(text, wrong=wrong)
        if text:
            self.ensureWidgetVisible(self.status)

    def _on_job(self, job: Job) -> None:
        if job.stage in self.stages and job.state in ("waiting", "running"):
            self.progress.follow(job)
        self.progress.refresh()
        mine = [other for other in self.session.jobs if other.stage in self.stages]
        if mine and not self.progress.follows:  # the one before it may still run
            self.progress.follow(mine[0])
        self.show_soon()


def _dock_of(widget: QWidget) -> QDockWidget | None:
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent


def _is_docked(dock: QDockWidget) -> bool:
    """Whether a dock is in the window and open; one behind another tab is open too."""
    return not dock.isFloating() and dock.toggleViewAction().isChecked()


@lru_cache(maxsize=1)
def warm_up() -> threading.Thread:
    """Import in the background what the first job needs, once: each holds the interpreter.

    Better when a dock opens than in the middle of the first stroke.
    """
    thread = threading.Thread(target=_import, name="imports of napari-fewshot")
    thread.start()
    return thread


def _import() -> None:
    avoid_llvm_clash()
    import torch

    # The first step of an optimiser imports as much again as torch itself.
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimiser.step()
    backbone = get_backbone(DEFAULT_BACKBONE, None, 1)
    with torch.inference_mode():
        backbone.encode(torch.zeros(1, 1, 3, 64, 64))
    for name in ("scipy.ndimage", "skimage.segmentation", "napari_fewshot.objects.instances"):
        importlib.import_module(name)

"""The session that the widgets of one viewer share, and that scripts may drive without them."""

from __future__ import annotations

import weakref
from typing import Any

from .estimates import Estimate
from .jobs import Job
from .review import SliceInfo
from .session import Session
from .state import SessionSettings
from .teaching import is_result
from .templates import TemplateEntry

__all__ = [
    "Estimate",
    "Job",
    "Session",
    "SessionSettings",
    "SliceInfo",
    "TemplateEntry",
    "is_result",
    "viewer_session",
]

_SESSIONS: dict[int, Session] = {}


def viewer_session(viewer: Any) -> Session:
    """Session of a viewer; the same one each time, for as long as the viewer lives.

    Parameters
    ----------
    viewer : napari.Viewer
        With or without the widgets.

    Returns
    -------
    Session

    Examples
    --------
    >>> session = viewer_session(viewer)
    >>> session.add_template("torso", "torso template")
    >>> session.train().wait()
    >>> session.propagate("torso").wait()
    """
    viewer = getattr(viewer, "__wrapped__", viewer)
    key = id(viewer)
    if key not in _SESSIONS:
        _SESSIONS[key] = Session(weakref.ref(viewer, lambda _: _forget(key)))
    return _SESSIONS[key]


def _forget(key: int) -> None:
    session = _SESSIONS.pop(key, None)
    if session is not None:
        session.close()

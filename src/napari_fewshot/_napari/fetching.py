"""Fetching a sample without freezing the viewer: the network on a thread, progress in the dock."""

from __future__ import annotations

import threading
from pathlib import Path

from ..download import fetch_url, file_sha256
from ..errors import Cancelled
from .real_samples import RealSample

__all__ = ["fetch_sample", "samples_folder"]

_TICK_S = 0.02


def samples_folder() -> Path:
    """Folder in the user's cache in which fetched samples are kept."""
    import platformdirs

    return platformdirs.user_cache_path("napari-fewshot") / "samples"


def fetch_sample(sample: RealSample) -> Path:
    """Return the file of a sample, fetching it when it is not here or is not what it was.

    Called on the GUI thread, as napari calls for samples. The viewer goes on painting meanwhile;
    input waits, so that nothing is closed under the sample that is on its way.

    Raises
    ------
    DownloadError
        If it cannot be fetched, or what came is not the file of the list.
    """
    path = samples_folder() / f"{sample.key}.tif"
    if path.is_file() and file_sha256(path) == sample.sha256:
        return path
    state: dict[str, int | BaseException] = {"done": 0}
    stop = threading.Event()

    def told(done: int, total: int, what: str) -> None:
        state["done"] = done
        if stop.is_set():
            raise Cancelled

    def work() -> None:
        try:
            fetch_url(sample.url, path, sample.sha256, progress=told)
        except BaseException as error:
            state["error"] = error

    thread = threading.Thread(target=work, name=f"fetch {sample.key}", daemon=True)
    thread.start()
    try:
        _show(thread, sample, state)
    finally:
        stop.set()
    error = state.get("error")
    if isinstance(error, BaseException):
        raise error
    return path


def _show(
    thread: threading.Thread, sample: RealSample, state: dict[str, int | BaseException]
) -> None:
    """Show the progress until the thread ends; without a viewer, only wait."""
    from napari.utils import progress
    from qtpy.QtCore import QEventLoop
    from qtpy.QtWidgets import QApplication

    app = QApplication.instance()
    total = int(sample.megabytes * 1e6)
    with progress(total=total, desc=f"Fetching {sample.title}") as bar:
        while thread.is_alive():
            thread.join(_TICK_S)
            done = state["done"]
            if isinstance(done, int):
                bar.update(min(done, total) - bar.n)
            if app is not None:
                app.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)

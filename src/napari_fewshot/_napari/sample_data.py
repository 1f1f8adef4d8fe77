"""Sample data: phantoms with painted slices and their truth, and real images fetched on demand.

Addresses, digests and licences of the real ones are those that scikit-image states for its example
data (``skimage.data``); nothing is offered here whose digest was not published with its address.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..download import fetch_url, file_sha256
from ..errors import Cancelled, UnreadableFileError
from ..folders import cache_folder
from ..phantoms import Phantom, make_phantom, painted_labels, template_slices
from ..types import Progress, Volume
from .first_view import show_when_added
from .layers import LayerData, face_patient, image_layer, labels_layer, landmarks_layer

__all__ = ["TORSO", "joint_phantom", "kidney", "mitosis", "torso_phantom"]

Result = TypeVar("Result")

TORSO = "torso"
"""Key of the first sample in the manifest."""
_PAINTED_SLICES = 5
"""Each label is on two at least: then its agreement can be estimated at once."""
_TICK_S = 0.02
_ROOT = "https://gitlab.com/scikit-image/data/-/raw/2cdc5ce89b334d28f06a58c9f0ca21aa6992a5ba"


@dataclass(frozen=True)
class RealSample:
    """A TIFF file that is fetched on demand, and kept under its ``key`` in the manifest.

    ``shape`` is that of the file: spatial axes, and a last one of channels where ``channels``
    names several. ``megabytes`` is about the size of the pixels, for the progress.
    """

    key: str
    title: str
    url: str
    sha256: str
    licence: str
    credit: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    channels: tuple[str, ...] = ("",)
    megabytes: float = 0.0


MITOSIS = RealSample(
    key="mitosis",
    title="Human cells undergoing mitosis",
    url=f"{_ROOT}/AS_09125_050116030001_D03f00d0.tif",
    sha256="2751ba667c4067c5d30817cff004aa06f6f6287f1cdbb5b8c9c6a500308cb456",
    licence="CC0",
    credit="David Root; Moffat et al., Cell 124(6):1283-98, 2006.",
    shape=(512, 512),
    spacing_mm=(1.0, 1.0),  # not stated
    megabytes=0.3,
)

KIDNEY = RealSample(
    key="kidney",
    title="Mouse kidney tissue, confocal fluorescence",
    url=f"{_ROOT}/kidney-tissue-fluorescence.tif",
    sha256="80c0799bc58b08cf6eaa53ecd202305eb42fd7bc73746cb6c5064dbeae7e8476",
    licence="CC0",
    credit="Genevieve Buckley, Monash Micro Imaging, 2018.",
    shape=(16, 512, 512, 3),
    spacing_mm=(0.00125, 0.00124, 0.00124),
    channels=("450 nm", "515 nm", "605 nm"),
    megabytes=25.0,
)


def torso_phantom() -> list[LayerData]:
    """Layers of the torso phantom: image, painted template, truth (hidden) and landmarks."""
    return _phantom_layers(TORSO)


def joint_phantom() -> list[LayerData]:
    """Layers of the joint phantom: image, painted template, truth (hidden) and landmarks."""
    return _phantom_layers("joint")


def mitosis() -> list[LayerData]:
    """Layer of a fluorescence image of human cells; fetched once, then kept."""
    return _real_layers(MITOSIS)


def kidney() -> list[LayerData]:
    """Layers of a confocal stack of mouse kidney, one for each channel; fetched once."""
    return _real_layers(KIDNEY)


def samples_folder() -> Path:
    """Folder in the user's cache in which fetched samples are kept."""
    return cache_folder("samples", "save the sample yourself") / "samples"


def fetch_sample(sample: RealSample) -> Path:
    """Return the file of a sample, fetching it when it is not here or is not what it was.

    Called on the GUI thread, as napari calls for samples. The network has a thread of its own,
    and input waits, so that nothing is closed under the sample that is on its way.
    """
    path = samples_folder() / f"{sample.key}.tif"
    if path.is_file() and file_sha256(path) == sample.sha256:
        return path
    total = int(sample.megabytes * 1e6)

    def work(progress: Progress) -> None:
        fetch_url(sample.url, path, sample.sha256, progress=progress)

    _beside_viewer(work, f"Fetching {sample.title}", total)
    return path


def read_sample(sample: RealSample, path: Path) -> list[tuple[Volume, str]]:
    """Read a fetched sample: a volume and a name for each channel."""
    import tifffile

    try:
        data = np.asarray(tifffile.imread(path))
    except (ValueError, OSError, tifffile.TiffFileError) as error:
        raise UnreadableFileError(str(path), "be a TIFF file that is read", str(error)) from error
    if data.shape != sample.shape:
        raise UnreadableFileError(str(path), f"have shape {sample.shape}", f"shape {data.shape}")
    parts = [data] if len(sample.channels) == 1 else np.moveaxis(data, -1, 0)
    names = [f"{sample.key} {channel}".strip() for channel in sample.channels]
    return [
        (Volume(np.ascontiguousarray(part), sample.spacing_mm, source=path), name)
        for part, name in zip(parts, names, strict=True)
    ]


def _phantom_layers(kind: str) -> list[LayerData]:
    def work(_: Progress) -> tuple[Phantom, Volume]:
        phantom = make_phantom(kind)
        import_module(".widgets.guide", __package__)  # and the session, which the first dock needs
        return phantom, painted_labels(phantom, template_slices(phantom, _PAINTED_SLICES))

    phantom, template = _beside_viewer(work, f"Computing the {kind}", 0)
    from .widgets.guide import offer_guide  # imported by now, beside the viewer

    face_patient()
    offer_guide()
    painted = labels_layer(template, f"{kind} template")
    show_when_added(painted[0])
    return [
        image_layer(phantom.image, kind),
        labels_layer(phantom.labels, f"{kind} truth", visible=False),
        landmarks_layer(phantom.landmarks, phantom.image, f"{kind} landmarks"),
        painted,  # the last is the active one
    ]


def _real_layers(sample: RealSample) -> list[LayerData]:
    from napari.utils.notifications import show_info

    path = fetch_sample(sample)
    show_info(f"{sample.title}. {sample.credit} Licence: {sample.licence}.")
    layers = []
    for volume, name in read_sample(sample, path):
        data, options, kind = image_layer(volume, name)
        about = {"licence": sample.licence, "credit": sample.credit, "url": sample.url}
        options["metadata"] = {**options["metadata"], **about}
        if len(sample.channels) > 1:
            options["blending"] = "additive"
        layers.append((data, options, kind))
    return layers


def _beside_viewer(work: Callable[[Progress], Result], what: str, total: int) -> Result:
    """Do long work on a thread while the viewer goes on painting, with its progress.

    Input waits. ``total``: steps that ``work`` tells of; 0: of none. Without a viewer, only wait.
    """
    from napari.utils import progress
    from qtpy.QtCore import QEventLoop
    from qtpy.QtWidgets import QApplication

    app, done, stop = QApplication.instance(), 0, threading.Event()
    results: list[Result] = []
    errors: list[BaseException] = []

    def tell(now: int, _total: int, _what: str) -> None:
        nonlocal done
        done = now
        if stop.is_set():
            raise Cancelled

    def run() -> None:
        try:
            results.append(work(tell))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name=what, daemon=True)
    thread.start()
    try:
        with progress(total=total, desc=what) as bar:
            while thread.is_alive():
                thread.join(_TICK_S)
                bar.update(min(done, total) - bar.n)
                if app is not None:
                    app.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
    finally:
        stop.set()
    if errors:
        raise errors[0]
    return results[0]

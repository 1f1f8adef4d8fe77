"""What a person set for good, in napari's preferences: see ``configurations`` in the manifest."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from ..config import DEFAULT_BACKBONE, STORE_LIMIT_GB
from ..device import choose_device
from ..errors import FewShotError
from ..features.store import ENVIRONMENT, FeatureStore
from ..folders import with_home

__all__ = ["Preferences", "open_store", "preferences", "preferred_device"]

PLUGIN = "napari-fewshot"
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preferences:
    """What the manifest declares, section by section; the defaults are those there.

    Parameters
    ----------
    device, backbone : str
        Of sessions that begin from now on.
    autosave : bool
        Whether a session gets a folder of its own with its first result.
    cache_folder : str
        Of the feature store; empty: the folder of the user, or that of the environment.
    cache_limit_gb : float
        Size of the store.
    """

    device: str = "auto"
    backbone: str = DEFAULT_BACKBONE
    autosave: bool = True
    cache_folder: str = ""
    cache_limit_gb: float = STORE_LIMIT_GB


def preferences() -> Preferences:
    """What is set now; the defaults where napari keeps no settings of this plugin."""
    from napari.settings import get_plugin_settings

    try:
        found = get_plugin_settings(PLUGIN)
    except KeyError:  # it is not installed as a plugin, or is switched off
        return Preferences()
    work, cache = found.work, found.cache
    return Preferences(
        work.device, work.backbone, work.autosave, cache.folder.strip(), cache.limit_gb
    )


def preferred_device(preferred: Preferences) -> str:
    """The device that is set, or ``"auto"`` where the machine does not have it."""
    if preferred.device in ("auto", "cpu"):  # asking needs torch
        return preferred.device
    try:
        choose_device(preferred.device)
    except FewShotError as error:
        _LOGGER.warning("Device %s of the preferences: %s", preferred.device, error)
        return "auto"
    return preferred.device


def open_store() -> FeatureStore:
    """The feature store of the viewer: that of the preferences, else of the environment."""
    preferred = preferences()
    root: Path | None = None
    if preferred.cache_folder:
        root = with_home(preferred.cache_folder, ENVIRONMENT) / "features"
    return FeatureStore(root, limit_gb=preferred.cache_limit_gb)

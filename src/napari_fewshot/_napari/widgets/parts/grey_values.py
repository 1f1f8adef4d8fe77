"""What becomes black and white: percentiles of each volume, or a fixed window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....config import IntensityConfig
from .settings_form import SettingsForm

if TYPE_CHECKING:
    from ..dock import SessionDock

__all__ = ["GreyValues"]

SOFT_TISSUE = {"low": -160.0, "high": 240.0}
"""Window of CT in HU to begin with."""
PERCENTILES = {name: getattr(IntensityConfig(), name) for name in SOFT_TISSUE}


class GreyValues(SettingsForm):
    """Settings of the grey values, which it changes in the session of a dock."""

    def __init__(self, dock: SessionDock) -> None:
        super().__init__(IntensityConfig, ("mode", "low", "high"))
        self._dock = dock
        self.changed.connect(self._on_values)

    def _on_values(self) -> None:
        values = self.values()
        if values["mode"] != self._dock.session.settings.config.intensity.mode:
            # Percentiles make no window, nor the other way round.
            values |= SOFT_TISSUE if values["mode"] == "window" else PERCENTILES
        self._dock.configure(intensity=values)

"""What a session is set to: everything that a widget or a script can choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ...adapters import ADAPTERS
from ...backbones import backbone_entry
from ...config import CACHE_LIMIT_MB, SegmenterConfig, StageConfig
from ...device import choose_device
from ...errors import InputError, UnknownNameError
from ...sam.checkpoint import SAMS

__all__ = ["SessionSettings"]

_OWN = ("axis", "device", "memory_mb", "sam_weights", "template_kind", "weights")


@dataclass(frozen=True)
class SessionSettings:
    """Settings of a session; change them with :meth:`Session.configure`.

    Parameters
    ----------
    config : SegmenterConfig
        Settings of all stages.
    weights : Path, optional
        Local checkpoint of the backbone.
    sam_weights : dict of str to Path
        Local checkpoints, by the name of the SAM that they are of. A path that is given to
        :meth:`Session.configure` counts for every SAM, None takes all back; a dict changes those
        that it names.
    device : str
        As :class:`~napari_fewshot.FewShotSegmenter` takes it.
    axis : int, optional
        Working axis among the spatial ones; None: the one that is sliced in the viewer.
    template_kind : {"dense", "scribble"}
        How Labels layers that are added from now on were painted.
    memory_mb : float
        Most memory of the features that are kept for the next training.
    """

    config: SegmenterConfig = field(default_factory=SegmenterConfig)
    weights: Path | None = None
    device: str = "auto"
    axis: int | None = None
    template_kind: Literal["dense", "scribble"] = "dense"
    memory_mb: float = CACHE_LIMIT_MB
    sam_weights: dict[str, Path] = field(default_factory=dict)

    @property
    def backbone(self) -> str:
        """Name of the backbone."""
        return self.config.backbone

    @property
    def adapter(self) -> str:
        """Name of the adapter."""
        return self.config.adapter

    @property
    def position(self) -> bool:
        """Whether position counts as a feature."""
        return self.config.position.use

    @property
    def of_adapter(self) -> StageConfig:
        """Settings of the chosen adapter."""
        return self.config.adapter_config

    def sam_file(self, name: str) -> Path | None:
        """Local checkpoint of a SAM; None: fetched."""
        return self.sam_weights.get(name)

    def changed(self, changes: dict[str, Any]) -> SessionSettings:
        """Return these settings with some of them changed.

        Raises
        ------
        UnknownNameError
            If a name of a setting, backbone or adapter is unknown.
        InputError
            If a value breaks its limit.
        """
        own = {name: changes[name] for name in _OWN if name in changes}
        stages = {name: value for name, value in changes.items() if name not in _OWN}
        if isinstance(stages.get("position"), bool):
            stages["position"] = {"use": stages["position"]}
        if "of_adapter" in stages:
            values = stages.pop("of_adapter")
            section = str(stages.get("adapter", self.adapter)).replace("-", "_")
            stages[section] = dict(values)
        known = {*SegmenterConfig.model_fields, *_OWN, "of_adapter"}
        for name in stages:
            if name not in known:
                raise UnknownNameError("setting", name, known)
        config = self.config.changed(stages) if stages else self.config
        ADAPTERS.get(config.adapter)
        backbone_entry(config.backbone)
        if "weights" in own:
            own["weights"] = _file("weights", own["weights"])
        if "sam_weights" in own:
            own["sam_weights"] = self._sam_weights(own["sam_weights"])
        _check(own)
        return replace(self, config=config, **own)

    def _sam_weights(self, given: Any) -> dict[str, Path]:
        """Files of the SAMs with those that are given."""
        if not isinstance(given, Mapping):
            given = dict.fromkeys(SAMS, given)
        for name in given:
            if name not in SAMS:
                raise UnknownNameError("sam_weights", name, list(SAMS))
        new = {name: _file("sam_weights", file) for name, file in given.items()}
        return {name: file for name, file in {**self.sam_weights, **new}.items() if file}


def _check(own: dict[str, Any]) -> None:
    if own.get("device", "auto") not in ("auto", "cpu"):  # asking needs torch
        choose_device(own["device"])
    if own.get("template_kind", "dense") not in ("dense", "scribble"):
        raise InputError("template_kind", "be dense or scribble", own["template_kind"])
    if own.get("axis") not in (None, 0, 1, 2):
        raise InputError("axis", "be None or a number 0..2", own["axis"])
    if not float(own.get("memory_mb", 0)) >= 0:
        raise InputError("memory_mb", "be at least 0", own["memory_mb"])


def _file(name: str, given: Any) -> Path | None:
    if given is None:
        return None
    if not Path(given).is_file():
        raise InputError(name, "be an existing file", given)
    return Path(given)

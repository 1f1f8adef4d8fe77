"""Methods that are compared, ours and the baselines: the contract, and all of them by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from ...config import IntensityConfig
from ...config.base import StageConfig
from ...errors import UnknownNameError
from ...features.cache import FeatureCache
from ...features.store import FeatureStore
from ...registry import Registry
from ...templates.template import Template
from ...types import Array, Landmark, Progress, Volume, no_progress

__all__ = [
    "METHODS",
    "WORK_FILES",
    "WORK_FOLDERS",
    "Method",
    "MethodContext",
    "MethodEntry",
    "Oracle",
    "Predicted",
    "Scored",
    "split_settings",
]

Scored = Literal["labels", "union", "each"]
WORK_FILES, WORK_FOLDERS = ("unet.pt",), ("nnunet",)
"""What methods make in their folder for work; only these are removed at the end."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a method says of a volume.

    Parameters
    ----------
    labels : int array, of the spatial shape of the volume in file order, optional
        None where it finds landmarks only.
    landmarks : tuple of Landmark
        None of a label that it holds for absent.
    scored : str
        How labels are compared. ``"labels"``: with those of the truth. ``"union"``: their numbers
        mean nothing; all of them as one region with all structures as one. ``"each"``: as
        :func:`~napari_fewshot.metrics.instances.score_each_instance` does.
    """

    labels: Array | None
    landmarks: tuple[Landmark, ...] = ()
    scored: Scored = "labels"


@dataclass(frozen=True)
class MethodContext:
    """What every method is given.

    Parameters
    ----------
    seed : int
    device : str
        As for :func:`~napari_fewshot.device.choose_device`.
    work : Path
        Folder of its own for files; kept between an interruption and the next run.
    store : FeatureStore, optional
        Features on disk, shared by all methods.
    cache : FeatureCache, optional
        Features in memory, for methods that make the same ones again.
    intensity : IntensityConfig, optional
        Grey values to 0..1 as the data set asks for; a method's own settings go before it.
    landmarks : bool
        Whether landmarks are scored, and not labels.
    per_label : int
        How many landmarks of a label there are at most.
    """

    seed: int
    device: str
    work: Path
    store: FeatureStore | None = None
    cache: FeatureCache | None = None
    intensity: IntensityConfig | None = None
    landmarks: bool = False
    per_label: int = 1

    def with_intensity(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of a method, with the intensity of the data set where they have none."""
        asked = {} if self.intensity is None else {"intensity": self.intensity}
        return {**asked, **settings}


class Method(Protocol):
    """One method with its settings, for one set of templates."""

    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Learn from templates; what is not known on a slice is not learned."""
        ...

    def predict(
        self, volume: Volume, axis: int | str | None, progress: Progress = no_progress
    ) -> Predicted:
        """Label a volume, along the working axis of the data set."""
        ...


@runtime_checkable
class Oracle(Protocol):
    """A method that is shown the truth: no fair competitor, but an upper bound."""

    def show(self, truth: Volume | None) -> None:
        """Take the true labels of the case that is predicted next."""
        ...


@dataclass(frozen=True)
class MethodEntry:
    """A registered method.

    Parameters
    ----------
    name, summary : str
    make : callable
        ``make(settings, context) -> Method``; raises an ``InputError`` for unknown settings.
    needs : tuple of str
        Modules beyond the dependencies of the package, checked before anything is run.
    about : mapping
        For the report: paper, licence.
    oracle : bool
        Whether what it makes is an :class:`Oracle`, for the report.
    learns : bool
        Whether it learns anything from templates.
    """

    name: str
    summary: str
    make: Callable[[Mapping[str, Any], MethodContext], Method]
    needs: tuple[str, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)
    oracle: bool = False
    learns: bool = True


METHODS: Registry[MethodEntry] = Registry(
    "method",
    ".bench.methods.fewshot",
    ".bench.methods.forest",
    ".bench.methods.nnunet",
    ".bench.methods.sam",
    ".bench.methods.unet",
    ".bench.methods.universeg",
)


def split_settings(
    settings: Mapping[str, Any], own: type[StageConfig], rest: type[StageConfig]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of a method that has two configurations, apart.

    An unknown name is refused with all that there are in both.
    """
    known = {*own.model_fields, *rest.model_fields}
    for name in settings:
        if name not in known:
            raise UnknownNameError("settings", name, known)
    first = {name: value for name, value in settings.items() if name in own.model_fields}
    return first, {name: value for name, value in settings.items() if name not in first}

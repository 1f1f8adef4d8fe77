"""What a benchmark is: the sections of its TOML file.

::

    title = "Hippocampus, across patients"
    shots = [1, 3, 5]            # slices, or cases with choice = "cases"; "all": whatever there is
    seeds = [0, 1, 2]
    baseline = "random forest"   # errors are shown as a ratio to those of this method

    [dataset]
    root = "hippocampus_mr"      # relative to this file, or to --data
    images = "images/{case}.nii.gz"
    labels = "labels/{case}.nii.gz"
    # or, in place of images and labels: layout = "msd", options = { task = "Task04_Hippocampus" }
    train = 10                   # the first ten cases are the pool that templates come from
    axis = "coronal"

    [image]
    percentiles = [0.5, 99.5]    # or window = [-160, 240]
    spacing = 1.0                # resampled to mm
    resample = "isotropic"       # or "inplane"

    [templates]
    scope = "across"             # templates of other cases; "within": slices of the case itself
    choice = "cases"             # whole cases; or slices: even, first, random, representative

    [labels]
    names = { 1 = "anterior", 2 = "posterior" }

    [published]
    dataset = "MSD hippocampus"
    structures = { anterior = "anterior" }   # our name = published name

    [[methods]]
    name = "random forest"
    method = "forest"

    [[methods]]
    name = "contrastive"
    method = "fewshot"
    settings = { adapter = "contrastive", propagation = { smoothing = 1.0 } }
    seeds = [0]                  # in place of those above; shots too

With a section ``[landmarks]`` (which may be empty), landmarks are compared in place of labels.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ..config.base import StageConfig
from .sections import (
    DatasetConfig,
    ImageConfig,
    LabelsConfig,
    LandmarksConfig,
    MetricsConfig,
    OutputConfig,
    PublishedConfig,
    TemplatesConfig,
)

__all__ = ["BenchmarkConfig", "MethodConfig", "Shot"]

Shot = Annotated[int, Field(ge=1)] | Literal["all"]
"""How many slices or cases are templates; ``"all"`` is the upper reference."""

Seed = Annotated[int, Field(ge=0)]


class MethodConfig(StageConfig):
    """One row of the tables.

    Parameters
    ----------
    name : str
        As the report calls it; unique.
    method : str
        As it is registered.
    settings : dict
        For the method. Paths (``weights`` and ``*_weights``) are relative to the file.
    shots : list, optional
        In place of those of all methods.
    seeds : list of int, optional
        In place of those of all methods.
    """

    name: str = Field(min_length=1)
    method: str
    settings: dict[str, Any] = Field(default_factory=dict)
    shots: tuple[Shot, ...] | None = Field(default=None, min_length=1, examples=[[1, 3, 5]])
    seeds: tuple[Seed, ...] | None = Field(default=None, min_length=1, examples=[[0, 1, 2]])


class BenchmarkConfig(StageConfig):
    """All of it.

    Parameters
    ----------
    title, notes : str
        For the report.
    shots, seeds : list
    device : str
        As for :func:`~napari_fewshot.device.choose_device`.
    features : {"memory", "disk", "none"}
        Where features are kept from one run of a method to the next: in memory, on disk too (for
        all methods), or not at all. Times of the report are of first runs.
    baseline : str, optional
        Name of the method whose errors others are set in relation to; None: the first.
    others
        The sections.
    """

    title: str = ""
    notes: str = ""
    shots: tuple[Shot, ...] = Field(default=(1, 3, 5), min_length=1, examples=[[1, 3, 5]])
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1, examples=[[0, 1, 2]])
    device: str = "auto"
    features: Literal["memory", "disk", "none"] = "memory"
    baseline: str | None = None
    dataset: DatasetConfig
    image: ImageConfig = ImageConfig()
    templates: TemplatesConfig = TemplatesConfig()
    labels: LabelsConfig = LabelsConfig()
    landmarks: LandmarksConfig | None = None
    metrics: MetricsConfig = MetricsConfig()
    published: tuple[PublishedConfig, ...] = ()
    output: OutputConfig = OutputConfig()
    methods: tuple[MethodConfig, ...] = Field(min_length=1)

    @field_validator("published", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [method.name for method in self.methods]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"have methods of different names, not twice {twice[0]!r}")
        if self.baseline is not None and self.baseline not in names:
            raise ValueError(f"have a baseline that is the name of a method, not {self.baseline!r}")
        if self.landmarks is not None and self.templates.scope == "within":
            raise ValueError('have templates.scope "across" with landmarks')
        return self

    def shots_of(self, method: MethodConfig) -> tuple[Shot, ...]:
        """Shots of a method, each once."""
        return tuple(dict.fromkeys(method.shots or self.shots))

    def seeds_of(self, method: MethodConfig) -> tuple[int, ...]:
        """Seeds of a method, each once."""
        return tuple(dict.fromkeys(method.seeds or self.seeds))

    @property
    def reference(self) -> str:
        """Name of the baseline."""
        return self.baseline or self.methods[0].name

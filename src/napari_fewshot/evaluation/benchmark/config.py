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

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ...config.base import StageConfig

__all__ = [
    "BenchmarkConfig",
    "DatasetConfig",
    "ImageConfig",
    "LabelsConfig",
    "LandmarksConfig",
    "MethodConfig",
    "MetricsConfig",
    "OutputConfig",
    "PublishedConfig",
    "Shot",
    "TemplatesConfig",
]

Shot = int | Literal["all"]
"""How many slices or cases are templates; ``"all"`` is the upper reference."""

Choice = Literal["even", "first", "random", "representative", "cases"]


class DatasetConfig(StageConfig):
    """Where the images are, and which of them are templates.

    Parameters
    ----------
    layout : str, optional
        Name of an official folder layout; or else ``images`` with ``labels`` or ``landmarks``.
    root : Path
        Folder of the data set.
    options : dict
        For the layout.
    images, labels, landmarks : str or list of str
        Paths below ``root``, with ``*`` and one ``{case}`` in each, by which they are matched;
        without ``{case}`` they are matched in sorted order. Landmarks are CSV.
    train : "split", int or list of str, optional
        The pool of cases that templates come from: those of the data set's own split, the first
        so many, or these. None: the split. Of no meaning within a volume.
    test : "split", "rest", int or list of str
        The cases that are scored: those of the split, all outside the pool, the first so many of
        these, or these. Cases that share a person with the pool are left out.
    axis : int or {"auto", "axial", "coronal", "sagittal"}
        Working axis; ``auto``: axial where the file says how it lies, else 0.
    name_of_case : str, optional
        Only cases whose names match this pattern, such as ``"t1*"``.
    """

    layout: str | None = None
    root: Path = Path()
    options: dict[str, Any] = Field(default_factory=dict)
    images: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    landmarks: tuple[str, ...] = ()
    train: Literal["split"] | int | tuple[str, ...] | None = None
    test: Literal["split", "rest"] | int | tuple[str, ...] = "rest"
    axis: int | Literal["auto", "axial", "coronal", "sagittal"] = "auto"
    name_of_case: str | None = None

    @field_validator("images", "labels", "landmarks", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.layout is None) == (not self.images):
            raise ValueError("have either layout or images")
        if self.images and not (self.labels or self.landmarks):
            raise ValueError("have labels or landmarks beside images")
        if self.layout is not None and (self.labels or self.landmarks):
            raise ValueError("have labels and landmarks beside images only, not beside layout")
        if self.images and self.options:
            raise ValueError("have options beside layout only")
        for name, value in (("train", self.train), ("test", self.test)):
            if isinstance(value, int) and value < 1:
                raise ValueError(f"have {name} of at least 1")
        return self


class ImageConfig(StageConfig):
    """What is done to images before any method sees them; scores are on the resampled grid.

    Parameters
    ----------
    window : tuple of float, optional
        Grey values are clipped to these two.
    percentiles : tuple of float, optional
        Grey values are clipped to these two percentiles of each image.
    spacing : float, optional
        Pixel size in mm to resample to.
    resample : {"inplane", "isotropic"}
        Rows and columns only, or the slices too.
    grey : bool
        Colour is averaged.
    """

    window: tuple[float, float] | None = None
    percentiles: tuple[float, float] | None = None
    spacing: float | None = Field(default=None, gt=0)
    resample: Literal["inplane", "isotropic"] = "inplane"
    grey: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.window is not None and self.percentiles is not None:
            raise ValueError("have either window or percentiles")
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError("have a window of low < high")
        if self.percentiles is not None:
            low, high = self.percentiles
            if not 0 <= low < high <= 100:
                raise ValueError("have percentiles of low < high within 0..100")
        return self


class TemplatesConfig(StageConfig):
    """What is painted.

    Parameters
    ----------
    scope : {"within", "across"}
        ``within``: slices of each scored case are its templates, and are left out of its score.
        ``across``: templates are of other cases. The shot ``all`` takes the whole pool; within a
        volume, every slice is then predicted by a model that learned from the slices of four of
        five interleaved folds.
    choice : {"even", "first", "random", "representative", "cases"}
        Which labelled slices: at equal distances, the first ones, drawn by the seed, or those in
        the middle of as many groups of slices that are alike in place and in the areas of labels;
        or whole cases, where shots count cases.
    draw : {"first", "random"}
        Which cases of the pool, with ``cases``: the first ones, or drawn by the seed.
    empty_slices : bool
        Whether slices of whole cases that have no label are known to be empty, or unknown.
    """

    scope: Literal["within", "across"] = "within"
    choice: Choice = "even"
    draw: Literal["first", "random"] = "first"
    empty_slices: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scope == "within" and self.choice == "cases":
            raise ValueError('have scope "across" with choice "cases"')
        return self


class LabelsConfig(StageConfig):
    """Which labels count; others are background.

    Parameters
    ----------
    names : dict of str to str
        Value to name, over the names that files have.
    use : list of int or str, optional
        Values or names; None: all that occur.
    merge : str, optional
        All of them become one label of this name.
    min_voxels : int
        A label that is smaller than this in a case is not scored there.
    """

    names: dict[int, str] = Field(default_factory=dict)
    use: tuple[int | str, ...] | None = None
    merge: str | None = None
    min_voxels: int = Field(default=1, ge=1)


class LandmarksConfig(StageConfig):
    """That landmarks are compared, and which.

    Parameters
    ----------
    use : list of str, optional
        Names; None: all.
    templates : {"points", "labels"}
        What a method is shown: the points, or the label map of the case.
    """

    use: tuple[str, ...] | None = None
    templates: Literal["points", "labels"] = "points"


class MetricsConfig(StageConfig):
    """How scores are taken.

    Parameters
    ----------
    radius_px : float
        A landmark that is nearer than this to the truth is localised.
    """

    radius_px: float = Field(default=10.0, gt=0)


class PublishedConfig(StageConfig):
    """Published figures that stand beside ours.

    Parameters
    ----------
    dataset : str
        As in ``published.csv``.
    structures : dict of str to str
        Our name of a structure to that of the table.
    """

    dataset: str
    structures: dict[str, str]


class OutputConfig(StageConfig):
    """What is kept.

    Parameters
    ----------
    pictures : int
        Worst slices that the report shows of each method.
    predictions : bool
        Whether predicted label maps are written too.
    """

    pictures: int = Field(default=4, ge=0)
    predictions: bool = False


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
    shots: tuple[Shot, ...] | None = Field(default=None, min_length=1)
    seeds: tuple[int, ...] | None = Field(default=None, min_length=1)


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
    shots: tuple[Shot, ...] = Field(default=(1, 3, 5), min_length=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
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
        for method in self.methods:
            for shot in self.shots_of(method):
                if shot != "all" and shot < 1:
                    raise ValueError("have shots of at least 1")
            if min(self.seeds_of(method)) < 0:
                raise ValueError("have seeds of at least 0")
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

"""What a benchmark is: the sections of its TOML file, as docs/benchmark.md describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from ..config.base import StageConfig, input_error
from ..config.toml_file import read_toml
from ..errors import InputError, UnknownNameError

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
    "load_config",
    "ready_config",
    "ready_configs",
]

Shot = Annotated[int, Field(ge=1)] | Literal["all"]
"""How many slices or cases are templates; ``"all"`` is the upper reference."""
Shots = Annotated[tuple[Shot, ...], Field(min_length=1)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
OneOrSeveral = BeforeValidator(lambda value: (value,) if isinstance(value, str | dict) else value)
Patterns = Annotated[tuple[str, ...], OneOrSeveral]

_READY = Path(__file__).parent / "configs"


class _Grown(StageConfig):
    """Settings of ``later`` versions are written only where they say something.

    Older results know nothing of them, and stay what they are.
    """

    later: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        silent = {
            name
            for name in self.later
            if getattr(self, name) == fields[name].get_default(call_default_factory=True)
        }
        return {name: value for name, value in write(self).items() if name not in silent}


class DatasetConfig(StageConfig):
    """Where the images are, and which of them are templates."""

    layout: str | None = None
    """Name of a folder layout; or else ``images`` with ``labels`` or ``landmarks``, which are short
    for those options of the layout ``folder``."""
    root: Path = Path()
    options: dict[str, Any] = Field(default_factory=dict)
    """For the layout."""
    images: Patterns = ()
    labels: Patterns = ()
    landmarks: Patterns = ()
    train: Literal["split"] | int | tuple[str, ...] | None = None
    """The pool of cases that templates come from: those of the data set's own split, the first so
    many, or these. None: the split. Of no meaning within a volume."""
    test: Literal["split", "rest", "all"] | int | tuple[str, ...] = "rest"
    """The cases that are scored: those of the split, all outside the pool, the first so many of
    these, or these. Cases that share a person with the pool are left out. ``"all"``: those of the
    pool too, without the slices that taught; the report keeps them apart."""
    axis: int | Literal["auto", "axial", "coronal", "sagittal"] = "auto"
    """Working axis, in file order; auto: axial where the file says how it lies, else 0."""
    name_of_case: str | None = None
    """Only cases whose names match this pattern, such as ``"t1*"``."""

    @field_validator("axis")
    @classmethod
    def _an_axis(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 0 <= value <= 2:
            raise ValueError("be 0, 1 or 2 (in the order of the file), or a name such as axial")
        return value

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
    """What is done to images before any method sees them; scores are on the resampled grid."""

    window: tuple[float, float] | None = None
    """Grey values are clipped to these two."""
    percentiles: tuple[float, float] | None = None
    """Grey values are clipped to these two percentiles of each image."""
    spacing: float | None = Field(default=None, gt=0)
    """Pixel size in mm to resample to."""
    resample: Literal["inplane", "isotropic"] = "inplane"
    """Rows and columns only, or the slices too."""
    grey: bool = False
    """Colour is averaged."""

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


class TemplatesConfig(_Grown):
    """What is painted."""

    later = ("scored",)

    scope: Literal["within", "across"] = "within"
    """within: slices of each scored case are its templates, and are left out of its score. across:
    templates are of other cases. The shot ``all`` takes the whole pool; within a volume, every
    slice is then predicted by a model that learned from the slices of four of five interleaved
    folds."""
    choice: Literal["even", "first", "random", "representative", "cases"] = "even"
    """Which labelled slices: at equal distances, the first ones, drawn by the seed, or those in the
    middle of as many groups of slices that are alike in place and in the areas of labels; or whole
    cases, where shots count cases."""
    draw: Literal["first", "random"] = "first"
    """Which cases of the pool, where whole cases are painted: the first, or drawn by the seed."""
    empty_slices: bool = True
    """Whether slices of whole cases that have no label are known to be empty, or unknown."""
    scored: bool = False
    """Whether the slices that taught are scored too, as some published figures were made. It says
    how well a method learns by heart, and the report says so."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scope == "within" and self.choice == "cases":
            raise ValueError('have scope "across" with choice "cases"')
        return self


class LabelsConfig(_Grown):
    """Which labels count; others are background."""

    later = ("join",)

    names: dict[int, str] = Field(default_factory=dict)
    """Over the names that files have."""
    use: tuple[int | str, ...] | None = None
    """Values or names; None: all that occur."""
    merge: str | None = None
    """All of them become one label of this name."""
    join: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Names of labels, or of landmarks, that become one of this name; the others stay. A joined
    label of two landmarks, such as both eyes, has both of them."""
    min_voxels: int = Field(default=1, ge=1)
    """A label that is smaller than this in a case, painted slices included, is not scored there."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        joined = [name for names in self.join.values() for name in names]
        twice = sorted({name for name in joined if joined.count(name) > 1})
        if twice:
            raise ValueError(f"have each name once in join, not {twice[0]!r} twice")
        if self.join and self.merge is not None:
            raise ValueError("have either merge or join")
        return self

    @property
    def joined(self) -> dict[str, str]:
        """Name of the label that a name becomes."""
        return {name: whole for whole, names in self.join.items() for name in names}

    @property
    def listed(self) -> bool:
        """Whether it is said here which labels there are, and not by the files alone."""
        return bool(self.names or self.use or self.merge)


class LandmarksConfig(_Grown):
    """That landmarks are compared, which of them, and whether points or labels are shown."""

    later = ("per_label",)

    use: tuple[str, ...] | None = None
    templates: Literal["points", "labels"] = "points"
    per_label: int = Field(default=1, ge=1)
    """How many landmarks of one name a case has at most, such as two where sides are joined;
    methods look for as many."""


class MetricsConfig(StageConfig):
    """A landmark that is nearer than this to the truth is localised."""

    radius_px: float = Field(default=10.0, gt=0)


class PublishedConfig(StageConfig):
    """Published figures that stand beside ours: our names of structures to those of the table."""

    dataset: str
    structures: dict[str, str]


class OutputConfig(StageConfig):
    """What is kept and shown beside the scores."""

    pictures: int = Field(default=4, ge=0)
    """Worst slices of each method, and cases of the figures; 0: no pictures of cases, and nothing
    is kept for them."""
    picture_slices: int = Field(default=10, ge=1, le=50)
    """Slices of a case, at equal distances, that are kept of predictions, and shown."""
    predictions: bool = False
    """Whether label maps are written."""


class MethodConfig(StageConfig):
    """One row of the tables: its name there, and the registered method with its settings.

    Paths in the settings (``weights`` and ``*_weights``) are relative to the file. Shots and seeds
    go before those of all methods.
    """

    name: str = Field(min_length=1)
    method: str
    settings: dict[str, Any] = Field(default_factory=dict)
    shots: Shots | None = Field(default=None, examples=[[1, 3, 5]])
    seeds: Seeds | None = Field(default=None, examples=[[0, 1, 2]])


class BenchmarkConfig(StageConfig):
    """All of it.

    ``features`` says where they are kept from one run of a method to the next: in memory, on disk
    too (for all methods), or not at all. Errors are set in relation to those of the method
    ``baseline``; None: the first.
    """

    title: str = ""
    notes: str = ""
    shots: Shots = Field(default=(1, 3, 5), examples=[[1, 3, 5]])
    seeds: Seeds = Field(default=(0,), examples=[[0, 1, 2]])
    device: str = "auto"
    features: Literal["memory", "disk", "none"] = "memory"
    baseline: str | None = None
    dataset: DatasetConfig
    image: ImageConfig = ImageConfig()
    templates: TemplatesConfig = TemplatesConfig()
    labels: LabelsConfig = LabelsConfig()
    landmarks: LandmarksConfig | None = None
    metrics: MetricsConfig = MetricsConfig()
    published: Annotated[tuple[PublishedConfig, ...], OneOrSeveral] = ()
    output: OutputConfig = OutputConfig()
    methods: tuple[MethodConfig, ...] = Field(min_length=1)

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
        if self.dataset.test == "all" and self.templates.scope == "within":
            raise ValueError('have templates.scope "across" with dataset.test "all"')
        if self.templates.scored and self.dataset.test != "all":
            raise ValueError('have dataset.test "all" with templates.scored')
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


def load_config(path: str | Path, data: str | Path | None = None) -> BenchmarkConfig:
    """Read the configuration of a benchmark: a TOML file, or a name that comes with the package.

    Relative paths in a file are relative to its folder. ``data`` is the folder that the root of the
    data set is relative to, or, where the file has none, the root.
    """
    path = ready_config(path)
    if not path.is_file():
        constraint = "be an existing file, or the name of one that comes with the package"
        raise InputError("CONFIG", constraint, path, f"Names are {', '.join(ready_configs())}.")
    if data is None and path.parent == _READY:
        remedy = "Give the folder of that data set."
        raise InputError("--data", f"be given with {path.stem}", "nothing", remedy)
    given = read_toml(path)
    try:
        config = BenchmarkConfig.model_validate(given)
    except ValidationError as error:
        raise input_error(error, BenchmarkConfig, path.name, ": ") from None
    folder = path.absolute().parent
    root = (folder if data is None else Path(data).absolute()) / config.dataset.root
    methods = tuple(
        method.model_copy(update={"settings": _placed(method.settings, folder)})
        for method in config.methods
    )
    dataset = config.dataset.model_copy(update={"root": root})
    return config.model_copy(update={"dataset": dataset, "methods": methods})


def ready_configs() -> dict[str, Path]:
    """Files of the configurations that come with the package, by name."""
    return {file.stem: file for file in sorted(_READY.glob("*.toml"))}


def ready_config(name: str | Path) -> Path:
    """Return the configuration of a name that comes with the package, or the path as it is."""
    path = Path(name)
    # A folder of that name may be the data itself.
    if path.is_file() or path.suffix or path.name != str(name):
        return path
    ready = ready_configs()
    if str(name) not in ready:
        raise UnknownNameError("CONFIG", str(name), ready)
    return ready[str(name)]


def is_weights(key: str) -> bool:
    """Whether a setting of a method names a file of weights."""
    return key == "weights" or key.endswith("_weights")


def _placed(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Settings with paths that are absolute."""
    result = dict(settings)
    for key, value in settings.items():
        if isinstance(value, dict):
            result[key] = _placed(value, folder)
        elif isinstance(value, str) and is_weights(key):
            result[key] = str(folder / value)
    return result

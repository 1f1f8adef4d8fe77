"""Settings of every stage: frozen, validated, saved with the model.

Each default lives here and nowhere else. Unknown keys are refused, and every configuration
round-trips through JSON (``model_dump`` and ``model_validate`` of pydantic).
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import InputError, UnknownNameError

__all__ = [
    "DEFAULT_ADAPTER",
    "DEFAULT_BACKBONE",
    "STORE_LIMIT_GB",
    "ClassificationConfig",
    "CleanupConfig",
    "ContrastiveConfig",
    "CosineConfig",
    "ExtractionConfig",
    "IntensityConfig",
    "LandmarkConfig",
    "PositionConfig",
    "PropagationConfig",
    "ResamplingConfig",
    "SamplingConfig",
    "SegmenterConfig",
    "StageConfig",
    "TrainingConfig",
]


DEFAULT_BACKBONE = "multiscale"
DEFAULT_ADAPTER = "contrastive"
STORE_LIMIT_GB = 20.0


class StageConfig(BaseModel):
    """Base of all settings: immutable, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def of(cls, value: Self | dict[str, Any] | None, parameter: str) -> Self:
        """Take a configuration as it is, or build one from a dict (None: the defaults).

        Raises
        ------
        UnknownNameError
            If the dict has a key that is no setting.
        InputError
            If a value breaks its limit.
        """
        if isinstance(value, cls):
            return value
        if value is not None and not isinstance(value, dict):
            raise InputError(parameter, f"be a {cls.__name__} or a dict", value)
        try:
            return cls.model_validate(value or {})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or cls.__name__
            if first["type"] == "extra_forbidden":
                known = _settings_beside(cls, first["loc"])
                *section, key = (str(part) for part in first["loc"])
                raise UnknownNameError(".".join((parameter, *section)), key, known) from None
            message = str(first["msg"])
            constraint = message.removeprefix("Value error, ").removeprefix("Input should ")
            raise InputError(f"{parameter}.{name}", constraint, first["input"]) from None


def _settings_beside(config: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Names of the settings of the section in which a key stands."""
    for part in place[:-1]:
        below = config.model_fields[str(part)].annotation
        if not (isinstance(below, type) and issubclass(below, BaseModel)):
            break
        config = below
    return list(config.model_fields)


class IntensityConfig(StageConfig):
    """Grey values to 0..1, once per volume.

    ``percentile``: the given percentiles of the finite voxels. ``window``: fixed grey values
    ``low`` and ``high`` (CT: -160 to 240 HU).
    Channels, also those of RGB, each have percentiles of their own.
    """

    mode: Literal["percentile", "window"] = "percentile"
    low: float = 0.5
    high: float = 99.5

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise ValueError("have low < high")
        if self.mode == "percentile" and not (0 <= self.low and self.high <= 100):
            raise ValueError("have percentiles within 0..100")
        return self


class ResamplingConfig(StageConfig):
    """Grid that features are taken from; results always return to the original grid.

    ``inplane``: rows and columns at ``spacing`` mm; ``isotropic``: the slices too.
    """

    mode: Literal["off", "inplane", "isotropic"] = "off"
    spacing: float = Field(default=1.0, gt=0)


class ExtractionConfig(StageConfig):
    """Slices to feature maps.

    Parameters
    ----------
    blocks : int
        Last blocks of a transformer whose outputs are joined.
    min_tokens : int
        A slice is enlarged until its shorter side has this many tokens (token grids only).
    max_side : int
        Largest side of an encoded tile in input pixels; larger slices are cut into tiles.
    overlap : float
        Share of a tile that overlaps with its neighbour; blended linearly.
    batch : int
        Slices encoded at once; halved on out-of-memory.
    precision : {"auto", "float32", "bfloat16", "float16"}
        ``auto``: bfloat16 for transformers on CPUs that have it, float16 on CUDA, else float32.
    """

    blocks: int = Field(default=1, ge=1, le=24)
    min_tokens: int = Field(default=32, ge=4, le=256)
    max_side: int = Field(default=784, ge=64)
    overlap: float = Field(default=0.25, ge=0.0, lt=0.9)
    batch: int = Field(default=4, ge=1)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"


class SamplingConfig(StageConfig):
    """Pixels taken out of templates.

    Parameters
    ----------
    pixels_per_label : int
        Most pixels of one label, over all template slices.
    background_factor : float
        Background pixels for each foreground pixel; 1 is the published balance for one label.
    background_least : int
        Background pixels at least, since few pixels of a landmark or a small structure need
        more of what it is not.
    point_radius : float
        Radius in pixels of the disk that stands for a landmark.
    """

    pixels_per_label: int = Field(default=4000, ge=10)
    background_least: int = Field(default=4000, ge=1)
    background_factor: float = Field(default=2.0, gt=0)
    point_radius: float = Field(default=3.0, gt=0)


class PositionConfig(StageConfig):
    """Normalised position as additional features; it can hurt where pose varies.

    Parameters
    ----------
    use : bool
    weight : float
        Spread of a position column beside that of an image feature, which is 1.
    """

    use: bool = True
    weight: float = Field(default=1.0, gt=0)


class CosineConfig(StageConfig):
    """Cosine similarity to the mean template feature of a label.

    Parameters
    ----------
    threshold : float
        A pixel whose similarity to every label is below this is background.
    standardise : bool
        Compare standardised features; False compares features as the backbone gives them.
    """

    threshold: float = Field(default=0.5, gt=-1, lt=1)
    standardise: bool = True


class TrainingConfig(StageConfig):
    """What the trained adapters share.

    Parameters
    ----------
    balance : float
        0 draws classes as frequently as they are in the templates, 1 all equally often.
    dropout : float
    learning_rate : float
        Highest rate of the one-cycle schedule.
    weight_decay : float
    """

    balance: float = Field(default=0.4, ge=0, le=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    learning_rate: float = Field(default=1e-2, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)


class ClassificationConfig(TrainingConfig):
    """Three-layer feed-forward network, cross-entropy.

    Parameters
    ----------
    hidden : int
        Width of the two hidden layers.
    steps, batch : int
        Steps of training, and pixels in each.
    """

    hidden: int = Field(default=128, ge=4)
    steps: int = Field(default=1500, ge=1)
    batch: int = Field(default=1024, ge=2)


class ContrastiveConfig(TrainingConfig):
    """Siamese network over pairs of pixels with shared weights.

    Parameters
    ----------
    head : {"concat", "bilinear"}
        ``concat`` (published): a linear layer on the two joined outputs. ``bilinear``: with
        the product of the two outputs through a learned matrix, which compares them.
    hidden, depth, width : int
        Width and number of the layers of the shared network, and width of its output.
    steps, targets, pairs : int
        Steps of training; target pixels in each; references of each label that every target
        is paired with.
    references : int
        Reference pixels of each label that a prediction compares with.
    pair_loss : float
        Weight of the cross-entropy on the class of each pair.
    pixel_loss : float
        Weight of the cross-entropy of the averaged pairs of a pixel, beside that of the pairs.
    negative_distance : float
        Pairs of two labels count only if their pixels are at least so many pixels apart in
        their slice (published: 0, anywhere, or 10).
    background_pull : float
        Weight with which a pixel that may be background, or a label nobody looked for, is
        taken for background.
    similarity_loss : float
        Weight of a term that pulls the outputs of positive pairs together and pushes those of
        negative pairs apart.
    """

    head: Literal["concat", "bilinear"] = "bilinear"
    hidden: int = Field(default=128, ge=4)
    depth: int = Field(default=2, ge=1)
    width: int = Field(default=64, ge=2)
    steps: int = Field(default=1000, ge=1)
    targets: int = Field(default=512, ge=2)
    pairs: int = Field(default=8, ge=1)
    references: int = Field(default=32, ge=1)
    pair_loss: float = Field(default=0.5, gt=0)
    pixel_loss: float = Field(default=1.0, ge=0)
    negative_distance: float = Field(default=0.0, ge=0)
    background_pull: float = Field(default=0.01, ge=0, le=1)
    similarity_loss: float = Field(default=0.0, ge=0)


class CleanupConfig(StageConfig):
    """Connected components of each predicted label.

    Parameters
    ----------
    dimensions : {2, 3}
        Components within a slice (2) or in the volume (3).
    min_size : int
        Smallest component kept, in pixels or voxels; 0 keeps all.
    largest_only : bool
        Keep one component for each label (and slice, with 2 dimensions).
    connectivity : int
        Voxels touch across faces (1), edges too (2) or corners too (3, volumes only).
    """

    dimensions: Literal[2, 3] = 3
    min_size: int = Field(default=0, ge=0)
    largest_only: bool = False
    connectivity: int = Field(default=1, ge=1, le=3)


class LandmarkConfig(StageConfig):
    """Points per label.

    Parameters
    ----------
    per_label : int
        Most points for one label.
    min_score : float
        Lowest probability of a point.
    min_distance : float
        Smallest distance of two points of one label in mm.
    """

    per_label: int = Field(default=1, ge=1)
    min_score: float = Field(default=0.3, ge=0, le=1)
    min_distance: float = Field(default=5.0, gt=0)


class PropagationConfig(StageConfig):
    """Probabilities over the slices of a volume, then clean labels.

    Parameters
    ----------
    smoothing : float
        Standard deviation, in pixels, of a Gaussian over the probabilities; 0: none.
    resolution : {"pixels", "tokens"}
        Where the adapter works: on features interpolated to pixels, or on the token grid,
        whose probabilities are then interpolated.
    cleanup : CleanupConfig
    landmarks : LandmarkConfig
    """

    smoothing: float = Field(default=1.0, ge=0, le=20)
    resolution: Literal["pixels", "tokens"] = "pixels"
    cleanup: CleanupConfig = CleanupConfig()
    landmarks: LandmarkConfig = LandmarkConfig()


class SegmenterConfig(StageConfig):
    """All settings of a segmenter: what the model file keeps.

    Parameters
    ----------
    backbone : str
    adapter : str
    preset : {"published"}, optional
        Starts from the settings of the papers instead of our defaults; settings that are
        given as well still count.
    seed : int
    others
        The settings of each stage.
    """

    backbone: str = DEFAULT_BACKBONE
    adapter: str = DEFAULT_ADAPTER
    preset: Literal["published"] | None = None
    seed: int = Field(default=0, ge=0, lt=2**63)
    intensity: IntensityConfig = IntensityConfig()
    resampling: ResamplingConfig = ResamplingConfig()
    extraction: ExtractionConfig = ExtractionConfig()
    sampling: SamplingConfig = SamplingConfig()
    position: PositionConfig = PositionConfig()
    cosine: CosineConfig = CosineConfig()
    classification: ClassificationConfig = ClassificationConfig()
    contrastive: ContrastiveConfig = ContrastiveConfig()
    propagation: PropagationConfig = PropagationConfig()

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("preset") == "published":
            return _merged(_PUBLISHED, given)
        return given

    def changed(self, changes: dict[str, Any]) -> Self:
        """Return these settings with others laid over them, section by section."""
        return type(self).of(_merged(self.model_dump(), changes), "settings")


_PUBLISHED: dict[str, Any] = {
    "sampling": {"background_factor": 1.0, "background_least": 1},
    "position": {"use": False},
    "cosine": {"threshold": 0.5, "standardise": False},
    "classification": {"balance": 1.0},
    "contrastive": {"head": "concat", "balance": 1.0, "pair_loss": 1.0, "pixel_loss": 0.0},
    "propagation": {
        "smoothing": 0.0,
        "cleanup": {"dimensions": 2, "largest_only": True},
        "landmarks": {"per_label": 10},
    },
}


def _merged(base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Lay the given settings over a base, section by section."""
    result = dict(base)
    for key, value in given.items():
        below = result.get(key)
        if isinstance(value, BaseModel) and isinstance(below, dict):
            value = value.model_dump(exclude_unset=True)
        result[key] = (
            _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
        )
    return result

"""Sections of the configuration of a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ..config.base import StageConfig

__all__ = [
    "DatasetConfig",
    "ImageConfig",
    "LabelsConfig",
    "LandmarksConfig",
    "MetricsConfig",
    "OutputConfig",
    "PublishedConfig",
    "TemplatesConfig",
]


class DatasetConfig(StageConfig):
    """Where the images are, and which of them are templates.

    Parameters
    ----------
    layout : str, optional
        Name of a folder layout; or else ``images`` with ``labels`` or ``landmarks``, which are
        short for those options of the layout ``folder``.
    root : Path
        Folder of the data set.
    options : dict
        For the layout.
    images, labels, landmarks : str or list of str
        Paths below ``root``, with ``*`` and one ``{case}`` in each, by which they are matched;
        without ``{case}`` they are matched in order. Landmarks are CSV.
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

    @field_validator("axis")
    @classmethod
    def _an_axis(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 0 <= value <= 2:
            raise ValueError("be 0, 1 or 2 (in the order of the file), or a name such as axial")
        return value

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

    @property
    def layout_options(self) -> dict[str, Any]:
        """What the layout is called with, beside ``root``."""
        if self.layout is not None:
            return self.options
        return {"images": self.images, "labels": self.labels, "landmarks": self.landmarks}


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
    choice: Literal["even", "first", "random", "representative", "cases"] = "even"
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
        A label that is smaller than this in a case, painted slices included, is not scored there.
    """

    names: dict[int, str] = Field(default_factory=dict)
    use: tuple[int | str, ...] | None = None
    merge: str | None = None
    min_voxels: int = Field(default=1, ge=1)

    @property
    def listed(self) -> bool:
        """Whether it is said here which labels there are, and not by the files alone."""
        return bool(self.names or self.use or self.merge)


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

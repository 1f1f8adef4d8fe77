"""Settings of what follows a prediction: components, landmarks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import StageConfig
from .refinement import RefinementConfig

__all__ = ["CleanupConfig", "LandmarkConfig", "PropagationConfig"]


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

    @property
    def changes_labels(self) -> bool:
        """Whether there is a rule that may remove a component."""
        return self.min_size > 1 or self.largest_only


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
    arrangement : bool
        Landmarks that were learned as points, ten or more and one of each, are placed together,
        as they lie in the templates, up to rotation, size and a little give; see
        :func:`~napari_fewshot.predict.constellation.fit_constellation`. Their scores may be below
        ``min_score``.
    """

    per_label: int = Field(default=1, ge=1)
    min_score: float = Field(default=0.3, ge=0, le=1)
    min_distance: float = Field(default=5.0, gt=0)
    arrangement: bool = True


class PropagationConfig(StageConfig):
    """Probabilities over the slices of a volume, then clean labels.

    Parameters
    ----------
    smoothing : float
        Standard deviation, in pixels, of a Gaussian over the probabilities; 0: none. Across
        slices it is as wide in mm, but one slice at most, and none where slices lie nearer to
        each other than a quarter of a pixel.
    resolution : {"pixels", "tokens"}
        Where the adapter works: on features interpolated to pixels, or on the token grid,
        whose probabilities are then interpolated.
    cleanup : CleanupConfig
    landmarks : LandmarkConfig
    refinement : RefinementConfig
        Of the labels, after their components are cleaned.
    """

    smoothing: float = Field(default=1.0, ge=0, le=20)
    resolution: Literal["pixels", "tokens"] = "pixels"
    cleanup: CleanupConfig = CleanupConfig()
    landmarks: LandmarkConfig = LandmarkConfig()
    refinement: RefinementConfig = RefinementConfig()

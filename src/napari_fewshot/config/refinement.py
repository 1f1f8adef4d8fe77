"""Settings of refinement: localised regions made exact."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import StageConfig

__all__ = ["PromptConfig", "RefinementConfig", "WalkerConfig"]


class WalkerConfig(StageConfig):
    """Random walker with prior models (Grady 2005, 2006), which also compares looks.

    Parameters
    ----------
    confidence : float
        Pixels of at least this confidence keep their label.
    looks : float
        How much it counts, beside the prediction, what pixels nearby look like; 0: not.
    reach : float
        How far away looks are compared: standard deviation of a Gaussian, in pixels.
    contrast : float
        Grey values (0..1) that differ by this much look different; where there is noise, by as
        much more.
    beta : float
        How much a step across an edge of the image costs.
    hold : float
        How much pixels hold to their own label, against the pull of their neighbours.
    """

    confidence: float = Field(default=0.9, ge=0, le=1)
    looks: float = Field(default=0.07, ge=0, le=10)
    reach: float = Field(default=3.0, gt=0, le=20)
    contrast: float = Field(default=0.03, gt=0)
    beta: float = Field(default=10.0, gt=0)
    hold: float = Field(default=3.0, gt=0)


class PromptConfig(StageConfig):
    """Prompts that SAM gets for a region.

    Parameters
    ----------
    strategy : {"random", "components", "box", "boxes", "box-points", "mask"}
        ``random``: pixels of the region, drawn at random (published: ten of them).
        ``components``: of each component the pixel that lies deepest. ``box``: a box round the
        region; ``boxes``: one round each component, each prompted alone. ``box-points``: a box
        round the region and random pixels of it. ``mask``: the region itself, as SAM's
        low-resolution mask, with its deepest pixel. MedSAM, which was trained with boxes alone,
        gets a box for any of them but ``boxes``.
    points : int
        Pixels that ``random`` and ``box-points`` draw.
    negatives : int
        Negative points, drawn from other labels and from confident background.
    margin : float
        What boxes are widened by on each side, as a share of their sides.
    min_area : int
        Components of fewer pixels get no prompt of their own; with ``boxes`` they stay as they
        are.
    agreement : float
        A region keeps its shape where the best mask has a smaller IoU with it: SAM then meant
        another structure. 0: the mask is taken whatever it is (published).
    """

    strategy: Literal["random", "components", "box", "boxes", "box-points", "mask"] = "random"
    points: int = Field(default=10, ge=1, le=1000)
    negatives: int = Field(default=0, ge=0, le=1000)
    margin: float = Field(default=0.05, ge=0, le=1)
    min_area: int = Field(default=4, ge=1)
    agreement: float = Field(default=0.5, ge=0, le=1)


class RefinementConfig(StageConfig):
    """What follows localisation: prompts to SAM, or a method that needs no download.

    Parameters
    ----------
    method : str, optional
        None: no refinement. ``random-walker``, a SAM (``sam-vit-b``, ``sam-vit-l``,
        ``sam-vit-h``, ``medsam``), or ``auto``: SAM where its weights are on this machine, else
        the random walker.
    prompts : PromptConfig
    walker : WalkerConfig
    """

    method: str | None = None
    prompts: PromptConfig = PromptConfig()
    walker: WalkerConfig = WalkerConfig()

"""Words of the viewer: what is wrong, what goes on, and long names in short."""

from __future__ import annotations

from ..backbones.weights import MissingWeightsError

__all__ = ["SLICE_IN_VIEW", "in_viewer", "is_followed", "shortened", "what_goes_on"]

SLICE_IN_VIEW = "slice in view"
"""Step of a job that shows one slice before it goes through all."""
_LEARNING = {
    "features": "looking at slices",
    "template features": "looking at painted slices",
    "slices to learn more from": "looking for more to learn from",
    "training": "learning",
}
_STEPS = {
    **_LEARNING,
    "": "preparing",
    SLICE_IN_VIEW: "labelling the slice in view",
    "slices": "labelling slice by slice",
    "tiles": "labelling",
    "landmarks": "finding landmarks",
    "registration": "comparing with painted images",
}


def what_goes_on(step: str) -> str:
    """A step of a job, as its work names it, for people; empty where the job's name says it."""
    return _STEPS.get(step, "")


def is_followed(step: str) -> bool:
    """Whether others follow a step, so that its end is not that of the job."""
    return step in _LEARNING


def in_viewer(error: BaseException) -> str:
    """Message of an error, for somebody who sits at the viewer."""
    if not isinstance(error, MissingWeightsError):
        return str(error).replace(", or give --overwrite.", ".")
    source = error.source
    size = f" ({source.size_mb:.0f} MB)" if source.size_mb else ""
    why = error.reasons[0].rstrip(".") if error.reasons else "no source is known"
    if error.is_sam:
        way = "Choose a file of them under Weights, below the method"
        way += f", or {error.instead}." if error.instead else "."
    else:
        way = (
            "Choose a file of them under Weights in Feature extraction, or the backbone embedded, "
            "which needs no download."
        )
    return (
        f"The weights of {source.name}{size} are not here, and could not be fetched: {why}.\n{way}"
    )


def shortened(name: str, longest: int) -> str:
    """A name with its middle left out where it has more characters: words do not break."""
    half = longest // 2 - 1
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"

"""Words of the viewer: what is wrong in terms of its controls, and long names in short."""

from __future__ import annotations

from ..backbones.weights import MissingWeightsError

__all__ = ["in_viewer", "shortened"]


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

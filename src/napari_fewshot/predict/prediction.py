"""What a prediction is."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import Array, Landmark

__all__ = ["FUSED", "Prediction"]

FUSED = "fused"
"""Axis of a prediction that averages the probabilities of all planes that were painted."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """A labelled volume, on the grid and in the order of the image it was made for.

    Parameters
    ----------
    labels : int array, shape (Z, Y, X) or (Y, X)
        Label values of the templates; 0 is background. The smallest of uint8, uint16 and
        int32 that holds them.
    confidence : float32 array, of the shape of ``labels``
        Probability, in 0..1, of the value that ``labels`` has there.
    landmarks : tuple of Landmark
        Up to the set number of points for each label; none where the label is absent.
    names : dict of int to str
        Names of the label values.
    """

    labels: Array
    confidence: Array
    landmarks: tuple[Landmark, ...]
    names: dict[int, str]

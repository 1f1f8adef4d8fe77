"""The linear map from features to what a classifier begins with, the standardisation in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..pointwise import linear
from ..types import Array

if TYPE_CHECKING:
    import torch

__all__ = ["Projection", "sample_cells"]


@dataclass(frozen=True, eq=False)
class Projection:
    """Features and position of pixels to the vectors that a classifier begins with.

    Linear, so that it may come before the interpolation of tokens to pixels, which are many more:
    ``E`` values instead of all features are then interpolated.

    Parameters
    ----------
    weight : tensor, shape (E, C), float32
        For features as the backbone gives them: the standardisation is in it.
    position : tensor, shape (E, P), float32
        For the columns of position, of which there may be none.
    bias : tensor, shape (E,), float32
    factor : tensor, shape (C,), float32, or None
        The diagonal of the weight, where there is nothing else: each feature keeps to itself.
    """

    weight: torch.Tensor
    position: torch.Tensor
    bias: torch.Tensor
    factor: torch.Tensor | None = None

    @classmethod
    def of(
        cls,
        first: tuple[torch.Tensor, torch.Tensor] | None,
        mean: Array,
        scale: Array,
        position: int = 0,
    ) -> Projection:
        """Fold a standardisation into the first layer of a classifier.

        Parameters
        ----------
        first : (weight, bias), shapes (E, D) and (E,), or None
            The layer for standardised vectors; None leaves them as they are.
        mean, scale : array, shape (D,)
            Subtracted from the vectors, then multiplied by.
        position : int
            How many of the D columns, the last ones, are position.

        Raises
        ------
        ValueError
            If the shapes do not fit each other.
        """
        import torch

        shift, factor = torch.from_numpy(mean).double(), torch.from_numpy(scale).double()
        if shift.ndim != 1 or shift.shape != factor.shape:
            raise ValueError(f"shapes {mean.shape} and {scale.shape} of mean and scale")
        device = torch.device("cpu") if first is None else first[0].device
        if first is None:
            weight, bias = factor.diag(), -shift * factor
        else:
            weight, bias = (part.detach().cpu().double() for part in first)
            if weight.shape[1] != len(shift):
                raise ValueError(f"{weight.shape[1]} inputs for {len(shift)} columns")
            weight = weight * factor
            bias = bias - weight @ shift
        columns = weight.shape[1] - position
        parts = weight[:, :columns], weight[:, columns:], bias
        of_features, of_position, bias = (p.float().contiguous().to(device) for p in parts)
        own = factor[:columns].float().to(device) if first is None else None
        return cls(of_features, of_position, bias, own)

    @property
    def columns(self) -> int:
        """Features C of a pixel."""
        return int(self.weight.shape[1])

    def features(self, vectors: torch.Tensor) -> torch.Tensor:
        """Project features, shape (..., C), of any float type, to (..., E), float32, on the device.

        What :meth:`add_position` adds is still missing.
        """
        given = vectors.to(self.weight)
        if self.factor is None:
            return linear(given, self.weight, self.bias)
        columns = self.columns
        result = given.new_empty(*given.shape[:-1], len(self.bias))
        result[..., :columns] = given.mul(self.factor).add_(self.bias[:columns])
        result[..., columns:] = self.bias[columns:]
        return result

    def add_position(self, projected: torch.Tensor, columns: Array) -> None:
        """Add what the columns of position, shape (n, P), give to projected features (n, E)."""
        import torch

        projected.addmm_(torch.from_numpy(columns).to(self.position), self.position.T)


def sample_cells(cells: torch.Tensor, y: Array, x: Array) -> torch.Tensor:
    """Interpolate cells, shape (h, w, E), bilinearly at rows ``y`` × columns ``x``: (R, X, E).

    Coordinates are in cells, 0 at the centre of the first; beyond the outer centres the outer cells
    go on.
    """
    import torch

    for axis, at in ((0, y), (1, x)):
        place = torch.from_numpy(at).to(cells.device).clamp(0, cells.shape[axis] - 1)
        low = place.long()
        fraction = (place - low).to(cells.dtype).view(-1, *[1] * (2 - axis))
        low_cells = cells.index_select(axis, low)
        high_cells = cells.index_select(axis, (low + 1).clamp(max=cells.shape[axis] - 1))
        cells = low_cells.lerp_(high_cells, fraction)
    return cells

"""When training has converged: a stated rule, the same for every network."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Convergence"]


class Convergence:
    """Stops when the smoothed loss has not fallen for some passes.

    After each pass the loss is smoothed (an exponential mean without start-up bias). A pass
    gains if the smoothed loss is below its best so far by ``min_gain``. Training has converged
    after ``patience`` passes in a row without gain, and ends at ``most`` passes in any case.

    Parameters
    ----------
    patience, most : int
    min_gain : float
    smoothing : float
        Share of what was before in the smoothed loss, 0..1.

    Attributes
    ----------
    losses : list of float
        One for each pass, not smoothed.
    best : float
        Lowest smoothed loss that counted as a gain.
    waited : int
        Passes since then.
    """

    def __init__(
        self, patience: int, most: int, min_gain: float = 0.01, smoothing: float = 0.7
    ) -> None:
        self.patience, self.most = patience, most
        self.min_gain, self.smoothing = min_gain, smoothing
        self.losses: list[float] = []
        self.best = float("inf")
        self.waited = 0
        self._sum = self._weight = 0.0

    @classmethod
    def after(cls, losses: Sequence[float], **rule: float) -> Convergence:
        """Rule as it stands after some passes."""
        found = cls(**rule)  # type: ignore[arg-type] # whole numbers are floats too
        for loss in losses:
            found.put(loss)
        return found

    def put(self, loss: float) -> bool:
        """Take the loss of a pass; return whether it gained."""
        self.losses.append(loss)
        self._sum = self.smoothing * self._sum + (1 - self.smoothing) * loss
        self._weight = self.smoothing * self._weight + (1 - self.smoothing)
        gained = self._sum / self._weight < self.best - self.min_gain
        if gained:
            self.best, self.waited = self._sum / self._weight, 0
        else:
            self.waited += 1
        return gained

    @property
    def finished(self) -> bool:
        """Whether training ends here."""
        return self.waited >= self.patience or len(self.losses) >= self.most

    @property
    def reason(self) -> str:
        """Why training ended, in words."""
        passes = len(self.losses)
        if self.waited >= self.patience:
            return f"converged: no gain in the last {self.patience} of {passes} passes"
        return f"stopped at the most of {passes} passes"

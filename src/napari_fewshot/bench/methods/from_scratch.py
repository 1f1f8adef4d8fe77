"""The rule that ends a training from scratch."""

from __future__ import annotations

__all__ = ["Convergence"]


class Convergence:
    """A stated rule that ends a training when the smoothed loss has not fallen for some epochs.

    After each epoch the loss is smoothed (an exponential mean without start-up bias). An epoch
    gains if the smoothed loss is below its best so far by ``min_gain``. Training has converged
    after ``patience`` epochs in a row without gain, and ends at ``max_epochs`` in any case.
    ``smoothing``, 0..1, is the weight of what was before.

    Attributes
    ----------
    best : float
        Lowest smoothed loss that counted as a gain.
    waited : int
        Epochs since then.
    plateaus : int
        How often half of the patience has gone by without gain.
    """

    def __init__(
        self, patience: int, max_epochs: int, min_gain: float = 0.01, smoothing: float = 0.7
    ) -> None:
        self.patience, self.max_epochs = patience, max_epochs
        self.min_gain, self.smoothing = min_gain, smoothing
        self.epochs = self.waited = self.plateaus = 0
        self.best = float("inf")
        self._sum = self._weight = 0.0

    def put(self, loss: float) -> bool:
        """Take the loss of an epoch; return whether it gained."""
        self.epochs += 1
        self._sum = self.smoothing * self._sum + (1 - self.smoothing) * loss
        self._weight = self.smoothing * self._weight + (1 - self.smoothing)
        smoothed = self._sum / self._weight
        if smoothed < self.best - self.min_gain:
            self.best, self.waited = smoothed, 0
            return True
        self.waited += 1
        self.plateaus += self.waited % max(1, self.patience // 2) == 0
        return False

    @property
    def finished(self) -> bool:
        """Whether training ends here."""
        return self.waited >= self.patience or self.epochs >= self.max_epochs

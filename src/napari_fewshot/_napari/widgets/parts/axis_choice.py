"""Choice of the working axis: that in which slices are counted, painted and predicted."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Signal

from .forms import ElidingComboBox

__all__ = ["AxisChoice"]


class AxisChoice(ElidingComboBox):
    """The axis being sliced in the viewer, or a fixed one."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.activated.connect(lambda _: self.changed.emit())

    @property
    def axis(self) -> int | None:
        """Number of the spatial axis, None: the one that is sliced."""
        axis: int | None = self.currentData()
        return axis

    def show_axes(self, names: Sequence[str], axis: int | None, sliced: int | None) -> None:
        """Offer axes by their names, without telling that the choice has changed.

        Parameters
        ----------
        names : sequence of str
            Names of the spatial axes of the image.
        axis : int, optional
            The chosen one, None to follow the viewer.
        sliced : int, optional
            The one that the viewer slices now.
        """
        follow = f"as viewed ({names[sliced]})" if sliced is not None else "as viewed"
        offered = [(follow, None), *((f"{name} (axis {k})", k) for k, name in enumerate(names))]
        if axis is not None and axis >= len(names):
            offered.append((f"axis {axis}", axis))
        with QSignalBlocker(self):
            self.clear()
            for text, value in offered:
                self.addItem(text, value)
            self.setCurrentIndex(max(self.findData(axis), 0))

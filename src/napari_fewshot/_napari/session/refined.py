"""The part of a session that refines results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import InputError
from .jobs import Job
from .refining import Refining
from .showing import Showing

__all__ = ["Refined"]


class Refined(Showing):
    """Part of :class:`Session`: refinement of what was propagated."""

    _refining: Refining

    def refine(
        self,
        image: Any = None,
        *,
        method: str = "auto",
        slices: Sequence[int] | None = None,
    ) -> Job:
        """Make the predicted labels of an image more exact; the slice in view comes first.

        Slices and strokes of a person are never written to. What it changes can be kept or
        discarded, and is one undo step. ``Job.result`` is the number of slices refined.

        Parameters
        ----------
        image : napari.layers.Image or str, optional
            It must have a result.
        method : str
            ``"random-walker"``, the name of a SAM, or ``"auto"``: a SAM whose weights are here,
            else the random walker. Settings: section ``propagation.refinement`` of
            :meth:`configure`, and ``sam_weights``.
        slices : sequence of int, optional
            Only these.

        Raises
        ------
        UnknownNameError
            If there is no such method.
        InputError
            If the image has no result, or not these slices.
        """
        image = self._image(image)
        if slices is not None:
            count = self._state.slicing_of(image).count
            wrong = [k for k in slices if not 0 <= k < count]
            if wrong:
                raise InputError("slices", f"be within 0..{count - 1}", wrong[0])
        return self._refining.refine(image, method, slices)

    def can_discard_refinement(self, image: Any = None) -> bool:
        """Whether there is a refinement that was neither kept nor discarded."""
        found = self._image_or_none() if image is None else self._image(image)
        return found is not None and self._refining.can_discard(found)

    def keep_refinement(self, image: Any = None) -> None:
        """Let the labels from before the last refinement go."""
        self._refining.keep(self._image(image))

    def discard_refinement(self, image: Any = None) -> int:
        """Bring back the labels from before the last refinement; how many slices it changed.

        What was painted since stays; it is one undo step.
        """
        return self._refining.discard(self._image(image))

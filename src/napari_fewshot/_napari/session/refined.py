"""The part of a session that refines results, and asks SAM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...config import BOX_SAM, DEFAULT_SAM, AutomaticConfig, RegionConfig
from ...errors import InputError
from .jobs import Job
from .lookup import the_layer
from .refining import Refining
from .sam_runs import segment_boxes, segment_everything
from .showing import Showing

__all__ = ["Refined"]


class Refined(Showing):
    """Part of :class:`Session`: refinement of what was propagated; SAM alone."""

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
        discarded, and is one undo step. It waits for a propagation that runs. ``Job.result`` is
        the number of slices refined.

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
        self._check_slices(image, slices)
        return self._refining.refine(image, method, slices)

    def can_discard_refinement(self, image: Any = None) -> bool:
        """Whether there is a refinement that was neither kept nor discarded."""
        found = self._image_or_none() if image is None else self._image(image)
        return found is not None and self._refining.can_discard(found)

    def keep_refinement(self, image: Any = None) -> None:
        """Let the labels from before the refinements go."""
        self._refining.keep(self._image(image))

    def discard_refinement(self, image: Any = None) -> int:
        """Bring back the labels from before all refinements since the last of these choices.

        What was painted since stays, and so do slices that another run has written to since. It
        is one undo step. Returns how many slices it changed.
        """
        return self._refining.discard(self._image(image))

    def segment_everything(
        self,
        image: Any = None,
        *,
        sam: str = DEFAULT_SAM,
        slices: Sequence[int] | None = None,
        **settings: Any,
    ) -> Job:
        """Find all objects of an image with SAM's automatic mode, each with a label of its own.

        They go to a new labels layer, the slice in view first. ``Job.result`` is their number.

        Parameters
        ----------
        image : napari.layers.Image or str, optional
            What is segmented.
        sam : str
            Name of a SAM; its weights are those of ``sam_weights``, see :meth:`configure`.
        slices : sequence of int, optional
            Only these.
        **settings
            Fields of :class:`~napari_fewshot.config.AutomaticConfig`: ``min_area``,
            ``max_area``, ``points_per_side`` ...

        Raises
        ------
        UnknownNameError, InputError
            If a name is unknown, a value breaks its limit, or the image has not these slices.
        """
        image = self._image(image)
        config = AutomaticConfig.of(settings, "settings")
        self._check_slices(image, slices)
        return segment_everything(self._state, image, sam, config, slices)

    def segment_boxes(
        self,
        boxes: Any,
        image: Any = None,
        *,
        sam: str = BOX_SAM,
        label: int | None = None,
        slices: Sequence[int] | None = None,
        **settings: Any,
    ) -> Job:
        """Segment what is in the boxes of a shapes layer, with MedSAM or another SAM.

        It goes to a new labels layer, the slice in view first. Where masks overlap, the one of
        the higher score has the pixel. ``Job.result`` counts the labels of each slice.

        Parameters
        ----------
        boxes : napari.layers.Shapes or str
            Rectangles, each on one slice; of other shapes the box round them is taken. A feature
            ``label`` tells what is in each.
        image : napari.layers.Image or str, optional
            What is segmented.
        sam : str
            Name of a SAM; its weights are those of ``sam_weights``, see :meth:`configure`.
        label : int, optional
            Label of boxes without that feature; None: each has one of its own, from 1 on.
        slices : sequence of int, optional
            Only these.
        **settings
            Fields of :class:`~napari_fewshot.config.RegionConfig`: ``margin``, ``several``.

        Raises
        ------
        UnknownNameError, InputError
            If a name is unknown, a value breaks its limit, the image has not these slices, or no
            box is on them.
        """
        image = self._image(image)
        shapes = the_layer(self._state.viewer, boxes, ("shapes",), "boxes")
        if label is not None and label < 1:
            raise InputError("label", "be at least 1", label)
        config = RegionConfig.of(settings, "settings")
        self._check_slices(image, slices)
        return segment_boxes(self._state, image, shapes, sam, label, config, slices)

    def _check_slices(self, image: Any, slices: Sequence[int] | None) -> None:
        count = self._state.slicing_of(image).count
        wrong = [k for k in slices or () if not 0 <= k < count]
        if wrong:
            raise InputError("slices", f"be within 0..{count - 1}", wrong[0])

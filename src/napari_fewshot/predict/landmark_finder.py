"""Landmarks of one image, found again and again as some of them become known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..features.extract import FeatureExtractor
from ..landmarks.find import SeenImage, find_known
from ..types import Landmark, Located, Volume
from .learned import LearnedModel

__all__ = ["LandmarkFinder", "checked_landmarks"]


class LandmarkFinder:
    """Places landmarks by what templates show; what is computed of the image is computed once.

    Made by :meth:`FewShotSegmenter.landmark_finder`.

    Parameters
    ----------
    volume : Volume
    model : LearnedModel
    points : FeatureExtractor, optional
        Of the features that landmarks are placed by.
    """

    def __init__(
        self, volume: Volume, model: LearnedModel, points: FeatureExtractor | None
    ) -> None:
        self._volume, self._model, self._points = volume, model, points
        self._seen = SeenImage()

    def find(
        self, known: Sequence[Landmark] = (), check: Callable[[], None] = lambda: None
    ) -> dict[int, Located] | None:
        """Landmarks by label, in file order, or the candidates of one that was not found.

        ``known`` are those that somebody has placed in this image: they are given back as they are,
        and the others are placed so that they lie to them as in the templates. ``check`` may raise
        ``Cancelled``. None where the model does not place landmarks so, or no template is like the
        image. See :func:`~napari_fewshot.landmarks.find.find_known`.

        Raises
        ------
        InputError
            If a known landmark is none of the model, or lies outside of the image.
        """
        model, volume = self._model, self._volume
        given = {one.label: one for one in checked_landmarks(known, model, volume)}
        config = model.config.propagation.landmarks
        if model.landmarks is None or self._points is None or not config.arrangement:
            return None
        if config.source != "probabilities" or config.per_label > 1:
            return None
        self._seen.given = {label: one.position for label, one in given.items()}
        found = find_known(
            volume,
            model.landmarks,
            self._points,
            model.names,
            model.config.intensity,
            config,
            check,
            self._seen,
        )
        return None if found is None else {**found, **given}


def checked_landmarks(
    known: Sequence[Landmark], model: LearnedModel, volume: Volume
) -> tuple[Landmark, ...]:
    """Landmarks that somebody has placed in an image, with the labels and names of the model.

    A name that the model has counts more than a label. :class:`InputError` if one is no landmark of
    the model, lies outside of the image, or there are several of one of which the model has one.
    """
    names = {model.names[label].strip().casefold(): label for label in model.point_labels}
    found = []
    for one in known:
        label = names.get(one.name.strip().casefold())
        if label is None and one.name in ("", str(one.label)):
            label = one.label
        if label not in model.point_labels:
            wanted = ", ".join(model.names[label] for label in sorted(model.point_labels))
            raise InputError(
                "known_landmarks",
                f"be landmarks of the model: {wanted}" if wanted else "be given to a model of some",
                one.name or one.label,
                "Give them the names that they have in the templates." if wanted else "",
            )
        at = np.array(one.position[-volume.ndim :])
        if not ((at >= -0.5) & (at < np.array(volume.shape) - 0.5)).all():
            raise InputError(
                "known_landmarks",
                f"lie inside the volume of shape {volume.shape}",
                f"{one.name} at {tuple(float(v) for v in at)}",
                "Positions count voxels from 0 in the file order (Z, Y, X).",
            )
        found.append(replace(one, name=model.names[label], label=label, score=None, candidates=()))
    most = model.config.propagation.landmarks.per_label
    for label, count in Counter(one.label for one in found).items():
        if count > most:
            wanted = f"have each landmark once, or {most} times (per_label)" if most > 1 else ""
            raise InputError(
                "known_landmarks",
                wanted or "have each landmark once",
                f"{model.names[label]} {count} times",
                "Leave one out.",
            )
    return tuple(found)

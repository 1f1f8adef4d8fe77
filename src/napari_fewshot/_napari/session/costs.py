"""How long what is asked for should take, and how much it keeps on disk."""

from __future__ import annotations

from typing import Any

from ...backbones import backbone_entry
from ...segmenter.polishing import check_polishing
from ...segmenter.self_training import max_unpainted
from .estimates import Estimate
from .jobs import Stage
from .state import State
from .view import View

__all__ = ["CostController"]


class CostController:
    """Tells before a stage begins what it should take, by what was measured here so far."""

    def __init__(self, state: State, view: View) -> None:
        self._state, self._view = state, view

    def estimate(self, stage: Stage, image: Any) -> Estimate:
        """How long a stage should take with the templates there are, on an image (None: none).

        ``update`` learns and labels. Raises what polishing does where nothing can be polished.
        """
        state, config = self._state, self._state.settings.config
        if stage == "score":
            seconds = state.rates.training(config, self._taught()[0])
            return Estimate(None if seconds is None else 5 * seconds, None)
        if stage == "polish":
            model = state.fitted()
            check_polishing(model.config, model.training_set_)
            return Estimate(state.rates.polishing(config, model.polished_steps_ > 0), None)
        if stage == "train":
            return Estimate(self._learning(), None)
        if stage == "extract":
            return self._extraction(image)
        labelling = self._labelling(image)
        if stage != "update":
            return labelling
        learning = self._learning() if state.model is None else self._learning_on()
        known = learning is not None and labelling.seconds is not None
        seconds = (learning or 0) + (labelling.seconds or 0) if known else None
        return Estimate(seconds, labelling.megabytes)

    def _learning(self) -> float | None:
        """Seconds of a training: features of the slices that teach, and the adapters."""
        state, config = self._state, self._state.settings.config
        slices, shape = self._taught()
        training = state.rates.training(config, slices, self._is_learned_twice())
        more = self._unpainted() if config.trains_itself else 0
        features = state.rates.extraction(config, shape, slices + more).seconds
        return None if training is None or features is None else training + features

    def _learning_on(self) -> float | None:
        """Seconds of learning on from the model that there is."""
        state, slices = self._state, self._taught()[0]
        return state.rates.updating(state.settings.config, slices, self._is_learned_twice())

    def _extraction(self, image: Any) -> Estimate:
        state, config = self._state, self._state.settings.config
        slices, shape = self._taught()
        if image is not None:
            slicing = self._view.slicing_of(image)
            slices, shape = slices + slicing.count, slicing.plane_shape
        return state.rates.extraction(config, shape, 0 if self._is_there(image) else slices)

    def _labelling(self, image: Any) -> Estimate:
        state, config = self._state, self._state.settings.config
        if image is None:
            return Estimate(None, None)
        slicing = self._view.slicing_of(image)
        count, shape = slicing.count, slicing.plane_shape
        if self._is_there(image):
            return Estimate(state.rates.prediction(config, shape, count), None)
        return state.rates.labelling(config, shape, count)

    def _is_there(self, image: Any) -> bool:
        """Whether the features of an image were computed."""
        return image is not None and (id(image), self._state.settings.backbone) in (
            self._state.extracted
        )

    def _taught(self) -> tuple[int, tuple[int, ...]]:
        """How many slices teach, and the shape of the last."""
        slices = 0
        shape: tuple[int, ...] = (1, 1)
        for entry in self._state.sources():
            if entry.kind != "points":
                slices, shape = slices + len(entry.slices()), entry.slicing.plane_shape[:2]
        return slices, shape

    def _is_learned_twice(self) -> bool:
        """Whether strokes teach, or slices of a volume that has others."""
        taught = [slices for entry in self._state.sources() for slices in entry.taught().values()]
        strokes = any(what == "part" for slices in taught for what in slices.values())
        return strokes or self._unpainted() > 0

    def _unpainted(self) -> int:
        """How many slices are learned from that nobody painted."""
        if backbone_entry(self._state.settings.backbone).spec.store:
            return 0
        entries = [e for e in self._state.sources() if e.kind != "points" and e.slicing.count > 1]
        count = 0
        for entry in entries:
            most = max_unpainted(entry.slicing.plane_shape[:2], len(entries))
            count += max(0, min(most, entry.slicing.count - len(entry.slices())))
        return count

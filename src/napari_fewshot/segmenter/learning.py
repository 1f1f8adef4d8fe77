"""How the adapters of a segmenter learn: each from the features of its own backbone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from ..adapters import Adapter, build_adapter
from ..adapters.polishing.expert import PolishedExpert
from ..backbones import get_backbone
from ..backbones.embedded import EmbeddedBackbone
from ..config import HAND_MADE, ExtractionConfig, SegmenterConfig
from ..features.cache import FeatureCache
from ..features.extract import FeatureExtractor
from ..features.store import FeatureStore
from ..landmarks.known import KnownLandmarks
from ..landmarks.learn import learn_landmarks
from ..parallel import beside
from ..predict.experts import Experts
from ..predict.learned import LearnedModel
from ..predict.registered import Registrations
from ..slices.flow import flow_method
from ..slices.flow_cache import FlowCache
from ..templates.places import have_places
from ..templates.training_set import TrainingSet
from ..types import Progress
from .brief import brief, shows_points_alone
from .held_out import Learner
from .model_file import recall, restored, restored_hand_made, restored_polished
from .one_adapter import learn, learn_on
from .self_training import can_train_itself, self_labelled, with_unpainted

__all__ = ["Adapters", "Extractors", "Learning"]

_KEPT_MB = 500
"""Features of slices that are kept between two trainings."""
_AT_ONCE = 150_000
"""Most pixels of scribbled slices that are labelled before an update: tenths of a second."""


@dataclass(frozen=True, eq=False)
class Extractors:
    """Feature extractors of a segmenter, whose backbones are loaded on first use."""

    config: SegmenterConfig
    weights: Path | None
    device: str
    store: FeatureStore | None
    cache: FeatureCache | None

    @cached_property
    def main(self) -> FeatureExtractor:
        """Of the backbone that is chosen."""
        config = self.config
        backbone = get_backbone(config.backbone, self.weights, config.extraction.blocks)
        return FeatureExtractor(backbone, config.extraction, self.device, self.store, self.cache)

    @cached_property
    def hand_made(self) -> FeatureExtractor:
        """Of hand-made features, of which an expert of its own learns."""
        settings = self.config.extraction
        return FeatureExtractor(get_backbone(HAND_MADE), settings, self.device, None, self.cache)

    @cached_property
    def flows(self) -> FlowCache | None:
        """Motion between slices, kept where features are kept in memory too."""
        return None if self.cache is None else FlowCache()

    @cached_property
    def registrations(self) -> Registrations:
        """Registrations of template volumes with others, kept for the next prediction."""
        return Registrations()

    def experts(self, learned: LearnedModel, adapters: Adapters, main: FeatureExtractor) -> Experts:
        """All that labels slices; ``main`` is the extractor that goes with the first adapter."""
        hand_made = polished = None
        if adapters.hand_made is not None:
            hand_made = adapters.hand_made, self.hand_made
        if adapters.polished is not None:
            polished = adapters.polished.head, self.of_polished(adapters.polished)
        experts = Experts(
            learned, adapters.main, main, hand_made, polished, self.flows, self.registrations
        )
        if learned.landmarks is None:
            return experts
        return replace(experts, points=self.points(main))

    def points(self, main: FeatureExtractor) -> FeatureExtractor:
        """Of the features that landmarks are placed by: the embedded ones."""
        return main if self.config.backbone == EmbeddedBackbone.spec.name else self._embedded

    @cached_property
    def _embedded(self) -> FeatureExtractor:
        backbone = get_backbone(EmbeddedBackbone.spec.name)
        return FeatureExtractor(backbone, ExtractionConfig(), self.device, None, self.cache)

    def of_polished(self, expert: PolishedExpert) -> FeatureExtractor:
        """Of the features of a polished network."""
        settings = self.config.extraction
        return FeatureExtractor(expert.backbone, settings, self.device, None, self.cache)


@dataclass(frozen=True, eq=False)
class Adapters:
    """Fitted adapters: on the features of the backbone, and on hand-made ones where wanted.

    With the polished network, where there is one, and landmarks that are placed by what their
    templates show.
    """

    main: Adapter
    hand_made: Adapter | None = None
    polished: PolishedExpert | None = None
    landmarks: KnownLandmarks | None = None

    @classmethod
    def restored(cls, learned: LearnedModel, device: str) -> Adapters:
        """Those of a learned model."""
        return cls(
            restored(learned, device),
            restored_hand_made(learned, device),
            restored_polished(learned, device),
            learned.landmarks,
        )


@dataclass(frozen=True, eq=False)
class LearnedTwice:
    """Templates are learned twice by these settings.

    Between the two, features are kept in memory where they are not kept anyway; ``flows`` keeps
    motion. ``more``: the templates, with slices that nobody painted.
    """

    config: SegmenterConfig
    flows: FlowCache | None
    more: TrainingSet

    def keeping(self, extractor: FeatureExtractor, cache: FeatureCache) -> FeatureExtractor:
        """The same extractor, but one that keeps features."""
        if extractor.cache is not None:
            return extractor
        own = self.config.extraction, extractor.device, extractor.store
        return FeatureExtractor(extractor.backbone, *own, cache)


@dataclass(frozen=True, eq=False)
class Learning:
    """Training of the adapters of a segmenter.

    Parameters
    ----------
    build : callable
        Makes an adapter that is not yet fitted.
    extractor : FeatureExtractor
        Of the features of the backbone.
    of_polished : callable
        Makes the extractor of a polished network.
    landmarks : callable
        Remembers the landmarks of templates.
    hand_made : FeatureExtractor, optional
        Of hand-made features, where an adapter is to learn from them.
    twice : LearnedTwice, optional
        How templates are learned twice, where they are: see :mod:`.self_training`.
    before : LearnedModel, optional
        Model to go on from, whose templates are not among those that are learned from.
    briefly : bool
        Whether 2D images show nothing but landmarks, which are placed by what templates show: what
        labels pixels is asked of volumes alone, and learns a little, of the fewest images.
    """

    build: Callable[[], Adapter]
    extractor: FeatureExtractor
    of_polished: Callable[[PolishedExpert], FeatureExtractor]
    landmarks: Callable[[TrainingSet, Progress], KnownLandmarks | None]
    hand_made: FeatureExtractor | None = None
    twice: LearnedTwice | None = None
    before: LearnedModel | None = None
    briefly: bool = False

    @classmethod
    def of(
        cls,
        config: SegmenterConfig,
        extractors: Extractors,
        extractor: FeatureExtractor,
        training: TrainingSet,
        before: LearnedModel | None = None,
    ) -> Learning:
        """Training by these settings; ``extractor`` is that of the backbone.

        Raises
        ------
        InputError
            If labels are to be carried by what is not installed: said before the training.
        """
        if config.uses_carried:
            flow_method(config.experts.flow)
        settings = config
        if not have_places(training):
            settings = config.changed({"position": {"use": False}})
        briefly = shows_points_alone(training, config)
        settings = brief(settings) if briefly else settings
        build = partial(build_adapter, settings, extractors.device, extractors.weights)
        only_points = training.point_labels.issuperset(training.label_values)
        hand_made = config.uses_hand_made and not only_points
        others = extractors.hand_made if hand_made else None
        twice = None
        between = not extractor.spec.store  # transformers would take minutes for more slices
        more = with_unpainted(training) if config.trains_itself and between else training
        if config.trains_itself and can_train_itself(more):
            twice = LearnedTwice(config, extractors.flows, more)

        def landmarks(training: TrainingSet, progress: Progress) -> KnownLandmarks | None:
            return learn_landmarks(training, config, extractors.points(extractor), progress)

        polished = extractors.of_polished
        return cls(build, extractor, polished, landmarks, others, twice, before, briefly)

    def fit(
        self,
        training: TrainingSet,
        progress: Progress,
        at_once: Callable[[Adapters], None] = lambda _: None,
    ) -> Adapters:
        """Fit new adapters to templates; where anything is left to know of these, twice.

        ``at_once`` is then given those that were fitted once.
        """
        if self.twice is None:
            found = self._fit(training, progress)
        else:
            found = self._fit_twice(self.twice, training, progress, at_once)
        return replace(found, landmarks=self.landmarks(training, progress))

    def _fit_twice(
        self,
        twice: LearnedTwice,
        training: TrainingSet,
        progress: Progress,
        at_once: Callable[[Adapters], None],
    ) -> Adapters:
        cache = FeatureCache(_KEPT_MB)
        kept = replace(
            self,
            extractor=twice.keeping(self.extractor, cache),
            hand_made=self.hand_made and twice.keeping(self.hand_made, cache),
        )
        first, second = _halves(progress)
        adapters = kept._fit(training, first)
        at_once(adapters)
        own = adapters.main, adapters.hand_made
        weights_hash = self.extractor.backbone.weights_hash
        learned = LearnedModel.of(twice.config, weights_hash, training, *own)
        known = kept._self_labelled(learned, *own, twice.more, progress)
        return adapters if known is None else kept._fit(known, second)

    def _self_labelled(
        self,
        learned: LearnedModel,
        main: Adapter,
        hand_made: Adapter | None,
        training: TrainingSet,
        progress: Progress,
        most: int | None = None,
    ) -> TrainingSet | None:
        """Templates with what these adapters are sure of, by probabilities as they are."""
        learned = replace(learned, weights=replace(learned.weights, temperature=1.0))
        beside = None
        if hand_made is not None and self.hand_made is not None:
            beside = hand_made, self.hand_made
        flows = None if self.twice is None else self.twice.flows
        experts = Experts(learned, main, self.extractor, beside, flows=flows)
        return self_labelled(training, experts, progress, most)

    def _fit(self, training: TrainingSet, progress: Progress) -> Adapters:
        training = training.fewest() if self.briefly else training
        with self._beside(partial(self._fit_hand_made, training)) as hand_made:
            main = self._new()
            learn(main.fit, training, main.requirements, self.extractor, progress)
            return Adapters(main, hand_made())

    def update(
        self, learned: LearnedModel, device: str, training: TrainingSet, progress: Progress
    ) -> Adapters:
        """Let the adapters of a model learn on; one that it does not have is fitted.

        A polished network stays as it is, and the adapter on its features learns on; where a model
        goes on without the images of before, this stays too, until labels come or go. Of slices
        that are scribbled on they learn what they are sure of before, so far as that is quick.
        """
        polished = restored_polished(learned, device)
        same = self.before is None and learned.label_values == training.label_values
        if self.briefly and learned.shows_points_alone and same:
            adapters = Adapters.restored(learned, device)
            return replace(adapters, landmarks=self.landmarks(training, progress))
        if self.twice is not None and learned.label_values == training.label_values:
            own = restored(learned, device), restored_hand_made(learned, device)
            now = learned.repainted(training) if learned.flow is not None else learned
            known = self._self_labelled(now, *own, training, progress, _AT_ONCE)
            training = training if known is None else known
        with self._beside(partial(self._update_hand_made, learned, device, training)) as hand_made:
            main = self._recalling(restored(learned, device))
            learn_on(main, learned, training, self.extractor, progress)
            found = Adapters(main, hand_made())
        if polished is not None and self.before is None:
            learn_on(polished.head, learned, training, self.of_polished(polished), progress)
        elif learned.label_values != training.label_values:
            polished = None
        points = learned.landmarks
        if self.before is not None or training.arrangements != learned.arrangements:
            points = self.landmarks(training, progress)
        return replace(found, polished=polished, landmarks=points)

    def learners(self, training: TrainingSet) -> tuple[TrainingSet, list[Learner]]:
        """Templates with the copies that adapters learn from, and how each of them learns."""
        requirements = self.build().requirements
        known = training.augmented(requirements.augmentation)
        extractors = [self.extractor] + ([] if self.hand_made is None else [self.hand_made])
        builds = [partial(self._new, hand_made=k > 0) for k in range(len(extractors))]
        return known, [
            Learner(build, partial(known.maps, one, padding=requirements.padding))
            for build, one in zip(builds, extractors, strict=True)
        ]

    def _new(self, *, hand_made: bool = False) -> Adapter:
        """An adapter that is not yet fitted, but recalls what the model of before learned from."""
        return self._recalling(self.build(), hand_made=hand_made)

    def _recalling(self, adapter: Adapter, *, hand_made: bool = False) -> Adapter:
        before = self.before
        state = None if before is None else before.hand_made if hand_made else before.adapter
        if before is not None and state is not None:
            recall(adapter, state, before)
        return adapter

    def _beside(
        self, function: Callable[[Progress], Adapter | None]
    ) -> AbstractContextManager[Callable[[], Adapter | None]]:
        """Let the adapter on hand-made features learn while the other one does."""
        return nullcontext(lambda: None) if self.hand_made is None else beside(function)

    def _fit_hand_made(self, training: TrainingSet, progress: Progress) -> Adapter | None:
        if self.hand_made is None:
            return None
        adapter = self._new(hand_made=True)
        learn(adapter.fit, training, adapter.requirements, self.hand_made, progress)
        return adapter

    def _update_hand_made(
        self, learned: LearnedModel, device: str, training: TrainingSet, progress: Progress
    ) -> Adapter | None:
        adapter = restored_hand_made(learned, device)
        if adapter is None or self.hand_made is None:
            return self._fit_hand_made(training, progress)
        self._recalling(adapter, hand_made=True)
        learn_on(adapter, learned, training, self.hand_made, progress)
        return adapter


def _halves(progress: Progress) -> tuple[Progress, Progress]:
    """Progress of two trainings of as many steps, which count as one."""

    def half(number: int) -> Progress:
        def tell(done: int, total: int, what: str) -> None:
            is_training = what == "training"
            progress(done + number * total * is_training, total * (1 + is_training), what)

        return tell

    return half(0), half(1)

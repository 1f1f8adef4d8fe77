"""How the adapters of a segmenter learn: each from the features of its own backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from ..adapters import Adapter, build_adapter
from ..adapters.polishing.expert import PolishedExpert
from ..adapters.trees import trees_adapter
from ..config import Companion, SegmenterConfig, hand_made_of
from ..features.cache import FeatureCache
from ..features.extract import FeatureExtractor
from ..landmarks.known import KnownLandmarks
from ..landmarks.learn import learn_landmarks
from ..parallel import beside
from ..predict.experts import Experts
from ..predict.learned import ExpertWeights, LearnedModel
from ..predict.probabilities import AdapterPredictor, Predictor
from ..slices.flow import flow_method
from ..slices.flow_cache import FlowCache
from ..templates.places import have_places
from ..templates.training_set import TrainingSet
from ..types import Progress
from .brief import brief, shows_points_alone
from .companions import companions, starts_with_places
from .extractors import Adapters, Extractors
from .held_out import Learner
from .model_file import recall, restored, restored_beside, restored_polished
from .one_adapter import learn, learn_on
from .self_training import can_train_itself, self_labelled, with_unpainted

__all__ = ["Learning"]

_KEPT_MB = 500
"""Features of slices that are kept between two trainings."""
_AT_ONCE = 150_000
"""Most pixels of scribbled slices that are labelled before an update: tenths of a second."""
_MOST_BY_TREES = 24 * 512**2
"""Most pixels of slices that trees label: half a minute on two cores."""


@dataclass(frozen=True, eq=False)
class LearnedTwice:
    """Templates are learned twice by these settings.

    Between the two, features are kept in memory where they are not kept anyway; ``flows`` keeps
    motion. ``more``: the templates, with slices that nobody painted. ``anywhere``: where the paint
    is strokes, which tell too little of whether labels have places, what is sure of slices tells
    it; adapters beside the first one learn anew by these features where they have none.
    """

    config: SegmenterConfig
    flows: FlowCache | None
    more: TrainingSet
    anywhere: Mapping[Companion, FeatureExtractor] | None


@dataclass(frozen=True, eq=False)
class Learning:
    """Training of the adapters of a segmenter.

    Parameters
    ----------
    build : callable
        Makes an adapter that is not yet fitted, of labels that have places or have not.
    extractor : FeatureExtractor
        Of the features of the backbone.
    of_polished : callable
        Makes the extractor of a polished network.
    landmarks : callable
        Remembers the landmarks of templates.
    beside : dict of str to FeatureExtractor
        Of other features, where adapters are to learn from them too.
    twice : LearnedTwice, optional
        How templates are learned twice, where they are: see :mod:`.self_training`.
    before : LearnedModel, optional
        Model to go on from, whose templates are not among those that are learned from.
    briefly : bool
        Whether 2D images show nothing but landmarks, which are placed by what templates show: what
        labels pixels is asked of volumes alone, and learns a little, of the fewest images.
    places : bool
        Whether labels have places, so far as that is known.
    """

    build: Callable[[bool], Adapter]
    extractor: FeatureExtractor
    of_polished: Callable[[PolishedExpert], FeatureExtractor]
    landmarks: Callable[[TrainingSet, Progress], KnownLandmarks | None]
    beside: Mapping[Companion, FeatureExtractor] = field(default_factory=dict)
    twice: LearnedTwice | None = None
    before: LearnedModel | None = None
    briefly: bool = False
    places: bool = True

    @classmethod
    def of(
        cls,
        config: SegmenterConfig,
        extractors: Extractors,
        extractor: FeatureExtractor,
        training: TrainingSet,
        before: LearnedModel | None = None,
        learned: LearnedModel | None = None,
    ) -> Learning:
        """Training by these settings; ``extractor`` is that of the backbone.

        ``learned`` is a model, where there is one, whose adapters learn on, or are fitted anew from
        parts of its templates: by the features that it has, with places if its labels have any.

        Raises
        ------
        InputError
            If labels are to be carried by what is not installed: said before the training.
        """
        if config.uses_carried:
            flow_method(config.experts.flow)
        briefly = shows_points_alone(training, config)
        placed = brief(config) if briefly else config
        placeless = placed.changed({"position": {"use": False}})
        places = None if learned is None else learned.knows_places
        if places is None:
            places = starts_with_places(config, training)
        others = extractors.beside(extractor, companions(config, training, learned, places=places))
        twice = None
        between = not extractor.spec.store  # transformers would take minutes for more slices
        more = with_unpainted(training) if config.trains_itself and between else training
        if config.trains_itself and can_train_itself(more):
            anywhere = None
            if training.of_strokes:
                names = companions(config, training, learned, places=False)
                anywhere = extractors.beside(extractor, names)
            twice = LearnedTwice(config, extractors.flows, more, anywhere)

        def build(places: bool) -> Adapter:
            settings = placed if places else placeless
            return build_adapter(settings, extractors.device, extractors.weights)

        def landmarks(training: TrainingSet, progress: Progress) -> KnownLandmarks | None:
            return learn_landmarks(training, config, extractors.points(extractor), progress)

        polished = extractors.of_polished
        return cls(build, extractor, polished, landmarks, others, twice, before, briefly, places)

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
            self, extractor=self.extractor.keeping(cache), beside=_keeping(cache, self.beside)
        )
        first, second = _halves(progress)
        adapters = kept._fit(training, first)
        at_once(adapters)
        own = adapters.main, adapters.beside
        weights_hash = self.extractor.backbone.weights_hash
        learned = LearnedModel.of(twice.config, weights_hash, training, *own)
        teach = partial(kept._self_labelled, learned, *own, twice.more, progress)
        known = teach()
        if known is None:
            return adapters
        if twice.anywhere is not None and not have_places(known, guessed=True):
            kept = replace(kept, beside=_keeping(cache, twice.anywhere), places=False)
            known = teach(trees=kept._trees(twice, training, progress))
        return adapters if known is None else kept._fit(known, second)

    def _trees(
        self, twice: LearnedTwice, training: TrainingSet, progress: Progress
    ) -> Predictor | None:
        """Trees on hand-made features of the templates; None where these do not count.

        None also where slices are large, which would take them long.
        """
        name = hand_made_of(self.beside)
        pixels = sum(one.labels.size for one in twice.more.examples)
        if name is None or pixels > _MOST_BY_TREES:
            return None
        extractor = self.beside[name]
        trees = trees_adapter(len(training.label_values), twice.config.seed)
        learn(trees.fit, training, trees.requirements, extractor, progress)
        return AdapterPredictor(trees, extractor)

    def _self_labelled(
        self,
        learned: LearnedModel,
        main: Adapter,
        beside: Mapping[Companion, Adapter],
        training: TrainingSet,
        progress: Progress,
        most: int | None = None,
        trees: Predictor | None = None,
    ) -> TrainingSet | None:
        """Templates with what these adapters are sure of, by probabilities as they are."""
        learned = replace(learned, weights=replace(learned.weights, temperature=1.0))
        others = {name: (one, self.beside[name]) for name, one in beside.items()}
        flows = None if self.twice is None else self.twice.flows
        experts = Experts(learned, main, self.extractor, others, flows=flows)
        return self_labelled(training, experts, progress, most, trees)

    def _fit(self, training: TrainingSet, progress: Progress) -> Adapters:
        training = training.fewest() if self.briefly else training
        with self._beside(partial(self._fit_beside, training)) as others:
            main = self._new()
            learn(main.fit, training, main.requirements, self.extractor, progress)
            return Adapters(main, {name: one() for name, one in others.items()})

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
            own = restored(learned, device), self._restored(learned, device)
            now = learned.repainted(training) if learned.flow is not None else learned
            known = self._self_labelled(now, *own, training, progress, _AT_ONCE)
            training = training if known is None else known
        own_beside = self._restored(learned, device)
        with self._beside(partial(self._update_beside, learned, own_beside, training)) as others:
            main = self._recalling(restored(learned, device))
            learn_on(main, learned, training, self.extractor, progress)
            found = Adapters(main, {name: one() for name, one in others.items()})
        if polished is not None and self.before is None:
            learn_on(polished.head, learned, training, self.of_polished(polished), progress)
        elif learned.label_values != training.label_values:
            polished = None
        points = learned.landmarks
        if self.before is not None or training.arrangements != learned.arrangements:
            points = self.landmarks(training, progress)
        return replace(found, polished=polished, landmarks=points)

    @property
    def usual(self) -> ExpertWeights:
        """Weights of the experts that are not chosen."""
        before = self.before
        return ExpertWeights.usual(places=self.places) if before is None else before.weights

    def learners(
        self, training: TrainingSet
    ) -> tuple[TrainingSet, Learner, dict[Companion, Learner]]:
        """Templates with the copies that adapters learn from, and how each of them learns."""
        requirements = self.build(self.places).requirements
        known = training.augmented(requirements.augmentation)

        def of(extractor: FeatureExtractor, name: Companion | None = None) -> Learner:
            maps = partial(known.maps, extractor, padding=requirements.padding)
            return Learner(partial(self._new, name), maps)

        beside = {name: of(extractor, name) for name, extractor in self.beside.items()}
        return known, of(self.extractor), beside

    def _restored(self, learned: LearnedModel, device: str) -> dict[Companion, Adapter]:
        """Adapters of a model beside its first, so far as there are features for them."""
        found = restored_beside(learned, device)
        return {name: found[name] for name in self.beside if name in found}

    def _new(self, name: Companion | None = None) -> Adapter:
        """An adapter that is not yet fitted, but recalls what the model of before learned from."""
        return self._recalling(self.build(self.places), name)

    def _recalling(self, adapter: Adapter, name: Companion | None = None) -> Adapter:
        """The adapter beside the first one that has this name; None: the first."""
        before = self.before
        if before is None:
            return adapter
        state = before.adapter if name is None else before.beside.get(name)
        if state is not None:
            recall(adapter, state, before)
        return adapter

    @contextmanager
    def _beside(
        self, function: Callable[[Companion, Progress], Adapter]
    ) -> Iterator[dict[Companion, Callable[[], Adapter]]]:
        """Let other adapters learn while the first one does."""
        with ExitStack() as stack:
            names = list(self.beside)
            yield {n: stack.enter_context(beside(partial(function, n))) for n in names}

    def _fit_beside(self, training: TrainingSet, name: Companion, progress: Progress) -> Adapter:
        adapter = self._new(name)
        learn(adapter.fit, training, adapter.requirements, self.beside[name], progress)
        return adapter

    def _update_beside(
        self,
        learned: LearnedModel,
        own: Mapping[Companion, Adapter],
        training: TrainingSet,
        name: Companion,
        progress: Progress,
    ) -> Adapter:
        if name not in own:
            return self._fit_beside(training, name, progress)
        adapter = self._recalling(own[name], name)
        learn_on(adapter, learned, training, self.beside[name], progress)
        return adapter


def _keeping(
    cache: FeatureCache, extractors: Mapping[Companion, FeatureExtractor]
) -> dict[Companion, FeatureExtractor]:
    """The same, which keep features in memory."""
    return {name: one.keeping(cache) for name, one in extractors.items()}


def _halves(progress: Progress) -> tuple[Progress, Progress]:
    """Progress of two trainings of as many steps, which count as one."""

    def half(number: int) -> Progress:
        def tell(done: int, total: int, what: str) -> None:
            is_training = what == "training"
            progress(done + number * total * is_training, total * (1 + is_training), what)

        return tell

    return half(0), half(1)

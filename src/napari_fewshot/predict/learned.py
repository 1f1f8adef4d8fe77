"""What was learned from templates: all that a prediction needs beside the backbone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from ..adapters import Adapter, AdapterState
from ..adapters.polishing.expert import PolishedExpert, PolishedState
from ..config import Companion, PropagationConfig, SegmenterConfig, hand_made_of
from ..errors import InputError
from ..landmarks.known import KnownLandmarks
from ..slices.flow import flow_method
from ..templates.places import have_places
from ..templates.training_set import TrainingSet
from .card import ModelCard
from .carried import PaintedImage, painted_images
from .registered import MAX_VOLUMES, TemplateVolume, template_volumes

__all__ = ["ExpertWeights", "LearnedLabels", "LearnedModel"]


@dataclass(frozen=True)
class ExpertWeights:
    """Weights of experts in the mean of log-probabilities.

    Parameters
    ----------
    hand_made : float
        Of the adapter on hand-made features in a painted image, 0..1; that on the features of the
        backbone has the rest.
    elsewhere : float
        The same in other images, where grey values and textures differ from the painted ones.
    carried : float
        Of carried labels right beside paint, on top of the others.
    registered : float
        Of labels that registration brings to other images, on top of the others.
    polished : float
        Share of the polished network in a painted image, where there is one, 0..1, and 0.4 of that
        in others; the two adapters have the rest.
    temperature : float
        What the mean is divided by, so that probabilities are as high as they are right (Guo et al.
        2017, arXiv:1706.04599). 1 leaves it; a model with one expert, or with landmarks that were
        learned as points, is not changed.
    grey : float
        Of the adapter on the features of colour images in grey, 0..1, in what the two adapters on
        the features of the backbone say together.
    """

    hand_made: float = 0.5
    elsewhere: float = 0.2
    carried: float = 2.0
    registered: float = 2.0
    polished: float = 1 / 3
    temperature: float = 1.6
    grey: float = 1 / 3

    @classmethod
    def usual(cls, *, places: bool) -> ExpertWeights:
        """Those that are not chosen, of labels that have places or have not.

        Where they have none, objects do not go on over many slices, and textures tell more.
        """
        return cls() if places else cls(hand_made=0.65, elsewhere=0.5, carried=0.5)

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("hand_made", "elsewhere", "grey", "polished"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"weights.{name}", "be in 0..1", getattr(self, name))
        for name in ("carried", "registered"):
            if not 0 <= getattr(self, name) < np.inf:
                raise InputError(f"weights.{name}", "be at least 0", getattr(self, name))
        if not 0.1 <= self.temperature <= 10:
            raise InputError("weights.temperature", "be in 0.1..10", self.temperature)

    def shares(self, beside: Collection[Companion], *, is_painted: bool) -> tuple[float, ...]:
        """Of the main adapter and of those ``beside`` it, in their order; they sum to 1."""
        of_each: dict[Companion, float] = {}
        hand_made, rest = hand_made_of(beside), 1.0
        if hand_made is not None:
            of_each[hand_made] = self.hand_made if is_painted else self.elsewhere
            rest -= of_each[hand_made]
        if "grey" in beside:
            of_each["grey"] = rest * self.grey
        return 1 - sum(of_each.values()), *(of_each[name] for name in beside)


class LearnedLabels(Protocol):
    """What the classes of a prediction stand for; class 0 is background."""

    @property
    def label_values(self) -> tuple[int, ...]:
        """Label values of the classes, sorted."""
        ...

    @property
    def names(self) -> dict[int, str]:
        """Names of the label values."""
        ...

    @property
    def point_labels(self) -> frozenset[int]:
        """Labels that were learned from landmarks only."""
        ...

    @property
    def arrangements(self) -> tuple[dict[int, tuple[float, ...]], ...]:
        """Places, in canonical mm, of the landmarks of each image that has one of each."""
        ...


@dataclass(frozen=True, eq=False)
class LearnedModel:
    """What was learned, as a model file holds it.

    Parameters
    ----------
    config : SegmenterConfig
        Settings of all stages.
    weights_hash : str
        Digest of the weights of the backbone that the adapter was fitted to.
    label_values : tuple of int
        Labels of the classes from 1 on, sorted; class 0 is background.
    names : dict of int to str
        Names of the label values.
    point_labels : frozenset of int
        Labels that were learned from landmarks only.
    axes : tuple of int
        Canonical axes of the templates, the most frequent first.
    channels : int
        Of the templates' images.
    adapter : AdapterState
        Of the adapter on the features of the backbone.
    arrangements : tuple of dict of int to (float, float, float)
        Places, in canonical mm, of the landmarks of each image that has one of each.
    beside : dict of str to AdapterState
        Of the adapters beside it: ``"hand_made"`` on hand-made features, or ``"hand_made_3d"`` on
        those of neighbouring slices too, ``"grey"`` on those of the backbone of colour images in
        grey.
    painted : tuple of PaintedImage
        Paint that labels are carried from ...
    flow : str, optional
        ... and the method that finds the way.
    volumes : tuple of TemplateVolume
        Those that are registered with other images.
    weights : ExpertWeights
    polished : PolishedState, optional
    card : ModelCard
        What it was trained on, and how well it does.
    landmarks : KnownLandmarks, optional
        Landmarks that are placed together by what their templates show.
    weights_name : str
        Name of the file of the backbone's weights, if one was given.
    """

    config: SegmenterConfig
    weights_hash: str
    label_values: tuple[int, ...]
    names: dict[int, str]
    point_labels: frozenset[int]
    axes: tuple[int, ...]
    channels: int
    adapter: AdapterState
    arrangements: tuple[dict[int, tuple[float, ...]], ...] = ()
    beside: Mapping[Companion, AdapterState] = field(default_factory=dict)
    painted: tuple[PaintedImage, ...] = ()
    flow: str | None = None
    volumes: tuple[TemplateVolume, ...] = ()
    weights: ExpertWeights = ExpertWeights()
    polished: PolishedState | None = None
    card: ModelCard = field(default_factory=ModelCard)
    landmarks: KnownLandmarks | None = None
    weights_name: str = ""

    @property
    def temperature(self) -> float:
        """That of the weights where there are several experts; 1 with one.

        1 also where landmarks were learned as points, which are rare, and low in what is spread.
        """
        others = self.flow, self.polished
        several = others != (None, None) or len(self.beside) + len(self.volumes) > 0
        return self.weights.temperature if several and not self.point_labels else 1.0

    @property
    def knows_places(self) -> bool | None:
        """Whether labels had places when it was trained; None where position never counts."""
        return self.adapter.values.get("position") if self.config.position.use else None

    @property
    def unrefined(self) -> frozenset[int]:
        """Labels that stay as they were localised."""
        landmarks = self.config.propagation.refinement.landmarks
        return frozenset() if landmarks else self.point_labels

    @property
    def shows_points_alone(self) -> bool:
        """Whether all labels are landmarks that are placed by what their templates show."""
        known = self.landmarks
        return known is not None and self.point_labels.issuperset(self.label_values)

    def changed(
        self,
        propagation: PropagationConfig | dict[str, Any] | None = None,
        channels: Sequence[int] | None = None,
    ) -> LearnedModel:
        """What was learned, with other settings of propagation, or for images of other channels."""
        changes: dict[str, Any] = {} if propagation is None else {"propagation": propagation}
        if channels is not None:
            changes["intensity"] = {"channels": tuple(channels)}
        return replace(self, config=self.config.changed(changes))

    def can_carry(self, training: TrainingSet) -> bool:
        """Whether it carries labels, and these templates have those that it has learned."""
        return self.flow is not None and training.label_values == self.label_values

    def repainted(self, training: TrainingSet) -> LearnedModel:
        """The same, but carrying the labels of these templates."""
        return replace(self, painted=tuple(painted_images(training).values()))

    def with_earlier(self, earlier: LearnedModel) -> LearnedModel:
        """The same with what a model has that this one went on from, whose images are others.

        Adapters, labels and names are those here: they learned from that model. Images of this one
        come first, where only so many are kept.
        """
        axes = dict.fromkeys((*earlier.axes, *self.axes))
        landmarks = earlier.landmarks
        if self.landmarks is not None:
            landmarks = self.landmarks.joined(landmarks)
        return replace(
            self,
            axes=tuple(axes),
            arrangements=(*self.arrangements, *earlier.arrangements),
            painted=(*self.painted, *earlier.painted),
            volumes=(*self.volumes, *earlier.volumes)[:MAX_VOLUMES],
            weights=earlier.weights,
            card=self.card.with_earlier(earlier.card),
            landmarks=landmarks,
        )

    @classmethod
    def of(
        cls,
        config: SegmenterConfig,
        weights_hash: str,
        training: TrainingSet,
        adapter: Adapter,
        beside: Mapping[Companion, Adapter] | None = None,
        polished: PolishedExpert | None = None,
        landmarks: KnownLandmarks | None = None,
    ) -> LearnedModel:
        """Take what a model file holds from what was learned.

        Paint itself only where it is carried; that images were painted, where it makes a difference
        to the weights.
        """
        painted: list[PaintedImage] = []
        if config.uses_carried or beside:
            painted = list(painted_images(training).values())
        if not config.uses_carried:
            painted = [image.without_paint() for image in painted]
        learned = cls(
            config=config,
            weights_hash=weights_hash,
            label_values=training.label_values,
            names=training.names,
            point_labels=training.point_labels,
            axes=training.axes,
            channels=training.channels,
            adapter=adapter.state(),
            arrangements=training.arrangements,
            beside={name: one.state() for name, one in (beside or {}).items()},
            painted=tuple(painted),
            flow=flow_method(config.experts.flow) if config.uses_carried else None,
            volumes=template_volumes(training) if config.uses_registered else (),
            polished=None if polished is None else polished.state(),
            card=ModelCard.of(training),
            landmarks=landmarks,
        )
        places = learned.knows_places
        places = have_places(training) if places is None else places
        return replace(learned, weights=ExpertWeights.usual(places=places))

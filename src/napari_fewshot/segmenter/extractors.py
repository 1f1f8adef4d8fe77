"""Where the features come from that a segmenter learns from, and what it has learned by them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ..adapters import Adapter
from ..adapters.polishing.expert import PolishedExpert
from ..backbones import get_backbone
from ..backbones.embedded import EmbeddedBackbone
from ..config import HAND_MADE, Companion, ExtractionConfig, SegmenterConfig
from ..features.cache import FeatureCache
from ..features.extract import FeatureExtractor
from ..features.store import FeatureStore
from ..landmarks.known import KnownLandmarks
from ..predict.experts import Experts
from ..predict.learned import LearnedModel
from ..predict.registered import Registrations
from ..slices.flow_cache import FlowCache
from .model_file import restored, restored_beside, restored_polished

__all__ = ["Adapters", "Extractors"]


@dataclass(frozen=True, eq=False)
class Adapters:
    """Fitted adapters: on the features of the backbone, and beside it on others where wanted.

    With the polished network, where there is one, and landmarks that are placed by what their
    templates show.
    """

    main: Adapter
    beside: Mapping[Companion, Adapter] = field(default_factory=dict)
    polished: PolishedExpert | None = None
    landmarks: KnownLandmarks | None = None

    @classmethod
    def restored(cls, learned: LearnedModel, device: str) -> Adapters:
        """Those of a learned model."""
        return cls(
            restored(learned, device),
            restored_beside(learned, device),
            restored_polished(learned, device),
            learned.landmarks,
        )


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

    def beside(
        self, main: FeatureExtractor, names: Iterable[Companion]
    ) -> dict[Companion, FeatureExtractor]:
        """Those that other adapters learn from.

        ``main`` is the extractor that goes with the first adapter.
        """
        return {n: self._hand_made[n] if n in HAND_MADE else main.of_grey() for n in names}

    @cached_property
    def _hand_made(self) -> dict[Companion, FeatureExtractor]:
        own = self.config.extraction, self.device, None, self.cache
        return {n: FeatureExtractor(get_backbone(one), *own) for n, one in HAND_MADE.items()}

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
        polished = None
        if adapters.polished is not None:
            polished = adapters.polished.head, self.of_polished(adapters.polished)
        extractors = self.beside(main, adapters.beside)
        beside = {name: (one, extractors[name]) for name, one in adapters.beside.items()}
        experts = Experts(
            learned, adapters.main, main, beside, polished, self.flows, self.registrations
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

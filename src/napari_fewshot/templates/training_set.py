"""Templates as what is learned from: known slices of stacks, their copies and feature maps."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..config import SegmenterConfig
from ..errors import InputError
from ..features.extract import FeatureExtractor
from ..geometry import Frame
from ..slices.stack import SliceSource, SliceStack, Window
from ..types import Array, Progress, SliceFeatures, TiledFeatures, Volume, no_progress
from .augmentation import Augmentation, AugmentedSlices
from .images import number_images
from .known import KnownSlice, known_slices, labels_of
from .template import Template, check_names

__all__ = ["TrainingSet", "arrangements_of"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The known slices of some templates.

    Parameters
    ----------
    stacks : tuple of SliceStack
        One for each image and axis.
    sources : tuple of (int, int)
        Number of the stack and working slice of each example; numbers behind those of the stacks
        are of ``copies``. Examples of one stack stand together.
    examples : tuple of KnownSlice
    label_values : tuple of int
        All that were painted or marked, sorted.
    names : dict of int to str
    point_labels : frozenset of int
        Labels that occur as landmarks only.
    arrangements : tuple of dict of int to (float, float, float)
        Of each image with landmarks, their places in canonical mm; only labels that it has one of.
    arranged : tuple of int
        Number of the stack of each of these images.
    repeated : frozenset of int
        Labels of which an image has several landmarks.
    copies : tuple of AugmentedSlices
        One for each stack, where it is augmented.
    """

    stacks: tuple[SliceStack, ...]
    sources: tuple[tuple[int, int], ...]
    examples: tuple[KnownSlice, ...]
    label_values: tuple[int, ...]
    names: dict[int, str]
    point_labels: frozenset[int]
    arrangements: tuple[dict[int, tuple[float, ...]], ...] = ()
    arranged: tuple[int, ...] = ()
    repeated: frozenset[int] = frozenset()
    copies: tuple[AugmentedSlices, ...] = ()

    @classmethod
    def of(
        cls,
        templates: Template | Sequence[Template],
        config: SegmenterConfig,
        names: Mapping[int, str] | None = None,
        points: frozenset[int] = frozenset(),
    ) -> TrainingSet:
        """Collect the known slices of one template or several.

        ``names`` are those of labels that were learned before, ``points`` the ones among them that
        were landmarks only. :class:`InputError` if there is no template, no paint, or the images
        differ in channels.
        """
        templates = _listed(templates)
        counted = [template.painted_labels() for template in templates]
        check_names(templates, counted)
        images = number_images([template.volume for template in templates])
        stacks, numbers = _stacks(templates, images, config)
        found = []
        for template, image, number, own in zip(templates, images, numbers, counted, strict=True):
            slices = known_slices(template, stacks[number], config.sampling.point_radius)
            _check_nothing_lost(template, stacks[number], slices)
            found.append(_OfTemplate(template, image, number, own, slices))
            _tell_of_sameness(stacks[number], slices)
        earlier = dict(names or {})
        label_values = sorted(set(earlier).union(*(labels_of(one.slices) for one in found)))
        if not label_values:
            raise InputError(
                "labels", "have at least one painted label", "reviewed slices without any paint"
            )
        examples = [
            (one.stack, example)
            for one in sorted(found, key=lambda one: one.stack)
            for example in one.examples(label_values)
        ]
        painted = (set(earlier) - points).union(*(one.painted - one.marked for one in found))
        named = earlier | {value: name for t in templates for value, name in t.names.items()}
        return cls(
            stacks=tuple(stacks),
            sources=tuple((number, example.index) for number, example in examples),
            examples=tuple(example for _, example in examples),
            label_values=tuple(label_values),
            names={value: named.get(value, str(value)) for value in label_values},
            point_labels=frozenset(set(label_values) - painted),
            arrangements=arrangements_of(templates, images),
            arranged=_arranged(templates, images, numbers),
            repeated=_repeated(templates, images),
        )

    @property
    def axes(self) -> tuple[int, ...]:
        """Canonical axes of the templates, the most frequent first."""
        axes = [example.position.axis for example in self.examples]
        return tuple(sorted(set(axes), key=lambda axis: (-axes.count(axis), axis)))

    def describe(self) -> str:
        """Say in a few words which slices are known, e.g. ``"5 known slices (axial)"``."""
        planes = []
        for axis in self.axes:
            stack = next(stack for stack in self.stacks if stack.axis == axis)
            planes.append("2D" if stack.volume.ndim == 2 else stack.frame.plane_name(axis))
        return f"{len(self.examples)} known slices ({', '.join(planes)})"

    @property
    def of_strokes(self) -> bool:
        """Whether all paint is strokes."""
        return all(example.scribbled for example in self.examples)

    @property
    def channels(self) -> int:
        """Number of channels of the images."""
        return self.stacks[0].channels

    @property
    def _slice_sources(self) -> list[SliceSource]:
        """What ``sources`` counts: the stacks, and their copies behind them."""
        return [*self.stacks, *self.copies]

    def image(self, number: int, window: Window | None = None) -> Array:
        """Pixels of an example, or of a window of it, shape (C, H, W), float32 in 0..1."""
        source, index = self.sources[number]
        slices = self._slice_sources[source]
        return slices.slice(index) if window is None else slices.window(index, window)

    def augmented(self, augmentation: Augmentation | None) -> TrainingSet:
        """Add augmented copies of all slices, behind them; each names its slice as its origin."""
        if augmentation is None:
            return self
        sources, examples, copies = list(self.sources), list(self.examples), []
        for number, stack in enumerate(self.stacks):
            own = [k for k, source in enumerate(self.sources) if source[0] == number]
            varied = AugmentedSlices(stack, [self.sources[k][1] for k in own], augmentation)
            for index in range(len(varied)):
                origin = self.examples[own[index // augmentation.count]]
                labels = varied.labels(origin.labels, index)
                examples.append(replace(origin, labels=labels, origin=origin))
                sources.append((len(self.stacks) + number, index))
            copies.append(varied)
        return replace(self, sources=tuple(sources), examples=tuple(examples), copies=tuple(copies))

    def fewest(self) -> TrainingSet:
        """The same with the fewest examples, more or less, that show all labels together."""
        rest, chosen = set(self.label_values), []
        shown = [labels_of([example]) for example in self.examples]
        while rest and any(rest & labels for labels in shown):
            best = max(range(len(shown)), key=lambda k: len(rest & shown[k]))
            chosen.append(best)
            rest -= shown[best]
        own = [(self.sources[k], self.examples[k]) for k in sorted(chosen)]
        return replace(self, sources=tuple(s for s, _ in own), examples=tuple(e for _, e in own))

    def maps(
        self,
        extractor: FeatureExtractor,
        chosen: Sequence[int] | None = None,
        progress: Progress = no_progress,
        *,
        padding: bool = False,
    ) -> Iterator[SliceFeatures]:
        """Features of the examples (all, or the chosen ones in ascending order).

        ``padding`` as for :meth:`~napari_fewshot.features.extract.FeatureExtractor.maps`.
        """
        wanted = range(len(self.sources)) if chosen is None else sorted(chosen)
        done = 0
        for number, source in enumerate(self._slice_sources):
            indices = [self.sources[k][1] for k in wanted if self.sources[k][0] == number]
            for _, features in extractor.maps(source, indices, padding=padding):
                if isinstance(features, TiledFeatures):  # a large slice: it ends within a tile
                    told = partial(progress, done, len(wanted), "template features")
                    features = features.watched(told)
                yield features
                done += 1
                progress(done, len(wanted), "template features")


def _geometry(volume: Volume) -> tuple[Hashable, ...]:
    """How voxels lie: the same voxels may be given with and without it."""
    return volume.spacing, None if volume.affine is None else volume.affine.tobytes()


def _stacks(
    templates: Sequence[Template], images: Sequence[int], config: SegmenterConfig
) -> tuple[list[SliceStack], list[int]]:
    """One stack for each image and axis, and the number of the stack of each template."""
    stacks: list[SliceStack] = []
    numbers = []
    found: dict[tuple[Hashable, ...], int] = {}
    for template, image in zip(templates, images, strict=True):
        axis = template.working_axis()
        key = (image, *_geometry(template.volume), axis)
        if key not in found:
            found[key] = len(stacks)
            stacks.append(SliceStack(template.volume, axis, config.intensity, config.resampling))
        numbers.append(found[key])
    channels = {stack.channels for stack in stacks}
    if len(channels) > 1:
        raise InputError(
            "templates", "have images with one number of channels", f"{sorted(channels)}"
        )
    return stacks, numbers


def _check_nothing_lost(
    template: Template, stack: SliceStack, slices: Sequence[KnownSlice]
) -> None:
    """Raise where a painted label has no pixel left at the working spacing."""
    labels = template.label_volume
    if labels is None or not stack.grid.changes_plane:
        return
    whole = stack.from_file(labels.data)
    before = {int(v) for one in slices for v in np.unique(whole[one.original])}
    lost = before - labels_of(slices) - {0, template.background}
    if lost:
        raise InputError(
            "resampling.spacing",
            "leave a pixel of every painted label",
            f"labels {sorted(lost)} lost, at slices of {stack.shape} pixels",
            "Use a finer spacing, or leave these labels out.",
        )


def _tell_of_sameness(stack: SliceStack, slices: Sequence[KnownSlice]) -> None:
    """Warn where all known slices are of one grey value, as far as the settings show."""
    if slices and not any(np.ptp(stack.slice(one.index)) > 0 for one in slices):
        black, white = stack.black_and_white
        _LOGGER.warning(
            "%s: its known slices show one grey value alone (black is %g, white %g), so that "
            "nothing can be learned from it. Is it the right image, and the right window?",
            stack.volume.source or "a template",
            black,
            white,
        )


@dataclass(frozen=True, eq=False)
class _OfTemplate:
    """Known slices of a template, with the numbers of its image and stack and what it painted."""

    template: Template
    image: int
    stack: int
    painted: set[int] | frozenset[int]
    slices: list[KnownSlice]

    @property
    def marked(self) -> frozenset[int]:
        """Labels of landmarks."""
        return frozenset(point.label for point in self.template.points)

    def examples(self, label_values: Sequence[int]) -> Iterator[KnownSlice]:
        """The slices, with the labels that were looked for on each."""
        marked = self.marked
        everywhere = self._looked_for(label_values)
        for one in self.slices:
            known = marked if one.points_only else everywhere
            yield replace(one, known_labels=known, volume=self.image)

    def _looked_for(self, label_values: Sequence[int]) -> frozenset[int]:
        given = self.template.known_labels
        if given is not None:
            return frozenset(int(v) for v in given)
        own = self.painted | self.marked | set(self.template.names)
        return frozenset(own & set(label_values) or label_values)


def _listed(templates: Template | Sequence[Template]) -> list[Template]:
    """Templates as a list, not empty."""
    listed = [templates] if isinstance(templates, Template) else list(templates)
    if not listed:
        raise InputError("templates", "have at least one template", "none")
    if not all(isinstance(template, Template) for template in listed):
        raise InputError(
            "templates", "be a Template or a list of them", [type(t).__name__ for t in listed]
        )
    return listed


def _arranged(
    templates: Sequence[Template], images: Sequence[int], numbers: Sequence[int]
) -> tuple[int, ...]:
    """Number of the first stack of each image with landmarks, as of :func:`arrangements_of`."""
    found: dict[int, int] = {}
    for template, image, number in zip(templates, images, numbers, strict=True):
        if template.points:
            found.setdefault(image, number)
    return tuple(found.values())


def _repeated(templates: Sequence[Template], images: Sequence[int]) -> frozenset[int]:
    counts = Counter(
        (image, point.label)
        for template, image in zip(templates, images, strict=True)
        for point in template.points
    )
    return frozenset(label for (_, label), count in counts.items() if count > 1)


def arrangements_of(
    templates: Sequence[Template], images: Sequence[int]
) -> tuple[dict[int, tuple[float, ...]], ...]:
    """Places of the landmarks of each image, in canonical mm; labels with several are left out.

    ``images`` numbers the image of each template.
    """
    found: dict[int, list[tuple[int, Array]]] = defaultdict(list)
    for template, image in zip(templates, images, strict=True):
        volume = template.volume
        frame = Frame.of(volume.affine, volume.ndim)
        sizes = np.array(frame.canonical_spacing(volume.spacing))
        for point in template.points:
            place = np.array([point.position[-volume.ndim :]])
            moved = frame.points_to_canonical(place, volume.shape)[0] * sizes
            found[image].append((point.label, moved))
    arrangements = []
    for points in found.values():
        counts = Counter(label for label, _ in points)
        single = {label: tuple(at.tolist()) for label, at in points if counts[label] == 1}
        arrangements.append(dict(sorted(single.items())))
    return tuple(arrangements)

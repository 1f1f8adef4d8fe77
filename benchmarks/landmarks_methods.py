"""Ways to place landmarks that benchmarks/landmarks.py measures beside the default."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np
from landmarks_tasks import Example, Task

from napari_fewshot import FewShotSegmenter, Landmark, Volume
from napari_fewshot.backbones import get_backbone
from napari_fewshot.config import ExtractionConfig, IntensityConfig, SegmenterConfig
from napari_fewshot.features.extract import FeatureExtractor
from napari_fewshot.geometry import Frame
from napari_fewshot.landmarks.find import SeenImage, find_known
from napari_fewshot.landmarks.learn import learn_landmarks
from napari_fewshot.slices.coarse import CoarseVolume, coarse_volume
from napari_fewshot.slices.grid import resize_plane
from napari_fewshot.slices.registration import register, register_turned
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.templates.training_set import TrainingSet

Places = dict[str, tuple[np.ndarray, float | None]]
"""Place in voxels of the file order, (z, y, x) or (y, x), and score of each name."""

_HEIGHT = 320  # of planes that are matched as a whole
_VOXELS = 96**3
_SIDES = 2**18  # voxels of volumes that are registered


@dataclass
class Found:
    """What a method has found in each case, and its seconds."""

    places: list[Places] = field(default_factory=list)
    fit_seconds: float = 0.0
    seconds: float = 0.0


def run(task: Task, method: str, seed: int) -> Found:
    """Solve a task."""
    start = time.perf_counter()
    place = METHODS[method](task, seed)
    found = Found(fit_seconds=time.perf_counter() - start)
    start = time.perf_counter()
    found.places = [place(case.image) for case in task.cases]
    found.seconds = (time.perf_counter() - start) / len(task.cases)
    return found


def _segmenter(task: Task, seed: int, **settings: object) -> Callable[[Volume], Places]:
    model = FewShotSegmenter(seed=seed, **settings)
    model.fit([example.template() for example in task.templates])

    def place(image: Volume) -> Places:
        found = model.predict(image).landmarks
        return {
            p.name: (np.array(p.position[-image.ndim :]), p.score)
            for p in sorted(found, key=lambda p: p.score or 0)
        }

    return place


def given(example: Example, count: int) -> tuple[Landmark, ...]:
    """Points of an image that are known to a method that is told so many, evenly out of all."""
    points = sorted(example.points, key=lambda point: point.label)
    return tuple(points[int(len(points) * (k + 0.5) / count)] for k in range(count))


def _default(task: Task, seed: int, known_points: int = 0) -> Callable[[Volume], Places]:
    """What ``train`` and ``predict`` find; adapters are trained only where that needs them.

    Beside ``known_points`` that a person has placed in each image.
    """
    told = {
        id(case.image): {point.label: point.position for point in given(case, known_points)}
        for case in task.cases
    }
    config = SegmenterConfig(seed=seed)
    extractor = FeatureExtractor(get_backbone("embedded"), ExtractionConfig(), "cpu")
    training = TrainingSet.of([example.template() for example in task.templates], config)
    known = learn_landmarks(training, config, extractor)
    whole = cache(lambda: _segmenter(task, seed))

    def place(image: Volume) -> Places:
        found = None
        if known is not None:
            settings = config.intensity, config.propagation.landmarks
            seen = SeenImage(told[id(image)])
            found = find_known(image, known, extractor, training.names, *settings, seen=seen)
        if found is None:
            return whole()(image)
        return {
            p.name: (np.array(p.position[-image.ndim :]), p.score)
            for p in found.values()
            if isinstance(p, Landmark)
        }

    return place


def _published(task: Task, seed: int) -> Callable[[Volume], Places]:
    """Ours, but that a landmark is the centre of its cleaned mask, as in the papers."""
    settings = {"landmarks": {"source": "labels"}, "cleanup": {"min_fraction": 1.0}}
    return _segmenter(task, seed, propagation=settings)


def _mean_place(task: Task, _: int) -> Callable[[Volume], Places]:
    """The mean of the templates' places, as shares of the sides; the image is not looked at."""
    shares: dict[str, list[np.ndarray]] = {}
    for example in task.templates:
        for point in example.points:
            sides = np.array(example.image.shape)
            share = np.array(point.position[-example.image.ndim :]) / sides
            shares.setdefault(point.name, []).append(share)

    def place(image: Volume) -> Places:
        sides = np.array(image.shape)
        return {name: (np.mean(each, axis=0) * sides, None) for name, each in shares.items()}

    return place


def _small(image: Volume) -> Volume:
    """The image on a grid of 320 rows, or of so many voxels that slices can be matched."""
    stack = SliceStack(image, 0, IntensityConfig())
    if image.ndim == 3:
        coarse = coarse_volume(stack, _VOXELS)
        return Volume(coarse.grey, coarse.spacing)
    height, width = image.shape
    shape = (_HEIGHT, max(1, round(width * _HEIGHT / height)))
    return Volume(255 * resize_plane(stack.slice(0), shape)[0], (1.0, 1.0))


def _matching(task: Task, _: int) -> Callable[[Volume], Places]:
    """The place whose embedded features are most like those of a template's landmark."""
    extractor = FeatureExtractor(get_backbone("embedded"), ExtractionConfig(), "cpu")

    def features(image: Volume) -> np.ndarray:
        stack = SliceStack(_small(image), 0, IntensityConfig())
        planes = [one.data for _, one in extractor.maps(stack, range(len(stack)))]
        return np.moveaxis(np.stack(planes), 1, 0)  # (C, N, H, W)

    def cell(position: np.ndarray, image: Volume, shape: tuple[int, ...]) -> np.ndarray:
        moved = _to_canonical(position, image)
        sides = np.array(_canonical_shape(image))
        return (moved + 0.5) * np.array(shape) / sides - 0.5

    seen: dict[str, list[np.ndarray]] = {}
    for example in task.templates:
        maps = features(example.image)
        for point in example.points:
            at = cell(np.array(point.position), example.image, maps.shape[1:])
            at = np.clip(np.round(at).astype(int), 0, np.array(maps.shape[1:]) - 1)
            seen.setdefault(point.name, []).append(maps[:, *at])

    def place(image: Volume) -> Places:
        maps = features(image)
        flat = maps.reshape(len(maps), -1)
        found: Places = {}
        for name, each in seen.items():
            similar = (np.stack(each) @ flat).max(axis=0)
            top = int(similar.argmax())
            at = np.array(np.unravel_index(top, maps.shape[1:]))
            back = (at + 0.5) * np.array(_canonical_shape(image)) / maps.shape[1:] - 0.5
            found[name] = _from_canonical(back, image), float(similar[top])
        return found

    return place


def _canonical_shape(image: Volume) -> tuple[int, ...]:
    if image.ndim == 2:
        return (1, *image.shape)
    return Frame.of(image.affine, 3).canonical_shape(image.shape)


def _to_canonical(position: np.ndarray, image: Volume) -> np.ndarray:
    if image.ndim == 2:
        return position
    frame = Frame.of(image.affine, 3)
    return frame.points_to_canonical(position[None], image.shape)[0]


def _from_canonical(position: np.ndarray, image: Volume) -> np.ndarray:
    if image.ndim == 2:
        return position[1:]
    frame = Frame.of(image.affine, 3)
    return frame.points_from_canonical(position[None], image.shape)[0]


def _registration(task: Task, _: int) -> Callable[[Volume], Places]:
    """The median of where registered templates bring their landmarks; rows of planes are slices."""

    def coarse(image: Volume) -> CoarseVolume:
        if image.ndim == 2:  # a thick plane
            plane = np.clip(np.round(_small(image).data), 0, 255).astype(np.uint8)
            return CoarseVolume(np.repeat(plane[None], 8, axis=0), (1.0, 1.0, 1.0))
        return coarse_volume(SliceStack(image, 0, IntensityConfig()), _SIDES)

    templates = [(coarse(example.image), example) for example in task.templates]

    def place(image: Volume) -> Places:
        from scipy import ndimage

        target = coarse(image)
        way = register if image.ndim == 2 else register_turned
        found: dict[str, list[np.ndarray]] = {}
        for grey, example in templates:
            moved = way(grey, target).places
            for point in example.points:
                inner = _to_canonical(np.array(point.position), example.image)
                sides = np.array(_canonical_shape(example.image))
                at = (inner + 0.5) * grey.grey.shape / sides - 0.5
                if image.ndim == 2:
                    at[0] = 3.5
                there = np.array(
                    [
                        ndimage.map_coordinates(m, at[:, None], order=1, mode="nearest")
                        for m in moved
                    ]
                )[:, 0]
                back = (there + 0.5) * _canonical_shape(image) / np.array(target.grey.shape) - 0.5
                found.setdefault(point.name, []).append(_from_canonical(back, image))
        return {name: (np.median(each, axis=0), None) for name, each in found.items()}

    return place


METHODS: dict[str, Callable[[Task, int], Callable[[Volume], Places]]] = {
    "default": _default,
    "mean place": _mean_place,
    "matching": _matching,
    "registration": _registration,
    "published way": _published,
    "1 known": partial(_default, known_points=1),
    "2 known": partial(_default, known_points=2),
}
KNOWN = {"1 known": 1, "2 known": 2}
"""Methods that are told so many points of each image; errors are those of the others."""
REFERENCES = ("mean place", "matching", "registration")
"""Methods that do not depend on what is developed here."""
UNSEEDED = ("mean place", "matching", "registration")


def errors(case: Example, places: Places, unit: str) -> tuple[list[float | None], list[float]]:
    """Error of each point, None where it was not found, in the unit; scores of those found."""
    found: list[float | None] = []
    scores = []
    for point in case.points:
        if point.name not in places:
            found.append(None)
            continue
        at, score = places[point.name]
        apart = at - np.array(point.position[-case.image.ndim :])
        if unit == "%":
            error = 100 * float(np.linalg.norm(apart)) / float(case.size or 1)
        else:
            error = float(np.linalg.norm(apart * case.image.spacing))
        found.append(round(error, 4))
        scores.append(round(float("nan") if score is None else score, 4))
    return found, scores


def absent(case: Example, task: Task, places: Places) -> tuple[int, int]:
    """Points that the case has not though templates have, and how many were found all the same."""
    known = {point.name for example in task.templates for point in example.points}
    missing = known - {point.name for point in case.points}
    return len(missing), len(missing & places.keys())

"""Registration of whole volumes: where what is seen in one lies in another of the same anatomy.

Rigid, then affine by mutual information (Mattes et al. 2003), then diffeomorphic demons
(Vercauteren et al. 2009), all of SimpleITK, an optional package.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations, product
from typing import Any

import numpy as np

from ..types import Array
from .coarse import CoarseVolume

__all__ = [
    "INSTALL",
    "MIN_SIDE",
    "Registration",
    "has_registration",
    "register",
    "register_turned",
]

INSTALL = "pip install 'napari-fewshot[registration]'"
_BINS = 32
_SAMPLES = 60_000
_LINEAR_STEPS = 100
_DEMONS_STEPS = 50
_STIFFNESS = 1.5
"""Standard deviation, in voxels, of the Gaussian that displacements are smoothed with."""
_COARSER = 2
MIN_SIDE = 8
"""Voxels of a volume that can be registered."""
_WINDOW = 5
_NOISE = 1e-4
_MIN_OVERLAP = 0.5
_FEW = 20  # voxels of a side where turns are tried
_TURN_STEPS = 25
_LOCK = threading.Lock()
_USERS: list[int] = []
"""How many threads SimpleITK had before, and one more for each registration that is under way."""


def has_registration() -> bool:
    """Whether SimpleITK is installed."""
    return _simpleitk() is not None


@cache
def _simpleitk() -> Any:
    try:
        import SimpleITK
    except ImportError:
        return None
    return SimpleITK


@dataclass(frozen=True, eq=False)
class Registration:
    """Where the voxels of a fixed volume lie in a moving one.

    Parameters
    ----------
    places : float32 array, shape (3, z, y, x)
        In voxels of the moving volume.
    similarity : float
        Mean local correlation of the fixed volume and the moved one, -1..1; 0 where it failed.
    """

    places: Array
    similarity: float


def register(
    fixed: CoarseVolume, moving: CoarseVolume, check: Callable[[], None] = lambda: None
) -> Registration:
    """Register a moving volume with a fixed one.

    Both are taken to lie centre over centre at first. The same volumes give the same result
    whatever the number of threads. ``check`` is called at each step; it may raise ``Cancelled``.
    """
    itk = _simpleitk()
    with _one_thread(itk):
        return _register(itk, fixed, moving, check, turned=False)


def register_turned(
    fixed: CoarseVolume, moving: CoarseVolume, check: Callable[[], None] = lambda: None
) -> Registration:
    """Find how a moving volume is turned, shifted and sheared against a fixed one.

    As :func:`register`, but from the best of all 24 ways to turn axes into axes, with the masses of
    what is bright one over the other; and nothing is bent.
    """
    itk = _simpleitk()
    with _one_thread(itk):
        return _register(itk, fixed, moving, check, turned=True)


def _register(
    itk: Any, fixed: CoarseVolume, moving: CoarseVolume, check: Callable[[], None], *, turned: bool
) -> Registration:
    if min(*fixed.grey.shape, *moving.grey.shape) < MIN_SIDE:
        return _failed(fixed)
    one, other = _image(itk, fixed), _image(itk, moving)
    work = _Steps(itk, check)
    try:
        start = _turned(itk, one, other, work) if turned else itk.Euler3DTransform()
        affine = _affine(itk, one, other, start, work)
        field = None
        if not turned:
            shown = itk.Resample(other, one, affine, itk.sitkLinear, 0.0)
            field = _demons(itk, one, shown, work)
    except RuntimeError:  # all that is sampled lies outside, say
        work.reraise()
        return _failed(fixed)
    places = _places(fixed, moving, affine, field)
    return Registration(places, _similarity(fixed, moving, places))


@contextmanager
def _one_thread(itk: Any) -> Iterator[None]:
    """Hold SimpleITK to one thread for each thread that calls it.

    A metric sums in another order otherwise. Its filters have threads of their own number, but not
    all that they are made of. The limit is one of the process: the last to end lifts it.
    """
    with _LOCK:
        if not _USERS:
            _USERS.append(itk.ProcessObject.GetGlobalDefaultNumberOfThreads())
        _USERS.append(1)
        itk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        with _LOCK:
            _USERS.pop()
            if len(_USERS) == 1:
                itk.ProcessObject.SetGlobalDefaultNumberOfThreads(_USERS.pop())


def _failed(fixed: CoarseVolume) -> Registration:
    return Registration(np.full((3, *fixed.grey.shape), -2, np.float32), 0.0)


@dataclass
class _Steps:
    """Runs filters on one thread each, and stops them when ``check`` raises."""

    itk: Any
    check: Callable[[], None]
    error: BaseException | None = field(default=None)

    def run(self, filter_: Any, stop: Callable[[], None], *inputs: Any) -> Any:
        def step() -> None:
            if self.error is not None:  # the last step is told when it has been stopped, too
                return
            try:
                self.check()
            except BaseException as error:  # raised again, outside of SimpleITK
                self.error = error
                stop()

        filter_.AddCommand(self.itk.sitkIterationEvent, step)
        filter_.SetNumberOfThreads(1)
        result = filter_.Execute(*inputs)
        self.reraise()
        return result

    def reraise(self) -> None:
        if self.error is not None:
            raise self.error


def _image(itk: Any, volume: CoarseVolume) -> Any:
    """An image in mm around its centre, 0..1."""
    image = itk.GetImageFromArray(volume.grey.astype(np.float32) / 255)
    spacing = np.array(volume.spacing[::-1])
    image.SetSpacing(spacing.tolist())
    image.SetOrigin((-(np.array(image.GetSize()) - 1) * spacing / 2).tolist())
    return image


def _turned(itk: Any, fixed: Any, moving: Any, work: _Steps) -> Any:
    """The best of all turns of axes into axes, each made better by a few steps on few voxels."""
    one, other = (_few(itk, image) for image in (fixed, moving))
    middle, its = _middle(one), _middle(other)
    best: tuple[float, Any] | None = None
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            if np.linalg.det(matrix) < 0:
                continue
            turn = itk.Euler3DTransform()
            turn.SetCenter(middle.tolist())
            turn.SetMatrix(matrix.ravel().tolist(), 1e-6)
            turn.SetTranslation((its - middle).tolist())
            try:
                value = _fit_turn(itk, one, other, turn, work)
            except RuntimeError:  # all that is sampled lies outside
                work.reraise()
                continue
            if best is None or value < best[0]:
                best = value, turn
    return itk.Euler3DTransform() if best is None else best[1]


def _few(itk: Any, image: Any) -> Any:
    steps = [max(1, round(side / _FEW)) for side in image.GetSize()]
    return itk.Shrink(itk.DiscreteGaussian(image, 1.0, 8), steps)


def _middle(image: Any) -> Array:
    """Centre of mass, in mm (x, y, z), of what is brighter than the mean."""
    import SimpleITK

    grey = SimpleITK.GetArrayFromImage(image)
    weights = np.where(grey > grey.mean(), grey, 0)
    total = float(weights.sum())
    planes = np.indices(grey.shape)
    at = [float((p * weights).sum()) / total if total else (p.max() / 2) for p in planes]
    place: Array = np.array(image.TransformContinuousIndexToPhysicalPoint(at[::-1]))
    return place


def _fit_turn(itk: Any, fixed: Any, moving: Any, turn: Any, work: _Steps) -> float:
    """Fit a turn by correlation and return its metric, the lower the better."""
    method = itk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetInterpolator(itk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        1.0, 1e-3, _TURN_STEPS, relaxationFactor=0.6, gradientMagnitudeTolerance=1e-6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(turn, inPlace=True)
    work.run(method, method.StopRegistration, fixed, moving)
    return float(method.GetMetricValue())


def _affine(itk: Any, fixed: Any, moving: Any, rigid: Any, work: _Steps) -> Any:
    _fit(itk, fixed, moving, rigid, work)
    affine = itk.AffineTransform(3)
    affine.SetMatrix(rigid.GetMatrix())
    affine.SetTranslation(rigid.GetTranslation())
    affine.SetCenter(rigid.GetCenter())
    _fit(itk, fixed, moving, affine, work)
    return affine


def _fit(itk: Any, fixed: Any, moving: Any, transform: Any, work: _Steps) -> None:
    method = itk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    count = fixed.GetNumberOfPixels()
    if count > _SAMPLES:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(_SAMPLES / count, 1)
    method.SetInterpolator(itk.sitkLinear)
    method.SetShrinkFactorsPerLevel([_COARSER, 1])
    method.SetSmoothingSigmasPerLevel([1, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetOptimizerAsRegularStepGradientDescent(
        1.0, 1e-3, _LINEAR_STEPS, relaxationFactor=0.6, gradientMagnitudeTolerance=1e-6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    work.run(method, method.StopRegistration, fixed, moving)


def _demons(itk: Any, fixed: Any, moving: Any, work: _Steps) -> Any:
    """Displacements, in mm, from the fixed image to the moving one: coarse, then fine."""
    moving = itk.HistogramMatching(moving, fixed, 64, 7, False)
    field: Any = None
    for factor in (_COARSER, 1):
        one, other = fixed, moving
        if factor > 1:
            steps = [min(factor, max(1, side // MIN_SIDE)) for side in fixed.GetSize()]
            one = itk.Shrink(itk.DiscreteGaussian(fixed, 1.0, 8), steps)
            other = itk.Resample(itk.DiscreteGaussian(moving, 1.0, 8), one)
        demons = itk.DiffeomorphicDemonsRegistrationFilter()
        demons.SetNumberOfIterations(_DEMONS_STEPS)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(_STIFFNESS)
        images = [one, other] if field is None else [one, other, itk.Resample(field, one)]
        field = work.run(demons, demons.Abort, *images)
    return field


def _places(fixed: CoarseVolume, moving: CoarseVolume, affine: Any, field: Any) -> Array:
    import SimpleITK

    mm = [
        (np.arange(side) - (side - 1) / 2) * step
        for side, step in zip(fixed.grey.shape, fixed.spacing, strict=True)
    ]
    points = np.stack(np.meshgrid(*mm, indexing="ij"))
    if field is not None:
        points += np.moveaxis(SimpleITK.GetArrayFromImage(field), -1, 0)[::-1]
    matrix = np.array(affine.GetMatrix()).reshape(3, 3)[::-1, ::-1]
    centre = np.array(affine.GetCenter())[::-1].reshape(3, 1, 1, 1)
    shift = np.array(affine.GetTranslation())[::-1].reshape(3, 1, 1, 1)
    points = np.tensordot(matrix, points - centre, 1) + centre + shift
    step = np.array(moving.spacing).reshape(3, 1, 1, 1)
    sides = np.array(moving.grey.shape).reshape(3, 1, 1, 1)
    places: Array = (points / step + (sides - 1) / 2).astype(np.float32)
    return places


def _similarity(fixed: CoarseVolume, moving: CoarseVolume, places: Array) -> float:
    """Mean correlation in small windows, where both are; 0 where they hardly overlap."""
    from scipy import ndimage

    inside = np.ones(fixed.grey.shape, bool)
    for place, side in zip(places, moving.grey.shape, strict=True):
        inside &= (place > -0.5) & (place < side - 0.5)
    if inside.mean() < _MIN_OVERLAP:
        return 0.0
    one = fixed.grey.astype(np.float32) / 255
    grey = moving.grey.astype(np.float32) / 255
    other = ndimage.map_coordinates(grey, places, order=1, mode="nearest")

    def mean(array: Array) -> Array:
        filtered: Array = ndimage.uniform_filter(array, _WINDOW)
        return filtered

    own, its = mean(one), mean(other)
    variances = (
        np.maximum(mean(array * array) - middle * middle, 0)
        for array, middle in ((one, own), (other, its))
    )
    first, second = variances
    shared = mean(one * other) - own * its
    correlation = shared / np.sqrt((first + _NOISE) * (second + _NOISE))
    return float(correlation[inside].mean())

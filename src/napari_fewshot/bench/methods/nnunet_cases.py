"""nnU-Net's raw format: templates written as its cases, volumes to predict, and labels read back.

``2d``: each known slice is a case of one slice, since in nnU-Net a case is labelled as a whole
and slices that nobody painted would be background. ``3d_fullres``: each volume is a case in
which unknown voxels have nnU-Net's label *ignore*.
Slices are in the canonical orientation, and so are volumes. Images are (C, Z, Y, X), classes
(Z, Y, X).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...config import IntensityConfig
from ...errors import InputError
from ...slices.stack import SliceStack
from ...templates.known import KnownSlice, class_plane, labels_looked_for
from ...templates.training_set import TrainingSet
from ...types import Array
from .baseline import held_out_volumes

__all__ = ["ENDING", "Configuration", "HoldOut", "read_cases", "write_cases", "write_dataset"]

ENDING = ".nii.gz"
Configuration = Literal["2d", "3d_fullres"]
HoldOut = Literal["volumes", "slices"]
Spacing = tuple[float, float, float]

_THICK = 999.0  # spacing across a single slice, as nnU-Net's own reader of 2D images says


@dataclass(frozen=True, eq=False)
class _Case:
    """A case to learn from; ``volume`` is the number of the image that it belongs to."""

    name: str
    volume: int
    image: Array
    classes: Array
    spacing: Spacing


def write_dataset(
    folder: Path,
    training: TrainingSet,
    configuration: Configuration,
    intensity: IntensityConfig,
    fraction: float,
    hold_out: HoldOut = "volumes",
) -> dict[str, list[str]]:
    """Write ``imagesTr``, ``labelsTr`` and ``dataset.json`` to ``nnUNet_raw/DatasetXXX_NAME``.

    Returns the split, names of cases to learn from (``train``) and of those of the ``fraction``
    of the volumes, or slices, that are held out (``val``); with less than one both are all cases.
    """
    (folder / "labelsTr").mkdir(parents=True, exist_ok=True)
    volumes: dict[str, int] = {}
    partial = False
    make_cases = _slice_cases if configuration == "2d" else _volume_cases
    for case in make_cases(training, intensity):
        _write_image(folder / "imagesTr", case.name, case.image, case.spacing)
        _write(folder / "labelsTr" / f"{case.name}{ENDING}", case.classes, case.spacing)
        volumes[case.name] = case.volume
        partial |= bool((case.classes == _ignored(training)).any())
    content = {
        "channel_names": {str(c): "noNorm" for c in range(training.channels)},
        "labels": _class_names(training, with_ignore=partial),
        "numTraining": len(volumes),
        "file_ending": ENDING,
        "overwrite_image_reader_writer": "NibabelIO",
    }
    (folder / "dataset.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    names = sorted(volumes)
    if hold_out == "slices":
        count = int(fraction * len(names) + 1e-9)
        val = {names[(2 * k + 1) * len(names) // (2 * count)] for k in range(count)}
    else:
        kept = {training.examples[k].volume for k in held_out_volumes(training, fraction)[1]}
        val = {name for name in names if volumes[name] in kept}
    if not val:
        return {"train": names, "val": names}
    return {"train": [name for name in names if name not in val], "val": sorted(val)}


def _class_names(training: TrainingSet, with_ignore: bool) -> dict[str, int]:
    """Names of classes as nnU-Net wants them: unique, background first, ignore last."""
    found = {"background": 0}
    for number, value in enumerate(training.label_values, start=1):
        name = re.sub(r"\W+", "_", training.names[value]).strip("_").lower() or "label"
        found[name if name not in {*found, "ignore"} else f"{name}_{value}"] = number
    if with_ignore:
        found["ignore"] = _ignored(training)
    return found


def _ignored(training: TrainingSet) -> int:
    """Class of unknown voxels."""
    return len(training.label_values) + 1


def _slice_cases(training: TrainingSet, intensity: IntensityConfig) -> Iterator[_Case]:
    scales = [_Scale.of(stack, intensity) for stack in training.stacks]
    for number, known in enumerate(training.examples):
        owner, index = training.sources[number]
        stack = training.stacks[owner]
        yield _Case(
            f"slice_{number:05d}",
            known.volume,
            scales[owner].apply(stack.slice(index))[:, None],
            _classes(known, training)[None],
            _slice_spacing(stack),
        )


def _volume_cases(training: TrainingSet, intensity: IntensityConfig) -> Iterator[_Case]:
    for number, stack in enumerate(training.stacks):
        known = [k for k, (owner, _) in enumerate(training.sources) if owner == number]
        classes = np.full(stack.grid.working, _ignored(training))
        for k in known:
            classes[training.sources[k][1]] = _classes(training.examples[k], training)
        yield _Case(
            f"volume_{number:04d}",
            training.examples[known[0]].volume,
            _volume_image(stack, intensity),
            np.moveaxis(classes, 0, stack.axis),
            _volume_spacing(stack),
        )


def _classes(known: KnownSlice, training: TrainingSet) -> Array:
    """Classes of a slice; background is unknown where a label was not looked for."""
    values = training.label_values
    classes = class_plane(known, values)
    highest_unknown = -1 if labels_looked_for(known, values).all() else 0
    return np.where(classes <= highest_unknown, _ignored(training), classes)


def write_cases(
    folder: Path, stack: SliceStack, configuration: Configuration, intensity: IntensityConfig
) -> list[str]:
    """Write a volume to predict as its cases; return their names in the order of the stack."""
    if configuration == "3d_fullres":
        _write_image(folder, "volume", _volume_image(stack, intensity), _volume_spacing(stack))
        return ["volume"]
    scale = _Scale.of(stack, intensity)
    names = [f"slice_{index:05d}" for index in range(len(stack))]
    for index, name in enumerate(names):
        image = scale.apply(stack.slice(index))[:, None]
        _write_image(folder, name, image, _slice_spacing(stack))
    return names


def read_cases(files: Sequence[Path], stack: SliceStack, configuration: Configuration) -> Array:
    """Read the classes that nnU-Net wrote of a volume's cases, as working slices (N, H, W)."""
    import nibabel

    images: list[Any] = [nibabel.load(file) for file in files]
    found = [np.round(np.asanyarray(image.dataobj).T).astype(np.int64) for image in images]
    return np.concatenate(found) if configuration == "2d" else np.moveaxis(found[0], stack.axis, 0)


def _volume_image(stack: SliceStack, intensity: IntensityConfig) -> Array:
    """The image of a volume as one case, in canonical order."""
    if stack.volume.ndim == 2:
        raise InputError("settings.configuration", "be 2d for 2D images", "3d_fullres")
    scale = _Scale.of(stack, intensity)
    image = np.stack([scale.apply(stack.slice(k)) for k in range(len(stack))], axis=1)
    return np.moveaxis(image, 1, 1 + stack.axis)


@dataclass(frozen=True)
class _Scale:
    """Grey values as nnU-Net would make them of the whole volume, which a slice is not.

    Percentiles: to mean 0 and standard deviation 1. A fixed window: one map for all volumes.
    """

    mean: float
    deviation: float

    @classmethod
    def of(cls, stack: SliceStack, intensity: IntensityConfig) -> _Scale:
        if intensity.mode == "window":
            return cls(0.5, 0.25)
        total = square = count = 0.0
        for index in range(len(stack)):
            plane = stack.slice(index).astype(np.float64)
            total, square = total + plane.sum(), square + (plane**2).sum()
            count += plane.size
        mean = total / count
        return cls(mean, max(square / count - mean**2, 1e-6) ** 0.5)

    def apply(self, image: Array) -> Array:
        scaled = (image - self.mean) / self.deviation
        # nnU-Net crops what is zero all round an image, which means nothing here.
        return np.asarray(np.where(scaled == 0, 1e-6, scaled), dtype=np.float32)


def _slice_spacing(stack: SliceStack) -> Spacing:
    """Spacing of a case of one slice."""
    _, height, width = _working_spacing(stack)
    return _THICK, height, width


def _volume_spacing(stack: SliceStack) -> Spacing:
    across, *spacing = _working_spacing(stack)
    spacing.insert(stack.axis, across)
    return spacing[0], spacing[1], spacing[2]


def _working_spacing(stack: SliceStack) -> Spacing:
    grid = stack.grid
    sizes = [s * n / w for s, n, w in zip(stack.spacing, grid.shape, grid.working, strict=True)]
    return sizes[0], sizes[1], sizes[2]


def _write_image(folder: Path, name: str, image: Array, spacing: Spacing) -> None:
    """Write each channel to a file."""
    folder.mkdir(parents=True, exist_ok=True)
    for channel, data in enumerate(image):
        _write(folder / f"{name}_{channel:04d}{ENDING}", data, spacing)


def _write(file: Path, data: Array, spacing: Spacing) -> None:
    """Write (Z, Y, X) with its spacing; orientation is ours, so the affine is a plain scale."""
    import nibabel

    kind = np.uint8 if data.dtype.kind in "iu" else np.float32
    affine = np.diag([*spacing[::-1], 1.0])
    make: Any = nibabel.Nifti1Image
    nibabel.save(make(np.ascontiguousarray(data.T.astype(kind)), affine), file)

"""nnU-Net's raw format: templates written as its cases, volumes to predict, and labels read back.

``2d``: each known slice is a case of one slice, since in nnU-Net a case is labelled as a whole
and slices that nobody painted would be background. ``3d_fullres``: each volume is a case in
which unknown voxels have nnU-Net's label *ignore*.
Slices are in the canonical orientation, and so are volumes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...config import IntensityConfig
from ...errors import InputError
from ...slices.stack import SliceStack
from ...templates.known import UNKNOWN
from ...types import Array
from .slice_set import SliceSet

__all__ = ["ENDING", "RawDataset", "class_names", "read_classes", "write_slices", "write_volume"]

ENDING = ".nii.gz"
Configuration = Literal["2d", "3d_fullres"]

_THICK = 999.0  # spacing across a single slice, as nnU-Net's own reader of 2D images says


@dataclass(frozen=True)
class RawDataset:
    """What was written.

    Parameters
    ----------
    split : dict of str to list of str
        ``train`` and ``val``: names of cases.
    held_out : bool
        Whether cases were held out; otherwise both lists are the same.
    """

    split: dict[str, list[str]]
    held_out: bool

    @classmethod
    def write(
        cls,
        folder: Path,
        learned: SliceSet,
        configuration: Configuration,
        intensity: IntensityConfig,
        share: float,
    ) -> RawDataset:
        """Write ``imagesTr``, ``labelsTr`` and ``dataset.json`` of a data set.

        Parameters
        ----------
        folder : Path
            ``nnUNet_raw/DatasetXXX_NAME``.
        learned : SliceSet
            The known slices.
        configuration : {"2d", "3d_fullres"}
            What a case is.
        intensity : IntensityConfig
            As that of the slices.
        share : float
            Of the volumes that are held out.
        """
        for name in ("imagesTr", "labelsTr"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if configuration == "2d":
            cases, partial = _write_slices(folder, learned, intensity)
        else:
            cases, partial = _write_volumes(folder, learned, intensity)
        content = {
            "channel_names": {str(c): "noNorm" for c in range(learned.training.channels)},
            "labels": class_names(learned, with_ignore=partial),
            "numTraining": len(cases),
            "file_ending": ENDING,
            "overwrite_image_reader_writer": "NibabelIO",
        }
        (folder / "dataset.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
        kept = {learned.volumes[number] for number in learned.held_out(share)[1]}
        names = sorted(cases)
        if not kept:
            return cls({"train": names, "val": names}, False)
        train = [name for name in names if cases[name] not in kept]
        return cls({"train": train, "val": [n for n in names if cases[n] in kept]}, True)


def class_names(learned: SliceSet, with_ignore: bool) -> dict[str, int]:
    """Names of classes as nnU-Net wants them: unique, background first, ignore last."""
    found = {"background": 0}
    for number, value in enumerate(learned.values, start=1):
        name = re.sub(r"\W+", "_", learned.names[value]).strip("_").lower() or "label"
        found[name if name not in {*found, "ignore"} else f"{name}_{value}"] = number
    if with_ignore:
        found["ignore"] = len(learned.values) + 1
    return found


def _write_slices(
    folder: Path, learned: SliceSet, intensity: IntensityConfig
) -> tuple[dict[str, int], bool]:
    cases: dict[str, int] = {}
    partial = False
    scales = [_Scale.of(stack, intensity) for stack in learned.training.stacks]
    for number, (stack, index) in enumerate(learned.training.sources):
        name = f"slice_{number:05d}"
        of = learned.training.stacks[stack]
        classes, some = _with_ignore(_searched(learned, number), learned)
        partial |= some
        image = scales[stack].apply(of.slice(index))[:, None]
        _write_image(folder / "imagesTr", name, image, _slice_spacing(of))
        _write(folder / "labelsTr" / f"{name}{ENDING}", classes[None], _slice_spacing(of))
        cases[name] = learned.volumes[number]
    return cases, partial


def _write_volumes(
    folder: Path, learned: SliceSet, intensity: IntensityConfig
) -> tuple[dict[str, int], bool]:
    cases: dict[str, int] = {}
    partial = False
    for number, stack in enumerate(learned.training.stacks):
        known = [k for k, (s, _) in enumerate(learned.training.sources) if s == number]
        classes = np.full(stack.grid.working, UNKNOWN, dtype=np.int64)
        for k in known:
            classes[learned.training.sources[k][1]] = _searched(learned, k)
        name = f"volume_{number:04d}"
        labels, some = _with_ignore(np.moveaxis(classes, 0, stack.axis), learned)
        partial |= some
        write_volume(folder / "imagesTr", name, stack, intensity)
        _write(folder / "labelsTr" / f"{name}{ENDING}", labels, _volume_spacing(stack))
        cases[name] = learned.volumes[known[0]]
    return cases, partial


def _searched(learned: SliceSet, number: int) -> Array:
    """Classes of a slice; background is unknown where a label was not looked for."""
    classes = learned.classes(number)
    if not learned.looked_for(number).all():
        classes[classes == 0] = UNKNOWN
    return classes


def _with_ignore(classes: Array, learned: SliceSet) -> tuple[Array, bool]:
    unknown = classes == UNKNOWN
    return np.where(unknown, len(learned.values) + 1, classes), bool(unknown.any())


def write_volume(folder: Path, name: str, stack: SliceStack, intensity: IntensityConfig) -> None:
    """Write the image of a volume as one case, in canonical order."""
    if stack.volume.ndim == 2:
        raise InputError("settings.configuration", "be 2d for 2D images", "3d_fullres")
    scale = _Scale.of(stack, intensity)
    image = np.stack([scale.apply(stack.slice(k)) for k in range(len(stack))], axis=1)
    _write_image(folder, name, np.moveaxis(image, 1, 1 + stack.axis), _volume_spacing(stack))


def write_slices(folder: Path, stack: SliceStack, intensity: IntensityConfig) -> list[str]:
    """Write each slice of a volume as a case; return their names in the order of the stack."""
    scale = _Scale.of(stack, intensity)
    names = [f"slice_{index:05d}" for index in range(len(stack))]
    for index, name in enumerate(names):
        image = scale.apply(stack.slice(index))[:, None]
        _write_image(folder, name, image, _slice_spacing(stack))
    return names


def read_classes(file: Path) -> Array:
    """Read a label map that nnU-Net wrote, in the order in which its case was written."""
    import nibabel

    image: Any = nibabel.load(file)
    classes: Array = np.round(np.asanyarray(image.dataobj).T).astype(np.int64)
    return classes


@dataclass(frozen=True)
class _Scale:
    """Grey values as nnU-Net would make them of the whole volume, which a slice is not.

    Percentiles: to mean 0 and standard deviation 1. A fixed window: one map for all volumes.
    """

    mean: float
    spread: float

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
        scaled = (image - self.mean) / self.spread
        # nnU-Net crops what is zero all round an image, which means nothing here.
        return np.asarray(np.where(scaled == 0, 1e-6, scaled), dtype=np.float32)


def _slice_spacing(stack: SliceStack) -> tuple[float, float, float]:
    """Spacing of a case of one slice."""
    _, height, width = _working_spacing(stack)
    return _THICK, height, width


def _volume_spacing(stack: SliceStack) -> tuple[float, float, float]:
    depth, height, width = _working_spacing(stack)
    spacing = [height, width]
    spacing.insert(stack.axis, depth)
    return spacing[0], spacing[1], spacing[2]


def _working_spacing(stack: SliceStack) -> tuple[float, float, float]:
    grid = stack.grid
    sizes = [s * n / w for s, n, w in zip(stack.spacing, grid.shape, grid.working, strict=True)]
    return sizes[0], sizes[1], sizes[2]


def _write_image(folder: Path, name: str, image: Array, spacing: Sequence[float]) -> None:
    """Write (C, Z, Y, X), each channel to a file."""
    folder.mkdir(parents=True, exist_ok=True)
    for channel, data in enumerate(image):
        _write(folder / f"{name}_{channel:04d}{ENDING}", data, spacing)


def _write(file: Path, data: Array, spacing: Sequence[float]) -> None:
    """Write (Z, Y, X) with its spacing; orientation is ours, so the affine is a plain scale."""
    import nibabel

    kind = np.uint8 if data.dtype.kind in "iu" else np.float32
    affine = np.diag([*spacing[::-1], 1.0])
    make: Any = nibabel.Nifti1Image
    nibabel.save(make(np.ascontiguousarray(data.T.astype(kind)), affine), file)

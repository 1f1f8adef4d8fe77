"""Known landmarks in a model file: tensors, and what JSON says of them."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..landmarks.known import KnownImage, KnownLandmarks, no_trials
from ..slices.coarse import CoarseVolume
from ..types import Array

__all__ = ["PackedLandmarks", "pack_landmarks", "unpack_landmarks"]

_PREFIX = "landmarks."
_EARLIER = 7
"""Columns of the trials of earlier versions: how sure to be within each of six distances."""
_Label = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
_Length = Annotated[float, Field(gt=0)]


class _Image(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    extent: Annotated[tuple[_Length, ...], Field(min_length=2, max_length=3)]
    spacing: Annotated[tuple[_Length, ...], Field(min_length=2, max_length=3)]
    coarse: tuple[_Length, _Length, _Length] | None = None


class PackedLandmarks(BaseModel):
    """The JSON of known landmarks."""

    labels: Annotated[tuple[_Label, ...], Field(min_length=1)]
    images: Annotated[tuple[_Image, ...], Field(min_length=1)]


def pack_landmarks(known: KnownLandmarks | None) -> tuple[dict[str, Any] | None, dict[str, Array]]:
    """JSON-ready values and tensors; places that a template has not are left out as such."""
    if known is None:
        return None, {}
    tensors: dict[str, Array] = {f"{_PREFIX}trials": known.trials.astype(np.float32)}
    images = []
    for number, image in enumerate(known.images):
        name = f"{_PREFIX}{number}"
        there = np.isfinite(image.places[:, 0])
        tensors[f"{name}.there"] = there
        tensors[f"{name}.places"] = np.nan_to_num(image.places).astype(np.float32)
        tensors[f"{name}.descriptors"] = image.descriptors.astype(np.float16)
        kind = np.float16 if image.volume is None else np.uint8
        tensors[f"{name}.patches"] = np.ascontiguousarray(image.patches, kind)
        if len(image.overview):
            tensors[f"{name}.overview"] = image.overview.astype(np.float16)
        coarse = None
        if image.volume is not None:
            tensors[f"{name}.grey"] = np.ascontiguousarray(image.volume.grey)
            coarse = list(image.volume.spacing)
        images.append(
            {"extent": list(image.extent), "spacing": list(image.spacing), "coarse": coarse}
        )
    return {"labels": list(known.labels), "images": images}, tensors


def unpack_landmarks(
    packed: PackedLandmarks | None, tensors: dict[str, Array]
) -> tuple[KnownLandmarks | None, dict[str, Array]]:
    """Known landmarks, and the tensors that are not theirs.

    Raises ValueError or KeyError where parts do not fit each other.
    """
    rest = {name: one for name, one in tensors.items() if not name.startswith(_PREFIX)}
    if packed is None:
        return None, rest
    images = []
    for number, image in enumerate(packed.images):
        name = f"{_PREFIX}{number}"
        there, places = tensors[f"{name}.there"], tensors[f"{name}.places"]
        if places.shape != (len(packed.labels), len(image.extent)) or there.shape != (len(places),):
            raise ValueError("landmarks of another number")
        descriptors = tensors[f"{name}.descriptors"].astype(np.float32)
        patches = tensors[f"{name}.patches"]
        if descriptors.ndim != 2 or patches.ndim != 1 + len(image.extent):
            raise ValueError("descriptors of another kind")
        if not len(descriptors) == len(patches) == len(places):
            raise ValueError("descriptors of another number")
        places = np.where(there.astype(bool)[:, None], places, np.nan).astype(np.float32)
        own = places, image.extent, image.spacing, descriptors
        if image.coarse is None:
            overview = tensors.get(f"{name}.overview", np.zeros((0, 1, 1))).astype(np.float32)
            if overview.ndim != 3:
                raise ValueError("an overview of another kind")
            images.append(KnownImage(*own, None, patches.astype(np.float32), overview))
            continue
        grey = tensors[f"{name}.grey"]
        if grey.ndim != 3 or {grey.dtype, patches.dtype} != {np.dtype(np.uint8)}:
            raise ValueError("grey values of another kind")
        volume = CoarseVolume(grey, image.coarse)
        images.append(KnownImage(*own, volume, patches))
    trials = tensors[f"{_PREFIX}trials"]
    if trials.ndim != 2 or trials.shape[1] not in (3, _EARLIER):
        raise ValueError("trials of another shape")
    if trials.shape[1] == _EARLIER:  # of 2D images they were told by other evidence
        same = packed.images[0].coarse is not None
        both = trials[:, [0, -1]] if same else no_trials()[:, :2]
        trials = np.pad(both, ((0, 0), (0, 1)))
    return KnownLandmarks(packed.labels, tuple(images), trials), rest

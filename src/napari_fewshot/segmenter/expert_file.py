"""The experts in a model file: tensors, and what JSON says of them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..adapters import AdapterState
from ..adapters.polishing.expert import PolishedState
from ..config import HAND_MADE, Companion
from ..predict.carried import PaintedImage, PaintedSlice
from ..predict.learned import ExpertWeights, LearnedModel
from ..predict.registered import TemplateVolume
from ..slices.coarse import CoarseVolume
from ..templates.known import UNKNOWN
from ..types import Array

__all__ = ["PackedExperts", "pack_experts", "unpack_experts"]

_PAINTED = "painted."
_VOLUME = "volume."
_NETWORK = "polished.network."
_HEAD = "polished.head."
_BESIDE: tuple[Companion, ...] = get_args(Companion)
_OWN = (*(f"{name}." for name in _BESIDE), _PAINTED, _VOLUME, _NETWORK, _HEAD)
_MAX_BYTES = 2**31
"""Of the labels of a slice, or of a volume, that a file may claim."""

_Count = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
_Side = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
_Length = Annotated[float, Field(gt=0)]
_Dtype = Literal["int8", "int16", "int32"]


class _Slice(BaseModel):
    index: _Count
    original: _Count
    digest: str
    known_labels: frozenset[_Count]
    dtype: _Dtype


class _Image(BaseModel):
    axis: Annotated[int, Field(strict=True, ge=0, le=2)]
    shape: tuple[_Side, _Side, _Side]
    slices: Annotated[tuple[_Slice, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_indices(self) -> Self:
        if any(one.index >= self.shape[0] for one in self.slices):
            raise ValueError("have painted slices of the image")
        return self


class _Weights(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    hand_made: Annotated[float, Field(ge=0, le=1)] = ExpertWeights.hand_made
    elsewhere: Annotated[float, Field(ge=0, le=1)] = ExpertWeights.elsewhere
    grey: Annotated[float, Field(ge=0, le=1)] = ExpertWeights.grey
    carried: Annotated[float, Field(ge=0, le=100)] = ExpertWeights.carried
    registered: Annotated[float, Field(ge=0, le=100)] = ExpertWeights.registered
    polished: Annotated[float, Field(ge=0, le=1)] = ExpertWeights.polished
    temperature: Annotated[float, Field(ge=0.1, le=10)] = ExpertWeights.temperature


_Width = Annotated[int, Field(strict=True, ge=1, le=4096)]
_Depth = Annotated[int, Field(strict=True, ge=0, le=64)]


class _Shape(BaseModel):
    """Of a network; limits keep a damaged file from asking for a huge one."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    in_channels: _Width
    widths: Annotated[tuple[_Width, ...], Field(min_length=2, max_length=9)]
    depths: Annotated[tuple[_Depth, ...], Field(min_length=1, max_length=8)]
    expansion: _Width
    kernel: _Depth
    block: Literal["convnext", "residual"]
    heads: _Depth
    head_width: _Width
    out_channels: _Width
    mean: float
    std: Annotated[float, Field(gt=0)]


class _Polished(BaseModel):
    shape: _Shape
    head: dict[str, Any]
    steps: _Count


class _Volume(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    shape: tuple[_Side, _Side, _Side]
    spacing: tuple[_Length, _Length, _Length]
    known_labels: frozenset[_Count]
    dtype: _Dtype


class PackedExperts(BaseModel):
    """The JSON of the experts; their tensors lie beside those of the adapter."""

    hand_made: dict[str, Any] | None = None
    hand_made_3d: dict[str, Any] | None = None
    grey: dict[str, Any] | None = None
    flow: Literal["dis", "lucas-kanade"] | None = None
    painted: tuple[_Image, ...] = ()
    volumes: tuple[_Volume, ...] = ()
    weights: _Weights = _Weights()
    polished: _Polished | None = None

    @model_validator(mode="after")
    def _check_hand_made(self) -> Self:
        if sum(getattr(self, name) is not None for name in HAND_MADE) > 1:
            raise ValueError("have one expert on hand-made features")
        return self


def pack_experts(model: LearnedModel) -> tuple[dict[str, Any], dict[str, Array]]:
    """JSON-ready values and tensors of the experts of a model; labels are compressed."""
    tensors: dict[str, Array] = {}
    for name, state in model.beside.items():
        tensors |= _contiguous(f"{name}.", state.tensors)
    states = {name: model.beside.get(name) for name in _BESIDE}
    values = {name: None if one is None else one.values for name, one in states.items()} | {
        "flow": model.flow,
        "painted": _pack_painted(model.painted, tensors),
        "volumes": _pack_volumes(model.volumes, tensors),
        "weights": asdict(model.weights),
        "polished": None,
    }
    polished = model.polished
    if polished is not None:
        values["polished"] = {
            "shape": polished.shape,
            "head": polished.head.values,
            "steps": polished.steps,
        }
        tensors |= {_NETWORK + name: tensor for name, tensor in polished.weights.items()}
        tensors |= _contiguous(_HEAD, polished.head.tensors)
    return values, tensors


def _contiguous(prefix: str, tensors: dict[str, Array]) -> dict[str, Array]:
    return {prefix + name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def _pack_painted(
    painted: Sequence[PaintedImage], tensors: dict[str, Array]
) -> list[dict[str, Any]]:
    """Describe painted images; their labels come to ``tensors``."""
    images = []
    for number, image in enumerate(painted):
        slices: list[dict[str, Any]] = []
        for one in image.slices:
            dtype = _dtype_of(one.labels)
            tensors[f"{_PAINTED}{number}.{len(slices)}"] = _compressed(one.labels, dtype)
            known = sorted(one.known_labels)
            slices.append(
                {"index": one.index, "original": one.original, "digest": one.digest}
                | {"known_labels": known, "dtype": dtype}
            )
        images.append({"axis": image.axis, "shape": list(image.shape), "slices": slices})
    return images


def _pack_volumes(
    volumes: Sequence[TemplateVolume], tensors: dict[str, Array]
) -> list[dict[str, Any]]:
    """Describe template volumes; their voxels and labels come to ``tensors``."""
    packed: list[dict[str, Any]] = []
    for number, volume in enumerate(volumes):
        dtype = _dtype_of(volume.labels)
        tensors[f"{_VOLUME}{number}.grey"] = _compressed(volume.image.grey, "uint8")
        tensors[f"{_VOLUME}{number}.labels"] = _compressed(volume.labels, dtype)
        packed.append(
            {"shape": list(volume.labels.shape), "spacing": list(volume.image.spacing)}
            | {"known_labels": sorted(volume.known_labels), "dtype": dtype}
        )
    return packed


def unpack_experts(
    packed: PackedExperts, tensors: dict[str, Array], label_values: Sequence[int]
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Fields of a :class:`LearnedModel`, and the tensors that are not of experts.

    Raises ValueError or KeyError where parts do not fit each other.
    """
    rest = {n: t for n, t in tensors.items() if not n.startswith(_OWN)}
    beside = {
        name: AdapterState(_below(f"{name}.", tensors), values)
        for name in _BESIDE
        if (values := getattr(packed, name)) is not None
    }
    images = []
    for number, image in enumerate(packed.painted):
        slices = tuple(
            PaintedSlice(
                one.index,
                one.original,
                one.digest,
                _labels(
                    tensors[f"{_PAINTED}{number}.{k}"], one.dtype, image.shape[1:], label_values
                ),
                one.known_labels,
            )
            for k, one in enumerate(image.slices)
        )
        images.append(PaintedImage(image.axis, image.shape, slices))
    volumes = []
    for number, volume in enumerate(packed.volumes):
        grey = _unpacked(tensors[f"{_VOLUME}{number}.grey"], "uint8", volume.shape)
        labels = _labels(
            tensors[f"{_VOLUME}{number}.labels"], volume.dtype, volume.shape, label_values
        )
        whole = CoarseVolume(grey, volume.spacing)
        volumes.append(TemplateVolume(whole, labels, volume.known_labels))
    fields = {
        "beside": beside,
        "flow": packed.flow,
        "painted": tuple(images),
        "volumes": tuple(volumes),
        "weights": ExpertWeights(**packed.weights.model_dump()),
        "polished": _polished(packed.polished, tensors),
    }
    return fields, rest


def _polished(packed: _Polished | None, tensors: dict[str, Array]) -> PolishedState | None:
    if packed is None:
        return None
    head = AdapterState(_below(_HEAD, tensors), packed.head)
    return PolishedState(packed.shape.model_dump(), _below(_NETWORK, tensors), head, packed.steps)


def _below(prefix: str, tensors: dict[str, Array]) -> dict[str, Array]:
    """Tensors whose names begin so, without that."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _dtype_of(labels: Array) -> str:
    """Name of the smallest type that has these labels, and ``UNKNOWN``."""
    kind = np.result_type(np.int8, np.min_scalar_type(-int(labels.max(initial=0)) - 1))
    return str(kind.name)


def _compressed(array: Array, dtype: str) -> Array:
    packed = zlib.compress(np.ascontiguousarray(array, dtype=dtype).tobytes(), 6)
    return np.frombuffer(packed, np.uint8)


def _labels(
    packed: Array, dtype: str, shape: tuple[int, ...], label_values: Sequence[int]
) -> Array:
    labels = _unpacked(packed, dtype, shape)
    if not {int(v) for v in np.unique(labels)} <= {UNKNOWN, 0, *label_values}:
        raise ValueError("painted labels that were not learned")
    return labels


def _unpacked(packed: Array, dtype: str, shape: tuple[int, ...]) -> Array:
    size = np.dtype(dtype).itemsize * math.prod(shape)
    if size > _MAX_BYTES:
        raise ValueError(f"values of {size} bytes")
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(packed.tobytes(), size)
    except zlib.error as error:
        raise ValueError(f"values that are damaged: {error}") from error
    if len(data) != size or not reader.eof:
        raise ValueError("values of another size")
    array: Array = np.frombuffer(data, dtype).reshape(shape)
    return array

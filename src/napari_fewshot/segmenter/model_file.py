"""The model file: tensors and JSON in one safetensors file, never pickle."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..adapters import Adapter, AdapterState, build_adapter
from ..adapters.polishing.expert import PolishedExpert
from ..backbones import Backbone
from ..config import Companion, SegmenterConfig
from ..config.base import input_error
from ..errors import ModelFileError, WeightsError
from ..io.outputs import replacing
from ..predict.card import ModelCard
from ..predict.learned import LearnedModel
from ..types import Array, plain_name
from .expert_file import PackedExperts, pack_experts, unpack_experts
from .landmark_file import PackedLandmarks, pack_landmarks, unpack_landmarks

__all__ = [
    "FORMAT_VERSION",
    "check_weights",
    "read_model",
    "recall",
    "restored",
    "restored_beside",
    "restored_polished",
    "write_model",
]

FORMAT = "napari-fewshot"
_CONTENT_DIGEST = "content_digest"
FORMAT_VERSION = 2
"""2: experts beside the adapter. Files of 1 have none, and are read."""
# What JSON, numpy and torch raise on content that does not fit.
_UNFIT = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,  # also too deeply nested
    TypeError,
    ValueError,
)


def write_model(path: str | os.PathLike[str], model: LearnedModel) -> None:
    """Write a model file; an existing one is replaced only when the new one is whole."""
    from safetensors.numpy import save

    content = {
        "config": model.config.model_dump(mode="json"),
        "weights_hash": model.weights_hash,
        "label_values": list(model.label_values),
        "names": {str(value): name for value, name in model.names.items()},
        "point_labels": sorted(model.point_labels),
        "axes": list(model.axes),
        "channels": model.channels,
        "adapter": model.adapter.values,
        "card": model.card.model_dump(mode="json"),
        "arrangements": [
            {str(value): list(place) for value, place in one.items()} for one in model.arrangements
        ],
    }
    tensors = {name: np.ascontiguousarray(t) for name, t in model.adapter.tensors.items()}
    if model.weights_name:
        content["weights_name"] = model.weights_name
    content["experts"], others = pack_experts(model)
    landmarks, points = pack_landmarks(model.landmarks)
    if landmarks is not None:
        content["landmarks"] = landmarks
    tensors |= others | points
    text = json.dumps(content, sort_keys=True)
    metadata = {
        "format": FORMAT,
        "version": str(FORMAT_VERSION),
        "digest": _digest(tensors),
        _CONTENT_DIGEST: _content_digest(str(FORMAT_VERSION), text),
        "content": text,
    }
    whole = memoryview(save(tensors, metadata))
    end = 8 + int.from_bytes(whole[:8], "little")
    header = _sorted(bytes(whole[8:end]))
    # Written here: safetensors hides what the disk says, and makes files for their owner alone.
    with replacing(Path(path)) as temporary, temporary.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.write(whole[end:])


def _sorted(header: bytes) -> bytes:
    """Header with its metadata sorted, which safetensors writes in an order that changes by chance.

    So the same training gives the same file, byte for byte.
    """
    content = json.loads(header)
    content["__metadata__"] = dict(sorted(content["__metadata__"].items()))
    text = json.dumps(content, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)  # tensors begin at a multiple of eight


def read_model(path: str | os.PathLike[str]) -> LearnedModel:
    """Read a model file.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, not a model, or of a newer format. Files of version
        0.1.0 have no digest of their tensors: damage in them is seen only where it gives numbers
        that are not finite.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ModelFileError(f"model must be an existing file; got {path}.") from None
    except (SafetensorError, OSError, TypeError, AttributeError) as error:  # numpy lacks some types
        raise ModelFileError(
            f"model must be a whole model file; got {path} ({error}). Train it again."
        ) from None
    if metadata.get("format") != FORMAT:
        raise ModelFileError(
            f"model must be a file that napari-fewshot wrote; got {path}, which is a safetensors "
            "file of another kind."
        )
    version = metadata.get("version", "")
    if not version.isdecimal() or len(version) > 9 or int(version) > FORMAT_VERSION:
        raise ModelFileError(
            f"model must be of format {FORMAT_VERSION} or older; got {path} of format "
            f"{version[:20]}. Update napari-fewshot."
        )
    _check_tensors(path, tensors, metadata.get("digest"))
    try:
        content, digest = metadata["content"], metadata.get(_CONTENT_DIGEST)
        if digest is not None and digest != _content_digest(version, content):
            raise ModelFileError(
                f"model must have the settings that were saved; got {path}, which was damaged or "
                "changed since. Copy it again, or train it again."
            )
        return _parse(content, tensors)
    except _UNFIT as error:
        raise ModelFileError(
            f"model must have readable settings; got {path} ({_in_short(error)}). Train it again."
        ) from None


def restored(model: LearnedModel, device: str) -> Adapter:
    """Build the fitted adapter of a model.

    Raises
    ------
    ModelFileError
        If its tensors do not fit its settings.
    """
    return _restored(model, model.adapter, device)


def restored_beside(model: LearnedModel, device: str) -> dict[Companion, Adapter]:
    """Build the fitted adapters that the model has beside that one.

    Raises what :func:`restored` raises.
    """
    return {name: _restored(model, state, device) for name, state in model.beside.items()}


def recall(adapter: Adapter, state: AdapterState, model: LearnedModel) -> None:
    """Let an adapter learn from what one of a model kept of its templates too.

    Raises what :func:`restored` raises.
    """
    try:
        adapter.recall(state, model.label_values)
    except _UNFIT as error:
        raise _unfit("remembered pixels", error) from error


def restored_polished(model: LearnedModel, device: str) -> PolishedExpert | None:
    """Build the polished network and the adapter on its features, where the model has them.

    Raises what :func:`restored` raises.
    """
    if model.polished is None:
        return None
    try:
        expert = PolishedExpert.restored(model.polished, model.config, device)
        _check_count(expert.head, model)
    except _UNFIT as error:
        raise _unfit("polished network", error) from error
    return expert


def _restored(model: LearnedModel, state: AdapterState, device: str) -> Adapter:
    try:
        adapter = build_adapter(model.config, device).restore(state)
        _check_count(adapter, model)
    except _UNFIT as error:
        raise _unfit(f"{model.config.adapter} adapter", error) from error
    return adapter


def _check_count(adapter: Adapter, model: LearnedModel) -> None:
    if adapter.label_count != len(model.label_values):
        raise ValueError(f"of {adapter.label_count} labels, not {len(model.label_values)}")


def _unfit(what: str, error: Exception) -> ModelFileError:
    return ModelFileError(
        f"model must have the tensors of its {what}; got others ({_in_short(error)}). "
        "Train it again."
    )


def check_weights(model: LearnedModel, backbone: Backbone) -> None:
    """Raise :class:`WeightsError` unless a backbone has the weights that the model learned with."""
    if model.weights_hash not in (backbone.weights_hash, *backbone.spec.former_hashes):
        name = f"{model.weights_name}, " if model.weights_name else ""
        raise WeightsError(
            f"weights must be those that the model was trained with "
            f"({name}{model.weights_hash[:12]}); got {backbone.weights_hash[:12]} for backbone "
            f"{model.config.backbone}. Give the same checkpoint, or train again."
        )


def _digest(tensors: dict[str, Array]) -> str:
    """SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _content_digest(version: str, content: str) -> str:
    """SHA-256 of all that is no tensor."""
    return hashlib.sha256(f"{FORMAT} {version}\n{content}".encode()).hexdigest()


def _check_tensors(
    path: str | os.PathLike[str], tensors: dict[str, Array], digest: str | None
) -> None:
    """Refuse tensors that are not those that were written, or that no fit gives."""
    if digest is not None and digest != _digest(tensors):
        raise ModelFileError(
            f"model must have the tensors that were saved; got {path}, which was damaged or "
            "changed since. Copy it again, or train it again."
        )
    for name, tensor in tensors.items():
        if tensor.dtype.kind not in "biuf" or not np.isfinite(tensor).all():
            raise ModelFileError(
                f"model must have finite numbers; got {path} with others in {name}. Train it again."
            )


_Whole = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
_Label = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
_Axis = Annotated[int, Field(strict=True, ge=0, le=2)]


class _Content(BaseModel):
    """The JSON of a model file, but for its settings."""

    model_config = ConfigDict(allow_inf_nan=False)

    config: dict[str, Any]
    weights_hash: str
    weights_name: str = ""
    label_values: Annotated[tuple[_Label, ...], Field(min_length=1)]
    names: dict[int, str]
    point_labels: frozenset[_Whole]
    axes: Annotated[tuple[_Axis, ...], Field(min_length=1)]
    channels: Annotated[int, Field(strict=True, ge=1, le=2**16)]
    adapter: dict[str, Any]
    arrangements: tuple[dict[int, tuple[float, ...]], ...] = ()  # files before 0.1 have none
    experts: PackedExperts = PackedExperts()
    card: ModelCard = ModelCard()
    landmarks: PackedLandmarks | None = None

    @field_validator("names")
    @classmethod
    def _check_names(cls, names: dict[int, str]) -> dict[int, str]:
        return {value: plain_name(name) for value, name in names.items()}

    @field_validator("label_values")
    @classmethod
    def _check_order(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if list(values) != sorted(set(values)):
            raise ValueError("be sorted, each once")
        return values


def _parse(content: str, tensors: dict[str, Array]) -> LearnedModel:
    try:
        found = _Content.model_validate_json(content)
    except ValidationError as error:
        raise input_error(error, _Content, "content") from None
    packed = ("experts", "landmarks")
    fields = {name: getattr(found, name) for name in _Content.model_fields if name not in packed}
    fields["config"] = SegmenterConfig.stored(found.config, "config")
    experts, rest = unpack_experts(found.experts, tensors, found.label_values)
    fields["landmarks"], rest = unpack_landmarks(found.landmarks, rest)
    fields["adapter"] = AdapterState(rest, found.adapter)
    return LearnedModel(**fields, **experts)


def _in_short(error: Exception) -> str:
    """One line of an error, whatever it lists."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]

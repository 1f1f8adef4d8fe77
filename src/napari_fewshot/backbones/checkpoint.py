"""Reading checkpoints: safetensors and torch files in, tensors by name out, or a clear error."""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import WeightsError

if TYPE_CHECKING:
    import torch

__all__ = [
    "Architecture",
    "TorchFileError",
    "architecture_of",
    "check_fit",
    "read_checkpoint",
    "read_torch",
    "with_digest",
]

_WRAPPERS = ("teacher", "model_ema", "model", "state_dict")
_PREFIXES = ("module.", "backbone.")
_PART = 1 << 22
_FOLDER = 0x10
_DIGEST = "napari-fewshot digest"
"""Entry of the metadata of weights that we write."""


class Architecture(NamedTuple):
    """Measures of a vision transformer that its checkpoint shows."""

    width: int
    n_layers: int
    patch: int
    registers: int

    def __str__(self) -> str:
        registers = f"{self.registers} registers" if self.registers else "no registers"
        return f"width {self.width}, depth {self.n_layers}, patch {self.patch}, {registers}"


class TorchFileError(ValueError):
    """Torch cannot read a file, or not without running code; the words are torch's."""


def read_torch(path: Path) -> Any:
    """Read what torch has saved: tensors, numbers and texts, in lists and dicts.

    Nothing that the file holds is executed.

    Raises
    ------
    OSError
        If the system does not give the file.
    TorchFileError
        If it is damaged, of another kind, or holds anything else.
    """
    import torch

    with path.open("rb"):  # else torch has words of its own for a file that is missing
        pass
    try:
        _check_sums(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that torch did not write
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged file makes torch and pickle raise whatever there is, so no list would do.
        raise TorchFileError(str(error) or type(error).__name__) from error


def _check_sums(path: Path) -> None:
    """Compare the check sums of what torch saves as zip, at which it does not look itself."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for record in archive.infolist():
            # Torch writes no others. Of a folder it reads nothing: tensors of what memory holds.
            if record.compress_type != zipfile.ZIP_STORED or record.external_attr & _FOLDER:
                raise ValueError(f"{record.filename} is compressed, or a folder")
            with archive.open(record) as stream:
                while stream.read(_PART):
                    pass


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a checkpoint file; what it is shows in its first bytes.

    Wrappers of training (``teacher``, ``model``, ``state_dict``; ``module.``, ``backbone.``)
    and chunked blocks (``blocks.0.11.`` for ``blocks.11.``) are undone. A file that cannot be
    read, is truncated, a web page or a placeholder, or holds no tensors is a
    :class:`WeightsError`.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
        if len(head) < 16:
            raise _unfit(path, "it is truncated or of another kind")
        state = _read_safetensors(path) if head[8:9] == b"{" else _read_torch(path, head)
    except OSError as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"The weights file {path} cannot be read: {error}.") from error
    return _unwrapped(state, path)


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        state = dict(load_file(path))
        with safe_open(path, "pt") as file:
            digest = (file.metadata() or {}).get(_DIGEST)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise _unfit(path, "it is truncated or damaged") from error
    if digest is not None and digest != _digest(state):
        raise _unfit(path, "it was damaged or changed since it was written", "Copy it again.")
    return state


def with_digest(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata for a safetensors file by which :func:`read_checkpoint` sees damage of it."""
    return {**metadata, _DIGEST: _digest(tensors)}


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of names, types, shapes and values."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(plain.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read_torch(path: Path, head: bytes) -> dict[str, Any]:
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise WeightsError(
            f"The weights file {path} is a web page, saved in place of the weights. Fetch it again."
        )
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(
            f"The weights file {path} is a Git LFS placeholder. Fetch the file itself."
        )
    try:
        state = read_torch(path)
    except TorchFileError as error:
        raise _not_torch(path, head, error) from error
    if not isinstance(state, Mapping):
        raise WeightsError(
            f"The weights file {path} must hold tensors by name; got {type(state).__name__}."
        )
    return dict(state)


def _not_torch(path: Path, head: bytes, error: Exception) -> WeightsError:
    """Word what torch says in text of its own, which is long and advises to run any code."""
    other = re.search(r"GLOBAL (\S+)", str(error))
    if other is not None:
        return _unfit(
            path,
            f"beside tensors it holds {other[1]}, and loading that could run code",
            "Save its tensors alone.",
        )
    if head.startswith((b"PK", b"\x80")):  # zip and pickle, the two that torch writes
        return _unfit(path, "it is truncated, damaged or of another kind")
    return _unfit(path, "it is of another kind", "Give a checkpoint.")


def _unfit(path: Path, what: str, remedy: str = "Fetch it again.") -> WeightsError:
    return WeightsError(
        f"The weights file {path} ({path.stat().st_size} bytes) must be a whole checkpoint "
        f"(.safetensors, or .pth of tensors only); {what}. {remedy}"
    )


def _unwrapped(state: dict[Any, Any], path: Path) -> dict[str, torch.Tensor]:
    import torch

    for key in _WRAPPERS:
        if isinstance(state.get(key), Mapping):
            state = dict(state[key])
    state = {name: tensor for name, tensor in state.items() if isinstance(name, str)}
    if any(name.startswith("backbone.") for name in state):
        # Heads of the training lie beside the backbone.
        state = {n: t for n, t in state.items() if n.startswith(("backbone.", "module."))}
    tensors = {}
    for name, tensor in state.items():
        if isinstance(tensor, torch.Tensor):
            if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
                raise _unfit(path, f"its tensor {name[:80]} is not dense", "Save dense tensors.")
            if tensor.is_floating_point() and bool(tensor.isnan().any()):
                raise _unfit(path, f"its tensor {name[:80]} has values that are no numbers")
            for prefix in _PREFIXES:
                name = name.removeprefix(prefix)
            tensors[re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name)] = tensor
    if not tensors:
        raise WeightsError(f"The weights file {path} must hold tensors by name; it holds none.")
    return tensors


def architecture_of(state: Mapping[str, torch.Tensor]) -> Architecture | None:
    """Measure the vision transformer of a checkpoint; None where it is none."""
    patch = state.get("patch_embed.proj.weight")
    blocks = [int(m[1]) for m in (re.match(r"blocks\.(\d{1,6})\.", name) for name in state) if m]
    if patch is None or patch.ndim != 4 or not blocks:
        return None
    names = ("register_tokens", "reg_token", "storage_tokens")
    registers = next((state[n].shape[1] for n in names if n in state and state[n].ndim > 1), 0)
    return Architecture(patch.shape[0], max(blocks) + 1, patch.shape[-1], registers)


def check_fit(
    name: str,
    path: Path,
    network: Mapping[str, torch.Tensor],
    state: Mapping[str, torch.Tensor],
    fits: Iterable[str] = (),
) -> None:
    """Check that a checkpoint has the tensors of the network of a backbone, no more, no fewer.

    Else a :class:`WeightsError` gives width and depth of both, the first names that differ, and
    the backbones ``fits`` whose architecture the checkpoint has.
    """
    missing = [key for key in network if key not in state]
    extra = [key for key in state if key not in network]
    other = [
        f"{key} {tuple(state[key].shape)} for {tuple(tensor.shape)}"
        for key, tensor in network.items()
        if key in state and state[key].shape != tensor.shape
    ]
    if not (missing or extra or other):
        return
    differ = [
        f"{len(items)} {what} ({', '.join(items[:3])}{', ...' if len(items) > 3 else ''})"
        for what, items in (("missing", missing), ("unknown", extra), ("of another shape", other))
        if items
    ]
    expected, given = architecture_of(network), architecture_of(state)
    shapes = f" Expected {expected}; given {given or 'no such transformer'}." if expected else ""
    names = ", ".join(fits)
    raise WeightsError(
        f"The weights file {path} must belong to backbone {name}; tensors {'; '.join(differ)}."
        f"{shapes}{f' It fits {names}.' if names else ''}"
    )

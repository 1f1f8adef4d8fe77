"""Where weights come from: a given file, a folder, the hub's cache, the hub, an official URL."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..download import TIMEOUT_S, fetch_url, file_sha256, first_line
from ..errors import DownloadError, WeightsError
from ..folders import cache_folder, with_home

__all__ = [
    "WEIGHTS_FOLDER",
    "MissingWeightsError",
    "WeightsSource",
    "fetch_from_hub",
    "find_weights",
    "resolve_weights",
    "weights_folder",
]


def _is_offline() -> bool:
    """Whether the user asked for no network (``HF_HUB_OFFLINE``)."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return True
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def fetch_from_hub(hub_id: str, filename: str) -> Path:
    """Download one file of a hub repository into the hub's own cache; resumed by the library.

    :class:`WeightsError` if the hub cannot be reached, refuses, or what arrived is not what it
    announced.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    # Read here because the library reads it only once, on import.
    endpoint = os.environ.get("HF_ENDPOINT")
    try:
        # One question without retries: the download would ask a dead network for half a minute.
        address = hf_hub_url(hub_id, filename, endpoint=endpoint)
        get_hf_file_metadata(address, timeout=TIMEOUT_S, endpoint=endpoint)
        path = hf_hub_download(hub_id, filename, endpoint=endpoint, etag_timeout=TIMEOUT_S)
    # The library raises errors of its HTTP client (which changed between versions), its own,
    # and OSError; whatever it is, these weights did not come, and the message says why.
    except Exception as error:
        raise WeightsError(f"hub: {first_line(error)}") from error
    # Large files lie in the cache under their digest.
    blob = Path(path).resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name) and file_sha256(blob) != blob.name:
        blob.unlink()
        raise WeightsError(f"hub: {filename} of {hub_id} arrived damaged (SHA-256); try again")
    return Path(path)


WEIGHTS_FOLDER = "NAPARI_FEWSHOT_WEIGHTS"
"""Environment variable that names the folder of weights."""


@dataclass(frozen=True)
class WeightsSource:
    """What is known of the checkpoint of a backbone before it is on this machine.

    ``hub_id`` and ``hub_file`` are its place on the hub; ``url`` is the official address, used
    after the hub, and only together with ``sha256`` (see
    :func:`~napari_fewshot.download.fetch_url`); ``official_file`` is the name under which the
    authors publish it.
    """

    name: str
    licence: str
    hub_id: str | None = None
    hub_file: str = "model.safetensors"
    url: str | None = None
    sha256: str | None = None
    official_file: str | None = None
    size_mb: float | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """Names looked for in a folder of weights, best first."""
        names = [f"{self.name.replace(':', '_')}.safetensors"]
        if self.hub_id:
            repository = self.hub_id.rsplit("/", 1)[-1]
            names += [f"{repository}.safetensors", f"{repository}/{self.hub_file}"]
        if self.official_file:
            names.append(self.official_file)
        return tuple(names)


def weights_folder() -> Path:
    """Folder of weights: ``NAPARI_FEWSHOT_WEIGHTS``, else one in the user's cache."""
    named = os.environ.get(WEIGHTS_FOLDER)
    if named:
        return with_home(named, WEIGHTS_FOLDER)
    return cache_folder("weights", f"name a folder in {WEIGHTS_FOLDER}") / "weights"


def _in_folder(source: WeightsSource, folder: Path) -> Path | None:
    """Return the first file of ``source`` that lies in ``folder``."""
    return next((folder / name for name in source.files if (folder / name).is_file()), None)


def find_weights(source: WeightsSource) -> Path | None:
    """Return the checkpoint if it is on this machine: in the folder, then the hub's cache."""
    found = _in_folder(source, weights_folder())
    if found is None and source.hub_id:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(source.hub_id, source.hub_file)
        if isinstance(cached, str):
            found = Path(cached)
    return found


def resolve_weights(source: WeightsSource, given: Path | None = None) -> Path:
    """Return a local checkpoint, downloading it when it is nowhere here.

    ``given`` is a checkpoint, or a folder that holds one under one of ``source.files``; nothing
    else is tried then. :class:`WeightsError` if there is none and none can be fetched; the message
    names the file, the places, the licence and the ways on.
    """
    if given is not None:
        return _given(source, with_home(given, "weights"))
    found = find_weights(source)
    if found is not None:
        return found
    reasons = ["HF_HUB_OFFLINE is set"] if _is_offline() else []
    if source.hub_id and not reasons:
        try:
            return fetch_from_hub(source.hub_id, source.hub_file)
        except WeightsError as error:
            reasons.append(str(error))
    if source.url and source.sha256 and not _is_offline():
        name = source.official_file or source.url.rsplit("/", 1)[-1]
        try:
            return fetch_url(source.url, weights_folder() / name, source.sha256)
        except DownloadError as error:
            reasons.append(str(error))
    raise MissingWeightsError(source, reasons)


def _given(source: WeightsSource, path: Path) -> Path:
    found = _in_folder(source, path) if path.is_dir() else path
    if found is None:
        names = ", ".join(source.files)
        raise WeightsError(
            f"weights must be a checkpoint of {source.name}; {path} holds no {names}."
        )
    if not found.is_file():
        raise WeightsError(f"weights must be an existing file; got {path}.")
    return found


class MissingWeightsError(WeightsError):
    """Weights that are nowhere on this machine and could not be fetched, and the reasons."""

    def __init__(
        self,
        source: WeightsSource,
        reasons: Sequence[str],
        *,
        of_sam: bool = False,
        instead: str = "use the backbone embedded, which needs no download",
    ) -> None:
        self.source, self.reasons, self.is_sam = source, tuple(reasons), of_sam
        self.instead = instead
        kind, option = ("", "--sam-weights") if of_sam else ("backbone ", "--weights")
        super().__init__(self._words(kind, option, instead))

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), of_sam=self.is_sam, instead=self.instead), (
            self.source,
            self.reasons,
        )

    def of_sam(self, instead: str = "") -> MissingWeightsError:
        """Return the error for who asked for a SAM to prompt, not for a backbone.

        ``instead`` is what needs no download, to follow "or"; empty: nothing is named.
        """
        return MissingWeightsError(self.source, self.reasons, of_sam=True, instead=instead)

    def _words(self, kind: str, option: str, instead: str) -> str:
        from huggingface_hub import constants

        source, why = self.source, "; ".join(self.reasons) or "no source is known"
        size = f", {source.size_mb:.0f} MB" if source.size_mb else ""
        what = f"{source.hub_file} of {source.hub_id}" if source.hub_id else source.official_file
        places = [f"{weights_folder()} ({', '.join(source.files)})"]
        if source.hub_id:
            places.append(f"{constants.HF_HUB_CACHE} (cache of the hub)")
        return (
            f"The weights of {kind}{source.name} ({what}{size}, licence {source.licence}) are not "
            f"on this machine and could not be fetched: {why}. "
            f"Looked in {' and '.join(places)}. "
            f"Fetch one of these files where there is a network"
            f"{f' ({source.url})' if source.url else ''} and give it as weights ({option} FILE), "
            f"or put it into the folder named by {WEIGHTS_FOLDER}"
            f"{f'; or {instead}' if instead else ''}."
        )

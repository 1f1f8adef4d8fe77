"""Fetching a checkpoint: from the hub, or from a URL with a checked digest."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .. import download
from ..download import TIMEOUT_S, file_sha256, first_line
from ..errors import DownloadError, WeightsError

__all__ = ["fetch_from_hub", "fetch_url", "is_offline"]


def is_offline() -> bool:
    """Whether the user asked for no network (``HF_HUB_OFFLINE``)."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return True
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def fetch_from_hub(hub_id: str, filename: str) -> Path:
    """Download one file of a hub repository into the hub's own cache; resumed by the library.

    Raises
    ------
    WeightsError
        If the hub cannot be reached, refuses, or what arrived is not what it announced.
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


def fetch_url(url: str, target: Path, digest: str, attempts: int = 3) -> Path:
    """Download a checkpoint: :func:`napari_fewshot.download.fetch_url`.

    Raises
    ------
    WeightsError
        In place of :class:`~napari_fewshot.errors.DownloadError`.
    """
    try:
        return download.fetch_url(url, target, digest, attempts)
    except DownloadError as error:
        raise WeightsError(str(error)) from error

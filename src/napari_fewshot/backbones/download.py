"""Fetching one file: from the hub, or from a URL with a checked digest."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from ..errors import WeightsError

__all__ = ["TIMEOUT_S", "fetch_from_hub", "fetch_url", "file_sha256", "is_offline"]

TIMEOUT_S = 10.0
"""Seconds without an answer after which a server counts as not reachable."""

_CHUNK = 1 << 20


def is_offline() -> bool:
    """Whether the user asked for no network (``HF_HUB_OFFLINE``)."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return True
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
        raise WeightsError(f"hub: {_first_line(error)}") from error
    # Large files lie in the cache under their digest.
    blob = Path(path).resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name) and file_sha256(blob) != blob.name:
        blob.unlink()
        raise WeightsError(f"hub: {filename} of {hub_id} arrived damaged (SHA-256); try again")
    return Path(path)


def fetch_url(url: str, target: Path, sha256: str, attempts: int = 3) -> Path:
    """Download ``url`` to ``target``, whole and with the right digest, or not at all.

    What has arrived is kept beside the target as ``<name>.part``; the next call goes on from
    there (HTTP Range), also after a crash.

    Parameters
    ----------
    url : str
        Address of the file.
    target : Path
        Where it is put.
    sha256 : str
        Hexadecimal digest of the whole file.
    attempts : int
        Connections, while each brings something.

    Returns
    -------
    Path
        ``target``.

    Raises
    ------
    WeightsError
        If the server is not reachable, answers with an error or a web page, breaks off, or the
        digest is another one (the partial file is removed then).
    """
    import http.client
    import urllib.error

    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(attempts):
            before = part.stat().st_size if part.exists() else 0
            if _append(url, part):
                break
            if part.stat().st_size <= before:
                raise WeightsError(f"{url}: the connection broke off; run again to go on")
        else:
            raise WeightsError(f"{url}: the connection broke off; run again to go on")
        given = file_sha256(part)
        if given != sha256:
            part.unlink()
            raise WeightsError(f"{url}: SHA-256 must be {sha256}, got {given}; nothing was kept")
        part.replace(target)
    except urllib.error.HTTPError as error:
        raise WeightsError(f"{url}: the server answered {error.code} {error.reason}") from error
    except WeightsError:
        raise
    except (OSError, http.client.HTTPException) as error:  # URLError, timeouts, full disk
        raise WeightsError(f"{url}: {_first_line(error)}") from error
    return target


def _append(url: str, part: Path) -> bool:
    """Append to ``part`` what is missing; return whether it is whole now."""
    import http.client
    import urllib.error
    import urllib.request

    from tqdm import tqdm

    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if have and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return True  # nothing is missing; the digest decides
        raise
    with response:
        if "text/html" in response.headers.get("Content-Type", ""):
            raise WeightsError(f"{url}: the server sent a web page in place of the weights")
        if response.status != http.client.PARTIAL_CONTENT:
            have = 0  # the server knows no ranges: from the start
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with (
            part.open("ab" if have else "wb") as stream,
            tqdm(
                total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=None
            ) as bar,
        ):
            try:
                while chunk := response.read(_CHUNK):
                    stream.write(chunk)
                    bar.update(len(chunk))
            except (http.client.IncompleteRead, ConnectionError, TimeoutError):
                return False
    return total is None or part.stat().st_size >= total


def _first_line(error: BaseException) -> str:
    """Describe an error in one line, with the class where it says little."""
    cause = error.__cause__ or error
    text = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {text[0]}" if text else type(cause).__name__

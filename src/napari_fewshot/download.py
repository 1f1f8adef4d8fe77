"""Fetching one file from a URL: resumed where it broke off, kept only with the right digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .errors import DownloadError
from .types import Progress, no_progress

__all__ = ["TIMEOUT_S", "fetch_url", "file_sha256", "first_line", "has_digest"]

TIMEOUT_S = 10.0
"""Seconds without an answer after which a server counts as not reachable."""

_CHUNK = 1 << 16


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 digest of a file."""
    return _file_digest(path, "sha256")


def has_digest(path: Path, digest: str) -> bool:
    """Whether a file has a digest, which is written as for :func:`fetch_url`."""
    kind, wanted = _kind_of(digest)
    return _file_digest(path, kind) == wanted


def _kind_of(digest: str) -> tuple[str, str]:
    return ("md5" if digest.startswith("md5:") else "sha256"), digest.removeprefix("md5:")


def _file_digest(path: Path, kind: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


def fetch_url(
    url: str,
    target: Path,
    digest: str,
    attempts: int = 3,
    progress: Progress = no_progress,
) -> Path:
    """Download ``url`` to ``target``, whole and with the right digest, or not at all.

    What has arrived is kept beside the target as ``<name>.part``; the next call goes on from there
    (HTTP Range), also after a crash. ``digest`` is the hexadecimal SHA-256 of the whole file, or
    ``md5:`` and the MD5 where those who publish a file give no other. ``progress(done, total,
    what)`` counts bytes, where the server says how many there are; it may raise ``Cancelled``.

    :class:`DownloadError` if the server cannot be reached, refuses, or sends something else.
    """
    import http.client
    import urllib.error

    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(attempts):
            before = part.stat().st_size if part.exists() else 0
            if _append(url, part, progress):
                break
            if part.stat().st_size <= before:
                raise DownloadError(f"{url}: the connection broke off; run again to go on")
        else:
            raise DownloadError(f"{url}: the connection broke off; run again to go on")
        kind, wanted = _kind_of(digest)
        given = _file_digest(part, kind)
        if given != wanted:
            part.unlink()
            shown = {"md5": "MD5", "sha256": "SHA-256"}[kind]
            raise DownloadError(f"{url}: {shown} must be {wanted}, got {given}; nothing was kept")
        part.replace(target)
    except urllib.error.HTTPError as error:
        raise DownloadError(f"{url}: the server answered {error.code} {error.reason}") from error
    except DownloadError:
        raise
    except (OSError, http.client.HTTPException) as error:  # URLError, timeouts, full disk
        raise DownloadError(f"{url}: {first_line(error)}") from error
    return target


def _append(url: str, part: Path, progress: Progress) -> bool:
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
            raise DownloadError(f"{url}: the server sent a web page in place of the file")
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
                    have += len(chunk)
                    if total:
                        progress(have, total, f"download {part.stem}")
            except (http.client.IncompleteRead, ConnectionError, TimeoutError):
                return False
    return total is None or part.stat().st_size >= total


def first_line(error: BaseException) -> str:
    """Describe an error in one line, with the class where it says little."""
    cause = error.__cause__ or error
    text = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {text[0]}" if text else type(cause).__name__

"""Downloads of any file; what they do with bad servers is tested with the weights."""

from __future__ import annotations

import hashlib

import pytest

from napari_fewshot.download import fetch_url
from napari_fewshot.errors import Cancelled, DownloadError

CONTENT = bytes(range(256)) * 2000


@pytest.fixture
def address(server) -> str:
    server.content = CONTENT
    return f"{server.url}/cells.tif"


def test_progress_counts_up_to_the_whole_file(address, tmp_path):
    told = []
    digest = hashlib.sha256(CONTENT).hexdigest()
    fetch_url(address, tmp_path / "cells.tif", digest, progress=lambda *args: told.append(args))
    assert [done for done, _, _ in told] == sorted({done for done, _, _ in told})
    assert told[-1] == (len(CONTENT), len(CONTENT), "download cells.tif")


def test_progress_may_cancel_and_what_came_is_kept(address, tmp_path):
    def stop(done: int, total: int, what: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        fetch_url(address, tmp_path / "cells.tif", "0" * 64, progress=stop)
    (left,) = tmp_path.iterdir()
    assert left.name == "cells.tif.part"
    assert CONTENT.startswith(left.read_bytes())
    assert left.stat().st_size > 0


def test_wrong_digest_keeps_nothing(address, tmp_path):
    with pytest.raises(DownloadError, match="SHA-256 must be 000"):
        fetch_url(address, tmp_path / "cells.tif", "0" * 64)
    assert list(tmp_path.iterdir()) == []

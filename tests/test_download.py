"""Downloads of any file; what they do with bad servers is tested with the weights."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from napari_fewshot.download import fetch_url
from napari_fewshot.errors import Cancelled, DownloadError

CONTENT = bytes(range(256)) * 2000


@pytest.fixture
def address() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(CONTENT)

        def log_message(self, format: str, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{listening.server_address[1]}/cells.tif"
    listening.shutdown()
    listening.server_close()
    thread.join()


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

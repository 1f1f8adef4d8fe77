"""Every bad input of the page ends in the one line that stands there, and leaves no file."""

from __future__ import annotations

import subprocess
import sys


def test_page_is_fresh(repository):
    run = subprocess.run(
        [sys.executable, repository / "docs" / "generate_bad_input.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr

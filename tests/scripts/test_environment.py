"""The scripts find a Python, or say what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def shell(repository: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-euc", f". scripts/environment\n{code}"],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def fake_python(folder: Path, name: str, status: int) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)


def test_named_python_is_taken_first(repository, tmp_path):
    fake_python(tmp_path, "python3", 0)
    run = shell(repository, "find_python", PATH=str(tmp_path), PYTHON=sys.executable)
    assert run.stdout.strip() == sys.executable


def test_python_that_is_too_old_is_passed_over(repository, tmp_path):
    fake_python(tmp_path, "python3", 1)
    fake_python(tmp_path, "python3.12", 0)
    run = shell(repository, "find_python", PATH=str(tmp_path))
    assert run.stdout.strip() == "python3.12"


def test_without_python_the_remedy_is_named(repository, tmp_path):
    run = shell(repository, "find_python", PATH=str(tmp_path))
    assert run.returncode == 1
    assert "python3-venv" in run.stderr


@pytest.mark.parametrize("script", ["scripts/demo", "scripts/test", ".ci/run"])
def test_script_is_portable_shell(repository, script):
    run = subprocess.run(
        ["/bin/sh", "-n", script], cwd=repository, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr

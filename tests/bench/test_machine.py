"""What is recorded of the machine, and of the commit that the package is run from."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from napari_fewshot.bench import machine
from napari_fewshot.bench.machine import describe_machine

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    hooks = ["-c", "core.hooksPath=none"]
    command = ["git", *who, *hooks, *words]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package in a checkout."""
    folder = tmp_path / "src" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("one = 1")
    git(tmp_path, "init")
    git(tmp_path, "add", "src")
    git(tmp_path, "commit", "-m", "one")
    return folder


@needs_git
def test_commit_of_a_checkout(package: Path, monkeypatch):
    commit = git(package, "rev-parse", "--short=12", "HEAD")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as within a hook
    assert machine._commit(package) == {"commit": commit}
    (package / "__init__.py").write_text("one = 2")
    assert machine._commit(package) == {"commit": f"{commit} with changes"}


@needs_git
def test_a_package_that_is_installed_below_a_repository_is_not_of_it(package: Path):
    installed = package.parent / "site-packages" / "package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert machine._commit(installed) == {}


def test_no_git_is_no_fault(monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = describe_machine("cpu")
    assert "commit" not in found
    assert found["napari-fewshot"]


@needs_git
def test_it_is_recorded(monkeypatch):
    monkeypatch.setattr(machine, "_commit", lambda package: {"commit": package.name})
    assert describe_machine("cpu")["commit"] == "napari_fewshot"

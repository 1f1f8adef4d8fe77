"""Temporary files: known by their process, on the disk before they count; full disks are told."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time

import pytest

from napari_fewshot.errors import InputError, concerns_all
from napari_fewshot.io import temporaries
from napari_fewshot.io.outputs import replacing

KILLED = """
import os, signal, sys
from pathlib import Path
from napari_fewshot.io.outputs import replacing
with replacing(Path(sys.argv[1]), folder=sys.argv[2] == "folder", ending=sys.argv[3]) as part:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    """Folders are looked through once in a process."""
    monkeypatch.setattr(temporaries, "_swept", set())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
@pytest.mark.parametrize(("kind", "ending"), [("file", ""), ("file", ".nrrd"), ("folder", "")])
def test_what_a_killed_process_left_goes_with_the_next_file_in_the_folder(tmp_path, kind, ending):
    program = [sys.executable, "-c", KILLED, str(tmp_path / "a.b"), kind, ending]
    subprocess.run(program, check=False)
    (left,) = names(tmp_path)
    assert left.startswith(".a.b.")
    (tmp_path / ".notes.tmp").touch()  # somebody's
    with replacing(tmp_path / "other") as part:
        assert part.exists()
        assert names(tmp_path) == [".notes.tmp", part.name]
    assert names(tmp_path) == [".notes.tmp", "other"]


def test_what_living_processes_and_other_machines_write_stays(tmp_path):
    ours = temporaries._machine()
    parent = tmp_path / f".a.{ours}-{os.getppid()}-01234567.tmp"
    there = tmp_path / ".b.01234567-1-01234567.tmp"
    forgotten = tmp_path / ".c.01234567-1-01234567.tmp"
    for path in (parent, there, forgotten):
        path.touch()
    old = time.time() - 8 * 86400
    os.utime(forgotten, (old, old))
    with replacing(tmp_path / "new"):
        pass
    assert names(tmp_path) == [parent.name, there.name, "new"]


def test_a_folder_that_was_put_aside_comes_back(tmp_path):
    """A process may die between the two renamings that replace a folder."""
    process = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    aside = tmp_path / f".a.zarr.{temporaries._machine()}-{int(process.stdout)}-01234567.old"
    aside.mkdir()
    (aside / "zarr.json").touch()
    with replacing(tmp_path / "new"):
        pass
    assert names(tmp_path) == ["a.zarr", "new"]


def test_long_names(tmp_path):
    name = "ü" * 110 + ".nii.gz"
    with replacing(tmp_path / name) as part:
        part.write_text("whole")
    assert names(tmp_path) == [name]
    (tmp_path / f".{temporaries._shortened(name)}.01234567-1-01234567.tmp").touch()
    temporaries.remove_abandoned(tmp_path / name)
    assert names(tmp_path) == [name]


def test_files_are_on_the_disk_before_they_take_their_place(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, type(tmp_path).replace

    def noted(descriptor):
        done.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def renamed(self, target):
        done.append("renamed")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(type(tmp_path), "replace", renamed)
    with replacing(tmp_path / "a") as part:
        part.write_text("whole")
        number = part.stat().st_ino
    assert done[:2] == [number, "renamed"]
    done.clear()
    with replacing(tmp_path / "a.zarr", folder=True) as part:
        (part / "c").mkdir()
        (part / "c" / "0").touch()
        inside = (part / "c" / "0").stat().st_ino
    assert inside in done


def test_a_disk_that_fails_at_the_last_moment_keeps_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="a must be on a disk that takes it whole"):
        write(tmp_path / "a", None)
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def write(path, error):
    with replacing(path) as part:
        part.write_text("half")
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("error", "free", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 10**9, True),
        (OSError(errno.EFBIG, "File too large"), 10**9, True),
        (OSError("65536 requested and 4096 written"), 10**9, True),  # numpy
        (RuntimeError("PytorchStreamWriter failed writing file"), 0, True),
        (RuntimeError("a fault of ours"), 10**9, False),
        (PermissionError(errno.EACCES, "Permission denied"), 0, False),
        (KeyError("x"), 0, False),
    ],
)
def test_a_full_disk_is_told_with_the_file(tmp_path, monkeypatch, error, free, told):
    usage = type("Usage", (), {"free": free, "total": 10**9})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(InputError if told else type(error)) as caught:
        write(tmp_path / "a", error)
    if told:
        assert str(caught.value).startswith(f"{tmp_path / 'a'} must be on a disk that takes it")
        assert concerns_all(caught.value) == (error.args[0] != errno.EFBIG)
    assert names(tmp_path) == []


def test_an_error_about_an_input_is_not_taken_for_one_of_the_disk(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 0, "total": 10**9})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(InputError, match="image must be whole"):
        write(tmp_path / "a", InputError("image", "be whole", "half of one"))

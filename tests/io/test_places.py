"""Where outputs may go: regular files in folders that can be written, and nothing else."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.io.outputs import Outputs, replacing
from napari_fewshot.io.places import check_folder

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX files")


def refused(path, match):
    """Beforehand and when it is written, in a run and without one, with leave to overwrite."""
    outputs = Outputs("-o", overwrite=True)
    with pytest.raises(InputError, match=f"^-o must {match}"):
        outputs.check([path])
    with pytest.raises(InputError, match=match), outputs.writing(), replacing(path):
        pass
    with pytest.raises(InputError, match=match), replacing(path):
        pass


@posix
def test_what_is_no_file_stays(tmp_path):
    pipe, other = tmp_path / "pipe", tmp_path / "socket"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(other))
    for path in (pipe, other):
        (tmp_path / f"{path.name}-link").symlink_to(path)
        before = os.lstat(path).st_mode
        for name in (path, tmp_path / f"{path.name}-link"):
            refused(name, "be a regular file, or a new one; got .*, a device, pipe or socket")
        assert os.lstat(path).st_mode == before
    with pytest.raises(InputError, match="be a regular file"):
        Outputs("-o").check([Path(os.devnull)])


@posix
def test_links_that_lead_nowhere(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "disk" / "file")
    refused(link, "not be a broken link")
    (tmp_path / "disk").mkdir()
    with Outputs("-o", overwrite=True).writing(), replacing(link) as part:
        part.write_text("new")
    assert (tmp_path / "disk" / "file").read_text() == "new"
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    refused(circle, "be a path that can be written")


@posix
def test_not_where_the_output_is_printed_to(tmp_path):
    program = (
        "import sys; from pathlib import Path; from napari_fewshot.io.outputs import Outputs\n"
        "try: Outputs('-o', overwrite=True).check([Path('/dev/stdout')])\n"
        "except ValueError as error: sys.stderr.write(str(error))\n"
    )
    with (tmp_path / "printed").open("w") as stream:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=stream,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
    assert done.stderr.startswith("-o must be a file of its own")


def test_folders_are_looked_at_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="-o must lie in a folder; got .*, which is none"):
        Outputs("-o").check([tmp_path / "file" / "below" / "out"])
    Outputs("-o").check([tmp_path / "new" / "folders" / "out"])
    with pytest.raises((InputError, OSError), match="name too long"):
        Outputs("-o").check([tmp_path / ("a" * 300)])


def test_protected_folders_and_files(tmp_path, monkeypatch):
    """Without their rights, whoever runs the tests."""
    path = tmp_path / "labels"
    path.touch()
    monkeypatch.setattr(os, "access", lambda place, how: place != path)
    refused(path, "be a file that can be written")
    monkeypatch.setattr(os, "access", lambda place, how: place != tmp_path)
    with pytest.raises(InputError, match="-o must lie in a folder that can be written"):
        Outputs("-o").check([tmp_path / "new"])


def test_a_disk_without_room(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="-o must lie on a disk with room; got .*100 bytes free"):
        Outputs("-o").check([tmp_path / "new" / "labels"])


def test_a_file_system_that_does_not_tell_its_size(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(total=0, used=0, free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    check_folder("--output", tmp_path)

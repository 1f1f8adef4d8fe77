"""What is printed: names that a stream cannot encode, streams that are full or closed."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys

import pytest

from napari_fewshot.cli import main

from .conftest import files_below

QUICK = ["--backbone", "multiscale", "--adapter", "cosine", "--no-score", "--no-store"]


def printed(monkeypatch, encoding, *arguments):
    """Exit status and texts of a command whose streams have an encoding, as of a redirection."""
    streams = []
    for name in ("stdout", "stderr"):
        streams.append(io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict"))
        monkeypatch.setattr(sys, name, streams[-1])
    code = main([str(argument) for argument in arguments])
    texts = []
    for stream in streams:
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(encoding))
    monkeypatch.undo()
    return code, *texts


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_names_that_the_output_cannot_encode(patients, tmp_path, monkeypatch, encoding):
    image, other = tmp_path / "\u809d.nii.gz", tmp_path / "second.nii.gz"
    shutil.copy(patients[0].image, image)
    shutil.copy(patients[1].image, other)
    shutil.copy(patients[0].painted, tmp_path / "p.nii.gz")
    names = '{"1": "\u809d", "2": "r\u00f3tula", "5": "\u0141"}'
    (tmp_path / "p_labels.json").write_text(names, encoding="utf-8")
    model = tmp_path / "m.fewshot"
    train = ("train", "--image", image, "--labels", tmp_path / "p.nii.gz", *QUICK, "-o", model)
    code, out, err = printed(monkeypatch, encoding, *train)
    assert (code, err) == (0, "")
    assert "1 \\u809d" in out
    predict = ("predict", model, image, other, "-o", tmp_path / "out", "--no-store")
    code, out, err = printed(monkeypatch, encoding, *predict)
    assert (code, err) == (0, "")
    assert out.splitlines()[1] == str(tmp_path / "out" / "second_labels.nii.gz")
    assert {"\u809d_labels.nii.gz", "second_labels.nii.gz"} <= set(files_below(tmp_path / "out"))
    truth = ("evaluate", "--pred", tmp_path / "p.nii.gz", "--truth", tmp_path / "p.nii.gz")
    code, out, err = printed(monkeypatch, encoding, *truth)
    assert code == 0
    assert "\\u0141" in out
    code, out, err = printed(monkeypatch, encoding, "predict", model, "\u809d.nii", "-o", "out")
    assert code == 2
    assert "IMAGE must be an existing file; got \\u809d.nii" in err


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_of_files_that_are_no_utf_8(run, patients, tmp_path):
    image = tmp_path / os.fsdecode(b"knie\xff.nii.gz")
    try:
        shutil.copy(patients[0].image, image)
    except OSError:
        pytest.skip("a file system of Unicode")
    model, out = tmp_path / "m.fewshot", tmp_path / "out"
    train = ("train", "--image", image, "--labels", patients[0].painted, *QUICK, "-o", model)
    assert run(*train).code == 0
    both = ("predict", model, image, patients[1].image, "-o", out, "--no-store", "--confidence")
    for _ in range(2):  # the second time all is there already
        said = run(*both)
        assert said.code == 0, said
    assert (out / os.fsdecode(b"knie\xff_labels.nii.gz")).is_file()
    for ending in ("mha", "ome-zarr", "tif"):
        said = run("predict", model, image, "-o", tmp_path / ending, "--format", ending)
        assert said.code in (0, 2), said
        assert said.code == 0 or said.err.count("\n") == 1


def shell(command, **options):
    """A command in a process of its own, by a shell; with ``python -m`` for the program."""
    full = command.replace("PROGRAM", f"{sys.executable} -m napari_fewshot")
    return subprocess.run(
        full, shell=True, capture_output=True, text=True, check=False, timeout=120, **options
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device")  # noqa: PTH110
def test_an_output_that_is_full():
    done = shell("PROGRAM backbones > /dev/full")
    assert done.returncode == 2
    assert done.stderr == "napari-fewshot: No space left on device\n"


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_that_are_closed(closed):
    assert shell(f"PROGRAM backbones {closed}").returncode == 0
    assert shell(f"PROGRAM evaluate --pred none.nii --truth none.nii {closed}").returncode == 2


NOBODY = """
import pwd, sys
def unknown(*_): raise KeyError
pwd.getpwuid = pwd.getpwnam = unknown
from napari_fewshot.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX users")
def test_without_a_home_folder(patients, model, tmp_path):
    """As in containers: a user of no name, and no HOME."""
    hidden = ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "NAPARI_FEWSHOT_CACHE")
    free = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, "-c", NOBODY, "predict", str(model), str(patients[0].image)]
    for options, more, words in (
        (["--no-store"], {}, ""),
        ([], {}, "--store must be given where no home folder is known; got none. Set HOME, or"),
        ([], {"NAPARI_FEWSHOT_CACHE": "~nobody/x"}, "must begin with a home folder that is known"),
    ):
        done = subprocess.run(
            [*command, "-o", str(tmp_path / "out"), *options],
            cwd=tmp_path,
            env=free | more,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == (2 if words else 0), done.stderr
        assert words in done.stderr
        ours = [line for line in done.stderr.splitlines() if line.startswith("napari-fewshot: ")]
        assert len(ours) == bool(words)
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "~" / ".cache" / "napari-fewshot").exists()

"""Where results cannot go is said before the work, in one line; links are written through."""

from __future__ import annotations

import os
import shutil
import stat

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_fewshot import FewShotSegmenter
from napari_fewshot.io import read_labels

from .conftest import files_below

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX files")
TRAIN = "train --image img.nii.gz --labels painted.nii.gz --backbone multiscale --adapter cosine"
TRAIN += " --no-score --no-store -o"
PREDICT = "predict model.fewshot img.nii.gz --no-store -o"
CASES = [
    (f"{TRAIN} new.fewshot", "new.fewshot"),
    (f"{PREDICT} out", "out/img_labels.nii.gz"),
    (f"{PREDICT} out", "out/img_labels.json"),
    (f"{PREDICT} out --confidence", "out/img_confidence.nii.gz"),
    (f"{PREDICT} out --landmarks", "out/img_landmarks.csv"),
    (f"{PREDICT} out --format mha", "out/img_labels.mha"),
    (f"{PREDICT} out --format ome-zarr", "out/img_labels.ome.zarr"),
    ("refine img.nii.gz painted.nii.gz -o new.nii.gz", "new.nii.gz"),
    ("evaluate --pred painted.nii.gz --truth painted.nii.gz --json new.json", "new.json"),
    ("compare-refinement img.nii.gz painted.nii.gz --truth painted.nii.gz -o out", "out/plot.png"),
    ("sam boxes img.nii.gz -o out --labels painted.nii.gz", "out/img_labels.nii.gz"),
    ("sam tune --image img.nii.gz --labels painted.nii.gz -o new.pth", "new.pth"),
    ("demo --out out", "out/torso0.png"),
]


@pytest.fixture
def folder(patients, model, tmp_path, monkeypatch):
    """An image with its labels, and a model."""
    for source, name in (
        (patients[0].image, "img.nii.gz"),
        (patients[0].painted, "painted.nii.gz"),
        (model, "model.fewshot"),
    ):
        shutil.copy(source, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_work(monkeypatch):
    """What takes time must not begin."""

    def fail(*arguments, **options):
        raise AssertionError("the work began")

    monkeypatch.setattr(FewShotSegmenter, "fit", fail)
    monkeypatch.setattr(FewShotSegmenter, "predict", fail)
    monkeypatch.setattr("napari_fewshot.predict.refine.refine_labels", fail)
    monkeypatch.setattr("napari_fewshot.bench.refinement_strategies.compare_refinements", fail)
    monkeypatch.setattr("napari_fewshot.metrics.files.LabelMapPair.score", fail)


def refused(run, command, words):
    said = run(*command.split(), "--overwrite")
    assert said.code == 2, said
    assert said.err.count("\n") == 1
    assert words in said.err


@posix
@pytest.mark.parametrize(("command", "name"), CASES)
def test_no_pipe_is_replaced(run, folder, no_work, command, name):
    (folder / name).parent.mkdir(exist_ok=True)
    os.mkfifo(folder / name)
    refused(run, command, "a device, pipe or socket")
    assert stat.S_ISFIFO(os.lstat(folder / name).st_mode)


@pytest.mark.parametrize(("command", "name"), CASES)
def test_no_folder_is_replaced(run, folder, no_work, command, name):
    (folder / name / "mine").mkdir(parents=True)
    refused(run, command, "must")
    assert (folder / name / "mine").is_dir()


@pytest.mark.parametrize(("command", "name"), CASES)
def test_nothing_goes_below_a_file(run, folder, no_work, command, name):
    (folder / "file").touch()
    before = files_below(folder)
    last = "out" if "/" in name else name
    words = [f"file/{word}" if word == last else word for word in command.split()]
    refused(run, " ".join(words), "file")
    assert files_below(folder) == before


@posix
@pytest.mark.parametrize(
    ("command", "name"),
    [CASES[0], CASES[1], CASES[7], CASES[8]],
    ids=["train", "predict", "r", "e"],
)
def test_links_are_written_through(run, folder, command, name):
    place = folder / "disk" / "result.nii.gz"
    place.parent.mkdir()
    place.write_text("old")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to(place)
    assert run(*command.split()).code == 2  # that file is somebody's
    assert place.read_text() == "old"
    for more in (["--overwrite"], []):
        said = run(*command.split(), *more)
        assert said.code == 0, said
        assert (folder / name).is_symlink()
        assert place.read_bytes() != b"old"


@posix
def test_rights_are_those_that_the_umask_gives(run, folder):
    former = os.umask(0o027)
    try:
        assert run(*TRAIN.split(), "new.fewshot").code == 0
        assert run(*PREDICT.split(), "out", "--confidence", "--landmarks").code == 0
        assert run(*PREDICT.split(), "other", "--format", "mha").code == 0
    finally:
        os.umask(former)
    for name in files_below(folder):
        path = folder / name
        if name.startswith(("new", "out", "other")):
            assert stat.S_IMODE(path.stat().st_mode) == 0o640, name


def test_labels_that_the_format_cannot_hold(run, tmp_path, monkeypatch, no_work):
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    grey = np.random.default_rng(0).integers(0, 255, (48, 48), np.uint8)
    labels = np.zeros((48, 48), np.int32)
    labels[8:30, 8:30] = 70000
    Image.fromarray(grey).save("photo.png")
    tifffile.imwrite("photo_labels.tif", labels)
    sound = ("--backbone", "multiscale", "--adapter", "cosine", "--no-score", "--no-store")
    told = run("train", "--image", "photo.png", "--labels", "photo_labels.tif", *sound, "-o", "m")
    assert told.code == 0, told
    before = files_below(tmp_path)
    for command in (
        "predict m photo.png -o out --confidence --no-store",
        "refine photo.png photo_labels.tif -o out/new.png",
    ):
        monkeypatch.setattr(FewShotSegmenter, "predict", None)
        said = run(*command.split())
        assert said.code == 2, said
        assert "hold labels up to 65535 as a PNG file; got the label 70000" in said.err
        assert said.err.count("\n") == 1
        assert files_below(tmp_path) == before
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert run("predict", "m", "photo.png", "-o", "out", "--format", "tif", "--no-store").code == 0
    assert {0, 70000} >= set(np.unique(read_labels(tmp_path / "out/photo_labels.tif").data))


@pytest.mark.skipif(not os.path.exists("/proc/self/limits"), reason="limits of Linux")  # noqa: PTH110
@pytest.mark.parametrize("limit", [0, 1000])
@pytest.mark.parametrize(
    "command",
    [
        f"{TRAIN} new.fewshot",
        f"{PREDICT} out --confidence --landmarks",
        f"{PREDICT} out --format tif",
        f"{PREDICT} out --format mha --confidence",
        f"{PREDICT} out --format nrrd --confidence",
        f"{PREDICT} out --format ome-zarr",
    ],
)
def test_a_disk_that_takes_no_more(run, folder, monkeypatch, command, limit):
    """One line with the name of the file, and nothing half-written."""
    import resource

    files = folder / "full"
    files.mkdir()
    command = command.replace("new.fewshot", "full/new.fewshot").replace("-o out", "-o full")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, former[1]))
    try:
        said = run(*command.split())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert said.code == 2, said
    assert said.err.count("\n") == 1
    assert "full" in said.err
    assert [name for name in files_below(files) if ".tmp" in name] == []
    for name in files_below(files):
        assert limit  # a small file fits
        assert name.endswith((".csv", ".json"))

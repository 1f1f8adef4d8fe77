"""Errors among several images: which let the others be done, and which end a command."""

from __future__ import annotations

import errno

import pytest

from napari_fewshot import FewShotSegmenter
from napari_fewshot.errors import FewShotError, WeightsError

from .conftest import files_below


@pytest.fixture
def failing(monkeypatch):
    """Make the prediction of joint1 fail."""

    def make(error):
        predict = FewShotSegmenter.predict

        def fail(self, volume, **options):
            if volume.source.name == "joint1.nii.gz":
                raise error
            return predict(self, volume, **options)

        monkeypatch.setattr(FewShotSegmenter, "predict", fail)

    return make


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "Out of memory. Take a smaller image, or end what else uses memory."),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has\nmuch more"),
            "Out of memory (CUDA out of memory. Tried to allocate 2.00 GiB). Take a smaller image",
        ),
        (FewShotError("Out of memory on cpu: lower max_side."), "Out of memory on cpu: lower"),
        (PermissionError(errno.EACCES, "Permission denied", "a.nii"), "Permission denied: a.nii"),
    ],
)
def test_an_error_of_one_image_does_not_stop_the_others(
    run, model, patients, tmp_path, failing, error, message
):
    failing(error)
    images = [patients[1].image, patients[0].image]
    said = run("predict", model, *images, "-o", tmp_path)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"napari-fewshot: {images[0]}: {message}")
    assert said.out.splitlines() == [f"{tmp_path}/joint0_labels.nii.gz"]


def test_a_fault_of_ours_is_traced_and_does_not_stop_the_others(
    run, model, patients, tmp_path, failing
):
    failing(IndexError("list index out of range"))
    said = run("predict", model, patients[1].image, patients[0].image, "-o", tmp_path)
    assert said.code == 1
    assert "Traceback" in said.err
    assert said.err.endswith(f"{patients[1].image}: IndexError: list index out of range\n")
    assert said.out.splitlines() == [f"{tmp_path}/joint0_labels.nii.gz"]


@pytest.mark.parametrize(
    "error", [WeightsError("No weights here."), OSError(errno.EROFS, "Read-only file system")]
)
def test_an_error_of_all_images_ends_it(run, model, patients, tmp_path, failing, error):
    failing(error)
    said = run("predict", model, patients[1].image, patients[0].image, "-o", tmp_path)
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "joint" not in said.err
    assert files_below(tmp_path) == []


def test_a_full_disk_ends_it_though_the_message_is_about_a_file(
    run, model, patients, tmp_path, monkeypatch
):
    """Messages about files stand for what the system said."""

    def full(self, *arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.touch", full)
    said = run("predict", model, patients[1].image, patients[0].image, "-o", tmp_path)
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "No space left on device" in said.err


def test_memory_that_runs_out_is_one_line(run, patients, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr("napari_fewshot.predict.refine.refine_labels", full)
    one = patients[0]
    said = run(
        "refine", one.image, one.truth, "--method", "random-walker", "-o", tmp_path / "a.nii"
    )
    assert said.code == 2
    assert said.err.startswith("napari-fewshot: Out of memory (Unable to allocate 9 TiB). ")
    assert said.err.count("\n") == 1


def test_sam_goes_on_too(run, patients, tmp_path, tiny_sam, monkeypatch):
    from napari_fewshot import sam as sam_room

    automatic = sam_room.sam_automatic

    def fail(image, **options):
        if image.source.name == "joint1.nii.gz":
            raise MemoryError
        return automatic(image, **options)

    monkeypatch.setattr(sam_room, "sam_automatic", fail)
    said = run(
        *("sam", "automatic", patients[1].image, patients[0].image, "-o", tmp_path),
        *("--sam-weights", tiny_sam, "--axis", "sagittal", "--no-store"),
        *("--set", "points_per_side=2"),
    )
    assert said.code == 2
    assert f"{patients[1].image}: Out of memory." in said.err
    assert said.out.splitlines() == [f"{tmp_path}/joint0_instances.nii.gz"]

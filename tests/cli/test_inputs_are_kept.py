"""No command writes a result in the place of an input; it ends before any work."""

from __future__ import annotations

import shutil

import pytest

from .conftest import files_below

CASES = [
    "sam boxes img.nii.gz -o . --truth img_labels.nii.gz",
    "sam points img.nii.gz -o . --truth img_labels.nii.gz",
    "sam boxes img.nii.gz -o results --labels results/img_labels.nii.gz",
    "sam boxes img.nii.gz -o results/../. --labels img_labels.nii.gz",
    "sam boxes img.nii.gz -o . --labels painted.nii.gz --sam-weights img_labels.nii.gz",
    "sam boxes img.nii.gz -o . --labels img_confidence.nii.gz --confidence",
    "sam automatic img.nii.gz -o . --truth img_labels.nii.gz",
    "sam automatic img.nii.gz -o . --truth img_instances.nii.gz",
    "sam automatic img.nii.gz img_instances.nii.gz -o .",
    "sam persam img.nii.gz -o . --reference other.nii.gz img_labels.nii.gz",
    "sam tune --image img.nii.gz --labels img_labels.nii.gz --sam-weights my.pth -o my.pth",
    "sam persam img.nii.gz -o . --reference img_labels.nii.gz painted.nii.gz",
    "predict img_labels.nii.gz img.nii.gz -o .",
    "predict model.fewshot img.nii.gz img_labels.nii.gz -o .",
    "predict model.fewshot img.nii.gz -o . --weights img_labels.nii.gz",
    "predict model.fewshot img.nii.gz -o . --refine sam-vit-b --sam-weights img_labels.nii.gz",
    "refine img.nii.gz painted.nii.gz -o painted.nii.gz",
    "refine plot.png img_labels.nii.gz -o img.nii.gz",  # names of the labels
    "refine img.nii.gz painted.nii.gz -o new.nii.gz --output-confidence img.nii.gz",
    "train --image img.nii.gz --labels painted.nii.gz -o painted.nii.gz",
    "evaluate --pred img_labels.nii.gz --truth painted.nii.gz --json painted.nii.gz",
    "evaluate --pred img_labels.nii.gz --truth painted.nii.gz --json img_labels.json",
    "compare-refinement plot.png painted.nii.gz --truth painted.nii.gz -o .",
    "compare-refinement img.nii.gz painted.nii.gz --truth plot.png -o .",
]


@pytest.fixture
def folder(patients, tmp_path, monkeypatch):
    """Images, labels and other inputs, under names of results."""
    one, other = patients
    (tmp_path / "results").mkdir()
    for source, names in (
        (one.image, ("img.nii.gz", "plot.png", "model.fewshot", "my.pth")),
        (other.image, ("other.nii.gz",)),
        (one.painted, ("painted.nii.gz",)),
        (one.truth, ("img_labels.nii.gz", "img_instances.nii.gz", "img_confidence.nii.gz")),
        (one.truth, ("results/img_labels.nii.gz",)),
        (one.truth.with_name("truth0_labels.json"), ("img_labels.json",)),
    ):
        for name in names:
            shutil.copy(source, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
@pytest.mark.parametrize("command", CASES)
def test_an_input_is_not_overwritten(run, folder, command, more):
    before = {name: (folder / name).read_bytes() for name in files_below(folder)}
    said = run(*command.split(), *more)
    assert said.code == 2
    assert said.err.count("\n") == 1
    option = "--json" if "--json" in command else "--output"
    assert said.err.startswith(f"napari-fewshot: {option} must not ")
    assert "overwrite an input" in said.err
    assert before == {name: (folder / name).read_bytes() for name in files_below(folder)}


@pytest.mark.parametrize("name", ["img_labels.nii.gz", "IMG_labels.nii.gz"])
def test_another_name_of_an_input_is_not_overwritten(run, folder, name):
    """Paint that is called ``painted`` too, or that differs in case, as some systems take it."""
    before = (folder / "img_labels.nii.gz").read_bytes()
    if name == "img_labels.nii.gz":
        (folder / "link.nii.gz").hardlink_to(folder / name)
        given = "link.nii.gz"
    else:
        shutil.move(folder / "img_labels.nii.gz", folder / name)
        given = name
    said = run("sam", "boxes", "img.nii.gz", "-o", ".", "--labels", given, "--overwrite")
    assert said.code == 2
    assert "overwrite an input" in said.err
    assert (folder / given).read_bytes() == before


def test_another_folder_will_do(run, folder, tiny_sam):
    said = run("sam", "boxes", "img.nii.gz", "-o", "new", "--truth", "img_labels.nii.gz",
               "--sam-weights", tiny_sam, "--axis", "sagittal", "--no-store")  # fmt: skip
    assert said.code == 0
    assert (folder / "new" / "img_labels.nii.gz").is_file()

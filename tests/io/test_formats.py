"""Names of results, by the formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_fewshot.errors import InputError
from napari_fewshot.io import output_path, output_paths, stem_of
from napari_fewshot.io.formats import Kind


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.nii", "a"),
        ("a.b.nii.gz", "a.b"),
        ("A.NII.GZ", "A"),
        ("a.ome.tif", "a"),
        ("a.tiff", "a"),
        ("a.png", "a"),
        ("a.xyz", "a"),
        (".nii", ".nii"),
    ],
)
def test_stem(name: str, stem: str) -> None:
    assert stem_of(Path("folder") / name) == stem


@pytest.mark.parametrize(
    ("name", "kind", "result"),
    [
        ("a.nii", "labels", "a_x.nii.gz"),
        ("a.nii.gz", "image", "a_x.nii.gz"),
        ("a.tiff", "labels", "a_x.tif"),
        ("a.ome.tif", "image", "a_x.tif"),
        ("a.png", "labels", "a_x.png"),
        ("a.png", "image", "a_x.tif"),
        ("a.png", "points", "a_x.csv"),
    ],
)
def test_ending_follows_the_input(name: str, kind: Kind, result: str) -> None:
    assert output_path(f"in/{name}", "out", "_x", kind) == Path("out") / result


def test_content_decides_where_there_is_a_file(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "a.tif", format="PNG")
    assert output_path(tmp_path / "a.tif", "out") == Path("out/a_labels.png")


def test_unknown_ending_is_refused() -> None:
    with pytest.raises(InputError, match=r"a\.bmp must end in one of \.nii\.gz"):
        output_path("a.bmp", "out")


def test_equal_stems_keep_their_folders() -> None:
    inputs = ["d/p1/image.nii.gz", "d/p2/deep/image.nii", "d/p3/other.nii", "d/p4/image.tif"]
    assert output_paths(inputs, "out") == [
        Path("out/p1/image_labels.nii.gz"),
        Path("out/p2/deep/image_labels.nii.gz"),
        Path("out/other_labels.nii.gz"),
        Path("out/image_labels.tif"),
    ]


def test_case_is_no_difference() -> None:
    results = output_paths(["d/a/X.nii", "d/b/x.nii"], "out")
    assert results == [Path("out/a/X_labels.nii.gz"), Path("out/b/x_labels.nii.gz")]


@pytest.mark.parametrize("second", ["d/image.nii", "d/image.nii.gz", "d/../d/image.nii.gz"])
def test_two_inputs_with_one_result_are_refused(second: str) -> None:
    with pytest.raises(InputError, match=r"results of different names.*image_labels\.nii\.gz"):
        output_paths(["d/image.nii.gz", second], "out")


def test_results_do_not_overwrite_inputs() -> None:
    with pytest.raises(InputError, match="not make a result overwrite an input"):
        output_paths(["d/a.nii.gz", "d/a_labels.nii.gz"], "d")
    with pytest.raises(InputError, match="not make a result overwrite an input"):
        output_paths(["d/a.png"], "d", suffix="")

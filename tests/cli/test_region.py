"""``predict --region``: parts of images in files of several formats."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import tifffile

from napari_fewshot import FewShotSegmenter, Template
from napari_fewshot.io import read_labels, read_points, read_volume, write_labels
from napari_fewshot.io.outputs import RECORD

from .conftest import files_below

EXACT = ("--set", "propagation.cleanup.min_size=0")


@pytest.fixture(scope="module")
def whole(model, patients, tmp_path_factory):
    """Labels and confidence of the whole of patient 1, (L, I, P)."""
    image = read_volume(patients[1].image)
    found = FewShotSegmenter.load(model, propagation={"cleanup": {"min_size": 0}}).predict(image)
    return found.labels, found.confidence


def inside(array, *sides):
    expected = np.zeros_like(array)
    box = tuple(slice(*side) for side in sides)
    expected[box] = array[box]
    return expected


@pytest.mark.parametrize(
    ("text", "sides"),
    [("5-9", [(5, 10)]), ("5-9,,20-40", [(5, 10), (None,), (20, 41)]), ("7", [(7, 8)])],
)
def test_nifti(run, model, patients, whole, tmp_path, text, sides):
    options = ("--region", text, "--confidence", "--landmarks", *EXACT)
    said = run("predict", model, patients[1].image, "-o", tmp_path, *options)
    assert said.code == 0, said.err
    (path,) = (tmp_path / name for name in said.out.split())
    found, image = read_labels(path), read_volume(patients[1].image)
    np.testing.assert_array_equal(found.data, inside(whole[0], *sides))
    assert found.data.any()
    np.testing.assert_array_equal(found.affine, image.affine)
    sure = read_volume(tmp_path / "joint1_confidence.nii.gz").data
    np.testing.assert_array_equal(sure, inside(whole[1], *sides))
    for point in read_points(tmp_path / "joint1_landmarks.csv", image):
        assert sides[0][0] - 0.5 <= point.position[0] < sides[0][1]


def test_slices_along_another_axis(run, model, patients, tmp_path):
    def labelled(name, *more):
        said = run("predict", model, patients[1].image, "-o", tmp_path / name, "--axis", "axial",
                   *EXACT, *more)  # fmt: skip
        assert said.code == 0, said.err
        return read_labels(tmp_path / name / "joint1_labels.nii.gz").data

    whole = labelled("whole")
    first = int(np.flatnonzero(whole.any(axis=(0, 2)))[0])
    part = labelled("part", "--region", f"{first}-{first + 4}")
    assert part.any()
    np.testing.assert_array_equal(part, inside(whole, (None,), (first, first + 5)))


def test_an_image_of_two_axes(run, tmp_path):
    rng = np.random.default_rng(0)
    image = rng.normal(60, 5, (70, 90)).astype(np.uint8)
    labels = np.zeros(image.shape, np.uint8)
    labels[20:50, 30:70] = 4
    image[labels > 0] += 90
    tifffile.imwrite(tmp_path / "cell.tif", image)
    fitted = FewShotSegmenter(adapter="cosine", device="cpu").fit(Template(image, labels))
    fitted.save(tmp_path / "cell.fewshot")
    predict = ("predict", tmp_path / "cell.fewshot", tmp_path / "cell.tif", "-o", tmp_path / "out")
    assert run(*predict).code == 0
    whole = tifffile.imread(tmp_path / "out" / "cell_labels.tif")
    assert run(*predict, "--region", "30-59,0-44").code == 0
    found = tifffile.imread(tmp_path / "out" / "cell_labels.tif")
    np.testing.assert_array_equal(found, inside(whole, (30, 60), (0, 45)))
    assert set(np.unique(found)) == {0, 4}
    said = run(*predict, "--region", "30-59")
    assert said.code == 2
    assert f"--region must have a part for each of the 2 axes of {tmp_path / 'cell.tif'}" in (
        said.err
    )
    assert "; got 1 part.\n" in said.err


def test_a_zarr_array_that_is_read_as_it_is_needed(run, patients, tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    data = read_volume(patients[1].image).data
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=data.shape, chunks=(1, *data.shape[1:]), dtype=data.dtype
    )
    array[...] = data
    template = Template(data, read_labels(patients[1].truth).data, slices=[4, 8, 11], axis=0)
    fitted = FewShotSegmenter(adapter="cosine", device="cpu").fit(template)
    fitted.save(tmp_path / "m.fewshot")
    monkeypatch.setattr("napari_fewshot.arrays.LARGE", 0)
    found = {}
    for name, more in (("whole", ()), ("part", ("--region", "8-9,,10-30"))):
        said = run("predict", tmp_path / "m.fewshot", tmp_path / "a.zarr", "-o", tmp_path / name,
                   "--format", "nii.gz", *more)  # fmt: skip
        assert said.code == 0, said.err
        found[name] = read_labels(tmp_path / name / "a_labels.nii.gz").data
    assert found["part"].any()
    expected = inside(found["whole"], (8, 10), (None,), (10, 31))
    np.testing.assert_array_equal(found["part"], expected)


def test_all_time_points(run, model, patients, whole, tmp_path):
    one = nib.load(patients[1].image)
    data = np.stack([np.asarray(one.dataobj)] * 2, axis=-1)
    nib.save(nib.Nifti1Image(data, one.affine), tmp_path / "time.nii.gz")
    options = ("--frame", "all", "--region", "5-9", *EXACT)
    said = run("predict", model, tmp_path / "time.nii.gz", "-o", tmp_path / "out", *options)
    assert said.code == 0, said.err
    for frame in range(2):
        found = read_labels(tmp_path / "out" / "time_labels.nii.gz", frame=frame).data
        assert found.any()
        assert not np.delete(found, range(5, 10), 0).any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--region", "9-20"), "lie within axis 0 of {}, whose numbers are 0..15; got 9..20"),
        (("--region", "1-2,0-3"), "have a part for each of the 3 axes of {}, or one alone"),
        (("--region", "4-2"), "have rising ranges; got 4-2"),
        (("--region", ""), "have a range; got "),
        (
            ("--region", "5-9", "--axis", "fused"),
            "have a part for each axis where planes are fused",
        ),
    ],
)
def test_what_is_no_region_of_an_image(run, model, patients, tmp_path, options, said):
    found = run("predict", model, patients[1].image, "-o", tmp_path / "out", *options)
    assert found.code == 2
    assert f"napari-fewshot: --region must {said.format(patients[1].image)}" in found.err
    assert found.err.count("\n") == 1
    assert not (tmp_path / "out").exists() or files_below(tmp_path / "out") == []


def test_another_region_is_another_run(run, model, patients, tmp_path):
    image, out = patients[1].image, tmp_path / "out"
    path = out / "joint1_labels.nii.gz"

    def done(*options):
        said = run("predict", model, image, "-o", out, *options)
        return said, (out / RECORD).read_text().count('{"predicted"')

    assert done("--region", "5-9")[1] == 1
    first = path.read_bytes()
    assert done("--region", "5-9")[1] == 1  # not done again
    assert done("--region", "6-9")[1] == 2
    assert path.read_bytes() != first
    assert done()[1] == 3
    labels = read_labels(path)
    write_labels(path, np.zeros_like(labels.data), labels)
    assert done("--region", "5-9")[0].code == 2  # a person changed it
    assert done("--region", "5-9", "--overwrite")[0].code == 0
    assert path.read_bytes() == first

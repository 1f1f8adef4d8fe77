"""``napari-fewshot refine`` and ``predict --refine``."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from napari_fewshot.io import read_labels, read_volume, write_labels

from .conftest import QUICK, files_below


@pytest.fixture(scope="module")
def predicted(model, patients, tmp_path_factory):
    """Labels and confidence of patient 1, predicted with the default settings."""
    from napari_fewshot.cli import main

    out = tmp_path_factory.mktemp("predicted")
    assert (
        main(["predict", f"{model}", f"{patients[1].image}", "-o", f"{out}", "--confidence"]) == 0
    )
    return out / "joint1_labels.nii.gz", out / "joint1_confidence.nii.gz"


def test_predict_refines_as_refine_does(
    run, model, patients, predicted, tmp_path, assert_same_labels
):
    labels, confidence = predicted
    image = patients[1].image
    out = tmp_path / "out"
    said = run("predict", model, image, "-o", out, "--confidence", "--refine", "random-walker")
    assert said.code == 0
    given = ("refine", image, labels, "--confidence", confidence, "--method", "random-walker")
    # The joint is painted on sagittal slices, so these are refined.
    files = ("-o", tmp_path / "r.nii.gz", "--output-confidence", tmp_path / "c.nii.gz")
    said = run(*given, "--axis", "sagittal", *files)
    assert said.code == 0
    assert "voxels changed" in said.out
    found, direct = read_labels(tmp_path / "r.nii.gz"), read_labels(out / "joint1_labels.nii.gz")
    assert_same_labels(found.data, direct.data)
    assert (found.data != read_labels(labels).data).any()
    assert found.names == read_labels(labels).names
    np.testing.assert_allclose(
        read_volume(tmp_path / "c.nii.gz").data,
        read_volume(out / "joint1_confidence.nii.gz").data,
        atol=1e-4,
    )


def test_geometry_and_values_stay(run, patients, predicted, tmp_path):
    out = tmp_path / "r.nii.gz"
    assert run("refine", patients[1].image, predicted[0], "-o", out).code == 0
    before, after = nib.load(predicted[0]), nib.load(out)
    np.testing.assert_array_equal(after.affine, before.affine)
    assert after.get_data_dtype() == before.get_data_dtype()
    assert after.header.get_xyzt_units() == before.header.get_xyzt_units()
    assert set(np.unique(read_labels(out).data)) <= set(np.unique(read_labels(predicted[0]).data))


def test_any_method_of_the_registry(run, model, patients, predicted, tmp_path, stub_refiner):
    out = tmp_path / "out"
    (tmp_path / "sam.pth").write_bytes(b"x")
    weights = ("--sam-weights", tmp_path / "sam.pth")
    images = (patients[0].image, patients[1].image)
    said = run("predict", model, *images, "-o", out, "--refine", "stub", *weights)
    assert said.code == 0
    (settings,) = stub_refiner.made  # once for both images
    assert settings.weights == tmp_path / "sam.pth"
    assert len(stub_refiner.stacks) == 2
    file = tmp_path / "r.nii.gz"
    set_points = ("--set", "prompts.points=3", "--seed", "9")
    said = run("refine", *(patients[1].image, predicted[0]), "--method", "stub", *weights,
               *set_points, "-o", file)  # fmt: skip
    assert said.code == 0
    assert (stub_refiner.made[1].seed, stub_refiner.made[1].config.prompts.points) == (9, 3)


def test_settings_of_the_model_file(run, model, patients, predicted, tmp_path, stub_refiner):
    given = ("predict", model, patients[1].image, "-o", tmp_path)
    assert run(*given, "--set", "propagation.refinement.method=stub").code == 0
    assert len(stub_refiner.slices) > 3


def test_colour_png(run, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.zeros((40, 56), np.uint8)
    labels[8:30, 10:34] = 7
    colours = rng.integers(0, 60, (40, 56, 3)) + np.where(labels == 7, 150, 0)[..., None]
    Image.fromarray(colours.astype(np.uint8)).save(tmp_path / "cell.png")
    write = np.roll(labels, 2, axis=1)
    Image.fromarray(write).save(tmp_path / "labels.png")
    out = tmp_path / "out" / "refined.png"
    assert run("refine", tmp_path / "cell.png", tmp_path / "labels.png", "-o", out).code == 0
    found = np.asarray(Image.open(out))
    assert (found == labels).mean() > (write == labels).mean()
    assert set(np.unique(found)) == {0, 7}


def test_bad_input_is_one_line_before_any_work(run, model, patients, predicted, tmp_path):
    image, labels = patients[1].image, predicted[0]
    other = tmp_path / "other.nii.gz"
    smaller = read_volume(patients[1].image)
    write_labels(other, np.zeros((4, 4, 4), np.uint8), type(smaller)(smaller.data[:4, :4, :4],
                 smaller.spacing, smaller.affine))  # fmt: skip
    out = ("-o", tmp_path / "out" / "r.nii.gz")
    for arguments, message in (
        (("refine", image, labels, "--method", "random-wlker", *out), "--method must be one of"),
        (("refine", image, labels, "--sam-weights", labels, *out), "--sam-weights must stand"),
        (("refine", image, tmp_path / "none.nii.gz", *out), "LABELS must be an existing file"),
        (("refine", image, other, *out), "have the shape"),
        (("refine", image, labels, "--set", "walker.beta=0", *out), "--set walker.beta must be"),
        (("refine", image, labels, "-o", labels), "--output must not overwrite an input"),
        (("refine", image, labels, "--axis", "up", *out), "--axis must be one of"),
        (
            ("predict", model, image, "-o", tmp_path / "out", "--refine", "random-wlker"),
            "--refine must be one of",
        ),
        (
            ("predict", model, image, "-o", tmp_path / "out", "--sam-weights", labels),
            "--sam-weights must stand beside --refine",
        ),
    ):
        said = run(*arguments)
        assert said.code == 2
        assert said.err.count("\n") == 1
        assert message in said.err
    assert files_below(tmp_path) == ["other.nii.gz"]


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No weights on this machine, and none to be had."""
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def test_missing_weights_name_the_option_and_what_needs_none(
    run, model, patients, predicted, nowhere
):
    image, labels = patients[1].image, predicted[0]
    given = (image, labels, "-o", nowhere / "out")
    by_set = ("--set", "propagation.refinement.method=sam-vit-b")
    for arguments in (
        ("refine", image, labels, "-o", nowhere / "r.nii.gz", "--method", "sam-vit-b"),
        ("predict", model, image, "-o", nowhere / "out", "--refine", "sam-vit-b"),
        ("predict", model, image, "-o", nowhere / "out", *by_set),
        ("compare-refinement", *given, "--truth", labels, "--strategies", "sam-vit-b:box"),
    ):
        said = run(*arguments)
        assert said.code == 2
        assert said.err.count("\n") == 1
        assert "sam_vit_b_01ec64.pth" in said.err
        assert "(--sam-weights FILE)" in said.err
        assert said.err.endswith("; or refine with random-walker, which needs no download.\n")
        assert "backbone" not in said.err
    assert files_below(nowhere) == []


def test_the_method_may_be_set_in_place_of_refine(
    run, patients, predicted, model, tmp_path, stub_refiner
):
    (tmp_path / "sam.pth").write_bytes(b"x")
    given = ("predict", model, patients[1].image, "-o", tmp_path / "out")
    weights = ("--sam-weights", tmp_path / "sam.pth")
    setting = ("--set", "propagation.refinement.method=stub")
    assert run(*given, *setting, *weights).code == 0
    assert run(*given, *setting, *weights, "--refine", "stub").code == 0
    assert [made.weights for made in stub_refiner.made] == [tmp_path / "sam.pth"] * 2


def test_weights_for_the_method_of_the_model_file(run, patients, tmp_path, stub_refiner):
    one = patients[0]
    files = ("--image", one.image, "--labels", one.painted, "-o", tmp_path / "m.fewshot")
    said = run("train", *files, *QUICK, "--set", "propagation.refinement.method=stub")
    assert said.code == 0
    (tmp_path / "sam.pth").write_bytes(b"x")
    given = ("predict", tmp_path / "m.fewshot", one.image, "-o", tmp_path / "out")
    assert run(*given, "--sam-weights", tmp_path / "sam.pth").code == 0
    assert stub_refiner.made[-1].weights == tmp_path / "sam.pth"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--refine random-walker --set propagation.refinement.method=sam-vit-b",
         "--refine must agree with --set propagation.refinement.method=sam-vit-b; got random-wal"),
        ("--set propagation.refinement.method=random-wlker",
         "--set propagation.refinement.method must be one of auto"),
        ("--set propagation.refinement.method=random-walker --sam-weights FILE",
         "--sam-weights must stand beside the name of a SAM; got random-walker."),
        ("--set propagation.refinement=3 --sam-weights FILE", "--set propagation.refinement must"),
    ],
)  # fmt: skip
def test_refine_and_set_that_do_not_go_together(run, model, patients, tmp_path, options, message):
    words = [patients[0].truth if word == "FILE" else word for word in options.split()]
    said = run("predict", model, patients[1].image, "-o", tmp_path / "out", *words)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert message in said.err
    assert files_below(tmp_path) == []


def test_a_true_sam_refines_a_prediction(run, model, patients, predicted, tmp_path, tiny_sam):
    sam = ("--refine", "sam-vit-b", "--sam-weights", tiny_sam, "--no-store")
    free = ("--set", "propagation.refinement.prompts.agreement=0")
    given = ("predict", model, patients[1].image)
    said = run(*given, "-o", tmp_path / "out", *sam, *free)
    assert said.code == 0
    found = read_labels(tmp_path / "out" / "joint1_labels.nii.gz").data
    before = read_labels(predicted[0]).data
    assert (found != before).any()
    assert set(np.unique(found)) <= set(np.unique(before))
    empty = ~before.any(axis=(1, 2))
    assert not found[empty].any()


def test_none_switches_off_what_the_model_file_sets(run, patients, tmp_path, stub_refiner):
    stub_refiner.available = False
    model = tmp_path / "m.fewshot"
    files = ("--image", patients[0].image, "--labels", patients[0].painted, "-o", model)
    said = run("train", *files, *QUICK, "--set", "propagation.refinement.method=stub")
    assert "predictions are refined by stub" in said.out
    assert "weights of stub are not on this machine" in said.err
    given = ("predict", model, patients[1].image, "-o", tmp_path / "out")
    assert run(*given, "--refine", "none").code == 0
    assert run(*given, "--set", "propagation.refinement.method=none").code == 0
    assert stub_refiner.made == []
    assert run(*given).code == 0
    assert len(stub_refiner.made) == 1
    said = run(*given, "--refine", "none", "--sam-weights", patients[0].image)
    assert said.code == 2
    assert "--sam-weights must stand beside --refine NAME; got --refine none." in said.err

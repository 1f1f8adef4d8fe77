"""Train and predict with the few-shot mask decoder from a local checkpoint of SAM."""

from __future__ import annotations

import pytest

from napari_fewshot.io import read_labels

from .conftest import files_below


@pytest.fixture
def train(run, patients, tmp_path):
    def command(*options):
        one = patients[0]
        given = ("--image", one.image, "--labels", one.painted, "--adapter", "sam-decoder")
        quick = ("--set", "sam_decoder.epochs=2", "--set", "sam_decoder.augmentations=1")
        return run("train", *given, *quick, *options, "-o", tmp_path / "joint.fewshot")

    return command


def test_from_painted_slices_to_label_maps(train, run, patients, tiny_sam, tmp_path):
    weights = ("--weights", tiny_sam)
    said = train("--backbone", "sam-vit-b", *weights, "--no-store")
    assert said.code == 0, said.err
    assert "sam-vit-b + sam-decoder, trained in" in said.out
    assert "held-out Dice" in said.out
    model, out = tmp_path / "joint.fewshot", tmp_path / "out"
    said = run("predict", model, patients[1].image, "-o", out, *weights, "--no-store")
    assert said.code == 0, said.err
    found = read_labels(out / "joint1_labels.nii.gz")
    assert found.data.shape == read_labels(patients[1].truth).data.shape


@pytest.mark.parametrize("backbone", [(), ("--backbone", "multiscale")])
def test_a_backbone_that_is_no_sam_ends_before_any_work(train, backbone, tmp_path):
    said = train(*backbone)
    assert said.code == 2
    assert "one of sam-vit-b, sam-vit-l, sam-vit-h, medsam with adapter sam-decoder" in said.err
    assert not files_below(tmp_path)

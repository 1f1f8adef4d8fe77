"""A transformer with random weights, from the checkpoint to the labels, with and without store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_fewshot.backbones.timm_network import TimmBackbone, build_network

from .conftest import files_below

BACKBONE = "timm:test_vit"
QUICK = (
    "--axis", "0", "--slices", "2-13", "--no-score",
    "--set", "contrastive.steps=20", "--set", "extraction.batch=2",
    "--set", "extraction.min_tokens=8",
    "--set", "extraction.precision=float32",  # else it depends on the processor
)  # fmt: skip
SLOW = """
import sys, time
from napari_fewshot.backbones.timm_network import TimmBackbone
encode = TimmBackbone.encode
def slowly(self, images):
    time.sleep(0.3)
    return encode(self, images)
TimmBackbone.encode = slowly
from napari_fewshot.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A checkpoint of random weights."""
    with torch.device("meta"):
        shapes = build_network("test_vit").state_dict()
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(t.shape, generator=generator) * 0.1 for name, t in shapes.items()}
    path = tmp_path_factory.mktemp("weights") / "vit.safetensors"
    save_file(state, path)
    return path


@pytest.fixture
def encoded(monkeypatch) -> list[int]:
    """Sizes of the batches that the network was asked to encode."""
    batches: list[int] = []
    encode = TimmBackbone.encode

    def counting(self, images):
        batches.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(TimmBackbone, "encode", counting)
    return batches


def training(patient, weights, store, out):
    files = ("--image", patient.image, "--labels", patient.truth)
    return (
        "train",
        *files,
        "--backbone",
        BACKBONE,
        "--weights",
        weights,
        *QUICK,
        *store,
        "-o",
        out,
    )


def entries(store):
    """Entries of a store."""
    return {path.name for path in store.glob("features-v*/*/*") if path.is_dir()}


def test_features_are_kept_and_used_again(run, patients, weights, tmp_path, encoded):
    one, store = patients[0], tmp_path / "store"
    kept, again, bare = (tmp_path / name for name in ("kept", "again", "bare"))
    assert run(*training(one, weights, ("--store", store), kept)).code == 0
    assert sum(encoded) == 12
    found = entries(store)
    assert len(found) == 12
    encoded.clear()
    assert run(*training(one, weights, ("--store", store), again)).code == 0
    assert encoded == []
    assert entries(store) == found
    assert run(*training(one, weights, ("--no-store",), bare)).code == 0
    assert sum(encoded) == 12
    assert kept.read_bytes() == again.read_bytes() == bare.read_bytes()

    encoded.clear()
    out = tmp_path / "out"
    said = run("predict", kept, one.image, "-o", out, "--weights", weights, "--store", store)
    assert said.code == 0, said.err
    assert sum(encoded) == 4  # the other slices of the volume
    assert files_below(out) == ["joint0_labels.json", "joint0_labels.nii.gz"]


def test_a_model_refuses_other_weights(run, patients, weights, tmp_path):
    one = patients[0]
    assert run(*training(one, weights, ("--no-store",), tmp_path / "m")).code == 0
    other = tmp_path / "other.safetensors"
    save_file({name: tensor + 0.01 for name, tensor in load_file(weights).items()}, other)
    out = ("-o", tmp_path / "out", "--no-store")
    said = run("predict", tmp_path / "m", one.image, *out, "--weights", other)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "must be those that the model was trained with" in said.err
    assert not (tmp_path / "out").exists()


def test_weights_that_are_nowhere(run, patients, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path / "weights"))
    one, out = patients[0], tmp_path / "out" / "m"
    files = ("--image", one.image, "--labels", one.painted, "--store", tmp_path / "store")
    start = time.monotonic()
    said = run("train", *files, "--backbone", "dinov2-s", "-o", out)
    assert time.monotonic() - start < 60
    assert said.code == 2
    assert said.err.count("\n") == 1
    for words in (
        "dinov2-s",
        "Apache-2.0",
        "HF_HUB_OFFLINE",
        str(tmp_path / "weights"),
        "dinov2_vits14_pretrain.pth",
        "--weights FILE",
        "embedded",
    ):
        assert words in said.err
    assert files_below(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on Windows")
def test_a_killed_command_goes_on_where_it_was(run, patients, weights, tmp_path, encoded):
    one, store = patients[0], tmp_path / "store"
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [str(word) for word in training(one, weights, ("--store", store), killed)]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    until = time.monotonic() + 120
    while len(entries(store)) < 4 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = len(entries(store))
    assert 4 <= there < 12
    assert not killed.exists()

    assert run(*training(one, weights, ("--store", store), killed)).code == 0
    assert sum(encoded) == 12 - there
    assert run(*training(one, weights, ("--store", tmp_path / "new"), whole)).code == 0
    # The same pixels to learn from, but for what a batch of another size rounds otherwise.
    one, two = load_file(killed), load_file(whole)
    assert one.keys() == two.keys()
    for name, atol in (("mean", 1e-4), ("classifier.references", 0.1)):
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=atol)


def test_the_store_is_cut_down_at_the_end(run, patients, weights, tmp_path):
    one, store = patients[0], tmp_path / "store"
    kept = ("--store", store)
    assert run(*training(one, weights, kept, tmp_path / "first")).code == 0
    size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    half = (*kept, "--store-limit", f"{size / 2e9:.9f}")
    assert run(*training(one, weights, half, tmp_path / "second")).code == 0
    assert 3 <= len(entries(store)) <= 6
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()

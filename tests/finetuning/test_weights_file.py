"""Weights of others: their stories are data, and what is damaged is no story."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from napari_fewshot.backbones import checkpoint
from napari_fewshot.cli import main
from napari_fewshot.errors import InputError, WeightsError
from napari_fewshot.finetuning.checkpoint import read_checkpoint, write_checkpoint
from napari_fewshot.finetuning.weights_file import STORY, Story, read_story, write_tensors

TOLD = Story(
    backbone="embedded",
    base="built in",
    base_hash="0" * 64,
    method="dense contrast",
    steps=10,
    data={"images": 3, "slices": 90},
    settings={},
    measure="few-shot score",
    scores={"0": 0.5},
    start=0.5,
    best=0.6,
    better=True,
)
TENSORS = {"weight": torch.arange(12.0)}


def written(folder, **changes):
    path = folder / "own.safetensors"
    story = {**json.loads(TOLD.to_json()), **changes}
    save_file(TENSORS, path, {STORY: json.dumps(story)})
    return path


def test_a_story_comes_back(tmp_path):
    assert read_story(written(tmp_path)) == TOLD
    assert TOLD.learned_from == "3 images, 90 slices"


@pytest.mark.parametrize(
    "changes",
    [{"data": 5}, {"steps": "many"}, {"start": None}, {"best": "a"}, {"base": 1}, {"scores": 3},
     {"measure": ["a"]}, {"better": {}}],
)  # fmt: skip
def test_what_is_no_story(tmp_path, changes):
    assert read_story(written(tmp_path, **changes)) is None


def test_no_story_is_deep_or_large(tmp_path):
    for text in ("[" * 100_000, '{"steps": ' + "9" * 5000 + "}", "{}", "null"):
        save_file(TENSORS, tmp_path / "own.safetensors", {STORY: text})
        assert read_story(tmp_path / "own.safetensors") is None


def test_words_of_strangers_do_not_steer_the_terminal(tmp_path, monkeypatch, capsys):
    written(tmp_path, base="\x1b[31mred\nline", data={"images": "\x1b[2J"}, measure="\x07score")
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path))
    assert main(["backbones"]) == 0
    shown = capsys.readouterr().out
    assert "own.safetensors  embedded  [31mred line  10" in shown
    assert shown.replace("\n", "").isprintable()


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_weights_have_the_rights_of_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        write_tensors(tmp_path / "own.safetensors", TENSORS, {})
    finally:
        os.umask(before)
    assert (tmp_path / "own.safetensors").stat().st_mode & 0o777 == 0o644


def test_every_damage_of_a_checkpoint_is_one_error(tmp_path):
    path = tmp_path / "own.safetensors.checkpoint"
    state = {"learner": {"network": {"w": torch.randn(500)}}, "steps": 3, "rows": [{"loss": 0.5}]}
    write_checkpoint(path, "digest", state)
    whole = path.read_bytes()
    known = read_checkpoint(path, "digest")
    seen = 0
    for place in range(0, len(whole), 13):
        changed = bytearray(whole)
        changed[place] ^= 0x55
        path.write_bytes(changed)
        try:
            found = read_checkpoint(path, "digest")
        except InputError:
            seen += 1
            continue
        # Padding and the directory behind hold nothing that is read.
        assert torch.equal(found["learner"]["network"]["w"], known["learner"]["network"]["w"])
        assert (found["steps"], found["rows"]) == (3, [{"loss": 0.5}])
    assert seen > len(whole) / 13 / 2
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match="a whole checkpoint; got a damaged file"):
            read_checkpoint(path, "digest")


def test_damaged_weights_are_refused(tmp_path):
    path = tmp_path / "own.safetensors"
    tensors = {**TENSORS, "half": torch.ones(3, dtype=torch.bfloat16), "one": torch.tensor(2)}
    write_tensors(path, tensors, {STORY: TOLD.to_json()})
    read = checkpoint.read_checkpoint(path)
    assert {name: (one.dtype, one.tolist()) for name, one in read.items()} == {
        name: (one.dtype, one.tolist()) for name, one in tensors.items()
    }
    whole = path.read_bytes()
    for place in range(8 + int.from_bytes(whole[:8], "little"), len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(WeightsError, match="damaged or changed since"):
            checkpoint.read_checkpoint(path)

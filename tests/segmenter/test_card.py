"""The card of a model: what is counted, written, kept and read."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from safetensors.numpy import save_file

from napari_fewshot import FewShotSegmenter, HeldOutScore, InputError, Template, __version__
from napari_fewshot.predict.card import CardScore, ModelCard

from .test_model_file import parts, rewritten


@pytest.fixture
def saved(fitted, tmp_path):
    """A file of a model with words and a score."""
    score = HeldOutScore({1: 0.91234567, 2: math.nan}, 2, "volumes")
    model = fitted.with_card(author=" A lab ", licence="CC0-1.0", note="n", score=score)
    model.save(tmp_path / "m.fewshot")
    return tmp_path / "m.fewshot"


def test_what_was_learned_from_is_counted(quick, discs):
    (image, labels), (other, _) = discs(), discs(seed=5)
    templates = [Template(image, labels), Template(other, np.where(labels == 1, 1, 0))]
    card = quick(adapter="cosine").fit(templates).card_
    assert (card.made_with, card.images, card.slices) == (__version__, 2, 2)
    assert card.painted == {1: 2, 2: 1}
    assert card.score is None
    assert card.author == card.licence == card.note == ""


def test_words_and_score_are_read_back(saved, fitted):
    card = FewShotSegmenter.load(saved, device="cpu").card_
    assert (card.author, card.licence, card.note) == ("A lab", "CC0-1.0", "n")
    assert card.score == CardScore(dice={1: 0.9123, 2: None}, folds=2, grouped_by="volumes")
    assert card.score.mean == pytest.approx(0.9123)
    assert card.painted == fitted.card_.painted
    assert fitted.card_.author == ""  # a card is written on a new segmenter


def test_words_stay_when_others_are_written(fitted):
    card = fitted.with_card(author="a", note="n").with_card(note="", licence="l").card_
    assert (card.author, card.licence, card.note) == ("a", "l", "")


def test_an_update_keeps_the_words_but_not_the_score(quick, discs):
    image, labels = discs()
    score = HeldOutScore({1: 0.5}, 2, "volumes")
    model = quick(adapter="classification").fit(Template(image, labels))
    card = model.with_card(author="a", score=score).updated(Template(image, labels)).card_
    assert (card.author, card.score) == ("a", None)


def test_too_long_a_word(fitted):
    with pytest.raises(InputError, match="licence must have at most 2000 characters"):
        fitted.with_card(licence="x" * 2001)


def test_files_without_a_card_are_read(saved, tmp_path):

    tensors, metadata = parts(saved)
    content = json.loads(metadata["content"])
    del content["card"], metadata["content_digest"]
    save_file(tensors, tmp_path / "old", metadata=metadata | {"content": json.dumps(content)})
    assert FewShotSegmenter.load(tmp_path / "old", device="cpu").card_ == ModelCard()


def test_a_card_of_a_later_version_is_read(saved, tmp_path):
    content = {"card": {"author": "b", "funding": "later", "note": "a\x1b[2Jb"}}
    later = rewritten(saved, tmp_path / "later", content=content)
    card = FewShotSegmenter.load(later, device="cpu").card_
    assert (card.author, card.note) == ("b", "a [2Jb")  # nothing that steers a terminal


def test_a_damaged_card_is_refused(saved, tmp_path):
    bad = rewritten(saved, tmp_path / "bad", content={"card": {"slices": -1}})
    with pytest.raises(OSError, match=r"readable settings.*card\.slices"):
        FewShotSegmenter.load(bad, device="cpu")

"""Exports that cannot be are refused in a line, before the work."""

from __future__ import annotations

import sys

import pytest

from napari_fewshot import FewShotSegmenter, export_model
from napari_fewshot.errors import InputError, NotFittedError

from .conftest import fitted


def test_another_ending(model, tmp_path):
    with pytest.raises(InputError, match=r"--output must end in \.onnx, or in \.zip"):
        export_model(model, tmp_path / "torso.pt")


def test_a_library_that_is_not_there(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'napari-fewshot\[export\]'"):
        export_model(model, tmp_path / "torso.onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_fitted(tmp_path):
    with pytest.raises(NotFittedError):
        export_model(FewShotSegmenter(device="cpu"), tmp_path / "torso.onnx")


def test_a_model_that_resamples(tmp_path):
    model = fitted(resampling={"mode": "inplane", "spacing": 4.0})
    with pytest.raises(InputError, match=r"not resample its images.*resampling\.mode=inplane"):
        export_model(model, tmp_path / "torso.onnx")


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"licence": "MIT"}, "--author must be given"),
        ({"author": "A lab"}, "--licence must be given"),
        ({"author": "A lab", "licence": "of ours"}, "--licence must be a name of the SPDX list"),
    ],
)
def test_a_card_that_says_too_little(card, said, model, tmp_path):
    for library in ("onnx", "onnxscript", "onnxruntime", "bioimageio.spec"):
        pytest.importorskip(library)
    plain = model.with_card(**{"author": "", "licence": "", **card})
    with pytest.raises(InputError, match=said):
        export_model(plain, tmp_path / "torso.zip")
    assert not list(tmp_path.iterdir())

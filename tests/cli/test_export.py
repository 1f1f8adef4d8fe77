"""Models for other programs, written by the command."""

from __future__ import annotations

import sys

import pytest
import torch
from packaging.version import Version


@pytest.mark.slow
@pytest.mark.skipif(Version(torch.__version__) < Version("2.9"), reason="exporter of torch")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_onnx(run, model, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path / "joint.onnx"
    said = run("export", model, "-o", path, "--author", "A lab")
    assert said.code == 0, said.err
    first, agrees, *rest = said.out.splitlines()
    assert first == str(path)
    assert agrees.startswith("agrees      the same label in 100.00 % of the pixels")
    assert all(line.startswith("left out    ") for line in rest)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["author"] == "A lab"
    assert session.get_modelmeta().custom_metadata_map["axis"] == "2"  # sagittal


def test_what_cannot_be_is_said_in_a_line(run, model, tmp_path, monkeypatch):
    for arguments, message in (
        ((tmp_path / "none", "-o", tmp_path / "a.onnx"), "MODEL must be an existing file"),
        ((model, "-o", tmp_path / "a.pt"), "--output must end in .onnx, or in .zip"),
        ((model, "-o", model), "--output must not overwrite an input"),
    ):
        said = run("export", *arguments)
        assert said.code == 2
        assert said.err.count("\n") == 1
        assert message in said.err
    monkeypatch.setitem(sys.modules, "onnx", None)
    said = run("export", model, "-o", tmp_path / "a.onnx")
    assert said.code == 2
    assert "pip install 'napari-fewshot[export]'" in said.err
    assert not (tmp_path / "a.onnx").exists()

"""Names of labels beside label images."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_fewshot.io.volumes import read_names, write_names


def test_own_file_comes_before_the_common_one(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"1": "common", "0": "background"}')
    assert read_names(tmp_path / "a.nii.gz") == {1: "common"}
    (tmp_path / "a_labels.json").write_text('{"1": "own"}')
    assert read_names(tmp_path / "a.nii.gz") == {1: "own"}
    assert read_names(tmp_path / "a_labels.nii.gz") == {1: "own"}
    assert read_names(tmp_path / "b.nii.gz") == {1: "common"}


def test_no_file_no_names(tmp_path: Path) -> None:
    assert read_names(tmp_path / "a.tif") == {}


@pytest.mark.parametrize(
    "content", [b"", b"[1, 2]", b'{"one": "x"}', b'{"1": 2}', b'{"t1": {"1": "x"}}', b"\xff\xfe"]
)
def test_malformed_file_is_ignored_with_a_warning(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "labels.json").write_bytes(content)
    assert read_names(tmp_path / "a.tif") == {}
    assert "labels.json is ignored" in caplog.text


def test_written_names_return(tmp_path: Path) -> None:
    write_names(tmp_path / "x_labels.tif", {3: "Hüfte", 1: "b"})
    assert read_names(tmp_path / "x_labels.tif") == {3: "Hüfte", 1: "b"}

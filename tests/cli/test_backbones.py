"""The table of backbones."""

from __future__ import annotations

from napari_fewshot.backbones import list_backbones


def test_table(run, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path))
    said = run("backbones")
    assert said.code == 0
    rows = {line.split()[0]: line for line in said.out.splitlines() if line}
    for spec in list_backbones():
        assert spec.licence in rows[spec.name]
        assert spec.source in rows[spec.name]
        assert spec.summary in rows[spec.name]
    assert "built in" in rows["multiscale"]
    assert "not here" in rows["dinov2-g"]
    assert str(tmp_path) in said.out


def test_weights_in_the_folder_are_here(run, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path))
    (tmp_path / "dinov2_vitg14_pretrain.pth").touch()
    rows = {line.split()[0]: line for line in run("backbones").out.splitlines() if line}
    assert " here " in rows["dinov2-g"]
    assert "not here" not in rows["dinov2-g"]


def test_it_takes_no_arguments(run):
    said = run("backbones", "dinov2-s")
    assert said.code == 2
    assert said.err.count("\n") == 1

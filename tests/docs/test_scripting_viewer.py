"""The example of the page on scripting runs as it stands, in a real viewer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManager

from napari_fewshot import make_phantom, read_labels

pytestmark = pytest.mark.viewer

PAGE = Path("docs", "scripting-viewer.md")


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


@pytest.fixture
def viewer(make_napari_viewer, tmp_path, monkeypatch):
    """What ``napari.Viewer()`` gives in the examples; results are kept in a temporary folder."""
    import napari

    monkeypatch.setenv("NAPARI_FEWSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NAPARI_FEWSHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    PluginManager.instance().discover()
    made = make_napari_viewer()
    monkeypatch.setattr(napari, "Viewer", lambda: made)
    monkeypatch.setattr(napari, "run", lambda: None)
    return made


def dice(labels: np.ndarray, truth: np.ndarray) -> float:
    found, there = labels > 0, truth > 0
    return float(2 * (found & there & (labels == truth)).sum() / (found.sum() + there.sum()))


def test_example(repository, viewer, tmp_path):
    example, _, settings = blocks(repository / PAGE)
    names: dict[str, Any] = {}
    exec(compile(example, str(PAGE), "exec"), names)
    session, result, corrected = names["session"], names["result"], names["corrected"]
    assert result in viewer.layers
    truth = viewer.layers["torso truth"].data
    assert dice(result.data, truth) > 0.7
    statuses = {info.index: info.status for info in session.slices("torso")}
    painted = np.flatnonzero(viewer.layers["torso template"].data.any(axis=(1, 2)))
    assert {statuses.pop(int(k)) for k in painted} == {"painted"}
    assert statuses.pop(corrected) == "reviewed"
    assert set(statuses.values()) == {"predicted"}
    assert (result.data[corrected] == truth[corrected]).all()  # the update left it alone
    assert (tmp_path / "torso.fewshot").is_file()
    assert str(session.autosave_folder).startswith(str(tmp_path))

    exec(compile(settings, str(PAGE), "exec"), names)
    assert session.settings.adapter == "classification"
    assert session.settings.of_adapter.steps == 500
    assert not session.settings.position


def test_without_a_window(repository, tmp_path):
    """As a script of its own, in its own process."""
    _, script, _ = blocks(repository / PAGE)
    (tmp_path / "script.py").write_text(script, "utf-8")
    folders = {f"NAPARI_FEWSHOT_{name}": str(tmp_path / name) for name in ("DATA", "CACHE")}
    environment = os.environ | folders | {"NAPARI_CONFIG": str(tmp_path / "napari.yaml")}
    command = [sys.executable, "script.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = read_labels(tmp_path / "torso_labels.nii.gz")
    truth = make_phantom("torso").labels.data
    assert found.shape == truth.shape
    assert dice(found.data, truth) > 0.6
    assert (tmp_path / "torso.fewshot").is_file()


def test_names_of_the_page_exist(repository, viewer):
    """Methods, attributes and events that the text names."""
    from napari_fewshot import viewer_session

    text = (repository / PAGE).read_text("utf-8")
    session = viewer_session(viewer)
    (rows,) = re.findall(r"^\| event .*?\n\|---.*?\n((?:\|.*\n)+)", text, re.M)
    events = re.findall(r"^\| `(\w+)`", rows, re.M)
    assert set(events) == set(session.events.signals)
    for name in re.findall(r"\bsession\.(\w+)", text):
        assert hasattr(session, name), name

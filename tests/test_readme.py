"""The examples of the README run as they stand, on a phantom; the quick start has the same."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_fewshot.io import read_labels, write_image, write_labels
from napari_fewshot.phantoms import Phantom, make_phantom, painted_labels, template_slices


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


def commands(page: Path) -> list[str]:
    lines = "".join(blocks(page, "sh")).splitlines()
    return [line for line in lines if line.startswith("napari-fewshot ")]


def mean_dice(labels: np.ndarray, truth: np.ndarray) -> float:
    scores = []
    for value in np.unique(truth[truth > 0]):
        ours, true = labels == value, truth == value
        scores.append(2 * (ours & true).sum() / (ours.sum() + true.sum()))
    return float(np.mean(scores))


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom("torso", shape=(16, 48, 48))


@pytest.fixture
def folder(phantom: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder with the files that the examples name."""
    painted = painted_labels(phantom, template_slices(phantom, 3))
    write_image(tmp_path / "image.nii.gz", phantom.image.data, phantom.image)
    write_labels(tmp_path / "painted.nii.gz", painted.data, phantom.image)
    write_labels(tmp_path / "truth.nii.gz", phantom.labels.data, phantom.image)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_example(repository, folder, phantom):
    (example,) = blocks(repository / "README.md", "python")
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), names)
    pred = names["pred"]
    truth = phantom.labels.data
    assert pred.labels.shape == pred.confidence.shape == truth.shape
    assert set(np.unique(pred.labels)) <= set(np.unique(truth))
    assert mean_dice(pred.labels, truth) > 0.3
    assert pred.landmarks
    assert (folder / "model.fewshot").is_file()


def test_command_line_example(repository, folder, phantom):
    first, *lines = commands(repository / "README.md")
    assert first.startswith("napari-fewshot demo ")  # has tests of its own
    assert [shlex.split(line)[1] for line in lines] == ["train", "predict", "evaluate"]
    here = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([here, os.environ["PATH"]])}
    for line in lines:
        run = subprocess.run(
            shlex.split(line), env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, f"{line}\n{run.stdout}{run.stderr}"
    assert "dice" in run.stdout.lower()
    result = read_labels(folder / "results" / "image_labels.nii.gz")
    np.testing.assert_allclose(result.affine, phantom.image.affine, atol=1e-3)
    assert mean_dice(result.data, phantom.labels.data) > 0.3


def test_quick_start_shows_the_same_examples(repository):
    readme, page = repository / "README.md", repository / "docs" / "quickstart.md"
    (long,), (short,) = blocks(readme, "python"), blocks(page, "python")
    assert [line.partition("#")[0].rstrip() for line in long.splitlines()][:-1] == (
        short.splitlines()
    )
    assert commands(page)[1:] == commands(readme)[1:]  # the first one is the demo


def test_setting_up_takes_the_two_scripts(repository):
    (block,) = [b for b in blocks(repository / "README.md", "sh") if "./scripts/" in b]
    scripts = [line.split()[0] for line in block.splitlines()]
    assert scripts == ["./scripts/demo", "./scripts/test"]
    for script in scripts:
        assert os.access(repository / script, os.X_OK)


def test_links_of_the_readme_lead_somewhere_also_from_the_package_index(repository):
    text = (repository / "README.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert [link for link in links if "://" not in link] == []
    home = "https://github.com/napari-fewshot/napari-fewshot/blob/main/"
    targets = [link.removeprefix(home) for link in links if link.startswith(home)]
    assert len(targets) > 5
    assert [link for link in targets if not (repository / link).is_file()] == []


def test_the_picture_moves_and_is_small(repository):
    text = (repository / "README.md").read_text("utf-8")
    (path,) = re.findall(r"!\[[^\]]+\]\(https://github\.com/[^)]*/raw/main/([^)]+)\)", text)
    assert (repository / path).stat().st_size < 3e6
    with Image.open(repository / path) as picture:
        assert getattr(picture, "n_frames", 1) > 3

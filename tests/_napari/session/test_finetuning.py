"""The backbone learns from open images or a folder, beside other work, and is used at once."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_fewshot import InputError
from napari_fewshot.backbones import get_backbone
from napari_fewshot.finetuning.checkpoint import checkpoint_path
from napari_fewshot.finetuning.contrast import DenseContrast
from napari_fewshot.finetuning.probe import Judge
from napari_fewshot.finetuning.weights_file import read_story
from napari_fewshot.io import write_image

from .conftest import MINUTE

pytestmark = pytest.mark.viewer
QUICK = {
    "minutes": None,
    "steps": 2,
    "probe_every": 2,
    "warm_up": 1,
    "contrast": {"episodes": 2, "side": 32, "pixels": 32, "synthetic": 0},
}


@pytest.fixture(autouse=True)
def own_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path / "weights"))


@pytest.fixture
def rising(monkeypatch):
    """Whatever is learned is better."""
    scores = iter(np.linspace(0.5, 0.9, 50).tolist())
    monkeypatch.setattr(Judge, "judge", lambda self, *_: (next(scores), 10.0))


@pytest.fixture
def embedded(session):
    session.configure(
        backbone="embedded", adapter="classification",
        of_adapter={"hidden": 32, "steps": 80, "batch": 256},
    )  # fmt: skip
    return session


def test_better_weights_are_used_at_once(embedded, rising, tmp_path):
    drawn = []
    embedded.finetuning.drawn.connect(drawn.append)
    assert embedded.finetuning.probed == 3
    job = embedded.finetuning.start(**QUICK)
    assert job in embedded.jobs
    found = job.wait(MINUTE)
    path = tmp_path / "weights" / "embedded-own-1.safetensors"
    assert job.note == f"{found.verdict} ({path.name})"
    assert found.verdict.startswith("better than the start by 0.")
    assert embedded.settings.weights == path
    assert read_story(path).data["images"] == 1
    assert drawn[-1].shape[2] == 3
    model = embedded.train(score=False).wait(MINUTE)
    assert model.weights == path
    assert get_backbone("embedded", path).weights_hash != get_backbone("embedded").weights_hash
    assert embedded.propagate("image").wait(MINUTE)
    embedded.finetuning.start(**QUICK).wait(MINUTE)
    assert embedded.settings.weights.name == "embedded-own-2.safetensors"


def test_weights_that_nothing_judges_are_written_and_not_taken(embedded, rising, tmp_path):
    embedded.remove_template(embedded.templates[0])
    assert embedded.finetuning.probed == 0
    job = embedded.finetuning.start(["image"], **QUICK)
    job.wait(MINUTE)
    assert embedded.settings.weights is None
    assert job.note.endswith("Choose it as Weights to try it.")
    assert (tmp_path / "weights" / "embedded-own-1.safetensors").is_file()


def test_other_work_goes_on_meanwhile_and_stopped_it_keeps_the_best(
    embedded, rising, monkeypatch, qtbot
):
    step, begun, free = DenseContrast.step, threading.Event(), threading.Event()

    def waiting(self, number):
        if number == 2:
            begun.set()
            assert free.wait(MINUTE)
        return step(self, number)

    monkeypatch.setattr(DenseContrast, "step", waiting)
    job = embedded.finetuning.start(**{**QUICK, "steps": 10**6})
    qtbot.waitUntil(begun.is_set, timeout=1000 * MINUTE)
    with pytest.raises(InputError, match="one at a time"):
        embedded.finetuning.start(**QUICK)
    embedded.train(score=False).wait(MINUTE)
    assert job.state == "running"
    embedded.cancel()
    free.set()
    found = job.wait(MINUTE)
    assert (job.state, found.ended, found.story.steps) == ("done", "stopped", 2)
    assert checkpoint_path(embedded.settings.weights).is_file()


def test_a_folder_is_learned_from(embedded, rising, patient, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(2):
        write_image(folder / f"scan{number}.nii.gz", patient[0].image.data, patient[0].image)
    (folder / "broken.nii.gz").write_bytes(b"nothing")
    found = embedded.finetuning.start(folder=folder, **QUICK).wait(MINUTE)
    assert (found.summary.images, found.summary.left_out) == (2, 1)


def test_what_is_wrong_is_said_in_a_line(embedded, viewer, tmp_path):
    tuning = embedded.finetuning
    with pytest.raises(InputError, match="folder"):
        tuning.start(folder=tmp_path / "none", **QUICK)
    viewer.layers.clear()
    with pytest.raises(InputError, match=r"images must be open; got none"):
        tuning.start(**QUICK)
    viewer.add_image(np.zeros((4, 40, 40)), name="flat")
    job = tuning.start(**QUICK)
    with pytest.raises(InputError, match="it is constant"):
        job.wait(MINUTE)
    assert "\n" not in job.problem
    embedded.configure(backbone="multiscale")
    assert "nothing to learn" in tuning.problem


def test_a_closed_session_stops_it(embedded, rising):
    job = embedded.finetuning.start(**{**QUICK, "steps": 10**6})
    embedded.close()
    assert job.is_over

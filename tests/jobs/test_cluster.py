"""A real scheduler and real workers on this machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace

import pytest

pytest.importorskip("distributed")

from napari_fewshot.errors import InputError, SchedulerError
from napari_fewshot.jobs import PredictOptions, predict_many, read_table
from napari_fewshot.jobs.scheduler import dashboard_of, open_client, resources_for
from napari_fewshot.jobs.table import TABLE

from .conftest import SHAPE, written

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ALL = PredictOptions(confidence=True, landmarks=True)
IN_RUNS = replace(ALL, block_voxels=5 * SHAPE[1] * SHAPE[2])


@pytest.fixture(scope="module")
def client():
    with open_client("local", 2, "cpu") as client:
        yield client


@pytest.fixture(scope="module")
def alone(joint, tmp_path_factory):
    """Results of this process."""
    model, images = joint
    folder = tmp_path_factory.mktemp("alone")
    predict_many(model, images, folder, ALL)
    return written(folder)


def test_workers_listen_on_loopback_only(client):
    info = client.scheduler_info()
    addresses = [info["address"], *info["workers"], *(w["nanny"] for w in info["workers"].values())]
    assert len(info["workers"]) == 2
    assert all("://127.0.0.1:" in address for address in addresses)
    assert "127.0.0.1" in (dashboard_of(client) or "127.0.0.1")


@pytest.mark.parametrize("options", [ALL, IN_RUNS], ids=["images", "runs of slices"])
def test_results_are_those_of_one_process(client, joint, alone, tmp_path, options):
    model, images = joint
    calls = []
    found = predict_many(
        model, images, tmp_path, options, client=client, progress=lambda *call: calls.append(call)
    )
    assert [(one.image, one.status) for one in found] == [(image, "done") for image in images]
    assert calls == [(n, 4, "images") for n in (1, 2, 3, 4)]
    assert written(tmp_path) == alone
    again = predict_many(model, images, tmp_path, options, client=client)
    assert {one.status for one in again} == {"skipped"}


def test_a_region_in_runs_of_slices(client, joint, tmp_path):
    model, images = joint
    region = ((3, 14), (0, 40), None)
    for name, options, cluster in (("here", ALL, None), ("there", IN_RUNS, client)):
        options = replace(options, region=region, block_voxels=options.block_voxels // 2)
        found = predict_many(model, images[:2], tmp_path / name, options, client=cluster)
        assert [(one.status, one.slices) for one in found] == [("done", 11)] * 2
    assert written(tmp_path / "here") == written(tmp_path / "there")


def test_a_bad_image_is_told_and_the_others_are_done(client, joint, tmp_path):
    model, images = joint
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(images[0].read_bytes()[:500])
    first, second = predict_many(model, [bad, images[1]], tmp_path / "out", client=client)
    assert (first.status, second.status) == ("failed", "done")
    assert "must be a whole NIfTI file" in first.error


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("options", [ALL, IN_RUNS], ids=["images", "runs of slices"])
def test_a_killed_worker_loses_nothing(joint, alone, tmp_path, options):
    model, images = joint
    with open_client("local", 2, "cpu") as client:
        victim = next(iter(client.run(os.getpid).values()))
        killed = threading.Event()

        def kill():
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not list(tmp_path.glob("p*_labels.nii.gz")):
                time.sleep(0.02)  # until the first image is done
            os.kill(victim, signal.SIGKILL)
            killed.set()

        thread = threading.Thread(target=kill)
        thread.start()
        found = predict_many(model, images, tmp_path, options, client=client)
        thread.join()
    assert killed.is_set()
    assert [one.status for one in found] == ["done"] * 4
    assert written(tmp_path) == alone
    assert len(read_table(tmp_path / TABLE)) == 4
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_what_cannot_be_is_said(client):
    with (
        pytest.raises(InputError, match="scheduler must be local, or the address of one"),
        open_client("nonsense"),
    ):
        pass
    with pytest.raises(InputError, match="workers must be at least 1"), open_client("local", 0):
        pass
    with (
        pytest.raises(InputError, match="device must have no number"),
        open_client("local", 1, "cuda:1"),
    ):
        pass
    with pytest.raises(SchedulerError, match="workers must offer a GPU"):
        resources_for(client, "cuda")
    assert resources_for(client, "cpu") == {}

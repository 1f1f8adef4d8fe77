"""What is done on each of some items on a cluster."""

from __future__ import annotations

import os
import signal

import pytest

pytest.importorskip("distributed")

from napari_fewshot.errors import InputError, SchedulerError
from napari_fewshot.jobs.scheduler import open_client
from napari_fewshot.jobs.tasks import check_version, each

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_each_item_once_though_workers_die(tmp_path):
    seen = tmp_path / "seen"

    def work(item):
        import time

        if item == 3 and not seen.exists():
            seen.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if item == 7:
            raise ValueError("bad")
        time.sleep(0.01)
        return 10 * item

    calls = []
    with open_client("local", 2, "cpu") as client:
        found = list(each(client, work, range(10), lambda *call: calls.append(call)))
    assert sorted(item for item, _ in found) == list(range(10))
    outcomes = dict(found)
    assert isinstance(outcomes.pop(7), ValueError)
    assert outcomes == {item: 10 * item for item in outcomes}
    assert calls == [(n, 10, "images") for n in range(1, 11)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_what_no_worker_survives_is_told():
    def work(item):
        os.kill(os.getpid(), signal.SIGKILL)

    with open_client("local", 1, "cpu") as client:
        ((item, outcome),) = each(client, work, ["a.png"])
    assert item == "a.png"
    assert isinstance(outcome, InputError)
    assert "a.png must be an image that a worker survives" in str(outcome)


def test_workers_of_another_version_are_refused():
    with pytest.raises(SchedulerError, match="workers must have napari-fewshot 0.0, as this"):
        check_version("0.0")

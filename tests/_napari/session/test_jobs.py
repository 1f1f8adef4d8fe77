"""Jobs: one after the other, cancelled within a batch, errors told, nothing left behind."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from contextlib import suppress

import pytest

from napari_fewshot.errors import Cancelled, FewShotError, InputError

pytestmark = pytest.mark.viewer
MINUTE = 60


@pytest.fixture
def runner(qapp):
    from napari_fewshot._napari.session.jobs import JobRunner

    seen = []
    runner = JobRunner(lambda job: seen.append((job.name, job.state)), lambda job: None)
    runner.seen = seen
    yield runner
    runner.close()


def make(name="job", work=lambda job: 1, **options):
    from napari_fewshot._napari.session.jobs import Callbacks, Job

    return Job(name, options.pop("stage", "train"), work, Callbacks(**options))


def test_work_is_done_elsewhere_and_told_here(runner):
    here = threading.get_ident()
    threads = []

    def work(job):
        threads.append(threading.get_ident())
        job.send("a")
        job.send("b")
        return 7

    pieces, ends = [], []
    job = make(
        work=work,
        piece=lambda p: pieces.append((p, threading.get_ident())),
        done=lambda r: ends.append((r, threading.get_ident())),
    )
    assert runner.start(job).wait(MINUTE) == 7
    assert threads[0] != here
    assert pieces == [("a", here), ("b", here)]
    assert ends == [(7, here)]
    assert runner.seen == [("job", "waiting"), ("job", "running"), ("job", "done")]
    assert not runner.jobs


def test_one_runs_at_a_time_in_turn(runner):
    running = []

    def work(job):
        running.append(job.name)
        assert len(running) == 1
        time.sleep(0.02)
        running.clear()

    jobs = [runner.start(make(f"{k}", work)) for k in range(4)]
    assert [job.state for job in jobs] == ["running", "waiting", "waiting", "waiting"]
    jobs[-1].wait(MINUTE)
    assert [name for name, state in runner.seen if state == "done"] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA out of memory"), InputError("x", "be y", 1), MemoryError()]
)
def test_an_error_is_told_and_the_next_job_runs(runner, error):
    def work(job):
        raise error

    job, after = runner.start(make("bad", work)), runner.start(make("good"))
    with pytest.raises(type(error)):
        job.wait(MINUTE)
    assert (job.state, job.error) == ("failed", error)
    assert after.wait(MINUTE) == 1


def test_an_error_in_a_callback_fails_the_job_only(runner):
    def piece(value):
        raise ValueError("shape changed")

    def work(job):
        for k in range(1000):
            job.send(k)
            time.sleep(0.001)

    job = runner.start(make("bad", work, piece=piece))
    with pytest.raises(ValueError, match="shape changed"):
        job.wait(MINUTE)
    assert job.state == "failed"
    assert runner.start(make()).wait(MINUTE) == 1


def test_cancel_while_running_and_waiting(runner):
    started = threading.Event()
    ended, steps = [], []

    def work(job):
        for done in range(10_000):
            started.set()
            steps.append(done)
            job.progress(done, 10_000, "steps")
            time.sleep(0.001)

    first = runner.start(make("first", work, end=lambda: ended.append("first")))
    second = runner.start(make("second", work, end=lambda: ended.append("second")))
    third = runner.start(make("third"))
    assert started.wait(MINUTE)
    second.cancel()
    first.cancel()
    assert first.wait(MINUTE) is None
    assert steps[-1] < 9_999  # it did not run to its end
    assert third.wait(MINUTE) == 1
    assert (first.state, second.state) == ("cancelled", "cancelled")
    assert sorted(ended) == ["first", "second"]


def test_what_fails_because_it_was_cancelled_is_no_failure(runner):
    started, gate = threading.Event(), threading.Event()

    def work(job):
        started.set()
        gate.wait(MINUTE)
        raise AttributeError("the layer is gone")

    job = runner.start(make(work=work))
    assert started.wait(MINUTE)
    job.cancel()
    gate.set()
    assert job.wait(MINUTE) is None
    assert (job.state, job.error) == ("cancelled", None)


def test_what_fails_before_it_is_cancelled_is_told(runner):
    def work(job):
        raise ValueError("no disk")

    job = runner.start(make(work=work))
    runner._thread.join(5)
    job.cancel()
    with pytest.raises(ValueError, match="no disk"):
        job.wait(MINUTE)
    assert job.state == "failed"


def test_a_job_begins_on_the_gui_thread_when_its_turn_comes(runner):
    seen = []

    def begin():
        seen.append(("begin", threading.get_ident()))

    def wrong():
        raise ValueError("no such layer")

    first = runner.start(make("first", lambda job: seen.append(("first", 0))))
    second = runner.start(make("second", lambda job: seen.append(("second", 0)), start=begin))
    bad = runner.start(make("bad", lambda job: seen.append(("bad", 0)), start=wrong))
    with pytest.raises(ValueError, match="no such layer"):
        bad.wait(MINUTE)
    assert seen == [("first", 0), ("begin", threading.get_ident()), ("second", 0)]
    assert (first.state, second.state, bad.state) == ("done", "done", "failed")


def test_pieces_and_result_of_a_cancelled_job_are_dropped(runner):
    handed, pieces = threading.Event(), []

    def work(job):
        for k in range(5):
            job.send(k)
        handed.set()
        return "outdated"

    done = []
    job = runner.start(make(work=work, piece=pieces.append, done=done.append))
    assert handed.wait(MINUTE)
    job.cancel()
    assert job.wait(MINUTE) is None
    assert (job.state, pieces, done) == ("cancelled", [], [])


def test_progress_gives_share_rate_and_remaining_time(runner):
    seen = []

    def work(job):
        for done in range(1, 11):
            job.progress(done, 10, "slices")
            time.sleep(0.01)
            seen.append((job.fraction, job.rate, job.remaining))

    runner.start(make(work=work)).wait(MINUTE)
    assert [share for share, _, _ in seen] == [k / 10 for k in range(1, 11)]
    assert 0 < seen[-1][1] < 110  # at most one in 10 ms
    assert seen[-1][2] == 0
    assert seen[5][2] == pytest.approx(4 / seen[5][1])


def test_a_score_makes_way(runner):
    def slow(job):
        for done in range(10_000):
            job.progress(done, 10_000, "held-out score")
            time.sleep(0.001)

    score = runner.start(make("score", slow, stage="score"))
    assert runner.start(make("train", stage="train")).wait(MINUTE) == 1
    assert score.state == "cancelled"


def test_what_keeps_its_result_when_it_makes_way(runner):
    from napari_fewshot._napari.session.jobs import Callbacks, Job

    taken = []

    def slow(job):
        with suppress(Cancelled):
            for done in range(10_000):
                job.progress(done, 10_000, "polishing")
                time.sleep(0.001)
        return "so far"

    callbacks = Callbacks(done=taken.append)
    job = runner.start(Job("polish", "polish", slow, callbacks, keeps_result=True))
    assert runner.start(make("train", stage="train")).wait(MINUTE) == 1
    assert (job.state, job.result, taken) == ("done", "so far", ["so far"])


def test_closing_ends_the_thread_and_later_jobs_are_refused(qapp):
    from napari_fewshot._napari.session.jobs import JobRunner

    runner = JobRunner(lambda job: None, lambda job: None)

    def work(job):
        while True:
            job.check()
            time.sleep(0.001)

    job, waiting = runner.start(make(work=work)), runner.start(make())
    thread = runner._thread
    runner.close()
    assert not thread.is_alive()
    assert {job.state, waiting.state} == {"cancelled"}
    assert runner.start(make()).state == "cancelled"


def test_waiting_too_long(runner):
    gate = threading.Event()
    job = runner.start(make(work=lambda job: gate.wait(MINUTE)))
    with pytest.raises(TimeoutError, match=r"job has not ended within 0\.05 s"):
        job.wait(0.05)
    gate.set()
    job.wait(MINUTE)


# In a viewer


def long_run(session):
    """A propagation that takes long enough to be disturbed."""
    real = session.model.extractor.maps

    def slow(source, indices, progress=lambda *_: None, **options):
        for item in real(source, indices, progress, **options):
            time.sleep(0.1)
            yield item

    session.model.extractor.maps = slow
    return session.propagate("image")


def until(qtbot, check, seconds=20):
    qtbot.waitUntil(check, timeout=1000 * seconds)


def test_cancelling_a_propagation_keeps_what_is_there(trained, viewer, qtbot):
    job = long_run(trained)
    until(qtbot, lambda: any(s.status == "predicted" for s in trained.slices("image")))
    trained.cancel()
    assert job.wait(MINUTE) is None
    assert job.state == "cancelled"
    layer = trained.result_layer("image")
    assert layer.data.any()
    assert any(s.status == "empty" for s in trained.slices("image"))
    layer.undo()  # the part that was written is one step
    painted = viewer.layers["paint"].data
    assert not layer.data[~painted.any(axis=(1, 2))].any()


def test_deleting_the_layer_that_is_written_to(trained, viewer, qtbot):
    job = long_run(trained)
    until(qtbot, lambda: trained.result_layer("image") is not None)
    viewer.layers.remove(trained.result_layer("image"))
    job.wait(MINUTE)
    assert job.state == "cancelled"
    assert trained.result_layer("image") is None
    assert {s.status for s in trained.slices("image")} == {"painted", "empty"}
    again = trained.propagate("image")
    again.wait(MINUTE)
    assert again.state == "done"


def test_deleting_the_image_while_it_is_labelled(trained, viewer, qtbot):
    job = long_run(trained)
    until(qtbot, lambda: trained.result_layer("image") is not None)
    viewer.layers.remove("image")
    job.wait(MINUTE)
    assert job.state == "cancelled"
    assert not trained.templates


def test_replacing_the_array_of_the_layer_fails_with_the_reason(trained, viewer, qtbot):
    import numpy as np

    job = long_run(trained)
    until(qtbot, lambda: trained.result_layer("image") is not None)
    layer = trained.result_layer("image")
    layer.data = np.zeros((4, 5, 6), np.uint8)
    with pytest.raises(InputError, match="keep its shape"):
        job.wait(MINUTE)
    assert job.state == "failed"
    assert trained.train(score=False).wait(MINUTE) is not None


def test_closing_the_viewer_while_a_job_runs(trained, viewer, qtbot):
    job = long_run(trained)
    until(qtbot, lambda: job.fraction > 0)
    viewer.close()
    assert job.state == "cancelled"
    assert not [t for t in threading.enumerate() if t.name.startswith("napari-fewshot ")]


def test_dims_may_change_while_a_job_runs(trained, viewer, qtbot):
    job = long_run(trained)
    for ndisplay, order in ((3, (0, 1, 2)), (2, (1, 0, 2)), (2, (2, 1, 0)), (2, (0, 1, 2))):
        viewer.dims.ndisplay = ndisplay
        viewer.dims.order = order
        viewer.dims.set_current_step(order[0], 5)
        qtbot.wait(50)
    job.wait(MINUTE)
    assert job.state == "done"


def test_a_second_request_makes_the_first_outdated(trained, viewer, qtbot):
    first = long_run(trained)
    until(qtbot, lambda: trained.result_layer("image") is not None)
    layer = trained.result_layer("image")
    second = trained.propagate("image", into=layer, policy="overwrite")
    second.wait(MINUTE)
    assert (first.state, second.state) == ("cancelled", "done")
    assert trained.result_layer("image") is layer
    assert "empty" not in {s.status for s in trained.slices("image")}


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), FewShotError("no disk")])
def test_a_failure_inside_a_job_is_told_and_the_session_goes_on(trained, error, qtbot):
    from napari.utils.notifications import notification_manager

    texts = []
    trained.events.failed.connect(texts.append)

    def fail(*_, **__):
        raise error

    real, trained.model.extractor.maps = trained.model.extractor.maps, fail
    notification_manager.records.clear()
    job = trained.propagate("image")
    with pytest.raises(type(error)):
        job.wait(MINUTE)
    assert texts == [f"Propagating to image failed: {error}"]
    assert str(error) in notification_manager.records[-1].message
    trained.model.extractor.maps = real
    trained.propagate("image").wait(MINUTE)


def test_bars_of_the_activity_dock_come_and_go(trained, qtbot):
    from napari.utils import progress

    job = long_run(trained)
    until(qtbot, lambda: len(progress._all_instances) > 0)
    bar = next(iter(progress._all_instances))
    until(qtbot, lambda: bar.n > 2)
    assert 20 <= bar.total <= 30  # neighbours for the smoothing at the turn count too
    job.wait(MINUTE)
    assert not progress._all_instances


def test_a_session_lives_as_long_as_its_viewer(qapp):
    from napari.components import ViewerModel

    from napari_fewshot import viewer_session
    from napari_fewshot._napari import session as module

    viewer = ViewerModel()
    found = weakref.ref(viewer_session(viewer))
    assert viewer_session(viewer) is found()
    key = id(viewer)
    del viewer
    gc.collect()
    assert key not in module._SESSIONS
    assert found() is None


def test_raising_cancelled_is_no_failure(runner):
    def work(job):
        raise Cancelled("enough")

    job = runner.start(make(work=work))
    assert job.wait(MINUTE) is None
    assert job.state == "cancelled"

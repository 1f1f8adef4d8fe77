import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_fewshot.bench.estimate import format_plan
from napari_fewshot.bench.execute import method_context
from napari_fewshot.bench.methods.fewshot import FewShotMethod
from napari_fewshot.bench.plan import Fit, select_cases
from napari_fewshot.bench.runner import open_benchmark
from napari_fewshot.errors import Cancelled, InputError
from napari_fewshot.io.temporaries import temporary_for

from .conftest import ACROSS, LANDMARKS, METHODS, WITHIN

UNET = """
[[methods]]
name = "U-Net"
method = "unet"
"""

TIMES = {
    "machine",
    "fit_seconds",
    "predict_seconds",
    "memory_mb",
    "device_memory_mb",
    "first",
    "trace",
}


def contents(folder: Path) -> dict[str, dict]:
    """Records of all units, without what a clock says."""
    found = {}
    for path in sorted((folder / "units").glob("*.json")):
        record = json.loads(path.read_text("utf-8"))
        found[path.name] = {name: v for name, v in record.items() if name not in TIMES}
    return found


def roughly(found):
    """Leave open what a pixel on the edge of a label changes: what is in a batch decides it."""
    if isinstance(found, dict):
        return {name: roughly(value) for name, value in found.items()}
    if isinstance(found, list):
        return [roughly(value) for value in found]
    return found if found is None or isinstance(found, str) else pytest.approx(found, rel=0.02)


def run(config, folder, **options):
    benchmark = open_benchmark(config, folder)
    seen = []
    benchmark.run(lambda unit, record: seen.append((unit, record)), own_processes=False, **options)
    return benchmark, seen


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def test_within_volumes(config_of, tmp_path):
    benchmark, seen = run(config_of(WITHIN), tmp_path / "out")
    assert len(seen) == 2 * 2 * 2 * 2  # methods, cases, shots, seeds
    assert not benchmark.failures()
    assert not benchmark.pending()
    for unit, record in seen:
        assert [row["name"] for row in record.rows] == ["ball", "core"]
        (painted,) = record.painted.values()
        assert len(painted) == unit.shot
        assert record.slices == 10
    best = [r.rows[0]["dice"] for u, r in seen if u.shot == 3 and u.method == "random forest"]
    for _, record in seen:
        assert {row["rand_index"] for row in record.rows} == {record.rows[0]["rand_index"]}
        assert 0.5 < record.rows[0]["rand_index"] <= 1
    assert min(best) > 0.8


def test_what_was_killed_goes_on_and_ends_the_same(config_of, tmp_path):
    config = config_of(WITHIN)
    run(config, tmp_path / "whole")
    benchmark = open_benchmark(config, tmp_path / "killed")
    count = 0

    def kill(unit, record):
        nonlocal count
        count += 1
        if count == 5:
            raise Killed

    with pytest.raises(Killed):
        benchmark.run(kill, own_processes=False)
    assert 0 < len(contents(tmp_path / "killed")) < len(contents(tmp_path / "whole"))
    _, seen = run(config, tmp_path / "killed")
    assert len(seen) == 16 - 5
    assert contents(tmp_path / "killed") == roughly(contents(tmp_path / "whole"))


def test_a_changed_configuration_makes_what_it_concerns_again(config_of, tmp_path):
    run(config_of(WITHIN), tmp_path)
    more = config_of(WITHIN.replace("shots = [1, 3]", "shots = [1, 3, 4]"))
    assert {fit.shot for fit in open_benchmark(more, tmp_path).pending()} == {4}
    other = config_of(WITHIN, METHODS.replace("trees = 5", "trees = 6"))
    assert {fit.method.name for fit in open_benchmark(other, tmp_path).pending()} == {
        "random forest"
    }
    renamed = config_of(WITHIN, METHODS.replace('"random forest"', '"trees"'))
    assert not open_benchmark(renamed, tmp_path).pending()
    axis = config_of(WITHIN.replace("[dataset]", "[dataset]\naxis = 2"))
    assert len(open_benchmark(axis, tmp_path).pending()) == 16


def test_a_copy_of_the_data_is_the_same_data_and_other_content_is_not(config_of, tmp_path):
    config = config_of(ACROSS)
    run(config, tmp_path)
    files = [
        path for case in open_benchmark(config, tmp_path).selection.pool for path in case.files
    ]
    for path in files:
        os.utime(path, (1, 1))  # as in a copy
    assert not open_benchmark(config, tmp_path).pending()
    image = nibabel.load(files[0])
    data = np.asarray(image.dataobj).copy()
    data[0, 0, 0] += 1
    nibabel.save(nibabel.Nifti1Image(data, image.affine), files[0])
    assert len(open_benchmark(config, tmp_path).pending()) == len(METHODS.split("[[")) - 1


def test_across_cases(config_of, tmp_path):
    benchmark, seen = run(config_of(ACROSS), tmp_path)
    assert [unit.case for unit, _ in seen] == ["b1", "b1"]
    assert not benchmark.failures()
    assert list(seen[0][1].painted) == ["a1"]


def test_all_slices_of_a_volume_are_predicted_by_folds(config_of, tmp_path):
    text = WITHIN.replace("shots = [1, 3]", 'shots = ["all"]').replace('"a*"', '"a1"')
    _, seen = run(config_of(text.replace("seeds = [0, 1]", "seeds = [0]")), tmp_path)
    whole = sum(row["truth_voxels"] for row in seen[0][1].rows)
    assert not seen[0][1].error
    assert whole > 0
    assert seen[0][1].rows[0]["dice"] > 0.8


def test_landmarks(config_of, tmp_path):
    benchmark, seen = run(config_of(LANDMARKS), tmp_path)
    assert not benchmark.failures(), benchmark.failures()[0][1].trace
    assert len(seen) == 4
    for _, record in seen:
        assert [row["name"] for row in record.rows] == ["middle", "edge"]
    middle = [record.rows[0] for unit, record in seen if unit.method == "classification"]
    assert all(row["error_mm"] is None or row["error_mm"] >= 0 for row in middle)


BROKEN = """
[[methods]]
name = "broken"
method = "fewshot"
settings = { backbone = "dinov2-s", weights = "nowhere.pth" }
"""


def test_a_method_that_fails_is_recorded_and_the_rest_goes_on(config_of, tmp_path):
    benchmark, seen = run(config_of(ACROSS, BROKEN + METHODS), tmp_path)
    assert len(seen) == 3
    ((unit, record),) = benchmark.failures()
    assert unit.method == "broken"
    assert "nowhere.pth" in record.error
    assert [fit.method.name for fit in benchmark.pending()] == ["broken"]  # tried again


def test_a_module_that_is_missing_is_said(config_of, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "monai", None)
    monkeypatch.setattr("napari_fewshot.bench.checking.find_spec", lambda name: None)
    benchmark, _ = run(config_of(ACROSS, METHODS + UNET), tmp_path)
    ((unit, record),) = benchmark.failures()
    assert unit.method == "U-Net"
    assert "needs monai" in record.error


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("trees = 5", "tree = 5", "methods[1] (random forest): settings"),
        ('"forest"', '"forrest"', "Did you mean forest"),
        ("steps = 20", "steps = 0", "methods[2] (classification): settings.classification.steps"),
        ('"multiscale"', '"multscale"', "methods[2]"),
        ('backbone = "multi', 'binry = true\nbackbone = "multi', "Did you mean binary"),
        ('backbone = "multi', 'binry = true\nbackbone = "multi', "sam_weights"),
        (
            'method = "forest"',
            'method = "forest"\nshots = [3]',
            "(random forest): shots must be at",
        ),
    ],
)
def test_wrong_settings_are_said_before_the_start(config_of, tmp_path, old, new, words):
    with pytest.raises(InputError) as caught:
        open_benchmark(config_of(ACROSS, METHODS.replace(old, new)), tmp_path / "out")
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_shots_are_held_against_the_pool(config_of, tmp_path):
    text = ACROSS.replace("shots = [1]", 'shots = [1, 2, "all"]')
    open_benchmark(config_of(text), tmp_path)
    with pytest.raises(InputError, match="^shots must be at most the 2 cases of the pool; got 3"):
        open_benchmark(config_of(text.replace("[1, 2", "[1, 3")), tmp_path)


def test_a_plan_without_results_reads_no_file(config_of, tmp_path, monkeypatch):
    config = config_of(ACROSS)
    whole = open_benchmark(config, tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", lambda *_: pytest.fail("read"))
        dry = open_benchmark(config, tmp_path / "out", dry_run=True)
    assert len(dry.units) == len(whole.units)
    ticks = []
    open_benchmark(config, tmp_path / "out", lambda *tick: ticks.append(tick))
    assert [done for done, _, _ in ticks] == list(range(1, 7))  # two files of three cases
    run(config, tmp_path / "out")
    again = open_benchmark(config, tmp_path / "out", dry_run=True)
    assert not again.pending()


def test_the_plan_is_told_and_nothing_written(config_of, tmp_path):
    config = config_of(WITHIN)
    text = format_plan(open_benchmark(config, tmp_path / "out"))
    assert "16 fits and 16 predictions" in text
    assert "(rough)" in text
    assert not (tmp_path / "out").exists()
    run(config, tmp_path / "out")
    text = format_plan(open_benchmark(config, tmp_path / "out"))
    assert "0 fits and 0 predictions, about 0 s" in text


@pytest.mark.slow
def test_each_method_in_a_process_of_its_own(config_of, tmp_path):
    inside, _ = run(config_of(ACROSS), tmp_path / "inside")
    benchmark = open_benchmark(config_of(ACROSS), tmp_path / "processes")
    ticks = []
    benchmark.run(progress=lambda *tick: ticks.append(tick))
    assert not benchmark.failures()
    assert contents(tmp_path / "processes") == roughly(contents(tmp_path / "inside"))
    for _, record in benchmark.records.all(benchmark.units):
        assert record.memory_mb is None or record.memory_mb > 50
    assert ticks
    assert inside.records.read(inside.units[0]).memory_mb is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills with a signal")
def test_a_process_that_dies_fails_its_fit_and_the_rest_goes_on(config_of, tmp_path):
    benchmark = open_benchmark(config_of(WITHIN.replace("[1, 3]", "[1]")), tmp_path)
    killed, seen = [], []

    def kill(done, total, what):
        if not killed:
            (process,) = multiprocessing.active_children()
            killed.append(process.pid)
            process.kill()

    benchmark.run(lambda unit, _: seen.append(unit), kill, only=["classification"])
    ((unit, record),) = benchmark.failures()
    assert record.error.startswith("its process died: ended by signal 9 (as when memory runs out)")
    assert [one for one in seen if one.key == unit.key] == [unit]
    assert len(seen) == 2 * 2  # cases, seeds
    benchmark.run(only=["classification"])
    assert not benchmark.failures()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills with a signal")
def test_a_log_that_a_killed_benchmark_left_empty_goes_with_the_next_run(config_of, tmp_path):
    """Its processes may be alive; there may be nothing left to do but the report."""
    benchmark, _ = run(config_of(WITHIN.replace("[1, 3]", "[1]")), tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    logs = tmp_path / "logs"
    logs.mkdir()
    own = temporary_for(logs / "ours.log")
    left = own.with_name(own.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-"))
    left.touch()
    own.touch()
    benchmark.run()
    assert list(logs.iterdir()) == [own]


@pytest.mark.slow
def test_what_is_raised_in_between_ends_the_process(config_of, tmp_path):
    benchmark = open_benchmark(config_of(ACROSS), tmp_path)

    def cancel(done, total, what):
        raise Cancelled

    with pytest.raises(Cancelled):
        benchmark.run(progress=cancel)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("scored", [False, True])
def test_cases_that_taught_are_scored_and_marked(config_of, tmp_path, scored):
    text = ACROSS.replace("test = 1", 'test = "all"').replace('"cases"', '"even"')
    if scored:
        text = text.replace("[templates]", "[templates]\nscored = true")
    _, seen = run(config_of(text, METHODS[: METHODS.index("[[methods]]", 5)]), tmp_path)
    assert [unit.case for unit, _ in seen] == ["a1", "a2", "b1", "b2"]
    (painted,) = {tuple(record.painted) for _, record in seen}
    for unit, record in seen:
        assert {row["taught"] for row in record.rows} == {unit.case in painted}
        slices = 10 - (unit.case in painted and not scored)
        true = nibabel.load(select_cases_of(config_of(text), unit.case)).get_fdata()
        whole = int((true == 1).sum())
        assert (record.rows[0]["truth_voxels"] == whole) is (slices == 10)


def select_cases_of(config, name):
    return next(c.files[-1] for c in select_cases(config).scored if c.name == name)


def test_landmarks_on_slices_that_taught_are_left_out(config_of, tmp_path):
    text = LANDMARKS.replace("train = 2", 'train = 2\ntest = "all"')
    method = METHODS[METHODS.rindex("[[methods]]") :]
    _, seen = run(config_of(text, method), tmp_path / "out")
    rows = {unit.case: record.rows for unit, record in seen}
    assert not rows["a1"]  # whole cases teach: no landmark is left
    assert not rows["a2"]
    assert len(rows["b1"]) == len(rows["b2"]) == 2
    again = text.replace("[templates]", "[templates]\nscored = true")
    _, seen = run(config_of(again, method), tmp_path / "again")
    assert [len(record.rows) for _, record in seen] == [2, 2, 2, 2]


def test_two_landmarks_of_one_name_are_both_looked_for(config_of, tmp_path):
    join = '[labels]\njoin = { both = ["middle", "edge"] }\n[landmarks]\nper_label = 2'
    config = config_of(LANDMARKS.replace("[landmarks]", join))
    _, seen = run(config, tmp_path)
    for _, record in seen:
        assert not record.error, record.trace
        assert [row["name"] for row in record.rows] == ["both", "both"]
    context = method_context(config, Fit(config.methods[1], 1, 0, ()), tmp_path)
    for given, expected in ({}, 2), ({"landmarks": {"per_label": 5}}, 5):
        settings = {**config.methods[1].settings, "propagation": given}
        model = FewShotMethod(settings, context)._unfitted()
        assert model.config.propagation.landmarks.per_label == expected

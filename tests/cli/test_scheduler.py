"""``--scheduler`` of commands: the same results, and mistakes in one line."""

from __future__ import annotations

import shutil

import pytest

from .test_benchmark import CONFIG, folder  # noqa: F401 - a fixture

pytest.importorskip("distributed")

LOCAL = ("--scheduler", "local", "--workers", 2)
QUIET = pytest.mark.filterwarnings("ignore")


def scores_of(place):
    """Rows of all scores."""
    return (place / "results.csv").read_bytes()


@pytest.mark.slow
@QUIET
def test_evaluate_on_workers(run, patients, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, source in ("a", patients[0].truth), ("b", patients[1].truth):
        for place in ("pred", "truth"):
            (tmp_path / place).mkdir(exist_ok=True)
            shutil.copy(source, tmp_path / place / f"{name}_labels.nii.gz")
    shutil.copy(patients[1].truth, tmp_path / "pred" / "a_labels.nii.gz")
    shutil.copy(patients[1].truth, tmp_path / "truth" / "bad.nii.gz")
    (tmp_path / "pred" / "bad.nii.gz").write_bytes(patients[1].truth.read_bytes()[:300])
    files = ("--pred", "pred", "--truth", "truth", "--labels", "1,2")
    alone = run("evaluate", *files, "--json", "alone.json")
    assert alone.code == 2
    assert "bad.nii.gz must be a whole NIfTI file" in alone.err
    said = run("evaluate", *files, "--json", "out.json", *LOCAL)
    assert (said.code, said.out) == (2, alone.out)
    assert (tmp_path / "out.json").read_bytes() == (tmp_path / "alone.json").read_bytes()
    (line,) = [line for line in said.err.splitlines() if "dashboard" not in line]
    assert "bad.nii.gz must be a whole NIfTI file" in line


@pytest.mark.slow
@QUIET
def test_benchmark_on_workers(run, folder, monkeypatch):  # noqa: F811
    text = CONFIG.replace("[1, 3]", "[1]").replace("seeds = [0, 1]", "seeds = [0]")
    (folder / "config.toml").write_text(text, "utf-8")
    monkeypatch.chdir(folder)
    assert run("benchmark", "config.toml", "-o", "alone").code == 0
    said = run("benchmark", "config.toml", "-o", "out", *LOCAL)
    assert said.code == 0, said.err
    assert "[4/4]" in said.err
    assert scores_of(folder / "out") == scores_of(folder / "alone")
    again = run("benchmark", "config.toml", "-o", "out", *LOCAL)
    assert (again.code, again.err) == (0, "")  # nothing is started for nothing


@pytest.mark.parametrize("command", ["evaluate", "benchmark", "predict"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--workers", 2), "--workers must stand beside --scheduler local; got 2."),
        (
            ("--scheduler", "tcp://127.0.0.1:1", "--workers", 2),
            "--workers must stand beside the scheduler local; got tcp://127.0.0.1:1.",
        ),
        (("--scheduler", "local", "--workers", 0), "--workers must be at least 1; got 0."),
        (
            ("--scheduler", "local"),
            "--scheduler must have the package distributed; got none. Install it: pip install "
            "'napari-fewshot[distributed]'",
        ),
    ],
)
def test_what_does_not_fit_is_said_first(run, folder, monkeypatch, command, given, message):  # noqa: F811
    if given == ("--scheduler", "local"):
        monkeypatch.setattr("napari_fewshot.jobs.scheduler.find_spec", lambda name: None)
    data = folder / "data"
    words = {
        "evaluate": ("--pred", data / "labels", "--truth", data / "labels"),
        "benchmark": (folder / "config.toml", "-o", folder / "out"),
        "predict": ("none.fewshot", data / "images", "-o", folder / "out"),
    }
    said = run(command, *words[command], *given)
    assert (said.code, said.err) == (2, f"napari-fewshot: {message}\n")
    assert not (folder / "out").exists()


def test_a_scheduler_is_for_folders_of_label_maps(run, patients):
    truth = patients[0].truth
    said = run("evaluate", "--pred", truth, "--truth", truth, "--scheduler", "local")
    assert said.code == 2
    assert said.err == f"napari-fewshot: --scheduler must stand beside folders; got {truth}.\n"


@pytest.mark.slow
@QUIET
def test_a_scheduler_that_does_not_answer(run, folder):  # noqa: F811
    labels = folder / "data" / "labels"
    address = "tcp://127.0.0.1:1"
    said = run("evaluate", "--pred", labels, "--truth", labels, "--scheduler", address)
    assert said.code == 2
    (line,) = said.err.splitlines()
    assert line.startswith("napari-fewshot: --scheduler must be local, or the address of one that")

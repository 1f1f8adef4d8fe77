"""Which files in the folder of a benchmark are its own, with and without a record of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from napari_fewshot.bench.report import report_files, write_report
from napari_fewshot.bench.runner import Benchmark, open_benchmark
from napari_fewshot.errors import InputError
from napari_fewshot.io.outputs import RECORD

from .conftest import ACROSS, WITHIN

FOREST = """
[[methods]]
name = "random forest"
method = "forest"
settings = { trees = 5, sigma_max = 2.0, pixels_per_class = 200 }
"""
KEPT = "[output]\npredictions = true\n[dataset]"
QUICK = WITHIN.replace("shots = [1, 3]", "shots = [1]").replace("seeds = [0, 1]", "seeds = [0]")
QUICK = QUICK.replace("[dataset]", KEPT).replace('"a*"', '"a1"')
PICTURES = (
    "figures/worst-patient.png",
    "figures/notes.png",
    "units/notes.json",
    "areas/notes.json",
)


def finish(config, folder: Path, **options) -> Benchmark:
    """Run a benchmark and write its report, as the command does."""
    benchmark = open_benchmark(config, folder, **options)
    benchmark.check_outputs(more=report_files(benchmark))
    benchmark.run(own_processes=False)
    assert not benchmark.failures()
    write_report(benchmark)
    return benchmark


def without_records(folder: Path) -> None:
    """Make a folder what version 0.1.0 has left."""
    for record in folder.rglob(RECORD):
        record.unlink()


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def finished(config_of, tmp_path):
    """A finished benchmark, and what lies in its folder."""
    config = config_of(QUICK, FOREST)
    finish(config, tmp_path / "out")
    return config, tmp_path / "out"


def test_results_of_version_0_1_0_go_on(finished):
    config, folder = finished
    first = set(contents(folder))
    assert "predictions/random-forest/1/a1_seed0.nii.gz" in first
    for name in PICTURES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    without_records(folder)
    next((folder / "units").glob("[!n]*.json")).unlink()  # as the report says, for a picture
    benchmark = finish(config, folder)
    assert not benchmark.pending()
    assert set(contents(folder)) == {*first, *PICTURES}
    assert all((folder / name).read_text() == "mine" for name in PICTURES)
    finish(config, folder)


def test_labels_of_version_0_1_0_that_were_corrected_stay(config_of, finished):
    _, folder = finished
    without_records(folder)
    labels = folder / "predictions" / "random-forest" / "1" / "a1_seed0.nii.gz"
    other = config_of(QUICK, FOREST.replace("trees = 5", "trees = 6"))
    shutil.copytree(folder, folder.with_name("corrected"))
    os.utime(labels, (1, 1))
    finish(other, folder)  # it is a prediction and no more
    labels = folder.with_name("corrected") / labels.relative_to(folder)
    os.utime(labels, (2**32, 2**32))
    before = contents(labels.parents[3])
    with pytest.raises(
        InputError, match=r"^--out must not replace .*a1_seed0.nii.gz.* --overwrite"
    ):
        finish(other, labels.parents[3])
    assert contents(labels.parents[3]) == before


@pytest.mark.parametrize(
    "name",
    [
        "report.md",
        "report.html",
        "results.csv",
        "results.json",
        "fingerprints.json",
        "figures/shots.png",
        "figures/boxes.png",
        "predictions/random-forest/1/a1_seed0.nii.gz",
    ],
)
def test_foreign_files_end_it_before_the_start(config_of, tmp_path, name):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(InputError, match=r"^--out must not replace .* give --overwrite\.$"):
        finish(config_of(QUICK, FOREST), tmp_path / "out")
    assert contents(tmp_path / "out") == {name: b"mine"}


def test_what_was_changed_since_stays(finished):
    config, folder = finished
    sound = contents(folder)
    for name in sound:
        if name.startswith("predictions/") or (name.endswith(".png") and "units/" in name):
            continue  # not made again with a record that is sound
        changed = folder.with_name("changed")
        shutil.copytree(folder, changed)
        (changed / name).write_text("mine")
        try:
            finish(config, changed)
        except InputError as error:
            assert name in str(error)  # noqa: PT017
        assert (changed / name).read_text() == "mine", name
        shutil.rmtree(changed)
    (folder / "report.md").write_text("mine")
    finish(config, folder, overwrite=True)
    assert contents(folder)["report.md"] == sound["report.md"]


def test_figures_that_are_not_shown_any_more_go_and_those_of_others_stay(config_of, finished):
    _, folder = finished
    (ours,) = folder.glob("figures/worst-*.png")
    (folder / "figures" / "worst-patient.png").write_text("mine")
    finish(config_of(QUICK.replace("[output]", "[output]\npictures = 0"), FOREST), folder)
    assert not ours.exists()
    assert (folder / "figures" / "worst-patient.png").read_text() == "mine"


def test_only_what_methods_make_is_removed_from_the_folder_for_work(config_of, tmp_path):
    config = config_of(QUICK, FOREST)
    benchmark = open_benchmark(config, tmp_path / "out")
    work = tmp_path / "out" / "work" / benchmark.plan[0].key
    (work / "nnunet" / "raw").mkdir(parents=True)
    (work / "unet.pt").touch()
    (work / "notes.txt").write_text("mine")
    finish(config, tmp_path / "out")
    assert [path.name for path in work.iterdir()] == ["notes.txt"]


def test_inputs_are_never_replaced(config_of, balls, tmp_path):
    """A link of the data set to a result: it is one as well as the other."""
    config = config_of(ACROSS, FOREST)
    case = open_benchmark(config, tmp_path / "out").selection.pool[0]
    (tmp_path / "out").mkdir()
    os.link(case.files[0], tmp_path / "out" / "results.csv")
    file = tmp_path / "config.toml"
    for name, inputs in (("results.csv", ()), ("report.md", (file,))):
        if inputs:
            (tmp_path / "out" / "results.csv").unlink()
            os.link(file, tmp_path / "out" / name)
        with pytest.raises(InputError, match="^--out must not overwrite an input"):
            finish(config, tmp_path / "out", overwrite=True, inputs=inputs)


@pytest.mark.slow
def test_a_log_gets_a_name_of_its_own(config_of, tmp_path):
    method = '\n[[methods]]\nname = "DINO"\nmethod = "fewshot"\n'
    method += 'settings = { backbone = "dinov2-s", weights = "none.pth" }\n'
    log = tmp_path / "out" / "logs" / "dino.log"
    log.parent.mkdir(parents=True)
    log.write_text("mine")
    benchmark = open_benchmark(config_of(QUICK, method), tmp_path / "out")
    benchmark.run()
    assert benchmark.failures()
    assert log.read_text() == "mine"

"""The command from end to end, on a tiny data set."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.cli import main
from napari_fewshot.io import write_image, write_labels
from napari_fewshot.types import Volume

CONFIG = """
title = "Two | balls"
shots = [1, 3]
seeds = [0, 1]
device = "cpu"
baseline = "random forest"

[dataset]
root = "data"
images = "images/{case}.nii.gz"
labels = "labels/{case}.nii.gz"

[labels]
names = { 1 = "liver" }

[published]
dataset = "CT TotalSegmentator"
structures = { liver = "liver" }

[[methods]]
name = "random forest"
method = "forest"
settings = { trees = 5, sigma_max = 2.0, pixels_per_class = 200 }

[[methods]]
name = "cosine"
method = "fewshot"
settings = { backbone = "multiscale", adapter = "cosine" }
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two volumes of a ball, and a configuration."""
    z, y, x = np.ogrid[:8, :20, :20]
    for seed, name in enumerate(["a", "b"]):
        away = np.sqrt((1.5 * (z - 4)) ** 2 + (y - 9 - seed) ** 2 + (x - 10) ** 2)
        labels = (away < 6).astype(np.uint8)
        noise = np.random.default_rng(seed).normal(0, 5, labels.shape)
        data = (60 * labels + noise).astype(np.float32)
        like = Volume(data, (2.0, 1.0, 1.0))
        write_image(tmp_path / "data" / "images" / f"{name}.nii.gz", data, like)
        write_labels(tmp_path / "data" / "labels" / f"{name}.nii.gz", labels, like)
    (tmp_path / "config.toml").write_text(CONFIG, "utf-8")
    return tmp_path


def benchmark(folder: Path, *more: str) -> int:
    return main(["benchmark", str(folder / "config.toml"), "-o", str(folder / "out"), *more])


def scores(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_report(folder, capsys):
    assert benchmark(folder) == 0
    assert "[16/16]" in capsys.readouterr().err
    rows = scores(folder)
    assert len(rows) == 2 * 2 * 2 * 2  # methods, shots, seeds, cases
    content = json.loads((folder / "out" / "results.json").read_text("utf-8"))
    assert len(content["rows"]) == len(content["runs"]) == 16
    assert content["machine"]["napari-fewshot"]

    page = (folder / "out" / "report.html").read_text("utf-8")
    text = (folder / "out" / "report.md").read_text("utf-8")
    # The mean over seeds, then over cases, as the reports show it.
    wanted = [
        np.mean([float(r["dice"]) for r in rows if r["case"] == case and forest(r)])
        for case in ("a", "b")
    ]
    for report in (page, text):
        assert f"{np.mean(wanted):.3f} ± {np.std(wanted, ddof=1):.3f}" in report
        # Published figures beside ours, with their source.
        assert "UniverSeg" in report
        assert "Data Adaptive Few-shot" in report
        assert "this report" in report
        assert "napari-fewshot benchmark" in report
        assert "Seeds: 0, 1." in report
    assert "**" in text
    assert "<strong>" in page

    # One file: nothing is loaded from anywhere, and there is nothing to run.
    assert not re.search(r"<script|<link|@import|url\(", page)
    assert all(source.startswith("data:image/png;base64,") for source in sources(page))
    assert len(sources(page)) >= 3  # box plots, curves, worst cases
    for link in re.findall(r"\]\((.*?)\)", text):
        assert (folder / "out" / link).is_file(), link

    # All is there: nothing is made again.
    (folder / "out" / "report.html").unlink()
    assert benchmark(folder) == 0
    assert "[" not in capsys.readouterr().err
    assert (folder / "out" / "report.html").is_file()


def forest(row: dict[str, str]) -> bool:
    return row["method"] == "random forest" and row["shot"] == "3"


def sources(page: str) -> list[str]:
    return re.findall(r'src="(.*?)"', page)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills with a signal")
def test_killed_and_resumed(folder):
    (folder / "config.toml").write_text(CONFIG.replace("[1, 3]", "[1]"), "utf-8")
    command = [sys.executable, "-m", "napari_fewshot", "benchmark"]
    command += [str(folder / "config.toml"), "-o", str(folder / "out")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    units = folder / "out" / "units"
    end = time.monotonic() + 120
    while len(list(units.glob("[!.]*.json"))) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in units.glob("[!.]*.json")}
    assert 2 <= len(before) < 8
    assert benchmark(folder) == 0
    resumed = scores(folder)
    assert all(path.stat().st_mtime_ns == then for path, then in list(before.items())[:2])
    assert main(["benchmark", command[-3], "-o", str(folder / "again")]) == 0
    (folder / "out").rename(folder / "first")
    (folder / "again").rename(folder / "out")
    for one, other in zip(scores(folder), resumed, strict=True):
        assert [one[k] for k in ("method", "case", "name")] == [
            other[k] for k in ("method", "case", "name")
        ]
        assert float(one["dice"]) == pytest.approx(float(other["dice"]), rel=0.02)


def test_dry_run_writes_nothing(folder, capsys):
    assert benchmark(folder, "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "16 fits and 16 predictions" in printed
    assert "disk: about" in printed
    assert not (folder / "out").exists()


def test_a_method_that_fails_is_told(folder, capsys):
    text = CONFIG.replace(
        'backbone = "multiscale", adapter = "cosine"',
        'backbone = "dinov2-s", adapter = "cosine", weights = "none.pth"',
    )
    text = text.replace("shots = [1, 3]", "shots = [1]").replace("seeds = [0, 1]", "seeds = [0]")
    (folder / "config.toml").write_text(text, "utf-8")
    assert benchmark(folder) == 1
    assert "failed: cosine" in capsys.readouterr().err
    assert {row["method"] for row in scores(folder)} == {"random forest"}
    page = (folder / "out" / "report.html").read_text("utf-8")
    assert "Failures" in page
    assert "none.pth" in page
    # What failed before is no failure of a method that is run alone.
    assert benchmark(folder, "--only", "random forest") == 0
    assert "failed" not in capsys.readouterr().err
    assert benchmark(folder, "--report-only", "--only", "cosine") == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("title", "titel", "titel"),
        ('root = "data"', 'root = "nowhere"', "root must be the folder"),
        ("images/{case}", "pictures/{case}", "images must match files"),
        ('"cosine"\nmethod = "fewshot"', '"cosine"\nmethod = "few"', "methods[2] (cosine)"),
        ("CT TotalSegmentator", "CT Totalsegmenter", "Did you mean CT TotalSegmentator"),
        ("[labels]", "[templates]\nscope = 'across'\n[labels]", "dataset.train"),
        ("[labels]", "[landmarks]\n[templates]\nscope = 'across'\n[labels]", "landmarks"),
    ],
)
def test_bad_configurations(folder, capsys, old, new, words):
    (folder / "config.toml").write_text(CONFIG.replace(old, new, 1), "utf-8")
    assert benchmark(folder) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (folder / "out").exists()


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_name_that_is_misspelt_ends_it_before_the_start(folder, capsys, more):
    text = CONFIG.replace("[labels]", '[labels]\nuse = ["livr"]')
    published = text[text.index("[published]") : text.index("[[methods]]")]
    text = text.replace(published, "")
    (folder / "config.toml").write_text(text, "utf-8")
    assert benchmark(folder, *more) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "labels.use must be one of liver; got livr. Did you mean liver?" in line
    assert not (folder / "out").exists()


def test_only_names_methods(folder, capsys):
    assert benchmark(folder, "--only", "cosin") == 2
    assert "--only" in capsys.readouterr().err

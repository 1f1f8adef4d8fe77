"""The command ``benchmark``, from a folder of images to tables."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from .compare import Tolerance

SET = Path(__file__).parents[1] / "data" / "benchmark_0.1.0"
PASSING = {"seconds", "memory", "machine", "picture", "worst", "date", "root"}
"""Parts of names of what differs from run to run."""


@pytest.fixture(scope="module")
def finished(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    shutil.copytree(SET / "data", folder / "data")
    text = (SET / "config.toml").read_text("utf-8").replace("pictures = 1", "pictures = 0")
    (folder / "config.toml").write_text(text, "utf-8")
    said = run("benchmark", folder / "config.toml", "-o", folder / "out")
    assert said.code == 0, said.err
    return folder, said


def lasting(value):
    """Without what differs from run to run."""
    if isinstance(value, dict):
        return {k: lasting(v) for k, v in value.items() if not any(p in k for p in PASSING)}
    return [lasting(one) for one in value] if isinstance(value, list) else value


def test_files(finished, golden):
    out = finished[0] / "out"
    names = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()]
    found = {re.sub(r"[0-9a-f]{24}", "KEY", n) for n in names if "/." not in f"/{n}"}
    golden("files", names=sorted(name for name in found if not name.startswith("logs/")))


def test_scores(finished, golden):
    out = finished[0] / "out"
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = [{k: _number(v) for k, v in row.items() if "second" not in k} for row in rows]
    golden("scores", Tolerance(number=0.02), columns=list(rows[0]), rows=numbers)


def test_results(finished, golden):
    text = (finished[0] / "out" / "results.json").read_text("utf-8")
    content = json.loads(text.replace(str(finished[0]), "DIR"))
    golden("results", Tolerance(number=0.02), content=lasting(content))


def test_report(finished, golden):
    text = (finished[0] / "out" / "report.md").read_text("utf-8")
    heads = [line for line in text.splitlines() if line.startswith(("#", "| |", "| method"))]
    golden("report", heads=heads)


def test_the_same_again_makes_nothing(run, finished):
    folder, _ = finished
    units = {path: path.stat().st_mtime_ns for path in (folder / "out/units").glob("*.json")}
    assert len(units) == 4
    said = run("benchmark", folder / "config.toml", "-o", folder / "out")
    assert said.code == 0
    assert {path: path.stat().st_mtime_ns for path in units} == units


def test_dry_run(run, finished, tmp_path, golden):
    said = run("benchmark", finished[0] / "config.toml", "-o", tmp_path / "none", "--dry-run")
    golden("dry run", code=said.code, plan=said.out.splitlines()[0])
    assert not (tmp_path / "none").exists()


def _number(text):
    try:
        return float(text)
    except ValueError:
        return text

"""``napari-fewshot compare-refinement``."""

from __future__ import annotations

import csv

import numpy as np
from PIL import Image

from napari_fewshot.bench import refinement_strategies
from napari_fewshot.bench.refinement_strategies import FILES_WRITTEN, POINTS_PLOT
from napari_fewshot.io import read_labels, write_labels

from .conftest import files_below


def test_table_and_plot(run, patients, tmp_path, stub_refiner):
    one = patients[0]
    truth = read_labels(one.truth)
    off = np.roll(truth.data, 1, axis=1)  # which the stub sets right: rows are flipped
    write_labels(tmp_path / "off.nii.gz", off, truth, truth.names)
    out = tmp_path / "out"
    said = run(
        "compare-refinement", one.image, tmp_path / "off.nii.gz", "--truth", one.truth,
        "--strategies", "random-walker,stub:box", "--axis", "sagittal", "-o", out,
        "--exclude-slices-of", one.painted, "--no-store",
    )  # fmt: skip
    assert said.code == 0
    assert files_below(out) == sorted(FILES_WRITTEN)
    assert (out / "table.md").read_text() in said.out
    with (out / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    labels = {str(v) for v in np.unique(truth.data)} - {"0"}
    for strategy in ("random-walker", "stub:box"):
        assert {row["label"] for row in rows if row["strategy"] == strategy} == labels
    stub = [row for row in rows if row["strategy"] == "stub:box"]
    assert all(float(row["iou_after"]) == 1 > float(row["iou_before"]) for row in stub)
    assert int(stub[0]["slices"]) == off.any(axis=(1, 2)).sum() == len(stub_refiner.slices)
    assert np.asarray(Image.open(out / "plot.png").convert("L")).std() > 5


def test_all_strategies_of_what_works_here(run, patients, tmp_path, stub_refiner):
    one = patients[0]
    given = ("compare-refinement", one.image, one.truth, "--truth", one.truth, "--no-store")
    assert run(*given, "-o", tmp_path / "a").code == 0
    table = (tmp_path / "a" / "table.md").read_text()
    for strategy in ("random", "components", "box", "boxes", "box-points", "mask"):
        assert f"| stub:{strategy} |" in table
    assert "| random-walker |" in table


def test_a_sweep_over_the_number_of_points(run, patients, tmp_path, stub_refiner):
    one = patients[0]
    said = run(
        "compare-refinement", one.image, one.truth, "--truth", one.truth, "--no-store",
        "--strategies", "stub:random,stub:box", "--points", "1-3,10", "--repeats", "2",
        "--seed", "5", "-o", tmp_path / "out",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert files_below(tmp_path / "out") == sorted([*FILES_WRITTEN, POINTS_PLOT])
    drawn = [(made.config.prompts.points, made.seed) for made in stub_refiner.made[1:]]
    assert drawn == [(n, seed) for n in (1, 2, 3, 10) for seed in (5, 6)] + [(10, 5)]
    with (tmp_path / "out" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {(row["strategy"], row["points"], row["seed"]) for row in rows}
    assert ("stub:random:10", "10", "6") in found
    assert ("stub:box", "0", "5") in found
    assert len(found) == 9
    assert str(tmp_path / "out" / POINTS_PLOT) in said.out


def test_bad_input(run, patients, tmp_path):
    one = patients[0]
    given = ("compare-refinement", one.image, one.truth, "--truth")
    for arguments, message in (
        ((one.truth, "--strategies", "random-waker", "-o", tmp_path / "a"), "--strategies must be"),
        ((tmp_path / "none.nii.gz", "-o", tmp_path / "a"), "--truth must be an existing file"),
        ((one.truth, "-o", one.truth), "--output must be a folder"),
        (
            (one.truth, "--strategies", "random-walker", "--sam-weights", one.truth, "-o",
             tmp_path / "a"),
            "--sam-weights must stand beside one SAM",
        ),
        ((one.truth, "--points", "ten", "-o", tmp_path / "a"), "--points must be numbers such as"),
        ((one.truth, "--repeats", "0", "-o", tmp_path / "a"), "--repeats must be at least 1"),
        (
            (one.truth, "--strategies", "random-walker", "--points", "1,5", "-o", tmp_path / "a"),
            "--points must stand beside a strategy of --strategies that draws points",
        ),
    ):  # fmt: skip
        said = run(*given, *arguments)
        assert said.code == 2
        assert said.err.count("\n") == 1
        assert message in said.err
    assert files_below(tmp_path) == []


def test_without_matplotlib_it_ends_before_the_work(run, patients, tmp_path, monkeypatch):
    monkeypatch.setattr(refinement_strategies, "find_spec", lambda name: None)
    one = patients[0]
    said = run("compare-refinement", one.image, one.truth, "--truth", one.truth, "-o", tmp_path)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "plot.png must be drawn by matplotlib" in said.err
    assert "pip install 'napari-fewshot[benchmark]'" in said.err
    assert files_below(tmp_path) == []


def test_all_strategies_of_a_sam_share_its_embeddings(
    run, patients, tmp_path, tiny_sam, monkeypatch
):
    from napari_fewshot.sam.model import SamBackbone

    one, encoded = patients[0], []
    encode = SamBackbone.encode

    def counted(self, batch, *rest, **named):
        encoded.append(len(batch))
        return encode(self, batch, *rest, **named)

    monkeypatch.setattr(SamBackbone, "encode", counted)
    said = run(
        "compare-refinement", one.image, one.truth, "--truth", one.truth, "--no-store",
        "--strategies", "sam-vit-b,random-walker", "--sam-weights", tiny_sam,
        "--axis", "sagittal", "-o", tmp_path,
    )  # fmt: skip
    assert said.code == 0
    assert said.out.count("| sam-vit-b:") == 6
    assert "| random-walker |" in said.out
    assert sum(encoded) == read_labels(one.truth).data.any(axis=(1, 2)).sum()

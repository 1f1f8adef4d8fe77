"""SAM's modes as methods, with a tiny SAM."""

from __future__ import annotations

import pytest

from napari_fewshot.bench.runner import open_benchmark
from napari_fewshot.errors import InputError

from .conftest import LANDMARKS, WITHIN

SAM = """
[[methods]]
name = "boxes"
method = "sam-boxes"
settings = {{ weights = "{file}", margin = 0.1 }}

[[methods]]
name = "points"
method = "sam-points"
settings = {{ weights = "{file}" }}

[[methods]]
name = "automatic"
method = "sam-automatic"
settings = {{ weights = "{file}", points_per_side = 4, iou = 0.0, stability = 0.0 }}

[[methods]]
name = "everything"
method = "sam-everything"
settings = {{ weights = "{file}", points_per_side = 4, iou = 0.0, stability = 0.0, score = "each" }}

[[methods]]
name = "automatic, MedSAM"
method = "sam-automatic"
settings = {{ sam = "medsam", weights = "{file}", points_per_side = 4, stability = 0.0 }}

[[methods]]
name = "PerSAM"
method = "persam"
settings = {{ weights = "{file}" }}

[[methods]]
name = "refined"
method = "fewshot"

[methods.settings]
backbone = "multiscale"
adapter = "cosine"
sam_weights = "{file}"
propagation = {{ refinement = {{ method = "sam-vit-b" }} }}
"""

ONE = WITHIN.replace("[1, 3]", "[1]").replace("[0, 1]", "[0]").replace('"a*"', '"a1"')


def test_every_mode(config_of, tmp_path, tiny_sam):
    benchmark = open_benchmark(config_of(ONE, SAM.format(file=tiny_sam)), tmp_path)
    benchmark.run(own_processes=False)
    assert not benchmark.failures(), benchmark.failures()[0][1].trace
    found = {unit.method: r.rows for unit, r in benchmark.records.all(benchmark.units)}
    assert set(found) == {
        "boxes",
        "points",
        "automatic",
        "automatic, MedSAM",
        "everything",
        "PerSAM",
        "refined",
    }
    assert [row["name"] for row in found["everything"]] == ["foreground"]
    assert all(rows for rows in found.values())


def test_settings_are_checked(config_of, tmp_path, tiny_sam):
    text = SAM.format(file=tiny_sam).replace("margin", "marjin")
    with pytest.raises(InputError, match="marjin"):
        open_benchmark(config_of(ONE, text), tmp_path)


def test_persam_is_shown_points_as_disks(config_of, tmp_path, tiny_sam):
    settings = f'weights = "{tiny_sam}", point_radius = 2.5'
    method = f'[[methods]]\nname = "PerSAM"\nmethod = "persam"\nsettings = {{ {settings} }}\n'
    benchmark = open_benchmark(config_of(LANDMARKS, method), tmp_path)
    benchmark.run(own_processes=False)
    assert not benchmark.failures(), benchmark.failures()[0][1].trace
    for _, record in benchmark.records.all(benchmark.units):
        assert {row["name"] for row in record.rows} == {"middle", "edge"}
        assert all(row["found"] for row in record.rows)  # it takes both to be in every slice

"""Estimates before a run: they go with the data, the backbone and the device."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from napari_fewshot.bench import estimate as module
from napari_fewshot.bench import sizes
from napari_fewshot.bench.estimate import estimate, format_plan
from napari_fewshot.bench.runner import open_benchmark
from napari_fewshot.bench.sizes import REFERENCE, CaseSize, header_of, size_of
from napari_fewshot.io import read_volume, write_image, write_labels
from napari_fewshot.types import Volume

from .conftest import ACROSS, METHODS, WITHIN

NETWORKS = """
[[methods]]
name = "U-Net"
method = "unet"

[[methods]]
name = "nnU-Net"
method = "nnunet"
shots = ["all"]

[[methods]]
name = "small"
method = "fewshot"
settings = { backbone = "dinov2-s" }

[[methods]]
name = "large"
method = "fewshot"
settings = { backbone = "dinov2-l" }

[[methods]]
name = "large again"
method = "fewshot"
settings = { backbone = "dinov2-l", adapter = "cosine" }
"""


def opened(config_of, folder, text=ACROSS, methods=METHODS):
    return open_benchmark(config_of(text, methods), folder / "none", dry_run=True)


def seconds(benchmark) -> dict[str, float]:
    return {row.method: row.seconds for row in estimate(benchmark)}


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.tif", "a.nrrd", "a.mha"])
def test_shape_and_spacing_of_headers(tmp_path, name):
    if name.endswith(("nrrd", "mha")):
        pytest.importorskip("SimpleITK")
    data = np.zeros((5, 6, 7), np.float32)
    write_image(tmp_path / name, data, Volume(data, (3.0, 2.0, 1.0)))
    shape, spacing = header_of(tmp_path / name)
    assert shape == (5, 6, 7)
    if not name.endswith("tif"):
        assert spacing == pytest.approx(read_volume(tmp_path / name).spacing)


def test_pictures_and_what_tells_no_shape(tmp_path):
    plane = np.zeros((6, 7), np.uint8)
    write_labels(tmp_path / "a.png", plane, Volume(plane, (1.0, 1.0)))
    assert header_of(tmp_path / "a.png") == ((6, 7), (1.0, 1.0))
    (tmp_path / "b.nii").write_bytes(b"nothing")
    (tmp_path / "c.nrrd").write_bytes(b"NRRD0004\nkind: none\n")
    for name in ("b.nii", "c.nrrd", "none.tif"):
        assert header_of(tmp_path / name) is None


def test_no_pixel_is_read(config_of, tmp_path, monkeypatch):
    benchmark = opened(config_of, tmp_path)
    monkeypatch.setattr(
        nibabel.arrayproxy.ArrayProxy, "__array__", lambda *_, **__: pytest.fail("read")
    )
    assert size_of(benchmark.selection.pool, benchmark.config) == CaseSize(10, 20 * 24)
    finer = config_of(ACROSS.replace("[templates]", "[image]\nspacing = 0.5\n[templates]"))
    assert size_of(benchmark.selection.pool, finer) == CaseSize(10, 40 * 48)
    monkeypatch.setattr(sizes, "header_of", lambda path: None)
    assert size_of(benchmark.selection.pool, benchmark.config) == REFERENCE


def test_time_goes_with_the_data_the_backbone_and_the_device(config_of, tmp_path, monkeypatch):
    benchmark = opened(config_of, tmp_path, methods=METHODS + NETWORKS)
    before = seconds(benchmark)
    assert before["large"] > 5 * before["small"] > before["classification"]
    monkeypatch.setattr(module, "size_of", lambda *_: REFERENCE)
    larger = seconds(benchmark)
    assert all(larger[name] > before[name] for name in ("random forest", "large", "U-Net"))
    monkeypatch.setattr(module, "choose_device", lambda name: "cuda")
    faster = seconds(benchmark)
    assert all(faster[name] < larger[name] / 5 for name in ("large", "U-Net", "nnU-Net"))
    assert faster["random forest"] == larger["random forest"]


def test_room_for_features_and_trainings(config_of, tmp_path):
    text = 'features = "disk"\n' + ACROSS
    benchmark = opened(config_of, tmp_path, text, METHODS + NETWORKS)
    rows = {row.method: row for row in estimate(benchmark)}
    # Ten slices each of a template and of the scored case; 32 x 32 tokens of 1024 channels.
    assert rows["large"].features_mb["dinov2-l"] == pytest.approx(20 * 2.1, rel=0.1)
    assert rows["large again"].seconds < rows["large"].seconds / 2
    assert rows["nnU-Net"].work_mb > 1000 > rows["U-Net"].work_mb > 1
    printed = format_plan(benchmark)
    assert "features of dinov2-s, dinov2-l: 59 MB  (rough)" in printed
    assert "a training, until it is done: up to 1000 MB  (rough)" in printed
    small = format_plan(opened(config_of, tmp_path, WITHIN))
    five = opened(config_of, tmp_path, WITHIN.replace("[1, 3]", '["all"]'), NETWORKS)
    one = opened(config_of, tmp_path, WITHIN.replace("[1, 3]", "[1]"), NETWORKS)
    assert seconds(five)["U-Net"] > 4 * seconds(one)["U-Net"]
    assert "features of" not in small
    assert "a training" not in small

"""Samples: phantoms in a real viewer, and real images fetched from a server on loopback."""

from __future__ import annotations

import hashlib
import importlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from npe2 import PluginManager

from napari_fewshot._napari import sample_data
from napari_fewshot._napari.sample_data import (
    KIDNEY,
    MITOSIS,
    RealSample,
    fetch_sample,
    read_sample,
)
from napari_fewshot.errors import DownloadError, UnreadableFileError

from ..conftest import Served


@pytest.mark.viewer
@pytest.mark.parametrize(("key", "axis"), [("torso", 0), ("joint", 2)])
def test_sample_opens_with_units_names_and_painted_slices(make_napari_viewer, key, axis):
    PluginManager.instance().discover()
    viewer = make_napari_viewer()
    viewer.open_sample("napari-fewshot", key)

    image, truth, landmarks, template = viewer.layers
    assert [layer.name for layer in viewer.layers] == [
        key,
        f"{key} truth",
        f"{key} landmarks",
        f"{key} template",
    ]
    for layer in viewer.layers:
        np.testing.assert_array_equal(layer.scale, image.scale)
        np.testing.assert_array_equal(layer.translate, image.translate)
        assert layer.axis_labels == image.axis_labels == ("S", "A", "R")
        assert {str(unit) for unit in layer.units} == {"millimeter"}

    template_planes = np.moveaxis(template.data, axis, 0)
    painted = np.flatnonzero([(plane > 0).any() for plane in template_planes])
    assert len(painted) == 5
    true_planes = np.moveaxis(truth.data, axis, 0)
    np.testing.assert_array_equal(template_planes[painted], true_planes[painted])
    assert (truth.data > 0).sum() > (template.data > 0).sum()

    names = template.features.set_index("index")["name"]
    assert set(np.unique(truth.data)) <= set(names.index)
    assert names.is_unique
    inside = (landmarks.data >= -0.5) & (landmarks.data <= np.array(image.data.shape) - 0.5)
    assert len(landmarks.data) > 0
    assert inside.all()


SAMPLES = (MITOSIS, KIDNEY)
CELLS = np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)
STACK = np.random.default_rng(1).integers(0, 999, (3, 16, 20, 2), dtype=np.uint16)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sample_data, "samples_folder", lambda: tmp_path / "samples")
    return tmp_path / "samples"


def sample_of(server: Served, data: np.ndarray, tmp_path: Path, **changes: object) -> RealSample:
    tifffile.imwrite(tmp_path / "source.tif", data, photometric="minisblack")
    server.content = (tmp_path / "source.tif").read_bytes()
    digest = hashlib.sha256(server.content).hexdigest()
    sample = replace(MITOSIS, url=f"{server.url}/a.tif", sha256=digest, shape=data.shape)
    return replace(sample, megabytes=len(server.content) / 1e6, **changes)


def test_list_is_complete():
    for sample in SAMPLES:
        assert re.fullmatch("[0-9a-f]{64}", sample.sha256)
        assert sample.url.startswith("https://")
        assert sample.licence
        assert sample.credit
        spatial = len(sample.shape) - (len(sample.channels) > 1)
        assert len(sample.spacing_mm) == spatial
        assert len(sample.channels) in (1, sample.shape[-1])
    assert len({sample.key for sample in SAMPLES}) == len(SAMPLES)


def test_addresses_and_digests_are_those_that_scikit_image_publishes():
    registry = importlib.import_module("skimage.data._registry")
    digest_of = {url: registry.registry[name] for name, url in registry.registry_urls.items()}
    for sample in SAMPLES:
        assert digest_of[sample.url] == sample.sha256


def test_fetched_once_and_again_when_it_was_changed(server, folder, tmp_path, qapp):
    sample = sample_of(server, CELLS, tmp_path)
    path = fetch_sample(sample)
    assert path.read_bytes() == server.content
    once = len(server.asked)
    fetch_sample(sample)
    assert len(server.asked) == once > 0
    path.write_bytes(b"changed")
    assert fetch_sample(sample).read_bytes() == server.content
    assert len(server.asked) == 2 * once


def test_other_content_is_refused_and_not_kept(server, folder, tmp_path, qapp):
    sample = replace(sample_of(server, CELLS, tmp_path), sha256="0" * 64)
    with pytest.raises(DownloadError, match="SHA-256"):
        fetch_sample(sample)
    assert list(folder.iterdir()) == []


def test_without_a_network_the_error_names_the_address(folder, qapp):
    sample = replace(MITOSIS, url="http://127.0.0.1:1/cells.tif")
    with pytest.raises(DownloadError, match="127.0.0.1:1/cells.tif"):
        fetch_sample(sample)


def test_gui_goes_on_while_the_file_comes(server, folder, tmp_path, qapp):
    from qtpy.QtCore import QTimer

    sample = sample_of(server, CELLS, tmp_path)
    server.pause_s = 0.5
    ticks = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(1))
    timer.start(10)
    fetch_sample(sample)
    timer.stop()
    assert len(ticks) >= 3  # some 50 on an idle machine, none where it blocks


def test_channels_become_volumes(server, tmp_path):
    sample = sample_of(
        server, STACK, tmp_path, channels=("red", "green"), spacing_mm=(0.002, 0.001, 0.001)
    )
    (red, name), (green, _) = read_sample(sample, tmp_path / "source.tif")
    assert name == "mitosis red"
    np.testing.assert_array_equal(red.data, STACK[..., 0])
    np.testing.assert_array_equal(green.data, STACK[..., 1])
    assert green.spacing == (0.002, 0.001, 0.001)


def test_other_shape_or_damage_is_refused(server, tmp_path):
    sample = sample_of(server, CELLS, tmp_path)
    with pytest.raises(UnreadableFileError, match="have shape"):
        read_sample(replace(sample, shape=(1, 2)), tmp_path / "source.tif")
    (tmp_path / "source.tif").write_bytes(b"no tiff")
    with pytest.raises(UnreadableFileError, match="be a TIFF file"):
        read_sample(sample, tmp_path / "source.tif")


@pytest.mark.viewer
def test_sample_opens_and_its_licence_is_shown(
    server, folder, tmp_path, monkeypatch, make_napari_viewer
):
    from napari.utils.notifications import notification_manager
    from npe2 import PluginManager

    PluginManager.instance().discover()
    monkeypatch.setattr(sample_data, "MITOSIS", sample_of(server, CELLS, tmp_path))
    viewer = make_napari_viewer()
    (layer,) = viewer.open_sample("napari-fewshot", "mitosis")
    np.testing.assert_array_equal(layer.data, CELLS)
    assert layer.metadata["licence"] == "CC0"
    said = [record.message for record in notification_manager.records]
    assert any("Licence: CC0" in text for text in said)

"""Motion between two slices, by both methods."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_fewshot.errors import InputError
from napari_fewshot.slices import flow
from napari_fewshot.slices.flow import FLOW_METHODS, OpticalFlow, flow_method, moved

INSIDE = slice(12, -12)


@pytest.fixture(autouse=True)
def _needs_opencv(request):
    if "dis" in str(request.node.name):
        pytest.importorskip("cv2")


def texture(shape=(96, 120), seed=0):
    plane = gaussian_filter(np.random.default_rng(seed).random(shape), 2.5)
    return ((plane - plane.min()) / np.ptp(plane)).astype(np.float32)


def shifted(plane, rows, columns):
    """What lies at a pixel here lies (rows, columns) further in the result."""
    y, x = np.indices(plane.shape, dtype=float)
    return map_coordinates(plane, [y - rows, x - columns], order=1, mode="nearest").astype("f4")


@pytest.mark.parametrize("method", FLOW_METHODS)
@pytest.mark.parametrize("shift", [(2.0, -3.5), (0.0, 4.0), (-1.5, 0.0)])
def test_a_known_displacement(method, shift):
    here = texture()
    found = OpticalFlow(method)(here, shifted(here, *shift))
    assert (found.shape, found.dtype) == ((2, *here.shape), np.float32)
    error = found[:, INSIDE, INSIDE] - np.array(shift)[:, None, None]
    assert np.abs(error).mean() < 0.35
    assert np.abs(np.median(error, axis=(1, 2))).max() < 0.15


@pytest.mark.parametrize("method", FLOW_METHODS)
def test_what_grows(method):
    here = texture()
    y, x = np.indices(here.shape, dtype=float)
    centre = (np.array(here.shape) - 1) / 2
    back = [(p - c) / 1.04 + c for p, c in zip((y, x), centre, strict=True)]
    there = map_coordinates(here, back, order=1, mode="nearest").astype(np.float32)
    found = OpticalFlow(method)(here, there)[:, INSIDE, INSIDE]
    expected = np.stack([0.04 * (p - c) for p, c in zip((y, x), centre, strict=True)])
    assert np.abs(found - expected[:, INSIDE, INSIDE]).mean() < 0.3


@pytest.mark.parametrize("method", FLOW_METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (15, 200), (16, 16), (16, 300), (17, 19)])
def test_slices_of_any_shape(method, shape):
    plane = np.random.default_rng(0).random(shape).astype(np.float32)
    found = OpticalFlow(method)(plane, plane)
    assert found.shape == (2, *shape)
    assert np.abs(found).max() < 1e-3
    for grey in (0.0, 1.0):
        assert np.isfinite(OpticalFlow(method)(np.full(shape, grey, "f4"), plane)).all()


@pytest.mark.parametrize("method", FLOW_METHODS)
def test_the_same_whatever_runs_beside_it(method):
    pairs = [(texture(seed=k), shifted(texture(seed=k), 1, 2)) for k in range(6)]
    search = OpticalFlow(method)
    alone = [search(*pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(lambda pair: search(*pair), pairs))
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one, other)


def test_threads_of_opencv_are_as_before():
    cv2 = pytest.importorskip("cv2")
    before = cv2.getNumThreads()
    OpticalFlow("dis")(texture(), texture())
    assert cv2.getNumThreads() == before


def test_moved_reads_between_pixels_and_keeps_to_the_edge():
    planes = np.arange(24, dtype=np.float32).reshape(1, 4, 6)
    field = np.zeros((2, 4, 6), np.float32)
    np.testing.assert_array_equal(moved(planes, field), planes)
    field[0], field[1] = 0.5, 0.25
    assert moved(planes, field)[0, 0, 0] == pytest.approx(0.5 * 6 + 0.25)
    field[:] = 100
    assert (moved(planes, field) == planes[0, -1, -1]).all()
    field[:] = -100
    assert (moved(planes, field) == 0).all()


def test_moved_is_the_same_to_the_bit_of_a_part():
    rng = np.random.default_rng(0)
    planes = rng.random((3, 50, 40)).astype(np.float32)
    field = rng.normal(0, 2, (2, 50, 40)).astype(np.float32)
    whole = moved(planes, field)
    part = moved(planes[:, 10:45], field[:, 20:30, 7:19], (20, 7), top=10)
    np.testing.assert_array_equal(part, whole[:, 20:30, 7:19])


def test_auto_is_what_is_installed(monkeypatch):
    monkeypatch.setattr(flow, "_opencv", lambda: None)
    assert flow_method("auto") == flow_method("lucas-kanade") == "lucas-kanade"
    with pytest.raises(InputError, match=r"experts.flow must be lucas-kanade .*fewshot\[flow\]"):
        flow_method("dis")
    monkeypatch.setattr(flow, "_opencv", object)
    assert flow_method("auto") == flow_method("dis") == "dis"


def test_another_method_stands_in_for_a_missing_one(monkeypatch, caplog):
    here = texture()
    there = shifted(here, 1, 1)
    expected = OpticalFlow("lucas-kanade")(here, there)
    monkeypatch.setattr(flow, "_opencv", lambda: None)
    with caplog.at_level(logging.WARNING):
        search = OpticalFlow("dis")
    (record,) = caplog.records
    assert "OpenCV is not installed" in record.message
    assert "\n" not in record.message
    np.testing.assert_array_equal(search(here, there), expected)


@pytest.mark.parametrize("error", [ImportError("libGL.so.1"), ModuleNotFoundError("cv2")])
def test_an_opencv_that_cannot_be_loaded(monkeypatch, caplog, error):
    import builtins

    real = builtins.__import__

    def importing(name, *rest):
        if name == "cv2":
            raise error
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)
    flow._opencv.cache_clear()
    try:
        assert flow_method("auto") == "lucas-kanade"
    finally:
        flow._opencv.cache_clear()
    assert ("libGL" in caplog.text) is ("libGL" in str(error))

"""Planes that nobody painted, learned from what is found along the painted one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot import Template
from napari_fewshot.config import IntensityConfig
from napari_fewshot.errors import Cancelled, InputError
from napari_fewshot.geometry import Frame
from napari_fewshot.phantoms import make_phantom
from napari_fewshot.predict.carried import PaintedSlice
from napari_fewshot.predict.planes import FoundLabels
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.templates.known import UNKNOWN

ORGANS = (1, 2, 3)


@pytest.fixture(scope="module")
def fused(fitted, torso):
    return fitted.predict(torso.image, axis="fused")


def test_all_planes_take_part(predicted, fused, torso, dice):
    assert (fused.confidence != predicted.confidence).mean() > 0.5
    alone, together = (
        [dice(p.labels, torso.labels.data, value) for value in ORGANS] for p in (predicted, fused)
    )
    assert min(together) > 0.3
    assert np.mean(together) > np.mean(alone) - 0.03
    assert {mark.label for mark in fused.landmarks} == {mark.label for mark in predicted.landmarks}


def test_progress_tells_what_is_done_and_can_be_cancelled(fitted, torso):
    seen = []

    def watch(done, total, what):
        seen.append(what)
        if seen.count("training") > 20:
            raise Cancelled

    with pytest.raises(Cancelled):
        fitted.predict(torso.image, axis="fused", progress=watch)
    assert seen[: len(torso.labels.data)] == ["slices"] * len(torso.labels.data)


def test_a_region_is_that_of_the_whole_volume(fitted, fused, torso):
    region = ((3, 20), (8, 40), (5, 48))
    found = fitted.predict(torso.image, axis="fused", region=region)
    box = tuple(slice(*side) for side in region)
    np.testing.assert_array_equal(found.labels[box], fused.labels[box])
    np.testing.assert_allclose(found.confidence[box], fused.confidence[box], atol=1e-3)
    outside = np.ones(found.labels.shape, bool)
    outside[box] = False
    assert not found.labels[outside].any()


def test_how_a_volume_is_stored_changes_nothing(fitted, fused, torso):
    stored = make_phantom("torso", shape=(24, 48, 48), storage="SRA").image
    found = fitted.predict(stored, axis="fused")
    frames = [Frame.of(one.affine, 3) for one in (torso.image, stored)]
    same, other = (
        frame.to_canonical(p.labels) for frame, p in zip(frames, (fused, found), strict=True)
    )
    assert (same == other).mean() > 0.995


@pytest.mark.parametrize("spacing", [(10.0, 1.0, 1.0), (0.1, 1.0, 1.0)])
def test_where_slices_lie_far_apart_the_painted_plane_stands(quick, torso, spacing, caplog):
    image = replace(torso.image, spacing=spacing, affine=None)
    labels = np.zeros(image.shape, np.int32)
    labels[[6, 14]] = torso.labels.data[[6, 14]]
    model = quick(adapter="classification", experts={"self_training": False})
    model.fit(Template(image, labels, axis=0))
    alone, fused = model.predict(image), model.predict(image, axis="fused")
    assert "no other plane is learned" in caplog.text
    assert (alone.labels == fused.labels).mean() > 0.999
    np.testing.assert_allclose(fused.confidence, alone.confidence, atol=2e-3)


def test_points_and_adapters_that_learn_no_strokes_are_refused(quick, torso, template):
    points = quick().fit(Template(torso.image, points=torso.landmarks, axis=0))
    for model in (points, quick(adapter="cosine").fit(template)):
        with pytest.raises(InputError, match="along two axes or three, or with the adapter"):
            model.predict(torso.image, axis="fused")


def test_a_loaded_model_learns_them_too(fitted, fused, torso, tmp_path):
    fitted.save(tmp_path / "model.fewshot")
    loaded = type(fitted).load(tmp_path / "model.fewshot", device="cpu")
    found = loaded.predict(torso.image, axis="fused")
    assert (found.labels == fused.labels).mean() > 0.999


def test_what_is_sure_is_learned(torso):
    stack = SliceStack(torso.image, 0, IntensityConfig())
    shape = stack.grid.shape
    planes = np.full((3, *shape), 0.05, np.float32)
    planes[0] = 0.9
    planes[:, :, 10, 7] = [[0.05], [0.9], [0.05]]
    planes[:, :, 11, 7] = [[0.3], [0.1], [0.6]]
    found = FoundLabels(stack, ((k, planes[:, k]) for k in range(shape[0])), (4, 9))
    frame = stack.frame
    known = found.along(1)
    axis = frame.file_axis(1)
    assert len(known) == 1  # one row shows a label; that of the other is not sure
    (index,) = known
    plane = known[index]
    assert plane.shape == tuple(n for k, n in enumerate(torso.image.shape) if k != axis)
    assert sorted(np.unique(plane)) == sorted([4, found.background])
    assert found.background not in (0, 4, 9)
    np.testing.assert_allclose(
        np.stack([p for _, p in found.planes((slice(2, 4), slice(0, 5), slice(None)))], axis=1),
        planes[:, 2:4, :5],
        atol=1e-3,
    )


def test_of_labels_that_another_plane_does_not_know_it_says_nothing(torso):
    stack, other = (SliceStack(torso.image, axis, IntensityConfig()) for axis in (0, 1))
    shape = stack.grid.shape
    first = np.zeros((4, *shape), np.float32)
    first[:] = np.reshape([0.5, 0.1, 0.25, 0.15], (4, 1, 1, 1))
    found = FoundLabels(stack, ((k, first[:, k]) for k in range(shape[0])), (2, 5, 7))
    box = (slice(0, 2), slice(1, 5), slice(2, 4))
    plane = np.broadcast_to(np.reshape([0.25, 0.75], (2, 1, 1)), (2, 4, 2)).astype(np.float32)
    ((index, completed),) = found.completed(other, iter([(1, plane)]), (5,), box)
    assert index == 1
    assert completed.shape == (4, 4, 2)
    np.testing.assert_allclose(completed[:, 0, 0], [0.1875, 0.1, 0.5625, 0.15], atol=1e-3)
    np.testing.assert_allclose(completed.sum(axis=0), 1, atol=1e-3)


def test_paint_overrules_what_was_found(torso):
    stack = SliceStack(torso.image, 0, IntensityConfig())
    shape = stack.grid.shape
    planes = np.full((3, *shape), 0.05, np.float32)
    planes[0] = 0.9
    labels = np.full(shape[1:], UNKNOWN)
    labels[5:9, 5:9], labels[9:12, 5:9], labels[20] = 4, 9, 0
    slices = [
        PaintedSlice(index, index, "", labels, frozenset(known))
        for index, known in ((3, {4, 9}), (6, {4}))
    ]
    found = FoundLabels(stack, ((k, planes[:, k]) for k in range(shape[0])), (4, 9), slices)
    everywhere = found.along(0)
    number = dict(zip(stack.file_slices()[1], range(shape[0]), strict=True))
    assert sorted(everywhere) == sorted(number[k] for k in (3, 6))
    whole = stack.from_file(np.stack([everywhere.get(k, 0 * labels) for k in range(shape[0])]))
    assert (whole[3, 5:9, 5:9] == 4).all()
    assert (whole[3, 9:12, 5:9] == 9).all()
    assert whole[3, 0, 0] == found.background

"""Boxes and points for labels, and their masks regrouped to one label map."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.config import IntensityConfig, RegionConfig
from napari_fewshot.errors import Cancelled, InputError, UnknownNameError
from napari_fewshot.geometry import Frame
from napari_fewshot.sam import PromptBox, Prompts, load_sam, sam_boxes, sam_points
from napari_fewshot.sam.prompts import (
    box_prompts,
    components_of,
    deepest_pixel,
    point_prompts,
)
from napari_fewshot.sam.regions import LabelCanvas
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.types import Volume

AFFINE = np.array([[0, 0, -1.0, 0], [0, -1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def scene():
    """Three slices, the last without a label; label 3 has two parts."""
    image = np.random.default_rng(0).random((3, 40, 56)).astype(np.float32)
    labels = np.zeros(image.shape, np.int16)
    labels[0, 5:20, 8:30] = 2
    labels[0, 25:35, 5:15] = 3
    labels[0, 26:30, 40:50] = 3
    labels[1, 10:12, 10:12] = 3
    return Volume(image, (2, 1, 1), AFFINE), labels


def expit(values):
    return 1 / (1 + np.exp(-values))


def overlap(one, other):
    """IoU. The official code brings masks to the slice in two steps, which moves edges of noise."""
    return (one & other).sum() / (one | other).sum()


def test_labels_are_regrouped_by_score_without_overlap():
    rng = np.random.default_rng(1)
    masks = [(int(label), rng.normal(size=(6, 7)), float(rng.random())) for label in (4, 2, 4, 9)]
    canvas, turned = LabelCanvas((6, 7)), LabelCanvas((6, 7))
    for label, logits, iou in masks:
        canvas.put(label, logits, iou)
    for label, logits, iou in reversed(masks):
        turned.put(label, logits, iou)
    np.testing.assert_array_equal(canvas.labels, turned.labels)
    for at in np.ndindex(6, 7):
        inside = [(expit(m[at]) * iou, label, expit(m[at])) for label, m, iou in masks if m[at] > 0]
        highest = max(expit(m[at]) for _, m, _ in masks)
        _, label, sure = max(inside) if inside else (0, 0, 1 - highest)
        assert canvas.labels[at] == label
        assert canvas.confidence[at] == pytest.approx(sure, abs=1e-6)


def test_boxes_and_points_of_components_and_of_labels(scene):
    plane = scene[1][0]
    whole, large = RegionConfig(each="label"), RegionConfig(each="label", min_area=50)
    labels, prompts = box_prompts(plane, RegionConfig())
    assert labels == [2, 3, 3]
    assert prompts.boxes.tolist() == [[5, 8, 19, 29], [25, 5, 34, 14], [26, 40, 29, 49]]
    labels, prompts = box_prompts(plane, whole)
    assert labels == [2, 3]
    assert prompts.boxes.tolist() == [[5, 8, 19, 29], [25, 5, 34, 49]]
    assert box_prompts(plane, large)[1].boxes.tolist() == [[5, 8, 19, 29], [25, 5, 34, 14]]
    labels, prompts = point_prompts(plane, RegionConfig())
    assert labels == [2, 3, 3]
    assert prompts.point_labels.tolist() == [[1]] * 3
    labels, prompts = point_prompts(plane, whole)
    assert labels == [2, 3]
    assert prompts.point_labels.tolist() == [[1, -1], [1, 1]]
    for label, points, kinds in zip(labels, prompts.points, prompts.point_labels, strict=True):
        rows, columns = points[kinds == 1].astype(int).T
        assert (plane[rows, columns] == label).all()
    assert prompts.part(slice(0, 1)).point_labels.tolist() == [[1]]


def test_masks_are_those_of_the_predictor_on_the_grid_of_the_file(sam, scene, assert_same_labels):
    """One box by hand, in canonical slices, against the whole way through a turned file."""
    volume, labels = scene
    found = sam_boxes(volume, labels, sam=sam)
    assert found.labels.shape == volume.shape
    assert found.labels.dtype == np.int32
    assert not found.labels[2].any()
    assert (found.confidence[2] == 1).all()
    assert set(np.unique(found.labels)) <= {0, 2, 3}
    frame = Frame.of(AFFINE, 3)
    embedding = sam.embeddings(SliceStack(volume, 0, IntensityConfig()))[1]
    plane = frame.to_canonical(labels)[1]
    rows, columns = np.nonzero(plane)
    box = np.array([[rows.min(), columns.min(), rows.max(), columns.max()]], float)
    logits = sam.predictor.predict(embedding, (40, 56), Prompts(boxes=box), several=False).logits
    mask = frame.from_canonical(np.stack([logits[0, 0] > 0] * 3))[1]
    assert_same_labels(found.labels[1] == 3, mask)


def test_an_anatomy_is_prompted_as_published(sam, scene, official):
    """The official predictor: c points in one prompt, of three masks the best; c boxes, united.

    Xie et al., section 4.2.
    """
    import torch
    from segment_anything import SamPredictor as Official

    volume, labels = scene
    flat, plane = Volume(volume.data[0], (1, 1)), np.where(labels[0] == 3, 3, 0)
    made = Official(official)
    made.features = sam.embeddings(SliceStack(flat, 0, IntensityConfig()))[0][None]
    made.original_size, made.is_image_set = (40, 56), True
    made.input_size = sam.predictor._resized((40, 56))
    centres = np.array([deepest_pixel(part) for part in components_of(plane == 3)])
    masks, iou, _ = made.predict(
        point_coords=centres[:, ::-1], point_labels=np.ones(2), multimask_output=True
    )
    found = sam_points(flat, plane, sam=sam, config={"each": "label"})
    assert overlap(found.labels == 3, masks[iou.argmax()]) > 0.9
    corners = np.array([[25, 5, 34, 14], [26, 40, 29, 49]])[:, [1, 0, 3, 2]]
    sent = made.transform.apply_boxes_torch(torch.tensor(corners), (40, 56))
    united, _, _ = made.predict_torch(None, None, boxes=sent, multimask_output=False)
    found = sam_boxes(flat, plane, sam=sam)
    assert overlap(found.labels == 3, united.any(dim=0)[0].numpy()) > 0.9


def test_given_boxes_are_those_drawn_round_labels(sam, scene, assert_same_labels):
    volume, labels = scene
    drawn = [
        PromptBox(2, (0, 19, 8), (0, 5, 29)),
        PromptBox(3, (0, 25, 5), (0, 34, 14)),
        PromptBox(3, (0, 26, 40), (0, 29, 49)),
        PromptBox(3, (1, 10, 10), (1, 11, 11)),
    ]
    expected = sam_boxes(volume, labels, sam=sam)
    found = sam_boxes(volume, drawn, sam=sam)
    assert_same_labels(found.labels, expected.labels)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-4)
    flat = Volume(volume.data[0], (1, 1))
    one = sam_boxes(flat, [PromptBox(2, (5, 8), (19, 29))], sam=sam)
    assert set(np.unique(one.labels)) <= {0, 2}
    assert not sam_boxes(flat, [], sam=sam).labels.any()
    with pytest.raises(InputError, match="both corners in one slice"):
        sam_boxes(volume, [PromptBox(2, (0, 5, 8), (1, 19, 29))], sam=sam)
    with pytest.raises(InputError, match="lie inside the image"):
        sam_boxes(volume, [PromptBox(2, (0, 5, 8), (0, 50, 29))], sam=sam)
    with pytest.raises(InputError, match="corners of 2 numbers"):
        sam_boxes(flat, [PromptBox(2, (0, 5, 8), (0, 19, 29))], sam=sam)


def test_medsam_gives_its_one_mask_for_boxes_and_points(tiny_sam, scene):
    medsam = load_sam("medsam", weights=tiny_sam)
    found = sam_boxes(*scene, sam=medsam, config={"several": True, "margin": 0.1})
    assert set(np.unique(found.labels)) <= {0, 2, 3}
    assert set(np.unique(sam_points(*scene, sam=medsam).labels)) <= {0, 2, 3}


@pytest.mark.parametrize("method", [sam_boxes, sam_points])
def test_slices_axis_progress_and_cancel(sam, scene, method, assert_same_labels):
    volume, labels = scene
    seen = []
    every = method(volume, labels, sam=sam, progress=lambda *told: seen.append(told))
    assert seen == [(1, 2, "prompting"), (2, 2, "prompting")]
    one = method(volume, labels, sam=sam, slices=[1])
    assert_same_labels(one.labels[1], every.labels[1])
    assert not one.labels[0].any()
    other = method(volume, labels, sam=sam, axis=2, slices=[9])
    assert set(np.flatnonzero(other.labels.any(axis=(0, 1)))) <= {9}

    def stop(done, total, what):
        raise Cancelled

    with pytest.raises(Cancelled):
        method(volume, labels, sam=sam, progress=stop)


def test_what_does_not_fit_is_refused(sam, scene):
    volume, labels = scene
    with pytest.raises(InputError, match=r"have the shape \(3, 40, 56\)"):
        sam_boxes(volume, labels[:2], sam=sam)
    with pytest.raises(InputError, match="be integers"):
        sam_points(volume, labels / 2, sam=sam)
    with pytest.raises(UnknownNameError, match="margn"):
        sam_boxes(volume, labels, sam=sam, config={"margn": 1})


def test_nothing_is_loaded_where_nothing_is_prompted(tmp_path):
    volume = np.zeros((4, 8, 8))
    found = sam_boxes(volume, np.zeros((4, 8, 8), int), sam="sam-vit-b")
    assert not found.labels.any()

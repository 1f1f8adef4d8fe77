"""Clicks and boxes to masks that a person chooses from."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import InputError, load_sam, sam_prompt
from napari_fewshot.sam.clicks import Clicks, _prompts
from napari_fewshot.sam.predictor import SamPredictor


@pytest.fixture(scope="module")
def sam(tiny_sam):
    return load_sam("sam-vit-b", weights=tiny_sam)


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    return rng.normal(0, 1, (5, 40, 60)).astype(np.float32)


def clicks(points=(), inside=(), boxes=()):
    return Clicks(
        np.array(points, float).reshape(-1, 2),
        np.array(inside, bool),
        np.array(boxes, float).reshape(-1, 4),
    )


def test_a_click_gives_up_to_three_masks_of_its_slice(sam, image):
    found = sam_prompt(image, points=[(3, 20, 30)], sam=sam, axis=0)
    assert 1 <= len(found) <= 3
    for one in found:
        assert (one.mask.shape, one.mask.dtype) == (image.shape, bool)
        assert one.mask[3].any()
        assert not one.mask[[0, 1, 2, 4]].any()
        assert (0 <= one.iou <= 1, 0 <= one.stability <= 1) == (True, True)
    assert [one.iou for one in found] == sorted((one.iou for one in found), reverse=True)


def test_it_is_what_the_predictor_says(sam, image):
    (best, *_) = sam_prompt(image[3], points=[(20, 30), (5, 5)], inside=[True, False], sam=sam)
    from napari_fewshot.sam.model import VolumeSlices
    from napari_fewshot.sam.predictor import Prompts
    from napari_fewshot.types import Volume

    stack = VolumeSlices.of(Volume.of(image[3])).stack
    embedding = sam.embeddings(stack)[0]
    prompts = Prompts(np.array([[[20, 30], [5, 5]]]), np.array([[1, 0]]))
    masks = sam.predictor.predict(embedding, (40, 60), prompts, several=False)
    np.testing.assert_array_equal(best.mask, masks.logits[0, 0] > 0)


def test_another_axis_counts_in_file_order(sam, image):
    (best, *_) = sam_prompt(image, points=[(2, 20, 30)], sam=sam, axis=1)
    assert best.mask[:, 20].any()
    assert not np.delete(best.mask, 20, axis=1).any()


def test_boxes_are_parts_of_one_structure(sam, image):
    boxes = [((2, 4, 4), (2, 18, 20)), ((2, 34, 55), (2, 22, 38))]
    both = sam_prompt(image, boxes=boxes, sam=sam, axis=0)
    each = [sam_prompt(image, boxes=[box], sam=sam, axis=0)[0].mask for box in boxes]
    np.testing.assert_array_equal(both[0].mask, each[0] | each[1])


def test_points_go_to_the_box_that_they_are_in():
    given = clicks(
        [(5, 5), (30, 30), (50, 50), (9, 9)],
        [True, True, True, False],
        [(0, 0, 10, 10), (20, 20, 40, 40)],
    )
    alone, first, second = _prompts(given)
    assert (alone.boxes, first.boxes.tolist()) == (None, [[0, 0, 10, 10]])
    assert alone.points.tolist() == [[[50, 50], [9, 9]]]
    assert first.points.tolist() == [[[5, 5], [9, 9]]]
    assert second.points.tolist() == [[[30, 30], [9, 9]]]
    assert first.point_labels.tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "have one inside"),
        ({"points": [(1, 2, 3)], "inside": [False]}, "1 outside of it"),
        ({"points": [(1, 2)]}, "3 numbers each"),
        ({"points": [(1, 2, 3), (2, 2, 3)]}, "lie on one slice"),
        ({"points": [(1, 2, 99)]}, "inside the image"),
        ({"points": [(1, 2, 3)], "inside": [True, False]}, "one value for each"),
        ({"boxes": [(1, 2, 3)]}, "two corners of 3 numbers"),
        ({"boxes": [((1, 2, 3), (2, 4, 5))]}, "lie on one slice"),
        ({"points": [("a", 2, 3)]}, "3 numbers each"),
    ],
)
def test_what_cannot_be_asked(image, given, said):
    with pytest.raises(InputError, match=said):
        sam_prompt(image, axis=0, **given)  # before any weights are looked for


def test_medsam_makes_one(tiny_sam, image):
    medsam = load_sam("medsam", weights=tiny_sam)
    (one,) = sam_prompt(image, boxes=[((2, 4, 4), (2, 18, 20))], sam=medsam, axis=0)
    assert one.iou == one.stability


def test_masks_that_are_nearly_equal_count_once(sam, image, monkeypatch):
    predict = SamPredictor.predict

    def same(self, *args, **options):
        found = predict(self, *args, **options)
        found.logits[:] = found.logits[:, :1]
        return found

    monkeypatch.setattr(SamPredictor, "predict", same)
    assert len(sam_prompt(image, points=[(3, 20, 30)], sam=sam, axis=0)) == 1

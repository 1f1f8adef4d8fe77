from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot import get_refiner, refine_labels
from napari_fewshot.config import PromptConfig, RefinementConfig
from napari_fewshot.features.store import FeatureStore
from napari_fewshot.predict.refiners import Region
from napari_fewshot.sam import Masks, Prompts, SamPredictor
from napari_fewshot.sam.refiner import SamRefiner
from napari_fewshot.types import Volume

SHAPE = (40, 56)


class Scripted(SamPredictor):
    """A predictor whose three masks are given, to see what is made of them."""

    one_mask = False

    def __init__(self, *answers: tuple[list[np.ndarray], list[float]]) -> None:
        self.answers = list(answers)
        self.asked: list[Prompts] = []

    def predict(self, embedding, shape, prompts, *, several=True):
        self.asked.append(prompts)
        masks, iou = self.answers[len(self.asked) - 1]
        logits = np.stack([np.where(mask, 5.0, -5.0) for mask in masks]).astype(np.float32)
        return Masks(logits[None], np.array([iou], np.float32), logits[None])


def rectangle(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[rows, columns] = True
    return mask


def refine(predictor, labels, confidence=None, **settings):
    if confidence is None:
        confidence = np.full(SHAPE, 0.8, np.float32)
    refiner = SamRefiner(predictor, {0: torch.zeros(1)}, PromptConfig(**settings), seed=0)
    return refiner.refine(0, Region(labels, confidence))


REGION = rectangle(slice(10, 20), slice(10, 20))
EXACT = rectangle(slice(9, 21), slice(10, 21))
WIDE = rectangle(slice(2, 38), slice(2, 50))
TINY = rectangle(slice(12, 14), slice(12, 14))


def test_the_mask_that_agrees_is_taken_though_another_is_predicted_better():
    labels = (REGION * 7).astype(np.uint8)
    found = refine(Scripted(([WIDE, EXACT, TINY], [0.9, 0.8, 0.95])), labels)
    np.testing.assert_array_equal(found.labels, EXACT * 7)
    assert found.labels.dtype == np.uint8
    assert (found.confidence > 0.99).all()


def test_predicted_iou_decides_between_masks_that_agree_alike():
    shifted = rectangle(slice(10, 22), slice(9, 20))
    labels = (REGION * 1).astype(np.int32)
    found = refine(Scripted(([EXACT, shifted, TINY], [0.6, 0.9, 0.9])), labels)
    np.testing.assert_array_equal(found.labels, shifted * 1)


def test_published_takes_the_mask_of_the_highest_predicted_iou_whatever_it_is():
    labels = (REGION * 7).astype(np.uint8)
    published = {"choice": "predicted-iou", "agreement": 0.0}
    found = refine(Scripted(([WIDE, EXACT, TINY], [0.9, 0.8, 0.95])), labels, **published)
    np.testing.assert_array_equal(found.labels, TINY * 7)
    found = refine(Scripted(([WIDE, EXACT, TINY], [-0.2, -0.3, -0.1])), labels, **published)
    np.testing.assert_array_equal(found.labels, TINY * 7)
    nothing = np.zeros(SHAPE, bool)
    found = refine(Scripted(([WIDE, EXACT, nothing], [0.5, 0.8, 0.95])), labels, **published)
    assert not found.labels.any()


def test_ten_random_pixels_of_each_label_in_each_slice_and_the_seed_decides_which():
    few = rectangle(slice(30, 32), slice(40, 43))
    labels = (REGION * 1 + few * 2).astype(np.uint8)
    region = Region(labels, np.full(SHAPE, 0.8, np.float32))

    def drawn(seed: int, index: int) -> list[np.ndarray]:
        predictor = Scripted(*[([EXACT] * 3, [0.9] * 3)] * 2)
        refiner = SamRefiner(predictor, {index: torch.zeros(1)}, PromptConfig(), seed)
        refiner.refine(index, region)
        for asked in predictor.asked:
            assert (asked.point_labels == 1).all()
        return [asked.points[0] for asked in predictor.asked]

    first = drawn(0, 0)
    for points, inside, count in zip(first, (REGION, few), (10, 6), strict=True):
        places = {(int(row), int(column)) for row, column in points}
        assert len(places) == count  # none twice, and all where there are fewer
        assert all(inside[place] for place in places)
    for one, again in zip(first, drawn(0, 0), strict=True):
        np.testing.assert_array_equal(one, again)
    for other in (drawn(1, 0), drawn(0, 5)):
        assert not np.array_equal(first[0], other[0])


def test_the_least_agreement_is_asked_of_the_mask_that_was_chosen():
    labels = (REGION * 7).astype(np.uint8)
    answer = [WIDE, EXACT, TINY], [0.9, 0.8, 0.95]
    found = refine(Scripted(answer), labels, choice="predicted-iou", agreement=0.5)
    np.testing.assert_array_equal(found.labels, labels)


def test_no_agreement_asked_leaves_the_choice_as_it_is():
    labels = (REGION * 7).astype(np.uint8)
    answer = [WIDE, EXACT, TINY], [0.9, 0.8, 0.95]
    found = refine(Scripted(answer), labels, choice="agreement", agreement=0.0)
    np.testing.assert_array_equal(found.labels, EXACT * 7)


def test_where_labels_overlap_the_higher_predicted_iou_wins():
    """Though its mask agrees less with its region, which published does not ask for."""
    other = rectangle(slice(10, 20), slice(20, 30))
    labels = (REGION * 1 + other * 2).astype(np.uint8)
    near = rectangle(slice(10, 20), slice(10, 21))
    far = rectangle(slice(2, 38), slice(2, 50))
    answers = ([near] * 3, [0.7] * 3), ([far] * 3, [0.8] * 3)
    by_agreement = refine(Scripted(*answers), labels, agreement=0.0).labels
    assert (by_agreement[near] == 1).all()
    published = refine(Scripted(*answers), labels, choice="predicted-iou", agreement=0.0).labels
    np.testing.assert_array_equal(published, far * 2)


def test_a_mask_of_something_else_leaves_the_region_as_it_was():
    labels = (REGION * 3).astype(np.uint8)
    confidence = np.where(REGION, 0.7, 0.95).astype(np.float32)
    found = refine(Scripted(([WIDE, WIDE, TINY], [0.9, 0.9, 0.9])), labels, confidence)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.confidence[15, 15] == pytest.approx(0.7)
    published = Scripted(([WIDE, WIDE, TINY], [0.9, 0.8, 0.9]))
    found = refine(published, labels, confidence, agreement=0.0)
    np.testing.assert_array_equal(found.labels, WIDE * 3)


def test_a_region_of_unsure_pixels_is_left_whole():
    """As at borders where no confidence was given: 0.5, and less with many labels."""
    labels = (REGION * 3).astype(np.uint8)
    confidence = np.where(REGION, 0.0, 0.95).astype(np.float32)
    confidence[11:19, 11:19] = 0.3
    found = refine(Scripted(([WIDE, WIDE, TINY], [0.9, 0.9, 0.9])), labels, confidence)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.confidence[REGION], confidence[REGION], atol=1e-5)


def test_a_region_that_was_kept_does_not_lose_its_sure_pixels_to_another_label():
    other = rectangle(slice(10, 20), slice(20, 30))
    labels = (REGION * 1 + other * 2).astype(np.uint8)
    over = rectangle(slice(10, 20), slice(18, 30))
    answers = ([WIDE] * 3, [0.9] * 3), ([over] * 3, [0.7] * 3)
    sure = np.full(SHAPE, 0.9, np.float32)
    np.testing.assert_array_equal(refine(Scripted(*answers), labels, sure).labels, labels)
    unsure = np.full(SHAPE, 0.3, np.float32)
    found = refine(Scripted(*answers), labels, unsure).labels
    assert (found[10:20, 18:30] == 2).all()
    assert (found[10:20, 10:18] == 1).all()


def test_components_without_a_prompt_of_their_own_stay():
    second = rectangle(slice(30, 32), slice(40, 42))
    labels = ((REGION | second) * 1).astype(np.uint8)
    found = refine(Scripted(([EXACT] * 3, [0.9] * 3)), labels, strategy="boxes", min_area=5)
    np.testing.assert_array_equal(found.labels, (EXACT | second) * 1)


def test_the_predicted_iou_of_medsam_does_not_count():
    other = rectangle(slice(10, 20), slice(20, 30))
    labels = (REGION * 1 + other * 2).astype(np.uint8)
    both = rectangle(slice(10, 20), slice(12, 30))
    medsam = Scripted(([REGION], [0.0]), ([both], [9.0]))
    medsam.one_mask = True
    found = refine(medsam, labels)
    np.testing.assert_array_equal(found.labels == 1, REGION)


def test_labels_do_not_overlap_and_the_better_mask_wins():
    other = rectangle(slice(10, 20), slice(20, 30))
    labels = (REGION * 1 + other * 2).astype(np.uint8)
    one = rectangle(slice(10, 20), slice(10, 24))
    two = rectangle(slice(10, 20), slice(18, 30))
    found = refine(Scripted(([one] * 3, [0.9] * 3), ([two] * 3, [0.5] * 3)), labels)
    assert (found.labels[10:20, 10:24] == 1).all()
    assert (found.labels[10:20, 24:30] == 2).all()
    assert not found.labels[~(one | two)].any()
    found = refine(Scripted(([one] * 3, [0.5] * 3), ([two] * 3, [0.9] * 3)), labels)
    assert (found.labels[10:20, 18:30] == 2).all()


def test_components_are_refined_each_alone_and_joined():
    second = rectangle(slice(30, 36), slice(40, 50))
    labels = ((REGION | second) * 1).astype(np.uint8)
    predictor = Scripted(([EXACT] * 3, [0.9] * 3), ([second] * 3, [0.9] * 3))
    found = refine(predictor, labels, strategy="boxes")
    assert [len(p.boxes) for p in predictor.asked] == [1, 1]
    np.testing.assert_array_equal(found.labels, (EXACT | second) * 1)


def test_negative_points_come_from_other_labels_and_sure_background():
    labels = (REGION * 1).astype(np.uint8)
    labels[0, :3] = 2
    confidence = np.full(SHAPE, 0.5, np.float32)
    confidence[39, :4] = 0.99
    predictor = Scripted(([EXACT] * 3, [0.9] * 3), ([labels == 2] * 3, [0.9] * 3))
    refine(predictor, labels, confidence, negatives=20)
    points, kinds = predictor.asked[0].points[0], predictor.asked[0].point_labels[0]
    drawn = {(int(r), int(c)) for r, c in points[kinds == 0]}
    assert drawn == {(0, 0), (0, 1), (0, 2), (39, 0), (39, 1), (39, 2), (39, 3)}


@pytest.mark.parametrize("name", ["sam-vit-b", "medsam"])
@pytest.mark.parametrize("strategy", ["random", "components", "box", "boxes", "box-points", "mask"])
def test_every_strategy_refines_a_volume(tiny_sam, name, strategy, assert_same_labels):
    rng = np.random.default_rng(0)
    image = rng.random((3, *SHAPE), dtype=np.float32)
    labels = np.zeros((3, *SHAPE), np.uint16)
    labels[1] = REGION * 300
    refiner = get_refiner(
        name,
        config=RefinementConfig(prompts=PromptConfig(strategy=strategy, agreement=0.0)),
        sam_weights=tiny_sam,
    )
    found, confidence = refine_labels(image, labels, method=refiner)
    assert found.dtype == np.uint16
    assert set(np.unique(found)) <= {0, 300}
    assert not found[[0, 2]].any()
    assert (found[1] != labels[1]).any()
    assert ((confidence >= 0) & (confidence <= 1)).all()
    again, _ = refine_labels(image, labels, method=refiner)
    assert_same_labels(found, again)


def test_empty_slices_are_not_even_encoded(tiny_sam, tmp_path):
    folder = tmp_path / "store"
    store = FeatureStore(folder)
    labels = np.zeros((4, *SHAPE), np.uint8)
    labels[2] = REGION
    image = np.random.default_rng(0).random((4, *SHAPE), dtype=np.float32)
    refiner = get_refiner("sam-vit-b", sam_weights=tiny_sam, store=store)
    refine_labels(image, labels, method=refiner)
    assert len(list(folder.glob("*/*/*/zarr.json"))) == 1


def test_colour_and_many_channels_are_refined(tiny_sam):
    rng = np.random.default_rng(0)
    labels = (REGION * 1).astype(np.uint8)
    for channels in (3, 5):
        image = Volume(
            rng.random((*SHAPE, channels), dtype=np.float32), (1.0, 1.0), has_channels=True
        )
        refiner = get_refiner("sam-vit-b", sam_weights=tiny_sam)
        found, _ = refine_labels(image, labels, method=refiner)
        assert found.shape == SHAPE

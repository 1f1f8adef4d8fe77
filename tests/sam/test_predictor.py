from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot.config import ExtractionConfig, IntensityConfig
from napari_fewshot.errors import InputError
from napari_fewshot.features.extract import FeatureExtractor
from napari_fewshot.features.store import FeatureStore
from napari_fewshot.sam import Prompts, load_sam
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.types import Volume

SHAPE = (40, 56)


@pytest.fixture(scope="module")
def predictor(sam):
    return sam.predictor


@pytest.fixture(scope="module")
def reference(official):
    """The official predictor around the same weights."""
    from segment_anything import SamPredictor as Official

    made = Official(official)
    image = np.random.default_rng(0).integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
    made.set_image(image)
    return made


def compare(reference, predictor, ours: Prompts, **theirs) -> None:
    masks, iou, low = reference.predict(**theirs, multimask_output=True, return_logits=True)
    found = predictor.predict(reference.features[0], SHAPE, ours)
    np.testing.assert_allclose(found.low[0], low, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.iou[0], iou, rtol=1e-3, atol=1e-4)
    # Ours are brought to the slice in one step, theirs in two, which blurs noise.
    assert np.corrcoef(found.logits[0].ravel(), masks.ravel())[0, 1] > 0.97


def test_points_give_the_masks_of_the_official_predictor(reference, predictor):
    points = np.array([[[5.0, 30.0], [20.0, 9.0]]])
    labels = np.array([[1, 0]])
    compare(
        reference,
        predictor,
        Prompts(points=points, point_labels=labels),
        point_coords=points[0, :, ::-1],
        point_labels=labels[0],
    )


def test_boxes_and_points_together_give_those_of_the_official_predictor(reference, predictor):
    compare(
        reference,
        predictor,
        Prompts(
            points=np.array([[[15.0, 30.0]]]),
            point_labels=np.array([[1]]),
            boxes=np.array([[4.0, 10.0, 30.0, 50.0]]),
        ),
        point_coords=np.array([[30.0, 15.0]]),
        point_labels=np.array([1]),
        box=np.array([10.0, 4.0, 50.0, 30.0]),
    )


def test_masks_give_those_of_the_official_predictor(reference, predictor):
    low = np.random.default_rng(1).normal(size=(1, 32, 32)).astype(np.float32)
    compare(
        reference,
        predictor,
        Prompts(points=np.array([[[15.0, 30.0]]]), point_labels=np.array([[1]]), masks=low),
        point_coords=np.array([[30.0, 15.0]]),
        point_labels=np.array([1]),
        mask_input=low,
    )


def test_smooth_masks_come_to_the_slice_as_with_the_official_predictor(reference, predictor):
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(4).normal(size=(32, 32))
    low = torch.from_numpy(gaussian_filter(noise, 3).astype(np.float32))[None, None]
    theirs = reference.model.postprocess_masks(low, reference.input_size, SHAPE)
    ours = predictor.to_slice(low, SHAPE)
    assert (ours - theirs).abs().max() < 0.05 * theirs.abs().max()


def test_many_prompts_are_as_each_alone(reference, predictor):
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 40, (70, 1, 2))
    many = Prompts(points=points, point_labels=np.ones((70, 1)))
    found = predictor.predict(reference.features[0], SHAPE, many, several=False)
    assert found.logits.shape == (70, 1, *SHAPE)
    alone = predictor.predict(reference.features[0], SHAPE, many.part(slice(68, 69)), several=False)
    np.testing.assert_allclose(found.logits[68], alone.logits[0], rtol=1e-3, atol=1e-4)


def test_fewer_points_are_not_filled_up(reference, predictor):
    """The mask of one anatomy does not depend on how many parts another has."""
    points = np.array([[[5.0, 30.0], [0, 0], [0, 0]], [[9, 9], [20, 9], [30, 40]]])
    both = Prompts(points=points, point_labels=np.array([[1, -1, -1], [1, 1, 1]]))
    found = predictor.predict(reference.features[0], SHAPE, both)
    for row, count in enumerate((1, 3)):
        alone = Prompts(points=points[row : row + 1, :count], point_labels=np.ones((1, count)))
        expected = predictor.predict(reference.features[0], SHAPE, alone)
        np.testing.assert_allclose(found.low[row], expected.low[0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(found.iou[row], expected.iou[0], rtol=1e-3, atol=1e-4)


def test_medsam_gives_its_one_mask(tiny_sam, reference):
    medsam = load_sam("medsam", weights=tiny_sam).predictor
    boxes = np.array([[4.0, 10.0, 30.0, 50.0]])
    assert medsam.predict(reference.features[0], SHAPE, Prompts(boxes=boxes)).iou.shape == (1, 1)


def test_a_mask_comes_back_from_its_low_resolution(predictor):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[8:30, 20:45] = True
    low = predictor.to_low(mask)
    assert low.shape == (32, 32)
    assert (low[24:] < 0).all()  # 40 of 56 rows fill 23 of 32
    back = predictor.to_slice(torch.from_numpy(low)[None, None], SHAPE)[0, 0].numpy() > 0
    assert (back & mask).sum() / (back | mask).sum() > 0.9


def test_what_does_not_fit_is_refused(predictor):
    with pytest.raises(InputError, match=r"have shape \(32, 8, 8\) for sam-vit-b"):
        predictor.predict(torch.zeros(32, 8, 4), SHAPE, Prompts(boxes=np.zeros((1, 4))))
    with pytest.raises(InputError, match="have points, boxes or masks"):
        predictor.predict(torch.zeros(32, 8, 8), SHAPE, Prompts())


def test_embeddings_are_shared_with_a_segmenter_through_the_store(tiny_sam, tmp_path):
    """What the backbone of a model has encoded is not encoded again for the decoder."""
    from napari_fewshot.backbones import get_backbone

    store = FeatureStore(tmp_path)
    data = np.random.default_rng(0).random((2, *SHAPE), dtype=np.float32)
    stack = SliceStack(Volume(data, spacing=(1.0, 1.0, 1.0)), 0, IntensityConfig())
    first = FeatureExtractor(get_backbone("sam-vit-b", tiny_sam), ExtractionConfig(), store=store)
    fmap = first.map(stack, 1)
    second = load_sam("sam-vit-b", weights=tiny_sam, store=store)
    assert second.extractor.has(stack, 1)
    embedding = second.embeddings(stack)[1]
    assert second.extractor.seconds_per_slice is None
    assert embedding.shape == (32, 8, 8)
    np.testing.assert_array_equal(embedding[:, : fmap.data.shape[1]], fmap.data)


def test_channels_other_than_colour_are_averaged(sam):
    data = np.random.default_rng(0).random((*SHAPE, 5), dtype=np.float32)
    many = SliceStack(Volume(data, spacing=(1.0, 1.0), has_channels=True), 0, IntensityConfig())
    embeddings = sam.embeddings(many)
    assert embeddings.source.channels == 1
    assert embeddings[0].shape == (32, 8, 8)
    np.testing.assert_allclose(embeddings.source.slice(0)[0], many.slice(0).mean(axis=0), rtol=1e-6)


def test_a_part_keeps_the_points_of_its_prompts_wherever_they_stand():
    points = [[[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]], [[5.0, 6.0], [0.0, 0.0], [7.0, 8.0]]]
    prompts = Prompts(points=points, point_labels=[[-1, -1, 1], [1, -1, 0]])
    first = prompts.part(slice(0, 1))
    assert first.points.tolist() == [[[3, 4]]]
    assert first.point_labels.tolist() == [[1]]
    assert prompts.part(slice(0, 2)).point_labels.tolist() == [[-1, 1], [1, 0]]

"""PerSAM: target, prior, guidance and refinement against plain computations; PerSAM-F."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot import Template
from napari_fewshot.config import IntensityConfig, PerSamConfig
from napari_fewshot.errors import Cancelled, InputError
from napari_fewshot.sam import Prompts, load_sam, persam
from napari_fewshot.sam.cells import guided_attention
from napari_fewshot.sam.personal import (
    Target,
    find_targets,
    fit_mask_weights,
    learn_targets,
    location_prior,
    mask_loss,
    similar_pixels,
)
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.types import Volume

SHAPE = (40, 56)


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    image = rng.random((4, *SHAPE)).astype(np.float32)
    labels = np.zeros(image.shape, np.int16)
    labels[1, 5:20, 8:30] = 2
    labels[1, 25:35, 5:15] = 7
    labels[2, 6:20, 8:28] = 2
    return Volume(image, (2, 1, 1)), labels


@pytest.fixture(scope="module")
def embedding(sam, scene):
    return sam.embeddings(SliceStack(scene[0], 0, IntensityConfig()))[3]


def test_prior_is_the_most_and_the_least_similar_pixel(sam, embedding):
    targets = torch.randn(2, 32, generator=torch.Generator().manual_seed(1))
    cells, maps = similar_pixels(targets, embedding, SHAPE, sam.predictor)
    assert maps.shape == (2, *SHAPE)
    assert cells.shape == (2, 8, 8)
    points, kinds = location_prior(maps, negative=True)
    assert kinds.tolist() == [[1, 0], [1, 0]]
    for k in range(2):
        best = max(np.ndindex(SHAPE), key=lambda at: maps[k][at])
        worst = min(np.ndindex(SHAPE), key=lambda at: maps[k][at])
        assert tuple(points[k, 0]) == best
        assert tuple(points[k, 1]) == worst
    points, kinds = location_prior(maps, negative=False)
    assert points.shape == (2, 1, 2)
    assert kinds.tolist() == [[1], [1]]


def test_two_steps_of_refinement_as_written_out(sam, embedding):
    """Point prompt with guidance, then mask and points, then mask, points and box."""
    predictor = sam.predictor
    targets = torch.randn(3, 32, generator=torch.Generator().manual_seed(3))
    given = [Target(k + 1, one) for k, one in enumerate(targets)]
    found, _ = find_targets(given, embedding, SHAPE, predictor, PerSamConfig())
    for k, target in enumerate(targets):
        cells, maps = similar_pixels(target[None], embedding, SHAPE, predictor)
        points, kinds = location_prior(maps, negative=True)
        attention = guided_attention(cells, SHAPE, predictor.extent(SHAPE))
        masks = predictor.guided(attention, target[None]).predict(
            embedding, SHAPE, Prompts(points, kinds), several=False
        )
        logits, low, iou = masks.logits[0, 0], masks.low[0, 0], masks.iou[0, 0]
        for step in range(2):
            rows, columns = np.nonzero(logits > 0)
            if not len(rows):
                break
            box = np.array([[rows.min(), columns.min(), rows.max(), columns.max()]], float)
            masks = predictor.predict(
                embedding, SHAPE, Prompts(points, kinds, box if step else None, low[None])
            )
            best = masks.iou[0].argmax()
            logits, low, iou = masks.logits[0, best], masks.low[0, best], masks.iou[0, best]
        np.testing.assert_allclose(found.logits[k, 0], logits, rtol=1e-3, atol=1e-4)
        assert found.iou[k, 0] == pytest.approx(iou, abs=1e-4)


def test_without_its_parts_it_is_a_plain_point_prompt(sam, embedding):
    config = PerSamConfig(attention=False, semantic=False, negative=False, refinements=0)
    target = torch.randn(32, generator=torch.Generator().manual_seed(4))
    found, _ = find_targets([Target(1, target)], embedding, SHAPE, sam.predictor, config)
    _, maps = similar_pixels(target[None], embedding, SHAPE, sam.predictor)
    points, kinds = location_prior(maps, negative=False)
    plain = sam.predictor.predict(embedding, SHAPE, Prompts(points, kinds), several=False)
    np.testing.assert_allclose(found.logits[0, 0], plain.logits[0, 0], rtol=1e-4, atol=1e-5)


def test_what_is_not_similar_gets_no_mask(sam, scene, embedding):
    targets = [Target(1, embedding[:, 2, 2]), Target(2, -embedding.mean(dim=(1, 2)))]
    _, highest = find_targets(targets, embedding, SHAPE, sam.predictor, PerSamConfig())
    assert highest[0] >= 0.9 > highest[1]
    config = {"min_similarity": 1.0}
    found = persam(Template(*scene), scene[0], sam=sam, config=config, slices=[3])
    assert not found.labels.any()
    assert (found.confidence == 1).all()


def test_the_loss_is_dice_and_focal():
    rng = np.random.default_rng(0)
    logits, mask = rng.normal(size=50) * 3, rng.random(50) > 0.6
    found = mask_loss(torch.from_numpy(logits), torch.from_numpy(mask).double()).item()
    p = 1 / (1 + np.exp(-logits))
    dice = 1 - (2 * p[mask].sum() + 1) / (p.sum() + mask.sum() + 1)
    focal = 0.0
    for chance, inside in zip(p, mask, strict=True):
        right = chance if inside else 1 - chance
        focal -= (0.25 if inside else 0.75) * (1 - right) ** 2 * np.log(right)
    assert found == pytest.approx(dice + focal / 50, rel=1e-6)


def test_fine_tuning_finds_the_scale_that_fits():
    rows, columns = np.mgrid[:40, :40]
    away = np.hypot(rows - 20, columns - 20)
    logits = np.stack([r - away for r in (8.0, 20.0, 24.0)]).astype(np.float32)
    config = PerSamConfig(steps=600, learning_rate=5e-3)
    seen = []
    weights, losses = fit_mask_weights(
        [logits], [away < 8], config, lambda *told: seen.append(told)
    )
    assert weights.sum() == pytest.approx(1)
    assert losses[-1] < 0.4 * losses[0]
    assert len(losses) == 600
    assert all(later <= before + 1e-4 for before, later in zip(losses, losses[50:], strict=False))
    mixed = np.einsum("m,mhw->hw", weights, logits) > 0
    assert (mixed & (away < 8)).sum() / (mixed | (away < 8)).sum() > 0.9
    assert seen[-1] == (600, 600, "mask weights")


def test_fine_tuned_masks_are_mixed(sam, scene, embedding):
    volume, labels = scene
    config = PerSamConfig(fine_tune=True, steps=5, refinements=0)
    (two, seven) = learn_targets([Template(volume, labels)], sam, config)
    assert (two.label, seven.label) == (2, 7)
    assert two.weights.shape == (3,)
    found, _ = find_targets([two], embedding, SHAPE, sam.predictor, config)
    _, maps = similar_pixels(two.embedding[None], embedding, SHAPE, sam.predictor)
    points, kinds = location_prior(maps, negative=False)
    masks = sam.predictor.predict(embedding, SHAPE, Prompts(points, kinds))
    mixed = sum(w * mask for w, mask in zip(two.weights, masks.logits[0], strict=True))
    np.testing.assert_allclose(found.logits[0, 0], mixed, rtol=1e-4, atol=1e-5)


def test_templates_and_volumes_of_other_storage_agree(sam, scene, assert_same_labels):
    volume, labels = scene
    seen = []
    found = persam(Template(volume, labels), volume, sam=sam, progress=lambda *t: seen.append(t))
    assert found.labels.shape == volume.shape
    assert set(np.unique(found.labels)) <= {0, 2, 7}
    assert seen[:2] == [(1, 2, "templates"), (2, 2, "templates")]
    assert seen[2:] == [(k, 4, "persam") for k in (1, 2, 3, 4)]
    turned = Volume(np.ascontiguousarray(volume.data.transpose(1, 0, 2)), (1, 2, 1))
    other = Template(turned, np.ascontiguousarray(labels.transpose(1, 0, 2)), axis=1)
    same = persam(other, turned, sam=sam)  # slices along the axis of the template
    assert_same_labels(same.labels.transpose(1, 0, 2), found.labels)
    one = persam(Template(volume, labels), volume.data[3], sam=sam)
    assert one.labels.shape == SHAPE


def test_names_come_from_the_template(sam, scene):
    volume, labels = scene
    template = Template(volume, labels, names={2: "liver"})
    assert persam(template, volume, sam=sam, slices=[0]).names[2] == "liver"


def test_what_does_not_suit_is_refused(sam, tiny_sam, scene):
    volume, labels = scene
    template = Template(volume, labels)
    medsam = load_sam("medsam", weights=tiny_sam)
    with pytest.raises(InputError, match="three masks and predict their IoU; got medsam"):
        persam(template, volume, sam=medsam)
    scribbles = Template(volume, labels, kind="scribble")
    with pytest.raises(InputError, match="needs whole masks"):
        persam(scribbles, volume, sam=sam, config={"fine_tune": True})
    with pytest.raises(InputError, match="be at least one"):
        persam([], volume, sam=sam)

    def stop(done, total, what):
        raise Cancelled

    with pytest.raises(Cancelled):
        persam(template, volume, sam=sam, progress=stop)

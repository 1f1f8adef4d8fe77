"""Synthetic episodes: images of one anatomy, with the same regions named in each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from napari_fewshot.finetuning.synthetic.axons import Axons
from napari_fewshot.finetuning.synthetic.episodes import draw_batch
from napari_fewshot.finetuning.synthetic.neuropil import Neuropil
from napari_fewshot.finetuning.synthetic.noise import bank_of
from napari_fewshot.finetuning.synthetic.smears import Smear


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    first = draw_batch(3, 5, ((48, 2),), 2, 64)
    draw_batch(3, 6, ((48, 2),), 2, 64)
    again = draw_batch(3, 5, ((48, 2),), 2, 64)
    for one, other in zip(first.images, again.images, strict=True):
        assert np.array_equal(one, other)
    for name in ("index", "labels", "again", "twins"):
        assert np.array_equal(getattr(first, name), getattr(again, name)), name
    assert not np.array_equal(first.labels, draw_batch(3, 6, ((48, 2),), 2, 64).labels)
    assert not np.array_equal(first.labels, draw_batch(4, 5, ((48, 2),), 2, 64).labels)


def test_episodes_are_images_in_range_with_several_regions() -> None:
    regions, shared = [], []
    for step in range(8):
        batch = draw_batch(0, step, ((64, 2),), 2, 200)
        for images in (*batch.images, batch.again):
            assert images.dtype == np.float32
            assert max(images.shape[2:]) <= 64
            assert np.isfinite(images).all()
            assert images.min() >= 0
            assert images.max() <= 1
        for k, images in enumerate(batch.images):
            assert images.shape[:2] == (2, 3)
            assert batch.index[:, k].max() < images[0, 0].size
        for labels in batch.labels:
            one, other = (set(m.tolist()) for m in labels)
            regions.append(len(one))
            shared.append(len(one & other) / len(one))
    assert np.median(regions) > 4
    assert np.mean(shared) > 0.6


def test_twins_are_the_same_pixels_of_an_image_in_two_of_its_parts() -> None:
    shapes = set()
    for step in range(6):
        batch = draw_batch(0, step, ((96, 5),), 2, 50)
        assert len(batch.again) == 2
        for e, other in enumerate(batch.again):
            one = batch.images[0][e].reshape(3, -1)[:, batch.twins[0, e]]
            assert np.array_equal(one, other.reshape(3, -1)[:, batch.twins[1, e]])
        shapes |= {images.shape[2:] for images in (*batch.images, batch.again)}
    assert len(shapes) > 3


@pytest.mark.parametrize("family", [Neuropil, Axons, Smear])
def test_tissue_that_is_laid_anew_has_the_same_regions(
    family: type[Neuropil | Axons | Smear],
) -> None:
    rng, bank = np.random.default_rng(0), bank_of(0)
    found: set[int] = set()
    for _ in range(6):
        style = family.draw(rng, 128)
        one, other = (style.lay(rng, bank, 128).paint(rng, 1.0) for _ in range(2))
        assert one.shape == (128, 128)
        assert not np.array_equal(one, other)
        for labels in (one, other):
            assert set(np.unique(labels)) <= set(range(len(style.roles)))
            found |= set(np.unique(labels).tolist())
        assert len(style.names) == len(style.roles)
    assert len(found) >= len(style.roles) - 1


def test_membranes_of_neuropil_keep_their_width_whatever_the_size_of_cells() -> None:
    rng, bank = np.random.default_rng(1), bank_of(0)
    style = Neuropil.draw(rng, 256)
    widths = []
    for pitch in (25.0, 70.0):
        kind = replace(style, pitch=pitch, membrane=4.0, wrapped=0, synapses=0, mitochondria=0)
        membrane = kind.lay(rng, bank, 256).ground == kind.roles.index("membrane")
        widths.append(2 * distance_transform_edt(membrane)[membrane].mean())
    assert widths[0] == pytest.approx(widths[1], rel=0.25)

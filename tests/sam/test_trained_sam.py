"""Every mode with a small SAM that was trained on synthetic shapes: is it worth anything."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import Template, evaluate_labels, load_sam, match_instances
from napari_fewshot.features.cache import FeatureCache
from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices
from napari_fewshot.sam import persam, sam_automatic, sam_boxes, sam_points


@pytest.fixture(scope="module")
def untrained(tiny_sam):
    return load_sam("sam-vit-b", weights=tiny_sam, cache=FeatureCache())


@pytest.fixture(scope="module")
def phantom():
    return make_phantom("torso", 0, (8, 64, 80))


def dice(labels, phantom, painted=()):
    scores = evaluate_labels(
        labels, phantom.labels.data, phantom.image.spacing, exclude=(0, list(painted))
    )
    return scores.mean.dice


def test_boxes_and_points_find_what_they_point_at(trained, untrained, phantom):
    truth = phantom.labels.data
    boxes, points = (
        dice(method(phantom.image, truth, sam=trained).labels, phantom)
        for method in (sam_boxes, sam_points)
    )
    assert boxes > 0.6
    assert points > 0.3
    assert boxes > points  # a box tells more than a point
    assert dice(sam_boxes(phantom.image, truth, sam=untrained).labels, phantom) < boxes / 2


def test_automatic_mode_finds_structures_between_its_limits(trained, phantom):
    truth = phantom.labels.data
    settings = {"points_per_side": 16, "iou": 0, "stability": 0, "max_area": 0.3, "min_area": 12}
    found = sam_automatic(phantom.image, sam=trained, config=settings, slices=[3, 4])
    others = [k for k in range(8) if k not in (3, 4)]
    assert dice(match_instances(found.labels, truth), phantom, others) > 0.4
    areas = np.array([one.area for one in found.instances])
    assert (areas >= 12).all()
    assert (areas <= 0.3 * 64 * 80).all()


def test_the_mixture_of_masks_helps_where_it_was_learned(trained, phantom):
    # On other slices the small SAM's similarity does not find organs: nothing is asked of them.
    slices = template_slices(phantom, 1)
    template = Template(phantom.image, painted_labels(phantom, slices))
    others = [k for k in range(8) if k not in slices]
    plain, fine = (
        dice(persam(template, phantom.image, sam=trained, config=config).labels, phantom, others)
        for config in ({}, {"fine_tune": True, "steps": 200})
    )
    assert fine > 0.2
    assert fine > plain

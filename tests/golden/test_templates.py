"""What templates say: painted slices, scribbles, empty slices, several images, points, planes."""

from __future__ import annotations

import numpy as np

from napari_fewshot import Template

from .compare import Tolerance
from .scenes import constellation, picture, scene


def predicted(golden, name, model, image, tolerance=None, **more):
    found = model.predict(image, **more)
    golden(
        name,
        tolerance,
        labels=found.labels,
        confidence=found.confidence,
        landmarks=found.landmarks,
    )
    return found


def test_scribbles(segmenter, one, other, golden):
    painted = one.painted().data.astype(np.int32)
    painted[:, ::2] = 0
    for k in (2, 5, 7):
        painted[k, 1:4], painted[k, 20:22, 2:14] = -1, -1
    model = segmenter().fit(Template(one.image, painted, kind="scribble"))
    predicted(golden, "scribbles", model, other.image)


def test_known_empty_slices(segmenter, one, other, golden):
    model = segmenter(adapter="classification").fit(
        Template(one.image, one.painted((3, 5)), slices=(0, 3, 5, 10))
    )
    predicted(golden, "known empty", model, other.image)
    score = model.held_out_score()
    golden("known empty", Tolerance(number=0.02), score=[score.dice, score.folds])


def test_several_templates_that_know_some_labels(segmenter, one, other, golden):
    first, second = (
        Template(s.image, np.where(np.isin(s.painted().data, v), s.painted().data, 0),
                 known_labels=v, axis=0)
        for s, v in ((one, (1, 2)), (scene(3, (-1, 2)), (3,)))
    )  # fmt: skip
    model = segmenter().fit([first, second])
    predicted(golden, "some labels", model, other.image)


def test_several_volumes(segmenter, one, other, golden):
    model = segmenter(adapter="classification").fit(
        [one.template((4, 6)), scene(3, (-1, 2)).template((3, 7))]
    )
    # Some processors round a pixel to the other side of what is sure enough to be learned.
    loose = Tolerance(voxels=0.01, mean=0.004, most=0.05)
    predicted(golden, "several volumes", model, other.image, loose)
    score = model.held_out_score()
    golden("several volumes", Tolerance(number=0.02), score=[score.dice, score.grouped_by])


def test_one_label_against_the_rest(segmenter, one, other, golden):
    model = segmenter(adapter="cosine").fit(one.template().only(3))
    predicted(golden, "only", model, other.image)


def test_coronal_slices(segmenter, one, other, golden):
    painted = one.painted((9, 13, 26, 29), axis=1)
    model = segmenter(adapter="classification").fit(Template(one.image, painted, axis="coronal"))
    predicted(golden, "coronal", model, other.image)


def test_fused_planes(segmenter, one, other, golden):
    coronal = Template(one.image, one.painted((9, 13, 26, 29), axis=1), axis=1)
    model = segmenter(adapter="cosine").fit([one.template(), coronal])
    predicted(golden, "fused", model, other.image, axis="fused")


def test_points(segmenter, one, other, golden):
    model = segmenter(adapter="classification").fit(
        [Template(s.image, points=s.points, axis=0) for s in (one, scene(3, (-1, 2)))]
    )
    found = predicted(golden, "points", model, other.image)
    assert {point.label for point in found.landmarks} == {11, 12}


def test_points_beside_painted_slices(segmenter, one, other, golden):
    model = segmenter().fit(one.template(points=one.points))
    several = {"landmarks": {"per_label": 2, "min_distance": 4.0, "min_score": 0.2}}
    predicted(golden, "paint and points", model.with_propagation(several), other.image)


def test_an_arrangement_of_points(segmenter, golden):
    image, points = constellation()
    model = segmenter(adapter="classification", sampling={"point_radius": 2.0}).fit(
        Template(image, points=points, axis=0)
    )
    target, _ = constellation(2)
    predicted(golden, "arrangement", model, target)
    alone = model.with_propagation({"landmarks": {"arrangement": False, "min_score": 0.1}})
    predicted(golden, "each alone", alone, target)


def test_a_colour_picture(segmenter, golden):
    image, labels = picture()
    model = segmenter().fit(Template(image, labels))
    predicted(golden, "picture", model, picture(1)[0])
    grey = segmenter(adapter="cosine").fit(Template(image[..., 0], labels))
    predicted(golden, "grey picture", grey, picture(1)[0][..., 0])

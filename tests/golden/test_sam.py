"""SAM by itself: everything, boxes, points, PerSAM."""

from __future__ import annotations

from dataclasses import replace

from napari_fewshot import (
    PersonalSam,
    PromptBox,
    match_instances,
    persam,
    sam_automatic,
    sam_boxes,
    sam_points,
)

from .compare import BFLOAT16, Tolerance

SLICES = [3, 5]


def test_automatic(sam, other, golden):
    settings = {"points_per_side": 8, "iou": 0.3, "stability": 0.5, "min_area": 12}
    found = sam_automatic(other.image, sam=sam, config=settings, slices=SLICES)
    matched = match_instances(found.labels, other.truth)
    golden("automatic", BFLOAT16, labels=matched)
    golden("automatic", Tolerance(number=0.02), count=len(found.instances),
           fields=sorted(vars(found.instances[0])))  # fmt: skip


def test_boxes_round_labels(sam, other, golden):
    for each in ("component", "label"):
        found = sam_boxes(other.image, other.truth, sam=sam, slices=SLICES,
                          config={"each": each, "margin": 0.1})  # fmt: skip
        golden(f"boxes {each}", BFLOAT16, labels=found.labels, confidence=found.confidence)


def test_boxes_that_were_drawn(sam, other, golden):
    boxes = [PromptBox(1, (5, 8, 3), (5, 20, 15)), PromptBox(3, (5, 26, 6), (5, 32, 30))]
    found = sam_boxes(other.image, boxes, sam=sam)
    golden("drawn", BFLOAT16, labels=found.labels, confidence=found.confidence)


def test_points(sam, other, golden):
    found = sam_points(other.image, other.truth, sam=sam, slices=SLICES)
    golden("points", BFLOAT16, labels=found.labels, confidence=found.confidence)


def test_persam(sam, one, other, golden):
    found = persam(one.template((5,)), other.image, sam=sam, slices=SLICES)
    golden(
        "persam",
        BFLOAT16,
        labels=found.labels,
        confidence=found.confidence,
        names=dict(found.names),
    )
    learned = PersonalSam.learn([one.template((4, 6))], sam=sam,
                                config={"fine_tune": True, "steps": 20})  # fmt: skip
    found = learned.segment(other.image, slices=SLICES)
    few = replace(BFLOAT16, dice=0.75)  # a label of 20 voxels
    golden("persam-f", few, labels=found.labels, confidence=found.confidence)

"""Position chosen by the score on held-out templates."""

from __future__ import annotations

import numpy as np

from napari_fewshot import FewShotSegmenter, Template
from napari_fewshot.segmenter import companions, fit_with_best_position

# Hand-made features, which know nothing of the place; those of a network do.
STEPS = {
    "backbone": "multiscale",
    "adapter": "classification",
    "classification": {"steps": 150},
}


def discs(seed, *, fixed):
    """Four discs: equal ones, of which that at one place is labelled; or a brighter one is."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.2, (48, 48))
    labels = np.zeros((48, 48), np.uint8)
    rows, columns = np.indices(image.shape)
    bright = 0 if fixed else int(rng.integers(4))
    for number, (row, column) in enumerate([(12, 12), (12, 36), (36, 12), (36, 36)]):
        disc = np.hypot(rows - row, columns - column) < 6
        image[disc] += 1.0 if fixed or number == bright else 0.7
        labels[disc & (number == bright)] = 1
    return Template(image.astype(np.float32), labels)


def test_equal_things_are_told_apart_by_position():
    templates = [discs(seed, fixed=True) for seed in range(3)]
    without = FewShotSegmenter(position={"use": False}, **STEPS)
    best, scores = fit_with_best_position(without, templates)
    assert best.config.position.use
    assert scores[True].mean > scores[False].mean + 0.2
    assert best.label_values_ == (1,)


def test_position_that_misleads_is_left_out(monkeypatch):
    # As if it went unnoticed.
    monkeypatch.setattr(companions, "have_places", lambda training: True)
    templates = [discs(seed, fixed=False) for seed in (0, 1, 2)]  # three different places
    assert len({tuple(np.argwhere(t.labels.data)[0]) for t in templates}) == 3
    best, scores = fit_with_best_position(FewShotSegmenter(**STEPS), templates)
    assert not best.config.position.use
    assert scores[False].mean > scores[True].mean


def test_one_slice_changes_nothing():
    for use in (True, False):
        model = FewShotSegmenter(position={"use": use}, **STEPS)
        best, scores = fit_with_best_position(model, discs(0, fixed=True))
        assert best.config.position.use is use
        assert set(scores.values()) == {None}

"""A tree of offsets between landmarks."""

from __future__ import annotations

import numpy as np

from napari_fewshot.landmarks.structure import Structure

PLACES = np.array([[-0.3, 0.0], [-0.1, 0.05], [0.1, -0.05], [0.3, 0.0]])
SHAPE = (60, 40)


def likelihoods(shown):
    """Peaks (L, h, w) at places in units from the middle, {row: [(place, height)]}."""
    found = np.full((len(PLACES), *SHAPE), 0.01, np.float32)
    for row, several in shown.items():
        for place, height in several:
            at = np.round((np.array(place) + np.array(SHAPE) / 120) * 60 - 0.5).astype(int)
            found[row][tuple(at)] = height
    return found


def tops(marginals):
    each = [np.unravel_index(one.argmax(), one.shape) for one in marginals]
    return (np.array(each) + 0.5) / 60 - np.array(SHAPE) / 120


def test_neighbours_tell_repeated_parts_from_each_other():
    """All look alike: a higher peak at the place of another is not taken."""
    shown = {row: [(place, 0.5) for place in PLACES] for row in range(4)}
    shown[1].append((PLACES[3], 1.0))
    tree = Structure.of([PLACES])
    found, _ = tree.marginals(likelihoods(shown), 1 / 60, 1.0)
    np.testing.assert_allclose(tops(found), PLACES, atol=0.02)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), 1, rtol=1e-4)


def test_one_that_is_not_seen_follows_from_the_others():
    shown = {row: [(place, 1.0)] for row, place in enumerate(PLACES) if row != 2}
    found, _ = Structure.of([PLACES]).marginals(likelihoods(shown), 1 / 60, 1.0)
    assert np.abs(tops(found)[2] - PLACES[2]).max() < 0.06


def test_the_scale_that_fits_has_the_most_evidence():
    shown = {row: [(0.8 * place, 1.0)] for row, place in enumerate(PLACES)}
    tree, maps = Structure.of([PLACES]), likelihoods(shown)
    evidence = {scale: tree.marginals(maps, 1 / 60, scale)[1] for scale in (0.8, 1.0, 1.25)}
    assert max(evidence, key=evidence.get) == 0.8


def test_templates_may_lack_landmarks():
    first, second = PLACES.copy(), PLACES + 0.02
    first[0] = second[3] = np.nan
    tree = Structure.of([first, second])
    assert np.isfinite(tree.places).all()
    assert sorted(child for child, _ in tree.edges) == [k for k in range(4) if k != tree.root]


def test_one_landmark_is_a_tree():
    found, _ = Structure.of([PLACES[:1]]).marginals(
        likelihoods({0: [(PLACES[0], 1.0)]})[:1], 1 / 60, 1.0
    )
    np.testing.assert_allclose(tops(found), PLACES[:1], atol=0.02)

"""Landmarks that are placed by what templates show, in images and volumes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_fewshot import FewShotSegmenter, Landmark, Template, Volume
from napari_fewshot.config import IntensityConfig
from napari_fewshot.landmarks.find import placing_stack
from napari_fewshot.landmarks.volumes import registered_volume
from napari_fewshot.segmenter.landmark_file import (
    PackedLandmarks,
    pack_landmarks,
    unpack_landmarks,
)
from napari_fewshot.slices.registration import has_registration

from .conftest import errors, fitted, marks, patients


def test_points_in_a_plane_are_found_exactly(tmp_path):
    *templates, (image, truth) = patients(2, 4)
    model = fitted(templates)
    found = model.predict(image).landmarks
    assert [p.label for p in found] == [1, 2, 3, 4, 5]
    assert max(errors(found, truth).values()) < 4
    assert all(0.3 <= p.score <= 1 for p in found)
    model.save(tmp_path / "m.fewshot")
    again = FewShotSegmenter.load(tmp_path / "m.fewshot").predict(image).landmarks
    for one, other in zip(found, again, strict=True):
        np.testing.assert_allclose(other.position, one.position, atol=0.2)  # stored as float16
        assert other.score == pytest.approx(one.score, abs=0.02)


def test_what_labels_pixels_learns_briefly_where_points_of_planes_are_placed():
    told = []
    templates = [Template(image, points=points) for image, points in patients(2, 3)]
    settings = {"contrastive": {"steps": 50, "update_steps": 7}}

    def progress(done, total, what):
        told.append((what, total))

    model = FewShotSegmenter(**settings).fit(templates, progress)
    assert {total for what, total in told if what == "template features"} == {1}
    assert {total for what, total in told if what == "training"} == {7}
    told.clear()
    again = model.updated(templates[:2], progress)
    assert {what for what, _ in told} <= {"landmarks"}
    assert len(again._learned().landmarks.images) == 2
    told.clear()
    painted = np.zeros(templates[0].volume.shape, np.uint8)
    painted[20:60, 20:60] = 9
    both = [*templates, Template(templates[0].volume, painted)]
    FewShotSegmenter(**settings).fit(both, progress)
    assert {total for what, total in told if what == "training"} == {50}


def test_one_template_is_enough_and_scores_are_said_to_be_no_probabilities(caplog):
    template, (image, truth) = patients(2, 2)
    found = fitted([template]).predict(image).landmarks
    assert max(errors(found, truth).values()) < 6
    assert "not calibrated" in caplog.text


def test_a_landmark_that_one_template_has_is_found():
    *templates, (image, truth) = patients(2, 4)
    templates[1] = (templates[1][0], templates[1][1][:-1])
    templates[2] = (templates[2][0], templates[2][1][:-1])
    found = fitted(templates).predict(image).landmarks
    assert errors(found, truth)["p5"] < 6


def test_points_of_one_name_in_one_image_are_learned_but_not_placed_together(caplog):
    *templates, (image, _) = patients(2, 3)
    twice = [(i, [*points, Landmark("p5", 5, (0.0, 20.0, 100.0))]) for i, points in templates]
    model = fitted(twice)
    assert "Several points are called p5 in one image" in caplog.text
    assert model._learned().landmarks.labels == (1, 2, 3, 4)
    assert {p.label for p in model.predict(image).landmarks} >= {1, 2, 3, 4}


def test_images_of_another_resolution_are_compared_as_shares_of_their_size():
    *templates, (image, truth) = patients(2, 4)
    fine = Volume(ndimage.zoom(image.data, 2, order=1, grid_mode=True, mode="nearest"), (1.0, 1.0))
    found = fitted(templates).predict(fine).landmarks
    at = {p.name: (np.array(p.position[1:]) + 0.5) / 2 - 0.5 for p in found}
    away = [np.linalg.norm(at[p.name] - p.position[1:]) for p in truth]
    assert max(away) < 4


def test_of_a_cropped_image_what_is_outside_is_not_found():
    *templates, (image, truth) = patients(2, 4)
    part = Volume(np.ascontiguousarray(image.data[:100]), image.spacing)
    found = fitted(templates).predict(part)
    names = {p.name for p in found.landmarks}
    assert names >= {"p1", "p2"}
    assert not names & {"p4", "p5"}
    assert {4, 5} <= set(found.not_found)
    away = errors(found.landmarks, truth)
    assert max(away["p1"], away["p2"]) < 6


def test_no_point_lies_outside_of_the_region():
    *templates, (image, _) = patients(2, 4)
    predicted = fitted(templates).predict(image, region=((0, 100), None))
    assert {p.name for p in predicted.landmarks} == {"p1", "p2"}
    assert set(predicted.not_found) == {3, 4, 5}
    rest = [c for p in predicted.landmarks for c in p.candidates]
    rest += [c for own in predicted.not_found.values() for c in own]
    assert all(c.position[1] < 99.5 for c in rest)


def test_other_places_of_repeated_parts_are_candidates():
    """Three equal discs in a row: of each landmark the places of the others are offered."""
    places = np.array([[40, 60], [100, 60], [160, 60]], float)
    rows, columns = np.indices((200, 120))
    image = np.zeros((200, 120), np.float32)
    for row, column in places:
        image[np.hypot(rows - row, columns - column) < 12] = 200
    rng = np.random.default_rng(0)
    volumes = [
        Volume((image + rng.normal(0, 4, image.shape)).astype(np.float32), (1.0, 1.0))
        for _ in range(4)
    ]
    model = fitted([(volume, marks(places)) for volume in volumes[:3]])
    found = model.predict(volumes[3])
    assert [p.label for p in found.landmarks] == [1, 2, 3]
    assert found.not_found == {}
    for point in found.landmarks:
        scores = [one.score for one in point.candidates]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) + point.score <= 1 + 1e-6
        apart = [np.subtract(one.position, point.position) for one in point.candidates]
        assert all(np.linalg.norm(one) > 8 for one in apart)
    near = min(
        np.linalg.norm(np.array(c.position[1:]) - places[0]) for c in found.landmarks[1].candidates
    )
    assert near < 4


def test_off_as_published_and_with_several_of_a_kind():
    *templates, _ = patients(2, 2)
    for landmarks in ({"source": "labels"}, {"arrangement": False}, {"per_label": 2}):
        model = fitted(templates, propagation={"landmarks": landmarks})
        assert model._learned().landmarks is None


@pytest.mark.skipif(not has_registration(), reason="SimpleITK is not installed")
class TestVolumes:
    def test_turned_volumes_are_found(self, tmp_path):
        *templates, (image, truth) = patients(3, 4, 2.0)
        turned = np.transpose(image.data, (1, 2, 0))[::-1, ::-1].copy()
        model = fitted(templates)
        points = [
            Landmark(p.name, p.label, (47 - p.position[1], 51 - p.position[2], p.position[0]))
            for p in truth
        ]
        found = model.predict(Volume(turned, (2.0, 2.0, 2.0))).landmarks
        assert len(found) == 4
        assert max(errors(found, points).values()) < 2
        model.save(tmp_path / "m.fewshot")
        again = FewShotSegmenter.load(tmp_path / "m.fewshot")
        saved = again.predict(Volume(turned, (2.0, 2.0, 2.0))).landmarks
        for one, other in zip(found, saved, strict=True):
            np.testing.assert_allclose(other.position, one.position, atol=1e-3)

    @pytest.mark.parametrize(("finer", "spacing"), [(2, 0.2), (1, 1.0)])
    def test_volumes_of_another_size_or_without_spacing_are_compared_as_shares(
        self, finer, spacing
    ):
        *templates, (image, truth) = patients(3, 2, 2.0)
        data = ndimage.zoom(image.data, finer, order=1, grid_mode=True, mode="nearest")
        found = fitted(templates).predict(Volume(data, (spacing,) * 3)).landmarks
        coarse = [
            Landmark(p.name, p.label, tuple((v + 0.5) / finer - 0.5 for v in p.position))
            for p in found
        ]
        assert len(found) == 4
        assert max(errors(coarse, truth).values()) < 2

    def test_where_templates_disagree_what_is_seen_decides(self):
        *templates, (image, truth) = patients(3, 4, 2.0)
        stack = placing_stack(image, IntensityConfig())
        found = registered_volume(stack, fitted(templates)._learned().landmarks)
        right, *others = found.votes
        wrong = tuple(replace(one, places=one.places + 16.0) for one in others)  # mm
        placed = replace(found, votes=(right, *wrong)).placed()
        mm = [(np.array(p.position) + 0.5) * 2 for p in truth]
        assert np.linalg.norm(placed.places - mm, axis=1).max() < 4
        assert (placed.sure < 0.1 * found.placed().sure).all()

    def test_a_mirror_image_is_noticed(self, caplog):
        *templates, (image, _) = patients(3, 2, 2.0)
        found = fitted(templates).predict(Volume(image.data[:, :, ::-1].copy(), image.spacing))
        assert found.landmarks == ()
        assert not found.labels.any()
        assert "mirror image of the templates" in caplog.text

    def test_what_is_not_alike_is_looked_for_as_without(self):
        *templates, _ = patients(3, 2, 2.0)
        other = Volume(np.random.default_rng(0).random((44, 48, 52)).astype(np.float32), (2.0,) * 3)
        model = fitted(templates)
        known = model.landmark_finder(other).find()
        assert known is None
        model.predict(other)


def test_scores_of_trials_of_earlier_versions_are_read():
    templates = patients(2, 3)
    known = fitted(templates)._learned().landmarks
    packed, tensors = pack_landmarks(known)
    assert set(known.trials[:, 2]) == {0, 1}  # whole templates and parts of them
    sure = np.repeat(known.trials[:, :1], 6, axis=1)
    tensors["landmarks.trials"] = np.column_stack([sure, known.trials[:, 1]])
    again, _ = unpack_landmarks(PackedLandmarks.model_validate(packed), tensors)
    assert again.trials.shape == (0, 3)  # they were told by other evidence

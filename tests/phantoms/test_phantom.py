"""The embedded cohort: the same in every run, plausible, and different between patients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from napari_fewshot.errors import InputError, UnknownNameError
from napari_fewshot.phantoms import (
    make_cohort,
    make_phantom,
    painted_labels,
    template_slices,
)

# Millilitres; wide enough for all patients, too narrow for an organ that another swallowed.
VOLUMES = {
    "torso": {
        "liver": (700, 1600),
        "spleen": (50, 220),
        "right kidney": (70, 230),
        "left kidney": (70, 230),
        "stomach": (100, 400),
        "aorta": (45, 130),
        "vena cava": (45, 140),
        "vertebrae": (200, 420),
        "lungs": (800, 2200),
    },
    "joint": {
        "femur": (110, 230),
        "tibia": (80, 190),
        "patella": (12, 33),
        "fibula": (4, 15),
        "cartilage": (18, 55),
        "menisci": (3.5, 12),
    },
}
# The structure that each landmark belongs to, and the farthest it may lie from it in mm.
HOME = {
    "dome of the liver": ("liver", 4),
    "centre of the right kidney": ("right kidney", 0),
    "centre of the left kidney": ("left kidney", 0),
    "aortic bifurcation": ("aorta", 4),
    "centre of vertebra L1": ("vertebrae", 0),
    "tip of the spleen": ("spleen", 4),
    "apex of the patella": ("patella", 3),
    "base of the patella": ("patella", 3),
    "femoral attachment of the ACL": ("femur", 4),
    "tibial attachment of the ACL": ("tibia", 4),
    "tibial attachment of the PCL": ("tibia", 4),
    "tibial tuberosity": ("tibia", 4),
}
KINDS = ("torso", "joint")


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_all_there_with_plausible_volumes(cohorts, kind):
    for phantom in cohorts[kind]:
        voxel = float(np.prod(phantom.labels.spacing)) / 1000
        assert set(np.unique(phantom.labels.data)) - {0} == set(phantom.labels.names)
        for value, name in phantom.labels.names.items():
            low, high = VOLUMES[kind][name]
            assert low < (phantom.labels.data == value).sum() * voxel < high, name


@pytest.mark.parametrize("kind", KINDS)
def test_landmarks_lie_in_or_at_their_structures(cohorts, kind):
    for phantom in cohorts[kind]:
        values = {name: value for value, name in phantom.labels.names.items()}
        assert [mark.label for mark in phantom.landmarks] == [1, 2, 3, 4, 5, 6]
        for mark in phantom.landmarks:
            at = np.rint(mark.position).astype(int)
            assert (at >= 0).all()
            assert (at < phantom.labels.shape).all()
            name, most = HOME[mark.name]
            outside = phantom.labels.data != values[name]
            gap = distance_transform_edt(outside, sampling=phantom.labels.spacing)
            assert gap[tuple(at)] <= most + 1e-6, mark.name


def test_the_dome_is_the_top_of_the_liver(cohorts):
    phantom = cohorts["torso"][0]
    top = np.flatnonzero((phantom.labels.data == 1).any(axis=(1, 2)))[-1]
    assert abs(phantom.landmarks[0].position[0] - top) <= 1.5


def test_the_same_call_gives_the_same_patient_whatever_the_global_state():
    np.random.seed(1)
    first = make_phantom("joint", 3, (16, 48, 48), seed=5)
    np.random.seed(2)
    second = make_phantom("joint", 3, (16, 48, 48), seed=5)
    np.testing.assert_array_equal(first.image.data, second.image.data)
    np.testing.assert_array_equal(first.labels.data, second.labels.data)
    assert first.landmarks == second.landmarks


def test_patient_zero_is_the_recorded_one(cohorts):
    # Recorded counts; 2 % (and 5 voxels) allow for the arithmetic of other processors.
    recorded = {
        "torso": [11874, 1135, 1182, 1360, 2213, 863, 929, 3560, 15066],
        "joint": [17172, 13664, 2244, 869, 3892, 686],
    }
    for kind, counts in recorded.items():
        found = np.bincount(cohorts[kind][0].labels.data.ravel())[1:]
        np.testing.assert_allclose(found, counts, rtol=0.02, atol=5)


@pytest.mark.parametrize("kind", KINDS)
def test_patients_differ_in_anatomy_pose_and_contrast(cohorts, kind):
    first, second = cohorts[kind]
    assert (first.labels.data != second.labels.data).mean() > 0.02
    tones = []
    for phantom in (first, second):
        tones.append([phantom.image.data[phantom.labels.data == v].mean() for v in (1, 2, 3)])
    assert np.abs(np.subtract(*tones)).max() > 5
    gaps = [
        np.linalg.norm((np.array(a.position) - b.position) * first.image.spacing)
        for a, b in zip(first.landmarks, second.landmarks, strict=True)
    ]
    assert 2 < np.mean(gaps) < 40


def test_another_seed_is_another_cohort():
    one, two = (make_phantom("torso", 0, (16, 32, 32), seed=seed) for seed in (0, 1))
    assert (one.labels.data != two.labels.data).mean() > 0.02


def test_neighbouring_organs_share_a_grey_value_and_noise_is_there(cohorts):
    phantom = cohorts["torso"][0]
    tones = {v: phantom.image.data[phantom.labels.data == v].astype(float) for v in (1, 2)}
    assert abs(np.median(tones[1]) - np.median(tones[2])) < 12
    assert tones[1].std() > 8
    assert phantom.image.data.dtype == np.int16
    assert cohorts["joint"][0].image.data.dtype == np.uint16


def test_most_organs_end_within_the_volume(cohorts):
    labels = cohorts["torso"][0].labels.data
    for value in range(1, 8):
        assert (~(labels == value).any(axis=(1, 2))).sum() >= 8, value


@pytest.mark.parametrize("kind", KINDS)
def test_a_finer_grid_shows_the_same_patient(kind):
    coarse = make_phantom(kind, 1, (24, 48, 48))
    fine = make_phantom(kind, 1, (48, 96, 96))
    for a, b in zip(coarse.landmarks, fine.landmarks, strict=True):
        world = [p.image.affine @ np.array([*m.position, 1]) for p, m in ((coarse, a), (fine, b))]
        np.testing.assert_allclose(*world, atol=1e-6)
    np.testing.assert_allclose(np.array(coarse.image.spacing) / fine.image.spacing, 2)
    share = [(p.labels.data == 1).mean() for p in (coarse, fine)]
    assert share[0] == pytest.approx(share[1], rel=0.1)


@pytest.mark.parametrize("storage", ["RAS", "SPL", "AIR"])
def test_storage_moves_voxels_and_keeps_the_patient(storage):
    usual = make_phantom("torso", 2, (12, 20, 24))
    other = make_phantom("torso", 2, (12, 20, 24), storage=storage)
    for a, b in zip(usual.landmarks, other.landmarks, strict=True):
        world = [p.image.affine @ [*m.position, 1] for p, m in ((usual, a), (other, b))]
        np.testing.assert_allclose(*world, atol=1e-6)
    # Every voxel is found again through the two affines.
    index = np.array([*np.indices(other.image.shape).reshape(3, -1), np.ones(12 * 20 * 24)])
    back = np.rint(np.linalg.inv(usual.image.affine) @ other.image.affine @ index)[:3].astype(int)
    np.testing.assert_array_equal(usual.image.data[tuple(back)], other.image.data.ravel())
    np.testing.assert_array_equal(usual.labels.data[tuple(back)], other.labels.data.ravel())
    lengths = np.linalg.norm(other.image.affine[:3, :3], axis=0)
    np.testing.assert_allclose(other.image.spacing, lengths)


def test_default_storage_is_radiological(cohorts):
    torso, joint = cohorts["torso"][0].image.affine, cohorts["joint"][0].image.affine
    assert [torso[2, 0] > 0, torso[1, 1] < 0, torso[0, 2] < 0] == [True] * 3
    assert [joint[0, 0] < 0, joint[2, 1] < 0, joint[1, 2] < 0] == [True] * 3


def test_bad_arguments_are_refused():
    with pytest.raises(UnknownNameError, match=r"Did you mean torso"):
        make_phantom("torsos")
    for patient in (-1, 1.5, True):
        with pytest.raises(InputError, match="patient"):
            make_phantom("torso", patient)
    for shape in ((64, 64), (4, 64, 64), (64, 64, 64.0), 64, (64, 64, 5000)):
        with pytest.raises(InputError, match="shape"):
            make_phantom("torso", 0, shape)
    for storage in ("LPX", "LLS", "LP", "RLS"):
        with pytest.raises(InputError, match="storage"):
            make_phantom("torso", storage=storage)
    for patients in (0, [], [0, -1]):
        with pytest.raises(InputError, match="patients"):
            make_cohort("torso", patients)


def test_a_cohort_names_its_patients():
    cohort = make_cohort("joint", [4, 1], (8, 16, 16))
    assert [phantom.patient for phantom in cohort] == [4, 1]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_even_and_within_the_labels(cohorts, axis):
    phantom = cohorts["joint"][0]
    chosen = template_slices(phantom, 5, axis)
    gaps = np.diff(chosen)
    assert len(chosen) == 5
    assert gaps.max() - gaps.min() <= 1
    assert all(phantom.labels.data.take(n, axis).any() for n in chosen)


def test_painted_labels_hold_these_slices_only(cohorts):
    phantom = cohorts["torso"][0]
    painted = painted_labels(phantom, (30, 12), axis=1)
    np.testing.assert_array_equal(painted.data[:, [12, 30]], phantom.labels.data[:, [12, 30]])
    rest = np.delete(painted.data, [12, 30], axis=1)
    assert not rest.any()
    assert painted.names == phantom.labels.names
    np.testing.assert_array_equal(painted.affine, phantom.image.affine)


def test_slices_outside_are_refused(cohorts):
    phantom = cohorts["joint"][0]
    for n in (0, 500, 2.5):
        with pytest.raises(InputError, match=r"^n must"):
            template_slices(phantom, n)
    with pytest.raises(InputError, match="axis"):
        template_slices(phantom, 3, 3)
    with pytest.raises(InputError, match="slices"):
        painted_labels(phantom, [phantom.labels.shape[0]])

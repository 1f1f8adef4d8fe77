import numpy as np
import pytest

from napari_fewshot.bench.plan import select_cases
from napari_fewshot.bench.prepare import (
    intensity_of,
    prepare_case,
    resample_points,
    resample_volume,
)
from napari_fewshot.errors import InputError
from napari_fewshot.types import Landmark, Volume

from .conftest import LANDMARKS, WITHIN


def first(config):
    return prepare_case(select_cases(config).scored[0], config)


def test_labels_that_count(config_of):
    case = first(config_of(WITHIN.replace("[labels]", '[labels]\nuse = ["core"]')))
    assert set(np.unique(case.truth.data)) == {0, 2}
    assert case.truth.names == {2: "core"}
    merged = first(config_of(WITHIN.replace("[labels]", '[labels]\nmerge = "all"')))
    assert set(np.unique(merged.truth.data)) == {0, 1}
    assert merged.truth.names == {1: "all"}
    with pytest.raises(InputError, match="labels.use"):
        first(config_of(WITHIN.replace("[labels]", '[labels]\nuse = ["bone"]')))


def test_window_and_percentiles(config_of):
    text = WITHIN.replace("[labels]", "[image]\nwindow = [0, 60]\n[labels]")
    case = first(config_of(text))
    assert case.image.data.min() == 0
    assert case.image.data.max() == 60
    assert intensity_of(config_of(text).image).mode == "window"
    text = text.replace("window = [0, 60]", "percentiles = [10, 90]")
    assert np.ptp(first(config_of(text)).image.data) < np.ptp(first(config_of(WITHIN)).image.data)


@pytest.mark.parametrize(
    ("mode", "shape"), [("inplane", (10, 10, 12)), ("isotropic", (10, 10, 12))]
)
def test_resampling(config_of, mode, shape):
    text = WITHIN.replace("[labels]", f'[image]\nspacing = 2\nresample = "{mode}"\n[labels]')
    case = first(config_of(text))
    assert case.image.shape == case.truth.shape == shape
    assert case.image.spacing == pytest.approx((2, 2, 2))
    assert set(np.unique(case.truth.data)) == {0, 1, 2}


def test_points_and_affine_move_with_the_grid():
    affine = np.array([[0, 0, 1.0, 5], [0, 1, 0, 6], [2, 0, 0, 7], [0, 0, 0, 1]])
    image = Volume(np.random.default_rng(0).random((4, 6, 8)), (2.0, 1.0, 1.0), affine)
    half = resample_volume(image, (4, 3, 4))
    point = Landmark("p", 1, (1.0, 2.0, 3.0))
    (moved,) = resample_points([point], image.shape, half.shape)
    there = [affine @ (*point.position, 1), half.affine @ (*moved.position, 1)]
    assert there[0] == pytest.approx(there[1])
    assert half.spacing == pytest.approx((2.0, 2.0, 2.0))


def test_joined_labels_are_one(config_of):
    join = '[labels]\njoin = { both = ["core", "ball"] }'
    case = first(config_of(WITHIN.replace("[labels]", join)))
    assert set(np.unique(case.truth.data)) == {0, 2}  # the value of the one that is named first
    assert case.truth.names == {2: "both"}
    assert case.listed == (2,)
    renamed = first(config_of(WITHIN.replace("[labels]", '[labels]\njoin = { dot = ["core"] }')))
    assert renamed.truth.names == {1: "ball", 2: "dot"}
    with pytest.raises(InputError, match=r"labels\.join"):
        first(config_of(WITHIN.replace("[labels]", '[labels]\njoin = { all = ["bone"] }')))
    with pytest.raises(InputError, match="no other label has"):
        first(config_of(WITHIN.replace("[labels]", '[labels]\njoin = { ball = ["core"] }')))


def test_joined_landmarks_are_two_of_one_name(config_of):
    join = '[labels]\njoin = { both = ["middle", "edge"] }\n[landmarks]'
    case = first(config_of(LANDMARKS.replace("[landmarks]", join)))
    assert [point.name for point in case.landmarks] == ["both", "both"]
    assert len({point.position for point in case.landmarks}) == 2

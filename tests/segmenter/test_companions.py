"""Which hand-made features a model learns from: in volumes those of neighbouring slices too."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, Template, Volume
from napari_fewshot.config import SegmenterConfig
from napari_fewshot.errors import ModelFileError
from napari_fewshot.segmenter.companions import companions, shows_neighbours
from napari_fewshot.segmenter.model_file import read_model, write_model
from napari_fewshot.templates.training_set import TrainingSet

QUICK = {"contrastive": {"steps": 30, "update_steps": 10}, "sampling": {"pixels_per_label": 300}}


def rods(slices: int = 9, distance: float = 1.0, seed: int = 0) -> tuple[Volume, np.ndarray]:
    """A volume of bright rods that lie askew, and their labels on every fourth slice."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((64, 64))
    labels = np.zeros((slices, 64, 64), np.uint8)
    for _ in range(5):
        (row, column), move = rng.uniform(10, 54, 2), rng.uniform(-0.5, 0.5, 2)
        for k in range(slices):
            away = np.hypot(rows - row - k * move[0], columns - column - k * move[1])
            labels[k][away < 5] = 1
    image = rng.normal(100, 20, labels.shape) + 80 * labels
    painted = np.zeros_like(labels)
    painted[::4] = labels[::4]
    return Volume(image.astype(np.float32), (distance, 1.0, 1.0)), painted


def names(*templates: Template, places: bool = True, **settings: object) -> tuple[str, ...]:
    config = SegmenterConfig.of(settings, "settings")
    return companions(config, TrainingSet.of(templates, config), places=places)


def model_of(*given: Template, **settings: object) -> FewShotSegmenter:
    return FewShotSegmenter(device="cpu", **{**QUICK, **settings}).fit(list(given))


def test_volumes_show_neighbours_and_images_do_not():
    volume, painted = rods()
    assert names(Template(volume, painted)) == ("hand_made_3d",)
    image = Template(Volume(volume.data[0], (1.0, 1.0)), painted[0])
    assert names(image) == ("hand_made",)
    assert names(Template(volume, painted), image) == ("hand_made",)
    assert names(Template(volume, painted), experts={"hand_made": False}) == ()
    assert names(Template(volume, painted), backbone="multiscale-3d") == ()


@pytest.mark.parametrize(
    ("slices", "distance", "places", "shown"),
    [
        (7, 4.0, True, True),
        (7, 4.1, True, False),
        (7, 4.1, False, True),
        (6, 1.0, False, False),
        (9, 1e-4, True, True),  # tags of which nothing is believed: slices are counted
    ],
)
def test_slices_that_are_far_apart_or_few_do_not(slices, distance, places, shown):
    volume, painted = rods(slices, distance)
    training = TrainingSet.of(Template(volume, painted), SegmenterConfig())
    assert shows_neighbours(training, places=places) is shown


@pytest.mark.parametrize(
    ("distance", "places", "shown"),
    [(1.0, True, False), (1.0, False, True), (4.1, False, False)],
)
def test_strokes_see_neighbours_that_are_close_where_labels_have_no_places(distance, places, shown):
    volume, painted = rods(7, distance)
    painted[:, ::3], painted[4, :2] = 0, 9
    template = Template(volume, painted, kind="scribble", background=9)
    training = TrainingSet.of(template, SegmenterConfig())
    assert training.of_strokes
    assert shows_neighbours(training, places=places) is shown


def test_neighbours_tell_what_noise_hides():
    """Hand-made features alone: noise differs from slice to slice, rods do not."""
    volume, painted = rods(seed=1)
    _, truth = rods(seed=1)
    noise = np.random.default_rng(2).normal(0, 60, volume.shape)
    noisy = volume.with_data(volume.data + noise)
    found = {}
    for backbone in ("multiscale", "multiscale-3d"):
        model = FewShotSegmenter(
            device="cpu",
            backbone=backbone,
            experts={"carried": False, "self_training": False},
            position={"use": False},
            propagation={"smoothing": 0},
            **QUICK,
        )
        painted[8] = 0
        labels = model.fit(Template(noisy, painted)).predict(noisy).labels[8]
        found[backbone] = (labels == truth[8]).mean()
    assert found["multiscale-3d"] > found["multiscale"]


def test_a_model_file_keeps_which_features_it_has(tmp_path):
    volume, painted = rods()
    model = model_of(Template(volume, painted))
    model.save(tmp_path / "rods.fewshot")
    learned = read_model(tmp_path / "rods.fewshot")
    assert set(learned.beside) == {"hand_made_3d"}
    loaded = FewShotSegmenter.load(tmp_path / "rods.fewshot", device="cpu")
    other, _ = rods(seed=3)
    before, after = model.predict(other), loaded.predict(other)
    np.testing.assert_array_equal(before.labels, after.labels)


def test_a_model_goes_on_with_the_features_that_it_has():
    volume, painted = rods()
    image = Template(Volume(volume.data[0], (1.0, 1.0)), painted[0])
    model = model_of(image)
    more = model.extended(Template(volume, painted))
    now = model.updated([image, Template(volume, painted)])
    for one in (more, now):
        assert set(one._learned().beside) == {"hand_made"}
        assert one.predict(volume).labels.any()
    anew = model_of(Template(volume, painted))
    assert set(anew.updated([image])._learned().beside) == {"hand_made_3d"}


def test_a_file_with_both_is_refused(tmp_path):
    volume, painted = rods()
    learned = model_of(Template(volume, painted))._learned()
    own = learned.beside["hand_made_3d"]
    learned.beside["hand_made"] = own  # type: ignore[index]
    write_model(tmp_path / "both.fewshot", learned)
    with pytest.raises(ModelFileError, match="one expert on hand-made features"):
        read_model(tmp_path / "both.fewshot")

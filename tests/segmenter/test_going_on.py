"""A model learns on without the images that it was made from."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, InputError, Template

NAMES = {1: "organ"}


def patient(look, seed, label=1, side=64):
    """An image of even grey with a disc that is brighter, or darker; and its labels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    centre = rng.uniform(22, 42, 2)
    inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 12**2
    image = rng.normal(100, 4, (side, side))
    image[inside] += {"bright": 60, "dark": -60}[look]
    image[:6, :6], image[-6:, -6:] = 0, 220  # the range of grey values is that of all
    return image.astype(np.float32), np.where(inside, label, 0).astype(np.int32)


def template(look, seed, label=1):
    return Template(*patient(look, seed, label))


def dice(model, look, label=1):
    found = []
    for seed in range(40, 44):
        image, truth = patient(look, seed, label)
        mask = np.asarray(model.predict(image).labels) == label
        found.append(2 * (mask & (truth == label)).sum() / (mask.sum() + (truth == label).sum()))
    return float(np.mean(found))


@pytest.fixture(scope="module", params=["contrastive", "classification"])
def cohort(request, quick, tmp_path_factory):
    """A model of two patients, in a file."""
    path = tmp_path_factory.mktemp("cohort") / "cohort.fewshot"
    model = quick(adapter=request.param, backbone="multiscale", position={"use": False})
    model.fit([template("bright", 0), template("bright", 1)]).save(path)
    return path


def test_what_it_knew_stays_and_what_is_new_comes(cohort, tmp_path):
    model = FewShotSegmenter.load(cohort, device="cpu")
    assert (dice(model, "bright") > 0.9, dice(model, "dark") < 0.5) == (True, True)
    both = model.extended(template("dark", 2))
    assert dice(both, "bright") > 0.9
    assert dice(both, "dark") > 0.9
    assert dice(model, "dark") < 0.5  # as it was
    assert (both.card_.images, both.card_.slices, both.card_.painted) == (3, 3, {1: 3})
    both.save(tmp_path / "both.fewshot")
    again = FewShotSegmenter.load(tmp_path / "both.fewshot", device="cpu")
    third = again.extended(template("dark", 3))
    assert min(dice(third, "bright"), dice(third, "dark")) > 0.9
    assert third.card_.images == 4


def test_corrections_on_top_of_it_forget_nothing(cohort):
    model = FewShotSegmenter.load(cohort, device="cpu")
    first = model.updated(template("dark", 2))
    second = first.updated([template("dark", 2), template("dark", 3)])
    assert min(dice(second, "bright"), dice(second, "dark")) > 0.85
    assert second.card_.images == 4  # two of before, and those that were given last
    assert second.base_.card_.images == 2


def test_new_labels_come(cohort):
    image, labels = patient("dark", 2, label=7)
    model = FewShotSegmenter.load(cohort, device="cpu")
    more = model.extended(Template(image, labels, names={7: "cyst"}))
    assert more.names_ == {1: "1", 7: "cyst"}
    assert dice(more, "bright") > 0.85
    assert dice(more, "dark", 7) > 0.8


def test_a_slice_on_which_nothing_is_teaches(cohort):
    rng = np.random.default_rng(3)
    empty = rng.normal(100, 4, (3, 64, 64)).astype(np.float32)
    empty[:, 20:40, 20:40] += 60  # bright, but square
    known = Template(empty, np.zeros(empty.shape, np.int32), slices=[1], axis=0)
    with pytest.raises(InputError, match="painted label"):
        FewShotSegmenter.load(cohort, device="cpu").with_base(None).updated(known)
    model = FewShotSegmenter.load(cohort, device="cpu").extended(known)
    assert model.label_values_ == (1,)


def test_a_fit_starts_over(cohort):
    model = FewShotSegmenter.load(cohort, device="cpu")
    model.fit(template("dark", 2))
    assert model.base_ is None
    assert model.card_.images == 1
    image, labels = patient("dark", 2, label=7)
    loaded = FewShotSegmenter.load(cohort, device="cpu").fit(Template(image, labels))
    assert (loaded.label_values_, loaded.base_) == ((7,), None)


def test_one_that_keeps_no_pixels_says_so(quick, tmp_path):
    model = quick(adapter="cosine", sampling={"remembered": 0}).fit(template("bright", 0))
    assert (model.remembers_, model.remembered_pixels_) == (False, 0)
    model.save(tmp_path / "m.fewshot")
    loaded = FewShotSegmenter.load(tmp_path / "m.fewshot", device="cpu")
    assert loaded.base_ is None
    with pytest.raises(InputError, match="keep pixels of its templates"):
        loaded.extended(template("dark", 1))


def test_a_file_is_bounded(quick, tmp_path):
    """However many images there were."""
    model = quick(adapter="cosine", sampling={"remembered": 500})
    model.fit([template("bright", k) for k in range(6)])
    assert model.remembered_pixels_ == 500
    model.save(tmp_path / "m.fewshot")
    on = FewShotSegmenter.load(tmp_path / "m.fewshot", device="cpu")
    assert on.extended(template("dark", 9)).remembered_pixels_ == 500


def test_other_channels_are_refused(cohort):
    image, labels = patient("dark", 2)
    colour = np.stack([image] * 3, axis=-1).astype(np.uint8)
    with pytest.raises(InputError, match="as those that the model learned from"):
        FewShotSegmenter.load(cohort, device="cpu").extended(Template(colour, labels))


def test_scores_of_what_is_new_recall_the_rest(cohort):
    model = FewShotSegmenter.load(cohort, device="cpu")
    both = model.extended([template("dark", 2), template("bright", 3)])
    score = both.held_out_score()  # the bright one is known from before, the dark one is not
    assert 0.45 < score.dice[1] < 0.8

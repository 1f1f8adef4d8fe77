"""The whole path: from a few painted slices to a labelled volume."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from napari_fewshot import (
    Cancelled,
    FewShotSegmenter,
    InputError,
    NotFittedError,
    Template,
    UnknownNameError,
    Volume,
)
from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices
from napari_fewshot.types import Landmark

LARGE = (1, 9)  # liver, lungs: each ends within the volume


def unpainted(phantom, slices):
    return [k for k in range(phantom.image.shape[0]) if k not in slices]


@pytest.mark.parametrize("adapter", ["cosine", "classification", "contrastive"])
def test_unpainted_slices_are_labelled(adapter, quick, template, torso, slices, dice):
    model = quick(adapter=adapter).fit(template)
    found = model.predict(torso.image, landmarks=False)
    rest = unpainted(torso, slices)
    truth = torso.labels.data[rest]
    scores = {v: dice(found.labels[rest], truth, v) for v in model.label_values_}
    shuffled = np.random.default_rng(0).permutation(truth.ravel()).reshape(truth.shape)
    chance = np.mean([dice(shuffled, truth, v) for v in model.label_values_])
    least = {"cosine": 0.15, "classification": 0.35, "contrastive": 0.25}[adapter]
    assert np.mean(list(scores.values())) > max(least, 10 * chance)
    assert found.names == dict(torso.labels.names)


def test_what_a_prediction_is(predicted, torso):
    assert predicted.labels.shape == predicted.confidence.shape == torso.image.shape
    assert predicted.labels.dtype == np.uint8
    assert predicted.confidence.dtype == np.float32
    assert 0 <= predicted.confidence.min() <= predicted.confidence.max() <= 1
    assert set(np.unique(predicted.labels)) <= {0, *torso.labels.names}
    right = predicted.labels == torso.labels.data
    assert predicted.confidence[right].mean() > predicted.confidence[~right].mean() + 0.1


def test_slices_without_the_structure_stay_mostly_empty(predicted, torso):
    for value in LARGE:
        truth = (torso.labels.data == value).sum(axis=(1, 2))
        found = (predicted.labels == value).sum(axis=(1, 2))
        outside = truth == 0
        assert found[outside].sum() < 0.1 * truth.sum()


def test_landmarks_are_inside_their_labels(predicted):
    points = {point.label: point for point in predicted.landmarks}
    assert set(points) <= {0, *np.unique(predicted.labels)} | set(range(1, 10))
    for value in LARGE:
        nearest = tuple(np.round(points[value].position).astype(int))
        assert predicted.labels[nearest] == value
        assert 0.3 <= points[value].score <= 1


@pytest.mark.parametrize("storage", ["RAS", "SLA"])
def test_storage_order_does_not_matter(storage, quick, torso, template, slices, assert_same_labels):
    settings = {"adapter": "classification", "classification": {"hidden": 16, "steps": 30}}
    plain = quick(**settings).fit(template).predict(torso.image)
    turned = make_phantom("torso", shape=torso.image.shape, storage=storage)
    frame, other = template.frame, Template(turned.image, turned.labels).frame

    def returned(array):
        return frame.from_canonical(other.to_canonical(array))

    moved = other.from_canonical(frame.to_canonical(template.labels.data))
    labels = turned.labels.with_data(moved)
    model = quick(**settings).fit(Template(turned.image, labels))
    found = model.predict(turned.image)
    assert_same_labels(returned(found.labels), plain.labels)
    np.testing.assert_allclose(returned(found.confidence), plain.confidence, atol=1e-3)
    for one, two in zip(found.landmarks, plain.landmarks, strict=True):
        moved = other.points_to_canonical(np.array([one.position]), turned.image.shape)
        back = frame.points_from_canonical(moved, torso.image.shape)[0]
        np.testing.assert_allclose(back, two.position, atol=0.1)
        assert (one.label, one.name) == (two.label, two.name)


def test_grey_png_like_images(quick, discs, dice):
    image, labels = discs()
    model = quick().fit(Template(image, labels))
    other, truth = discs(seed=5)
    found = model.predict(other)
    assert found.labels.shape == truth.shape
    assert min(dice(found.labels, truth, v) for v in (1, 2)) > 0.8
    for point in found.landmarks:
        assert point.position[0] == 0
        centre = np.argwhere(truth == point.label).mean(axis=0)
        np.testing.assert_allclose(point.position[1:], centre, atol=2)


def test_colour_counts(quick, discs, dice):
    """The three regions have one brightness; only their hue tells them apart."""
    image, labels = discs(colour=True)
    other, truth = discs(seed=5, colour=True)
    settings = {"position": {"use": False}, "adapter": "classification"}
    found = quick(**settings).fit(Template(image, labels)).predict(other)
    assert min(dice(found.labels, truth, v) for v in (1, 2)) > 0.9
    assert found.labels.shape == truth.shape


def test_channels_must_be_those_of_the_templates(quick, discs, fitted):
    colour, labels = discs(colour=True)
    grey, _ = discs()
    model = quick(adapter="cosine").fit(Template(colour, labels))
    with pytest.raises(InputError, match=r"volume must have 3 channel\(s\), as the templates"):
        model.predict(grey)
    with pytest.raises(InputError, match=r"volume must have 1 channel\(s\)"):
        fitted.predict(colour)
    with pytest.raises(InputError, match="images with one number of channels"):
        model.fit([Template(colour, labels), Template(grey, labels)])


def test_point_templates_find_landmarks_in_file_order(quick):
    for storage in ("PIL", "SRA"):
        cohort = [
            make_phantom("joint", patient, (20, 40, 40), storage=storage) for patient in (0, 0)
        ]
        wanted = {p.label: p for p in cohort[0].landmarks[:2]}
        template = Template(cohort[0].image, points=tuple(wanted.values()), axis="sagittal")
        settings = {"classification": {"steps": 300}, "sampling": {"point_radius": 2.0}}
        model = quick(adapter="classification", **settings).fit(template)
        found = {p.label: p for p in model.predict(cohort[1].image).landmarks}
        assert model.names_ == {value: p.name for value, p in wanted.items()}
        for value, point in found.items():
            assert point.name == wanted[value].name
            distance = np.abs(np.subtract(point.position, wanted[value].position)).max()
            assert distance < 4
        assert len(found) >= 1


def test_several_volumes_with_their_own_axes(quick, dice):
    first = make_phantom("joint", 0, (24, 40, 40))
    second = make_phantom("joint", 1, (24, 40, 40))
    templates = [
        Template(first.image, painted_labels(first, template_slices(first, 3, 0), 0)),
        Template(second.image, painted_labels(second, template_slices(second, 2, 1), 1)),
    ]
    axes = [t.working_axis() for t in templates]
    assert axes[0] != axes[1]
    model = quick(adapter="classification").fit(templates)
    assert model.training_set_.axes == (axes[0], axes[1])  # the more frequent first
    truth = second.labels.data
    for axis in (None, 1, "fused"):
        found = model.predict(second.image, axis=axis, landmarks=False)
        assert found.labels.shape == truth.shape
        assert dice(found.labels, truth, 1) > 0.5


def test_planes_that_were_painted_are_fused(quick, template, painted_twice, torso):
    words = "got fused, with templates painted along axial alone. Leave it out, or give a template"
    seen, one = [], quick(adapter="cosine").fit(template)
    with pytest.raises(InputError, match=f"axis must be fused only .*{words}"):
        one.predict(torso.image, axis="fused", progress=lambda *report: seen.append(report))
    assert not seen
    painted_twice.predict(
        torso.image,
        axis="fused",
        landmarks=False,
        progress=lambda *report: seen.append(report),
    )
    assert seen[-1][:2] == (24 + 48, 24 + 48)  # axial and coronal slices, no sagittal ones


def test_a_plane_that_was_not_painted_is_said(fitted, torso, caplog):
    fitted.slice_predictor(torso.image)
    assert not caplog.records
    fitted.slice_predictor(torso.image, axis="sagittal")
    (record,) = caplog.records
    assert "along sagittal are of a plane that no template was painted in (axial" in record.message


def test_an_image_of_one_grey_value_is_said(fitted, torso, caplog):
    blank = torso.image.with_data(np.full(torso.image.shape, np.nan, np.float32))
    fitted.slice_predictor(blank)
    assert "has one grey value everywhere, or none that is a number" in caplog.text


def test_an_implausible_spacing_is_said_and_does_no_harm(quick, caplog, dice):
    """A stack of microscopy whose sections are tagged in another unit than its pixels."""
    rng = np.random.default_rng(0)
    labels = np.zeros((16, 40, 40), np.uint8)
    for k in range(16):  # moves on from section to section, as cells in thick sections do
        labels[k, 12:26, 2 + 2 * k : 8 + 2 * k] = 1
    image = labels * 60 + rng.normal(50, 12, labels.shape)
    painted = labels * np.isin(np.arange(16), [2, 8, 13])[:, None, None].astype(np.uint8)
    scores = []
    for spacing in [(1.0, 1.0, 1.0), (0.05, 1.0, 1.0)]:
        volume = Volume(image, spacing)
        model = quick(adapter="cosine", backbone="multiscale").fit(Template(volume, painted))
        found = model.predict(volume, landmarks=False).labels
        scores.append(dice(found, labels, 1))
    assert scores[1] > scores[0] - 0.05
    (record,) = caplog.records
    assert "slices 0.05 mm apart with pixels of 1 mm" in record.message


@pytest.mark.parametrize("landmarks", [True, False])
def test_confidence_after_cleaning(quick, torso, template, landmarks):
    """A voxel that loses its label has the probability of background, with many labels too."""
    plain = quick().fit(template)
    cleaning = plain.with_propagation({"cleanup": {"min_size": 40}})
    before = plain.predict(torso.image, landmarks=landmarks)
    predictor = cleaning.slice_predictor(torso.image, landmarks=landmarks)
    list(predictor.run())
    after, again = predictor.finish(), predictor.finish()
    removed = (before.labels > 0) & (after.labels == 0)
    assert removed.sum() > 20
    # the label was the most probable of all classes, so background has at most as much
    assert (after.confidence[removed] <= before.confidence[removed] + 1e-4).all()
    assert (after.confidence[removed] <= 0.5 + 1e-4).all()
    np.testing.assert_array_equal(again.labels, after.labels)
    np.testing.assert_array_equal(again.confidence, after.confidence)


def test_resampled_models_answer_on_the_original_grid(quick, torso, template, slices, dice):
    model = quick(adapter="classification", resampling={"mode": "inplane", "spacing": 9.0})
    found = model.fit(template).predict(torso.image)
    assert found.labels.shape == torso.image.shape
    rest = unpainted(torso, slices)
    assert dice(found.labels[rest], torso.labels.data[rest], 9) > 0.6


def test_known_empty_slices_teach(quick, discs):
    """A bright spot that a person took back is not found again."""
    rng = np.random.default_rng(0)
    image = rng.normal(50, 5, (6, 40, 40))
    image[:, 10:20, 10:20] += 60
    labels = np.zeros(image.shape, int)
    labels[1, 10:20, 10:20] = 1
    settings = {"adapter": "classification"}
    plain = quick(**settings).fit(Template(image, labels, axis=0)).predict(image).labels
    taught = (
        quick(**settings).fit(Template(image, labels, axis=0, slices=[1, 4])).predict(image).labels
    )
    assert (plain[4] == 1).sum() > 50
    assert (taught[4] == 1).sum() < 0.2 * (plain[4] == 1).sum()
    assert (taught[1] == 1).sum() > 50


def test_slices_known_by_a_landmark_do_not_deny_what_was_painted(quick, torso, template):
    point = Landmark("tip", 30, (13.0, 20.0, 20.0))
    both = Template(torso.image, template.labels, points=[point])
    known = {
        example.position.index: example.known_labels
        for example in quick(adapter="cosine").fit(both).training_set_.examples
    }
    assert known[13] == {30}
    assert all(30 in labels for labels in known.values())
    assert sum(len(labels) > 1 for labels in known.values()) == 4


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_volumes_without_content_are_labelled_all_the_same(fitted, torso, value):
    blank = torso.image.with_data(np.full(torso.image.shape, value))
    found = fitted.predict(blank)
    assert found.labels.shape == blank.shape
    assert np.isfinite(found.confidence).all()


# ------------------------------------------------------------------ repeatable, cancellable


def test_seed_decides(quick, template, torso):
    small = {"adapter": "contrastive", "contrastive": {"hidden": 16, "width": 8, "steps": 20}}
    found = [
        quick(seed=seed, **small).fit(template).predict(torso.image, landmarks=False).confidence
        for seed in (1, 1, 2)
    ]
    assert found[0].tobytes() == found[1].tobytes()
    assert found[0].tobytes() != found[2].tobytes()


def stop_at(number):
    def progress(done, total, what):
        if done >= number:
            raise Cancelled

    return progress


@pytest.mark.parametrize("number", [1, 20])
def test_cancelled_fit_and_predict_leave_the_model_as_it_was(number, quick, discs):
    image, labels = discs()
    model = quick()
    with pytest.raises(Cancelled):
        model.fit(Template(image, labels), stop_at(number))
    with pytest.raises(NotFittedError):
        model.predict(image)
    before = model.fit(Template(image, labels)).predict(image)
    with pytest.raises(Cancelled):
        model.fit(Template(image, np.where(labels == 1, 7, 0)), stop_at(number))
    assert model.label_values_ == (1, 2)
    with pytest.raises(Cancelled):
        model.predict(image, progress=stop_at(1))
    after = model.predict(image)
    np.testing.assert_array_equal(after.confidence, before.confidence)
    assert model.fit(Template(image, np.where(labels == 1, 7, 0))).label_values_ == (7,)


def test_progress_names_the_stages(quick, discs):
    image, labels = discs()
    seen = []
    model = quick().fit(Template(image, labels), lambda *report: seen.append(report))
    assert seen[0] == (1, 1, "template features")
    assert seen[-1] == (120, 120, "training")
    seen.clear()
    model.predict(image, progress=lambda *report: seen.append(report))
    assert seen == [(1, 1, "slices")]


# ------------------------------------------------------------------ what is refused


def test_before_fit(quick, tmp_path, discs):
    model = quick()
    for use in (
        lambda: model.predict(discs()[0]),
        lambda: model.save(tmp_path / "m.fewshot"),
        lambda: model.label_values_,
        model.held_out_score,
    ):
        with pytest.raises(NotFittedError, match="fit"):
            use()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "multiscal"}, "Did you mean multiscale"),
        ({"adapter": "cosin"}, "Did you mean cosine"),
        ({"smoothing": 2}, "settings must be one of"),
        ({"contrastive": {"heads": "concat"}}, "Did you mean head"),
    ],
)
def test_unknown_names(settings, message):
    with pytest.raises(UnknownNameError, match=message):
        FewShotSegmenter(device="cpu", **settings)


def test_templates_that_teach_nothing(quick, discs):
    image, labels = discs()
    model = quick()
    with pytest.raises(InputError, match="templates must have at least one template"):
        model.fit([])
    with pytest.raises(InputError, match="templates must be a Template"):
        model.fit([image, labels])
    with pytest.raises(InputError, match="at least one painted"):
        model.fit(Template(image, np.zeros_like(labels)))
    with pytest.raises(InputError, match="at least one painted label"):
        model.fit(Template(image, np.zeros_like(labels), slices="all"))
    with pytest.raises(InputError, match="leave some pixels as background"):
        model.fit(Template(image, np.ones_like(labels)))


def test_axis_of_a_prediction(fitted, torso):
    plain = Volume.of(torso.image.data)
    with pytest.raises(InputError, match="file without orientation"):
        fitted.predict(plain, axis="coronal")
    with pytest.raises(InputError, match="axis must be"):
        fitted.predict(plain, axis=3)


# ------------------------------------------------------------------ presets


def test_published_preset_predicts_as_the_paper_says(quick, template, torso):
    own = {"smoothing": 0.5, "refinement": {"method": "none"}}
    model = quick(preset="published", adapter="cosine", backbone="embedded", propagation=own)
    assert model.config.propagation.smoothing == 0.5
    found = model.fit(template).predict(torso.image)
    for value in model.label_values_:
        for plane in found.labels:
            sizes = np.bincount(label(plane == value)[0].ravel())[1:]
            assert (sizes > 0.1 * sizes.max(initial=0)).all()  # nothing stray in any slice
    assert [point.label for point in found.landmarks] == list(model.label_values_)
    for point in found.landmarks:  # of the cleaned labels: no peak of the probabilities beside them
        z, y, x = np.round(point.position).astype(int)
        assert found.labels[z, y, x] == point.label
    assert model.training_set_ is not None
    columns = 48  # features of the default backbone, and no position
    assert len(model._learned().adapter.tensors["mean"]) == columns


def test_labels_of_two_templates_are_found_and_nothing_is_made_up():
    """Each template knows one label; its other pixels may have the other, but rarely do."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(12, 40, 40)).astype(np.float32)
    image[2:7, 10:20, 10:20] += 4
    image[3:8, 25:35, 25:35] -= 4
    first, second = np.zeros((2, *image.shape), np.uint8)
    first[4, 10:20, 10:20] = 1
    second[5, 25:35, 25:35] = 2
    templates = [
        Template(image, first, known_labels=[1]),
        Template(image.copy(), second, known_labels=[2]),
    ]
    labels = FewShotSegmenter(contrastive={"steps": 200}).fit(templates).predict(image).labels
    assert not labels[[0, 11]].any()
    for k in (4, 5):
        assert (labels[k, 10:20, 10:20] == 1).mean() > 0.8
        assert (labels[k, 25:35, 25:35] == 2).mean() > 0.8
        assert (labels[k] > 0).sum() < 240

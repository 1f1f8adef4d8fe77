"""A part of an image: its labels are those of the whole, and no more is computed than it takes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, Template, make_phantom
from napari_fewshot.errors import InputError
from napari_fewshot.features.cache import FeatureCache
from napari_fewshot.features.extract import FeatureExtractor
from napari_fewshot.predict.predictor import PredictionRequest, VolumePredictor
from napari_fewshot.types import Volume, no_progress

from .test_tiled import QUICK, backbone, fitted, scene


def box_of(region):
    return tuple(slice(None) if part is None else slice(*part) for part in region)


def same_inside(found, whole, box):
    """Labels and confidence are those of the whole image in the box, and 0 outside of it."""
    for name in ("labels", "confidence"):
        one, other = getattr(found, name), getattr(whole, name)
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        expected = np.zeros_like(other)
        expected[box] = other[box]
        np.testing.assert_array_equal(one, expected)
    assert found.labels[box].any()


def in_box(points, box, shape):
    sides = [side.indices(length)[:2] for side, length in zip(box, shape, strict=True)]
    return all(
        first - 0.5 <= at < stop
        for point in points
        for at, (first, stop) in zip(point.position[-len(sides) :], sides, strict=True)
    )


@pytest.mark.parametrize("adapter", list(QUICK))
@pytest.mark.parametrize(
    ("shape", "regions"),
    [
        ((4, 97, 150), [((1, 2), None, None), ((2, 4), (30, 70), (50, 80))]),
        ((130, 105), [((10, 60), (70, 105)), ((64, 128), (0, 64))]),
    ],
    ids=["volume", "image"],
)
def test_tiles_of_a_part(adapter, shape, regions):
    image, labels = scene(shape)
    model = fitted(adapter, Template(image, labels), FeatureExtractor)
    whole = model.predict(image)
    for region in regions:
        found, box = model.predict(image, region=region), box_of(region)
        same_inside(found, whole, box)
        assert found.landmarks
        assert in_box(found.landmarks, box, shape)


def test_only_tiles_that_the_part_touches_are_encoded():
    image, labels = scene((3, 97, 150))
    network, calls = backbone(), []
    encode = network.encode
    network.encode = lambda images: calls.append(len(images)) or encode(images)
    model = fitted("cosine", Template(image, labels), FeatureExtractor)
    vars(model._extractors)["main"] = FeatureExtractor(network, model.config.extraction, "cpu")
    ticks = []
    model.predict(image, progress=lambda *call: ticks.append(call))
    every = sum(calls)
    assert every >= 3 * 3 * 4
    assert ticks[-1][:2] == (36, 36)
    calls.clear()
    ticks.clear()
    quiet = model.with_propagation({"smoothing": 0.0})
    quiet._extractors = model._extractors
    region = ((1, 2), (0, 20), (0, 20))
    quiet.predict(image, region=region, progress=lambda *call: ticks.append(call))
    assert sum(calls) == 1
    assert ticks == [(1, 1, "slices")]


def test_neighbours_are_predicted_for_smoothing_and_no_others():
    image, labels = scene((20, 40, 44))
    seen = []
    model = FewShotSegmenter(adapter="cosine", device="cpu").fit(Template(image, labels))
    real = model._adapters.main.predict
    model._adapters.main.predict = lambda features, place, *rest: (
        seen.append(place.index) or real(features, place, *rest)
    )
    whole = model.predict(image)
    seen.clear()
    counted = []
    found = model.predict(image, region=[(9, 11)], progress=lambda *call: counted.append(call))
    assert sorted(set(seen)) == list(range(6, 14))
    assert counted[-1] == (8, 8, "slices")
    same_inside(found, whole, box_of([(9, 11)]))


def test_parts_that_are_kept_in_memory():
    image, labels = scene((2, 97, 150))
    cache, network = FeatureCache(100), backbone()
    model = FewShotSegmenter(adapter="cosine", device="cpu", cache=cache)
    vars(model._extractors)["main"] = FeatureExtractor(
        network, model.config.extraction, "cpu", cache=cache
    )
    model.fit(Template(image, labels))
    region = (None, (40, 80), (30, 110))
    kept = model.predict(image, region=region)
    whole = model.predict(image)
    cache.clear()
    fresh = model.predict(image, region=region)
    assert len(cache) == 0
    for found in (kept, fresh):
        same_inside(found, whole, box_of(region))


@pytest.fixture(scope="module")
def oriented():
    """A volume whose file has other axes than the patient, one of them flipped."""
    made = make_phantom("joint", 0, (16, 48, 48))
    painted = np.zeros_like(made.labels.data)
    painted[[4, 8, 11]] = made.labels.data[[4, 8, 11]]
    return made.image, painted


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"resampling": {"mode": "inplane", "spacing": 2.5}},
        {"resampling": {"mode": "isotropic", "spacing": 2.5}},
        {"propagation": {"resolution": "tokens"}},
        {"propagation": {"smoothing": 0.0}},
    ],
    ids=str,
)
@pytest.mark.parametrize("region", [((5, 9),), ((2, 10), (10, 40), (17, 30))], ids=str)
def test_orientation_and_resampling(oriented, settings, region):
    image, painted = oriented
    model = FewShotSegmenter(adapter="cosine", device="cpu", **settings)
    model.fit(Template(image, painted))
    whole, found = model.predict(image), model.predict(image, region=region)
    box = box_of(region if len(region) == 3 else (*region, None, None))
    same_inside(found, whole, box)
    assert in_box(found.landmarks, box, image.shape)


def test_slices_are_counted_along_the_axis_in_use(oriented):
    image, painted = oriented
    model = FewShotSegmenter(adapter="cosine", device="cpu").fit(Template(image, painted))
    for axis in (1, "axial", 2):
        whole = model.predict(image, axis=axis)
        found = model.predict(image, axis=axis, region=[(20, 30)])
        along = model.volume_predictor().file_axis(image, axis)
        same_inside(found, whole, (slice(None),) * along + (slice(20, 30),))


def test_fused_planes():
    image, labels = scene((40, 44, 48))
    templates = []
    for axis in (0, 1):
        painted = np.zeros_like(labels)
        for at in (15, 25):
            where = (slice(None),) * axis + (at,)
            painted[where] = labels[where]
        templates.append(Template(image, painted, axis=axis))
    model = FewShotSegmenter(adapter="cosine", device="cpu").fit(templates)
    whole, region = model.predict(image, axis="fused"), ((5, 30), (12, 33), (0, 41))
    steps = []
    found = model.predict(
        image, axis="fused", region=region, progress=lambda *call: steps.append(call)
    )
    same_inside(found, whole, box_of(region))
    assert [done for done, _, _ in steps] == list(range(1, steps[-1][1] + 1))
    with pytest.raises(InputError, match="where planes are fused"):
        model.predict(image, axis="fused", region=[(5, 30)])


def test_slices_are_refined_as_a_whole():
    image, labels = scene((4, 60, 66))
    model = FewShotSegmenter(adapter="cosine", device="cpu").fit(Template(image, labels))
    region, shown = ((1, 3), (10, 40), (20, 66)), []
    whole = model.predict(image, refine="random-walker")
    found = model.predict(
        image,
        refine="random-walker",
        region=region,
        progress=lambda *call: shown.append(call),
    )
    assert shown[-1] == (2, 2, "refining")
    same_inside(found, whole, box_of(region))
    assert in_box(found.landmarks, box_of(region), image.shape)
    plain = model.predict(image[1], refine="random-walker")
    flat = model.predict(image[1], refine="random-walker", region=region[1:])
    same_inside(flat, plain, box_of(region[1:]))


def test_components_and_landmarks_end_with_the_part():
    image, labels = scene((5, 60, 66))
    settings = {"cleanup": {"min_fraction": 1.0}, "landmarks": {"source": "labels"}}
    model = FewShotSegmenter(adapter="cosine", device="cpu", propagation=settings)
    model.fit(Template(image, labels))
    region = ((0, 5), (0, 60), (0, 25))
    found = model.predict(image, region=region)
    assert {value for value in np.unique(found.labels) if value} == {
        point.label for point in found.landmarks
    }
    assert in_box(found.landmarks, box_of(region), image.shape)


def test_runs_of_slices_of_a_part(oriented):
    image, painted = oriented
    model = FewShotSegmenter(adapter="cosine", device="cpu").fit(Template(image, painted))
    predictor = model.volume_predictor()
    for refine in (None, "random-walker"):
        request = PredictionRequest(
            refiner=model.load_refiner(refine), region=((3, 14), (5, 30), (0, 48))
        )
        whole = predictor.predict(image, request, no_progress)
        runs = predictor.runs(image, request, 4 * 25 * 48)
        assert len(runs) > 2
        parts = [(run[0], predictor.predict_run(image, request, run)) for run in runs]
        found = VolumePredictor.put_together(predictor, image, request, parts[::-1])
        np.testing.assert_array_equal(found.labels, whole.labels)
        np.testing.assert_array_equal(found.confidence, whole.confidence)
        assert found.landmarks == whole.landmarks


def test_no_more_is_read_of_a_volume_on_the_disk(tmp_path):
    import zarr

    part, labels = scene((3, 97, 150))
    window = {"mode": "window", "low": 0, "high": 1}
    model = fitted("cosine", Template(part, labels), FeatureExtractor, intensity=window)
    image = np.tile(part, (4, 5, 4))
    stored = zarr.create_array(
        tmp_path / "a.zarr", shape=image.shape, chunks=(1, 97, 150), dtype=image.dtype
    )
    stored[...] = image
    read = []

    class Watched:
        shape, dtype, chunks = stored.shape, stored.dtype, stored.chunks

        def __getitem__(self, index):
            read.append(index[0])
            return stored[index]

    region, more = ((10, 12), (100, 140), (160, 220)), ((10, 12), (90, 150), (130, 290))
    found = model.predict(Volume(Watched(), (1.0, 1.0, 1.0)), region=region)
    assert min(place.start for place in read) == 6  # blocks of three slices
    inner = box_of(region)
    expected = model.predict(image, region=more)
    np.testing.assert_array_equal(found.labels[inner], expected.labels[inner])
    np.testing.assert_array_equal(found.confidence[inner], expected.confidence[inner])


def test_a_part_that_is_not_in_the_image():
    image, labels = scene((4, 40, 44))
    model = FewShotSegmenter(adapter="cosine", device="cpu").fit(Template(image, labels))
    with pytest.raises(InputError, match=r"region must lie within axis 0, .* 0\.\.3; got 2\.\.4"):
        model.predict(image, region=[(2, 5)])

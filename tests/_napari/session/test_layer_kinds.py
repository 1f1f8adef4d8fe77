"""Layers of every kind that people have, from the painted slices to the result in the viewer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from zarr.storage import MemoryStore

import napari_fewshot
from napari_fewshot.errors import InputError

pytestmark = pytest.mark.viewer

SHAPE = (12, 40, 48)
PAINTED = (2, 6, 10)
QUICK: dict[str, Any] = {
    "adapter": "classification",
    "of_adapter": {"hidden": 16, "steps": 60, "batch": 256},
    "backbone": "multiscale",
}
GEOMETRY = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
COLOURS = {None: "transparent", 0: "transparent", 1: "red", 2: "blue"}
NAMES = {"index": [0, 1, 2], "name": ["background", "left body", "right body"]}


def bodies(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Labels of two bodies that every slice along every axis of (Z, Y, X) shows in part."""
    z, y, x = np.indices(shape)
    labels = np.zeros(shape, np.uint8)
    for value, (row, column) in {1: (14, 13), 2: (26, 34)}.items():
        away = np.hypot(y - row, x - column) + 0.3 * np.abs(z - shape[0] / 2)
        labels[away < 11] = value
    return labels


def picture(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Grey values in 0..1: one body bright and coarse, one dark, on a medium ground."""
    noise = np.random.default_rng(seed).normal(0, 1, labels.shape)
    level = np.array([0.45, 0.8, 0.15])[labels]
    return np.clip(level + np.array([0.04, 0.1, 0.04])[labels] * noise, 0, 1)


def grey(dtype: str = "uint8") -> np.ndarray:
    values = picture(bodies())
    if np.dtype(dtype).kind == "f":
        return (values * 300).astype(dtype)
    return (values * 250).astype(dtype)


def colour(channels: int = 3, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """One hue for each body, the same brightness."""
    labels = bodies(shape)
    hue = np.array([[120, 120, 120], [190, 85, 85], [85, 85, 190]])[labels]
    noise = np.random.default_rng(seed).normal(0, 10, hue.shape)
    rgb = np.clip(hue + noise, 0, 255).astype(np.uint8)
    alpha = np.full((*labels.shape, channels - 3), 255, np.uint8)
    return np.concatenate([rgb, alpha], axis=-1)


def in_time(*lead: int) -> np.ndarray:
    """The same bodies at all places of the leading axes, in other noise."""
    count = int(np.prod(lead))
    frames = [(picture(bodies(), seed) * 250).astype(np.uint8) for seed in range(count)]
    return np.stack(frames).reshape(*lead, *SHAPE)


def with_nans() -> np.ndarray:
    values = grey("float32")
    values[:, :4] = np.nan
    values[0, 20, 20] = np.inf
    return values


def dask_of(array: np.ndarray, chunks: tuple[int, ...]) -> Any:
    import dask.array

    return dask.array.from_array(array, chunks=chunks)


def zarr_of(array: np.ndarray, chunks: tuple[int, ...]) -> Any:
    import zarr

    stored = zarr.create_array({}, shape=array.shape, dtype=array.dtype, chunks=chunks)
    stored[...] = array
    return stored


def levels(array: np.ndarray) -> list[np.ndarray]:
    """Three levels, each coarser by two in rows and columns."""
    return [array, array[:, ::2, ::2], array[:, ::4, ::4]]


@dataclass
class Kind:
    """An image layer with its labels.

    ``labels_shape`` is that of the painted layer, where it is not that of the result;
    ``target`` another image to label; ``beside`` adds other layers first.
    """

    data: Any
    truth: np.ndarray = field(default_factory=bodies)
    options: dict[str, Any] = field(default_factory=dict)
    lead: tuple[int, ...] = ()
    axis: int = 0
    painted: tuple[int, ...] = PAINTED
    labels_dtype: str = "uint8"
    labels_have_lead: bool = True
    labels_options: dict[str, Any] | None = None
    target: Any = None
    beside: Any = None
    wrap_labels: Any = None
    kept: float = 0.6


def turned(axes: int = 3) -> dict[str, Any]:
    rotate = np.eye(axes)
    rotate[-2:, -2:] = [[0.8, -0.6], [0.6, 0.8]]
    return {"rotate": rotate, "scale": (3, 2, 1, 0.5)[-axes:], "translate": (4, 1, 2, 3)[-axes:]}


def moved() -> dict[str, Any]:
    affine = np.eye(4)
    affine[1:3, 1:3] = [[0, -1], [1, 0]]
    affine[:3, 3] = 4, 5, 6
    return {"affine": affine}


def coarse(level: int) -> Kind:
    """Labels that were painted on a coarse level of a multiscale image."""
    factor = 2**level
    scale = (3.0, 0.5, 0.5)
    own = {"scale": np.multiply(scale, (1, factor, factor))}
    own["translate"] = np.add(
        (1, 2, 3), np.multiply(scale, (0, (factor - 1) / 2, (factor - 1) / 2))
    )
    return Kind(
        levels(grey()),
        bodies()[:, ::factor, ::factor],
        {"multiscale": True, "scale": scale, "translate": (1, 2, 3)},
        labels_options=own,
        kept=0.5,
    )


def coarse_and_turned() -> Kind:
    """As :func:`coarse`, in a rotated image: the labels lie where the coarse level does."""
    kind = coarse(1)
    rotate = turned()["rotate"]
    kind.options["rotate"] = rotate
    middle = rotate @ np.multiply((3.0, 0.5, 0.5), (0, 0.5, 0.5))
    kind.labels_options = {
        "scale": (3, 1, 1),
        "translate": np.add((1, 2, 3), middle),
        "rotate": rotate,
    }
    return kind


def coarse_across() -> Kind:
    """Labels of a coarse level that has fewer slices too."""
    fine = grey().repeat(2, 0).repeat(2, 1).repeat(2, 2)
    scale = np.array([1.5, 0.5, 0.5])
    return Kind(
        [fine, grey()],
        options={"multiscale": True, "scale": scale},
        labels_options={"scale": 2 * scale, "translate": scale / 2},
    )


def add_five_axes(viewer: Any) -> None:
    viewer.add_image(np.zeros((2, 3, 12, 40, 48), np.uint8), name="other")


def add_millimetres(viewer: Any) -> None:
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="other", scale=(1e-3,) * 3, units=("mm",) * 3)


def add_nanoseconds(viewer: Any) -> None:
    units = ("ns", "nm", "nm", "nm")
    viewer.add_image(np.zeros((3, *SHAPE), np.uint8), name="other", scale=(1e6,) * 4, units=units)


KINDS = {
    "2D": lambda: Kind(grey()[5], bodies()[5], painted=(0,), target=picture(bodies()[6], 1) * 250),
    "2D RGB": lambda: Kind(
        colour()[5], bodies()[5], {"rgb": True}, painted=(0,), target=colour(seed=1)[5]
    ),
    "3D": lambda: Kind(grey()),
    "3D RGB": lambda: Kind(colour(), options={"rgb": True}),
    "3D RGBA": lambda: Kind(colour(4), options={"rgb": True}),
    "3D RGB of 0..1": lambda: Kind((colour() / 255).astype("f4"), options={"rgb": True}),
    "time": lambda: Kind(in_time(3), lead=(1,), options={"scale": (1, 2, 0.5, 0.5)}),
    "time, RGB": lambda: Kind(
        np.stack([colour(seed=k) for k in range(2)]), options={"rgb": True}, lead=(1,)
    ),
    "time, labels of the space": lambda: Kind(
        in_time(3),
        lead=(2,),
        options={"scale": (5, 2, 0.5, 0.5), "translate": (7, 1, 2, 3)},
        labels_have_lead=False,
    ),
    "time, labels of the space, rotated": lambda: Kind(
        in_time(2), lead=(1,), options=turned(4), labels_have_lead=False
    ),
    "time and channel": lambda: Kind(in_time(2, 2), lead=(1, 0)),
    "time along axis 2": lambda: Kind(in_time(2), lead=(1,), axis=2, painted=(8, 14, 30, 38)),
    "dask": lambda: Kind(dask_of(grey(), (1, 40, 48))),
    "dask in blocks": lambda: Kind(dask_of(grey(), (5, 16, 20))),
    "dask along axis 1": lambda: Kind(
        dask_of(grey(), (1, 40, 48)), axis=1, painted=(8, 14, 20, 27, 32)
    ),
    "dask RGB": lambda: Kind(dask_of(colour(), (1, 40, 48, 3)), options={"rgb": True}),
    "dask in time": lambda: Kind(dask_of(in_time(3), (1, 1, 40, 48)), lead=(2,)),
    "dask bool": lambda: Kind(dask_of(grey() > 112, (1, 40, 48)), kept=0.5),
    "zarr": lambda: Kind(zarr_of(grey(), (1, 40, 48))),
    "zarr in blocks": lambda: Kind(zarr_of(grey("uint16"), (8, 16, 16))),
    "zarr in time": lambda: Kind(zarr_of(in_time(2), (1, 4, 20, 24)), lead=(1,)),
    "zarr RGB": lambda: Kind(zarr_of(colour(), (4, 20, 24, 3)), options={"rgb": True}),
    "multiscale": lambda: Kind(levels(grey()), options={"multiscale": True}),
    "multiscale painted on level 1": lambda: coarse(1),
    "multiscale painted on level 1, rotated": coarse_and_turned,
    "multiscale painted on level 1, also coarser across slices": coarse_across,
    "multiscale RGB": lambda: Kind(levels(colour()), options={"multiscale": True, "rgb": True}),
    "multiscale of zarr": lambda: Kind(
        [zarr_of(one, (1, *one.shape[1:])) for one in levels(grey())], options={"multiscale": True}
    ),
    "multiscale in time": lambda: Kind(
        [in_time(2), in_time(2)[..., ::2, ::2]], options={"multiscale": True}, lead=(1,)
    ),
    "bool": lambda: Kind(grey() > 112, kept=0.5),
    "float16": lambda: Kind(grey("float16")),
    "int8": lambda: Kind((grey() // 2).astype("int8") - 60),
    "int64": lambda: Kind(grey().astype("int64") * 10**9 - 10**11),
    "big-endian": lambda: Kind(grey(">i2")),
    "NaN": lambda: Kind(with_nans()),
    "read-only": lambda: Kind(np.broadcast_to(grey()[6], SHAPE)),
    "anisotropic": lambda: Kind(grey(), options={"scale": (5, 0.4, 0.7)}),
    "negative scale": lambda: Kind(grey(), options={"scale": (-2, 1, -1)}),
    "translated": lambda: Kind(grey(), options={"translate": (100, -20, 3.5), "scale": (2, 1, 1)}),
    "micrometres": lambda: Kind(
        grey(),
        options={
            "scale": (2, 0.3, 0.3),
            "units": ("um",) * 3,
            "axis_labels": ("z", "y", "x"),
        },
    ),
    "units of another layer": lambda: Kind(
        grey(), options={"scale": (2, 0.3, 0.3), "units": ("nm",) * 3}, beside=add_millimetres
    ),
    "seconds and micrometres": lambda: Kind(
        in_time(3),
        lead=(2,),
        options={"scale": (0.5, 2, 0.3, 0.3), "units": ("s", "um", "um", "um")},
    ),
    "rotated": lambda: Kind(grey(), options=turned()),
    "sheared": lambda: Kind(grey(), options={"shear": (0, 0, 0.3), "scale": (2, 1, 1)}),
    "affine": lambda: Kind(grey(), options=moved()),
    "axis 1": lambda: Kind(grey(), axis=1, painted=(8, 14, 20, 27, 32)),
    "axis 2": lambda: Kind(grey(), axis=2, painted=(8, 13, 18, 30, 35, 39)),
    "below a layer of five axes": lambda: Kind(grey(), beside=add_five_axes),
    "axis 1 below a layer of five axes": lambda: Kind(
        grey(), beside=add_five_axes, axis=1, painted=(8, 14, 20, 27, 32)
    ),
    "time below a layer of five axes": lambda: Kind(in_time(3), lead=(1,), beside=add_five_axes),
    "time in units of another layer": lambda: Kind(
        in_time(3),
        lead=(1,),
        options={"units": ("ms", "um", "um", "um")},
        beside=add_nanoseconds,
    ),
    "zarr labels": lambda: Kind(grey(), wrap_labels=lambda x: zarr_of(x, (1, 40, 48))),
    "dask labels": lambda: Kind(grey(), wrap_labels=lambda x: dask_of(x, (1, 40, 48))),
    "multiscale labels": lambda: Kind(
        levels(grey()), options={"multiscale": True}, wrap_labels=levels
    ),
    "labels of uint16": lambda: Kind(grey(), labels_dtype="uint16"),
    "labels of int32": lambda: Kind(grey(), labels_dtype="int32"),
    "labels of big-endian": lambda: Kind(grey(), labels_dtype=">u2"),
    "labels of int64": lambda: Kind(grey(), labels_dtype="int64"),
}
LED = [name for name in KINDS if name.startswith(("time", "seconds")) or "in time" in name]


@dataclass
class Outcome:
    """What is left of a run when its viewer is closed."""

    kind: Kind
    source: dict[str, Any]
    geometry: dict[str, Any]
    confidence_geometry: dict[str, Any]
    labels: np.ndarray
    confidence: np.ndarray
    template: np.ndarray
    template_after: np.ndarray
    features: dict[str, list[Any]]
    colours: list[tuple[float, ...]]
    status: dict[int, str]

    def slices(self, array: np.ndarray) -> np.ndarray:
        """Slices first, at the place that was in view."""
        here = array[self.kind.lead] if array.ndim > self.truth.ndim else array
        return here[None] if here.ndim == 2 else np.moveaxis(here, self.kind.axis, 0)

    @property
    def truth(self) -> np.ndarray:
        return self.kind.truth


DRAWN = ("2D RGB", "time and channel", "multiscale", "rotated")
"""Kinds that are run in a window; it takes most of the time, so the others have a viewer alone."""
_OUTCOMES: dict[str, Outcome] = {}


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FEWSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NAPARI_FEWSHOT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def viewer(qapp):
    """A viewer without a window."""
    model = ViewerModel()
    yield model
    napari_fewshot.viewer_session(model).close()


@pytest.fixture
def outcome(request):
    """One run for each kind; its tests look at the same outcome."""

    def of(name: str) -> Outcome:
        if name not in _OUTCOMES:
            if name in DRAWN:
                viewer = request.getfixturevalue("make_napari_viewer")()
            else:
                viewer = request.getfixturevalue("viewer")
            _OUTCOMES[name] = run(viewer, KINDS[name]())
        return _OUTCOMES[name]

    return of


def geometry(layer: Any) -> dict[str, Any]:
    found = {name: getattr(layer, name) for name in GEOMETRY}
    return {**found, "affine": np.asarray(layer.affine.affine_matrix)}


def paint(kind: Kind) -> np.ndarray:
    """The painted slices alone, at the place in view."""
    planes = np.zeros_like(kind.truth)
    if planes.ndim == 2:
        planes[...] = kind.truth
    else:
        index = [slice(None)] * 3
        index[kind.axis] = list(kind.painted)
        planes[tuple(index)] = kind.truth[tuple(index)]
    return planes.astype(kind.labels_dtype)


def labels_for(kind: Kind, image: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Array and options of the template layer, which lies on the image."""
    painted, options = paint(kind), dict(geometry(image))
    if kind.labels_options is not None:
        options |= kind.labels_options
    if not kind.labels_have_lead:
        last = ("scale", "translate", "units", "axis_labels")
        options = {name: tuple(options[name])[-painted.ndim :] for name in last}
        options["rotate"] = image.rotate[-painted.ndim :, -painted.ndim :]
    elif kind.lead:
        lead = np.shape(kind.data[0] if image.multiscale else kind.data)[: len(kind.lead)]
        series = np.zeros((*lead, *painted.shape), painted.dtype)
        series[kind.lead] = painted
        painted = series
    return painted, options


def look_at(viewer: Any, image: Any, kind: Kind) -> None:
    """Bring the viewer to the place and the working axis of a kind."""
    ndim = viewer.dims.ndim
    order = list(range(ndim))
    if kind.truth.ndim == 3:
        order.remove(ndim - 3 + kind.axis)
        order.insert(ndim - 3, ndim - 3 + kind.axis)
    viewer.dims.order = tuple(order)
    for axis, place in enumerate(kind.lead, ndim - len(kind.lead) - kind.truth.ndim):
        viewer.dims.set_current_step(axis, place)


def start(viewer: Any, kind: Kind) -> tuple[Any, Any, Any]:
    """Session, image and template of a viewer, ready to be trained."""
    if kind.beside is not None:
        kind.beside(viewer)
    image = viewer.add_image(kind.data, name="image", **kind.options)
    array, options = labels_for(kind, image)
    if kind.wrap_labels is not None:
        array = kind.wrap_labels(array)
    labels = viewer.add_labels(array, name="template", features=NAMES, colormap=COLOURS, **options)
    look_at(viewer, image, kind)
    session = napari_fewshot.viewer_session(viewer)
    session.configure(**QUICK)
    session.add_template(image, labels)
    return session, image, labels


def whole(labels: Any) -> np.ndarray:
    return np.array(labels.data[0] if labels.multiscale else labels.data)


def run(viewer: Any, kind: Kind) -> Outcome:
    session, image, labels = start(viewer, kind)
    before = whole(labels)
    session.train(score=False).wait(60)
    target = image
    if kind.target is not None:
        target = viewer.add_image(kind.target, name="target", **kind.options)
    session.propagate(target, landmarks=False).wait(60)
    result, confidence = session.result_layer(target), viewer.layers[f"{target.name} confidence"]
    return Outcome(
        kind,
        geometry(labels if kind.labels_options is not None else target),
        geometry(result),
        geometry(confidence),
        np.array(result.data),
        np.array(confidence.data),
        before,
        whole(labels),
        {str(name): list(result.features[name]) for name in result.features},
        [tuple(result.get_color(value)) for value in (1, 2)],
        {info.index: info.status for info in session.slices(target)},
    )


def dice(found: np.ndarray, truth: np.ndarray, label: int) -> float:
    found, truth = found == label, truth == label
    return float(2 * (found & truth).sum() / max(1, found.sum() + truth.sum()))


def assert_same_place(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name in GEOMETRY:
        if name in ("units", "axis_labels"):
            assert found[name] == wanted[name], name
        else:
            np.testing.assert_allclose(found[name], wanted[name], err_msg=name)


@pytest.mark.parametrize("name", KINDS)
def test_labels_and_confidence_lie_on_their_source(outcome, name):
    assert_same_place(outcome(name).geometry, outcome(name).source)
    assert_same_place(outcome(name).confidence_geometry, outcome(name).source)


@pytest.mark.parametrize("name", KINDS)
def test_the_result_has_the_shape_of_the_image_and_holds_the_template(outcome, name):
    got = outcome(name)
    first = got.kind.data[0] if got.kind.options.get("multiscale") else got.kind.data
    lead = np.shape(first)[: len(got.kind.lead)]
    assert got.labels.shape == got.confidence.shape == (*lead, *got.truth.shape)
    assert got.labels.dtype == np.promote_types(got.kind.labels_dtype, "uint8")
    assert set(np.unique(got.labels)) <= {0, 1, 2}


@pytest.mark.parametrize("name", [name for name in KINDS if not name.startswith("2D")])
def test_painted_slices_are_as_they_were(outcome, name):
    got = outcome(name)
    painted = list(got.kind.painted)
    wanted = got.slices(got.template)[painted]
    np.testing.assert_array_equal(got.slices(got.labels)[painted], wanted)
    assert {k for k, status in got.status.items() if status == "painted"} == set(painted)


@pytest.mark.parametrize("name", KINDS)
def test_the_template_is_not_written_to(outcome, name):
    got = outcome(name)
    np.testing.assert_array_equal(got.template_after, got.template)


@pytest.mark.parametrize("name", KINDS)
def test_slices_that_nobody_painted_are_found(outcome, name):
    got = outcome(name)
    found, truth = got.slices(got.labels), got.slices(got.truth)
    left = [k for k in range(len(truth)) if k not in got.kind.painted] or [0]
    for label in (1, 2):
        assert dice(found[left], truth[left], label) > got.kind.kept
    assert 0 < got.slices(got.confidence)[left].min() <= 1


@pytest.mark.parametrize("name", LED)
def test_other_places_of_the_leading_axes_stay_empty(outcome, name):
    got = outcome(name)
    for array in (got.labels, got.confidence):
        others = array.copy()
        others[got.kind.lead] = 0
        assert not others.any()


@pytest.mark.parametrize("name", KINDS)
def test_names_and_colours_of_the_template_are_kept(outcome, name):
    got = outcome(name)
    assert got.features == NAMES
    np.testing.assert_allclose(got.colours, [(1, 0, 0, 1), (0, 0, 1, 1)])


# What a session says of the place in view


def test_the_slice_in_view_is_that_of_the_sliders_whatever_the_units(viewer):
    add_millimetres(viewer)
    image = viewer.add_image(grey(), name="image", scale=(2, 0.3, 0.3), units=("um",) * 3)
    session = napari_fewshot.viewer_session(viewer)
    viewer.add_image(grey(), name="fine", scale=(2, 0.3, 0.3), units=("nm",) * 3)
    session.go_to(7, image)
    assert session.slice_in_view(image) == 7
    assert image._data_slice.point[0] == pytest.approx(7)  # what napari draws


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2), (1, 0, 2, 3)])
def test_going_to_a_slice_draws_it(viewer, order):
    image = viewer.add_image(in_time(3), translate=(4, -3, 2, 1), scale=(2, 5, 0.5, 0.4))
    viewer.dims.order = order
    session = napari_fewshot.viewer_session(viewer)
    axis = session.sliced_axis(image)
    session.go_to(9, image)
    assert session.slice_in_view(image) == 9
    assert image._data_slice.point[1 + axis] == pytest.approx(9)


def test_going_to_a_slice_counts_in_the_painted_level(viewer):
    session, image, _ = start(viewer, coarse_across())
    for index in range(SHAPE[0]):
        session.go_to(index, image)
        assert session.slice_in_view(image) == index


def test_the_slice_in_view_below_a_layer_of_five_axes_and_in_3d(viewer):
    session, image, _ = start(viewer, KINDS["axis 1 below a layer of five axes"]())
    session.go_to(21, image)
    assert viewer.dims.current_step[3] == 21
    assert session.slice_in_view(image) == 21
    viewer.dims.ndisplay = 3
    assert session.slice_in_view(image) == 21


def test_beyond_the_image_no_slice_is_in_view(viewer):
    session, image, _ = start(viewer, Kind(grey(), options={"translate": (5, 0, 0)}))
    viewer.add_image(np.zeros((30, 4, 4), np.uint8))
    viewer.dims.set_point(0, 20)
    assert session.slice_in_view(image) is None


# Time series


def test_another_time_point_goes_into_the_same_layer_beside_the_first(viewer):
    session, image, _ = start(viewer, Kind(in_time(3), lead=(1,)))
    session.train(score=False).wait(60)
    session.propagate(image).wait(60)
    result = session.result_layer(image)
    first = result.data.copy()
    viewer.dims.set_current_step(0, 2)
    session.propagate(image, into=result).wait(60)
    np.testing.assert_array_equal(result.data[:2], first[:2])
    assert dice(result.data[2], bodies(), 1) > 0.6
    assert {info.status for info in session.slices(image)} == {"predicted"}


def test_labels_of_the_space_belong_to_the_time_at_which_they_were_added(viewer):
    kind = Kind(in_time(3), lead=(2,), labels_have_lead=False)
    session, image, _ = start(viewer, kind)
    session.train(score=False).wait(60)
    viewer.dims.set_current_step(0, 0)
    assert {info.status for info in session.slices(image)} == {"empty"}
    session.propagate(image).wait(60)
    assert {info.status for info in session.slices(image)} == {"predicted"}
    assert dice(session.result_layer(image).data[0], bodies(), 2) > 0.6


def test_paint_at_two_times_teaches_and_each_stays(viewer):
    session, image, labels = start(viewer, Kind(in_time(2), lead=(0,)))
    labels.data[1, 4] = bodies()[4]
    labels.refresh()
    session.events.templates.emit()
    (entry,) = session.templates
    assert list(entry.taught()) == [(0,), (1,)]
    session.train(score=False).wait(60)
    for time in (0, 1):
        viewer.dims.set_current_step(0, time)
        session.propagate(image).wait(60)
        data = session.result_layer(image).data
        painted = [info.index for info in session.slices(image) if info.status == "painted"]
        assert painted == ([4] if time else list(PAINTED))
        np.testing.assert_array_equal(data[time, painted], bodies()[painted])


@pytest.mark.parametrize("labels_have_lead", [True, False])
def test_a_reviewed_slice_of_a_time_point_is_never_written_to(viewer, labels_have_lead):
    kind = Kind(in_time(2), lead=(1,), labels_have_lead=labels_have_lead)
    session, image, _ = start(viewer, kind)
    session.mark_reviewed(0, image)
    session.train(score=False).wait(60)
    session.propagate(image).wait(60)
    assert not session.result_layer(image).data[1, 0].any()
    assert session.slices(image)[0].status in ("reviewed", "painted")


def test_strokes_on_a_time_point_are_kept_by_an_update(viewer):
    session, image, _ = start(viewer, Kind(in_time(2), lead=(1,)))
    session.train(score=False).wait(60)
    session.propagate(image).wait(60)
    result = session.result_layer(image)
    result.brush_size = 3
    with result.block_history():  # as a stroke of the mouse, of which napari tells
        result.paint((1, 4, 3, 3), 2)
    session.update(image).wait(60)
    assert (result.data[1, 4, 2:5, 3] == 2).all()
    assert not result.data[0].any()


@pytest.mark.parametrize("lead", [(), (1,)])
def test_scribbles_teach(viewer, lead):
    kind = Kind(in_time(2) if lead else grey(), lead=lead)
    session, image, labels = start(viewer, kind)
    session.remove_template(session.templates[0])
    labels.data[...] = 0
    plane = labels.data[lead][6]
    plane[10:18, 13], plane[22:30, 34], plane[30:38, 10], plane[4:12, 36] = 1, 2, 255, 255
    plane[14, 8:18], plane[26, 29:39], plane[36, 2:20], plane[3, 25:45] = 1, 2, 255, 255
    plane[29, 2:20], plane[11, 28:46] = 255, 255
    session.add_template(image, labels, kind="scribble")
    session.train(score=False).wait(60)
    session.propagate(image).wait(60)
    found = session.result_layer(image).data[lead]
    for label in (1, 2):
        assert dice(found, bodies(), label) > 0.5


@pytest.mark.parametrize("own_axes", [3, 4])
def test_landmarks_of_a_time_point_lie_on_the_image(viewer, own_axes):
    image = viewer.add_image(
        in_time(2), name="image", scale=(3, 2, 0.5, 0.5), translate=(1, 2, 3, 4)
    )
    place = np.array([[1, 6, 14, 13], [1, 6, 26, 34]])[:, -own_axes:]
    points = viewer.add_points(
        place,
        features={"name": ["left", "right"], "label": [1, 2]},
        scale=image.scale[-own_axes:],
        translate=image.translate[-own_axes:],
    )
    viewer.dims.set_current_step(0, 1)
    session = napari_fewshot.viewer_session(viewer)
    session.configure(**QUICK)
    session.add_template(image, points)
    session.train(score=False).wait(60)
    session.propagate(image).wait(60)
    found = viewer.layers["image landmarks found"]
    assert_same_place(geometry(found), geometry(image))
    assert set(found.data[:, 0]) == {1}
    assert set(found.features["name"]) <= {"left", "right"}


# Errors that say what to do


def test_a_label_too_large_for_the_layer_is_an_error(viewer):
    session, image, labels = start(viewer, Kind(grey(), labels_dtype="uint16"))
    labels.data[6][bodies()[6] == 2] = 300
    session.train(score=False).wait(60)
    small = viewer.add_labels(np.zeros(SHAPE, np.uint8), name="small")
    with pytest.raises(InputError, match=r"hold labels up to 300.*uint8"):
        session.propagate(image, into=small)
    assert not small.data.any()
    session.propagate(image).wait(60)  # a new layer can hold it
    assert (session.result_layer(image).data[6][bodies()[6] == 2] == 300).all()


@pytest.mark.parametrize("shape", [(11, 40, 48), (40, 48), (2, 12, 40, 48)])
def test_into_a_layer_of_another_shape_is_an_error(viewer, shape):
    session, image, _ = start(viewer, Kind(grey()))
    session.train(score=False).wait(60)
    other = viewer.add_labels(np.zeros(shape, np.uint8), name="other")
    with pytest.raises(InputError, match=r"shape of the image, \(12, 40, 48\)"):
        session.propagate(image, into=other)
    assert session.result_layer(image) is None
    session.propagate(image).wait(60)


def read_only_zarr(array: np.ndarray) -> Any:
    import zarr

    store = zarr_of(array, (1, 40, 48)).store
    return zarr.open_array(store.with_read_only(True), mode="r")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: dask_of(x, (1, 40, 48)),
        levels,
        lambda x: np.broadcast_to(x[0], x.shape),
        read_only_zarr,
    ],
    ids=["dask", "multiscale", "read-only", "read-only zarr"],
)
def test_into_a_layer_that_cannot_be_written_to_is_an_error(viewer, wrap):
    session, image, _ = start(viewer, Kind(grey()))
    session.train(score=False).wait(60)
    other = viewer.add_labels(wrap(np.zeros(SHAPE, np.uint8)), name="other")
    with pytest.raises(InputError, match="Choose a new layer"):
        session.propagate(image, into=other)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64"])
def test_into_keeps_layer_and_dtype(viewer, dtype):
    session, image, _ = start(viewer, Kind(grey()))
    session.train(score=False).wait(60)
    other = viewer.add_labels(np.zeros(SHAPE, dtype), name="other")
    data = other.data
    session.propagate(image, into=other).wait(60)
    assert session.result_layer(image) is other
    assert other.data is data
    assert data.dtype == dtype
    assert dice(data, bodies(), 1) > 0.6


@pytest.mark.parametrize("value", [2**31, 2**32 + 1, -3])
def test_label_values_that_cannot_be_learned_are_an_error(viewer, value):
    session, _, labels = start(viewer, Kind(grey(), labels_dtype="int64"))
    labels.data[6, 5, 5] = value
    with pytest.raises(InputError, match=str(value)):
        session.train(score=False)


def test_too_many_axes_are_an_error_that_says_what_to_do(viewer):
    shape = (2, 1, 1, 3, 40, 48)
    image = viewer.add_image(np.zeros(shape, np.uint8))
    labels = viewer.add_labels(np.ones(shape, np.uint8))
    session = napari_fewshot.viewer_session(viewer)
    with pytest.raises(InputError, match="Split Stack"):
        session.add_template(image, labels)


def test_colours_for_a_model_of_grey_values_are_an_error(viewer):
    session, _, _ = start(viewer, Kind(grey()))
    session.train(score=False).wait(60)
    other = viewer.add_image(colour(), rgb=True)
    with pytest.raises(InputError, match="channel"):
        session.propagate(other).wait(60)


def test_labels_of_another_shape_are_no_template(viewer):
    image = viewer.add_image(in_time(2))
    session = napari_fewshot.viewer_session(viewer)
    for shape in ((40, 48), (12, 40, 40), (3, *SHAPE)):
        labels = viewer.add_labels(np.zeros(shape, np.uint8))
        with pytest.raises(InputError, match="shape"):
            session.add_template(image, labels)
    assert session.templates == ()


# Images that are larger than memory


class Counted:
    """An image that is made as it is read, and notes what is read; never all of it at once."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.ndim, self.dtype, self.size = len(shape), np.dtype(np.uint8), int(np.prod(shape))
        self.reads: list[tuple[range, ...]] = []
        rows, columns = (np.arange(n) * m // n for n, m in zip(shape[-2:], (40, 48), strict=True))
        self.truth = bodies()[6][rows][:, columns]
        self._plane = (picture(self.truth) * 250).astype(np.uint8)

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise AssertionError("read as a whole")

    def __getitem__(self, index: Any) -> np.ndarray:
        index = index if isinstance(index, tuple) else (index,)
        index = (*index, *(slice(None),) * (self.ndim - len(index)))
        whole = [
            slice(int(k), int(k) + 1) if not isinstance(k, slice) else k for k in map(_plain, index)
        ]
        self.reads.append(
            tuple(range(*k.indices(n)) for k, n in zip(whole, self.shape, strict=True))
        )
        plane = self._plane[index[-2:]]
        lead = [len(r) for r, k in zip(self.reads[-1], index, strict=True) if isinstance(k, slice)]
        return np.broadcast_to(plane, (*lead[: len(lead) - plane.ndim], *plane.shape)).copy()

    @property
    def largest(self) -> int:
        """Voxels of the largest read."""
        return max(int(np.prod([len(axis) for axis in read])) for read in self.reads)

    def along(self, axis: int) -> Counter[int]:
        """How often each place of an axis was read."""
        return Counter(place for read in self.reads for place in read[axis])


def _plain(index: Any) -> Any:
    return index if isinstance(index, slice) else int(index)


class CountingStore(MemoryStore):
    """A store that notes which chunks are read."""

    keys: list[str]

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        if "c/" in key:
            self.keys.append(key)
        return await super().get(key, *args, **kwargs)


LARGE = (100, 64, 96)
SEEN = (30, 50, 75)
BLOCKS, BLOCK = 2, (4, 32, 32)
BETWEEN = SEEN[1] - SEEN[0] - 1
"""Slices that labels are carried through to those that are wanted."""
FEW = BLOCKS * BLOCK[0] + len(SEEN) + 2 * (1 + 3) + BETWEEN
"""Slices that two wanted ones need: the sample, the templates, neighbours for smoothing."""


def learn_and_label(
    viewer: Any, data: Any, painted: dict[Any, np.ndarray], shape: tuple[int, ...], **options: Any
) -> tuple[Any, Any]:
    """Session with a template, and the image, ready to be trained."""
    image = viewer.add_image(data, name="image", contrast_limits=(0, 255), **options)
    labels = np.zeros(shape, np.uint8)
    for index, plane in painted.items():
        labels[index] = plane
    session = napari_fewshot.viewer_session(viewer)
    session.configure(**QUICK)
    session.add_template(image, viewer.add_labels(labels, name="template"), axis=0)
    return session, image


@pytest.fixture
def large(monkeypatch):
    """Volumes of any size count as large: grey values are sampled from (small) blocks."""
    monkeypatch.setattr("napari_fewshot.segmenter.self_training.LARGE", 0)
    for name, value in {"_READ_WHOLE": 0, "_BLOCKS": BLOCKS, "_BLOCK": BLOCK}.items():
        monkeypatch.setattr(f"napari_fewshot.slices.intensity.{name}", value)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("wrapped", ["dask", "alone"])
def test_some_slices_of_a_large_image_are_labelled_without_reading_the_others(viewer, wrapped):
    source = Counted(LARGE)
    data: Any = source
    if wrapped == "dask":
        import dask.array

        data = dask.array.from_array(source, chunks=(1, *LARGE[1:]), name=False)
    painted = dict.fromkeys(SEEN, source.truth)
    session, image = learn_and_label(viewer, data, painted, LARGE)
    source.reads.clear()
    session.train(score=False).wait(60)
    session.propagate(image, slices=[40, 41]).wait(60)
    assert source.largest <= LARGE[1] * LARGE[2]
    assert len(source.along(0)) <= FEW
    result = session.result_layer(image).data
    assert dice(result[40:42], np.stack([source.truth] * 2), 1) > 0.6
    assert not result[:30].any()


@pytest.mark.usefixtures("large")
def test_every_slice_of_a_large_image_is_read_a_few_times(viewer):
    source = Counted(LARGE)
    session, image = learn_and_label(viewer, source, dict.fromkeys(SEEN, source.truth), LARGE)
    session.train(score=False).wait(60)
    source.reads.clear()
    session.propagate(image).wait(60)
    assert source.largest <= LARGE[1] * LARGE[2]
    assert set(source.along(0)) == set(range(LARGE[0]))
    times = source.along(0).values()
    assert max(times) <= 4 + BLOCKS**2  # features, and motion to both sides
    assert sum(times) <= 3 * LARGE[0] + BLOCKS**3 * BLOCK[0]


@pytest.mark.usefixtures("large")
def test_only_the_chunks_that_are_needed_of_a_zarr_array_are_read(viewer):
    import zarr

    store = CountingStore()
    store.keys = []
    array = zarr.create_array(store, shape=LARGE, dtype="uint8", chunks=(1, *LARGE[1:]))
    source = Counted(LARGE)
    array[...] = source[:, :, :]
    session, image = learn_and_label(viewer, array, dict.fromkeys(SEEN, source.truth), LARGE)
    store.keys.clear()
    session.train(score=False).wait(60)
    session.propagate(image, slices=[40, 41]).wait(60)
    assert store.keys
    assert len(set(store.keys)) <= FEW


@pytest.mark.parametrize("wrapped", ["dask", "alone"])
def test_of_a_time_series_only_the_time_in_view_is_read(viewer, wrapped):
    shape = (4, 12, 64, 96)
    source = Counted(shape)
    data: Any = source
    if wrapped == "dask":
        import dask.array

        data = dask.array.from_array(source, chunks=(1, 4, 64, 96), name=False)
    painted = {(2, k): source.truth for k in (2, 8)}
    session, image = learn_and_label(viewer, data, painted, shape)
    viewer.dims.set_current_step(0, 2)
    source.reads.clear()
    session.train(score=False).wait(60)
    session.propagate(image).wait(60)
    assert set(source.along(0)) == {2}
    assert source.largest <= 4 * 64 * 96
    assert dice(session.result_layer(image).data[2, 5], source.truth, 2) > 0.6


def test_of_a_multiscale_image_only_the_painted_level_is_read(viewer):
    fine, coarse = Counted((12, 640, 960)), Counted((12, 64, 96))
    painted = dict.fromkeys((2, 8), coarse.truth)
    session, image = learn_and_label(viewer, [fine, coarse], painted, coarse.shape, multiscale=True)
    fine.reads.clear()
    session.train(score=False).wait(60)
    session.propagate(image).wait(60)
    assert fine.reads == []
    assert session.result_layer(image).data.shape == coarse.shape


# Files


ORIENTATIONS = ("RAS", "LPS", "SPL", "AIR")


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_results_lie_on_a_file_of_any_orientation(viewer, tmp_path, codes):
    import nibabel as nib
    from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
    from npe2 import PluginManager

    PluginManager.instance().discover()
    canonical = nib.Nifti1Image(
        np.ascontiguousarray(grey("int16").T),  # R, A, S
        np.array([[0.8, 0, 0, -20], [0, 0.9, 0, -30], [0, 0, 3, 5], [0, 0, 0, 1.0]]),
    )
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    stored = canonical.as_reoriented(turn)
    assert inv_ornt_aff(turn, canonical.shape) is not None
    path = tmp_path / "patient.nii.gz"
    stored.to_filename(path)
    (image,) = viewer.open(path, plugin="napari-fewshot")
    np.testing.assert_array_equal(image.data, grey("int16"))
    kind = Kind(image.data)
    labels = viewer.add_labels(paint(kind), name="template", **geometry(image))
    session = napari_fewshot.viewer_session(viewer)
    session.configure(**QUICK)
    session.add_template(image, labels)
    session.train(score=False).wait(60)
    session.propagate(image).wait(60)
    result = session.result_layer(image)
    assert_same_place(geometry(result), geometry(image))
    assert tuple(result.axis_labels) == ("S", "A", "R")
    assert dice(result.data, bodies(), 1) > 0.6
    result.save(str(tmp_path / "found.nii.gz"), plugin="napari-fewshot")
    found = nib.load(tmp_path / "found.nii.gz")
    np.testing.assert_allclose(found.affine, stored.affine, atol=1e-4)
    back = nib.as_closest_canonical(found)
    np.testing.assert_array_equal(np.asarray(back.dataobj).T, result.data)


@pytest.mark.parametrize(
    "name",
    [
        "3D RGB",
        "time, labels of the space, rotated",
        "multiscale painted on level 1",
        "multiscale RGB",
        "multiscale labels",
        "dask",
        "zarr labels",
        "rotated",
        "axis 1",
    ],
)
def test_what_was_saved_comes_back_in_its_place(viewer, tmp_path, name):
    session, image, labels = start(viewer, KINDS[name]())
    session.train(score=False).wait(60)
    session.propagate(image).wait(60)
    result = session.result_layer(image)
    session.save(tmp_path / "saved").wait(60)
    before = {
        layer.name: (geometry(layer), whole(layer), layer.get_color(1))
        for layer in (labels, result)
    }
    for layer in [layer for layer in viewer.layers if layer is not image]:
        viewer.layers.remove(layer)
    session.restore(tmp_path / "saved").wait(60)
    for layer, (place, data, colour_of_1) in before.items():
        assert_same_place(geometry(viewer.layers[layer]), place)
        np.testing.assert_array_equal(viewer.layers[layer].data, data)
        np.testing.assert_allclose(viewer.layers[layer].get_color(1), colour_of_1)
    assert len(session.templates) == 1

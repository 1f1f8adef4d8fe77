"""Pictures of results: size, content, orientation, colours, refusals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from napari_fewshot.bench.drawing import (
    DARK,
    View,
    grey_range,
    judge,
    label_colours,
    lay_out,
    overlay,
    with_legend,
)
from napari_fewshot.bench.methods import Predicted
from napari_fewshot.bench.pictures import SheetRow, contact_sheet, draw_worst, even_slices
from napari_fewshot.bench.prepare import PreparedCase
from napari_fewshot.errors import InputError
from napari_fewshot.metrics.labels import evaluate_labels
from napari_fewshot.metrics.landmarks import evaluate_landmarks
from napari_fewshot.phantoms import make_phantom
from napari_fewshot.types import Landmark, Volume


@pytest.fixture(scope="module")
def joint():
    return make_phantom("joint", 0, (16, 40, 48))


def sheet_of(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def sheet(image, rows, path, slices, **more):
    """A contact sheet with the scores of its last row."""
    scores = evaluate_labels(rows[-1].labels, rows[0].labels, image.spacing)
    return contact_sheet(image, rows, path, slices=slices, scores=scores, **more)


def test_the_sheet_has_a_row_for_each_and_shows_what_differs(joint, tmp_path):
    truth = joint.labels.data
    rows = [SheetRow("truth", truth, joint.landmarks)]
    one = sheet_of(sheet(joint.image, rows, tmp_path / "1.png", [4, 8, 11]))
    rows.append(SheetRow("prediction", np.zeros_like(truth)))
    two = sheet_of(sheet(joint.image, rows, tmp_path / "2.png", [4, 8, 11]))
    view = View.of(joint.image, 0, [4, 8, 11], 236)
    assert two.shape[0] - one.shape[0] == view.size[0] + 6
    assert two.shape[1] >= one.shape[1] > 3 * view.size[1]
    assert two.std() > 20
    # Colour is in the row of the truth; the row of the empty prediction is grey like the image.
    colour = np.ptp(two, axis=-1) > 40
    height = view.size[0] + 6
    image, overlaid, empty = (colour[46 + n * height : 40 + (n + 1) * height] for n in range(3))
    assert overlaid.mean() > 0.05
    assert image.mean() < 0.01
    assert empty.mean() < 0.01
    assert {path.name for path in tmp_path.iterdir()} == {"1.png", "2.png"}


def test_panels_keep_the_aspect_in_mm():
    flat = Volume(np.random.default_rng(0).random((4, 20, 30)), (1.0, 3.0, 1.0))
    view = View.of(flat, 0, [1], 200)
    rows, columns = (part.stop - part.start for part in view.cut)
    assert view.size[0] / view.size[1] == pytest.approx(3 * rows / columns, rel=0.03)


@pytest.mark.parametrize("storage", ["LPS", "RAS", "PIL", "SAR"])
def test_all_storage_orders_look_the_same(storage):
    usual = make_phantom("torso", 0, (16, 32, 40))
    other = make_phantom("torso", 0, (16, 32, 40), storage=storage)
    for direction in range(3):  # right, anterior, superior
        views = []
        for phantom in (usual, other):
            axis = int(np.abs(phantom.image.affine[direction, :3]).argmax())
            backwards = phantom.image.affine[direction, axis] < 0
            n = phantom.image.shape[axis]
            position = n - 1 - n // 3 if backwards else n // 3
            view = View.of(phantom.image, axis, [position], 100)
            mark = view.locate(phantom.landmarks[0].position)
            views.append((view.take(phantom.image.data, position), view.size, mark))
        np.testing.assert_array_equal(views[0][0], views[1][0])
        assert views[0][1] == views[1][1]
        np.testing.assert_allclose(views[0][2], views[1][2], atol=1e-6)


def test_superior_is_up_and_the_right_of_the_patient_is_left():
    data = np.zeros((10, 10, 10), dtype=np.float32)  # stored R, A, S along x, y, z
    data[9, 5, 9] = 1  # superior, right
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = affine[3, 3] = 1
    view = View.of(Volume(data, (1.0,) * 3, affine), 1, [5], 50)
    assert np.argwhere(view.take(data, 5)).tolist()[0] == [0, 0]
    x, y = view.locate((9, 5, 9))
    assert x < 10
    assert y < 10


def test_a_landmark_is_drawn_where_it_lies(tmp_path):
    image = Volume(np.zeros((3, 40, 40), dtype=np.float32), (1.0,) * 3)
    labels = np.zeros((3, 40, 40), dtype=np.uint8)
    marks = (Landmark("a", 1, (1.0, 10.0, 30.0)),)
    scores = evaluate_landmarks(marks, marks, image.spacing)
    pictures = []
    for shown, found in ((marks, scores), ((), None)):
        rows = [SheetRow("truth", labels, shown)]
        path = sheet(image, rows, tmp_path / "s.png", [1], landmark_scores=found)
        pictures.append(sheet_of(path))
    changed = np.argwhere((pictures[0][: len(pictures[1])] != pictures[1]).any(axis=-1))
    # The second panel of the only column starts below the header and the first panel.
    left = pictures[0].shape[1] - 236 - 6
    x, y = View.of(image, 0, [1], 236).locate((1.0, 10.0, 30.0))
    row, column = 46 + 236 + 6 + round(y), left + round(x)
    assert pictures[0][row, column].min() > 150
    assert pictures[0][row + 40, column].max() < 40
    assert np.abs(changed - (row, column)).max() < 25
    assert pictures[0].shape[0] > pictures[1].shape[0]  # the legend of landmarks


def test_painted_slices_are_marked(joint, tmp_path):
    rows = [SheetRow("truth", joint.labels.data)]
    plain = sheet_of(sheet(joint.image, rows, tmp_path / "s.png", [4, 8]))
    marked = sheet_of(sheet(joint.image, rows, tmp_path / "s.png", [4, 8], template_slices=[8]))
    changed = np.argwhere((plain != marked).any(axis=-1))
    width = View.of(joint.image, 0, [4, 8], 236).size[1]
    assert changed[:, 0].max() < 46
    assert changed[:, 1].min() > plain.shape[1] - width - 12


def test_colours_can_be_told_apart():
    colours = label_colours(list(range(1, 13)))
    lab = {k: rgb2lab(np.array(v, float) / 255) for k, v in colours.items()}
    assert min(np.linalg.norm(lab[a] - lab[b]) for a, b in combinations(lab, 2)) > 9
    many = label_colours(list(range(1, 60)))
    assert len(set(many.values())) == 59
    assert {k: many[k] for k in colours} == colours


def test_touching_labels_leave_no_gap():
    labels = np.ones((8, 8), dtype=np.uint8)
    labels[:, 4:], labels[4:, :4] = 2, 3
    colours = label_colours([1, 2, 3])
    picture = np.asarray(overlay(np.zeros((8, 8)), labels, (0, 1), colours, (80, 80))).astype(int)
    assert (np.ptp(picture, axis=-1) > 20).all()


def test_ct_gets_a_soft_tissue_window_and_mr_its_own_range(joint):
    assert grey_range(make_phantom("torso", 0, (8, 24, 24)).image) == (-160.0, 240.0)
    low, high = grey_range(joint.image)
    assert 0 <= low < high <= joint.image.data.max()
    assert grey_range(Volume(np.full((3, 4), np.nan), (1.0, 1.0))) == (0.0, 1.0)
    low, high = grey_range(Volume(np.full((3, 4), 7), (1.0, 1.0)))
    assert low < high


def test_colour_images_stay_in_colour():
    colour = np.zeros((8, 8, 3), np.uint8)
    colour[..., 0] = 200
    shown = np.asarray(overlay(colour, None, (0, 255), {}, (20, 20)))
    assert (shown == (200, 0, 0)).all()


def test_a_legend_takes_as_many_lines_as_it_needs():
    picture = Image.new("RGB", (200, 40))
    colours = label_colours(list(range(1, 31)))
    entries = [(f"structure {label}", colour) for label, colour in colours.items()]
    found = np.asarray(with_legend(picture, entries))
    assert found.shape[0] > 40 + 10 * 20
    assert set(colours.values()) <= set(map(tuple, found[40:].reshape(-1, 3).tolist()))
    assert with_legend(picture, []).size == picture.size


def test_panels_are_laid_out_in_rows_and_columns():
    red, blue = (Image.new("RGB", (w, 30), c) for w, c in ((120, (255, 0, 0)), (90, (0, 0, 255))))
    heads = [("one", False), ("two", True)]
    found = np.asarray(lay_out([[red, None], [blue, red]], ["a", "b"], heads, DARK)).astype(int)
    assert found.shape[0] == 46 + 2 * (30 + 6)
    left = found.shape[1] - 2 * (120 + 6)
    assert found[46, left].tolist() == found[46 + 29, left + 119].tolist() == [255, 0, 0]
    assert found[46 + 36, left].tolist() == [0, 0, 255]
    assert found[46, left + 126].tolist() == [*DARK.ground]  # left free
    assert found[46 + 36 + 29, left + 126 + 119].tolist() == [255, 0, 0]
    assert found[46 - 8, left + 126].tolist() == [*DARK.accent]  # painted
    assert found[46 - 8, left].tolist() == [*DARK.ground]


def test_a_long_head_takes_more_lines_and_not_more_width():
    panel = Image.new("RGB", (60, 30))
    short = lay_out([[panel, panel]], ["a"], [("one", False), ("two", False)])
    long = lay_out([[panel, panel]], ["a"], [("a method of many words", False), ("two", False)])
    assert long.width == short.width
    assert long.height > short.height


@pytest.mark.parametrize(("false", "missed", "empty", "colours"), [
    (0, 0, True, "green"), (0, 0, False, ""), (1, 0, True, "red"), (7, 0, False, "red"),
    (0, 2, False, "yellow"), (3, 2, False, "red yellow"),
])  # fmt: skip
def test_slices_are_judged_in_their_corner(false, missed, empty, colours):
    panel = Image.new("RGB", (90, 40), (90, 90, 90))
    judge(panel, false, missed, empty=empty)
    found = set(map(tuple, np.asarray(panel)[:22].reshape(-1, 3).tolist()))
    marks = {"green": (0, 190, 120), "red": (240, 60, 20), "yellow": (255, 220, 60)}
    assert {name for name, colour in marks.items() if colour in found} == {*colours.split()}
    assert (np.asarray(panel)[22:] == 90).all()


def test_even_slices_cover_the_labels():
    labels = np.zeros((20, 3, 3), dtype=np.uint8)
    labels[4:16] = 1
    assert even_slices(labels, 4) == [5, 8, 11, 14]
    assert even_slices(labels, 50) == list(range(4, 16))
    assert even_slices(np.zeros_like(labels), 2) == [5, 15]


def worst_case(labels, image=None, **more):
    image = Volume(labels * 50.0, (1.0,) * labels.ndim) if image is None else image
    return PreparedCase("a", image, Volume(labels, image.spacing, names={1: "liver"}), **more)


def shown_in(path):
    with Image.open(path) as file:
        picture = np.asarray(file.convert("RGB")).astype(int)
    return picture, set(map(tuple, picture.reshape(-1, 3).tolist()))


@pytest.mark.parametrize("shape", [(3, 20, 24), (20, 24)])
def test_the_worst_slice_has_a_legend_of_all_labels_of_the_case(tmp_path, shape):
    """Also of those that are on other slices only; not of those it lacks."""
    truth = np.zeros(shape, np.uint8)
    truth[..., 4:12, 4:12] = 1
    truth[..., 14:18, 14:18] = 2
    pred = truth.copy()
    pred[..., 14:18, 14:18] = 0
    pred[..., 4:6, 4:12] = 0
    if len(shape) == 3:
        pred[0] = 0
        pred[2] = truth[2]
    painted = [0] if len(shape) == 3 else []
    words = draw_worst(
        Predicted(pred), worst_case(truth), painted, tmp_path / "w.png", {3: "spleen"}
    )
    assert words == f"slice {len(shape) - 2}, 32 wrong pixels"
    picture, colours = shown_in(tmp_path / "w.png")
    first, second, third = label_colours([1, 2, 3]).values()
    assert {first, second} <= colours
    assert third not in colours
    assert picture.shape[1] > 3 * 200  # truth, prediction, both
    assert draw_worst(Predicted(truth), worst_case(truth), [], tmp_path / "n.png") is None
    assert not (tmp_path / "n.png").exists()


def test_the_worst_landmark_is_drawn_where_it_lies(tmp_path):
    points = (Landmark("a", 1, (1.0, 10.0, 30.0)), Landmark("b", 2, (2.0, 10.0, 10.0)))
    found = (Landmark("a", 1, (1.0, 30.0, 30.0), 0.9), Landmark("b", 2, (2.0, 10.0, 11.0), 0.8))
    image = Volume(np.zeros((3, 40, 40), np.float32), (2.0, 0.5, 0.5))
    case = PreparedCase("a", image, None, points)
    words = draw_worst(Predicted(None, found), case, [], tmp_path / "w.png")
    assert words == "slice 1, landmark a 10.0 mm off"
    picture, _ = shown_in(tmp_path / "w.png")
    view = View.of(image, 0, [1], 520)
    for point, colour in ((points[0], (255, 255, 255)), (found[0], (255, 140, 0))):
        x, y = view.locate(point.position)
        assert tuple(picture[round(y), round(x)]) == colour
    missed = draw_worst(Predicted(None, ()), case, [], tmp_path / "n.png")
    assert missed is None


def test_bad_input_is_refused_and_leaves_no_file(joint, tmp_path):
    path = tmp_path / "s.png"
    good = SheetRow("truth", joint.labels.data)
    scores = evaluate_labels(joint.labels.data, joint.labels.data, joint.image.spacing)
    cut = SheetRow("cut", joint.labels.data[1:])
    with pytest.raises(InputError, match="labels of 'cut'"):
        contact_sheet(joint.image, [cut], path, slices=[4], scores=scores)
    for slices in ([16], []):
        with pytest.raises(InputError, match="slices"):
            contact_sheet(joint.image, [good], path, slices=slices, scores=scores)
    assert list(tmp_path.iterdir()) == []

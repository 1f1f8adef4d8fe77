"""The contact sheet: size, content, orientation, colours, refusals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from napari_fewshot.bench.drawing import View, grey_range, label_colours, overlay
from napari_fewshot.bench.figures import SheetRow, contact_sheet, even_slices
from napari_fewshot.errors import InputError
from napari_fewshot.phantoms import make_phantom
from napari_fewshot.types import Landmark, Volume


@pytest.fixture(scope="module")
def joint():
    return make_phantom("joint", 0, (16, 40, 48))


def sheet_of(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def test_the_sheet_has_a_row_for_each_and_shows_what_differs(joint, tmp_path):
    truth = joint.labels.data
    rows = [SheetRow("truth", truth, joint.landmarks)]
    one = sheet_of(contact_sheet(joint.image, rows, tmp_path / "1.png", slices=[4, 8, 11]))
    rows.append(SheetRow("prediction", np.zeros_like(truth)))
    path = contact_sheet(joint.image, rows, tmp_path / "2.png", slices=[4, 8, 11])
    two = sheet_of(path)
    view = View.of(joint.image, 0, [4, 8, 11], 236)
    assert two.shape[0] - one.shape[0] == view.size[0] + 6
    assert two.shape[1] == one.shape[1] > 3 * view.size[1]
    assert two.std() > 20
    # Colour is in the row of the truth; the row of the empty prediction is grey like the image.
    colour = np.ptp(two, axis=-1) > 40
    height = view.size[0] + 6
    image, overlaid, empty = (colour[46 + n * height : 40 + (n + 1) * height] for n in range(3))
    assert overlaid.mean() > 0.05
    assert image.mean() < 0.01
    assert empty.mean() < 0.01
    assert [p.name for p in tmp_path.iterdir() if p.name not in ("1.png", "2.png")] == []


def test_panels_keep_the_aspect_in_mm():
    flat = Volume(np.random.default_rng(0).random((4, 20, 30)), (1.0, 3.0, 1.0))
    view = View.of(flat, 0, [1], 200)
    rows, columns = view.cut[1] - view.cut[0], view.cut[3] - view.cut[2]
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
    pictures = []
    for marks in ((Landmark("a", 1, (1.0, 10.0, 30.0)),), ()):
        path = contact_sheet(
            image, [SheetRow("truth", labels, marks)], tmp_path / "s.png", slices=[1]
        )
        pictures.append(sheet_of(path))
    # The second panel of the only column starts below the header and the first panel.
    top, left = 46 + 236 + 6, 34
    panel = pictures[0][top : top + 236, left : left + 236].max(axis=-1)
    x, y = View.of(image, 0, [1], 236).locate((1.0, 10.0, 30.0))
    row, column = round(y), round(x)
    assert panel[row, column] > 150
    assert panel[row, column - 6] > 150
    assert panel[row + 40, column] < 40
    assert pictures[0].shape[0] > pictures[1].shape[0]  # the legend of landmarks


def test_painted_slices_and_scores_are_marked(joint, tmp_path):
    rows = [SheetRow("truth", joint.labels.data)]
    plain = sheet_of(contact_sheet(joint.image, rows, tmp_path / "s.png", slices=[4, 8]))
    names = joint.labels.names
    marked = sheet_of(
        contact_sheet(
            joint.image, rows, tmp_path / "s.png", names=names, slices=[4, 8],
            template_slices=[8], scores={1: 0.5, 2: float("nan")},
        )
    )  # fmt: skip
    width = View.of(joint.image, 0, [4, 8], 236).size[1]
    same = (plain[:40] == marked[:40]).all(axis=(0, 2))
    assert same[: 34 + width].all()
    assert not same[34 + width + 6 :].all()
    bars = [np.abs(p - (52, 56, 64)).sum(-1) == 0 for p in (plain, marked)]
    assert not bars[0].any()
    assert bars[1].any()


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


def test_flat_and_colour_images(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.zeros((30, 40), dtype=np.int32)
    labels[5:15, 10:30] = 3
    colour = Volume.of(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8))
    for image in (colour, Volume(rng.random((30, 40)), (1.0, 1.0))):
        found = sheet_of(contact_sheet(image, [SheetRow("t", labels)], tmp_path / "f.png"))
        assert found.std() > 20


def test_even_slices_cover_the_labels():
    labels = np.zeros((20, 3, 3), dtype=np.uint8)
    labels[4:16] = 1
    assert even_slices(labels, 4) == [5, 8, 11, 14]
    assert even_slices(labels, 50) == list(range(4, 16))
    assert even_slices(np.zeros_like(labels), 2) == [5, 15]


def test_bad_input_is_refused_and_leaves_no_file(joint, tmp_path):
    path = tmp_path / "s.png"
    good = SheetRow("truth", joint.labels.data)
    with pytest.raises(InputError, match="labels of 'cut'"):
        contact_sheet(joint.image, [SheetRow("cut", joint.labels.data[1:])], path)
    with pytest.raises(InputError, match="slices"):
        contact_sheet(joint.image, [good], path, slices=[16])
    with pytest.raises(InputError, match="slices"):
        contact_sheet(joint.image, [good], path, slices=[])
    with pytest.raises(InputError, match="axis"):
        contact_sheet(joint.image, [good], path, axis=3)
    assert list(tmp_path.iterdir()) == []

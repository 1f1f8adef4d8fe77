"""Which files the readers take, as what, and on which image points come to lie."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_fewshot._napari import menus
from napari_fewshot._napari.readers import (
    nifti_reader,
    points_reader,
    read_image,
    read_label_map,
    read_point_file,
)
from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io import write_points
from napari_fewshot.types import Landmark, Volume

PLUGIN = "napari-fewshot"
AFFINE = np.array([[0, 0, 2.0, 1], [-1, 0, 0, 5], [0, -3, 0, 9], [0, 0, 0, 1]])


def save(path: Path, data: np.ndarray, intent: str = "none") -> Path:
    image = nib.Nifti1Image(data, AFFINE)
    image.header.set_intent(intent)
    image.to_filename(path)
    return path


def kinds(path: Path) -> list[str]:
    read = nifti_reader(str(path))
    assert read is not None
    return [kind for _, _, kind in read(str(path))]


WHOLE = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("name", "data", "intent", "kind"),
    [
        ("ct.nii.gz", WHOLE, "none", "image"),
        ("ct.nii.gz", WHOLE, "label", "labels"),
        ("ct_labels.nii.gz", WHOLE, "none", "labels"),
        ("sub-01_T1w_seg-manual.nii", WHOLE, "none", "labels"),
        ("BrainMask.nii", WHOLE, "none", "image"),
        ("sub-01_dseg.nii", WHOLE.astype(np.float32), "none", "labels"),
        ("vessel_labels.nii", WHOLE / 7, "none", "image"),
        ("ct_seg.nii", WHOLE - 10, "none", "image"),
        ("segment.nii", WHOLE, "none", "image"),
    ],
)
def test_what_is_taken_as_labels(tmp_path, name, data, intent, kind):
    assert kinds(save(tmp_path / name, data, intent)) == [kind]


def test_names_of_another_file_do_not_make_an_image_labels(tmp_path):
    (tmp_path / "knee_labels.json").write_text('{"1": "tibia"}')
    assert kinds(save(tmp_path / "knee.nii.gz", WHOLE)) == ["image"]


def test_file_that_says_labels_and_holds_none_is_an_error_of_its_own(tmp_path):
    path = save(tmp_path / "a.nii", WHOLE / 7, "label")
    with pytest.raises(InputError, match="whole numbers as labels"):
        kinds(path)
    (image,) = read_image(path)
    assert image[2] == "image"


def test_either_can_be_asked_for(tmp_path):
    path = save(tmp_path / "ct.nii.gz", WHOLE)
    assert [layer[2] for layer in read_label_map(path)] == ["labels"]
    path = save(tmp_path / "ct_labels.nii.gz", WHOLE)
    assert [layer[2] for layer in read_image(path)] == ["image"]


def test_large_labels_stored_as_doubles_are_exact(tmp_path):
    data = np.full((2, 3, 4), 2.0**24 + 1)
    (layer,) = read_label_map(save(tmp_path / "a_seg.nii", data))
    assert np.unique(layer[0]).tolist() == [2**24 + 1]


def test_content_decides_whatever_the_name_is(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert nifti_reader(str(tmp_path / "a.nii")) is None
    assert nifti_reader(str(tmp_path / "missing.nii")) is None
    assert nifti_reader([]) is None


def test_damaged_file_gives_one_clear_error(tmp_path):
    path = save(tmp_path / "a.nii.gz", WHOLE)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnreadableFileError, match="truncated or damaged"):
        kinds(path)


def test_several_files_become_a_layer_each(tmp_path):
    paths = [str(save(tmp_path / name, WHOLE)) for name in ("a.nii", "b_seg.nii")]
    read = nifti_reader(paths)
    assert read is not None
    assert [(meta["name"], kind) for _, meta, kind in read(paths)] == [
        ("a", "image"),
        ("b_seg", "labels"),
    ]


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("name,label,z,y,x", True),
        ("\ufeffName,R,A,S", True),
        ("label,y,x", True),
        ("index,axis-0,axis-1", False),
        ("z,y,x", False),
        ("", False),
    ],
)
def test_columns_decide_on_points(tmp_path, header, taken):
    path = tmp_path / "p.csv"
    path.write_text(header + "\n", encoding="utf-8")
    assert (points_reader(str(path)) is not None) is taken


def test_bytes_are_no_points(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe\x00name,label")
    assert points_reader(str(tmp_path / "p.csv")) is None


def test_points_without_any_image_are_shown_in_voxels(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("name,z,y,x\na,1,2,3\n")
    ((data, meta, kind),) = read_point_file(path)
    assert kind == "points"
    np.testing.assert_array_equal(data, [[1, 2, 3]])
    assert meta["scale"] == (1, 1, 1)


def test_points_in_mm_need_their_image(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("name,R,A,S\na,1,2,3\n")
    with pytest.raises(InputError, match="columns z, y, x"):
        read_point_file(path)


@pytest.mark.viewer
class TestInTheViewer:
    def test_files_open_and_layers_save(self, viewer, tmp_path):
        save(tmp_path / "knee.nii.gz", WHOLE)
        save(tmp_path / "knee_labels.nii.gz", WHOLE % 3)
        (tmp_path / "knee_labels.json").write_text('{"1": "tibia"}')
        for name in ("knee", "knee_labels"):
            viewer.open(tmp_path / f"{name}.nii.gz", plugin=PLUGIN)
        image, labels = viewer.layers
        assert (image._type_string, labels._type_string) == ("image", "labels")
        assert image.units == labels.units
        for layer in (image, labels):
            layer.save(str(tmp_path / "out" / f"{layer.name}.nii.gz"))
        for name in ("knee", "knee_labels"):
            one, two = (
                nib.load(folder / f"{name}.nii.gz") for folder in (tmp_path, tmp_path / "out")
            )
            np.testing.assert_array_equal(np.asarray(one.dataobj), np.asarray(two.dataobj))
            np.testing.assert_array_equal(one.affine, two.affine)
        assert (tmp_path / "out" / "knee_labels.json").is_file()

    def test_layer_type_overrides(self, viewer, tmp_path):
        path = save(tmp_path / "ct.nii.gz", WHOLE)
        (layer,) = viewer.open(path, plugin=PLUGIN, layer_type="labels")
        assert layer._type_string == "labels"
        layer.save(str(tmp_path / "again.nii.gz"))
        np.testing.assert_array_equal(nib.load(tmp_path / "again.nii.gz").affine, AFFINE)

    def test_points_lie_on_the_image_of_their_name(self, viewer, tmp_path):
        other = tmp_path / "elsewhere"
        other.mkdir()
        path = save(other / "knee.nii.gz", WHOLE)
        viewer.open(path, plugin=PLUGIN)
        viewer.open(save(tmp_path / "k.nii.gz", np.zeros((2, 2, 2), np.int16)), plugin=PLUGIN)
        volume = Volume(WHOLE.T, (1.0, 1.0, 1.0))
        write_points(tmp_path / "knee_points.csv", [Landmark("p", 1, (3, 2, 1))], volume)
        (points,) = viewer.open(tmp_path / "knee_points.csv", plugin=PLUGIN)
        image = viewer.layers["knee"]
        place = image.world_to_data(points.data_to_world(points.data[0]))
        assert image.data[tuple(np.rint(place).astype(int))] == WHOLE[1, 2, 3]

    def test_points_lie_on_the_only_image(self, viewer, tmp_path):
        viewer.open(save(tmp_path / "knee.nii.gz", WHOLE), plugin=PLUGIN)
        (tmp_path / "my points.csv").write_text("name,R,A,S\na,7,4,3\n")
        (points,) = viewer.open(tmp_path / "my points.csv", plugin=PLUGIN)
        np.testing.assert_allclose(points.data_to_world(points.data[0]), (3, 4, 7))

    def test_csv_of_napari_itself_still_opens_without_a_question(self, viewer, tmp_path):
        viewer.add_points([[1, 2], [3, 4]]).save(str(tmp_path / "mine.csv"))
        assert (tmp_path / "mine.csv").read_text().startswith("index,axis-0")
        (layer,) = viewer.open(tmp_path / "mine.csv")
        np.testing.assert_array_equal(layer.data, [[1, 2], [3, 4]])

    def test_points_are_saved_for_us_under_an_ending_of_their_own(self, viewer, tmp_path):
        path = tmp_path / "knee.landmarks.csv"
        viewer.add_points([[1, 2], [3, 4]], features={"name": ["a", "b"]}).save(str(path))
        assert path.read_text().startswith("name,label,z,y,x")
        (layer,) = viewer.open(path, plugin=PLUGIN)
        np.testing.assert_array_equal(layer.data, [[0, 1, 2], [0, 3, 4]])

    def test_menu_commands(self, viewer, tmp_path, monkeypatch):
        from qtpy.QtWidgets import QFileDialog

        path = save(tmp_path / "knee.nii.gz", WHOLE)
        (tmp_path / "any.csv").write_text("name,z,y,x\na,1,2,1\n")
        answer = [str(path)]
        monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *args: (answer, ""))
        menus.open_as_image(viewer)
        menus.open_as_labels(viewer)
        answer[:] = [str(tmp_path / "any.csv")]
        menus.open_points(viewer)
        answer.clear()
        menus.open_points(viewer)
        assert [layer._type_string for layer in viewer.layers] == ["image", "labels", "points"]

    def test_menu_command_runs_from_the_menu(self, viewer, tmp_path, monkeypatch):
        from napari._app_model import get_app_model
        from qtpy.QtWidgets import QFileDialog

        path = save(tmp_path / "knee.nii.gz", WHOLE)
        monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *args: ([str(path)], ""))
        get_app_model().commands.execute_command("napari-fewshot.open_as_labels").result()
        assert [layer._type_string for layer in viewer.layers] == ["labels"]

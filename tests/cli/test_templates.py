"""Options are shared out to images, and files become templates."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

from napari_fewshot.cli.shared import parse_numbers
from napari_fewshot.cli.templates import (
    InOrder,
    TemplateFiles,
    group_templates,
    read_templates,
)
from napari_fewshot.errors import InputError
from napari_fewshot.io import read_volume, write_labels

from .conftest import PAINTED

OPTIONS = {"frame": None, "template": "dense", "background": None, "only": None}


@pytest.fixture
def files(tmp_path):
    for name in "abcd":
        (tmp_path / name).touch()
    return tmp_path


def grouped(folder, *words):
    """Groups of a command line in which the files are called a, b, c, d."""
    parser = argparse.ArgumentParser()
    for option in ("--image", "--labels", "--points"):
        parser.add_argument(option, action=InOrder, nargs="+")
    for option in ("--slices", "--known-labels", "--axis"):
        parser.add_argument(option, action=InOrder)
    given = parser.parse_args([f"{folder / w}" if w in "abcd" else w for w in words]).given
    return [
        tuple(None if v is None else getattr(v, "name", v) for v in list(vars(group).values())[:5])
        for group in group_templates(given)
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--image a --labels b", [("a", "b", None, None, None)]),
        ("--image a c --labels b d", [("a", "b", None, None, None), ("c", "d", None, None, None)]),
        (
            "--image a --labels b --image c --labels d",
            [("a", "b", None, None, None), ("c", "d", None, None, None)],
        ),
        ("--labels b d --image a c", [("a", "b", None, None, None), ("c", "d", None, None, None)]),
        (
            "--image a --labels b --image c --points d",
            [("a", "b", None, None, None), ("c", None, "d", None, None)],
        ),
        (
            "--image a c --labels b d --slices all",
            [("a", "b", None, "all", None), ("c", "d", None, "all", None)],
        ),
        (
            "--image a --labels b --slices 3 --image c --labels d",
            [("a", "b", None, "3", None), ("c", "d", None, "3", None)],
        ),
        (
            "--image a c --labels b d --known-labels 1 --known-labels 2,3",
            [("a", "b", None, None, "1"), ("c", "d", None, None, "2,3")],
        ),
        ("--image a --labels b --points c", [("a", "b", "c", None, None)]),
    ],
)
def test_options_are_shared_out(files, words, expected):
    assert grouped(files, *words.split()) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--labels b", "--image must be given at least once"),
        ("--image a", "--labels must be given for every image, or --points"),
        ("--image a c --labels b", "--labels must be given for every image"),
        ("--image a --labels b d", "--labels must be given once for each image"),
        ("--labels b d c --image a", "--labels must stand behind the --image it belongs to"),
        (
            "--known-labels 1 --image a c --labels b d --known-labels 2 --known-labels 3",
            "--known-labels must stand behind the --image it belongs to",
        ),
        ("--image none --labels b", "--image must be an existing file"),
        ("--image a --labels none", "--labels must be an existing file"),
        ("--image a --points none", "--points must be an existing file"),
        ("--image a --labels b --axis 3", "--axis must be one of auto, 0, 1, 2"),
        ("--image a --labels b --axis 0 --axis 1", "--axis must be given once for each image"),
    ],
)
def test_options_that_cannot_be_shared_out(files, words, message):
    with pytest.raises(InputError, match=message):
        grouped(files, *words.split())


@pytest.mark.parametrize(
    ("words", "axes"),
    [
        ("--image a c --labels b d", [None, None]),
        ("--image a c --labels b d --axis 2", ["2", "2"]),
        ("--image a c --labels b d --axis axial --axis auto", ["axial", "auto"]),
        ("--image a --labels b --axis 1 --image c --labels d --axis 0", ["1", "0"]),
    ],
)
def test_each_image_may_have_its_axis(files, words, axes):
    parser = argparse.ArgumentParser()
    for option, count in (("--image", "+"), ("--labels", "+"), ("--axis", None)):
        parser.add_argument(option, action=InOrder, nargs=count)
    given = parser.parse_args([f"{files / w}" if w in "abcd" else w for w in words.split()]).given
    assert [group.axis for group in group_templates(given)] == axes


def test_numbers():
    assert parse_numbers("--slices", None) is None
    assert parse_numbers("--slices", "3, 7,10-12,0-0") == [3, 7, 10, 11, 12, 0]


@pytest.mark.parametrize(
    "text", ["", "1,,2", "a", "1-", "-1", "1-2-3", "1.5", "9-3", "0-99999999999"]
)
def test_bad_numbers(text):
    with pytest.raises(InputError, match="--slices must"):
        parse_numbers("--slices", text)


def read(*files, **options):
    return read_templates(files, argparse.Namespace(**OPTIONS | options))


def test_files_become_a_template(patients):
    one = patients[0]
    (template,) = read(TemplateFiles(one.image, one.painted, slices="4,5"))
    np.testing.assert_array_equal(template.volume.data, read_volume(one.image).data)
    assert template.slices == [4, 5]
    assert template.file_axis() == 0
    assert template.painted_slices() == list(PAINTED)
    assert template.names[1] == "femur"


def test_axis_decides_which_slices_exist(patients):
    one = patients[0]

    def files(axis):
        return TemplateFiles(one.image, one.truth, slices="40", axis=axis)

    assert read(files("1"))[0].slices == [40]
    assert read(files("axial"))[0].file_axis() == 1  # stored as (L, I, P)
    with pytest.raises(InputError, match=r"--slices must be within 0\.\.15; got 40"):
        read(files("sagittal"))


def test_errors_say_which_image(patients):
    one, other = patients
    files = [TemplateFiles(p.image, p.painted, slices="77") for p in (one, other)]
    files[0].slices = None
    with pytest.raises(InputError, match=rf"--slices must .*\(Image {other.image}\.\)"):
        read(*files)


def csv(path, *names):
    path.write_text("name,z,y,x\n" + "".join(f"{n},4,{9 + i},9\n" for i, n in enumerate(names)))
    return path


def test_names_have_one_label_in_all_files(patients, tmp_path):
    one, other = patients
    first, second = (
        TemplateFiles(one.image, points=csv(tmp_path / "1.csv", "tip", "base")),
        TemplateFiles(other.image, points=csv(tmp_path / "2.csv", "base", "rim", "tip")),
    )
    templates = read(first, second)
    assert [(p.name, p.label) for t in templates for p in t.points] == [
        ("tip", 1),
        ("base", 2),
        ("base", 2),
        ("rim", 3),
        ("tip", 1),
    ]


def test_a_label_may_not_mean_two_things(patients):
    one, other = patients
    with pytest.raises(InputError, match="points, labels must give each label one name .* femur"):
        read(TemplateFiles(one.image, one.painted, one.points))
    with pytest.raises(InputError, match="points, labels must give each label one name"):
        read(TemplateFiles(one.image, one.painted), TemplateFiles(other.image, points=other.points))


def test_the_image_is_no_label_map(patients):
    with pytest.raises(InputError, match="--labels must be another file than --image"):
        group_templates([("image", str(patients[0].image)), ("labels", str(patients[0].image))])


def test_scribbles_without_background_are_said(patients, capsys):
    files = [TemplateFiles(patients[0].image, patients[0].painted)]
    for background, told in ((1, False), (99, True)):
        given = {**OPTIONS, "template": "scribble", "background": background}
        read_templates(files, argparse.Namespace(**given))
        assert ("no label map has the value 99" in capsys.readouterr().err) is told


def test_only_some_labels_of_several_templates(patients, tmp_path):
    one, other = patients
    lonely = tmp_path / "lonely.nii.gz"
    image = read_volume(other.image)
    data = np.zeros(image.shape, np.uint8)
    data[7, 5:9, 5:9] = 30
    write_labels(lonely, data, image)
    files = TemplateFiles(one.image, one.painted), TemplateFiles(other.image, lonely)
    first, second = read(*files, only="30")
    assert first.painted_values() == []  # known to have none of it, on its painted slices
    assert list(first.slices) == list(PAINTED)
    assert second.painted_values() == [30]
    with pytest.raises(InputError, match=r"--only must be among the painted labels \[1, 2"):
        read(*files, only="31")

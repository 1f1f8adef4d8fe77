"""Codes of labels: the small file, that of dcmqi, and what is wrong with either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.io.dicom.codes import SegmentCode, codes_for, read_codes

LIVER = ("10200004", "SCT", "Liver")
KIDNEY = ("64033007", "SCT", "Kidney")
LEFT = ("7771000", "SCT", "Left")


def write(folder: Path, content: Any) -> Path:
    path = folder / "codes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def test_by_name_or_by_value(tmp_path):
    path = write(
        tmp_path,
        {
            "Liver": {"type": LIVER},
            "2": {"type": KIDNEY, "modifier": LEFT, "name": "left kidney", "color": [9, 0, 255]},
            "spleen": {"type": ("78961009", "SCT", "Spleen"), "category": LIVER},
        },
    )
    codes = read_codes(path)
    found = codes_for(codes, {1: "liver", 2: "kidney"}, [1, 2])
    assert found == {
        1: SegmentCode(LIVER),
        2: SegmentCode(KIDNEY, modifier=LEFT, name="left kidney", color=(9, 0, 255)),
    }
    assert found[1].category == ("123037004", "SCT", "Anatomical Structure")
    assert codes["spleen"].category == LIVER
    with pytest.raises(InputError, match=r"one for each label of the model; got none for label 7 "):
        codes_for(codes, {7: "heart"}, [7])
    with pytest.raises(InputError, match="none for label 7"):
        codes_for(codes, {}, [7])


def test_files_of_dcmqi(tmp_path):
    def code(one: tuple[str, str, str]) -> dict[str, str]:
        return dict(zip(("CodeValue", "CodingSchemeDesignator", "CodeMeaning"), one, strict=True))

    kidney = {
        "labelID": 2,
        "SegmentLabel": "kidney",
        "SegmentAlgorithmType": "MANUAL",
        "SegmentedPropertyCategoryCodeSequence": code(LIVER),
        "SegmentedPropertyTypeCodeSequence": code(KIDNEY),
        "SegmentedPropertyTypeModifierCodeSequence": code(LEFT),
        "recommendedDisplayRGBValue": [1, 2, 3],
    }
    path = write(tmp_path, {"ContentCreatorName": "me", "segmentAttributes": [[kidney]]})
    expected = SegmentCode(KIDNEY, LIVER, LEFT, "kidney", (1, 2, 3))
    assert read_codes(path) == {"2": expected}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "be JSON such as .*Expecting property"),
        ("[1]", "be a JSON object such as .*got list"),
        ("{}", "be a JSON object such as .*got dict"),
        ({"liver": "10200004"}, "be a JSON object such as .*got other values"),
        ({"liver": {}}, "as the type of liver; got none"),
        ({"liver": {"type": ["10200004", "SCT"]}}, "as the type of liver; got"),
        ({"liver": {"type": LIVER, "category": ["", "SCT", "x"]}}, "as the category of liver"),
        ({"liver": {"type": ["1", "S" * 17, "x"]}}, "as the type of liver"),
        ({"liver": {"type": LIVER, "colour": [1, 2, 3]}}, "for liver; got colour"),
        ({"liver": {"type": LIVER, "color": [1, 2, 300]}}, "three numbers 0..255 for liver"),
        ({"liver": {"type": LIVER, "name": 7}}, "a text as the name of liver; got 7"),
        ({"Liver": {"type": LIVER}, "liver": {"type": LIVER}}, "name each label once; got liver"),
        ({"segmentAttributes": [[{"SegmentLabel": "x"}]]}, "list segments with a labelID"),
        ({"segmentAttributes": {}}, "list segments with a labelID"),
        ("[" * 3000, "be JSON such as"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, content, said):
    path = write(tmp_path, content)
    with pytest.raises(InputError, match=said) as told:
        read_codes(path)
    assert str(told.value).startswith(str(path))


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "codes.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="be JSON such as"):
        read_codes(path)

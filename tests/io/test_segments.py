"""Segmentations of 3D Slicer: layers, and the box that is painted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.io import read_labels, read_labels_on, read_volume
from napari_fewshot.io.segments import segments_in
from napari_fewshot.types import Array

pytest.importorskip("SimpleITK")

SHAPE = (6, 20, 24)
BALL = np.zeros(SHAPE, bool)
BALL[1:4, 4:10, 5:12] = True
BOX = np.zeros(SHAPE, bool)
BOX[2:5, 12:18, 8:20] = True


def write(
    path: Path,
    data: Array,
    fields: str = "",
    origin: tuple[float, ...] = (0, 0, 0),
    kind: str = "uint8",
    step: float = 3.0,
) -> Path:
    """A NRRD file written by hand; a last axis of layers is ``list``."""
    layers = data.ndim == 4
    head = (
        f"NRRD0004\ntype: {kind}\ndimension: {data.ndim}\nspace: left-posterior-superior\n"
        f"sizes: {' '.join(map(str, data.shape[::-1]))}\n"
        f"space directions: {'none ' if layers else ''}(1,0,0) (0,2,0) (0,0,{step})\n"
        f"kinds: {'list ' if layers else ''}domain domain domain\nendian: little\nencoding: raw\n"
        f"space origin: ({','.join(map(str, origin))})\n{fields}\n"
    )
    path.write_bytes(head.encode() + np.ascontiguousarray(data).tobytes())
    return path


def fields(*segments: tuple[str, int | None, int | None]) -> str:
    lines = []
    for number, (name, value, layer) in enumerate(segments):
        lines += [f"Segment{number}_ID:=Segment_{number}", f"Segment{number}_Name:={name}"]
        lines += [] if value is None else [f"Segment{number}_LabelValue:={value}"]
        lines += [] if layer is None else [f"Segment{number}_Layer:={layer}"]
    return "\n".join(lines) + "\n"


def layered(*layers: Array) -> Array:
    return np.stack(layers, axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("segments", "values"),
    [
        ((("ball", 1, 0), ("box", 1, 1)), (1, 2)),
        ((("ball", 4, 0), ("box", 7, 1)), (4, 7)),
        ((("ball", None, None), ("box", None, None)), (1, 2)),  # as older versions write them
    ],
)
def test_layers_become_one_map(
    tmp_path: Path,
    segments: tuple[tuple[str, int | None, int | None], ...],
    values: tuple[int, ...],
) -> None:
    stored = [segment[1] or 1 for segment in segments]
    data = layered(BALL * stored[0], BOX * stored[1])
    found = read_labels(write(tmp_path / "a.seg.nrrd", data, fields(*segments)))
    np.testing.assert_array_equal(found.data, BALL * values[0] + BOX * values[1])
    assert dict(found.names) == {values[0]: "ball", values[1]: "box"}
    assert not found.has_channels


def test_two_segments_of_one_layer_and_one_of_another(tmp_path: Path) -> None:
    spot = np.zeros(SHAPE, bool)
    spot[0, 0, 0] = True
    names = fields(("ball", 1, 0), ("box", 2, 0), ("spot", 1, 1))
    found = read_labels(write(tmp_path / "a.seg.nrrd", layered(BALL + 2 * BOX, spot), names))
    np.testing.assert_array_equal(found.data, BALL + 2 * BOX + 3 * spot)


def test_overlap_is_told(tmp_path: Path) -> None:
    names = fields(("ball", 1, 0), ("shell", 1, 1))
    wide = BALL.copy()
    wide[0] |= BALL[1]
    for other in (BALL, wide):  # equal layers are no grey image
        path = write(tmp_path / "a.seg.nrrd", layered(BALL, other), names)
        with pytest.raises(InputError, match=r"ball \(layer 0\) and shell \(layer 1\).*share 126"):
            read_labels(path)


def test_values_of_no_segment_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.seg.nrrd", layered(BALL, 5 * BOX), fields(("ball", 1, 0)))
    with pytest.raises(InputError, match="voxels of layer 1 that belong to none"):
        read_labels(path)


def test_two_equal_channels_are_no_labels(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one whole number for each pixel"):
        read_labels(write(tmp_path / "a.nrrd", layered(BALL, BALL)))


def test_the_painted_box_is_put_into_its_image(tmp_path: Path) -> None:
    truth = (BALL + 2 * BOX).astype(np.uint8)
    image = read_volume(write(tmp_path / "i.nrrd", truth.astype("<i2"), kind="int16"))
    names = fields(("ball", 1, 0), ("box", 2, 0))
    box = truth[1:5, 3:19, 4:21]
    path = write(tmp_path / "p.seg.nrrd", box, names, origin=(4, 6, 3))
    found = read_labels_on(image, path)
    np.testing.assert_array_equal(found.data, truth)
    assert dict(found.names) == {1: "ball", 2: "box"}
    # A larger box, with nothing outside.
    large = np.zeros((9, 30, 30), np.uint8)
    large[2:8, 5:25, 3:27] = truth
    path = write(tmp_path / "l.seg.nrrd", large, names, origin=(-3, -10, -6))
    np.testing.assert_array_equal(read_labels_on(image, path).data, truth)


def test_boxes_that_do_not_fit(tmp_path: Path) -> None:
    truth = (BALL + 2 * BOX).astype(np.uint8)
    image = read_volume(write(tmp_path / "i.nrrd", truth.astype("<i2"), kind="int16"))
    names = fields(("ball", 1, 0), ("box", 2, 0))
    box = truth[1:5, 3:19, 4:21]
    between = write(tmp_path / "b.seg.nrrd", box, names, origin=(4.4, 6, 3))
    with pytest.raises(InputError, match="an extent of shape .* between those of the image"):
        read_labels_on(image, between)
    other = write(tmp_path / "o.seg.nrrd", box, names, origin=(4, 6, 3), step=2.0)
    with pytest.raises(InputError, match="on its own grid"):
        read_labels_on(image, other)
    outside = write(tmp_path / "x.seg.nrrd", box, names, origin=(40, 6, 3))
    with pytest.raises(InputError, match="lie inside the image"):
        read_labels_on(image, outside)
    with pytest.raises(InputError, match="have the shape"):  # a plain label map is not filled up
        read_labels_on(image, write(tmp_path / "p.nrrd", box, origin=(4, 6, 3)))


def test_segments_by_number_not_by_text() -> None:
    found = segments_in({f"Segment{k}_ID": f"s{k}" for k in (10, 2, 0)}, layers=3)
    assert [(one.name, one.layer) for one in found] == [("s0", 0), ("s2", 1), ("s10", 2)]


def test_numbers_of_thousands_of_digits_name_no_segment(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    many = "9" * 5000
    names = fields(("ball", 1, None)) + f"Segment{many}_Name:=a\n"
    names += f"Segment2_Name:=b\nSegment2_LabelValue:={many}\n"
    found = read_labels(write(tmp_path / "a.seg.nrrd", BALL.astype(np.uint8), names))
    assert found.names == {1: "ball"}

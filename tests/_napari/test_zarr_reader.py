"""OME-Zarr in the viewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_fewshot import arrays
from napari_fewshot._napari import menus
from napari_fewshot._napari.readers import read_zarr, zarr_reader
from napari_fewshot._napari.writers import write_labels_layer
from napari_fewshot.errors import InputError
from napari_fewshot.io import read_labels, read_volume, write_image, write_labels
from napari_fewshot.types import Volume

zarr = pytest.importorskip("zarr")
pytest.importorskip("ome_zarr")

AFFINE = np.array([[0, 0, 2.0, 1], [0, -3, 0, 5], [4, 0, 0, 9], [0, 0, 0, 1]])
LABELS = np.arange(24).reshape(2, 3, 4) % 3


def write_series(path: Path) -> None:
    """Write an image of three time points and two channels, with two label images."""
    from ome_zarr.writer import write_image as write
    from ome_zarr.writer import write_labels as add_labels

    group = zarr.open_group(str(path), mode="w")
    data = np.arange(3 * 2 * 24).reshape(3, 2, 2, 3, 4).astype(np.uint16)
    units = {"t": "millisecond", **dict.fromkeys("zyx", "micrometer")}
    scale = {"t": 500.0, "c": 1.0, "z": 2.0, "y": 1.0, "x": 1.0}
    write(data, group, axes=list("tczyx"), scale=scale, axes_units=units, scale_factors=[2])
    for name, axes in (("moving", "tzyx"), ("still", "zyx")):
        labels = np.broadcast_to(LABELS, (3, *LABELS.shape))[: None if axes[0] == "t" else 1]
        add_labels(
            np.ascontiguousarray(labels if axes[0] == "t" else labels[0]).astype(np.uint8),
            group,
            name=name,
            axes=list(axes),
            scale={axis: scale[axis] for axis in axes},
            scaler=None,
            scale_factors=[2],
            label_metadata={"properties": [{"label-value": 2, "name": "two"}]},
        )


@pytest.mark.parametrize("lazy", [False, True])
def test_an_image_opens_with_its_labels(tmp_path, monkeypatch, lazy):
    if lazy:
        monkeypatch.setattr(arrays, "LARGE", 0)
    write_series(tmp_path / "a.zarr")
    layers = read_zarr(tmp_path / "a.zarr")
    assert [(options["name"], kind) for _, options, kind in layers] == [
        ("a 0", "image"), ("a 1", "image"), ("a moving", "labels"), ("a still", "labels"),
    ]  # fmt: skip
    shapes = [data.shape for data, _, _ in layers]
    assert shapes == [(3, 2, 3, 4)] * 3 + [(2, 3, 4)]
    assert arrays.is_lazy(layers[0][0]) == lazy
    assert layers[0][1]["scale"] == (0.5, 2e-3, 1e-3, 1e-3)
    assert layers[0][1]["units"] == ("s", "mm", "mm", "mm")
    assert layers[3][1]["features"]["name"][-1] == "two"
    np.testing.assert_array_equal(layers[3][0], LABELS)


def test_results_are_labels_and_return_to_their_grid(tmp_path):
    image = Volume(np.zeros((2, 3, 4)), (4.0, 3.0, 2.0), AFFINE)
    write_labels(tmp_path / "a_labels.ome.zarr", LABELS, image, {2: "femur"})
    read = zarr_reader(str(tmp_path / "a_labels.ome.zarr"))
    assert read is not None
    ((data, options, kind),) = read(str(tmp_path / "a_labels.ome.zarr"))
    assert kind == "labels"
    assert options["name"] == "a_labels"
    np.testing.assert_array_equal(data, LABELS[:, ::-1])  # S, A, R
    write_labels_layer(str(tmp_path / "b.ome.zarr"), data, options)
    write_labels_layer(str(tmp_path / "b.ome.zarr"), data, options)  # saved again
    again = read_labels(tmp_path / "b.ome.zarr")
    np.testing.assert_array_equal(again.data, LABELS)
    np.testing.assert_array_equal(again.affine, AFFINE)
    assert again.names == {2: "femur"}
    in_time = {
        **options,
        "scale": (1.0, *options["scale"]),
        "translate": (0.0, *options["translate"]),
        "units": ("pixel", *options["units"]),
    }
    with pytest.raises(InputError, match="have no axis of time"):
        write_labels_layer(str(tmp_path / "c.ome.zarr"), np.stack([data] * 2), in_time)
    write_image(tmp_path / "a_confidence.ome.zarr", image.data, image)
    ((_, _, kind),) = read_zarr(tmp_path / "a_confidence.ome.zarr")
    assert kind == "image"
    assert zarr_reader(str(tmp_path)) is None


@pytest.mark.viewer
class TestInTheViewer:
    def test_results_open_by_their_name(self, viewer, tmp_path):
        image = Volume(np.zeros((2, 3, 4)), (4.0, 3.0, 2.0))
        write_labels(tmp_path / "a_labels.ome.zarr", LABELS, image, {2: "femur"})
        (layer,) = viewer.open(tmp_path / "a_labels.ome.zarr", plugin="napari-fewshot")
        assert layer._type_string == "labels"
        assert layer.features["name"].tolist()[-1] == "femur"
        layer.save(str(tmp_path / "c.ome.zarr"), plugin="napari-fewshot")
        np.testing.assert_array_equal(read_volume(tmp_path / "c.ome.zarr").data, LABELS)

    def test_menu_command(self, viewer, tmp_path, monkeypatch):
        from qtpy.QtWidgets import QFileDialog

        write_series(tmp_path / "a.zarr")
        answers = ["", str(tmp_path / "a.zarr")]
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: answers.pop(0))
        menus.open_zarr(viewer)
        assert not viewer.layers
        menus.open_zarr(viewer)
        assert [layer.name for layer in viewer.layers] == ["a 0", "a 1", "a moving", "a still"]


def test_series_of_bioformats2raw_open_with_their_labels(tmp_path):
    zarr.open_group(str(tmp_path / "raw.zarr"), mode="w").attrs["bioformats2raw.layout"] = 3
    write_series(tmp_path / "raw.zarr" / "0")
    layers = read_zarr(tmp_path / "raw.zarr")
    assert [kind for _, _, kind in layers] == ["image", "image", "labels", "labels"]
    write_series(tmp_path / "raw.zarr" / "1")
    with pytest.raises(InputError, match=r"hold one image; got 2\. Give one of it: "):
        read_zarr(tmp_path / "raw.zarr")

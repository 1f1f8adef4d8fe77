"""HDF5: which data set, its axes and voxel size, read whole or block by block."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_fewshot import arrays
from napari_fewshot.arrays import is_lazy, read
from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io import output_path, read_labels, read_volume, stem_of, write_labels
from napari_fewshot.io.outputs import Outputs

h5py = pytest.importorskip("h5py")

STACK = np.arange(4 * 6 * 7, dtype=np.uint16).reshape(4, 6, 7)


def save(path: Path, **sets: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, data in sets.items():
            file.create_dataset(name.replace("__", "/"), data=data)
    return path


def tagged(path: Path, axes: str, data: Any, **arguments: Any) -> Path:
    with h5py.File(path, "w") as file:
        node = file.create_dataset("exported_data", data=data, **arguments)
        node.attrs["axistags"] = json.dumps({"axes": [{"key": key} for key in axes]})
    return path


@pytest.fixture(params=[False, True], ids=["whole", "blocks"])
def blockwise(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(arrays, "LARGE", 0)
    return request.param


def test_the_only_data_set_is_the_image(tmp_path, blockwise):
    volume = read_volume(save(tmp_path / "a.h5", group__raw=STACK, note=np.arange(3)))
    assert is_lazy(volume.data) == blockwise
    np.testing.assert_array_equal(read(volume.data), STACK)
    assert (volume.data.dtype, volume.spacing, volume.affine) == (np.uint16, (1, 1, 1), None)


def test_a_path_leads_on_to_a_data_set_or_a_group(tmp_path, blockwise):
    file = save(tmp_path / "a.h5", volumes__raw=STACK, volumes__labels=STACK % 3, other=STACK)
    for inner, expected in (("volumes/raw", STACK), ("volumes/labels", STACK % 3)):
        np.testing.assert_array_equal(read(read_volume(f"{file}/{inner}").data), expected)
    np.testing.assert_array_equal(read(read_labels(file / "volumes/labels").data), STACK % 3)
    for path in (file, file / "volumes"):
        with pytest.raises(InputError, match=r"one of its images; got . images.*/volumes/raw \(4,"):
            read_volume(path)
    with pytest.raises(InputError, match=r"data that are in the file; got /raw\. Give one"):
        read_volume(file / "raw")
    with pytest.raises(InputError, match=r"numbers along two axes or more; got /t of shape \(3,\)"):
        read_volume(save(tmp_path / "b.h5", t=np.arange(3)) / "t")
    with pytest.raises(InputError, match="no image"):
        read_volume(tmp_path / "b.h5")
    with pytest.raises(InputError, match=r"c\.h5.*must be an existing file"):
        read_volume(tmp_path / "c.h5" / "raw")


def test_results_and_names_are_those_of_the_file(tmp_path):
    file = save(tmp_path / "a.h5", volumes__raw=STACK)
    assert stem_of(file) == "a"
    assert stem_of(file / "volumes/raw") == "a_volumes_raw"
    assert output_path(file / "volumes/raw", "out") == Path("out/a_volumes_raw_labels.nii.gz")
    assert output_path(tmp_path / "none.h5" / "raw", "out").name == "none_raw_labels.nii.gz"
    folder = tmp_path / "b.h5"
    folder.mkdir()
    assert stem_of(folder / "a.tif") == "a"
    (tmp_path / "a_volumes_raw_labels.json").write_text('{"2": "two"}')
    assert dict(read_labels(file / "volumes/raw").names) == {2: "two"}
    with pytest.raises(InputError, match="not overwrite an input"):
        Outputs("-o", [file / "volumes/raw"], overwrite=True).check([file])
    volume = read_volume(file)
    write_labels(tmp_path / "out.nii.gz", STACK % 3, volume)
    assert read_labels(tmp_path / "out.nii.gz").spacing == volume.spacing
    with pytest.raises(InputError, match=r"must be \.nii\.gz, \.tif or \.ome\.zarr: HDF5 is read"):
        write_labels(tmp_path / "out.h5", STACK, volume)


@pytest.mark.parametrize(
    ("axes", "shape", "kept"),
    [
        ("zyx", (4, 6, 7), "zyx"),
        ("xyz", (7, 6, 4), "zyx"),
        ("zyxc", (4, 6, 7, 2), "zyxc"),
        ("czyx", (2, 4, 6, 7), "zyxc"),
        ("tzyxc", (1, 4, 6, 7, 1), "zyx"),
        ("yxc", (6, 7, 5), "yxc"),
        ("yx", (6, 7), "yx"),
        ("zyx", (1, 6, 7), "yx"),
    ],
)
def test_axes_by_name(tmp_path, blockwise, axes, shape, kept):
    data = np.random.default_rng(0).integers(0, 900, shape).astype(np.int16)
    volume = read_volume(tagged(tmp_path / "a.h5", axes, data, chunks=True))
    expected = np.einsum(f"{axes}->{kept}", data)
    np.testing.assert_array_equal(read(volume.data), expected)
    np.testing.assert_array_equal(read(volume.data[1]), expected[1])
    np.testing.assert_array_equal(read(volume.data[::-1, 2:4]), expected[::-1, 2:4])
    assert volume.has_channels == ("c" in kept)
    assert is_lazy(volume.data) == blockwise


def test_axes_by_dimension_scales(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        node = file.create_dataset("raw", data=STACK)
        for dimension, label in zip(node.dims, "xzy", strict=True):
            dimension.label = label
    np.testing.assert_array_equal(read_volume(tmp_path / "a.h5").data, STACK.transpose(1, 2, 0))


def test_a_time_point_is_chosen(tmp_path, blockwise):
    data = np.stack([STACK, STACK + 1])
    path = tagged(tmp_path / "a.h5", "tzyx", data)
    np.testing.assert_array_equal(read(read_volume(path, frame=1).data), STACK + 1)
    with pytest.raises(InputError, match=r"hold one time point.*frame=0\.\.1"):
        read_volume(path)


@pytest.mark.parametrize(
    ("shape", "dtype", "kept"),
    [
        ((4, 6, 7), np.uint8, "zyx"),
        ((6, 7, 3), np.uint8, "yxc"),
        ((6, 7, 3), np.uint16, "zyx"),
        ((4, 6, 7, 2), np.uint8, "zyxc"),
        ((2, 5, 6, 7), np.uint8, "czyx"),
        ((1, 4, 1, 6, 7), np.uint8, "zyx"),
        ((5, 6, 7, 8), np.uint8, None),
        ((2, 3, 5, 6, 7), np.uint8, None),
    ],
)
def test_axes_without_names(tmp_path, shape, dtype, kept):
    path = save(tmp_path / "a.h5", raw=np.zeros(shape, dtype))
    if kept is None:
        with pytest.raises(InputError, match="name its axes, where there are more than three"):
            read_volume(path)
        return
    volume = read_volume(path)
    squeezed = [n for n in shape if n > 1]
    order = sorted(range(len(kept)), key=lambda k: "zyxc".index(kept[k]))
    assert volume.data.shape == tuple(squeezed[k] for k in order)
    assert volume.has_channels == ("c" in kept)


@pytest.mark.parametrize(
    ("given", "spacing"),
    [
        ((2, 0.5, 0.25), (2e-3, 5e-4, 2.5e-4)),
        ((0, np.nan, 0.25), (1, 1, 2.5e-4)),
        ("none", (1, 1, 1)),
        ((1, 1, 1, 1), (1, 1, 1)),
    ],
)
def test_spacing(tmp_path, given, spacing):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, data in (("stack", STACK), ("plane", STACK[0])):
            node = file.create_dataset(name, data=data)
            node.attrs["element_size_um"] = given
            node.attrs["axistags"] = "not JSON"
    np.testing.assert_allclose(read_volume(tmp_path / "a.h5/stack").spacing, spacing)
    np.testing.assert_allclose(read_volume(tmp_path / "a.h5/plane").spacing, spacing[1:])


@pytest.mark.parametrize("dtype", [">u2", "f8", "f2", "?", "i4", "u8"])
def test_types(tmp_path, blockwise, monkeypatch, dtype):
    path = save(tmp_path / "a.h5", raw=(STACK % 2).astype(dtype))
    found = read_volume(path).data
    labels = read_labels(path).data
    monkeypatch.setattr(arrays, "LARGE", 2**30)
    for one, other in ((found, read_volume(path).data), (labels, read_labels(path).data)):
        assert one.dtype == other.dtype == read(one).dtype
        np.testing.assert_array_equal(read(one), other)


def test_bad_labels_are_found_block_by_block(tmp_path, blockwise):
    for data, message in (
        (STACK - 0.5, "whole numbers as labels; got values such as"),
        (np.where(STACK == 9, np.nan, 1), "1 values that are NaN or infinite"),
        (STACK.astype(np.int16) - 7, "values down to -7"),
        (STACK + np.uint32(2**31), "hold labels up to 2147483647"),
    ):
        with pytest.raises(InputError, match=message):
            read_labels(save(tmp_path / "a.h5", raw=data))


def test_equal_reads_have_equal_names(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "LARGE", 0)
    path = tagged(tmp_path / "a.h5", "tzyx", np.stack([STACK, STACK + 1]))
    one, same, other = (read_volume(path, frame=frame).data for frame in (0, 0, 1))
    assert one.name == same.name != other.name
    np.testing.assert_array_equal(read(same[2]), STACK[2])
    np.testing.assert_array_equal(read(pickle.loads(pickle.dumps(same))[0]), STACK[0])  # noqa: S301
    save(path, raw=STACK)  # what was read is not held open
    assert read_volume(path).data.name != one.name


def test_data_of_other_files_are_refused(tmp_path):
    save(tmp_path / "other.h5", raw=STACK)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["far"] = h5py.ExternalLink("other.h5", "raw")
        layout = h5py.VirtualLayout(STACK.shape, STACK.dtype)
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "raw", STACK.shape)
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset(
            "raw", STACK.shape, STACK.dtype, external=[(tmp_path / "raw.bin", 0, STACK.nbytes)]
        )
    for name in ("far", "virtual", "raw"):
        with pytest.raises(UnreadableFileError, match="must hold its data itself"):
            read_volume(tmp_path / "a.h5" / name)


def test_damage(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = np.random.default_rng(0).integers(0, 255, (8, 60, 70)).astype(np.uint8)
        file.create_dataset("raw", data=data, chunks=(1, 60, 70), compression="gzip")
        place = file["raw"].id.get_chunk_info(5).byte_offset
    content = path.read_bytes()
    path.write_bytes(content[:-200])
    with pytest.raises(UnreadableFileError, match="whole HDF5 file"):
        read_volume(path)
    path.write_bytes(content[: place + 9] + bytes(40) + content[place + 49 :])
    with pytest.raises(UnreadableFileError, match=r"a\.h5 must be a whole HDF5 file; got /raw"):
        read_volume(path)
    monkeypatch.setattr(arrays, "LARGE", 0)
    volume = read_volume(path)
    np.testing.assert_array_equal(read(volume.data[4]), data[4])
    with pytest.raises(UnreadableFileError, match=r"a\.h5 must be a whole HDF5 file; got /raw"):
        read(volume.data[5])


def test_missing_library_and_unknown_compression_are_named(tmp_path, monkeypatch):
    path = save(tmp_path / "a.h5", raw=STACK)
    with monkeypatch.context() as patch:
        patch.setattr(h5py.h5z, "filter_avail", lambda code: False)
        with h5py.File(tmp_path / "b.h5", "w") as file:
            file.create_dataset("raw", data=STACK, compression="gzip")
        with pytest.raises(UnreadableFileError, match="compression that is read; got deflate"):
            read_volume(tmp_path / "b.h5")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(InputError, match=r'pip install "napari-fewshot\[hdf5\]"'):
        read_volume(path)

"""Blocks of Zarr arrays that are pickles run nothing: not from images, stores or autosaves."""

from __future__ import annotations

import json
import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from napari_fewshot import read_volume
from napari_fewshot.errors import UnreadableFileError
from napari_fewshot.io.zarr.arrays import check_codecs

SHAPE = [2, 8, 8]
PICKLE = [{"id": "pickle"}]


class Runs:
    """What a pickle could do."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def second(folder, **about):
    folder.mkdir()
    rest = {"zarr_format": 2, "shape": SHAPE, "chunks": SHAPE, "order": "C", "fill_value": 0}
    (folder / ".zarray").write_text(json.dumps({**rest, **about}))
    return folder / "0.0.0"


def third(folder, codec):
    (folder / "c" / "0" / "0").mkdir(parents=True)
    about = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": SHAPE,
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": SHAPE}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": [{"name": codec, "configuration": {}}],
    }
    (folder / "zarr.json").write_text(json.dumps(about))
    return folder / "c" / "0" / "0" / "0"


@pytest.mark.parametrize(
    "make",
    [
        lambda f: second(f, dtype="|u1", filters=PICKLE, compressor=None),
        lambda f: second(f, dtype="|u1", filters=None, compressor=PICKLE[0]),
        lambda f: second(f, dtype="|O", filters=PICKLE, compressor=None),
        lambda f: third(f, "numcodecs.pickle"),
    ],
    ids=["filter", "compressor", "objects", "version 3"],
)
@pytest.mark.filterwarnings("ignore")
def test_a_pickled_block_is_refused_and_runs_nothing(tmp_path, make):
    mark = tmp_path / "ran"
    make(tmp_path / "image.zarr").write_bytes(pickle.dumps(Runs(mark)))
    with pytest.raises(UnreadableFileError):
        np.asarray(read_volume(tmp_path / "image.zarr").data)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("dtype", "about"),
    [("u1", {"filters": PICKLE}), ("u1", {"codecs": [{"name": "numcodecs.pickle"}]}), ("O", {})],
)
def test_where_zarr_opens_them_they_are_refused_by_us(tmp_path, dtype, about):
    metadata = SimpleNamespace(to_dict=lambda: about)
    array = SimpleNamespace(dtype=np.dtype(dtype), metadata=metadata)
    with pytest.raises(UnreadableFileError, match="hold numbers; got pickled objects"):
        check_codecs(array, tmp_path)


def test_usual_codecs_are_fine(tmp_path):
    import zarr

    for version in (2, 3):
        array = zarr.create_array(
            tmp_path / f"{version}.zarr", shape=(4, 8, 8), dtype="u2", zarr_format=version
        )
        array[...] = 7
        check_codecs(array, tmp_path)
        assert (np.asarray(read_volume(tmp_path / f"{version}.zarr").data) == 7).all()

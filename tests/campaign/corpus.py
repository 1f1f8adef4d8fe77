"""Small sound files of every kind, and how each is read."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .autosaves import save_once

DATA = Path(__file__).parents[1] / "data"
SIGNATURE, KEY = json.dumps({"backbone": "timm:vit/tiny?"}), "0" * 40
TOML = """shots = [1, 3]
[dataset]
root = "."
images = ["im.nii.gz"]
labels = ["pa.nii.gz"]
[[methods]]
name = "ours"
method = "fewshot"
settings = { adapter = "cosine", cosine = { threshold = 0.4 } }
"""
FCSV = """# Markups fiducial file version = 4.11
# CoordinateSystem = LPS
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
1,3,4,2,0,0,0,1,1,1,0,tip,,
2,5,6,3,0,0,0,1,1,1,0,base,,
"""
MARKUPS = json.dumps(
    {
        "markups": [
            {
                "type": "Fiducial",
                "coordinateSystem": "LPS",
                "controlPoints": [
                    {"label": "tip", "position": [3, 4, 2], "positionStatus": "defined"},
                    {"label": "base", "position": [5, 6, 3], "positionStatus": "defined"},
                ],
            }
        ]
    }
)
TABLE = """image,labels,status,seconds,mean_confidence,disagreement,slices,error
a.nii.gz,a_labels.nii.gz,done,1.5,0.91,0.2,12,
b.nii.gz,,failed,,,,,no such file
"""


@dataclass(frozen=True)
class Kind:
    """Files of a kind.

    ``path`` is what is read, a file or a folder; of a folder one file after the other is changed.
    ``sealed`` says that every byte of its content is under a check sum, so that a changed file is
    refused or is read as before.
    """

    name: str
    path: Path
    read: Callable[[Path], object]
    sealed: bool = False


def make_corpus(folder: Path) -> list[Kind]:
    """Write the files into a folder."""
    from napari_fewshot.io import write_image, write_labels, write_points
    from napari_fewshot.phantoms import make_phantom, painted_labels

    one = make_phantom("joint", 0, (8, 24, 24))
    paint = painted_labels(one, (2, 5))
    write_image(folder / "im.nii.gz", one.image.data, one.image)
    write_labels(folder / "pa.nii.gz", paint.data, one.image, one.labels.names)
    images = []
    for ending in (".nii", ".nii.gz", ".nrrd", ".mha", ".tif", ".ome.zarr"):
        path = folder / f"image{ending}"
        write_image(path, one.image.data, one.image)
        images.append(Kind(f"image{ending}", path, _image, sealed=ending == ".nii.gz"))
    for ending in (".nii.gz", ".nrrd", ".mha", ".tif"):
        path = folder / f"labels{ending}"
        write_labels(path, paint.data, one.image)
        images.append(Kind(f"labels{ending}", path, _labels, sealed=ending == ".nii.gz"))
    images.append(_png(folder / "photo.png"))
    images += _others(folder, one.image, paint.data)
    images.append(_series(folder / "series", one.image.data))
    images.append(_hdf5(folder / "image.h5", one.image.data))
    write_points(folder / "points.csv", one.landmarks, one.image)
    (folder / "names_labels.json").write_text('{"1": "tibia", "2": "femur"}', "utf-8")
    (folder / "b.toml").write_text(TOML, "utf-8")
    (folder / "table.csv").write_text(TABLE, "utf-8")
    save_once(folder / "autosave")
    shutil.copytree(DATA / "autosave_0.1.0", folder / "autosave_0.1.0")
    shutil.copy(DATA / "small_sam.safetensors", folder / "sam.safetensors")
    _torch_file(folder / "sam.safetensors", folder / "sam.pth")
    (folder / "F.fcsv").write_text(FCSV, "utf-8")
    (folder / "F.mrk.json").write_text(MARKUPS, "utf-8")
    return [
        *images,
        Kind("points.csv", folder / "points.csv", _points),
        Kind("points.fcsv", folder / "F.fcsv", _points),
        Kind("points.mrk.json", folder / "F.mrk.json", _points),
        Kind("names.json", folder / "names_labels.json", _names),
        Kind("benchmark.toml", folder / "b.toml", _toml),
        Kind("table.csv", folder / "table.csv", _table),
        Kind("autosave", folder / "autosave", _autosave),
        Kind("autosave 0.1.0", folder / "autosave_0.1.0", _autosave),
        Kind("checkpoint.safetensors", folder / "sam.safetensors", _sam),
        Kind("checkpoint.pth", folder / "sam.pth", _sam, sealed=True),
        _begun(folder / "own.safetensors.checkpoint"),
        _store(folder / "store"),
        *(_model(folder, adapter) for adapter in ("cosine", "contrastive")),
    ]


def digest_of(content: object) -> str:
    """Digest of what was read."""
    if isinstance(content, np.ndarray):
        head = f"{content.dtype} {content.shape} ".encode()
        return hashlib.sha256(head + np.ascontiguousarray(content).tobytes()).hexdigest()
    return hashlib.sha256(repr(content).encode(errors="replace")).hexdigest()


def _image(path: Path) -> object:
    from napari_fewshot import read_volume

    return np.asarray(read_volume(path).data)


def _labels(path: Path) -> object:
    from napari_fewshot import read_labels

    return np.asarray(read_labels(path).data)


def _points(path: Path) -> object:
    from napari_fewshot.io import read_points
    from napari_fewshot.types import Volume

    like = Volume(np.zeros((8, 24, 24), np.uint8), (1.0, 1.0, 1.0), np.diag([-1.0, -1, 1, 1]))
    return read_points(path, like)


def _names(path: Path) -> object:
    from napari_fewshot.io.volumes import read_names

    return dict(read_names(path.with_name("names.nii.gz")))


def _toml(path: Path) -> object:
    from napari_fewshot.bench import load_config

    return load_config(path).model_dump_json()


def _table(path: Path) -> object:
    from napari_fewshot.jobs.table import is_table, read_table

    is_table(path)
    read_table(path, bad_rows=True)
    return read_table(path)


def _autosave(path: Path) -> object:
    from napari_fewshot._napari.session.autosave.folder import read_autosave

    content = read_autosave(path)
    return np.concatenate([layer["data"].ravel() for layer in content["layers"]])


def _sam(path: Path) -> object:
    from napari_fewshot.sam.checkpoint import read_sam
    from napari_fewshot.sam.networks import build_encoder, build_heads

    checkpoint = read_sam("sam-vit-b", path)
    build_encoder(checkpoint)
    build_heads(checkpoint)
    return checkpoint.digest()


def _begun(path: Path) -> Kind:
    """A run of fine-tuning that was stopped."""
    import torch

    from napari_fewshot.finetuning.checkpoint import read_checkpoint, write_checkpoint

    drawn = torch.Generator().manual_seed(0)
    network = {f"layer{k}": torch.randn(30, 10, generator=drawn) for k in range(5)}
    write_checkpoint(path, KEY, {"learner": {"network": network}, "steps": 3, "best": network})

    def read(path: Path) -> object:
        state = read_checkpoint(path, KEY)
        parts = [state["steps"], *state["learner"]["network"].items(), *state["best"].items()]
        return [repr(one) if isinstance(one, int) else digest_of(one[1].numpy()) for one in parts]

    return Kind("finetune checkpoint", path, read, sealed=True)


def _store(root: Path) -> Kind:
    from napari_fewshot.features.store import FeatureStore, pack
    from napari_fewshot.types import FeatureMap

    data = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    FeatureStore(root).put(SIGNATURE, {KEY: pack(FeatureMap(data, (40, 50), (40.5, 50.0)))})

    def read(path: Path) -> object:
        found = FeatureStore(path).get(SIGNATURE, KEY)
        return None if found is None else found.data  # None: it is computed again

    return Kind("store", root, read, sealed=True)


def _model(folder: Path, adapter: str) -> Kind:
    from napari_fewshot import FewShotSegmenter, Template, read_labels, read_volume
    from napari_fewshot.segmenter.model_file import read_model, restored

    small = {"steps": 3, "hidden": 8}
    model = FewShotSegmenter(
        backbone="multiscale", adapter=adapter, device="cpu", contrastive=small, seed=0
    )
    model.fit(Template(read_volume(folder / "im.nii.gz"), read_labels(folder / "pa.nii.gz")))
    path = folder / f"{adapter}.fewshot"
    model.save(path)

    def read(path: Path) -> object:
        found = read_model(path)
        restored(found, "cpu")
        tensors = {name: digest_of(tensor) for name, tensor in found.adapter.tensors.items()}
        return found.config, found.label_values, found.names, found.axes, sorted(tensors.items())

    return Kind(path.name, path, read, sealed=True)


def _others(folder: Path, image: Any, paint: np.ndarray) -> list[Kind]:
    """Formats that others write: packed, in two files, with segments, of several levels."""
    import gzip

    import nibabel
    import tifffile
    import zarr
    from PIL import Image

    data = np.asarray(image.data)
    pixels = (data - data.min()).astype(np.uint8)
    tif, packed = folder / "deflate.tif", folder / "packed.tif.gz"
    tifffile.imwrite(tif, data, compression="zlib", photometric="minisblack")
    packed.write_bytes(gzip.compress((folder / "image.tif").read_bytes()))
    ome = folder / "image.ome.tif"
    tifffile.imwrite(ome, data, photometric="minisblack", metadata={"axes": "ZYX"}, ome=True)
    imagej = folder / "imagej.tif"
    tifffile.imwrite(imagej, pixels, imagej=True, metadata={"axes": "ZYX", "spacing": 2})
    photo = folder / "photo.jpg"
    Image.fromarray(pixels[0]).save(photo)
    pair = folder / "pair"
    pair.mkdir()
    nibabel.save(nibabel.Nifti1Pair(data.astype(np.int16), np.eye(4)), pair / "pair.hdr")
    meta = folder / "meta"
    meta.mkdir()
    (meta / "image.raw").write_bytes(pixels.tobytes())
    sides = " ".join(map(str, data.shape[::-1]))
    (meta / "image.mhd").write_text(
        f"ObjectType = Image\nNDims = 3\nDimSize = {sides}\nElementType = MET_UCHAR\n"
        "ElementSpacing = 1 1 2\nElementDataFile = image.raw\n",
        "utf-8",
    )
    segments = folder / "s.seg.nrrd"
    head = f"NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\nsizes: {sides}\n"
    head += "space directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (0,0,0)\nencoding: gzip\n"
    for number in (1, 2):
        head += f"Segment{number}_LabelValue:={number}\nSegment{number}_Name:=part {number}\n"
    segments.write_bytes(f"{head}\n".encode() + gzip.compress(paint.astype(np.uint8).tobytes()))
    plain = folder / "plain.zarr"
    array = zarr.create_array(
        plain, shape=data.shape, chunks=(4, 24, 24), dtype=data.dtype, zarr_format=2
    )
    array[...] = data
    return [
        Kind("deflate.tif", tif, _image),
        Kind("image.tif.gz", packed, _image, sealed=True),
        Kind("image.ome.tif", ome, _image),
        Kind("imagej.tif", imagej, _image),
        Kind("photo.jpg", photo, _image),
        Kind("pair.hdr", pair, lambda path: _image(path / "pair.hdr")),
        Kind("image.mhd", meta, lambda path: _image(path / "image.mhd")),
        Kind("s.seg.nrrd", segments, _labels),
        Kind("plain.zarr", plain, _image),
    ]


def _png(path: Path) -> Kind:
    from PIL import Image

    grey = np.random.default_rng(0).integers(0, 255, (24, 24), np.uint8)
    Image.fromarray(grey).save(path)
    return Kind("photo.png", path, _image, sealed=True)


def _series(folder: Path, data: np.ndarray) -> Kind:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    folder.mkdir()
    for number, plane in enumerate(data.astype(np.int16)):
        own = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=bytes(128))
        own.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        own.file_meta.MediaStorageSOPClassUID = own.SOPClassUID = CTImageStorage
        own.file_meta.MediaStorageSOPInstanceUID = own.SOPInstanceUID = f"1.2.3.{number + 1}"
        own.Modality, own.SeriesInstanceUID, own.StudyInstanceUID = "CT", "1.2.3", "1.2.4"
        own.Rows, own.Columns = plane.shape
        own.SamplesPerPixel, own.PhotometricInterpretation = 1, "MONOCHROME2"
        own.BitsAllocated = own.BitsStored = 16
        own.HighBit, own.PixelRepresentation = 15, 1
        own.PixelSpacing, own.SliceThickness = [1, 1], 2
        own.ImagePositionPatient = [0, 0, 2 * number]
        own.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        own.PixelData = plane.tobytes()
        own.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return Kind("series", folder, _image)


def _hdf5(path: Path, data: np.ndarray) -> Kind:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("raw", data=data, compression="gzip")
    return Kind("image.h5", path, _image)


def _torch_file(source: Path, target: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(source), target)

"""The list of real samples: where each comes from, its digest, its licence, and its axes.

Addresses, digests and licences are those that scikit-image states for its example data
(``skimage.data``); nothing is offered here whose digest was not published with its address.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UnreadableFileError
from ..types import Volume

__all__ = ["KIDNEY", "MITOSIS", "REAL_SAMPLES", "RealSample", "read_sample"]

_ROOT = "https://gitlab.com/scikit-image/data/-/raw/2cdc5ce89b334d28f06a58c9f0ca21aa6992a5ba"


@dataclass(frozen=True)
class RealSample:
    """A TIFF file that is fetched on demand.

    Parameters
    ----------
    key : str
        Key of the sample in the manifest; its file is kept under this name.
    title : str
        What it shows.
    url, sha256 : str
        Address and hexadecimal digest of the file.
    licence, credit : str
        Shown when it is opened.
    shape : tuple of int
        Shape of the file: spatial axes, and a last one of channels where there are several.
    spacing_mm : tuple of float
        Distance of neighbouring voxels.
    channels : tuple of str
        Name of each channel; the file has a last axis of channels if there are several.
    megabytes : float
        About the size of the download (that of the pixels), for the progress.
    """

    key: str
    title: str
    url: str
    sha256: str
    licence: str
    credit: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    channels: tuple[str, ...] = ("",)
    megabytes: float = 0.0


MITOSIS = RealSample(
    key="mitosis",
    title="Human cells undergoing mitosis",
    url=f"{_ROOT}/AS_09125_050116030001_D03f00d0.tif",
    sha256="2751ba667c4067c5d30817cff004aa06f6f6287f1cdbb5b8c9c6a500308cb456",
    licence="CC0",
    credit="David Root; Moffat et al., Cell 124(6):1283-98, 2006.",
    shape=(512, 512),
    spacing_mm=(1.0, 1.0),  # not stated
    megabytes=0.3,
)

KIDNEY = RealSample(
    key="kidney",
    title="Mouse kidney tissue, confocal fluorescence",
    url=f"{_ROOT}/kidney-tissue-fluorescence.tif",
    sha256="80c0799bc58b08cf6eaa53ecd202305eb42fd7bc73746cb6c5064dbeae7e8476",
    licence="CC0",
    credit="Genevieve Buckley, Monash Micro Imaging, 2018.",
    shape=(16, 512, 512, 3),
    spacing_mm=(0.00125, 0.00124, 0.00124),
    channels=("450 nm", "515 nm", "605 nm"),
    megabytes=25.0,
)

REAL_SAMPLES = (MITOSIS, KIDNEY)


def read_sample(sample: RealSample, path: Path) -> list[tuple[Volume, str]]:
    """Read a fetched sample: a volume and a name for each channel.

    Raises
    ------
    UnreadableFileError
        If the file cannot be read, or its shape is not the one in the list.
    """
    import tifffile

    try:
        data = np.asarray(tifffile.imread(path))
    except (ValueError, OSError, tifffile.TiffFileError) as error:
        raise UnreadableFileError(str(path), "be a TIFF file that is read", str(error)) from error
    if data.shape != sample.shape:
        raise UnreadableFileError(str(path), f"have shape {sample.shape}", f"shape {data.shape}")
    parts = [data] if len(sample.channels) == 1 else np.moveaxis(data, -1, 0)
    names = [f"{sample.key} {channel}".strip() for channel in sample.channels]
    return [
        (Volume(np.ascontiguousarray(part), sample.spacing_mm, source=path), name)
        for part, name in zip(parts, names, strict=True)
    ]

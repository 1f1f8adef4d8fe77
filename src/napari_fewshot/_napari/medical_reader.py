"""Reader of npe2 for NRRD and MetaImage: as image or as labels, with their geometry.

The name decides: ``.seg.nrrd``, or a word such as *labels*, *seg* or *mask* in it, with values that
can be labels. Other programs write no intent.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..io import FORMATS, read_labels, read_volume, sniff_format
from ..io.formats import stem_of
from .layers import LayerData, labels_layer
from .readers import Reader, each_file, image_layers, named_as_labels

__all__ = ["medical_reader", "read_medical"]


def medical_reader(path: str | list[str]) -> Reader | None:
    """Return the reader for NRRD and MetaImage, or None if the first file is of another format."""
    first = path if isinstance(path, str) else path[0]
    try:
        accepted = sniff_format(Path(first)) in (FORMATS.get("nrrd"), FORMATS.get("metaimage"))
    except InputError:
        return None
    return each_file(read_medical) if accepted else None


def read_medical(path: str | Path) -> list[LayerData]:
    """Read a file as labels, where its name says so and its values can be, else as an image.

    Raises
    ------
    InputError
        If SimpleITK is not installed, or the file holds several time points.
    UnreadableFileError
        If it is damaged.
    """
    path = Path(path)
    image = read_volume(path)
    if path.name.lower().endswith(".seg.nrrd") or named_as_labels(path):
        try:
            return [labels_layer(read_labels(path), stem_of(path))]
        except InputError:
            pass  # it has the name alone
    return image_layers([image], stem_of(path))

"""Files to volumes, labels and landmarks, and back with the same geometry."""

from .dicom.format import holds_dicom
from .formats import FORMATS, Format, output_path, output_paths, sniff_format, stem_of
from .matching import check_match, on_grid, read_labels_on
from .points import read_points, write_points
from .volumes import read_labels, read_volume, write_image, write_labels

__all__ = [
    "FORMATS",
    "Format",
    "check_match",
    "holds_dicom",
    "on_grid",
    "output_path",
    "output_paths",
    "read_labels",
    "read_labels_on",
    "read_points",
    "read_volume",
    "sniff_format",
    "stem_of",
    "write_image",
    "write_labels",
    "write_points",
]

"""Files to volumes, labels and landmarks, and back with the same geometry."""

from .dicom import holds_dicom
from .formats import FORMATS, Format, output_path, output_paths, sniff_format, stem_of
from .points import read_points, write_points
from .volumes import check_match, read_labels, read_volume, write_image, write_labels

__all__ = [
    "FORMATS",
    "Format",
    "check_match",
    "holds_dicom",
    "output_path",
    "output_paths",
    "read_labels",
    "read_points",
    "read_volume",
    "sniff_format",
    "stem_of",
    "write_image",
    "write_labels",
    "write_points",
]

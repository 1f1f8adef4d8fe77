"""Many images with one model: in this process, or as tasks on a cluster."""

from __future__ import annotations

from .many import Batch, predict_many
from .request import ModelSource, PredictOptions
from .table import TABLE, ImageResult, read_table, write_table

__all__ = [
    "TABLE",
    "Batch",
    "ImageResult",
    "ModelSource",
    "PredictOptions",
    "predict_many",
    "read_table",
    "write_table",
]

"""Many images with one model: in this process, or as tasks on a cluster."""

from __future__ import annotations

from .table import TABLE, ImageResult, read_table, write_table

__all__ = ["TABLE", "ImageResult", "read_table", "write_table"]

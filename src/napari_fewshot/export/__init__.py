"""Models for other programs: as ONNX, and as a package of bioimage.io."""

from .write import Exported, export_model

__all__ = ["Exported", "export_model"]

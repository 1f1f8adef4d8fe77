"""Methods that are compared: ours, and the baselines."""

from . import fewshot, forest, nnunet, unet, universeg  # noqa: F401 - they register themselves
from .base import METHODS, Method, MethodContext, MethodEntry, Predicted

__all__ = ["METHODS", "Method", "MethodContext", "MethodEntry", "Predicted"]

"""Methods that are compared: ours, and the baselines."""

from . import (  # noqa: F401 - they register themselves
    fewshot,
    forest,
    nnunet,
    sam,
    unet,
    universeg,
)
from .base import METHODS, Method, MethodContext, MethodEntry, Oracle, Predicted

__all__ = ["METHODS", "Method", "MethodContext", "MethodEntry", "Oracle", "Predicted"]

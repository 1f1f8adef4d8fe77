"""Methods that are compared: ours, and the baselines."""

from .base import METHODS, Method, MethodContext, MethodEntry, Oracle, Predicted

__all__ = ["METHODS", "Method", "MethodContext", "MethodEntry", "Oracle", "Predicted"]

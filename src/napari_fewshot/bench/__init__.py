"""Methods compared on a folder of labelled images: configuration, runs, report."""

from .config import BenchmarkConfig
from .load import load_config, ready_config

__all__ = ["BenchmarkConfig", "load_config", "ready_config"]

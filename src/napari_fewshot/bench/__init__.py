"""Methods compared on a folder of labelled images: configuration, runs, report."""

from .config import BenchmarkConfig, load_config, ready_config, ready_configs

__all__ = ["BenchmarkConfig", "load_config", "ready_config", "ready_configs"]

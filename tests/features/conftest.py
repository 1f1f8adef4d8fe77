"""Loads ``tiny.py`` by its path, so that it works in every import mode of pytest."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    path = Path(__file__).with_name("tiny.py")
    spec = importlib.util.spec_from_file_location("tiny_feature_doubles", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

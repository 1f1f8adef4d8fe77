"""Reading the TOML file of a benchmark, and saying what is wrong with it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..config.base import input_error
from ..errors import InputError, UnknownNameError, UnreadableFileError
from .config import BenchmarkConfig

__all__ = ["load_config", "ready_config", "ready_configs"]

_READY = Path(__file__).parent / "configs"


def load_config(path: str | Path, data: str | Path | None = None) -> BenchmarkConfig:
    """Read the configuration of a benchmark.

    Parameters
    ----------
    path : str or Path
        The TOML file, or the name of a configuration that comes with the package; relative
        paths in a file are relative to its folder.
    data : str or Path, optional
        Folder that ``dataset.root`` is relative to, or, where the file has none, the root.

    Raises
    ------
    InputError
        If the file is not there, is no TOML, or has a key or value that makes no sense, or a name
        is given without ``data``.
    """
    path = ready_config(path)
    if not path.is_file():
        constraint = "be an existing file, or the name of one that comes with the package"
        raise InputError("CONFIG", constraint, path, f"Names are {', '.join(ready_configs())}.")
    if data is None and path.parent == _READY:
        remedy = "Give the folder of that data set."
        raise InputError("--data", f"be given with {path.stem}", "nothing", remedy)
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnreadableFileError(str(path), "be a TOML file", str(error)) from None
    try:
        config = BenchmarkConfig.model_validate(given)
    except ValidationError as error:
        raise input_error(error, BenchmarkConfig, path.name, ": ") from None
    return _placed(config, path.absolute().parent, None if data is None else Path(data).absolute())


def ready_configs() -> dict[str, Path]:
    """Files of the configurations that come with the package, by name."""
    return {file.stem: file for file in sorted(_READY.glob("*.toml"))}


def ready_config(name: str | Path) -> Path:
    """Return the configuration of a name that comes with the package, or the path as it is.

    Raises
    ------
    UnknownNameError
        If it is neither a file nor such a name.
    """
    path = Path(name)
    # A folder of that name may be the data itself.
    if path.is_file() or path.suffix or path.name != str(name):
        return path
    ready = ready_configs()
    if str(name) not in ready:
        raise UnknownNameError("CONFIG", str(name), ready)
    return ready[str(name)]


def _placed(config: BenchmarkConfig, folder: Path, data: Path | None) -> BenchmarkConfig:
    """Make paths absolute."""
    root = (data or folder) / config.dataset.root
    methods = [
        method.model_copy(update={"settings": _paths(method.settings, folder)})
        for method in config.methods
    ]
    dataset = config.dataset.model_copy(update={"root": root})
    return config.model_copy(update={"dataset": dataset, "methods": tuple(methods)})


def _paths(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    result = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            value = _paths(value, folder)
        elif isinstance(value, str) and (key == "weights" or key.endswith("_weights")):
            value = str(folder / value)
        result[key] = value
    return result

"""Reading the TOML file of a benchmark, and saying what is wrong with it."""

from __future__ import annotations

import tomllib
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ..errors import InputError, UnknownNameError, UnreadableFileError
from .config import BenchmarkConfig

__all__ = ["load_config", "ready_config", "ready_configs"]

_LISTS = {"seeds": [0, 1, 2], "shots": [1, 3, 5]}
"""Examples for messages."""
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
        raise _explained(error, path.name) from None
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


def _explained(error: ValidationError, file: str) -> InputError:
    """Word the first thing that is wrong, with the key where it stands."""
    # A key that is misspelt is also missing: say the first of the two.
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    # Of a union, every member is named in turn; the key is what is before them.
    place = _keys(first["loc"])
    name = ".".join(place)
    if first["type"] == "extra_forbidden":
        *section, key = place
        known = _settings_of(first["loc"][:-1])
        return UnknownNameError(".".join((file, *section)), key, known)
    message = str(first["msg"])
    if first["type"] == "missing":
        return InputError(f"{file}: {name}", "be given", "nothing")
    constraint = message.removeprefix("Value error, ").removeprefix("Input should ")
    given = first["input"]
    if first["type"] == "tuple_type":
        constraint = f"be a list, such as {_LISTS.get(place[-1], [given])}"
    if isinstance(given, dict):
        given = f"the keys {', '.join(map(str, given))}"
    return InputError(f"{file}: {name}" if name else file, constraint, given)


def _keys(place: Sequence[int | str]) -> list[str]:
    config: Any = BenchmarkConfig
    keys: list[str] = []
    for part in place:
        if isinstance(part, int):
            keys[-1] += f"[{part + 1}]"
        elif isinstance(config, type) and issubclass(config, BaseModel):
            keys.append(part)
            field = config.model_fields.get(part)
            config = None if field is None else _model_in(field.annotation)
    return keys


def _settings_of(place: Sequence[int | str]) -> list[str]:
    """Names of the settings of a section."""
    config: type[BaseModel] = BenchmarkConfig
    for part in place:
        if isinstance(part, str) and part in config.model_fields:
            config = _model_in(config.model_fields[part].annotation) or config
    return list(config.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Find the section that an annotation is about, also as an optional one or one of several."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, tuple):
        for part in get_args(annotation):
            found = _model_in(part)
            if found is not None:
                return found
    return None

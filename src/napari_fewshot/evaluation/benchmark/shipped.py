"""Configurations that come with the package: a name in place of a file."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError

__all__ = ["config_file", "shipped_configs"]

_FOLDER = Path(__file__).with_name("configs")


def shipped_configs() -> dict[str, Path]:
    """Files of the configurations that come with the package, by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.toml"))}


def config_file(given: str | Path, data: str | Path | None) -> Path:
    """Find the file of a configuration: a path, or the name of one that comes with the package.

    Parameters
    ----------
    given : str or Path
        A file goes before a name.
    data : str or Path, optional
        Folder of the data; configurations of the package know none.

    Raises
    ------
    InputError
        If it is neither, or a name is given without a folder.
    """
    path, shipped = Path(given), shipped_configs()
    if path.is_file():
        return path
    if str(given) not in shipped:
        raise InputError(
            "CONFIG", "be an existing file, or the name of a configuration of the package", given,
            f"Names are {', '.join(shipped)}.",
        )  # fmt: skip
    if data is None:
        raise InputError(
            "--data", f"be given with {given}, which comes with the package", "nothing",
            "Give the folder of that data set.",
        )  # fmt: skip
    return shipped[str(given)]

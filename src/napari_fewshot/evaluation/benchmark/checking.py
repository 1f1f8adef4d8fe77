"""What is wrong with methods is said before the first one is run."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ...device import choose_device
from ...errors import FewShotError, InputError
from ..methods import METHODS
from .config import BenchmarkConfig, MethodConfig
from .executing import method_context
from .plan import Fit

__all__ = ["check_methods", "missing_modules"]


def missing_modules(method: MethodConfig) -> list[str]:
    """Modules that a method needs and that are not installed."""
    return [name for name in METHODS.get(method.method).needs if find_spec(name) is None]


def check_methods(config: BenchmarkConfig, folder: Path) -> None:
    """Check the device, and names and settings of all methods.

    Weights and modules that are missing are no fault of the configuration: those methods fail
    when their turn comes, and the others are run.

    Raises
    ------
    InputError
        Names the method and the setting.
    """
    choose_device(config.device)
    for number, method in enumerate(config.methods, start=1):
        try:
            entry = METHODS.get(method.method)
            if not missing_modules(method):
                fit = Fit(method, 1, config.seeds_of(method)[0], ())
                entry.make(method.settings, method_context(config, fit, folder))
        except InputError as error:
            parameter = f"methods[{number}] ({method.name}): {error.parameter}"
            raise InputError(parameter, error.constraint, error.given, error.remedy) from None
        except FewShotError:
            continue

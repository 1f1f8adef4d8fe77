"""Base of all settings: frozen, validated, strict about names."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import InputError, UnknownNameError

__all__ = ["StageConfig"]


class StageConfig(BaseModel):
    """Base of all settings: immutable, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def of(cls, value: Self | dict[str, Any] | None, parameter: str) -> Self:
        """Take a configuration as it is, or build one from a dict (None: the defaults).

        Raises
        ------
        UnknownNameError
            If the dict has a key that is no setting.
        InputError
            If a value breaks its limit.
        """
        if isinstance(value, cls):
            return value
        if value is not None and not isinstance(value, dict):
            raise InputError(parameter, f"be a {cls.__name__} or a dict", value)
        try:
            return cls.model_validate(value or {})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or cls.__name__
            if first["type"] == "extra_forbidden":
                known = _settings_beside(cls, first["loc"])
                *section, key = (str(part) for part in first["loc"])
                raise UnknownNameError(".".join((parameter, *section)), key, known) from None
            message = str(first["msg"])
            constraint = message.removeprefix("Value error, ").removeprefix("Input should ")
            raise InputError(f"{parameter}.{name}", constraint, first["input"]) from None


def _settings_beside(config: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Names of the settings of the section in which a key stands."""
    for part in place[:-1]:
        below = config.model_fields[str(part)].annotation
        if not (isinstance(below, type) and issubclass(below, BaseModel)):
            break
        config = below
    return list(config.model_fields)

"""Base of all settings: frozen, validated, strict about names; and what can be known of each.

A setting is declared once, as a pydantic ``Field``: its limits, below it its help (a docstring),
and in ``json_schema_extra`` its unit and the step of a spin box. :func:`field_info` reads them for
the command line, the forms of the viewer and the documentation.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, Union, get_args, get_origin

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from ..errors import InputError, UnknownNameError

__all__ = [
    "FORMER_KEYS",
    "FieldInfo",
    "StageConfig",
    "field_info",
    "input_error",
    "merged_settings",
    "present_keys",
]

_LARGEST = 2**53
_LARGEST_SEED = 2**63 - 1

FORMER_KEYS: dict[str, str] = {
    "appearance": "looks",
    "augmentations": "variants",
    "best_epoch": "best_pass",
    "epochs": "passes",
    "max_depth": "depth",
    "min_background": "background_least",
    "min_fraction": "largest_only",
    "min_gain": "least_gain",
    "n_layers": "depth",
    "prior_weight": "hold",
    "sigma": "reach",
    "update_epochs": "update_passes",
    "update_learning_rate": "update_rate",
}
"""What settings were called before, by their present key: still read everywhere."""


def _keys_of(field: str) -> str | AliasChoices:
    former = FORMER_KEYS.get(field)
    return field if former is None else AliasChoices(field, former)


class StageConfig(BaseModel):
    """Base of all settings: immutable, and strict about names."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        alias_generator=AliasGenerator(validation_alias=_keys_of),
    )

    @field_validator("*")
    @classmethod
    def _check_size(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse whole numbers that no array can count."""
        most = _LARGEST if info.field_name != "seed" else _LARGEST_SEED
        if isinstance(value, int) and abs(value) > most:
            raise ValueError(f"be at most {most}")
        return value

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
            raise input_error(error, cls, parameter) from None


def present_keys(model: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a model with its former keys, also those of its sections, replaced."""
    former = {FORMER_KEYS[name]: name for name in model.model_fields if name in FORMER_KEYS}
    result = {}
    for key, value in given.items():
        name = former.get(key, key)
        section = _section(model, key)
        if section is not None and isinstance(value, dict):
            value = present_keys(section, value)
        result[key if name in given else name] = value
    return result


def merged_settings(
    base: Mapping[str, Any], given: Mapping[str, Any], *, exclude_unset: bool = False
) -> dict[str, Any]:
    """Lay the given settings over a base, section by section.

    Of a configuration everything counts, or with ``exclude_unset`` what it was made with.
    """
    result = dict(base)
    for key, value in given.items():
        below = result.get(key)
        if isinstance(value, BaseModel) and isinstance(below, dict):
            value = value.model_dump(exclude_unset=exclude_unset)
        if isinstance(value, dict) and isinstance(below, dict):
            value = merged_settings(below, value, exclude_unset=exclude_unset)
        result[key] = value
    return result


@dataclass(frozen=True)
class FieldInfo:
    """What forms, options and pages show of a setting.

    ``kind`` is bool, int, float or str, or None for what is none of them, such as a section. An
    open limit is not allowed itself. ``step`` is that of a spin box.
    """

    name: str
    title: str
    help: str
    default: Any
    kind: type | None
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    minimum_is_open: bool = False
    maximum_is_open: bool = False
    unit: str = ""
    step: float = 1

    @property
    def limits(self) -> str:
        """What is allowed, in words: the choices, or e.g. ``above 0, at most 20``."""
        if self.choices:
            return ", ".join(map(str, self.choices))
        words = []
        if self.minimum is not None:
            words.append(f"{'above' if self.minimum_is_open else 'at least'} {self.minimum:g}")
        if self.maximum is not None:
            words.append(f"{'below' if self.maximum_is_open else 'at most'} {self.maximum:g}")
        return ", ".join(words)


def field_info(model: type[BaseModel], name: str) -> FieldInfo:
    """Read what was declared of a setting."""
    field = model.model_fields[name]
    limits = {
        key: getattr(limit, key)
        for limit in field.metadata
        for key in ("ge", "gt", "le", "lt")
        if hasattr(limit, key)
    }
    kinds = [kind for kind in _members(field.annotation) if kind is not type(None)]
    choices = get_args(kinds[0]) if get_origin(kinds[0]) is Literal else ()
    kind = type(choices[0]) if choices else kinds[0]
    shown = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return FieldInfo(
        name,
        field.title or name.replace("_", " ").capitalize(),
        " ".join((field.description or "").split()),
        field.default,
        kind if len(kinds) == 1 and kind in (bool, int, float, str) else None,
        choices,
        limits.get("ge", limits.get("gt")),
        limits.get("le", limits.get("lt")),
        "gt" in limits,
        "lt" in limits,
        **shown,  # type: ignore[arg-type] # unit and step
    )


def input_error(
    error: ValidationError, model: type[BaseModel], parameter: str, separator: str = "."
) -> InputError:
    """Word the first thing that pydantic finds wrong, with the key where it stands.

    ``separator`` stands between the parameter, a file for instance, and the key of a value.
    """
    # A key that is misspelt may also be missing: say the first of the two.
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    is_key = first["type"] == "invalid_key"  # then the place ends in the key itself
    places, section = _places(model, first["loc"][:-1] if is_key else first["loc"])
    given = first["input"]
    name = f"{parameter}{separator}{'.'.join(places)}" if places else parameter
    if first["type"] == "extra_forbidden":
        known = list(section.model_fields)
        present = [key for key in known if FORMER_KEYS.get(key) == places[-1]]
        if present:
            return InputError(name, f"not stand beside {present[0]}, its present name", given)
        return UnknownNameError(".".join((parameter, *places[:-1])), places[-1], known)
    if first["type"] == "missing":
        return InputError(name, "be given", "nothing")
    if is_key:
        return InputError(name, "have names of settings as keys", given)
    constraint = re.sub(r"^(Value error, |\w+ should )| after validation", "", str(first["msg"]))
    if first["type"] == "path_type":
        constraint = "be a path"
    if first["type"] == "tuple_type":
        field = section.model_fields[places[-1]]
        constraint = f"be a list, such as {(field.examples or [[given]])[0]}"
    if isinstance(given, dict) and any(isinstance(value, dict | list) for value in given.values()):
        given = f"the keys {', '.join(map(str, given))}"
    return InputError(name, constraint, given)


def _places(
    model: type[BaseModel], location: Sequence[int | str]
) -> tuple[list[str], type[BaseModel]]:
    """Keys on the way to a place, and the section of the last one.

    Of a union pydantic names every member in turn; the key is what is before them.
    """
    keys: list[str] = []
    inside: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int):
            keys[-1] += f"[{part + 1}]"
        elif inside is not None:
            model = inside
            keys.append(part)
            inside = _section(model, part)
    return keys, model


def _section(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """Section below a key, also an optional one or one of several."""
    field = model.model_fields.get(key)
    members = () if field is None else _members(field.annotation)
    below = [part for part in members if isinstance(part, type) and issubclass(part, BaseModel)]
    return below[0] if below else None


def _members(annotation: Any) -> tuple[Any, ...]:
    """Types that an annotation allows, or that a tuple of it holds."""
    if get_origin(annotation) in (Union, types.UnionType, tuple):
        return tuple(kind for part in get_args(annotation) for kind in _members(part))
    return (annotation,)

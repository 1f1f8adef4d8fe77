"""Names to entries: none twice, none guessed."""

from __future__ import annotations

import pytest

from napari_fewshot.errors import UnknownNameError
from napari_fewshot.registry import Registry


def test_entries_come_back_in_order():
    registry: Registry[int] = Registry("number")
    registry.add("two", 2)
    registry.add("one", 1)
    assert registry.get("one") == 1
    assert list(registry) == ["two", "one"]
    assert dict(registry.items()) == {"two": 2, "one": 1}
    assert "one" in registry
    assert "three" not in registry


def test_duplicates_and_unknown_names_are_refused():
    registry: Registry[int] = Registry("number")
    registry.add("seven", 7)
    with pytest.raises(ValueError, match="'seven' is registered twice"):
        registry.add("seven", 8)
    assert registry.get("seven") == 7
    with pytest.raises(UnknownNameError, match="number must be one of seven.*Did you mean seven"):
        registry.get("sevn")


def test_an_entry_that_is_added_comes_after_those_of_the_package():
    registry: Registry[object] = Registry("backbone", ".backbones.embedded")
    with pytest.raises(ValueError, match="'embedded' is registered twice"):
        registry.add("embedded", None)
    registry.add("own", None)
    assert list(registry) == ["embedded", "own"]

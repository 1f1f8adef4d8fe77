"""What is asked for, as the metadata of the installed package say."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement

from napari_fewshot.cli import installation
from napari_fewshot.cli.installation import (
    EXTRAS,
    Library,
    installed_extras,
    installed_libraries,
    installed_qt,
)


@pytest.fixture
def metadata(monkeypatch):
    """Metadata of the package, in place of those of the environment."""

    def replace(*lines):
        monkeypatch.setattr(installation, "requires", lambda name: list(lines))

    return replace


@pytest.fixture
def versions(monkeypatch):
    def version(name):
        found = {"one": "1.5", "two": "2.0rc1", "PySide6": "6.9"}.get(name)
        if found is None:
            raise installation.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(installation, "version", version)


def test_what_fits_and_what_does_not(metadata, versions):
    metadata("two>=2.0rc1", "one>=1.6", "three", 'one>=9; python_version < "3"',
             'five; extra == "flow"')  # fmt: skip
    assert installed_libraries() == [
        Library("one", ">=1.6", "1.5", fits=False),
        Library("three", "", None, fits=False),
        Library("two", ">=2.0rc1", "2.0rc1", fits=True),
    ]


def test_extras_bring_what_is_not_needed_anyway(metadata, versions):
    metadata("one>=1", 'one>=1.2; extra == "flow"', 'two<2; extra == "flow"', 'x; extra == "dev"')
    found = installed_extras()
    assert list(found) == list(EXTRAS)
    assert found["flow"] == [Library("two", "<2", "2.0rc1", fits=False)]
    assert found["hdf5"] == []


def test_bindings_of_qt(versions):
    assert installed_qt() == {"PySide6": "6.9"}


def test_a_package_that_is_not_installed(monkeypatch):
    def nothing(name):
        raise installation.PackageNotFoundError(name)

    monkeypatch.setattr(installation, "requires", nothing)
    assert installed_libraries() == []


def test_every_extra_of_users_is_described(repository):
    """All that bring libraries of their own; Qt is looked for by itself."""
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    for name, lines in project["optional-dependencies"].items():
        qt = any(Requirement(line).extras for line in lines)
        assert (name in EXTRAS) is not (qt or name in ("dev", "docs", "test")), name

"""The page on installation names every extra of users, and says what `doctor` says of it."""

from __future__ import annotations

import re
import tomllib

from napari_fewshot.cli.installation import EXTRAS


def test_the_table_of_extras_is_that_of_the_package(repository):
    page = (repository / "docs" / "install.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", page, re.MULTILINE))
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].keys() - {"test", "docs", "dev"}
    assert rows.keys() == extras
    assert list(rows) == sorted(rows)
    assert {name: rows[name] for name in EXTRAS} == EXTRAS


def test_extras_that_are_named_exist(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].keys()
    for path in [repository / "README.md", *(repository / "docs").rglob("*.md")]:
        for named in re.findall(r"pip install \"[^\"]*\[([\w,-]+)\]", path.read_text("utf-8")):
            assert set(named.split(",")) <= extras, path

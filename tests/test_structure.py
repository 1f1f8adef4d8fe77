"""The tree: no circles between files, none too long."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import napari_fewshot

PACKAGE = Path(napari_fewshot.__file__).parent
LONGEST = 400
TESTS = Path(__file__).parent


def imports(path: Path, root: Path) -> set[Path]:
    """Files below ``root`` that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        module = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        for alias in node.names:
            parts = (module / alias.name, module)  # a module that is named, or a name in one
            files = [f for p in parts for f in (p.with_suffix(".py"), p / "__init__.py")]
            found |= {next(file for file in files if file.is_file())}
    return found - {path}


def circle(root: Path) -> list[str]:
    graph = {path: imports(path, root) for path in root.rglob("*.py")}
    # The names of the package are imported on first use: for the type checker only.
    graph.pop(root / "__init__.py", None)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(path.relative_to(root)) for path in error.args[1]]
    return []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert not circle(PACKAGE)


def test_a_circle_is_found(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    (tmp_path / "__init__.py").write_text("")
    (room / "one.py").write_text("from .two import x\n")
    (room / "two.py").write_text("def f():\n    from . import three\n")
    (room / "three.py").write_text("from ..room.one import x\n")
    assert set(circle(tmp_path)) == {"room/one.py", "room/two.py", "room/three.py"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_no_module_is_too_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize(
    "path", sorted(TESTS.glob("*/**/*.py")), ids=lambda p: str(p.relative_to(TESTS))
)
def test_no_patch_outlives_the_tests_of_its_file(path: Path) -> None:
    """Fixtures of a session end with the process, which runs the tests of other folders too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            scopes = [ast.unparse(one) for one in node.decorator_list]
            long = any("'session'" in one or "'package'" in one for one in scopes)
            inner = [*ast.walk(node)]
            waits = any(isinstance(one, ast.Yield) for one in inner)
            patches = any(getattr(one, "attr", "") == "MonkeyPatch" for one in inner)
            assert not (long and waits and patches), node.name

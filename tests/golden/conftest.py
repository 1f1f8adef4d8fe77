"""Golden tests: what a user gets today, held while the code below is rebuilt.

They use what stays (the public names, the command line, files) and no inner module.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from napari_fewshot import FewShotSegmenter, load_sam
from napari_fewshot.cli import main

from .compare import References, Tolerance
from .scenes import QUICK, SMALL_SAM, Scene, scene, write_scene

DATA = Path(os.environ.get("NAPARI_FEWSHOT_GOLDEN_DATA", Path(__file__).parent / "data"))
RENEW = os.environ.get("NAPARI_FEWSHOT_GOLDEN") == "write"  # set by make.py


@pytest.fixture(scope="module")
def references(request: pytest.FixtureRequest) -> Iterator[References]:
    """What the tests of this module gave before."""
    name = request.module.__name__.rsplit(".", 1)[-1].removeprefix("test_")
    kept = References(DATA, name, renew=RENEW)
    yield kept
    kept.save()


@pytest.fixture
def golden(references: References) -> Callable[..., None]:
    """Assert that results are what they were; ``labels`` and ``confidence`` are arrays."""

    def check(name: str, tolerance: Tolerance | None = None, **results: Any) -> None:
        found = references.compare(name, tolerance or Tolerance(), results)
        assert not found, "\n".join(found)

    return check


@pytest.fixture(scope="session")
def segmenter() -> Callable[..., FewShotSegmenter]:
    """A segmenter of few steps, whose sums depend on the machine in their last bits only."""

    def make(**settings: Any) -> FewShotSegmenter:
        precision = {"extraction": {"precision": "float32"}}
        return FewShotSegmenter(device="cpu", **(QUICK | precision | settings))

    return make


@pytest.fixture(scope="session")
def one() -> Scene:
    """What is learned from."""
    return scene(0)


@pytest.fixture(scope="session")
def other() -> Scene:
    """What is predicted: other noise, two rows and one column away."""
    return scene(1, (2, -1))


@pytest.fixture(scope="session")
def fitted(segmenter: Callable[..., FewShotSegmenter], one: Scene) -> FewShotSegmenter:
    """The default adapter on three slices; not to be fitted again."""
    return segmenter().fit(one.template())


@pytest.fixture(scope="session")
def sam() -> Any:
    """A small SAM that was trained."""
    return load_sam("sam-vit-b", weights=SMALL_SAM)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, one: Scene, other: Scene) -> Path:
    """A folder with both scenes; nobody may write to it."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scene(folder, "one", one)
    write_scene(folder, "other", other)
    return folder


@dataclass(frozen=True)
class Said:
    """How a command ended, with numbers and folders left out of what it said."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def run() -> Callable[..., Said]:
    """Run a command in this process."""

    def command(*words: object) -> Said:
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code = main([str(word) for word in words])
            except SystemExit as end:  # what argparse does
                code = end.code if isinstance(end.code, int) else 1
        return Said(code, out.getvalue(), err.getvalue())

    return command

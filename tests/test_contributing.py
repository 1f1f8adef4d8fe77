"""The recipes of CONTRIBUTING, built into a copy of the package and used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = re.compile(r"```python\n# (src/napari_fewshot/\S+)\n(.*?)```", re.DOTALL)
REGISTRATION = re.compile(r"add `(.+?)` to `(\w+)` in `(\S+?)`")

USES = {
    "adapter": """
import numpy as np
from napari_fewshot import FewShotSegmenter, Template
model = FewShotSegmenter(backbone="multiscale", adapter="nearest", device="cpu")
model.fit(Template(image, labels))
found = model.predict(image).labels
both = ((found == 3) & (labels == 3)).sum()
assert 2 * both / ((found == 3).sum() + (labels == 3).sum()) > 0.9
model.save("model.fewshot")
again = FewShotSegmenter.load("model.fewshot", device="cpu").predict(image).labels
assert (again == found).mean() > 0.999
""",
    "backbone": """
from napari_fewshot import FewShotSegmenter, Template
from napari_fewshot.backbones import list_backbones
assert "gradient" in [spec.name for spec in list_backbones()]
model = FewShotSegmenter(backbone="gradient", adapter="cosine", device="cpu")
assert (model.fit(Template(image, labels)).predict(image).labels == labels).mean() > 0.9
""",
    "format": """
import numpy as np
import pytest
from napari_fewshot import UnreadableFileError, read_labels, read_volume, write_labels
np.save("image.npy", image)
volume = read_volume("image.npy")
np.testing.assert_array_equal(volume.data, image)
write_labels("labels.npy", labels, volume)
np.testing.assert_array_equal(read_labels("labels.npy").data, labels)
open("short.npy", "wb").write(open("image.npy", "rb").read()[:200])
with pytest.raises(UnreadableFileError, match="whole npy file"):
    read_volume("short.npy")
""",
    "command": """
from napari_fewshot import Volume, write_image
from napari_fewshot.cli import main
write_image("image.tif", image.astype("float32"), Volume(image, (1.0, 1.0)))
assert main(["geometry", "image.tif"]) == 0
assert main(["geometry", "missing.tif"]) == 2
""",
}

IMAGE = """
import numpy as np
rng = np.random.default_rng(0)
labels = np.zeros((40, 44), np.uint8)
labels[10:26, 12:30] = 3
image = (60.0 * (labels > 0) + 20 + rng.normal(0, 3, labels.shape)).astype(np.float32)
"""


def registered(text: str, line: str, table: str) -> str:
    """Add a line before the end of the call or tuple that a table is made by."""
    start = text.index(f"\n{table}")
    end = re.compile(r"^\)", re.MULTILINE).search(text, start)
    assert end is not None, f"{table} has no lines of its own"
    return f"{text[: end.start()]}    {line}\n{text[end.start() :]}"


@pytest.fixture(scope="module")
def package(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with all recipes in it."""
    source = tmp_path_factory.mktemp("recipes") / "src"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(repository / "src", source, ignore=ignored)
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    recipes, registrations = RECIPE.findall(text), REGISTRATION.findall(text)
    assert len(recipes) == len(registrations) == len(USES)
    for name, code in recipes:
        path = source.parent / name
        assert not path.exists()
        path.write_text(code, encoding="utf-8")
    for line, table, name in registrations:
        path = source / "napari_fewshot" / name
        path.write_text(registered(path.read_text(encoding="utf-8"), line, table), encoding="utf-8")
    return source


@pytest.mark.parametrize("recipe", USES)
def test_recipe_works(recipe: str, package: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", IMAGE + USES[recipe]],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]


def test_recipes_pass_the_checks(package: Path, repository: Path) -> None:
    pytest.importorskip("ruff", reason="a tool of development")
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = [str(package.parent / name) for name, _ in RECIPE.findall(text)]
    shutil.copy(repository / "pyproject.toml", package.parent)  # what it says of folders counts
    run = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *paths],
        check=False,
        cwd=package.parent,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout


def test_names_in_the_guide_exist(repository: Path) -> None:
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:tests|scripts|benchmarks|docs)/[\w/]+(?:\.\w+)?)`", text))
    named |= {f"src/napari_fewshot/{p}" for p in re.findall(r"`(\w+/\w+\.py)`", text)}
    missing = [path for path in named if not (repository / path).exists()]
    missing = [path for path in missing if path.removeprefix("src/napari_fewshot/") not in named]
    assert named
    assert not missing
    rooms = re.findall(r"^  (\w+)/ ", text, re.MULTILINE)
    package = repository / "src" / "napari_fewshot"
    folders = {p.name for p in package.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert set(rooms) == folders

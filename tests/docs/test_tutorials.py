"""Tutorials: scripts of the gallery and commands of the pages run; each head says what it takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, Template
from napari_fewshot.cli import main
from napari_fewshot.io import write_image, write_labels, write_points
from napari_fewshot.phantoms import (
    Phantom,
    make_phantom,
    painted_labels,
    template_slices,
    touching_cells,
)
from napari_fewshot.types import Volume

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "examples").glob("plot_*.py"))
HEAD = ["You need", "You get", "It takes"]


def pages(*captions: str) -> list[Path]:
    """Pages of parts of the index."""
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    trees = re.findall(r"```\{toctree\}\n:caption: (.*)\n.*\n\n((?:\S+\n)+)```", index)
    assert {"Start here", "Tutorials", "How it works", "Reference"} == {name for name, _ in trees}
    named = [entry for name, entries in trees if name in captions for entry in entries.split()]
    return [ROOT / "docs" / f"{entry}.md" for entry in named if not entry.startswith("gallery")]


@pytest.mark.parametrize(
    "path",
    [*pages("Start here", "Tutorials", "How it works"), *SCRIPTS],
    ids=lambda path: path.stem,
)
def test_the_head_says_what_it_needs_gives_and_takes(path):
    head = path.read_text("utf-8")[:900]
    assert re.findall(r"\*\*(You need|You get|It takes)\*\*", head) == HEAD


def test_every_page_is_in_the_index_once():
    listed = pages("Start here", "Tutorials", "How it works", "Reference")
    there = [page for page in (ROOT / "docs").rglob("*.md") if "gallery" not in page.parts]
    assert sorted([*listed, ROOT / "docs" / "index.md"]) == sorted(there)


class Quick(FewShotSegmenter):
    """The segmenter, which learns for a few steps only; the docs are built with all of them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"contrastive": {"steps": 20}, **settings})


@pytest.mark.slow
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script_runs(path, tmp_path, monkeypatch):
    for library in ("matplotlib", "distributed"):
        pytest.importorskip(library)
    import matplotlib as mpl

    monkeypatch.setattr("napari_fewshot.FewShotSegmenter", Quick)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with mpl.rc_context({"backend": "agg", "figure.max_open_warning": 0}):
        exec(compile(path.read_text("utf-8"), str(path), "exec"), {"__name__": "__main__"})
        mpl.pyplot.close("all")


def shell_blocks(page: str) -> list[list[str]]:
    """Our commands in each block of shell of a page, continued lines joined."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    found = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    blocks = [re.sub(r"\\\n\s*", " ", block).splitlines() for block in found]
    ours = [[line for line in block if line.startswith("napari-fewshot ")] for block in blocks]
    return [block for block in ours if block]


def patient(number: int, stem: str, shape: tuple[int, int, int] = (8, 24, 24)) -> Phantom:
    """Write a small patient: image, three painted slices, all labels and the landmarks."""
    phantom = make_phantom("joint", number, shape)
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    write_image(f"{stem}.nii.gz", phantom.image.data, phantom.image)
    some = painted_labels(phantom, template_slices(phantom, 3))
    write_labels(f"{stem}_painted.nii.gz", some.data, phantom.image, phantom.labels.names)
    write_points(f"{stem}.csv", phantom.landmarks, phantom.image)
    return phantom


def image_and_paint(shape: tuple[int, int, int] = (8, 24, 24)) -> None:
    phantom = patient(0, "image", shape)
    some = painted_labels(phantom, template_slices(phantom, 3))
    write_labels("painted.nii.gz", some.data, phantom.image)


def a_model(shape: tuple[int, int, int] = (8, 24, 24)) -> None:
    phantom = make_phantom("joint", 0, shape)
    painted = painted_labels(phantom, template_slices(phantom, 3))
    model = FewShotSegmenter(contrastive={"steps": 20})
    model.fit(Template(phantom.image, painted)).save("model.fewshot")


def many_volumes(model: bool = True, shape: tuple[int, int, int] = (8, 24, 24)) -> None:
    if model:
        a_model(shape)
    for number, name in enumerate("ab"):
        patient(number, name)
    patient(2, "patients/p1", shape)
    for extra in ("_painted.nii.gz", "_painted_labels.json", ".csv"):
        Path(f"patients/p1{extra}").unlink(missing_ok=True)
    truth = make_phantom("joint", 2, shape)
    Path("truth").mkdir()
    write_labels("truth/p1.nii.gz", truth.labels.data, truth.image)


def corrected() -> None:
    a_model()
    Path("model.fewshot").rename("cohort.fewshot")
    patient(1, "new")
    Path("new_painted.nii.gz").rename("corrected.nii.gz")


def cells() -> None:
    for number in (1, 2, 3):
        image, labels = touching_cells(number, (40, 48), (0.5, 0.5), cells=6)
        write_image(f"cells_{number}.tif", image.data, image)
    strokes = np.where(labels.data > 0, 1, 255).astype(np.uint8)
    strokes[::2] = 0
    write_labels("scribbles_1.tif", strokes, image)


def objects() -> None:
    image, labels = touching_cells(0, (12, 40, 48), (1.0, 0.5, 0.5), cells=8)
    write_image("cells.tif", image.data, image)
    Path("results").mkdir()
    Path("more").mkdir()
    for name in ("cells", "other"):
        write_image(f"more/{name}.tif", image.data, image)
        mask = (labels.data > 0).astype(np.uint8)
        write_labels(f"results/{name}_labels.tif", mask, image)


def instances() -> None:
    objects()
    _, labels = touching_cells(0, (12, 40, 48), (1.0, 0.5, 0.5), cells=8)
    write_labels("cells_instances.tif", labels.data.astype(np.uint8), labels)
    for path in Path("results").iterdir():
        path.unlink()


def with_objects() -> None:
    objects()
    assert main(["objects", "results", "-o", "objects"]) == 0


def sections() -> None:
    phantom = make_phantom("joint", 0, (8, 32, 32))
    plain = Volume(phantom.image.data, (1.0, 1.0, 1.0))
    write_image("stack.tif", plain.data, plain)
    labels = painted_labels(phantom, template_slices(phantom, 2))
    write_labels("painted.tif", labels.data, plain)


LESS = {
    "napari-fewshot train --image": " --set contrastive.steps=50",
    " --polish": " --polish-minutes 0.02",
    " --scheduler local": " --workers 1",
}
"""What commands are given besides, so that they take seconds."""

Prepare = Callable[[], object]
BLOCKS: list[tuple[str, tuple[int, ...], Prepare]] = [
    ("organ-in-ct", (0,), image_and_paint),
    ("correct-and-improve", (0,), lambda: image_and_paint((64, 16, 16))),
    ("landmarks", (0,), lambda: [patient(number, name) for number, name in enumerate("abcd")]),
    ("cells-in-2d", (0,), cells),
    ("objects", (0,), objects),
    ("objects", (1,), instances),
    ("objects", (2,), with_objects),
    ("electron-microscopy", (0,), sections),
    ("many-volumes", (0,), many_volumes),
    ("many-volumes", (1,), lambda: many_volumes(shape=(44, 12, 304))),
    ("many-volumes", (2,), corrected),
    ("many-volumes", (3,), lambda: many_volumes(model=False)),
    ("cluster", (0,), many_volumes),
    ("share-a-model", (0, 1, 2), image_and_paint),
    ("share-a-model", (3,), a_model),
]
NEEDED = {"--scheduler": ("distributed",), " export ": ("onnxruntime", "bioimageio.spec")}
"""What some commands need, of the extras."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "numbers", "prepare"), BLOCKS, ids=[f"{page}-{numbers}" for page, numbers, _ in BLOCKS]
)
def test_commands_run(page, numbers, prepare, tmp_path, monkeypatch, capsys):
    blocks = shell_blocks(f"tasks/{page}.md")
    lines = [line for number in numbers for line in blocks[number]]
    for option, libraries in NEEDED.items():
        for library in libraries if any(option in line for line in lines) else ():
            pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    prepare()
    for line in lines:
        less = "".join(words for option, words in LESS.items() if option in line)
        words = shlex.split(line, comments=True)[1:] + less.split()
        assert main(words) == 0, f"{line}\n{capsys.readouterr().err}"


def test_every_block_of_the_tutorials_is_run():
    """But for those of the page on clusters that need one, and the configuration of a benchmark."""
    tasks = [page for page in pages("Tutorials") if page.parent.name == "tasks"]
    counts = {page.stem: len(shell_blocks(f"tasks/{page.name}")) for page in tasks}
    there = {(name, number) for name, count in counts.items() for number in range(count)}
    run = {(page, number) for page, numbers, _ in BLOCKS for number in numbers}
    assert run <= there
    assert {page for page, _ in there - run} == {"cluster"}

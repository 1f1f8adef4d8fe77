"""The built wheel, installed in a clean environment, has everything that users rely on.

The environment borrows the libraries of the running one by a path file, so that nothing is
downloaded; that they are what the metadata ask for is tested apart.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import PathDistribution, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def run(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", out, cwd=repository)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the commands of a clean environment into which the wheel is installed."""
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, with_pip=False, symlinks=True)
    commands = root / "bin"
    pip = [sys.executable, "-m", "pip", "--python", commands / "python"]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=root)
    (site,) = root.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return commands


@pytest.fixture(scope="module")
def requirements(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = [p for p in zipfile.Path(archive).iterdir() if p.name.endswith(".dist-info")]
        lines = PathDistribution(folder).requires or []
    return [Requirement(line) for line in lines]


def test_wheel_holds_all_of_the_package_and_nothing_else(wheel, repository):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    source = repository / "src"
    files = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == files
    assert {"napari_fewshot/napari.yaml", "napari_fewshot/py.typed"} <= held
    assert len(licences) == 1


def test_libraries_here_are_those_that_the_metadata_ask_for(requirements):
    needed = [r for r in requirements if r.marker is None or "extra" not in str(r.marker)]
    assert len(needed) > 10
    modules: dict[str, list[str]] = {}
    for module, names in packages_distributions().items():
        for name in names:
            modules.setdefault(name.lower().replace("_", "-"), []).append(module)
    for requirement in needed:
        installed = distribution(requirement.name).version
        assert requirement.specifier.contains(installed, prereleases=True), requirement
        assert any(find_spec(name) for name in modules[requirement.name.lower()]), requirement


def imported_modules(path: Path) -> set[str]:
    """Names of the modules of others that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"napari_fewshot"}


def test_every_library_that_is_imported_is_declared(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    users = [line for name in extras.keys() - {"dev", "docs", "test"} for line in extras[name]]
    lines = [*project["dependencies"], *users]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    brought = packages_distributions()
    for path in (repository / "src").rglob("*.py"):
        for module in imported_modules(path):
            names = {canonicalize_name(name) for name in brought.get(module, [module])}
            assert names & declared, f"{module} in {path}"


def test_no_binding_of_qt_is_required(requirements):
    needed = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    qt = [r for r in needed if r.name.lower().startswith(("pyqt", "pyside"))]
    plain = [r for r in requirements if r.marker is None and r.extras]
    assert not qt
    assert not plain


def test_manifest_and_data_are_found_from_the_installed_package(environment, tmp_path):
    code = """
import json, importlib.metadata, importlib.resources, npe2
manifest = npe2.PluginManifest.from_distribution("napari-fewshot")
files = importlib.resources.files("napari_fewshot")
print(json.dumps({
    "home": str(files),
    "name": manifest.name,
    "version": manifest.package_version,
    "samples": [sample.key for sample in manifest.contributions.sample_data],
    "typed": (files / "py.typed").is_file(),
}))
"""
    found = json.loads(run(environment / "python", "-c", code, cwd=tmp_path).splitlines()[-1])
    assert Path(found.pop("home")).is_relative_to(environment.parent)
    assert found == {
        "name": "napari-fewshot",
        "version": distribution("napari-fewshot").version,
        "samples": ["torso", "joint", "mitosis", "kidney"],
        "typed": True,
    }


def test_command_runs_from_the_clean_environment(environment, tmp_path):
    text = run(environment / "napari-fewshot", "--help", cwd=tmp_path)
    for command in ("demo", "backbones", "train", "predict", "evaluate"):
        assert command in text


SCRIPT = """
from typing import assert_type

import numpy as np

from napari_fewshot import (
    Exported,
    FewShotSegmenter,
    HeldOutScore,
    Landmark,
    Prediction,
    SamLabels,
    Template,
    Volume,
    evaluate_labels,
    export_model,
    make_phantom,
    measure_labels,
    predict_many,
    read_labels,
    read_points,
    read_volume,
    refine_labels,
    sam_boxes,
    separate_objects,
    write_labels,
    write_points,
)

image = read_volume("image.nii.gz")
assert_type(image, Volume)
template = Template(image, read_labels("painted.nii.gz"), axis="axial")
model = FewShotSegmenter(backbone="embedded", contrastive={"steps": 100})
assert_type(model.fit([template]), FewShotSegmenter)
assert_type(model.updated(template), FewShotSegmenter)
assert_type(model.held_out_score(), HeldOutScore | None)
assert_type(model.label_values_, tuple[int, ...])
assert_type(model.names_, dict[int, str])
assert_type(model.with_card(author="A lab").card_.author, str)
model.save("model.fewshot")
assert_type(FewShotSegmenter.load("model.fewshot", device="cpu"), FewShotSegmenter)
pred = model.predict(np.zeros((4, 64, 64)), axis=0)
assert_type(pred, Prediction)
assert_type(pred.landmarks, tuple[Landmark, ...])
pred.landmark_table(image).to_csv("points.csv")
for one in model.slice_predictor(image).run([0, 1]):
    assert_type(one.uncertainty, float)
write_labels("labels.nii.gz", pred.labels, image, pred.names)
write_points("points.csv", pred.landmarks, image)
assert_type(read_points("points.csv", image), list[Landmark])
measure_labels(pred.labels, image, objects=True).to_csv("measures.csv")
assert_type(separate_objects(pred.labels, image=image), Volume)
truth = make_phantom("torso").labels
assert_type(evaluate_labels(pred.labels, truth.data, truth.spacing).rand_index, float)
labels, confidence = refine_labels(image, pred.labels, method="random-walker")
labels.mean()
assert_type(sam_boxes(image, [], sam="sam-vit-b"), SamLabels)
assert_type(export_model(model, "model.onnx"), Exported)
for found in predict_many("model.fewshot", ["a.nii.gz"], "results"):
    assert_type(found.seconds, float | None)
model.predict(image, axes=0)  # type: ignore[call-arg]
Template(image, kind="strokes")  # type: ignore[arg-type]
"""
"""Errors that are ignored must be there: they show that the types are seen."""


@pytest.mark.slow
def test_scripts_of_users_are_checked_by_the_types_of_the_wheel(environment, tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "script.py").write_text(SCRIPT)
    options = ("--strict", "--python-executable", environment / "python", "--cache-dir", "cache")
    said = run(sys.executable, "-m", "mypy", *options, "script.py", cwd=tmp_path)
    assert said.startswith("Success")

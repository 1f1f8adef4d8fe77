"""What the package exports, and what importing it does not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import napari_fewshot

EXPORTED = {
    "Cancelled",
    "Candidate",
    "Exported",
    "FeatureCache",
    "FeatureMap",
    "FeatureStore",
    "FewShotError",
    "FewShotSegmenter",
    "Finetuned",
    "HeldOutScore",
    "InputError",
    "Landmark",
    "ModelFileError",
    "ModelSource",
    "NotFittedError",
    "PredictOptions",
    "Prediction",
    "PersonalSam",
    "PromptBox",
    "SamLabels",
    "SegmenterConfig",
    "Template",
    "UnknownNameError",
    "UnreadableFileError",
    "Volume",
    "WeightsError",
    "__version__",
    "evaluate_labels",
    "evaluate_landmarks",
    "export_model",
    "finetune",
    "get_refiner",
    "load_sam",
    "make_phantom",
    "match_instances",
    "measure_labels",
    "persam",
    "predict_many",
    "read_labels",
    "read_points",
    "read_volume",
    "refine_labels",
    "sam_automatic",
    "sam_boxes",
    "sam_points",
    "sam_prompt",
    "separate_objects",
    "tune_sam",
    "viewer_session",
    "write_image",
    "write_labels",
    "write_points",
}

HEAVY = {
    "dask",
    "magicgui",
    "napari",
    "nibabel",
    "npe2",
    "onnx",
    "pandas",
    "qtpy",
    "scipy",
    "segment_anything",
    "skimage",
    "sklearn",
    "superqt",
    "tifffile",
    "timm",
    "torch",
    "torchvision",
    "zarr",
}

VIEWER = {"magicgui", "napari", "npe2", "qtpy", "superqt"}


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running ``code``."""
    report = "import sys; print(' '.join({name.partition('.')[0] for name in sys.modules}))"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return set(run.stdout.splitlines()[-1].split())


ELSEWHERE = ("nnunet_trainer", "nnunet_driver")
"""Run by the interpreter that has nnU-Net, which may be another one."""


def core_modules() -> list[str]:
    source = Path(napari_fewshot.__file__).parent
    names = []
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        if parts[0] in ("_napari", "__main__") or path.stem in ELSEWHERE:
            continue
        names.append(".".join(("napari_fewshot", *parts)).removesuffix(".__init__"))
    return names


def test_exported_names_are_those_that_we_promise():
    assert set(napari_fewshot.__all__) == EXPORTED
    assert len(napari_fewshot.__all__) == len(EXPORTED)


@pytest.mark.parametrize("name", sorted(EXPORTED))
def test_exported_name_exists_and_is_listed(name):
    assert getattr(napari_fewshot, name) is not None
    assert name in dir(napari_fewshot)


def test_unknown_name_raises():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = napari_fewshot.no_such_name


@pytest.mark.parametrize("module", ["napari_fewshot", "napari_fewshot.cli"])
def test_import_is_light(module):
    assert not loaded_by(f"import {module}") & HEAVY


def test_help_is_light():
    code = (
        "from napari_fewshot.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as stop:\n    assert not stop.code"
    )
    assert not loaded_by(code) & HEAVY


def test_core_loads_no_viewer():
    # One process for all modules: a single offender shows, and it takes seconds, not minutes.
    code = "\n".join(f"import {name}" for name in core_modules())
    assert not loaded_by(code) & VIEWER


@pytest.mark.parametrize("library", ["timm", "segment_anything"])
def test_networks_are_imported_inside_functions_only(library):
    source = Path(napari_fewshot.__file__).parent
    offenders = [
        f"{path.relative_to(source)}:{line}"
        for path in source.rglob("*.py")
        for line in eager_imports(ast.parse(path.read_text(encoding="utf-8")), library)
    ]
    assert not offenders


def test_the_search_for_eager_imports_finds_them():
    tree = ast.parse(
        "import timm\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import timm\n"
        "try:\n    from timm.models import vit\n"
        "except ImportError:\n    pass\n"
        "def load():\n    import timm\n"
    )
    assert eager_imports(tree, "timm") == [1, 6]


def eager_imports(tree: ast.AST, library: str) -> list[int]:
    """Lines that import ``library`` when the module itself is imported."""
    lines: list[int] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        lines += [node.lineno for name in names if name.partition(".")[0] == library]
        lines += eager_imports(node, library)
    return lines

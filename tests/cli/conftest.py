"""Commands in this process, on small phantoms that lie in files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.cli import main
from napari_fewshot.io import write_image, write_labels, write_points
from napari_fewshot.io.outputs import RECORD
from napari_fewshot.phantoms import make_phantom, painted_labels

PAINTED = (4, 8, 11)
QUICK = ("--set", "contrastive.steps=60", "--no-score", "--no-store")


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@dataclass(frozen=True)
class Patient:
    """Files of a phantom: 16 sagittal slices of a joint, stored as (k, j, i) = (L, I, P)."""

    image: Path
    truth: Path
    painted: Path
    points: Path


def write_patient(folder: Path, patient: int, slices: Sequence[int] = PAINTED) -> Patient:
    """Write one phantom."""
    made = make_phantom("joint", patient, (16, 48, 48))
    files = Patient(
        folder / f"joint{patient}.nii.gz",
        folder / f"truth{patient}.nii.gz",
        folder / f"painted{patient}.nii.gz",
        folder / f"points{patient}.csv",
    )
    write_image(files.image, made.image.data, made.image)
    write_labels(files.truth, made.labels.data, made.image, made.labels.names)
    write_labels(files.painted, painted_labels(made, slices).data, made.image, made.labels.names)
    write_points(files.points, made.landmarks, made.image)
    return files


@pytest.fixture(scope="session")
def patients(tmp_path_factory: pytest.TempPathFactory) -> tuple[Patient, Patient]:
    """Two patients; nobody may write beside them."""
    folder = tmp_path_factory.mktemp("patients")
    return write_patient(folder, 0), write_patient(folder, 1)


@pytest.fixture(scope="session")
def model(patients: tuple[Patient, Patient], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that learned three slices of patient 0 and its landmarks."""
    path = tmp_path_factory.mktemp("model") / "joint.fewshot"
    one = patients[0]
    code = main(
        ["train", "--image", f"{one.image}", "--labels", f"{one.painted}", *QUICK, "-o", f"{path}"]
    )
    assert code == 0
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process; its end, its output and its errors."""

    def command(*arguments: object) -> Said:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:  # what argparse does
            code = end.code if isinstance(end.code, int) else 1
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return command


def files_below(folder: Path) -> list[str]:
    """Every file of a folder, hidden ones too, but for the record of what runs wrote."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    return sorted(str(path.relative_to(folder)) for path in files)


def labels_of(path: Path) -> set[int]:
    """Label values of a file."""
    from napari_fewshot.io import read_labels

    return {int(v) for v in np.unique(read_labels(path).data)}

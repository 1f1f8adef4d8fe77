"""The tree of errors, and what their messages say."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from napari_fewshot import errors
from napari_fewshot.errors import (
    Cancelled,
    DownloadError,
    FewShotError,
    InputError,
    ModelFileError,
    NotFittedError,
    UnknownNameError,
    UnreadableFileError,
    WeightsError,
)


def test_message_says_parameter_constraint_value_and_remedy():
    error = InputError("seed", "be 0 or above", -3, "Leave it out.")
    assert str(error) == "seed must be 0 or above; got -3. Leave it out."


def test_long_values_are_shortened():
    assert len(str(InputError("labels", "be whole", list(range(1000))))) < 250


def test_unknown_name_lists_all_names_and_near_ones():
    error = UnknownNameError("adapter", "contrasive", ["oak", "contrastive"])
    assert str(error) == (
        "adapter must be one of contrastive, oak; got contrasive. Did you mean contrastive?"
    )
    assert "Did you mean" not in str(UnknownNameError("adapter", "xyz", ["cosine"]))


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (InputError, ValueError),
        (UnknownNameError, InputError),
        (UnreadableFileError, InputError),
        (NotFittedError, RuntimeError),
        (DownloadError, OSError),
        (WeightsError, OSError),
        (ModelFileError, OSError),
        (Cancelled, FewShotError),
    ],
)
def test_tree(kind, builtin):
    assert issubclass(kind, FewShotError)
    assert issubclass(kind, builtin)
    assert kind.__name__ in errors.__all__
    assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(
    "error",
    [
        InputError("seed", "be 0 or above", -3, "Leave it out."),
        UnknownNameError("adapter", "cosin", ["cosine"]),
        UnreadableFileError("a.nii", "be whole", "the first half"),
        ModelFileError("model must be a file"),
    ],
)
def test_errors_cross_processes(error):
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is type(error)
    assert str(copy) == str(error)


def test_paths_are_shown_as_written():
    assert str(InputError("out", "be a folder", Path("a") / "b")) == (
        f"out must be a folder; got {Path('a') / 'b'}."
    )

"""Settings from text, files that must be there or must not be overwritten, and error lines."""

from __future__ import annotations

import argparse

import pytest

from napari_fewshot.cli.reporting import in_one_line
from napari_fewshot.cli.shared import (
    check_axis,
    check_outputs,
    existing_file,
    open_store,
    parse_settings,
)
from napari_fewshot.errors import InputError, UnknownNameError, WeightsError


def test_settings_are_json_or_text():
    given = ["a.b=3", "a.c.d=[1, 2]", "a.e=true", "f=word", "g.h=x=y"]
    assert parse_settings(given) == {
        "a": {"b": 3, "c": {"d": [1, 2]}, "e": True},
        "f": "word",
        "g": {"h": "x=y"},
    }
    assert parse_settings([]) == {}


@pytest.mark.parametrize("pair", ["steps", "=3", ""])
def test_a_setting_needs_name_and_sign(pair):
    with pytest.raises(InputError, match="--set must be written section.key=value"):
        parse_settings([pair])


def test_a_section_takes_no_value_beside_its_keys():
    with pytest.raises(InputError, match="not both"):
        parse_settings(["a=3", "a.b=4"])


def test_existing_file(tmp_path):
    with pytest.raises(InputError, match=r"--image must be an existing file; .* \(a folder\)"):
        existing_file("--image", tmp_path)
    with pytest.raises(InputError, match=r"\(no such file\)"):
        existing_file("--image", tmp_path / "none")
    path = tmp_path / "file"
    path.touch()
    assert existing_file("--image", path) == path


def test_outputs_may_not_be_inputs_under_another_name(tmp_path):
    (tmp_path / "below").mkdir()
    image = tmp_path / "image"
    image.touch()
    (tmp_path / "link").symlink_to(image)
    check_outputs("-o", [tmp_path / "other"], [image, None])
    for path in (image, tmp_path / "below" / ".." / "image", tmp_path / "link"):
        with pytest.raises(InputError, match="-o must not overwrite an input"):
            check_outputs("-o", [path], [image])


@pytest.mark.parametrize("text", ["3", "-1", "Axial", "", "front", "fused"])
def test_axis_is_one_of_a_few_words(text):
    with pytest.raises(InputError, match="--axis must be one of auto, 0, 1, 2, axial"):
        check_axis(text, "auto")
    check_axis("2")
    check_axis("coronal")
    check_axis("auto", "auto")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("known_labels", "be 1", 2), "--known-labels must be 1; got 2."),
        (InputError("settings.seed", "be 1", 2), "--seed must be 1; got 2."),
        (InputError("settings.a.b", "be 1", 2), "--set a.b must be 1; got 2."),
        (UnknownNameError("settings.a", "x", ["b"]), "--set a must be one of b; got x."),
        (
            InputError("some file", "be one\nor two", 3, "Stop."),
            "some file must be one or two; got 3. Stop.",
        ),
        (WeightsError("weights are\n  missing"), "weights are missing"),
    ],
)
def test_errors_name_the_option(error, line):
    assert in_one_line(error) == line


def test_store_is_opened_as_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FEWSHOT_CACHE", str(tmp_path / "default"))

    def opened(**options):
        defaults = {"store": None, "no_store": False, "store_limit": 1.0}
        return open_store(argparse.Namespace(**defaults | options))

    assert opened(no_store=True) is None
    assert opened(store=tmp_path / "mine").root == tmp_path / "mine"
    assert opened().root == tmp_path / "default" / "features"
    assert opened(store_limit=2.5).limit == 2_500_000_000
    assert not list(tmp_path.iterdir())  # made when first written to
    for limit in (-1.0, float("nan")):
        with pytest.raises(InputError, match="--store-limit must be at least 0"):
            opened(store_limit=limit)

"""Cases that are scored, and digests of their files."""

import json
import os
from pathlib import Path

import pytest

from napari_fewshot.bench import plan
from napari_fewshot.bench.plan import Fingerprints, make_plan, select_cases
from napari_fewshot.errors import InputError

from .conftest import ACROSS, LANDMARKS, METHODS


@pytest.fixture
def data(tmp_path: Path) -> Path:
    series = tmp_path / "series"
    series.mkdir()
    (series / "1.dcm").write_bytes(b"one")
    (series / "2.dcm").write_bytes(b"two")
    return tmp_path


def test_content_and_names_count_and_times_do_not(data: Path) -> None:
    paths = [data / "series", data / "series" / "1.dcm", data / "none"]
    before = Fingerprints(data / "out").of(paths)
    assert [name for name, _ in before] == ["series", "1.dcm", "none"]
    assert before[2][1] is None
    os.utime(data / "series" / "1.dcm", (1, 1))
    assert Fingerprints(data / "out").of(paths) == before
    (data / "series" / "2.dcm").rename(data / "series" / "3.dcm")
    renamed = Fingerprints(data / "out").of(paths)
    assert renamed[0] != before[0]
    assert renamed[1] == before[1]
    (data / "series" / "1.dcm").write_bytes(b"One")  # of the same size
    assert Fingerprints(data / "out").of(paths)[1] != before[1]


def test_what_is_remembered_is_not_read_again(data: Path, monkeypatch) -> None:
    paths = [data / "series"]
    first = Fingerprints(data / "out")
    found = first.of(paths)
    assert not (data / "out").exists()  # a dry run leaves nothing
    first.save()
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", lambda *_: pytest.fail("read again"))
        assert Fingerprints(data / "out").of(paths) == found
    (data / "series" / "1.dcm").write_bytes(b"other")
    assert Fingerprints(data / "out").of(paths) != found


@pytest.mark.parametrize("text", ["", "[1]", "{", json.dumps({"x": []})])
def test_a_damaged_memory_is_made_again(data: Path, text: str) -> None:
    memory = data / "out" / "fingerprints.json"
    memory.parent.mkdir()
    memory.write_text(text, "utf-8")
    again = Fingerprints(data / "out")
    assert again.of([data / "series"]) == Fingerprints(data / "elsewhere").of([data / "series"])
    again.save()
    assert len(json.loads(memory.read_text("utf-8"))) >= 2


def test_reading_is_counted_or_left_out(data: Path) -> None:
    paths = [data / "series", data / "series" / "1.dcm", data / "series"]
    ticks = []
    Fingerprints(data / "out").read(paths, lambda *tick: ticks.append(tick[:2]))
    assert ticks == [(1, 2), (2, 2)]
    unread = Fingerprints(data / "out", unread=True)
    unread.read(paths, lambda *tick: pytest.fail("read"))
    assert unread.of(paths) == [["series", None], ["1.dcm", None], ["series", None]]


def test_splits(config_of):
    names = [case.name for case in select_cases(config_of(ACROSS)).pool]
    assert names == ["a1", "a2"]
    chosen = config_of(ACROSS.replace("train = 2", 'train = ["b2"]').replace("test = 1", ""))
    assert [case.name for case in select_cases(chosen).scored] == ["a1", "a2", "b1"]
    for train in (4, 30):
        text = ACROSS.replace("train = 2", f"train = {train}").replace("test = 1", "")
        with pytest.raises(
            InputError, match=rf"dataset\.train must leave .* the 4 .*got {train}\."
        ):
            select_cases(config_of(text))
    with pytest.raises(InputError, match=r"dataset\.test must name cases"):
        select_cases(config_of(ACROSS.replace("test = 1", "test = []")))
    with pytest.raises(InputError, match=r"dataset\.train must name cases"):
        select_cases(config_of(ACROSS.replace("train = 2", 'train = ["c"]')))
    with pytest.raises(InputError, match="landmarks"):
        select_cases(config_of(ACROSS.replace("[labels]", "[landmarks]\n[labels]")))
    assert len(select_cases(config_of(LANDMARKS, METHODS)).scored) == 2


def test_all_cases_are_scored_where_that_is_asked_for(config_of) -> None:
    text = ACROSS.replace("test = 1", 'test = "all"')
    selection = select_cases(config_of(text))
    assert [case.name for case in selection.pool] == ["a1", "a2"]
    assert [case.name for case in selection.scored] == ["a1", "a2", "b1", "b2"]
    assert selection.left_out == ()


def test_keys_of_results_know_new_settings_only_where_they_are_used(config_of) -> None:
    from napari_fewshot.bench.plan import case_settings

    config = config_of(LANDMARKS)
    found = case_settings(config)
    assert "join" not in found["labels"]
    assert found["landmarks"] == {"use": None, "templates": "points"}
    joined = config_of(LANDMARKS.replace("[landmarks]", "[landmarks]\nper_label = 2"))
    assert case_settings(joined)["landmarks"]["per_label"] == 2


def test_results_of_a_preset_are_of_what_it_means_now(config_of, tmp_path, monkeypatch) -> None:
    methods = """
[[methods]]
name = "ours"
method = "fewshot"

[[methods]]
name = "published"
method = "fewshot"
settings = { preset = "published" }
"""
    config = config_of(ACROSS, methods)
    selection, files = select_cases(config), Fingerprints(tmp_path / "out")

    def keys() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for fit in make_plan(config, selection, files):
            found.setdefault(fit.method.name, set()).update(unit.key for unit in fit.units)
        return found

    before = keys()
    monkeypatch.setattr(plan, "preset_settings", lambda *_: {"position": {"use": True}})
    after = keys()
    assert after["ours"] == before["ours"]
    assert not after["published"] & before["published"]

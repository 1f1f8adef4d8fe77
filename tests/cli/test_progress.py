"""Bars appear on a terminal only, one after the other."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from napari_fewshot.cli import reporting
from napari_fewshot.cli.reporting import ProgressBars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    stream = Terminal()
    # pytest puts its own stream in place of sys.stderr once more before the test runs.
    monkeypatch.setattr(reporting, "sys", SimpleNamespace(stderr=stream))
    return stream


def test_silent_without_a_terminal(capsys):
    with ProgressBars("image") as bars:
        for done in range(5):
            bars(done, 4, "slices")
    said = capsys.readouterr()
    assert said.out == said.err == ""


def test_a_new_bar_for_each_stage(terminal):
    with ProgressBars("image") as bars:
        bars(1, 4, "features")
        first = bars._bar
        bars(4, 4, "features")
        assert bars._bar is first
        assert first.n == 4
        bars(1, 9, "training")
        second = bars._bar
        assert second is not first
        assert (second.n, second.total) == (1, 9)
        bars(5, 9, "training")
        bars(2, 9, "training")  # begins again
        assert bars._bar is not second
        assert bars._bar.n == 2
    assert bars._bar is None
    assert "image: features" in terminal.getvalue()
    assert "image: training" in terminal.getvalue()


def test_rate_and_remaining_time_are_shown(terminal):
    with ProgressBars() as bars:
        bars(1, 4, "slices")
        bars(2, 4, "slices")
        bars._bar.refresh()
    assert "2/4" in terminal.getvalue()
    assert "it/s" in terminal.getvalue()


def test_bars_close_after_an_error(terminal):
    bars = ProgressBars()

    def fail() -> None:
        with bars:
            bars(1, 4, "slices")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert bars._bar is None

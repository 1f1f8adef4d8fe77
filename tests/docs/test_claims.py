"""Commands of the page of claims name scripts, options and tests that are there."""

from __future__ import annotations

import re
import shlex

import pytest

from napari_fewshot.cli import build_parser


def commands(text: str) -> list[list[str]]:
    cells = [line.rsplit("|", 2)[1] for line in text.splitlines() if line.startswith("| ")]
    return [shlex.split(code) for cell in cells[1:] for code in re.findall(r"`([^`]+)`", cell)]


@pytest.fixture
def shown(repository):
    return commands((repository / "docs" / "claims.md").read_text("utf-8"))


def test_scripts_have_the_options(repository, shown):
    scripts = [words for words in shown if any("benchmarks/" in word for word in words)]
    assert len(scripts) > 8
    for words in scripts:
        start = next(k for k, word in enumerate(words) if word.startswith("benchmarks/"))
        source = (repository / words[start]).read_text("utf-8")
        for option in words[start + 1 :]:
            assert not option.startswith("--") or f'"{option}"' in source, words


def test_tests_are_there(repository, shown):
    named = [path for words in shown if words[0] == "pytest" for path in words[1:]]
    assert named
    assert [path for path in named if not (repository / path).exists()] == []


def test_commands_are_there(shown):
    names = [
        words[words.index("napari-fewshot") + 1] for words in shown if "napari-fewshot" in words
    ]
    help_text = build_parser().format_help()
    assert len(names) > 2
    assert [name for name in names if name not in help_text] == []

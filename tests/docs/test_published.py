"""What the page on the published preset says of settings is what configurations are made of."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_fewshot.config import (
    AutomaticConfig,
    PerSamConfig,
    RegionConfig,
    SegmenterConfig,
    TuneConfig,
)
from napari_fewshot.config import segmenter as presets

HEADER = ["quantity", "paper (section or equation)", "preset", "our default", "measured difference"]
ADAPTERS = {"Paper 1": ("cosine", "classification", "contrastive"), "Paper 3": ("sam-decoder",)}
OTHERS = {
    "automatic": AutomaticConfig,
    "regions": RegionConfig,
    "persam": PerSamConfig,
    "tune": TuneConfig,
}
"""Sections of what SAM does by itself, which has no preset."""
SETTING = re.compile(r"`([a-z_]+(?:\.[a-z_0-9]+)*) = ([^`]+)`")
READY = re.compile(r"`([a-z_0-9]+)\.toml (?:\[([^\]]+)\] )?([a-z_0-9.]+) = ([^`]+)`")


def rows(page: str) -> Iterator[tuple[str, list[str]]]:
    """Title of the section and cells of each row of the tables."""
    section = ""
    for line in page.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ").partition(":")[0]
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and cells[0] != "quantity" and not set(cells[0]) <= {"-"}:
            yield section, cells


def value(text: str) -> Any:
    if text == "none":
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def found(settings: Any, path: str) -> Any:
    for key in path.split("."):
        settings = settings[key]
    return settings


def same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def defaults(adapter: str = "contrastive") -> dict[str, Any]:
    others = {name: model().model_dump() for name, model in OTHERS.items()}
    return {**SegmenterConfig(adapter=adapter).model_dump(mode="json"), **others}


def published(adapter: str) -> dict[str, Any]:
    return SegmenterConfig(preset="published", adapter=adapter).model_dump(mode="json")


def faults(page: str, configs: Path) -> list[str]:
    """Everything on the page that is not so."""
    wrong = []
    for section, cells in rows(page):
        if len(cells) != len(HEADER):
            wrong.append(f"{section}: {len(cells)} cells in the row {cells[0]}")
            continue
        for path, text in SETTING.findall(cells[3]):
            wrong += _difference(section, "default", defaults(), path, text)
        for path, text in SETTING.findall(cells[2]):
            if section not in ADAPTERS:
                wrong.append(f"{section} has no preset, but {path}")
            for adapter in ADAPTERS.get(section, ()):
                wrong += _difference(section, adapter, published(adapter), path, text)
        for name, method, path, text in READY.findall(cells[2] + cells[3]):
            settings = tomllib.loads((configs / f"{name}.toml").read_text("utf-8"))
            if method:
                methods = [m for m in settings["methods"] if m["name"] == method]
                settings = methods[0].get("settings", {}) if methods else {}
            wrong += _difference(section, f"{name}.toml", settings, path, text)
    return wrong


def _difference(section: str, where: str, settings: Any, path: str, text: str) -> list[str]:
    try:
        is_so = found(settings, path)
    except (KeyError, TypeError):
        return [f"{section}: {where} has no {path}"]
    return [] if same(is_so, value(text)) else [f"{section}: {where}.{path} is {is_so}, not {text}"]


def leaves(settings: dict[str, Any], before: str = "") -> Iterator[str]:
    for key, below in settings.items():
        if isinstance(below, dict):
            yield from leaves(below, f"{before}{key}.")
        else:
            yield f"{before}{key}"


@pytest.fixture
def page(repository: Path) -> str:
    return (repository / "docs" / "published.md").read_text("utf-8")


@pytest.fixture
def configs(repository: Path) -> Path:
    return repository / "src" / "napari_fewshot" / "bench" / "configs"


def test_every_setting_on_the_page_is_so(page, configs):
    assert faults(page, configs) == []


def test_every_table_has_the_same_columns(page):
    heads = [line for line in page.splitlines() if line.startswith("| quantity")]
    assert len(heads) >= 3
    for head in heads:
        cells = [cell.strip() for cell in head.strip("|").split("|")]
        assert (cells[0], cells[2:]) == (HEADER[0], HEADER[2:])


def test_every_setting_of_the_preset_is_on_the_page(page):
    said = {path for _, cells in rows(page) for path, _ in SETTING.findall(cells[2])}
    for adapter in ("contrastive", "sam-decoder"):
        assert set(leaves(presets.preset_settings("published", adapter))) - said == set()


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("`contrastive.head = bilinear`", "contrastive.head is concat, not bilinear"),
        ("`contrastive.heads = concat`", "has no contrastive.heads"),
        ("`position.use = 0`", "position.use is False, not 0"),
        ("`challenge_ct.toml [nobody] sam = sam-vit-h`", "challenge_ct.toml has no sam"),
    ],
)
def test_what_is_not_so_is_found(configs, cell, fault):
    wrong = faults(f"## Paper 1: x\n| a | b | {cell} | – | – |\n", configs)
    assert wrong
    assert all(fault in one for one in wrong)

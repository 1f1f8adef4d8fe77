"""Write cli.md and settings.md, the reference of commands and settings, from parser and models.

Run it after every change of either; a test fails while the page is stale. It does not print the
help of argparse, which is worded and wrapped differently from one Python to the next.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from napari_fewshot.config import field_info

FOLDER = Path(__file__).parent

HEAD = """\
# Command line

<!-- Written by generate_cli.py; do not edit. -->

All commands and their options. What `--set` and `--config` take is in [settings](settings.md).
`napari-fewshot COMMAND --help` shows the same, and begins with an example.
"""

SETTINGS_HEAD = """\
# Settings

<!-- Written by generate_cli.py; do not edit. -->

What `--set` takes: `train` all of the [segmenter](#of-the-segmenter), `predict` those below
`propagation`, `refine` and `compare-refinement` those below `propagation.refinement`, by what
follows it (`prompts.points`), `sam` those of its mode; `objects`, `finetune` theirs. `--set` may be
given several times:

```sh
napari-fewshot train --image image.nii.gz --labels painted.nii.gz -o model.fewshot \\
    --set contrastive.steps=500 --set propagation.cleanup.min_fraction=1
```

Python takes the same as dicts and configurations, the viewer with `session.configure`, benchmarks
as tables of TOML:

```python
from napari_fewshot import FewShotSegmenter

model = FewShotSegmenter(contrastive={"steps": 500}, propagation={"cleanup": {"min_fraction": 1}})
```

A name or value that is not allowed is one clear line before any work. The settings that a model was
made with are in its file: `napari-fewshot info MODEL` shows those that are not the defaults.
"""


def render(parser: argparse.ArgumentParser) -> str:
    """Markdown reference of a parser and of the commands below it."""
    return "\n".join([HEAD, *_arguments(parser), *_below(parser, 2)]).rstrip() + "\n"


def _below(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    """Commands of a parser, each with the commands below it."""
    for name, command in _commands(parser).items():
        yield f"{'#' * level} {parser.prog} {name}"
        yield ""
        if command.description:
            yield command.description.strip()
            yield ""
        if example := command.get_default("example"):
            yield from ("```sh", example, "```", "")
        yield from _arguments(command)
        yield from _below(command, level + 1)


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    hidden = (argparse._SubParsersAction, argparse._HelpAction)
    shown = [
        action
        for action in parser._actions
        if not isinstance(action, hidden) and action.help != argparse.SUPPRESS
    ]
    for action in sorted(shown, key=lambda action: bool(action.option_strings)):
        yield f"`{_spelling(action)}`"
        text = parser._get_formatter()._expand_help(action) if action.help else ""
        if action.required and action.option_strings:
            text = f"{text.rstrip('.')}. Required."
        yield f": {text}".rstrip()
        yield ""


def _spelling(action: argparse.Action) -> str:
    value = _value(action)
    if not action.option_strings:  # positional
        return value
    return ", ".join(action.option_strings) + (f" {value}" if value else "")


def _value(action: argparse.Action) -> str:
    """Name the value of an argument: ``FILE``, ``LO HI``, ``auto|cpu``, ``IMAGE...``."""
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    name = str(action.metavar or action.dest.upper())
    if action.metavar is None and action.choices is not None:
        name = "|".join(str(choice) for choice in action.choices)
    if isinstance(action.nargs, int):
        return " ".join([name] * action.nargs)
    return {"+": f"{name}...", "*": f"[{name}...]", "?": f"[{name}]"}.get(action.nargs or "", name)


def settings() -> str:
    """Reference of all settings that ``--set`` takes, in Markdown."""
    from napari_fewshot.config import (
        AutomaticConfig,
        FinetuneConfig,
        ObjectsConfig,
        PerSamConfig,
        RegionConfig,
        SegmenterConfig,
        TuneConfig,
    )

    lines = [SETTINGS_HEAD, *_table("Of the segmenter", SegmenterConfig, "")]
    modes = {
        "`finetune`": FinetuneConfig,
        "`sam automatic`": AutomaticConfig,
        "`sam boxes` and `sam points`": RegionConfig,
        "`sam persam`": PerSamConfig,
        "`sam tune`": TuneConfig,
        "`objects`": ObjectsConfig,
    }
    for title, model in modes.items():
        lines += _table(f"Of {title}", model, "")
    return "\n".join(lines)


def _table(title: str, model: type[BaseModel], above: str) -> Iterator[str]:
    """A table of the settings of a section, and of those below it."""
    yield f"{'###' if above else '##'} {title}"
    yield ""
    yield str(model.__doc__).partition("\n")[0]
    yield ""
    yield "| setting | default | allowed | |"
    yield "| --- | --- | --- | --- |"
    below = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            below[name] = field.annotation
            continue
        info = field_info(model, name)
        unit = f" {info.unit}" if info.unit else ""
        default = "none" if info.default is None else f"{info.default}{unit}"
        yield f"| `{above}{name}` | {default} | {info.limits} | {info.help} |"
    yield ""
    for name, section in below.items():
        yield from _table(f"`{above}{name}`", section, f"{above}{name}.")


def main() -> int:
    """Write the pages, or with ``--check`` only compare them."""
    from napari_fewshot.cli import build_parser

    pages = {"cli.md": render(build_parser()), "settings.md": f"{settings().rstrip()}\n"}
    stale = []
    for name, text in pages.items():
        page = FOLDER / name
        if "--check" not in sys.argv[1:]:
            page.write_text(text, encoding="utf-8")
        elif not page.is_file() or page.read_text(encoding="utf-8") != text:
            stale.append(f"docs/{name}")
    if stale:
        print(f"stale: {', '.join(stale)}; run python docs/generate_cli.py")
    return len(stale) and 1


if __name__ == "__main__":
    sys.exit(main())

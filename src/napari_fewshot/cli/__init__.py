"""The command line: ``napari-fewshot``.

A command is a module, listed in ``COMMANDS``, with ``NAME``, ``HELP``, ``EXAMPLE``,
``add_arguments`` and ``run``; its help begins with the example, and its docstring is the
description there.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, TextIO

from .. import __version__
from ..errors import Cancelled
from ..memory import limited_memory
from .reporting import BAD_INPUT, CRASHED, HOW_TO_REPORT, in_one_line

__all__ = ["build_parser", "main"]

COMMANDS = (
    "demo",
    "backbones",
    "train",
    "predict",
    "finetune",
    "refine",
    "compare_refinement",
    "sam",
    "objects",
    "measure",
    "evaluate",
    "benchmark",
    "info",
    "export",
    "doctor",
)
INTERRUPTED = 130
_LONGEST = 500
"""Characters of a message about arguments, whatever was given."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line; its help begins with an example."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.register("type", Path, _path)

    def format_help(self) -> str:
        example = self.get_default("example")
        text = super().format_help()
        return f"example: {example}\n\n{text}" if example else text

    def error(self, message: str) -> NoReturn:
        if len(message) > _LONGEST:
            message = f"{message[:_LONGEST]}..."
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _path(text: str) -> Path:
    """Take a path; nothing (an unset variable of a script) would be the folder that one is in."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return Path(text)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``napari-fewshot`` and its commands."""
    parser = _Parser(
        prog="napari-fewshot",
        description="Paint a few slices, label the rest of the volume and other volumes.",
    )
    parser.set_defaults(example="napari-fewshot demo")
    parser.add_argument("--version", action="version", version=f"napari-fewshot {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for name in COMMANDS:
        module = import_module(f".{name}", __name__)
        command = commands.add_parser(module.NAME, help=module.HELP, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run, example=module.EXAMPLE)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns
    -------
    int
        0 when all outputs are written; 2 for bad input, told in one line; 1 after a fault of this
        program, with a traceback and how to report it; 130 when interrupted.
    """
    _let_streams_take_all()
    options = build_parser().parse_args(arguments)
    try:
        with limited_memory("--max-memory", getattr(options, "max_memory", None)):
            result: int = options.run(options)
        sys.stdout.flush()  # a full disk, or a reader that went away, shows here
    except (Cancelled, KeyboardInterrupt):
        print(
            "napari-fewshot: interrupted. Features that were stored are kept; the same command "
            "goes on from there. No output was left half-written.",
            file=sys.stderr,
        )
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        _give_up(sys.stdout)
        return CRASHED
    except Exception as error:
        if isinstance(error, OSError):
            _give_up(sys.stdout)
        message = in_one_line(error)
        if message is None:
            traceback.print_exc()
            print(f"napari-fewshot: {HOW_TO_REPORT}", file=sys.stderr)
            return CRASHED
        print(f"napari-fewshot: {message}", file=sys.stderr)
        return BAD_INPUT
    return result


def _let_streams_take_all() -> None:
    """Make standard streams take any text: what they cannot encode is written as an escape.

    A name in Chinese must not end a run whose output goes to a file on a Western Windows.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller, or a program without a console
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif getattr(stream, "errors", "") in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def _give_up(stream: TextIO) -> None:
    """Flush a stream; where that fails, let what is left go, so that the end does not fail too."""
    try:
        stream.flush()
    except OSError:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except (OSError, ValueError):
            stream.close()

"""The reference of the command line matches its parser."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest


@pytest.fixture
def generator(repository) -> ModuleType:
    spec = spec_from_file_location("generate_cli", repository / "docs" / "generate_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_fresh(repository):
    run = subprocess.run(
        [sys.executable, repository / "docs" / "generate_cli.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_argument_is_written_down(generator):
    parser = argparse.ArgumentParser(prog="tool")
    below = parser.add_subparsers()
    train = below.add_parser("train", description="Learn.")
    train.add_argument("image", nargs="+", help="what to learn from")
    train.add_argument("--window", nargs=2, metavar=("LO", "HI"), help="grey values")
    train.add_argument(
        "--plane", choices=["axial", "coronal"], default="axial", help="(%(default)s)"
    )
    train.add_argument("-o", "--out", required=True, metavar="MODEL", help="file to write.")
    train.add_argument("--fast", action="store_true", help="hurry")
    train.add_argument("--secret", help=argparse.SUPPRESS)
    text = generator.render(parser)
    assert text.index("## tool train") < text.index("Learn.") < text.index("`IMAGE...`")
    assert "`--window LO HI`\n: grey values\n" in text
    assert "`--plane axial|coronal`\n: (axial)\n" in text
    assert "`-o, --out MODEL`\n: file to write. Required.\n" in text
    assert "`--fast`\n: hurry\n" in text
    assert "secret" not in text

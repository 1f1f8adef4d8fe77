"""What a shell sees: exit statuses, one line for an error, interruption."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from napari_fewshot import __version__
from napari_fewshot.cli import backbones, build_parser
from napari_fewshot.errors import Cancelled, FewShotError, InputError

from .conftest import files_below

COMMANDS = ("demo", "backbones", "train", "predict", "evaluate")
SLOW = ("--set", "contrastive.steps=1000000", "--no-score", "--no-store")


def python_m(*arguments, **options):
    command = [sys.executable, "-m", "napari_fewshot", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_python_m_is_the_command():
    run = python_m("--version")
    assert run.communicate() == (f"napari-fewshot {__version__}\n", "")
    assert run.returncode == 0


def test_help_lists_the_commands(run):
    said = run("--help")
    assert said.code == 0
    for name in COMMANDS:
        assert f"\n    {name}" in said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(run, command):
    said = run(command, "--help")
    assert said.code == 0
    assert said.out.startswith(f"example: napari-fewshot {command}")
    assert f"\nusage: napari-fewshot {command}" in said.out
    assert said.err == ""


def leaves(parser):
    """Commands that have no commands below them."""
    below = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    found = [leaf for choices in below for one in choices.values() for leaf in leaves(one)]
    return found or [parser]


@pytest.mark.parametrize("command", leaves(build_parser()), ids=lambda command: command.prog)
def test_help_begins_with_an_example_that_is_a_command(command):
    example = command.get_default("example")
    assert command.format_help().startswith(f"example: {example}\n")
    assert example.startswith(command.prog)
    assert callable(build_parser().parse_args(shlex.split(example)[1:]).run)


@pytest.mark.parametrize(
    "line",
    [
        "demo",
        "demo --out DIR",
        "backbones",
        "train --image I --labels L --image I2 --labels L2 -o M",
        "train --image I --labels L --points P.csv -o M",
        "train --image I --labels L --backbone B --weights W --adapter A --preset published "
        "--template dense --axis auto --window -160 240 --spacing 1.5 --device cpu --seed 3 -o M",
        "train --image I --labels L --template scribble --background 9 --axis 2 -o M",
        "predict M I J K -o OUT",
        "predict M I -o OUT --weights W --confidence --landmarks",
        "evaluate --pred P --truth T",
        "evaluate --pred P --truth T --exclude-slices-of L --json F",
    ],
)
def test_contract_of_the_options(line):
    options = build_parser().parse_args(line.split())
    assert callable(options.run)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "segment",
        "train",
        "train --image I -o",
        "predict M",
        "predict M -o OUT",
        "evaluate --pred P",
        "train --image I --labels L -o M --preset best",
        "train --image I --labels L -o M --unknown",
        "train --image I --labels L -o ''",
        "predict '' I -o OUT",
    ],
)
def test_bad_arguments_are_one_line(run, line):
    said = run(*shlex.split(line))
    assert said.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "--help" in said.err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("axis", "be 0", 3), 2, "napari-fewshot: --axis must be 0; got 3.\n"),
        (FewShotError("two\nlines"), 2, "napari-fewshot: two lines\n"),
        (
            OSError(28, "No space left on device", "out"),
            2,
            "napari-fewshot: No space left on device: out\n",
        ),
        (
            RecursionError("maximum recursion depth exceeded"),
            2,
            "napari-fewshot: An input is nested too deeply (lists within lists). Give simpler "
            "settings or files.\n",
        ),
        (
            UnicodeEncodeError("ascii", "\u809d.nii", 0, 1, "ordinal not in range"),
            2,
            "napari-fewshot: A name or text cannot be encoded: '\\u809d.nii' (ordinal not in "
            "range). Rename the file.\n",
        ),
        (
            InputError("labels", "be one", "\x1b[31mred\u2028"),
            2,
            "napari-fewshot: --labels must be one; got \\x1b[31mred .\n",
        ),
        (Cancelled(), 130, None),
        (KeyboardInterrupt(), 130, None),
    ],
)
def test_errors_end_in_a_status_and_a_line(run, monkeypatch, error, code, line):
    def fail(options):
        raise error

    monkeypatch.setattr(backbones, "run", fail)
    said = run("backbones")
    assert said.code == code
    assert said.err.count("\n") == 1
    assert said.err == line or (line is None and "interrupted" in said.err)


def test_faults_of_ours_are_not_hidden_and_can_be_reported(run, monkeypatch):
    def fail(options):
        raise ZeroDivisionError

    monkeypatch.setattr(backbones, "run", fail)
    said = run("backbones")
    assert said.code == 1
    assert said.err.startswith("Traceback")
    assert "\nZeroDivisionError\n" in said.err
    assert said.err.splitlines()[-1].startswith("napari-fewshot: This is a fault of the program.")
    assert "/issues" in said.err


def test_a_reader_that_goes_away_is_no_fault():
    read, write = os.pipe()
    os.close(read)
    run = subprocess.run(
        [sys.executable, "-m", "napari_fewshot", "backbones"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    os.close(write)
    assert run.returncode == 1
    assert run.stderr == ""


def interrupt(process, seconds):
    """Ctrl-C after a while; the exit status and the errors."""
    time.sleep(seconds)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, errors


def wait_for_training(log):
    """Wait until the command says that it trains."""
    until = time.monotonic() + 120
    while "training" not in log.read_text() and time.monotonic() < until:
        time.sleep(0.1)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a process on Windows")
def test_interrupted_training_leaves_nothing(patients, tmp_path):
    """SIGINT in the middle of the training: status 130, one line, no file."""
    one, log = patients[0], tmp_path / "log"
    program = (
        # A process that was started in the background may have been told to ignore SIGINT.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys, napari_fewshot.cli.train as t\n"
        "class Told(t.ProgressBars):\n"
        "    def __call__(self, done, total, what):\n"
        f"        open({str(log)!r}, 'a').write(what + '\\n')\n"
        "t.ProgressBars = Told\n"
        "from napari_fewshot.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    log.touch()
    out = tmp_path / "out"
    arguments = ["train", "--image", one.image, "--labels", one.painted, *SLOW]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments), "-o", str(out / "model")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_training(log)
    code, errors = interrupt(process, 0.1)
    assert code == 130, errors
    assert errors.count("\n") == 1
    assert "interrupted" in errors
    assert not out.exists() or files_below(out) == []

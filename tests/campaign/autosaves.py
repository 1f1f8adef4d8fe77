"""The viewer's autosave, killed at random moments: what is opened again is one moment of it.

``python -m campaign.autosaves FOLDER`` starts a process for each number that it reads, and waits
for its end. That one saves one state after the other from the number on, in which every part of a
session tells the same number, and prints its process's id, then each number when it is saved.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (7, 16, 12)
ROUND = 3
"""A state changes every third slice."""
MOST_STROKES = 5
ENDED = b"ended\n"


@dataclass(frozen=True)
class Numbered:
    """Stands for a model: a file with a number."""

    number: int
    base_: None = None
    """What it goes on from."""

    def save(self, path: Path) -> None:
        """Write it as models are written."""
        from napari_fewshot.io.outputs import replacing

        with replacing(path) as temporary:
            temporary.write_text(str(self.number), "utf-8")


def killed_saves(folder: Path, seed: int, kills: int) -> str | None:
    """Kill a process that saves, open what is there, go on; a line where it is not one moment."""
    command = [sys.executable, "-m", "campaign.autosaves", str(folder)]
    # One log for all, that no pipe fills.
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=Path(__file__).parents[1],
        )
        with server:
            fault = _kill_saves(folder, seed, kills, server)
            server.kill()
        log.seek(0)
        said = log.read().decode(errors="replace")[-500:]
    return f"autosave, seed {seed}: {fault or ''}: {said}" if fault or said else None


def _kill_saves(folder: Path, seed: int, kills: int, server: subprocess.Popen[bytes]) -> str | None:
    dice, number = random.Random(f"autosave {seed}"), 0
    for kill in range(kills):
        server.stdin.write(f"{number + 1}\n".encode())
        server.stdin.flush()
        saver, told = server.stdout.readline(), server.stdout.readline()
        if not told.strip().isdigit():
            return f"kill {kill}: nothing was saved"
        time.sleep(dice.uniform(0.0, 0.3))
        os.kill(int(saver), signal.SIGKILL)
        for line in iter(server.stdout.readline, ENDED):
            told = line
        try:
            number = _number_of(folder)
        except Exception as error:
            return f"kill {kill}: {type(error).__name__}: {error}"
        if number not in (int(told), int(told) + 1):
            return f"kill {kill}: opened as it was at {number}, saved at {int(told)}"
    return None


def _number_of(folder: Path) -> int:
    """Number of the state in a folder; an error where its parts tell several."""
    from napari_fewshot._napari.session.autosave.folder import read_autosave

    content = read_autosave(folder)
    number = int(content["number"])
    template, result = content["layers"]
    planes, strokes, confidence = _state(number)
    np.testing.assert_array_equal(template["data"], planes)
    np.testing.assert_array_equal(result["data"], planes[::-1])
    np.testing.assert_array_equal(result["confidence"], confidence)
    assert result["stroke_planes"].keys() == strokes.keys()
    for key, plane in strokes.items():
        np.testing.assert_array_equal(result["stroke_planes"][key], plane)
    assert content["points"] == [{"number": number}]
    (scores,) = content["slice_scores"]
    assert {int(one.descriptor[0]) for one in scores.scores} == {number}
    assert int(content["model"].read_text("utf-8")) == number
    return number


def _state(number: int) -> tuple[np.ndarray, dict[tuple[int], np.ndarray], np.ndarray]:
    """Voxels, strokes and confidence of a state."""
    last = [max(0, number - (number - k) % ROUND) for k in range(SHAPE[0])]
    planes = np.zeros(SHAPE, np.uint16)
    planes += (np.array(last, np.uint16) % 1000)[:, None, None]
    count = number % (MOST_STROKES + 1)
    strokes = {
        (k,): np.full(SHAPE[1:], number % 1000, np.int32) for k in range(MOST_STROKES - count, 5)
    }
    return planes, strokes, (planes % 100 / np.float32(128)).astype(np.float32)


def _sessions(first: int) -> Iterator[tuple[int, Any]]:
    """States of a session from a number on, with layers of napari."""
    from napari.layers import Image, Labels

    from napari_fewshot._napari.session.autosave.folder import SavedLayer, SavedSession
    from napari_fewshot._napari.session.autosave.parts import SavedScores, about_image
    from napari_fewshot._napari.session.slicing import Slicing
    from napari_fewshot._napari.session.teaching import Provenance
    from napari_fewshot.predict.suggestion import SliceScore

    image = Image(np.zeros(SHAPE, np.uint8), name="image")
    template, result = Labels(np.zeros(SHAPE, np.uint16)), Labels(np.zeros(SHAPE, np.uint16))
    confidence = Image(np.zeros(SHAPE, np.float32))
    Provenance(template, Slicing(SHAPE, 0), is_result=False)
    known = Provenance(result, Slicing(SHAPE, 0), is_result=True)
    number = first
    while True:
        planes, strokes, sure = _state(number)
        template.data[...], result.data[...] = planes, planes[::-1]
        confidence.data[...] = sure
        known.from_json(known.to_json(), strokes)
        score = SliceScore(0, 0.5, np.full(4, number, np.float32))
        layers = [
            SavedLayer(template, image, "template"),
            SavedLayer(result, image, "result", confidence=confidence),
        ]
        scores = [SavedScores(about_image(image), (), 0, (score,))]
        more = {"number": number}
        yield number, SavedSession(layers, [more], scores, more, Numbered(number))
        number += 1


def save_once(folder: Path) -> None:
    """Save one state."""
    from napari_fewshot._napari.session.autosave.folder import Autosave

    Autosave(folder).write(next(_sessions(1))[1])


def main(folder: Path) -> None:
    """Start a process for each number; each saves without an end."""

    for line in sys.stdin.buffer:
        saver = os.fork()
        if not saver:
            _save(folder, int(line))
        os.waitpid(saver, 0)
        sys.stdout.buffer.write(ENDED)
        sys.stdout.flush()


def _save(folder: Path, first: int) -> None:
    from napari_fewshot._napari.session.autosave.folder import Autosave

    print(os.getpid(), flush=True)
    autosave = Autosave(folder)
    autosave.is_mine = True
    for number, session in _sessions(first):
        autosave.write(session)
        print(number, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Changes of bytes, by a seed: flipped bits, cuts, other numbers, parts in other places."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path

EXTREMES = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\n",
    b"\0" * 8,
    b"\xff" * 8,
    b"\x7f" + b"\xff" * 7,
)
NUMBERS = (b"0", b"-1", b"1e999", b"nan", b"99999999999", b"9" * 5000, b"0.5", b"4294967296")
TEXTS = (
    b"../../etc/passwd",
    b"/etc/passwd",
    b"%s%n",
    b"\x1b[31m",
    b"=1+1",
    b"<script>",
    b"[" * 5000,
)


def mutated(content: bytes, seed: int) -> bytes:
    """Content with one to four changes."""
    dice = random.Random(seed)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        content = dice.choice(CHANGES)(content, dice)
    return content


def mutate_tree(source: Path, target: Path, seed: int) -> None:
    """Copy a file, or a folder of which one file is changed, or missing."""
    dice = random.Random(f"tree {seed}")
    if source.is_file():
        target.write_bytes(mutated(source.read_bytes(), seed))
        return
    shutil.copytree(source, target)
    one = dice.choice(sorted(path for path in target.rglob("*") if path.is_file()))
    if dice.random() < 0.05:
        one.unlink()
    else:
        one.write_bytes(mutated(one.read_bytes(), seed))


def _flip(content: bytes, dice: random.Random) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    # Headers are small, and matter most.
    end = len(content) if dice.random() < 0.5 else min(len(content), 1024)
    changed[dice.randrange(end)] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _cut(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(len(content) + 1)]


def _put(content: bytes, dice: random.Random) -> bytes:
    place, new = dice.randrange(len(content) + 1), dice.choice(EXTREMES)
    return content[:place] + new + content[place + len(new) :]


def _insert(content: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(len(content) + 1)
    return content[:place] + dice.choice((*EXTREMES, *TEXTS)) + content[place:]


def _repeat(content: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(content) + 1)
    part = content[start : start + dice.randrange(1, 200)]
    return content[:start] + part * dice.choice((2, 20)) + content[start + len(part) :]


def _zero(content: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(content) + 1)
    part = content[start : start + dice.randrange(1, 200)]
    return content[:start] + bytes(len(part)) + content[start + len(part) :]


def _number(content: bytes, dice: random.Random) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content[:20000]))
    if not found:
        return _flip(content, dice)
    one = dice.choice(found)
    return content[: one.start()] + dice.choice(NUMBERS) + content[one.end() :]


def _word(content: bytes, dice: random.Random) -> bytes:
    found = list(re.finditer(rb"[A-Za-z_]{3,}", content[:20000]))
    if not found:
        return _flip(content, dice)
    one, other = dice.choice(found), dice.choice((*TEXTS, dice.choice(found)[0]))
    return content[: one.start()] + other + content[one.end() :]


CHANGES = (_flip, _flip, _flip, _cut, _put, _insert, _repeat, _zero, _number, _number, _word)

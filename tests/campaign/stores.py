"""Several processes on one feature store, one of which is killed now and then.

``python -m campaign.stores FOLDER SEED`` is one of them: it puts, gets, prunes and clears until it
is killed, and ends with a traceback where it is given features of another slice.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SIGNATURE = json.dumps({"backbone": "timm:vit/tiny?"})
KEYS = [hashlib.sha1(str(k).encode()).hexdigest() for k in range(20)]
PROCESSES = 3


def shared_store(folder: Path, seed: int, seconds: float) -> str | None:
    """Let processes work on a store; a line where one of them failed."""
    folder.mkdir(parents=True)
    dice, number = random.Random(seed), 0
    running: list[subprocess.Popen[bytes]] = []
    end = time.monotonic() + seconds
    fault = None
    try:
        while time.monotonic() < end and fault is None:
            while len(running) < PROCESSES:
                running.append(_started(folder, 1000 * seed + number))
                number += 1
            time.sleep(dice.uniform(0.1, 0.5))
            for one in [one for one in running if one.poll() is not None]:
                running.remove(one)
                fault = one.stderr.read().decode(errors="replace")[-500:]
            if dice.random() < 0.2 and time.monotonic() < end - 1 and running:
                killed = running.pop(0)
                killed.kill()
                killed.communicate()
    finally:
        for one in running:
            one.kill()
            one.communicate()
    if fault is None:
        return _wrong(folder)
    return f"store, seed {seed}: {fault}"


def _started(folder: Path, seed: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "campaign.stores", str(folder), str(seed)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, cwd=Path(__file__).parents[1])


def _wrong(folder: Path) -> str | None:
    from napari_fewshot.features.store import FeatureStore

    store = FeatureStore(folder)
    found = {key: store.get(SIGNATURE, key) for key in KEYS}
    return next((f"store: {key}" for key, one in found.items() if not _is_right(key, one)), None)


def _features(key: str) -> np.ndarray:
    return np.random.default_rng(int(key[:8], 16)).standard_normal((8, 9, 7)).astype(np.float32)


def _is_right(key: str, found: object) -> bool:
    """Whether features are those of the key; None: they would be computed again."""
    return found is None or np.array_equal(found.data, _features(key).astype(np.float16))


def main(folder: Path, seed: int) -> None:
    """Work on the store without an end."""
    from napari_fewshot.errors import FewShotError
    from napari_fewshot.features.store import FeatureStore, pack
    from napari_fewshot.types import FeatureMap

    dice = random.Random(seed)
    store = FeatureStore(folder, limit_gb=1e-4)
    while True:
        keys = dice.sample(KEYS, 3)
        what = dice.choices(("put", "get", "prune", "clear"), (10, 10, 2, 1))[0]
        try:
            if what == "put":
                maps = {key: FeatureMap(_features(key), (90, 70), (90.0, 70.0)) for key in keys}
                store.put(SIGNATURE, {key: pack(one) for key, one in maps.items()})
            elif what == "get":
                assert all(_is_right(key, store.get(SIGNATURE, key)) for key in keys)
            elif what == "prune":
                store.prune()
            else:
                store.clear()
        except FewShotError as error:  # another one was faster, again and again
            if "cannot be replaced" not in str(error) and "could not be written" not in str(error):
                raise


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

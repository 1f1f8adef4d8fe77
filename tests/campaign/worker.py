"""Reads one file after the other in a process of its own, which may crash or hang.

A line of JSON with ``kind`` and ``path`` comes in, one with the outcome goes out.
"""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from pathlib import Path

MEMORY = 6 * 2**30


def main(folder: Path) -> None:
    """Answer until the input ends."""
    from napari_fewshot.errors import FewShotError

    from .corpus import digest_of, make_corpus

    answers = sys.stdout
    sys.stdout = sys.stderr
    warnings.simplefilter("ignore")
    kinds = {kind.name: kind for kind in make_corpus(folder)}
    whole = {name: digest_of(kind.read(kind.path)) for name, kind in kinds.items()}
    _limit_memory()
    listed = [[name, str(kind.path)] for name, kind in kinds.items()]
    print(json.dumps(listed), file=answers, flush=True)
    for line in sys.stdin:
        name, path = json.loads(line)
        kind = kinds[name]
        try:
            content = kind.read(Path(path))
            same = content is None or digest_of(content) == whole[name]
            outcome = "read" if same else "read as another" if kind.sealed else "read otherwise"
            words = ""
        except FewShotError as error:
            words = str(error)
            outcome = "refused" if "\n" not in words and len(words) < 3000 else "long message"
        except BaseException as error:
            outcome = f"{type(error).__name__}"
            words = traceback.format_exc(limit=-3)
        print(json.dumps([outcome, words]), file=answers, flush=True)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

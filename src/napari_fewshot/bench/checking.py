"""What is wrong with a configuration is said before the first method is run."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path

from ..device import choose_device
from ..errors import FewShotError, InputError, UnknownNameError
from .config import BenchmarkConfig, MethodConfig
from .execute import method_context
from .methods import METHODS
from .plan import Fit, Selection
from .prepare import PreparedCase, prepare_case
from .templates import CaseAreas, too_many_shots

__all__ = ["CaseCheck", "check_case", "check_methods", "check_shots", "missing_modules"]

_MIN_WORD = 4
"""Letters of a word that can be misspelt; shorter ones are sides and numbers."""


@dataclass(frozen=True)
class CaseCheck:
    """What looks wrong in a case, and its size on the grid that methods see; 0 if it is unknown."""

    warnings: tuple[str, ...]
    slices: int = 0
    pixels: int = 0


def missing_modules(method: MethodConfig) -> list[str]:
    """Modules that a method needs and that are not installed."""
    return [name for name in METHODS.get(method.method).needs if find_spec(name) is None]


def check_methods(config: BenchmarkConfig, folder: Path) -> None:
    """Check the device, and names and settings of all methods.

    Weights and modules that are missing are no fault of the configuration: those methods fail
    when their turn comes, and the others are run.
    """
    choose_device(config.device)
    for number, method in enumerate(config.methods, start=1):
        try:
            entry = METHODS.get(method.method)
            if not missing_modules(method):
                fit = Fit(method, 1, config.seeds_of(method)[0], ())
                entry.make(method.settings, method_context(config, fit, folder))
        except InputError as error:
            parameter = f"methods[{number}] ({method.name}): {error.parameter}"
            raise InputError(parameter, error.constraint, error.given, error.remedy) from None
        except FewShotError:
            continue


def check_shots(config: BenchmarkConfig, selection: Selection) -> None:
    """Check that the pool has as many cases as are drawn from it."""
    how = config.templates
    if how.scope != "across" or how.choice != "cases":
        return
    most = len(selection.pool)
    for number, method in enumerate(config.methods, start=1):
        for shot in config.shots_of(method):
            if shot != "all" and shot > most:
                own = f"methods[{number}] ({method.name}): " if method.shots else ""
                raise too_many_shots(shot, most, own)


def check_case(config: BenchmarkConfig, selection: Selection) -> CaseCheck:
    """Hold names, axis and shots against the first case that is scored.

    Other cases may have other labels, so that what looks wrong there need not be. What is surely
    wrong raises: a name that is misspelt, or that nothing stands for.
    """
    case = selection.scored[0]
    landmarks = config.landmarks
    update: dict[str, object] = {}
    if landmarks is not None:  # names as they are in the file
        update["landmarks"] = landmarks.model_copy(update={"use": None})
        update["labels"] = config.labels.model_copy(update={"join": {}})
    try:
        found = prepare_case(case, config.model_copy(update=update))
    except InputError as error:
        if error.parameter in ("labels.use", "labels.join") and _surely_wrong(error, config):
            raise
        return CaseCheck((f"case {case.name}: {error}",))
    except Exception as error:  # a file that cannot be read fails as its case, whatever is raised
        return CaseCheck((f"case {case.name}: {' '.join(str(error).split())}",))
    named = {**dict.fromkeys((landmarks and landmarks.use) or ()), **config.labels.joined}
    if landmarks is not None and named:
        warnings = _missing_landmarks(list(named), found)
    else:
        warnings = [*_missing_labels(config, found), *_large_shots(config, found)]
    voxels = math.prod(found.image.shape)
    return CaseCheck(tuple(warnings), found.slices, voxels // found.slices)


def _surely_wrong(error: InputError, config: BenchmarkConfig) -> bool:
    """Whether a name is a misspelt one of the file, or the configuration alone has the names."""
    known = error.known if isinstance(error, UnknownNameError) else ()
    if set(known) <= set(config.labels.names.values()):
        return True
    used = [one for one in config.labels.use or () if isinstance(one, str)]
    used += config.labels.joined
    return _misspelt(str(error.given), known, used)


def _missing_labels(config: BenchmarkConfig, case: PreparedCase) -> list[str]:
    here = ", ".join(map(str, case.areas)) or "no label that counts"
    absent = [value for value in case.listed if value not in case.areas]
    if config.labels.merge is None and absent:
        names = {} if case.truth is None else case.truth.names
        words = ", ".join(f"{v} ({names[v]})" if v in names else str(v) for v in absent)
        section = "labels.names" if config.labels.use is None else "labels.use"
        return [f"{section}: case {case.name} lacks {words}; it has {here}"]
    return [] if case.areas else [f"labels: case {case.name} has {here}"]


def _large_shots(config: BenchmarkConfig, case: PreparedCase) -> list[str]:
    if config.templates.scope != "within" or case.image.ndim == 2:
        return []
    labelled = len(CaseAreas.of(case).candidates())
    shots = {shot for method in config.methods for shot in config.shots_of(method)}
    large = sorted(shot for shot in shots if shot != "all" and shot >= labelled)
    if not large or not labelled:
        return []
    words = ", ".join(map(str, large))
    return [f"shots: case {case.name} has {labelled} labelled slices, and fails with {words}"]


def _missing_landmarks(use: Collection[str], case: PreparedCase) -> list[str]:
    names = list(dict.fromkeys(point.name for point in case.landmarks))
    missing = [name for name in use if name not in names]
    for name in missing:
        if _misspelt(name, names, use):
            raise UnknownNameError("landmarks.use", name, names)
    if not missing:
        return []
    here = ", ".join(names) or "none"
    return [f"landmarks.use: case {case.name} lacks {', '.join(missing)}; it has {here}"]


def _misspelt(name: str, known: Iterable[str], used: Collection[str]) -> bool:
    """Whether there is a name that was surely meant: it differs by a letter or two of a long word.

    Names that differ in a number or in a side are two names; so is one that is used beside it.
    """
    return any(other not in used and _near(name, other) for other in known)


def _near(name: str, other: str) -> bool:
    if name.casefold() == other.casefold():
        return name != other
    words, others = (re.findall(r"[^\W\d_]+|\d+", one.casefold()) for one in (name, other))
    differ = [(one, two) for one, two in zip_longest(words, others, fillvalue="") if one != two]
    if len(differ) != 1:
        return False
    one, two = differ[0]
    most = 1 if max(len(one), len(two)) < 2 * _MIN_WORD - 2 else 2
    return min(len(one), len(two)) >= _MIN_WORD and _edits(one, two) <= most


def _edits(one: str, two: str) -> int:
    """Letters to add, leave out or change (Levenshtein): infra- and supraspinatus differ by 3."""
    line = list(range(len(two) + 1))
    for row, letter in enumerate(one, start=1):
        above, line = line, [row]
        for column, other in enumerate(two, start=1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (letter != other)))
    return line[-1]

"""Tables of the accuracy benchmark out of its rows: pure, nothing is measured here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, stdev

from results import Row

DEFAULT, FOREST = "default", "forest"
CLEAR = 0.01
"""A difference of Dice that counts, where it is also above two standard errors."""
_LEAST_ERROR = 1e-6
_LEAST_SHARE = 1e-4
"""Of pixels, for a bin of confidence that is told."""

NAMES = {
    "fit_seconds": "fit, s",
    "seconds_per_slice": "s a slice",
    "memory_mb": "peak, MB",
}


@dataclass(frozen=True)
class Table:
    """Dice of each task and method, one value for each seed."""

    dice: Mapping[tuple[str, str], list[float]]

    @classmethod
    def of(cls, rows: Iterable[Row], key: str = "dice") -> Table:
        """Collect the rows that have a value."""
        found: dict[tuple[str, str], list[float]] = {}
        for row in rows:
            if row.get(key) is not None:
                found.setdefault((row["task"], row["method"]), []).append(row[key])
        return cls(found)

    @property
    def tasks(self) -> list[str]:
        """Tasks, those of one set together, by their shots."""
        sets = list(dict.fromkeys(split(task)[0] for task, _ in self.dice))
        every = {task for task, _ in self.dice}
        return sorted(every, key=lambda task: (sets.index(split(task)[0]), split(task)[1]))

    @property
    def methods(self) -> list[str]:
        """Methods, in the order of their first rows but for the default and the forest."""
        found = list(dict.fromkeys(method for _, method in self.dice))
        return sorted(found, key=lambda m: {DEFAULT: 0, FOREST: 1}.get(m, 2))

    def mean(self, task: str, method: str) -> float:
        """Mean over the seeds; NaN where there is none."""
        values = self.dice.get((task, method))
        return fmean(values) if values else math.nan

    def spread(self, task: str, method: str) -> float:
        """Standard deviation over the seeds; NaN of one seed."""
        values = self.dice.get((task, method), [])
        return stdev(values) if len(values) > 1 else math.nan

    def ratio(self, task: str, method: str) -> float:
        """Error (1 − mean Dice) over that of the forest; NaN where one is not measured."""
        error = 1 - self.mean(task, FOREST)
        return (1 - self.mean(task, method)) / max(error, _LEAST_ERROR)

    def ratios(self, method: str) -> dict[str, float]:
        """Ratio of each task that the method and the forest have."""
        found = {task: self.ratio(task, method) for task in self.tasks}
        return {task: ratio for task, ratio in found.items() if not math.isnan(ratio)}


def split(task: str) -> tuple[str, int]:
    """Set and shots of a task."""
    name, _, shots = task.rpartition("-")
    return name, int(shots)


def report(rows: Sequence[Row], tag: str | None = None) -> dict[str, list[str]]:
    """Lines of each section of the page, by its name."""
    table = Table.of(rows)
    if not table.dice:
        return {}
    return {
        "summary": _summary(rows, table, tag),
        "losses": _losses(table),
        "shots": _shots(rows),
        "ratio": _by_task(table, lambda task, method: _number(table.ratio(task, method), 2)),
        "dice": _by_task(table, lambda task, method: _with_spread(table, task, method)),
        "reliability": _reliability(rows, table.methods),
    }


def _summary(rows: Sequence[Row], table: Table, tag: str | None) -> list[str]:
    seeds = sorted({row["seed"] for row in rows})
    lines = [
        f"Version {tag or 'not said'}; {len(table.tasks)} tasks, "
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}.",
        "",
        "| method | tasks | mean Dice | error ratio: mean | worst | tasks above 1 | spread: mean "
        "| largest | ECE | " + " | ".join(NAMES.values()) + " |",
        "|---" * (9 + len(NAMES)) + "|",
    ]
    calibration = Table.of(rows, "ece")
    costs = [Table.of(rows, key) for key in NAMES]
    for method in table.methods:
        ratios = table.ratios(method)
        worst = max(ratios, key=lambda task: ratios[task], default=None)
        spreads = {t: s for t in table.tasks if not math.isnan(s := table.spread(t, method))}
        widest = max(spreads, key=lambda task: spreads[task], default=None)
        cells = [
            method,
            str(sum((task, method) in table.dice for task in table.tasks)),
            _number(_mean(table.mean(task, method) for task in table.tasks), 3),
            _number(_mean(ratios.values()), 2),
            "–" if worst is None else f"{ratios[worst]:.2f} ({worst})",
            f"{sum(ratio > 1 for ratio in ratios.values())} of {len(ratios)}",
            _number(_mean(spreads.values()), 3),
            "–" if widest is None else f"{spreads[widest]:.3f} ({widest})",
            _number(_mean(calibration.mean(t, method) for t in table.tasks), 3),
            *(
                _number(_mean(cost.mean(task, method) for task in table.tasks), digits)
                for cost, digits in zip(costs, (1, 2, 0), strict=True)
            ),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _losses(table: Table) -> list[str]:
    """Where the default is worse than the forest, or than any other method by a clear step."""
    if DEFAULT not in table.methods:
        return ["The default was not measured."]
    ratios = {task: ratio for task, ratio in table.ratios(DEFAULT).items() if ratio > 1}
    lines = [f"- Worse than the forest on {_listed(ratios, '×')}."]
    for method in table.methods:
        if method in (DEFAULT, FOREST):
            continue
        gains = {task: table.mean(task, method) - table.mean(task, DEFAULT) for task in table.tasks}
        gains = {task: gain for task, gain in gains.items() if gain > CLEAR}
        lines.append(f"- *{method}* is better by more than {CLEAR} on {_listed(gains, '+')}.")
    return lines


def _listed(values: Mapping[str, float], sign: str) -> str:
    if not values:
        return "no task"
    order = sorted(values, key=lambda task: -values[task])
    shown = (f"{v:.2f} ×" if sign == "×" else f"+{v:.3f}" for v in (values[t] for t in order))
    return ", ".join(f"{task} ({value})" for task, value in zip(order, shown, strict=True))


def _shots(rows: Sequence[Row], method: str = DEFAULT) -> list[str]:
    """Dice of the default by the number of painted slices or images of each set."""
    rows = [row for row in rows if row["method"] == method]
    own, common = Table.of(rows), Table.of(rows, "dice_common")
    every = sorted({split(task)[1] for task in own.tasks})
    lines = [
        f"| set | scored | {' | '.join(map(str, every))} |",
        "|---" * (2 + len(every)) + "|",
    ]
    clear, open_ = [], []
    for name, group in groupby(own.tasks, key=lambda task: split(task)[0]):
        tasks = {split(task)[1]: task for task in group}
        if len(tasks) < 2:
            continue
        same = all((task, method) in common.dice for task in tasks.values())
        table = common if same else own
        values = {shots: table.dice[task, method] for shots, task in tasks.items()}
        marks = {shots: drop(values, shots) for shots in values}
        clear += [f"{name}-{shots}" for shots, mark in marks.items() if mark is True]
        open_ += [f"{name}-{shots}" for shots, mark in marks.items() if mark is None]
        cells = [f"{fmean(values[n]):.3f}{_MARKS[marks[n]]}" if n in values else "–" for n in every]
        scored = "slices in common" if same else "all others"
        lines.append(f"| {name} | {scored} | {' | '.join(cells)} |")
    if len(lines) == 2:
        return ["No set was measured with several numbers of shots."]
    lines += ["", f"Clearly worse than with less paint (↓): {', '.join(clear) or 'none'}."]
    if open_:
        lines.append(f"Worse, of one seed, so unknown whether clearly (?): {', '.join(open_)}.")
    return lines


_MARKS: dict[bool | None, str] = {True: " ↓", None: " ?", False: ""}


def drop(values: Mapping[int, Sequence[float]], shots: int) -> bool | None:
    """Whether a number of shots is clearly worse than a smaller one.

    ``values`` are the Dice of each seed, by the number of shots. Clearly: the means differ by more
    than :data:`CLEAR` and by more than two standard errors of their difference. None: by more than
    :data:`CLEAR`, but one seed does not tell the standard error.
    """
    found: bool | None = False
    for less in (n for n in values if n < shots):
        lost = fmean(values[less]) - fmean(values[shots])
        if lost <= CLEAR:
            continue
        pair = values[less], values[shots]
        if min(map(len, pair)) < 2:
            found = None
        elif lost > 2 * math.sqrt(sum(stdev(one) ** 2 / len(one) for one in pair)):
            return True
    return found


def _reliability(rows: Sequence[Row], methods: Sequence[str]) -> list[str]:
    """Share of right pixels by confidence; every row counts alike."""
    bins: dict[str, list[Sequence[Sequence[float]]]] = {}
    for row in rows:
        if row.get("reliability"):
            bins.setdefault(row["method"], []).append(row["reliability"])
    used = [method for method in methods if method in bins]
    if not used:
        return ["No confidence was measured."]
    lines = [f"| confidence | {' | '.join(used)} |", "|---" * (len(used) + 1) + "|"]
    count = len(bins[used[0]][0])
    for number in range(count):
        cells = []
        for method in used:
            pixels, _, right = (sum(one[number][k] for one in bins[method]) for k in range(3))
            share = pixels / len(bins[method])
            seen = share >= _LEAST_SHARE
            cells.append(f"{right / pixels:.2f} ({100 * share:.1f} %)" if seen else "–")
        if any(cell != "–" for cell in cells):
            lines.append(
                f"| {number / count:.2f}–{(number + 1) / count:.2f} | {' | '.join(cells)} |"
            )
    return lines


def _by_task(table: Table, cell: Callable[[str, str], str]) -> list[str]:
    methods = table.methods
    lines = [f"| task | {' | '.join(methods)} |", "|---" * (len(methods) + 1) + "|"]
    for task in table.tasks:
        lines.append(f"| {task} | {' | '.join(cell(task, method) for method in methods)} |")
    return lines


def _with_spread(table: Table, task: str, method: str) -> str:
    value, spread = table.mean(task, method), table.spread(task, method)
    return _number(value, 3) + ("" if math.isnan(spread) else f" ± {spread:.3f}")


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _mean(values: Iterable[float]) -> float:
    there = [value for value in values if not math.isnan(value)]
    return fmean(there) if there else math.nan

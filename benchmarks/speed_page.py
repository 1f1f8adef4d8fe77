"""Tables of the speed benchmark, for the page that holds them between marks."""

from __future__ import annotations

from typing import Any

TEXT = {
    "train to first slice": "train until the first slice is labelled",
    "train": "train",
    "predict all": "predict all",
    "train + predict all": "train, predict all",
    "extract": "extract all, features kept",
    "predict again": "predict again, features kept",
    "retrain": "retrain after a correction",
    "retrain + slice in view": "retrain, slice in view",
    "retrain + predict after correction": "correction → whole volume, features kept",
}


def tables(results: dict[str, Any], before: dict[str, Any]) -> dict[str, list[str]]:
    """Lines of each section that was measured, by its name."""
    found = {name: made(results[name]) for name, made in _MADE.items() if name in results}
    if "stages" in results:
        found["stages"] = _stages(results["stages"], before.get("stages"))
    return found


def _has(found: dict[str, Any], name: str) -> bool:
    """Whether a stage was measured: one of an earlier state may lack it."""
    return all(part in found["seconds"] for part in name.split(" + "))


def _seconds(found: dict[str, Any], name: str) -> float:
    return sum(found["seconds"][part] for part in name.split(" + "))


def _bare(found: dict[str, Any]) -> float:
    return min(found["bare"].values())


def _stages(found: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
    earlier = " before, s |" if before else ""
    lines = [
        f"{found['slices']} slices of {found['side']}², three labels, three painted slices; "
        f"{found['threads']} threads, medians of {found['runs']} processes.",
        "",
        f"| stage | s | × bare forward pass |{earlier}",
        f"|---|---|---|{'---|' if before else ''}",
        _row("bare forward pass", _bare(found), 1.0, before and _bare(before)),
    ]
    for name, title in TEXT.items():
        seconds = _seconds(found, name)
        old = _seconds(before, name) if before and _has(before, name) else None
        lines.append(_row(title, seconds, seconds / _bare(found), old))
    rate = found["operations"] * found["slices"] / _bare(found)
    scores = ", ".join(f"{value:.3f}" for value in found["dice"].values())
    lines += [
        "",
        f"Import {found['seconds']['import']:.2f} s, loading torch and the network "
        f"{found['seconds']['load']:.2f} s. The bare pass makes {rate:.0f} of the "
        f"{found['matrix_rate']:.0f} GFLOP/s of a product of matrices in the same process "
        f"({100 * rate / found['matrix_rate']:.0f} %). Dice of the labels: {scores}.",
    ]
    return lines


def _row(title: str, seconds: float, ratio: float, before: float | None) -> str:
    more = "" if before is None else f" {before:.2f} |"
    return f"| {title} | {seconds:.2f} | {ratio:.2f} |{more}"


def _busy(found: dict[str, Any]) -> list[str]:
    lines = ["| stage | idle, s | busy, s | ratio |", "|---|---|---|---|"]
    for name, title in TEXT.items():
        if not _has(found["idle"], name):
            continue
        idle, loaded = _seconds(found["idle"], name), _seconds(found["busy"], name)
        lines.append(f"| {title} | {idle:.2f} | {loaded:.2f} | {loaded / idle:.2f} |")
    same = {*found["idle"]["digests"], *found["busy"]["digests"]}
    return [*lines, "", f"The results {'are equal' if len(same) == 1 else 'differ'}, bit for bit."]


def _threads(found: dict[str, Any]) -> list[str]:
    rows = {name: row for name, row in found.items() if name != "machine"}
    lines = ["| threads | labels and confidence | with features kept |", "|---|---|---|"]
    lines += [f"| `{n}` | `{r['digest']}` | `{r['digest_again']}` |" for n, r in rows.items()]
    same = all(len({r[key] for r in rows.values()}) == 1 for key in ("digest", "digest_again"))
    return [*lines, "", f"{'All equal' if same else 'Not all equal'}."]


def _memory(found: dict[str, Any]) -> list[str]:
    lines = [
        "| | s | train, MB | predict, MB | of it anonymous, MB | whole process, MB |",
        "|---|---|---|---|---|---|",
    ]
    ratios = []
    for title, group in found.items():
        if title == "machine":
            continue
        for row in group["rows"]:
            size = f"{row['count']} megapixels, 2D" if title == "area" else ""
            size = size or f"{row['side']}² × {row['count']}"
            peaks = ("total train", "total predict", "anonymous predict", "whole")
            cells = " | ".join(f"{row[name]:.0f}" for name in peaks)
            lines.append(f"| {size} | {row['seconds']:.1f} | {cells} |")
        if len(group["rows"]) > 1 and group["last to first"]:
            ratios.append(f"{title}: {group['last to first']:.2f}")
    return [*lines, "", f"Peak of predict, last to first: {'; '.join(ratios) or 'not measured'}."]


def _larger(found: dict[str, Any]) -> list[str]:
    equal = found["equal_labels"] and found["equal_confidence"]
    return [
        f"A Zarr volume, {found['slices']} colour slices in float64, {found['volume_mb']:.0f} MB, "
        f"held to {found['limit_mb']} MB by {found['held_by']}: {found['seconds']:.0f} s, at most "
        f"{found['anonymous_mb']:.0f} MB anonymous and {found['peak_mb']:.0f} MB resident in all, "
        f"libraries included; in memory {found['seconds_in_memory']:.0f} s. Labels and confidence "
        f"{'are equal' if equal else 'differ'}, bit for bit.",
    ]


def _store(found: dict[str, Any]) -> list[str]:
    less = found["pixel_bytes"] / found["bytes"]
    return [
        f"A slice of a ViT-S at 512² takes {found['bytes'] / 1e6:.2f} MB on disk, {less:.0f} times "
        f"less than float32 at each pixel; it is read in {1e3 * found['reading']:.1f} ms and "
        f"computed in {1e3 * found['computing']:.0f} ms.",
    ]


def _start_up(found: dict[str, Any]) -> list[str]:
    base = found["python -c pass"]
    lines = ["| command | s | × Python's own start |", "|---|---|---|"]
    rows = {name: s for name, s in found.items() if name != "machine"}
    return [*lines, *(f"| `{n}` | {s:.3f} | {s / base:.1f} |" for n, s in rows.items())]


def _peers(found: dict[str, Any]) -> list[str]:
    columns = ("extract", "train", "predict", "retrain", "slice")
    lines = [
        f"{found['slices']} slices of {found['side']}², the same strokes on three slices. Seconds; "
        "in brackets how many slices were labelled, where the time of the others is scaled up.",
        "",
        "| | extract first | train | predict all | retrain | one slice | peak MB | Dice |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in found["rows"].items():
        why = row.get("missing") or row.get("failed")
        if why:
            lines.append(f"| {name} | not run: {why} |{' |' * 6}")
            continue
        cells = [f"{row['seconds'][c]:.2f}" if c in row["seconds"] else "–" for c in columns]
        title = f"{name} {row['version']}"
        if row["slices"] < found["slices"]:
            title += f" ({row['slices']})"
        score = "–" if row["random"] else f"{row['dice']:.3f}"
        lines.append(f"| {title} | {' | '.join(cells)} | {row['memory_mb']:.0f} | {score} |")
    return lines


def _gpu(found: dict[str, Any]) -> list[str]:
    if "skipped" in found:
        return [f"Not measured: {found['skipped']}."]
    lines = [
        f"{found['device']}, {found['precision']}: {found['matrix_rate'] / 1e3:.0f} TFLOP/s in a "
        f"product of matrices; slices of {found['side']}².",
        "",
        "| | slices a second | of the rate, network alone | of the rate, extraction |",
        "|---|---|---|---|",
    ]
    for name, row in found["rows"].items():
        network, whole = f"{100 * row['network']:.0f} %", f"{100 * row['extraction']:.0f} %"
        lines.append(f"| {name} | {row['slices a second']:.1f} | {network} | {whole} |")
    return lines


_MADE = {
    "start-up": _start_up,
    "busy": _busy,
    "threads": _threads,
    "memory": _memory,
    "larger": _larger,
    "store": _store,
    "peers": _peers,
    "gpu": _gpu,
}

"""Real files through train, predict and evaluate: what is right, refused, other, or fails.

``python benchmarks/real_files.py FOLDER... --results real.jsonl`` takes every image below the
folders (test data of installed packages, a collection of one's own). Each is read, and compared
with what another library reads: nibabel, tifffile, Pillow, or SimpleITK. Where it is not too large,
its brightest quarter is painted, learned, predicted and scored by the commands. A file is *right*,
*refused* (one line of bad input), one that *differs* from the other reading, or a *fault*. What the
results hold is not done again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from napari_fewshot.arrays import read
from napari_fewshot.cli import main as command
from napari_fewshot.errors import InputError
from napari_fewshot.io import read_volume, sniff_format, write_labels
from napari_fewshot.types import Array, Volume

ENDINGS = (
    ".nii", ".nii.gz", ".hdr", ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".dcm", ".nrrd", ".nhdr",
    ".mha", ".mhd", ".mgz", ".mnc", ".par", ".h5", ".gif", ".fits", ".bmp", ".czi", ".nd2", ".lif",
)  # fmt: skip
MOST_VOXELS = 3_000_000
QUICK = (
    "--backbone", "multiscale", "--adapter", "cosine", "--no-score", "--no-store",
    "--set", "experts.hand_made=false", "--set", "experts.carried=false",
)  # fmt: skip


def images_in(folder: Path) -> Iterator[Path]:
    """Files that look like images, in order."""
    for path in sorted(folder.rglob("*")):
        if path.name.lower().endswith(ENDINGS) and path.is_file():
            yield path


def other_reading(path: Path, volume: Volume) -> tuple[Array | None, Array | None]:
    """Values, in our order of axes, and affine, as another library reads them; None: not known."""
    kind = sniff_format(path).title
    if kind == "NIfTI":
        import nibabel

        image = nibabel.load(path)
        values = np.asarray(image.dataobj)
        if values.ndim > volume.ndim:
            return None, None
        order = np.eye(4)[:, [2, 1, 0, 3]]
        return values.T, image.affine @ order if volume.ndim == 3 else None
    if kind == "TIFF":
        import tifffile

        return np.squeeze(tifffile.imread(path)), None
    if kind in ("PNG", "JPEG"):
        from PIL import Image

        picture = Image.open(path)
        return np.asarray(picture), None
    if kind in ("NRRD", "MetaImage", "DICOM"):
        import SimpleITK

        image = SimpleITK.ReadImage(str(path))
        return np.squeeze(SimpleITK.GetArrayFromImage(image)), None
    return None, None


def compared(path: Path, volume: Volume) -> str:
    """What differs from another reading; empty if nothing does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values, affine = other_reading(path, volume)
    except Exception as error:  # what the other one cannot read
        return f"not compared: {type(error).__name__}"
    data = np.squeeze(read(volume.data))
    if values is None:
        return "not compared"
    values = np.squeeze(values)
    if values.shape != data.shape:
        return f"shape {data.shape}, elsewhere {values.shape}"
    if not np.allclose(data, values.astype(np.float64), rtol=1e-4, atol=1e-4, equal_nan=True):
        return "other values"
    if affine is not None and volume.affine is not None:
        factor = volume.spacing[2] / np.linalg.norm(affine[:3, 2])
        if not np.allclose(volume.affine[:3], affine[:3] * factor, rtol=1e-4, atol=1e-4):
            return "another affine"
    return ""


def through_commands(path: Path, volume: Volume, folder: Path) -> str:
    """Learn, label and score an image; the message of the step that fails, else nothing."""
    grey = np.asarray(read(volume.data), np.float64)
    grey = grey.mean(-1) if volume.has_channels else grey
    finite = grey[np.isfinite(grey)]
    if not finite.size or finite.min() == finite.max():
        return ""
    labels = (np.nan_to_num(grey) > np.quantile(finite, 0.75)).astype(np.uint8)
    if not labels.any():
        return ""
    paint, truth = folder / "paint_labels.nii.gz", folder / "truth.nii.gz"
    kept = np.zeros_like(labels)
    if volume.ndim == 3:
        middle = int(labels.sum((1, 2)).argmax())
        kept[middle] = labels[middle]
    else:
        kept = labels
    write_labels(paint, kept, volume)
    write_labels(truth, labels, volume)
    model, out = folder / "m.fewshot", folder / "out"
    said = step("train", "--image", path, "--labels", paint, "-o", model, "--axis", "0", *QUICK)
    said = said or step("predict", model, path, "-o", out, "--confidence", "--no-store")
    if said:
        return said
    (pred,) = (one for one in out.rglob("*_labels.*") if one.suffix != ".json")
    return step("evaluate", "--pred", pred, "--truth", truth)


def step(*arguments: object) -> str:
    """Run a command; its message where it does not end well."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command([str(one) for one in arguments])
    if code == 0:
        return ""
    lines = err.getvalue().strip().splitlines()
    return f"{arguments[0]} ended with {code}: {lines[-1] if lines else ''}"


def tried(path: Path) -> dict[str, str]:
    """What becomes of a file."""
    try:
        volume = read_volume(path)
        note = compared(path, volume)
    except InputError as error:
        return {"result": "refused", "note": str(error)}
    except Exception:
        return {"result": "fault", "note": traceback.format_exc().strip()}
    shown = f"{'x'.join(map(str, volume.data.shape))} {volume.data.dtype}"
    if note and not note.startswith("not compared"):
        return {"result": "differs", "note": f"{shown}: {note}"}
    if np.prod(volume.shape) > MOST_VOXELS:
        return {"result": "right", "note": f"{shown}, read only {note}"}
    with TemporaryDirectory() as folder:
        try:
            failed = through_commands(path, volume, Path(folder))
        except BaseException:
            return {"result": "fault", "note": traceback.format_exc().strip()}
    if failed:
        return {"result": "fault", "note": f"{shown}: {failed}"}
    return {"result": "right", "note": f"{shown} {note}".strip()}


def main() -> int:
    """Try files until the time is over, and print what became of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--results", type=Path, required=True, metavar="FILE.jsonl")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so many")
    parser.add_argument("--skip", nargs="*", default=[], metavar="WORD", help="paths to leave out")
    options = parser.parse_args()
    rows: dict[str, dict[str, str]] = {}
    if options.results.exists():
        for line in options.results.read_text("utf-8").splitlines():
            row = json.loads(line)
            rows[row["file"]] = row
    end = time.monotonic() + options.seconds
    left = 0
    for folder in options.folders:
        for path in images_in(folder):
            name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
            if name in rows or any(word in name for word in options.skip):
                continue
            if time.monotonic() > end:
                left += 1
                continue
            rows[name] = {"file": name, **tried(path)}
            with options.results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(rows[name]) + "\n")
    for name, row in rows.items():
        print(f"| {name} | {row['result']} | {row['note'].splitlines()[-1][:160]} |")
    counts = {one: sum(row["result"] == one for row in rows.values()) for one in KINDS}
    print(", ".join(f"{one}: {count}" for one, count in counts.items()), f"left: {left}")
    return int(counts["fault"] > 0)


KINDS = ("right", "refused", "differs", "fault")

if __name__ == "__main__":
    sys.exit(main())

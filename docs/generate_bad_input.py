"""Write the table of bad-input.md by giving each bad input to the command line.

Each one must end with exit status 2, one line on the error stream, and no file that was not there
before; else this script fails. Run it after a message changes; a test fails while the page is
stale. Of messages that quote a library, only our own words are kept.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import shlex
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

PAGE = Path(__file__).with_name("bad-input.md")
MARK = "<!-- The table is written by generate_bad_input.py; do not edit below. -->"
LIBRARY_WORDS = (" (Error while", "; got not a gzip", " CUDA devices here")

TRAIN = "train --image image.nii.gz --labels painted.nii.gz"
OUT = "-o new.fewshot"
CASES: dict[str, list[str]] = {
    "Files": [
        f"train --image none.nii.gz --labels painted.nii.gz {OUT}",
        f"train --image text.nii.gz --labels painted.nii.gz {OUT}",
        f"train --image cut.nii.gz --labels painted.nii.gz {OUT}",
        f"train --image zeiss.czi --labels painted.nii.gz {OUT}",
        f"train --image places.ome.tif --labels stack_labels.tif {OUT}",
        f"train --image time.nii.gz --labels painted.nii.gz {OUT}",
        f"{TRAIN} --max-memory 1e-6 {OUT}",
        f"train --image image.nii.gz --labels other.nii.gz {OUT}",
        f"train --image image.nii.gz --labels moved.nii.gz {OUT}",
        f"train --image image.nii.gz --labels fractions.nii.gz {OUT}",
        f"train --image image.nii.gz photo.png --labels painted.nii.gz photo_labels.png {OUT}",
        f"{TRAIN} --frame 3 {OUT}",
        f"train --image image.nii.gz --labels image.nii.gz {OUT}",
        f"{TRAIN} -o image.nii.gz",
        f"{TRAIN} -o image.nii.gz/new.fewshot",
        "predict model.fewshot image.nii.gz -o .",
        "predict model.fewshot image.nii.gz --region 9-99 -o out",
        "predict model.fewshot image.nii.gz --landmarks --tolerance 5 -o out",
        "predict model.fewshot image.nii.gz --tolerance 5% -o out",
        "predict model.fewshot image.nii.gz -o painted.nii.gz",
        "predict model.fewshot image.nii.gz -o image.nii.gz/out",
        "predict model.fewshot image.nii.gz -o ''",
        "predict model.fewshot '' -o out",
        "predict model.fewshot photo.png -o out",
        "predict model.fewshot image.nii.gz image.nii.gz -o out",
    ],
    "Fine-tuning": [
        "finetune --images 'none*.nii.gz' -o new.safetensors",
        "finetune --images text.nii.gz -o new.safetensors",
        "finetune --images empty.nii.gz -o new.safetensors",
        "finetune --images flat.tif -o new.safetensors",
        "finetune --images scan.tif slide.png -o new.safetensors",
        "finetune --images scan.tif -o new.pth",
        "finetune --images scan.tif -o foreign.safetensors",
        "finetune --images scan.tif --backbone multiscale -o new.safetensors",
        "finetune --images scan.tif --weights text.nii.gz -o new.safetensors",
        "finetune --images scan.tif --weights foreign.safetensors -o new.safetensors",
        "finetune --images scan.tif --probe-image scan.tif -o new.safetensors",
        "finetune --images scan.tif --config none.toml -o new.safetensors",
    ],
    "Templates": [
        f"train --image image.nii.gz {OUT}",
        f"train --image image.nii.gz --labels empty.nii.gz {OUT}",
        f"train --image image.nii.gz --labels empty.nii.gz --slices all {OUT}",
        f"{TRAIN} painted.nii.gz {OUT}",
        f"{TRAIN} --slices 3,99 {OUT}",
        f"{TRAIN} --slices 9-3 {OUT}",
        f"{TRAIN} --slices first {OUT}",
        f"{TRAIN} --known-labels 1 {OUT}",
        f"{TRAIN} --only 40 {OUT}",
        f"{TRAIN} --axis 3 {OUT}",
        f"train --image photo.png --labels photo_labels.png --axis front {OUT}",
        f"train --image stack.tif --labels stack_labels.tif --axis sagittal {OUT}",
        f"{TRAIN} --template scribble {OUT}",
        f"{TRAIN} --background 9 {OUT}",
        f"train --image image.nii.gz --points outside.csv {OUT}",
        f"train --image image.nii.gz --points nopoint.csv {OUT}",
        f"train --image image.nii.gz --points semicolons.csv {OUT}",
        f"train --image image.nii.gz --points nocolumn.csv {OUT}",
        f"{TRAIN} --points points.csv {OUT}",
    ],
    "Options": [
        f"{TRAIN} --window 240 -160 {OUT}",
        f"{TRAIN} --spacing 0 {OUT}",
        f"{TRAIN} --spacing 1e-9 {OUT}",
        f"{TRAIN} --isotropic {OUT}",
        f"{TRAIN} --seed -1 {OUT}",
        f"{TRAIN} --adapter cosin {OUT}",
        f"{TRAIN} --adapter sam-decoder {OUT}",
        f"{TRAIN} --backbone multscale {OUT}",
        f"{TRAIN} --set cosine.treshold=0.4 {OUT}",
        f"{TRAIN} --set contrastive.steps=0 {OUT}",
        f"{TRAIN} --set steps {OUT}",
        f"{TRAIN} --store-limit inf {OUT}",
        "predict model.fewshot image.nii.gz -o out --axis auto",
        "predict model.fewshot image.nii.gz -o out --set contrastive.steps=9",
        "evaluate --pred painted.nii.gz --truth points.csv",
        "evaluate --pred other.nii.gz --truth painted.nii.gz",
        "evaluate --pred painted.nii.gz --truth painted.nii.gz --json painted.nii.gz",
        "evaluate --pred points.csv --truth points.csv --labels 1",
        "evaluate --pred bare.csv --truth bare.csv",
        "demo --out image.nii.gz",
    ],
    "Refinement": [
        "predict model.fewshot image.nii.gz -o out --refine random-wlker",
        "predict model.fewshot image.nii.gz -o out --sam-weights image.nii.gz",
        "predict model.fewshot image.nii.gz -o out --refine auto --sam-weights image.nii.gz",
        "predict model.fewshot image.nii.gz -o out --refine random-walker "
        "--set propagation.refinement.method=sam-vit-b",
        "predict model.fewshot image.nii.gz -o out --refine sam-vit-b",
        "refine image.nii.gz other.nii.gz -o refined.nii.gz",
        "refine image.nii.gz painted.nii.gz -o painted.nii.gz",
        "refine image.nii.gz painted.nii.gz --confidence other.nii.gz -o refined.nii.gz",
        "refine image.nii.gz painted.nii.gz --confidence image.nii.gz -o refined.nii.gz",
        "refine image.nii.gz painted.nii.gz --set walker.prior_weight=0 -o refined.nii.gz",
        "compare-refinement image.nii.gz painted.nii.gz --truth painted.nii.gz "
        "--strategies sam-vit-b:bx -o out",
        "compare-refinement image.nii.gz painted.nii.gz --truth other.nii.gz "
        "--strategies random-walker -o out",
        "compare-refinement plot.png painted.nii.gz --truth painted.nii.gz -o .",
    ],
    "SAM": [
        "sam automatic none.png -o out",
        "sam automatic photo.png -o image.nii.gz",
        "sam automatic photo.png --sam sam-vit-x -o out",
        "sam automatic photo.png --set min_area=50 --set max_area=20 -o out",
        "sam automatic photo.png --min-area 0.6 -o out",
        "sam automatic photo.png --truth photo_labels.png -o .",
        "sam automatic photo.png --truth photo_labels.png photo_labels.png -o out",
        "sam automatic photo.png -o out",
        "sam automatic photo.png --sam-weights painted.nii.gz -o out",
        "sam automatic photo.png --sam-weights pickled.pth -o out",
        "sam automatic photo.png --sam-weights foreign.safetensors -o out",
        "sam boxes image.nii.gz -o out",
        "sam boxes image.nii.gz --labels painted.nii.gz --truth painted.nii.gz -o out",
        "sam boxes image.nii.gz image_labels.nii.gz --labels painted.nii.gz painted.nii.gz -o .",
        "sam persam image.nii.gz --reference image.nii.gz other.nii.gz -o out",
        "sam persam image.nii.gz --reference image.nii.gz empty.nii.gz -o out",
    ],
    "Objects and measurements": [
        "measure none.nii.gz -o table.csv",
        "measure painted.nii.gz -o table.txt",
        "measure painted.nii.gz --image other.nii.gz -o table.csv",
        "measure painted.nii.gz --image image.nii.gz image.nii.gz -o table.csv",
        "measure fractions.nii.gz -o table.csv",
        "measure photo_labels.png --unit mm -o table.csv",
        "measure painted.nii.gz --connectivity 4 -o table.csv",
        "measure painted.nii.gz -o points.csv",
        "objects painted.nii.gz -o painted.nii.gz",
        "objects painted.nii.gz empty.nii.gz -o new.nii.gz",
        "objects painted.nii.gz --label 40 -o new.nii.gz",
        "objects painted.nii.gz --neck 2 -o new.nii.gz",
        "objects painted.nii.gz --min-size 5cm3 -o new.nii.gz",
        "objects photo_labels.png --min-size 5um2 -o new.png",
        "objects painted.nii.gz --min-size 50 --max-size 20 -o new.nii.gz",
        "objects painted.nii.gz --image image.nii.gz --confidence image.nii.gz -o new.nii.gz",
        "objects painted.nii.gz --confidence image.nii.gz -o new.nii.gz",
        f"{TRAIN} --points points.csv --merge-labels {OUT}",
        f"{TRAIN} --merge-labels '' {OUT}",
    ],
    "Benchmarks": [
        "benchmark none.toml -o out",
        "benchmark text.toml -o out",
        "benchmark key.toml -o out",
        "benchmark value.toml -o out",
        "benchmark setting.toml -o out",
        "benchmark sound.toml --data none -o out",
        "benchmark sound.toml --only forrest -o out",
        "benchmark sound.toml --report-only -o out",
        "benchmark amos23 -o out",
    ],
    "Model files": [
        "predict none.fewshot image.nii.gz -o out",
        "predict image.nii.gz image.nii.gz -o out",
        "predict cut.fewshot image.nii.gz -o out",
        "predict foreign.safetensors image.nii.gz -o out",
        "predict newer.fewshot image.nii.gz -o out",
    ],
    "Weights, devices and store": [
        f"{TRAIN} --weights image.nii.gz {OUT}",
        f"{TRAIN} --backbone dinov2-s {OUT}",
        f"{TRAIN} --backbone dinov2-s --weights none.pth {OUT}",
        f"{TRAIN} --backbone dinov2-s --weights cut.safetensors {OUT}",
        f"{TRAIN} --backbone dinov2-s --weights foreign.safetensors {OUT}",
        f"{TRAIN} --device tpu {OUT}",
        f"{TRAIN} --device cuda:99 {OUT}",
        f"{TRAIN} --store image.nii.gz {OUT}",
    ],
}


def make_files() -> None:
    """Write sound and bad files into the working folder."""
    from dataclasses import replace

    import numpy as np
    from safetensors.numpy import load_file, save_file

    from napari_fewshot.cli import main
    from napari_fewshot.io import write_image, write_labels, write_points
    from napari_fewshot.phantoms import make_phantom, painted_labels
    from napari_fewshot.types import Volume

    one, other = make_phantom("joint", 0, (8, 24, 24)), make_phantom("joint", 1, (8, 24, 20))
    image, painted = one.image, painted_labels(one, (2, 5)).data
    names = one.labels.names
    write_image(Path("image.nii.gz"), image.data, image)
    write_labels(Path("painted.nii.gz"), painted, image, names)
    write_labels(Path("empty.nii.gz"), np.zeros_like(painted), image)
    write_labels(Path("other.nii.gz"), other.labels.data, other.image)
    affine = np.array(image.affine)
    affine[:3, 3] += 20
    shifted = replace(image, affine=affine, header=None)
    write_labels(Path("moved.nii.gz"), painted, shifted)
    write_image(Path("fractions.nii.gz"), painted / 2, image)
    whole = Path("image.nii.gz").read_bytes()
    Path("cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    Path("text.nii.gz").write_text("not an image\n", encoding="utf-8")
    _write_series(Path("time.nii.gz"), np.asarray(image.data, dtype=np.float32))
    photo = Volume(np.zeros((20, 24, 3), np.uint8), (1.0, 1.0), has_channels=True)
    _write_png(Path("photo.png"), photo.data)
    flat = np.zeros((20, 24), np.uint8)
    flat[5:9, 5:9] = 1
    _write_png(Path("photo_labels.png"), flat)
    _write_png(Path("plot.png"), flat)
    write_labels(Path("image_labels.nii.gz"), painted, image)
    stack = Volume(image.data, (1.0, 1.0, 1.0))
    write_image(Path("stack.tif"), stack.data, stack)
    write_labels(Path("stack_labels.tif"), painted, stack)
    _write_microscopy(image.data)
    write_points(Path("points.csv"), one.landmarks, image)
    _write_tables()
    arguments = shlex.split(f"{TRAIN} --adapter cosine --no-score --no-store -o model.fewshot")
    with contextlib.redirect_stdout(io.StringIO()):
        if main(arguments) != 0:
            raise SystemExit("the sound files gave no model")
    model = Path("model.fewshot").read_bytes()
    Path("cut.fewshot").write_bytes(model[: len(model) // 2])
    _write_weights()
    _write_configurations()
    newer = {"format": "napari-fewshot", "version": "99"}
    save_file(load_file("model.fewshot"), "newer.fewshot", newer)


def _write_tables() -> None:
    """Write tables of points, most of them bad ones."""
    for name, text in (
        ("outside", "name,label,z,y,x\ntip,1,5,200,3\n"),
        ("nopoint", "name,label,z,y,x\n"),
        ("semicolons", "name;label;z;y;x\ntip;1;5;2;3\n"),
        ("nocolumn", "name,label,z,y\ntip,1,5,2\n"),
        ("bare", "name,label,z,y,x\ntip,1,5,2,3\n"),
    ):
        Path(f"{name}.csv").write_text(text, encoding="utf-8")


def _write_microscopy(stack: object) -> None:
    """Write microscopy: two positions, a head that is not read, and files to fine-tune on."""
    import numpy as np
    import tifffile

    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    _write_png(Path("slide.png"), noise)
    tifffile.imwrite("scan.tif", np.stack([noise[..., 0]] * 6))
    tifffile.imwrite("flat.tif", np.zeros((6, 40, 40), np.uint8))

    with tifffile.TiffWriter("places.ome.tif", ome=True) as tif:
        for _ in range(2):
            tif.write(np.asarray(stack), metadata={"axes": "ZYX"})
    Path("zeiss.czi").write_bytes(b"ZISRAWFILE" + bytes(100))


def _write_weights() -> None:
    """Write files of weights: of another network, cut, and one with more than tensors."""
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros(3, np.float32)}, "foreign.safetensors")
    foreign = Path("foreign.safetensors").read_bytes()
    Path("cut.safetensors").write_bytes(foreign[:-2])
    settings = pickle.dumps({"settings": Namespace(rate=0.1)}, protocol=2)
    Path("pickled.pth").write_bytes(settings)


def _write_configurations() -> None:
    """Write a sound configuration of a benchmark, and bad ones."""
    Path("text.toml").write_text("shots = 3 or 5\n", encoding="utf-8")
    sound = (
        '[dataset]\nroot = "."\nimages = ["image.nii.gz"]\nlabels = ["painted.nii.gz"]\n'
        '[[methods]]\nname = "ours"\nmethod = "fewshot"\nsettings = { adapter = "cosine" }\n'
    )
    for name, old, new in (
        ("sound", "", ""),
        ("key", "images", "image"),
        ("value", "[dataset]", "shots = [0]\n[dataset]"),
        ("setting", "cosine", "cosin"),
    ):
        Path(f"{name}.toml").write_text(sound.replace(old, new, 1), encoding="utf-8")


def _write_series(path: Path, volume: object) -> None:
    import nibabel as nib
    import numpy as np

    nib.save(nib.Nifti1Image(np.stack([volume, volume], axis=-1), np.eye(4)), path)


def _write_png(path: Path, data: object) -> None:
    from PIL import Image

    Image.fromarray(data).save(path)


def answer(case: str) -> str:
    """Run a command; return its only line of error.

    Raises
    ------
    SystemExit
        If it ends otherwise than bad input must.
    """
    from napari_fewshot.cli import main

    before = _files()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: object = main(shlex.split(case))
        except SystemExit as end:
            code = end.code
    lines = err.getvalue().splitlines()
    if code != 2 or len(lines) != 1 or out.getvalue():
        raise SystemExit(f"{case}: exit {code}, printed {out.getvalue()!r}, {err.getvalue()!r}")
    if _files() != before:
        raise SystemExit(f"{case}: changed files {sorted(_files().items() ^ before.items())}")
    message = lines[0].partition(": ")[2].replace(f"{Path.cwd()}{os.sep}", "")
    for words in LIBRARY_WORDS:
        if words in message:
            message = message[: message.index(words)] + " …"
    return message


def _files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def table() -> str:
    """Return the table, made in an empty folder."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        make_files()
        lines = []
        for title, cases in CASES.items():
            lines += [f"## {title}", "", "| `napari-fewshot` … | message |", "| --- | --- |"]
            for case in cases:
                message = answer(case).replace("|", "\\|").replace("<", "&lt;")
                lines.append(f"| `{case}` | {message} |")
            lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Write the table into the page, or with ``--check`` only compare it."""
    # No weights anywhere, and the same folders in the messages on every machine.
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_CACHE": "hub",
        "NAPARI_FEWSHOT_WEIGHTS": "weights",
    }
    os.environ.pop("HF_HOME", None)
    page = PAGE.read_text(encoding="utf-8")
    text = f"{page.partition(MARK)[0].rstrip()}\n\n{MARK}\n\n{table().rstrip()}\n"
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
    elif page != text:
        print("docs/bad-input.md is stale: run python docs/generate_bad_input.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Bad input: exit status 2, one line, and nothing written."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, InputError, Template, errors

COMMANDS = {
    "no image": "train --image none.nii.gz --labels L -o OUT/m.fewshot",
    "no labels": "train --image I -o OUT/m.fewshot",
    "backbone": "train --image I --labels L --backbone embeded -o OUT/m.fewshot",
    "adapter": "train --image I --labels L --adapter contrastiv -o OUT/m.fewshot",
    "decoder": "train --image I --labels L --adapter sam-decoder -o OUT/m.fewshot",
    "setting": "train --image I --labels L --set cosine.treshold=0.3 -o OUT/m.fewshot",
    "limit": "train --image I --labels L --set contrastive.steps=0 -o OUT/m.fewshot",
    "axis": "train --image I --labels L --axis upwards -o OUT/m.fewshot",
    "window": "train --image I --labels L --window 3 2 -o OUT/m.fewshot",
    "device": "train --image I --labels L --device gpu -o OUT/m.fewshot",
    "weights": "train --image I --labels L --backbone sam-vit-b --weights I -o OUT/m.fewshot",
    "no model": "predict none.fewshot I -o OUT",
    "other model": "predict I I -o OUT",
    "refinement": "refine I L --method random-wlker -o OUT/r.nii.gz",
    "input": "refine I L -o I",
    "kinds": "evaluate --pred L --truth P",
    "exclude": "evaluate --pred L --truth L --exclude-slices-of none.nii.gz",
    "sam": "sam boxes I --labels L --truth L -o OUT",
    "config": "benchmark none.toml -o OUT",
    "command": "trian",
    "option": "predict",
    "demo": "demo --out I",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_is_wrong(run, files, tmp_path, golden, name):
    places = {"I": files / "one.nii.gz", "L": files / "one_painted.nii.gz",
              "P": files / "one_points.csv"}  # fmt: skip
    before = sorted(path.name for path in files.iterdir())
    words = [str(places.get(word, word)) for word in COMMANDS[name].split()]
    out = tmp_path / "out"
    said = run(*(word.replace("OUT", str(out)) for word in words))
    text = said.err.replace(str(files), "DIR").replace(str(out), "OUT")
    assert said.code == 2
    assert text.count("\n") == 1
    golden(name, said=[said.out, text])
    assert not out.exists() or not list(out.iterdir())
    assert sorted(path.name for path in files.iterdir()) == before


def calls(image, labels):
    fewer = labels[:, :10]
    return {
        "shape": lambda: Template(image, fewer),
        "nothing": lambda: FewShotSegmenter().fit(Template(image, np.zeros_like(labels))),
        "kind": lambda: Template(image, labels, kind="scribbles"),
        "axis": lambda: FewShotSegmenter().fit(Template(image, labels, axis=4)),
        "slices": lambda: FewShotSegmenter().fit(Template(image, labels, slices=[40])),
        "known": lambda: Template(image, labels, known_labels=[1]),
        "negative": lambda: Template(image, -labels.astype(int)),
        "setting": lambda: FewShotSegmenter(cosine={"treshold": 0.3}),
        "backbone": lambda: FewShotSegmenter(backbone="dinov2"),
        "preset": lambda: FewShotSegmenter(preset="paper"),
        "unfitted": lambda: FewShotSegmenter().predict(image),
        "section": lambda: FewShotSegmenter(training={}),
    }


@pytest.mark.parametrize("name", calls(None, np.zeros((2, 20), np.int8)))
def test_a_call_says_what_is_wrong(one, golden, name):
    call = calls(one.image, one.painted().data)[name]
    with pytest.raises(errors.FewShotError) as caught:
        call()
    golden(name, error=[type(caught.value).__name__, str(caught.value)])


def test_errors_are_what_they_were(golden):
    kinds = [name for name in errors.__all__ if isinstance(getattr(errors, name), type)]
    found = {name: [base.__name__ for base in getattr(errors, name).__mro__]
             for name in sorted(kinds)}  # fmt: skip
    golden("errors", classes=found)
    error = InputError("a", "be b", 3, "Do c.")
    golden("errors", text=str(error), fields=sorted(vars(error)))

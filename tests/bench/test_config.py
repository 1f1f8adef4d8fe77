from pathlib import Path

import pytest

from napari_fewshot.bench import load_config
from napari_fewshot.errors import InputError

from .conftest import WITHIN

GOOD = """
title = "Tiny"
shots = [1, "all"]

[dataset]
images = "images/{case}.nii.gz"
labels = "labels/{case}.nii.gz"

[[methods]]
name = "forest"
method = "forest"

[[methods]]
name = "ours"
method = "fewshot"
settings = { weights = "here.pth", propagation = { smoothing = 0.0 } }
seeds = [3]
"""


def load(tmp_path: Path, text: str, **options):
    file = tmp_path / "tiny.toml"
    file.write_text(text, "utf-8")
    return load_config(file, **options)


def test_defaults_and_relative_paths(tmp_path):
    config = load(tmp_path, GOOD)
    assert config.dataset.root == tmp_path
    assert config.dataset.images == ("images/{case}.nii.gz",)
    assert config.methods[1].settings["weights"] == str(tmp_path / "here.pth")
    assert config.shots_of(config.methods[0]) == (1, "all")
    assert config.seeds_of(config.methods[1]) == (3,)
    assert config.reference == "forest"


def test_data_is_the_folder_that_the_root_is_below(tmp_path):
    text = GOOD.replace("[dataset]", '[dataset]\nroot = "cohort"')
    assert load(tmp_path, text, data="/other").dataset.root == Path("/other/cohort")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("title", "titel", ["tiny.toml", "titel", "title"]),
        ('method = "forest"', 'metod = "forest"', ["methods[1]", "metod", "method"]),
        ("images =", "image =", ["dataset", "image", "images"]),
        ('labels = "labels/{case}.nii.gz"', "", ["dataset", "labels or landmarks"]),
        ('shots = [1, "all"]', "shots = [0]", ["shots[1]", "greater than or equal to 1"]),
        ('shots = [1, "all"]', 'shots = ["some"]', ["shots[1]"]),
        ("seeds = [3]", "seeds = []", ["methods[2].seeds"]),
        ("seeds = [3]", "seeds = 3", ["methods[2].seeds must be a list, such as [0, 1, 2]; got 3"]),
        ('shots = [1, "all"]', "shots = 3", ["shots must be a list, such as [1, 3, 5]; got 3"]),
        ("[dataset]", "[labels]\nuse = 'a'\n[dataset]", ["must be a list, such as ['a']; got a"]),
        ("[dataset]", "[dataset]\naxis = 7", ["dataset.axis must be 0, 1 or 2", "got 7"]),
        ('name = "ours"', 'name = "forest"', ["twice 'forest'"]),
        ("[dataset]", '[dataset]\nlayout = "msd"', ["either layout or images"]),
        ("[[methods]]", "[templates]\nchoise = 1\n[[methods]]", ["templates", "choise", "choice"]),
        ("title", "baseline = 'none'\ntitle", ["baseline", "'none'"]),
        ('"Tiny"', "Tiny", ["TOML"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, old, new, words):
    with pytest.raises(InputError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="existing file"):
        load_config(tmp_path / "none.toml")


def test_sections_that_may_be_several(tmp_path):
    more = '[published]\ndataset = "AMOS22 CT"\nstructures = { aorta = "aorta" }\n[[methods]]'
    config = load(tmp_path, GOOD.replace("[[methods]]", more, 1))
    assert config.published[0].structures == {"aorta": "aorta"}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ('[labels]\njoin = { a = ["x"], b = ["x"] }', "each name once in join"),
        ('[labels]\nmerge = "all"\njoin = { a = ["x"] }', "either merge or join"),
        ("[templates]\nscored = true\n[labels]", 'dataset.test "all" with templates.scored'),
    ],
)
def test_settings_that_do_not_go_together(config_of, section, message):
    with pytest.raises(InputError, match=message):
        config_of(WITHIN.replace("[labels]", section))

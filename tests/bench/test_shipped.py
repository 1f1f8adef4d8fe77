"""Every configuration of the package is sound, and finds its cases."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.bench import load_config, ready_config, ready_configs
from napari_fewshot.bench.datasets import LAYOUTS
from napari_fewshot.bench.methods import METHODS, MethodContext
from napari_fewshot.bench.plan import select_cases
from napari_fewshot.bench.report.published import check_published
from napari_fewshot.config import AutomaticConfig
from napari_fewshot.errors import InputError, WeightsError
from napari_fewshot.io import check_match

NAMES = sorted(ready_configs())
SHARED = [
    "ct_torso",
    "em_vnc",
    "fluo_3d",
    "hippocampus_mr",
    "mouse_head_ct_landmarks",
    "mr_abdomen",
    "mr_cardiac",
    "mr_spine",
    "sem_axon_2d",
    "spine_xray_landmarks_2d",
    "wbc_2d",
]
OFFICIAL = [
    "amos22",
    "hanseg",
    "msd_heart",
    "msd_hippocampus",
    "totalsegmentator",
    "verse20",
]
OWN_COHORT = [
    "challenge_ct",
    "knee_ct",
    "mr_knee_landmarks",
    "mr_shoulder",
    "mr_whole_body_landmarks",
]


def test_there_is_one_for_every_set() -> None:
    assert sorted([*SHARED, *OFFICIAL, *OWN_COHORT]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_sections_and_settings_are_sound(name: str, tmp_path: Path) -> None:
    config = load_config(name, data=tmp_path)
    assert config.dataset.root == tmp_path
    assert config.title
    if config.dataset.layout is not None:
        assert config.dataset.layout in LAYOUTS
    for number, method in enumerate(config.methods):
        entry = METHODS.get(method.method)
        if all(find_spec(module) for module in entry.needs):
            context = MethodContext(seed=0, device="cpu", work=tmp_path / str(number))
            try:
                entry.make(method.settings, context)
            except WeightsError:
                continue  # settings are checked before weights


@pytest.mark.parametrize("name", NAMES)
def test_what_is_called_published_is_the_whole_chain_or_says_what_it_lacks(name, tmp_path):
    papers = {*OFFICIAL, *OWN_COHORT} - {"msd_hippocampus"}
    for method in load_config(name, data=tmp_path).methods:
        own = method.settings
        if own.get("preset") != "published":
            assert "published" not in method.name
        elif name in papers:
            assert method.name.endswith(", published")
            assert not {"backbone", "extraction", "propagation"} & set(own)
        else:
            assert method.name.endswith(", published, embedded features")
            assert own["backbone"] == "embedded"
            assert own["propagation"] == {"refinement": {"method": "none"}}


@pytest.mark.parametrize("name", [*OFFICIAL, *OWN_COHORT])
def test_structures_of_published_tables(name: str, tmp_path: Path) -> None:
    config = load_config(name, data=tmp_path)
    check_published(config)
    assert bool(config.published) is (name != "msd_hippocampus")
    use = config.landmarks.use if config.landmarks else config.labels.use
    for published in config.published:
        for structure in set(published.structures) - {"mean"}:
            if use and all(isinstance(one, str) for one in use):
                assert structure in use


def test_pairs_of_hanseg_can_be_sides(tmp_path: Path) -> None:
    text = ready_config("hanseg").read_text("utf-8")
    lines = text.splitlines()
    start = lines.index("[labels.join]")
    sides = [*lines[:start], *lines[start + 4 :]]
    sides = [line for line in sides if not line.startswith(("per_label", "structures"))]
    sides = [line.removeprefix("# ") if "structures =" in line else line for line in sides]
    file = tmp_path / "sides.toml"
    file.write_text("\n".join(sides), "utf-8")
    config = load_config(file, data=tmp_path)
    check_published(config)
    assert not config.labels.join
    assert {"eye_left", "eye_right"} < set(config.published[0].structures)
    pairs = load_config("hanseg", data=tmp_path)
    assert pairs.landmarks is not None
    assert pairs.landmarks.per_label == 2
    assert pairs.labels.joined["eye_right"] == "HNEye"


@pytest.mark.parametrize("name", ["hanseg", "mr_knee_landmarks", "mr_whole_body_landmarks"])
def test_all_five_methods_of_the_published_landmarks(name: str, tmp_path: Path) -> None:
    config = load_config(name, data=tmp_path)
    assert {"universeg", "persam"} <= {method.method for method in config.methods}
    published = [m.settings for m in config.methods if m.settings.get("preset") == "published"]
    adapters = {settings["adapter"] for settings in published}
    assert adapters == {"cosine", "classification", "contrastive"}


def test_the_challenge_is_as_the_paper_orders_it(tmp_path: Path) -> None:
    config = load_config("challenge_ct", data=tmp_path)
    assert (config.dataset.train, config.dataset.test) == (200, "all")
    methods = [(method.method, method.settings) for method in config.methods]
    names = ["sam-everything"] * 3 + ["sam-automatic", "unet", "sam-boxes", "fewshot"]
    assert [name for name, _ in methods] == names
    limits = [AutomaticConfig(max_area=s["max_area"]).areas(512**2)[1] for _, s in methods[:4]]
    assert limits == [10**9, 10**9, 512**2 / 2, 512**2 / 2]  # none, and half of the slice
    assert methods[4][1] == {"merge": True, "loss": "binary"}


@pytest.mark.parametrize("name", ["amos22", "knee_ct", "msd_heart", "verse20"])
def test_oracles_need_no_template(name: str, tmp_path: Path) -> None:
    config = load_config(name, data=tmp_path)
    assert config.labels.listed
    assert "ViT-B is our assumption" in config.notes


@pytest.mark.parametrize("name", SHARED)
def test_small_sets_run_cheap_methods_at_one_three_five_shots(name: str, tmp_path: Path) -> None:
    config = load_config(name, data=tmp_path)
    assert config.seeds == (0, 1, 2)
    few = {"sem_axon_2d", "mouse_head_ct_landmarks"}  # too few cases
    assert config.shots == ((1, 3) if name in few else (1, 3, 5))


@pytest.mark.data
@pytest.mark.parametrize("name", SHARED)
def test_cases_of_the_small_sets(name: str, shared_data: Path) -> None:
    config = load_config(name, data=shared_data / name)
    selection = select_cases(config)
    groups = {case.group for case in selection.pool} - {""}
    assert not groups & {case.group for case in selection.scored}
    for case in (selection.scored[0], *selection.pool[-1:]):
        image = case.image()
        if config.landmarks is None:
            assert case.truth is not None
            truth = case.truth()
            check_match(image, truth)
            assert truth.data.any()
        else:
            assert case.landmarks is not None
            marks = case.landmarks()
            inside = np.array([mark.position for mark in marks])[:, -image.ndim :]
            assert (inside <= np.array(image.shape)).all()
            assert len({mark.label for mark in marks}) == len(marks)


@pytest.mark.data
@pytest.mark.parametrize("name", ["mouse_head_ct_landmarks", "spine_xray_landmarks_2d"])
def test_landmarks_have_one_label_in_all_cases(name: str, shared_data: Path) -> None:
    config = load_config(name, data=shared_data / name)
    selection = select_cases(config)
    expected = {"mouse_head_ct_landmarks": (3, 9), "spine_xray_landmarks_2d": (5, 15)}
    assert (len(selection.pool), len(selection.scored)) == expected[name]
    found = [
        {mark.name: mark.label for mark in case.landmarks()}
        for case in (*selection.pool, *selection.scored)
        if case.landmarks is not None
    ]
    for one in found[1:]:
        assert one == found[0]


def test_a_file_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wbc_2d").mkdir()  # the folder of the data is no configuration
    assert ready_config("wbc_2d") == ready_configs()["wbc_2d"]
    (tmp_path / "amos22").write_text("")
    assert ready_config("amos22") == Path("amos22")


def test_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"CONFIG must be an existing file.*Names are amos22"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(InputError, match="Did you mean amos22"):
        load_config("amos21")
    with pytest.raises(InputError, match="--data must be given with wbc_2d"):
        load_config("wbc_2d")

"""Methods of refinement by name."""

from __future__ import annotations

import pytest

from napari_fewshot import InputError, UnknownNameError, get_refiner
from napari_fewshot.predict.refiners import REFINERS, check_method


def test_unknown_names_list_near_matches():
    with pytest.raises(UnknownNameError, match="Did you mean random-walker"):
        get_refiner("random-waker")
    with pytest.raises(UnknownNameError, match=r"^--refine must be one of .*auto"):
        check_method("aut", "--refine")


def test_auto_is_the_first_that_needs_no_download_else_the_walker(stub_refiner, monkeypatch):
    for name, entry in list(REFINERS.items()):
        if name not in ("stub", "random-walker"):
            monkeypatch.delitem(REFINERS._entries, name)
            assert entry.name == name
    assert get_refiner("auto").name == "stub"
    assert get_refiner().name == "stub"
    stub_refiner.available = False
    assert get_refiner("auto").name == "random-walker"
    assert get_refiner("stub").name == "stub"  # asked for by name, it may download
    assert get_refiner(config={"method": "stub"}).name == "stub"
    assert get_refiner("random-walker", config={"method": "stub"}).name == "random-walker"


def test_settings_reach_the_method_and_it_is_made_once(stub_refiner, tmp_path):
    refiner = get_refiner(
        "stub", config={"prompts": {"points": 3}}, sam_weights=tmp_path / "sam.pth", seed=5
    )
    assert not stub_refiner.made  # nothing is loaded before it is used
    refiner.load()
    refiner.on(None)
    refiner.on(None)
    (settings,) = stub_refiner.made
    assert settings.config.prompts.points == 3
    assert (settings.weights, settings.seed) == (tmp_path / "sam.pth", 5)
    assert len(stub_refiner.stacks) == 2


@pytest.mark.parametrize("method", ["random-walker", "auto"])
def test_weights_need_the_name_of_a_network(stub_refiner, method):
    with pytest.raises(InputError, match="sam_weights must stand beside the name of a SAM"):
        get_refiner(method, sam_weights="sam.pth")


@pytest.mark.parametrize(
    ("config", "message"),
    [({"walker": {"beta": 0}}, "config.walker.beta"), ({"wlker": {}}, "walker")],
)
def test_settings_are_checked(config, message):
    with pytest.raises(InputError, match=message):
        get_refiner("random-walker", config=config)


def test_networks_are_let_go_and_loaded_again(stub_refiner):
    refiner = get_refiner("stub").load()
    assert refiner.is_loaded
    refiner.unload()
    refiner.unload()
    assert not refiner.is_loaded
    refiner.on(None)
    assert len(stub_refiner.made) == 2

"""Settings: strict about names and limits, presets that yield, and a way through JSON."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from napari_fewshot.config import (
    AutomaticConfig,
    CleanupConfig,
    ContrastiveConfig,
    CosineConfig,
    FinetuneConfig,
    IntensityConfig,
    LandmarkConfig,
    PerSamConfig,
    PositionConfig,
    PromptConfig,
    PropagationConfig,
    RegionConfig,
    SamDecoderConfig,
    SegmenterConfig,
    StageConfig,
    TuneConfig,
    WalkerConfig,
    field_info,
)
from napari_fewshot.config.base import FORMER_KEYS, merged_settings
from napari_fewshot.errors import InputError, UnknownNameError


def test_round_trip_through_json():
    config = SegmenterConfig.of(
        {
            "preset": "published",
            "seed": 7,
            "intensity": {"mode": "window", "low": -160, "high": 240},
            "propagation": {"cleanup": {"min_size": 12}},
        },
        "settings",
    )
    text = json.dumps(config.model_dump(mode="json"))
    assert SegmenterConfig.model_validate(json.loads(text)) == config


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        CosineConfig().threshold = 0.1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "parameter", "near"),
    [
        ({"adaptor": "cosine"}, "settings", "adapter"),
        ({"contrastive": {"step": 3}}, "settings.contrastive", "steps"),
        ({"propagation": {"cleanup": {"minsize": 3}}}, "settings.propagation.cleanup", "min_size"),
    ],
)
def test_unknown_setting_lists_near_matches_of_its_own_section(given, parameter, near):
    with pytest.raises(UnknownNameError) as caught:
        SegmenterConfig.of(given, "settings")
    assert caught.value.parameter == parameter
    assert near in caught.value.known
    assert f"Did you mean {near}" in str(caught.value)
    if parameter != "settings":
        assert "backbone" not in caught.value.known


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"sampling": {"pixels_per_label": 1}}, "settings.sampling.pixels_per_label"),
        ({"seed": -1}, "settings.seed"),
        ({"seed": 2**70}, "settings.seed"),
        ({"preset": "newest"}, "settings.preset"),
        ({"intensity": {"low": 3.0, "high": 3.0}}, "settings.intensity"),
        ({"intensity": {"high": 101.0}}, "settings.intensity"),
        ({"contrastive": {"head": "cubic"}}, "settings.contrastive.head"),
    ],
)
def test_value_beyond_its_limit_names_the_setting(given, parameter):
    with pytest.raises(InputError) as caught:
        SegmenterConfig.of(given, "settings")
    assert caught.value.parameter == parameter
    assert str(caught.value).startswith(f"{parameter} must ")


def test_seeds_of_clocks_are_taken():
    assert SegmenterConfig.of({"seed": 1_764_434_509_000_000_000}, "settings").seed > 2**53
    with pytest.raises(InputError, match="steps"):
        SegmenterConfig.of({"contrastive": {"steps": 2**60}}, "settings")


def test_of_takes_configurations_dicts_and_nothing_else():
    own = CosineConfig(threshold=0.2)
    assert CosineConfig.of(own, "cosine") is own
    assert CosineConfig.of(None, "cosine") == CosineConfig()
    with pytest.raises(InputError, match="cosine must be a CosineConfig or a dict"):
        CosineConfig.of([0.2], "cosine")


def test_window_may_be_any_grey_values():
    assert IntensityConfig(mode="window", low=-160, high=240).low == -160


def test_published_preset_is_what_the_papers_say():
    config = SegmenterConfig(preset="published")
    assert config.position.use is False
    assert config.cosine.threshold == 0.5
    assert config.cosine.standardise is False
    assert config.contrastive.head == "concat"
    assert config.contrastive.pixel_loss == 0
    assert config.sampling.background_factor == 1
    assert config.propagation.smoothing == 0
    assert config.propagation.cleanup == CleanupConfig(dimensions=2, min_fraction=0.1)
    points = LandmarkConfig(source="labels", arrangement=False)
    assert config.propagation.landmarks == points
    prompts = PromptConfig(choice="predicted-iou", agreement=0)
    assert config.propagation.refinement.prompts == prompts
    assert config.contrastive.loss == "both"
    assert config.contrastive.negative_distance == 0  # the method; at first 10 was tried
    assert config.sampling.pixels_per_label == 0
    # What the papers do not say stays our default.
    assert config.contrastive.steps == SegmenterConfig().contrastive.steps


def test_nothing_is_cleaned_after_the_published_decoder_unless_asked_for():
    given = {"preset": "published", "adapter": "sam-decoder"}
    config = SegmenterConfig.of(given, "settings")
    assert not config.propagation.cleanup.changes_labels
    assert config.propagation.smoothing == 0
    asked = {"propagation": {"cleanup": {"min_size": 9}}}
    config = SegmenterConfig.of({**given, **asked}, "settings")
    assert config.propagation.cleanup == CleanupConfig(min_size=9)


def test_what_a_file_lacks_is_not_taken_from_a_preset():
    """The setting is newer than the file, and what the file is of worked as our default does."""
    whole = SegmenterConfig(preset="published").model_dump(mode="json")
    assert SegmenterConfig.stored(whole, "config") == SegmenterConfig(preset="published")
    del whole["propagation"]["cleanup"]["min_fraction"], whole["position"]
    found = SegmenterConfig.stored(whole, "config")
    assert found.preset == "published"
    assert found.propagation.cleanup == CleanupConfig(dimensions=2)
    assert found.position == PositionConfig()
    assert found.changed({}) == found
    with pytest.raises(InputError, match="config.preset must be 'published'; got paper"):
        SegmenterConfig.stored({"preset": "paper"}, "config")


@pytest.mark.parametrize(
    "given",
    [
        {"propagation": {"cleanup": {"min_size": 5}}},
        {"propagation": PropagationConfig(cleanup=CleanupConfig(min_size=5))},
    ],
)
def test_given_settings_lie_over_the_preset(given):
    config = SegmenterConfig.of({"preset": "published", **given}, "settings")
    assert config.propagation.cleanup == CleanupConfig(dimensions=2, min_fraction=0.1, min_size=5)
    assert config.propagation.landmarks.source == "labels"


@pytest.mark.parametrize("adapter", ["cosine", "classification", "contrastive"])
def test_the_published_chain_of_the_pixel_adapters(adapter):
    config = SegmenterConfig(preset="published", adapter=adapter)
    refinement = config.propagation.refinement
    assert (config.backbone, refinement.method) == ("dinov2-b", "sam-vit-h")
    assert (refinement.prompts.strategy, refinement.prompts.points) == ("random", 10)
    assert refinement.landmarks is False


def test_the_published_chain_of_the_decoder():
    config = SegmenterConfig(preset="published", adapter="sam-decoder")
    assert (config.backbone, config.propagation.refinement.method) == ("sam-vit-b", None)


@pytest.mark.parametrize("method", [None, "none"])
def test_settings_win_over_the_published_chain(method):
    own = {"backbone": "embedded", "propagation": {"refinement": {"method": method}}}
    config = SegmenterConfig.of({"preset": "published", **own}, "settings")
    assert (config.backbone, config.propagation.refinement.method) == ("embedded", None)
    assert config.contrastive.head == "concat"


def test_a_preset_may_be_taken_and_left_later():
    own = SegmenterConfig(seed=3, backbone="multiscale", intensity={"low": 1.0})
    taken = own.changed({"preset": "published"})
    assert (taken.backbone, taken.contrastive.head) == ("dinov2-b", "concat")
    assert (taken.seed, taken.intensity.low) == (3, 1.0)
    assert taken.changed({"preset": None}) == own.changed({"backbone": "embedded"})
    mine = own.changed({"preset": "published", "backbone": "dinov2-s"})
    assert mine.backbone == "dinov2-s"
    assert mine.changed({"seed": 4}).backbone == "dinov2-s"


def test_another_adapter_of_a_preset_has_its_own_chain():
    pixels = SegmenterConfig(preset="published", backbone="embedded")
    assert pixels.changed({"adapter": "cosine"}).backbone == "embedded"
    decoder = pixels.changed({"adapter": "sam-decoder"})
    assert decoder == SegmenterConfig(preset="published", adapter="sam-decoder")
    assert decoder.changed({"adapter": "contrastive"}) == SegmenterConfig(preset="published")


@pytest.mark.parametrize("wrong", [{"preset": "paper"}, {"preset": []}, {"adapter": []}])
def test_a_wrong_preset_is_refused_as_any_setting(wrong):
    with pytest.raises(InputError, match=rf"settings\.{next(iter(wrong))} must be"):
        SegmenterConfig.of({"preset": "published", **wrong}, "settings")
    with pytest.raises(InputError, match=rf"settings\.{next(iter(wrong))} must be"):
        SegmenterConfig(preset="published").changed(wrong)


@pytest.mark.parametrize(
    ("given", "loss", "compares"),
    [
        ({}, "pair", False),
        ({"similarity_loss": 0.0}, "pair", False),
        ({"similarity_loss": 0.3}, "both", True),
        ({"similarity_loss": 0.3, "loss": "pair"}, "pair", False),
        ({"loss": "similarity"}, "similarity", True),
    ],
)
def test_weight_of_similarities_was_their_switch(given, loss, compares):
    config = ContrastiveConfig.of(given, "contrastive")
    assert (config.loss, config.compares_outputs) == (loss, compares)
    assert ContrastiveConfig.of(config.model_dump(), "contrastive") == config


def test_saved_published_settings_of_before_stay_what_they_were():
    """They name all settings that there were; those of today must not add a similarity."""
    saved = ContrastiveConfig().model_dump() | {"similarity_loss": 0.0}
    for name in ("loss", "temperature"):
        del saved[name]
    config = SegmenterConfig.of({"preset": "published", "contrastive": saved}, "settings")
    assert not config.contrastive.compares_outputs
    assert config.contrastive.negative_distance == 0


def test_similarity_alone_needs_a_weight():
    with pytest.raises(InputError, match="similarity_loss above 0 with loss similarity"):
        ContrastiveConfig.of({"loss": "similarity", "similarity_loss": 0}, "contrastive")


def test_changed_lays_settings_over_sections():
    config = SegmenterConfig(seed=3).changed({"propagation": {"smoothing": 2.5}})
    assert config.seed == 3
    assert config.propagation == PropagationConfig(smoothing=2.5)
    with pytest.raises(UnknownNameError, match="smoothing"):
        config.changed({"propagation": {"smothing": 2.5}})


@pytest.mark.parametrize("preset", [None, "published"])
@pytest.mark.parametrize(
    ("given", "cleanup"),
    [
        (PropagationConfig(), CleanupConfig()),
        ({"cleanup": CleanupConfig()}, CleanupConfig()),
        (PropagationConfig(cleanup=CleanupConfig(min_size=4)), CleanupConfig(min_size=4)),
        ({"cleanup": {"min_size": 4}}, CleanupConfig(min_size=4, connectivity=2)),
    ],
)
def test_a_configuration_replaces_and_a_dict_changes(preset, given, cleanup):
    before = {"smoothing": 3.0, "cleanup": {"connectivity": 2, "min_size": 9}}
    config = SegmenterConfig.of({"preset": preset, "propagation": before}, "settings")
    changed = config.changed({"propagation": given})
    wanted = cleanup
    if preset and isinstance(given, dict) and isinstance(given["cleanup"], dict):
        wanted = cleanup.model_copy(update={"dimensions": 2, "min_fraction": 0.1})
    assert changed.propagation.cleanup == wanted
    assert changed.propagation.smoothing == (3.0 if isinstance(given, dict) else 1.0)
    assert SegmenterConfig.of(dict(changed), "settings") == changed


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"min_area": 0.6}, "settings.min_area must be at most max_area (0.5); got 0.6."),
        ({"max_area": 5}, "settings.max_area must be at least min_area (10); got 5."),
        ({"min_area": 50, "max_area": 20}, "settings.max_area must be at least min_area (50)"),
    ],
)
def test_areas_that_leave_nothing_are_refused_against_defaults_too(given, message):
    with pytest.raises(InputError) as caught:
        AutomaticConfig.of(given, "settings")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("given", [{"min_area": 0.5}, {"min_area": 0.6, "max_area": None}])
def test_areas_that_leave_something(given):
    assert AutomaticConfig.of(given, "settings").min_area == given["min_area"]


def test_former_keys_are_read_wherever_settings_are_given():
    former = {"passes": 7, "variants": 2, "update_passes": 3}
    present = SamDecoderConfig(epochs=7, augmentations=2, update_epochs=3)
    assert SamDecoderConfig(**former) == present
    published = {"preset": "published", "contrastive": {"depth": 3}}
    config = SegmenterConfig.of({**published, "sam_decoder": former}, "settings")
    assert config.contrastive.n_layers == 3
    assert config.sam_decoder == config.sam_decoder.model_copy(update=dict(former_as_now(former)))
    changed = SegmenterConfig().changed({"propagation": {"refinement": {"walker": {"hold": 9}}}})
    assert changed.propagation.refinement.walker == WalkerConfig(prior_weight=9)


def former_as_now(given):
    present = {old: new for new, old in FORMER_KEYS.items() if new in SamDecoderConfig.model_fields}
    return {present[key]: value for key, value in given.items()}


def test_what_is_written_has_the_present_keys():
    text = json.dumps(SegmenterConfig().model_dump(mode="json"))
    assert not [key for key in FORMER_KEYS.values() if f'"{key}"' in text]


def test_a_setting_by_both_its_names_is_refused():
    with pytest.raises(InputError, match="walker.hold must not stand beside prior_weight"):
        WalkerConfig.of({"hold": 1, "prior_weight": 2}, "walker")
    with pytest.raises(InputError, match=r"walker\.hold must be greater than 0; got 0"):
        WalkerConfig.of({"hold": 0}, "walker")


def test_what_is_known_of_a_setting():
    info = field_info(LandmarkConfig, "min_distance")
    assert (info.kind, info.default, info.unit, info.limits) == (float, 5.0, "mm", "above 0")
    assert info.help == "Smallest distance of two points of one label."
    choice = field_info(ContrastiveConfig, "head")
    assert (choice.title, choice.choices, choice.kind) == (
        "Comparison",
        ("concat", "bilinear"),
        str,
    )
    assert field_info(ContrastiveConfig, "learning_rate").step == 0.001
    largest = field_info(AutomaticConfig, "max_area")
    assert (largest.kind, largest.minimum_is_open) == (float, True)
    assert field_info(SegmenterConfig, "cosine").kind is None


def stages():
    models = [
        SegmenterConfig,
        AutomaticConfig,
        FinetuneConfig,
        PerSamConfig,
        RegionConfig,
        TuneConfig,
    ]
    for model in models:
        below = [field.annotation for field in model.model_fields.values()]
        models += [
            part for part in below if isinstance(part, type) and issubclass(part, StageConfig)
        ]
    return models


@pytest.mark.parametrize("model", stages())
def test_every_setting_has_help(model):
    infos = [field_info(model, name) for name in model.model_fields]
    sections = {"intensity", "resampling", "extraction", "sampling", "position"}
    sections |= {"experts", "propagation", "contrast", "distillation"}
    adapters = {"cosine", "classification", "contrastive", "sam_decoder"}
    assert [info.name for info in infos if not info.help] == [
        info.name for info in infos if info.name in sections | adapters and info.kind is None
    ]


def test_merging_goes_section_by_section():
    base = {"a": {"b": 1, "c": 2}, "d": 3}
    more = {"a": {"c": 4}, "e": 5}
    assert merged_settings(base, more) == {"a": {"b": 1, "c": 4}, "d": 3, "e": 5}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


@pytest.mark.parametrize(
    ("given", "parameter"),
    [({1: 2}, "settings"), ({"propagation": {"cleanup": {1: 2}}}, "settings.propagation.cleanup")],
)
def test_key_that_is_no_text_is_refused_where_it_stands(given, parameter):
    with pytest.raises(InputError, match="names of settings as keys; got 1") as caught:
        SegmenterConfig.of(given, "settings")
    assert caught.value.parameter == parameter

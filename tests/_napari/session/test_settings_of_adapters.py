"""Settings of adapters whose names are not those of their sections."""

from __future__ import annotations

import pytest

from napari_fewshot._napari.session.estimates import Rates
from napari_fewshot._napari.session.state import SessionSettings
from napari_fewshot.config import ExpertsConfig, SamDecoderConfig


def test_settings_of_the_sam_decoder_find_their_section():
    settings = SessionSettings().changed({"backbone": "sam-vit-b"})
    settings = settings.changed({"adapter": "sam-decoder", "of_adapter": {"epochs": 7}})
    assert settings.of_adapter == SamDecoderConfig(epochs=7)
    assert settings.config.sam_decoder.epochs == 7
    assert settings.changed({"of_adapter": {"augmentations": 1}}).of_adapter.epochs == 7


def test_the_time_of_its_training_is_not_known_before_the_first():
    config = SessionSettings().changed({"adapter": "sam-decoder"}).config
    rates = Rates()
    assert rates.training(config, 5) is None
    contrastive = SessionSettings().config
    rates.measured_training(contrastive, 3.0, 1000)
    assert rates.training(config, 5) is None
    rates.measured_training(config, 50.0, 500)
    assert rates.training(config, 5) == 0.1 * 50 * 5 * 5
    assert rates.training(contrastive, 5) == 0.003 * contrastive.contrastive.steps


def test_experts_are_switched_one_by_one():
    settings = SessionSettings().changed({"experts": {"carried": False}})
    assert settings.config.experts == ExpertsConfig(carried=False)
    settings = settings.changed({"experts": {"hand_made": False, "choose": False}})
    assert settings.config.experts == ExpertsConfig(hand_made=False, carried=False, choose=False)


def test_both_trainings_and_both_kinds_of_features_are_estimated():
    both = SessionSettings().config
    one = SessionSettings().changed({"experts": {"hand_made": False}}).config
    rates, shape = Rates(), (64, 64)
    assert rates.training(both, 3) == 2 * rates.training(one, 3)
    assert rates.training(both, 3, twice=True) == 2 * rates.training(both, 3)
    assert rates.prediction(both, shape, 5) == 2 * rates.prediction(one, shape, 5)
    assert rates.extraction(both, shape, 5).seconds > rates.extraction(one, shape, 5).seconds
    assert rates.labelling(both, shape, 5).megabytes is None  # no array of it is ever held
    rates.measured_labelling(both, 3.0, 64 * 64 * 6)
    assert rates.labelling(both, shape, 5).seconds == pytest.approx(2.5)
    rates.measured_update(both, 1.5)
    assert rates.updating(both, 3, twice=False) == 1.5
    rates.measured_training(one, 1.0, 1000)
    assert rates.training(one, 3) == 0.001 * one.contrastive.steps
    assert rates.training(both, 3) > rates.training(one, 3)

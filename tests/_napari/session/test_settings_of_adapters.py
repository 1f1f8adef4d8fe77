"""Settings of adapters whose names are not those of their sections."""

from __future__ import annotations

from napari_fewshot._napari.session.estimates import Rates
from napari_fewshot._napari.session.state import SessionSettings
from napari_fewshot.config import SamDecoderConfig


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
    rates.measured_training("contrastive", 3.0, 1000)
    assert rates.training(config, 5) is None
    rates.measured_training("sam-decoder", 50.0, 500)
    assert rates.training(config, 5) == 0.1 * 50 * 5 * 5
    contrastive = SessionSettings().config
    assert rates.training(contrastive, 5) == 0.003 * contrastive.contrastive.steps

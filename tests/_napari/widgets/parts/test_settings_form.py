"""Forms made of what the models of settings declare, and the choice of an adapter."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

pytestmark = pytest.mark.viewer


@pytest.fixture
def adapters(qtbot):
    from napari_fewshot._napari.widgets.parts.settings_form import AdapterChoice

    choice = AdapterChoice()
    qtbot.addWidget(choice)
    return choice


def test_settings_have_limits_and_defaults_of_their_model(qtbot):
    from napari_fewshot._napari.widgets.parts.settings_form import SettingsForm
    from napari_fewshot.config import ContrastiveConfig

    form = SettingsForm(ContrastiveConfig, ("steps", "head", "background_pull"))
    qtbot.addWidget(form)
    default = ContrastiveConfig()
    assert form.values() == {
        "steps": default.steps,
        "head": default.head,
        "background_pull": default.background_pull,
    }
    with qtbot.waitSignal(form.changed):
        form.fields["steps"].setValue(50)
    assert ContrastiveConfig(**form.values()).steps == 50
    form.fields["steps"].setValue(-3)
    form.fields["background_pull"].setValue(7)
    ContrastiveConfig(**form.values())  # the limits of the fields are those of the model
    with pytest.raises(ValidationError):
        ContrastiveConfig(steps=0)
    with qtbot.assertNotEmitted(form.changed):
        form.show_values(default)
    assert form.values()["steps"] == default.steps


def test_every_adapter_is_offered_with_all_its_settings_and_words_on_it(adapters):
    from napari_fewshot.adapters import ADAPTERS
    from napari_fewshot.config import SegmenterConfig

    assert set(ADAPTERS) == set(adapters.forms)
    for name, (important, others) in adapters.forms.items():
        adapters.show_choice(SegmenterConfig(adapter=name))
        assert adapters.about.text()
        assert important.fields
        assert not {*important.fields} & {*others.fields}
        # Weights of losses are for experiments, and stay with scripts.
        hidden = {"pair_loss", "pixel_loss", "background_pull", "similarity_loss", "temperature"}
        model = type(SegmenterConfig(adapter=name).adapter_config)
        assert set(adapters.values()) == set(model.model_fields) - hidden


def test_a_value_beyond_what_a_field_can_show_is_no_error(qtbot):
    from napari_fewshot._napari.widgets.parts.settings_form import SettingsForm
    from napari_fewshot.config import CleanupConfig

    form = SettingsForm(CleanupConfig, ("min_size", "dimensions", "min_fraction"))
    qtbot.addWidget(form)
    form.show_values(CleanupConfig(min_size=10**8, dimensions=2, min_fraction=0.25))
    assert form.values() == {"min_size": 10**6, "dimensions": 2, "min_fraction": 0.25}


def test_an_adapter_shows_its_own_settings_and_tells_of_changes(adapters, qtbot):
    from napari_fewshot.config import ContrastiveConfig, SegmenterConfig

    assert adapters.more.isExpanded() is False
    with qtbot.waitSignal(adapters.changed):
        adapters.names.setCurrentIndex(adapters.names.findData("cosine"))
    assert adapters.name == "cosine"
    assert set(adapters.values()) == {"threshold", "standardise"}
    visible = [name for name, (form, _) in adapters.forms.items() if form.isVisibleTo(adapters)]
    assert visible == ["cosine"]

    with qtbot.assertNotEmitted(adapters.changed):
        adapters.show_choice(SegmenterConfig(contrastive={"steps": 123, "n_layers": 3}))
    assert adapters.values()["steps"] == 123
    assert ContrastiveConfig(**adapters.values()) == ContrastiveConfig(steps=123, n_layers=3)
    with qtbot.waitSignal(adapters.changed):
        adapters.forms["contrastive"][1].fields["head"].setCurrentIndex(0)


def test_every_field_has_a_tooltip(adapters):
    from napari_fewshot._napari.widgets.parts.settings_form import SettingsForm

    fields = [f for form in adapters.findChildren(SettingsForm) for f in form.fields.values()]
    assert len(fields) > 15
    assert all("Default: " in field.toolTip() for field in fields)


def test_the_wheel_scrolls_the_dock_and_changes_no_value(adapters, qtbot):
    from qtpy.QtCore import QPoint, QPointF, Qt
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtWidgets import QApplication, QSpinBox

    steps = adapters.forms["contrastive"][0].fields["steps"]
    before = steps.value()
    adapters.show()
    wheel = QWheelEvent(
        QPointF(5, 5),
        QPointF(steps.mapToGlobal(QPoint(5, 5))),
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(steps, wheel)
    assert steps.value() == before
    plain = QSpinBox()  # without our filter the same wheel does change a value
    qtbot.addWidget(plain)
    QApplication.sendEvent(plain, wheel)
    assert plain.value() == 1


def test_parts_fit_a_narrow_dock(adapters, qtbot):
    from napari_fewshot._napari.widgets.parts.choices import BackboneChoice
    from napari_fewshot._napari.widgets.parts.tables import TemplateList

    backbones = BackboneChoice()
    templates = TemplateList()
    with qtbot.waitSignal(backbones.looked, timeout=20_000):
        pass
    for part in (adapters, backbones, templates):
        qtbot.addWidget(part)
        assert part.minimumSizeHint().width() <= 280

"""Choices of adapter and axis, the list of templates, and how narrow a dock may be."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.viewer


@pytest.fixture
def adapters(qtbot):
    from napari_fewshot._napari.widgets.adapter_settings import ABOUT, IMPORTANT, MODELS, OTHERS
    from napari_fewshot._napari.widgets.parts.adapter_choice import AdapterChoice

    choice = AdapterChoice(MODELS, ABOUT, IMPORTANT, OTHERS)
    qtbot.addWidget(choice)
    return choice


def test_every_adapter_is_offered_with_all_its_settings_and_words_on_it():
    from napari_fewshot._napari.widgets.adapter_settings import ABOUT, IMPORTANT, MODELS, OTHERS
    from napari_fewshot.adapters import ADAPTERS
    from napari_fewshot.config import SegmenterConfig

    assert {name for name, _ in ADAPTERS.items()} == set(MODELS) == set(ABOUT)
    for name, model in MODELS.items():
        assert type(SegmenterConfig(adapter=name).adapter_config) is model
        shown = [setting.field for setting in (*IMPORTANT[name], *OTHERS[name])]
        assert len(shown) == len(set(shown))
        # Weights of losses are for experiments, and stay with scripts.
        hidden = {"pair_loss", "pixel_loss", "background_pull", "similarity_loss"}
        assert set(shown) == set(model.model_fields) - hidden


def test_an_adapter_shows_its_own_settings_and_tells_of_changes(adapters, qtbot):
    from napari_fewshot.config import ContrastiveConfig

    assert adapters.more.isExpanded() is False
    with qtbot.waitSignal(adapters.changed):
        adapters.names.setCurrentIndex(adapters.names.findData("cosine"))
    assert adapters.name == "cosine"
    assert set(adapters.values()) == {"threshold", "standardise"}
    visible = [name for name, (form, _) in adapters.forms.items() if form.isVisibleTo(adapters)]
    assert visible == ["cosine"]

    with qtbot.assertNotEmitted(adapters.changed):
        adapters.show_choice("contrastive", ContrastiveConfig(steps=123, n_layers=3))
    assert adapters.values()["steps"] == 123
    assert ContrastiveConfig(**adapters.values()) == ContrastiveConfig(steps=123, n_layers=3)
    with qtbot.waitSignal(adapters.changed):
        adapters.forms["contrastive"][1].fields["head"].setCurrentIndex(0)


def test_every_field_has_a_tooltip(adapters):
    from napari_fewshot._napari.widgets.parts.settings_form import SettingsForm

    fields = [f for form in adapters.findChildren(SettingsForm) for f in form.fields.values()]
    assert len(fields) > 15
    assert all("Default: " in field.toolTip() for field in fields)


def test_the_axis_follows_the_view_until_one_is_fixed(qtbot):
    from napari_fewshot._napari.widgets.parts.axis_choice import AxisChoice

    choice = AxisChoice()
    qtbot.addWidget(choice)
    with qtbot.assertNotEmitted(choice.changed):
        choice.show_axes(("S", "A", "R"), None, 0)
    assert choice.currentText() == "as viewed (S)"
    assert choice.axis is None
    choice.show_axes(("S", "A", "R"), 0, 2)
    assert choice.axis == 0  # 0 is an axis, not nothing
    choice.show_axes(("Y", "X"), 2, None)
    assert choice.axis == 2  # chosen for another image: shown, not changed behind one's back
    with qtbot.waitSignal(choice.changed):
        choice.activated.emit(0)


def test_templates_are_removed_by_what_is_selected(qtbot):
    from napari_fewshot._napari.widgets.parts.template_list import TemplateList

    shown = TemplateList()
    qtbot.addWidget(shown)
    first, second = object(), object()
    assert shown.remove.reason == "there are no templates"
    assert not shown.list.isVisibleTo(shown)
    shown.show_templates([(first, "one", ""), (second, "two", "")])
    assert shown.remove.reason == "select a template in the list"
    shown.list.setCurrentRow(1)
    assert shown.remove.isEnabled()
    shown.show_templates([(second, "two, renamed", "")])  # the selection stays with its template
    with qtbot.waitSignal(shown.removing) as removing:
        shown.remove.click()
    assert removing.args == [second]
    with qtbot.waitSignal(shown.adding):
        shown.add.click()
    shown.show_templates([])
    assert not shown.remove.isEnabled()


def test_a_section_folds_and_says_so(qtbot):
    from qtpy.QtWidgets import QLabel

    from napari_fewshot._napari.widgets.parts.forms import Section

    section = Section("More", "tip")
    qtbot.addWidget(section)
    inside = QLabel("text")
    section.addWidget(inside)
    section.show()
    assert section.text() == "▸ More"
    assert section.content().maximumHeight() == 0
    section.toggleButton().click()
    qtbot.waitUntil(lambda: section.content().height() > 0)
    assert section.text() == "▾ More"


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
    from napari_fewshot._napari.widgets.parts.backbone_choice import BackboneChoice
    from napari_fewshot._napari.widgets.parts.template_list import TemplateList

    backbones = BackboneChoice()
    templates = TemplateList()
    with qtbot.waitSignal(backbones.looked, timeout=20_000):
        pass
    for part in (adapters, backbones, templates):
        qtbot.addWidget(part)
        assert part.minimumSizeHint().width() <= 280

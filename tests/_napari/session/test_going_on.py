"""A model that was opened learns on from the templates of the session."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer

from napari_fewshot import FewShotSegmenter, InputError, Template, viewer_session
from napari_fewshot._napari.layers import image_layer

from .conftest import MINUTE

pytestmark = pytest.mark.viewer
QUICK = {"hidden": 32, "steps": 80, "batch": 256, "update_steps": 20}


@pytest.fixture
def cohort(patient, tmp_path):
    """A model of another patient, in a file."""
    phantom, painted, _ = patient
    model = FewShotSegmenter(backbone="multiscale", adapter="classification", classification=QUICK)
    names = {1: "liver", 77: "of the cohort alone"}
    more = np.array(painted.data)
    more[more == 2] = 77
    model.fit(Template(phantom.image, more, names=names)).save(tmp_path / "cohort.fewshot")
    return tmp_path / "cohort.fewshot"


def test_training_goes_on_from_it_unless_anew(session, cohort):
    session.load_model(cohort)
    session.train(score=False).wait(MINUTE)
    model = session.model
    assert {2, 77} <= set(model.label_values_)  # of both
    assert model.card_.images == 2
    session.update("image").wait(MINUTE)
    assert session.model.card_.images == 2  # its own templates are not counted again
    assert 77 in session.model.label_values_
    session.train(score=False, anew=True).wait(MINUTE)
    assert 77 not in session.model.label_values_
    assert session.model.base_ is None


def test_other_settings_do_not_go_on(session, cohort):
    session.load_model(cohort)
    session.configure(position=False)
    with pytest.raises(InputError, match="of the opened model"):
        session.train()
    session.train(score=False, anew=True).wait(MINUTE)


def test_what_it_goes_on_from_comes_back(session, cohort, make_napari_viewer, patient, tmp_path):
    session.load_model(cohort)
    session.train(score=False).wait(MINUTE)
    session.save(tmp_path / "work").wait(MINUTE)
    viewer = make_napari_viewer()
    viewer.add_layer(Layer.create(*image_layer(patient[0].image, "image")))
    again = viewer_session(viewer)
    again.restore(tmp_path / "work").wait(MINUTE)
    assert again.model.base_.card_.images == 1
    again.update("image").wait(MINUTE)
    assert again.model.card_.images == 2
    assert 77 in again.model.label_values_
    again.close()


def test_a_restored_model_of_its_own_templates_goes_on_from_no_other(trained, tmp_path):
    trained.save(tmp_path / "work").wait(MINUTE)
    trained.restore(tmp_path / "work").wait(MINUTE)
    assert trained.model.base_ is None
    trained.update("image").wait(MINUTE)
    assert trained.model.card_.images == 1


def test_the_dock_asks(session, cohort, viewer, qtbot):
    from napari_fewshot._napari.widgets.training import AdapterTraining

    dock = AdapterTraining(viewer)
    viewer.window.add_dock_widget(dock)
    assert not dock.goes_on.isVisibleTo(dock)
    session.load_model(cohort)
    qtbot.waitUntil(lambda: dock.goes_on.isVisibleTo(dock))
    assert dock.goes_on.isChecked()
    dock.goes_on.setChecked(False)
    dock.score.setChecked(False)
    dock.train.click()
    qtbot.waitUntil(lambda: not session.jobs, timeout=1000 * MINUTE)
    assert session.model.base_ is None
    qtbot.waitUntil(lambda: not dock.goes_on.isVisibleTo(dock))

"""Many images in this process: the table, what goes on after an end, what a person has made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot import make_phantom, read_labels, read_volume, write_image, write_labels
from napari_fewshot.errors import Cancelled, InputError, ModelFileError
from napari_fewshot.jobs import (
    TABLE,
    ModelSource,
    PredictOptions,
    predict_many,
    read_table,
    write_table,
)
from napari_fewshot.jobs.table import doubt_of, mark_reviewed

from .conftest import written

ALL = PredictOptions(confidence=True, landmarks=True)


def test_all_images_and_their_table(joint, tmp_path):
    model, images = joint
    seen = []
    found = predict_many(model, images, tmp_path, ALL, progress=lambda *call: seen.append(call))
    assert [one.image for one in found] == images
    assert {one.status for one in found} == {"done"}
    assert {one.slices for one in found} == {16}
    assert all(0.3 < one.mean_confidence < 1 > one.disagreement > 0 for one in found)
    assert {what.split(":")[0] for _, _, what in seen} == {path.name for path in images}
    table = read_table(tmp_path / TABLE)
    sure = [one.mean_confidence for one in table]
    assert sure == sorted(sure)
    assert {one.image for one in table} == set(images)
    assert sorted(written(tmp_path)) == sorted(
        f"p{n}_{what}"
        for n in range(4)
        for what in ("labels.nii.gz", "labels.json", "confidence.nii.gz", "landmarks.csv")
        if what != "labels.json" or (tmp_path / f"p{n}_labels.json").exists()
    )


def test_what_a_killed_run_has_left_goes_with_the_next(joint, tmp_path):
    model, images = joint
    elsewhere = "0a1b2c3d-77-0a1b2c3d.tmp"  # on another machine, which nobody can ask
    half = [tmp_path / f".p0_{what}.{elsewhere}" for what in ("labels.nii.gz", "landmarks.csv")]
    others = [tmp_path / name for name in (f".p1_labels.nii.gz.{elsewhere}", ".p0_labels.nii.gz")]
    for path in (*half, *others):
        path.write_text("half")
    predict_many(model, images[:1], tmp_path, ALL)
    assert not any(path.exists() for path in half)
    assert all(path.exists() for path in others)


def test_a_bad_image_is_told_and_the_others_are_done(joint, tmp_path):
    model, images = joint
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(images[0].read_bytes()[:500])
    first, second = predict_many(model, [bad, images[1]], tmp_path / "out")
    assert (first.status, second.status) == ("failed", "done")
    assert "must be a whole NIfTI file" in first.error
    assert read_table(tmp_path / "out" / TABLE)[0].status == "failed"


def test_a_run_that_was_stopped_goes_on_where_it_was(joint, tmp_path):
    model, images = joint
    whole = tmp_path / "whole"
    predict_many(model, images, whole, ALL)

    def stop(done, total, what):
        if what.startswith("p2"):
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        predict_many(model, images, tmp_path / "out", ALL, progress=stop)
    assert [one.status for one in read_table(tmp_path / "out" / TABLE)] == ["done", "done"]
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("p[01]_*")}
    again = predict_many(model, images, tmp_path / "out", ALL)
    assert [one.status for one in again] == ["skipped", "skipped", "done", "done"]
    assert times == {path: path.stat().st_mtime_ns for path in times}
    assert written(tmp_path / "out") == written(whole)


def test_other_settings_another_image_or_a_lost_file_are_done_again(joint, tmp_path):
    model, images = joint
    image = tmp_path / "own.nii.gz"
    image.write_bytes(images[1].read_bytes())

    def status(source=model, options=None):
        return predict_many(source, [image], tmp_path / "out", options)[0].status

    assert status() == "done"
    assert status() == "skipped"
    assert status(options=PredictOptions(axis=1)) == "done"
    assert status(options=PredictOptions(region=[[3, 9]])) == "done"
    assert status(options=PredictOptions(region=((3, 9),))) == "skipped"
    assert status(options=PredictOptions(region=((3, 8),))) == "done"
    assert status() == "done"
    image.write_bytes(images[2].read_bytes())
    assert status() == "done"
    (tmp_path / "out" / "own_labels.nii.gz").unlink()
    assert status() == "done"
    assert status(ModelSource.of(model, propagation={"smoothing": 2.0})) == "done"
    assert status(ModelSource.of(model, propagation={"smoothing": 2.0})) == "skipped"


def test_the_table_tells_of_the_part_that_was_labelled(joint, tmp_path):
    model, images = joint
    options = PredictOptions(confidence=True, region=((3, 9), (5, 40), None))
    (found,) = predict_many(model, images[:1], tmp_path, options)
    box = np.s_[3:9, 5:40]
    labels = read_labels(tmp_path / "p0_labels.nii.gz").data[box]
    sure = read_volume(tmp_path / "p0_confidence.nii.gz").data[box]
    assert found.slices == 6
    assert found.mean_confidence == pytest.approx(sure[labels > 0].mean(), abs=1e-5)
    assert found.disagreement == pytest.approx(doubt_of(labels, sure)[1])


def test_a_region_that_one_image_has_not(joint, tmp_path):
    model, images = joint
    made = make_phantom("joint", 0, (8, 48, 48)).image
    write_image(tmp_path / "small.nii.gz", made.data, made)
    paths = [tmp_path / "small.nii.gz", images[1]]
    first, second = predict_many(model, paths, tmp_path / "out", PredictOptions(region=[(4, 12)]))
    assert (first.status, second.status) == ("failed", "done")
    assert first.error.startswith("region must lie within axis 0")
    with pytest.raises(InputError, match="where planes are fused"):
        PredictOptions(axis="fused", region=[(4, 12)])


def test_what_a_person_corrected_is_refused_and_what_was_reviewed_is_kept(joint, tmp_path):
    model, images = joint
    out = tmp_path / "out"
    predict_many(model, images[:2], out)
    path = out / "p0_labels.nii.gz"
    labels = read_labels(path)
    write_labels(path, np.zeros_like(labels.data), labels)
    with pytest.raises(InputError, match="not replace a file"):
        predict_many(model, images[:2], out)
    rows = read_table(out / TABLE)
    write_table(
        out / TABLE, [replace(r, status="reviewed") if r.labels == path else r for r in rows]
    )
    found = predict_many(model, images[:2], out)
    assert [one.status for one in found] == ["reviewed", "skipped"]
    assert not read_labels(path).data.any()
    assert [one.status for one in predict_many(model, images[:2], out, overwrite=True)] == [
        "done"
    ] * 2
    assert read_labels(path).data.any()


def test_no_run_forgets_what_was_reviewed(joint, tmp_path):
    model, images = joint
    out = tmp_path / "out"
    predict_many(model, images[:2], out)

    def status() -> dict[str, str]:
        return {row.image.name[:2]: row.status for row in read_table(out / TABLE)}

    mark_reviewed(out / TABLE, out / "p0_labels.nii.gz")
    predict_many(model, images[2:3], out)  # a run over other images
    assert status() == {"p0": "reviewed", "p2": "done"}

    def mark(done, total, what):  # while the run is at another image
        if (out / "p1_labels.nii.gz").exists() and what.startswith("p3"):
            mark_reviewed(out / TABLE, out / "p2_labels.nii.gz")

    predict_many(model, images, out, progress=mark)
    assert status() == {"p0": "reviewed", "p1": "skipped", "p2": "reviewed", "p3": "done"}

    def stop(done, total, what):
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        predict_many(model, images[:1], out, progress=stop, overwrite=True)
    assert status()["p0"] == "done"  # asked for: labels of nobody's are never called reviewed
    assert status()["p2"] == "reviewed"


def test_what_concerns_all_images_ends_the_run(joint, tmp_path):
    _, images = joint
    broken = tmp_path / "m.fewshot"
    broken.write_bytes(b"nothing")
    with pytest.raises(ModelFileError):
        predict_many(broken, images, tmp_path / "out")
    with pytest.raises(InputError, match="model must be an existing file"):
        predict_many(tmp_path / "none.fewshot", images, tmp_path / "out")
    assert not (tmp_path / "out").exists() or not written(tmp_path / "out")

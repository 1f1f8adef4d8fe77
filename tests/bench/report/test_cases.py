"""Figures of cases: which are shown, in what order, and what is marked on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_fewshot.bench.kept import FOREGROUND, KeptSlices
from napari_fewshot.bench.methods import Predicted
from napari_fewshot.bench.prepare import prepare_case
from napari_fewshot.bench.records import Record
from napari_fewshot.bench.report import cases
from napari_fewshot.bench.report.cases import _columns, _Drawing, case_figures
from napari_fewshot.bench.report.figures import _grey_values, _intensities
from napari_fewshot.bench.report.results import Results
from napari_fewshot.io import read_labels, write_labels, write_points
from napari_fewshot.types import Landmark

from .conftest import CONFIG, METHODS, finish, label_row, landmark_row
from .test_report import LANDMARKS, texts

GREEN, RED = (0, 190, 120), (240, 60, 20)
SCORES = {"a": 0.5, "b": 0.9, "c": 0.1}
PICTURES = "\n[output]\npictures = {}\n"


@pytest.fixture
def sheets(monkeypatch):
    """Row titles and heads of the sheets that are laid out, and their panels."""
    seen = []
    lay_out = cases.lay_out

    def watched(panels, rows, heads, *rest):
        seen.append((list(rows), [head for head, _ in heads], panels, [p for _, p in heads]))
        return lay_out(panels, rows, heads, *rest)

    monkeypatch.setattr(cases, "lay_out", watched)
    return seen


@pytest.fixture
def tall(data):
    """Truth on the first of three slices alone."""
    for name in "abc":
        path = data / "data" / "labels" / f"{name}.nii.gz"
        labels = read_labels(path)
        labels.data[1:] = 0
        write_labels(path, labels.data, labels)
    return data


def keep(benchmark, unit, change=lambda planes: planes, painted=()):
    """Keep the truth of a unit, changed, as what was predicted."""
    case = prepare_case(benchmark.selection.case(unit.case), benchmark.config)
    labels = change(case.truth.data.copy())
    kept = KeptSlices.of(Predicted(labels), case, painted, benchmark.config.output.picture_slices)
    kept.write(benchmark.records.kept_path(unit))


def record(unit, **more) -> Record:
    worse = 0.05 if unit.method == "rival" else 0.0
    return Record(rows=[label_row(1, "liver", SCORES[unit.case] - worse)], **more)


def colours_of(picture) -> set[tuple[int, int, int]]:
    return set(map(tuple, np.asarray(picture.convert("RGB")).reshape(-1, 3).tolist()))


def test_cases_stand_from_the_lowest_to_the_highest_score(open_with, sheets, tmp_path):
    benchmark = open_with(CONFIG + PICTURES.format(2))
    finish(benchmark, record)
    for unit in benchmark.units:
        if unit.seed == 0:
            keep(benchmark, unit)
    grid, montage = case_figures(Results(benchmark), tmp_path / "figures")
    assert sheets[0][0] == ["c", "b"]
    assert sheets[0][1] == ["image", "template", "truth", "baseline", "rival"]
    assert sheets[1][0] == ["truth", "baseline", "rival"]
    assert montage.caption.startswith("a, of middle score")
    for picture in (grid, montage):
        with Image.open(picture.path) as file:
            assert (file.format, file.mode) == ("PNG", "P")


def test_figures_stand_in_the_report_and_go_with_what_they_show(open_with):
    benchmark = open_with()
    finish(benchmark, record)
    text, _ = texts(benchmark)
    assert "## Cases" not in text
    for unit in benchmark.units:
        if unit.seed == 0:
            keep(benchmark, unit)
    text, page = texts(benchmark)
    for name in ("cases", "montage", "intensities"):
        assert f"](figures/{name}.png)" in text
    assert page.count("data:image/png") == 4
    figures = benchmark.folder / "figures"
    assert (figures / "montage.png").is_file()
    text, _ = texts(open_with(CONFIG + PICTURES.format(0)))
    assert "## Cases" not in text
    assert sorted(path.name for path in figures.glob("*.png")) == ["boxes.png"]


def test_the_slice_with_most_truth_that_was_not_painted_is_shown(open_with, sheets, tmp_path, tall):
    path = tall / "data" / "labels" / "a.nii.gz"
    labels = read_labels(path)
    labels.data[2, 2:5, 2:5] = 1
    write_labels(path, labels.data, labels)
    benchmark = open_with(CONFIG.replace("[dataset]", '[dataset]\nname_of_case = "a"'))
    finish(benchmark, lambda u: record(u, painted={"a": [0]}))
    for unit in benchmark.units:
        keep(benchmark, unit, lambda labels: labels * 0, painted=[0])
    grid, _ = case_figures(Results(benchmark), tmp_path)
    ((image, template, truth, prediction, _),) = sheets[0][2]
    # Coloured where labels are: on the template slice twice as many as on the one that is shown.
    colour = [
        int((np.ptp(np.asarray(panel).astype(int), axis=-1) > 40).sum())
        for panel in (image, template, truth, prediction)
    ]
    assert colour[1] > 1.5 * colour[2] > 0
    assert colour[0] == colour[3] == 0
    assert "that was not painted; 1 template slice." in grid.caption


def test_true_negatives_are_green_and_false_positives_red(open_with, sheets, tmp_path, tall):
    benchmark = open_with()
    finish(benchmark, lambda u: record(u, painted={u.case: [0]}))

    def more(labels):
        labels[2, 1:4, 1:4] = 1
        return labels

    for unit in benchmark.units:
        if unit.seed == 0:
            keep(benchmark, unit, more if unit.method == "rival" else lambda labels: labels)
    _, montage = case_figures(Results(benchmark), tmp_path)
    rows, heads, panels, painted = sheets[1]
    assert (rows, heads) == (["truth", "baseline", "rival"], ["0", "1", "2"])
    assert painted == [True, False, False]
    marks = [[{GREEN, RED} & colours_of(panel) for panel in row] for row in panels]
    assert marks == [[set()] * 3, [set(), {GREEN}, {GREEN}], [set(), {GREEN}, {RED}]]
    with Image.open(montage.path) as file:
        assert {GREEN, RED} <= colours_of(file)


def test_methods_of_which_nothing_is_kept_are_left_out(open_with, sheets, tmp_path):
    third = METHODS[METHODS.rindex("[[") :].replace("rival", "third") + 'shots = ["all"]\n'
    benchmark = open_with(methods=METHODS + third)
    finish(benchmark, lambda u: record(replace(u, method="rival")))
    for unit in benchmark.units:
        if unit.seed == 0 and unit.method != "rival" and unit.case != "b":
            keep(benchmark, unit)
    list(case_figures(Results(benchmark), tmp_path))
    rows, heads, panels, _ = sheets[0]
    assert rows == ["c", "a"]
    assert heads[3:] == ["baseline", "third (all other slices (five folds))"]
    assert all(panel is not None for row in panels for panel in row[2:])


def test_a_slice_that_was_not_kept_is_left_free(open_with, sheets, tmp_path):
    few = open_with(CONFIG + "\n[output]\npicture_slices = 1\n")
    finish(few, record)
    for unit in few.units:
        if unit.seed == 0:
            keep(few, unit)
    list(case_figures(Results(open_with()), tmp_path))
    assert [[panel is None for panel in row] for row in sheets[1][2]] == [
        [False] * 3,
        *[[False, False, True]] * 2,
    ]


def test_images_that_are_gone_are_no_crash(open_with, tmp_path, data, caplog):
    benchmark = open_with()
    finish(benchmark, record)
    for unit in benchmark.units:
        keep(benchmark, unit)
    for path in (data / "data" / "images").iterdir():
        path.write_bytes(b"")
    assert list(case_figures(Results(benchmark), tmp_path)) == []
    assert "cases are not shown" in caplog.text


def test_landmarks_are_drawn_with_their_errors(open_with, sheets, tmp_path, data):
    config = LANDMARKS.replace("images/{case}.png", "images/{case}.nii.gz")
    volume = read_labels(data / "data" / "labels" / "a.nii.gz")
    truth = [Landmark("tip", 1, (0.0, 3.0, 3.0)), Landmark("end", 2, (0.0, 8.0, 8.0))]
    for name in "abc":
        write_points(data / "data" / "points" / f"{name}.csv", truth, volume)
    benchmark = open_with(config)
    finish(benchmark, lambda u: Record(rows=[landmark_row("tip", True, 2.0)], painted={"a": [0]}))
    found = (Landmark("tip", 1, (1.0, 3.0, 8.0)), Landmark("end", 2, (0.0, 8.0, 8.0)))
    for unit in benchmark.units:
        case = prepare_case(benchmark.selection.case(unit.case), benchmark.config)
        kept = KeptSlices.of(Predicted(None, found), case, [], 10)
        kept.write(benchmark.records.kept_path(unit))
    grid, montage = case_figures(Results(benchmark), tmp_path)
    assert "slice with the most landmarks" in grid.caption
    assert "White: truth, orange: prediction." in montage.caption
    image, _, true, prediction, _ = sheets[0][2][0]
    orange = (255, 140, 0)
    assert orange not in colours_of(image) | colours_of(true)
    assert orange in colours_of(prediction)
    marks = [[{GREEN, RED} & colours_of(panel) for panel in row] for row in sheets[1][2]]
    assert marks[1] == [set(), {RED}, {GREEN}]


def test_both_landmarks_of_a_pair_are_drawn(open_with, sheets, tmp_path, data):
    config = LANDMARKS.replace("images/{case}.png", "images/{case}.nii.gz")
    config = config.replace("[landmarks]", "[landmarks]\nper_label = 2")
    volume = read_labels(data / "data" / "labels" / "a.nii.gz")
    truth = [Landmark("eye", 1, (0.0, 3.0, x)) for x in (2.0, 9.0)]
    for name in "abc":
        write_points(data / "data" / "points" / f"{name}.csv", truth, volume)
    benchmark = open_with(config)
    finish(benchmark, lambda u: Record(rows=[landmark_row("eye", True, 2.0)]))
    found = tuple(Landmark("eye", 1, (0.0, 8.0, x)) for x in (2.0, 9.0))
    for unit in benchmark.units:
        case = prepare_case(benchmark.selection.case(unit.case), benchmark.config)
        kept = KeptSlices.of(Predicted(None, found), case, [], 10)
        kept.write(benchmark.records.kept_path(unit))
    list(case_figures(Results(benchmark), tmp_path))
    for panel in (sheets[0][2][0][3], sheets[1][2][1][0]):
        half = panel.width // 2
        for side in (panel.crop((0, 0, half, panel.height)), panel.crop((half, 0, *panel.size))):
            assert {(255, 140, 0), (255, 255, 255)} <= colours_of(side)


def test_a_region_has_a_colour_of_its_own_and_is_no_label(open_with, sheets, tmp_path):
    benchmark = open_with()
    rows = [label_row(0, "foreground", 0.5)]
    finish(benchmark, lambda u: replace(record(u), rows=rows) if u.method == "rival" else record(u))
    for unit in benchmark.units:
        case = prepare_case(benchmark.selection.case(unit.case), benchmark.config)
        found = Predicted((case.truth.data > 0).astype(np.int32), scored="union")
        if unit.method != "rival":
            found = Predicted(case.truth.data.astype(np.int32))
        kept = KeptSlices.of(found, case, [], 10)
        kept.write(benchmark.records.kept_path(unit))
    drawn = _Drawing(Results(benchmark), _columns(Results(benchmark)))
    assert drawn.names == {1: "liver", FOREGROUND: "foreground"}
    list(case_figures(Results(benchmark), tmp_path))
    truth, baseline, rival = (row[0] for row in sheets[1][2])
    assert colours_of(truth) == colours_of(baseline) != colours_of(rival)
    assert RED not in colours_of(rival)


def test_a_case_of_which_nothing_is_scored_is_not_shown(open_with, sheets, tmp_path):
    benchmark = open_with()
    finish(benchmark, lambda u: replace(record(u), rows=[]) if u.case == "a" else record(u))
    for unit in benchmark.units:
        keep(benchmark, unit)
    list(case_figures(Results(benchmark), tmp_path))
    assert sheets[0][0] == ["c", "b"]


def test_grey_values_are_a_curve_for_each_case_that_can_be_read(open_with, data):
    window = CONFIG + "\n[image]\nwindow = [0.0, 320.0]\n"
    values = _grey_values(Results(open_with(window)))
    assert len(values) == 3
    for number, (raw, scaled) in enumerate(values):
        assert raw.min() == number
        np.testing.assert_allclose(scaled, raw / 320, atol=1e-6)
    whole = _grey_values(Results(open_with()))[0][1]
    assert (whole.min(), whole.max()) == (0, 1)
    before, after = _intensities(values).axes
    assert len(before.lines) == len(after.lines) == 3
    assert all(line.get_ydata().sum() == pytest.approx(1) for line in after.lines)
    assert before.get_xscale() == "linear"
    bright = [*values, (values[0][0] * 1000, values[0][1])]
    assert _intensities(bright).axes[0].get_xscale() == "log"
    benchmark = open_with()
    (data / "data" / "images" / "b.nii.gz").write_bytes(b"no image")
    assert len(_grey_values(Results(benchmark))) == 2
    finish(benchmark, record)
    text, _ = texts(benchmark)
    assert "Grey values of 2 of 3 cases" in text

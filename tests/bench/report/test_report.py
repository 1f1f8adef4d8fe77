"""What the report says of results that are incomplete, without mm, or of several versions."""

from __future__ import annotations

import json
import re

import pytest
from PIL import Image

from napari_fewshot.bench.records import Record
from napari_fewshot.bench.report import write_report
from napari_fewshot.bench.report.figures import _shot_curves
from napari_fewshot.bench.report.published import check_published
from napari_fewshot.bench.report.results import Results
from napari_fewshot.errors import UnknownNameError

from .conftest import CONFIG, MACHINE, METHODS, finish, label_row, landmark_row

PNG = CONFIG.replace(".nii.gz", ".png").replace("[labels]", "[templates]\nscope='across'\n[labels]")
PNG = PNG.replace('root = "data"', 'root = "data"\ntrain = 1')
LANDMARKS = (
    PNG[: PNG.index("[labels]")].replace("labels = ", "landmarks = ").replace("labels/", "points/")
)
LANDMARKS = LANDMARKS.replace("points/{case}.png", "points/{case}.csv") + "[landmarks]\n"
PUBLISHED = '\n[published]\ndataset = "{}"\nstructures = {{ {} }}\n'


def texts(benchmark) -> tuple[str, str]:
    page = write_report(benchmark, "the command")
    return page.with_suffix(".md").read_text("utf-8"), page.read_text("utf-8")


def lines(text: str, name: str) -> list[list[str]]:
    """Cells of the rows of a method in the tables of Markdown."""
    found = [
        line for line in text.splitlines() if re.match(rf"\| {re.escape(name)}( \(| \|)", line)
    ]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found]


HARD = {"a": 0.9, "b": 0.8, "c": 0.1}


def test_a_method_without_the_hard_case_does_not_win(open_with):
    benchmark = open_with()
    finish(
        benchmark,
        lambda u: None if u.method == "rival" and u.case == "c" else HARD[u.case] + 0.0,
    )
    text, page = texts(benchmark)
    row = lines(text, "rival")[0]
    assert row[0] == "rival (4 of 6 cases × seeds)"
    assert row[1].startswith("0.850")  # is there, and higher
    assert row[2] == "–"
    assert "**" not in "".join(row[1:])
    assert lines(text, "baseline")[0][2] == "1.00"
    assert "rival (4 of 6 cases × seeds)" in page
    assert "<strong>" not in page
    assert "they are not compared" in text
    assert "2 of 12 predictions are not made yet" in text
    header = next(line for line in text.splitlines() if line.startswith("| structure"))
    assert "rival (4 of 6 cases × seeds)" in header
    coverage = json.loads((benchmark.folder / "results.json").read_text("utf-8"))["coverage"]
    assert coverage[1] == {"method": "rival", "shot": 1, "done": 4, "planned": 6}


def test_complete_methods_are_compared_with_each_other(open_with):
    third = METHODS[METHODS.rindex("[[") :].replace("rival", "third")
    third = third.replace("classification", "contrastive")
    benchmark = open_with(methods=METHODS + third)
    failed = Record(error="no memory")
    worse = {"baseline": -0.05, "rival": 0.0, "third": 0.0}
    finish(
        benchmark,
        lambda u: failed if (u.method, u.seed) == ("third", 0) else HARD[u.case] + worse[u.method],
    )
    text, _ = texts(benchmark)
    assert lines(text, "rival")[0][1].startswith("**0.600")
    assert float(lines(text, "rival")[0][2]) < 1
    row = next(row for row in lines(text, "third") if row[1] != "no memory")
    assert row[0] == "third (3 of 6 cases × seeds)"
    assert row[2] == "–"


def test_nothing_is_set_in_relation_to_a_baseline_that_lacks_cases(open_with):
    benchmark = open_with()
    finish(
        benchmark,
        lambda u: None if u.method == "baseline" and u.case == "c" else HARD[u.case] + 0.0,
    )
    text, _ = texts(benchmark)
    assert [row[2] for row in (*lines(text, "baseline")[:1], *lines(text, "rival")[:1])] == [
        "–"
    ] * 2


def test_a_method_without_any_score_has_a_row_that_says_so(open_with):
    benchmark = open_with()
    finish(benchmark, lambda u: None if u.method == "rival" else 0.5)
    text, _ = texts(benchmark)
    assert lines(text, "rival")[0][:3] == ["rival (0 of 6 cases × seeds)", "–", "–"]


def test_complete_results_have_no_marks(open_with):
    benchmark = open_with()
    finish(benchmark, lambda u: 0.5 + 0.1 * (u.method == "rival"))
    text, _ = texts(benchmark)
    assert lines(text, "rival")[0][:3] == ["rival", "**0.600 ± 0.000**", "0.80"]
    assert "cases × seeds" not in text


def test_the_upper_reference_is_compared_with_the_baseline_at_its_largest_shot(open_with):
    text = CONFIG.replace("shots = [1]", "shots = [1, 2]")
    upper = METHODS[METHODS.rindex("[[") :].replace("rival", "upper") + 'shots = ["all"]\n'
    benchmark = open_with(text, METHODS + upper)
    scores = {1: 0.2, 2: 0.6, "all": 0.9}
    finish(benchmark, lambda u: scores[u.shot])
    text, _ = texts(benchmark)
    assert lines(text, "upper")[0][2] == "0.25"
    heads = [line for line in text.splitlines() if line.startswith("| method | Dice")]
    assert ["(2 template slices)" in head for head in heads] == [False, False, True]


def test_numbers_of_templates_and_all_of_them_are_on_one_curve(open_with):
    text = CONFIG.replace("shots = [1]", 'shots = [2, "all", 1]')
    benchmark = open_with(text)
    scores = {1: 0.2, 2: 0.6, "all": 0.9}
    finish(benchmark, lambda u: None if u.method == "rival" else scores[u.shot])
    text, _ = texts(benchmark)
    assert "](figures/shots.png)" in text
    assert re.findall(r"\| fit s \((\w+)\)", text) == ["1", "2", "all"]
    (axes,) = _shot_curves(Results(benchmark)).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "all"]
    assert axes.lines[0].get_ydata() == pytest.approx([0.2, 0.6, 0.9])


def test_distances_are_in_pixels_where_images_have_no_size(open_with):
    benchmark = open_with(PNG)
    finish(benchmark, lambda u: 0.5)
    text, page = texts(benchmark)
    for report in (text, page):
        assert "ASSD px" in report
        assert "ASSD mm" not in report
        assert "mm³" not in report
        assert "do not say how large their pixels are" in report
    assert json.loads((benchmark.folder / "results.json").read_text("utf-8"))["unit"] == "px"


def test_distances_are_in_mm_where_images_have_a_size(open_with):
    benchmark = open_with()
    finish(benchmark, lambda u: 0.5)
    text, _ = texts(benchmark)
    assert "ASSD mm" in text
    assert "false mm³" in text


def test_radial_errors_are_in_pixels_where_images_have_no_size(open_with):
    benchmark = open_with(LANDMARKS)
    row = landmark_row("tip", True, 3.0)
    record = Record(rows=[row], picture="p.png", worst="slice 0, landmark tip 3.0 mm off")
    finish(benchmark, lambda u: record if u.seed == 0 else Record(rows=[row]))
    Image.new("RGB", (20, 20)).save(benchmark.records.folder / "p.png")
    text, _ = texts(benchmark)
    assert "radial error px" in text
    assert "landmark tip 3.0 px off" in text
    assert " mm" not in text.replace("in mm", "")


def test_published_accuracies_stand_beside_those_of_the_same_radius_only(open_with):
    published = PUBLISHED.format("MR knee", 'tip = "KPB"')
    for radius, shown in ((10, True), (5, False)):
        benchmark = open_with(f"{LANDMARKS}[metrics]\nradius_px = {radius}\n{published}")
        finish(benchmark, lambda u: Record(rows=[landmark_row("tip", True, 3.0)]))
        text, _ = texts(benchmark)
        assert ("this report" in text) is shown
        assert ("Published, but not shown: localisation accuracy" in text) is not shown


def test_published_distances_in_mm_do_not_stand_beside_pixels(open_with):
    benchmark = open_with(PNG + PUBLISHED.format("AMOS22 CT", 'liver = "aorta"'))
    finish(benchmark, lambda u: 0.5)
    text, _ = texts(benchmark)
    assert "Published, but not shown: ASSD in mm; here it is in px." in text
    assert "ours: liver): IoU" in text
    assert "ours: liver): ASSD" not in text


def test_small_distances_keep_two_digits(open_with):
    benchmark = open_with(CONFIG)
    finish(benchmark, lambda u: Record(rows=[label_row(1, "liver", 0.5, assd_mm=0.000734)]))
    text, _ = texts(benchmark)
    assert "0.00073 ± 0.00000" in text


def test_the_published_rand_index_stands_beside_ours(open_with):
    benchmark = open_with(CONFIG + PUBLISHED.format("challenge CT", 'mean = "all structures"'))
    indices = {"rand_index": 0.925, "adjusted_rand_index": 0.875}
    finish(benchmark, lambda u: Record(rows=[label_row(1, "liver", 0.5, **indices)]))
    text, _ = texts(benchmark)
    (published,) = (line for line in text.splitlines() if "0.007" in line)
    assert "ENS" in published
    ours = [line for line in text.splitlines() if "this report" in line]
    assert any("0.875" in line for line in ours)  # chance is 0 of the adjusted one alone
    assert not any("0.925" in line for line in ours)


def test_a_published_structure_without_scores_of_ours_is_named(open_with):
    benchmark = open_with(CONFIG + PUBLISHED.format("CT TotalSegmentator", 'spleen = "liver"'))
    finish(benchmark, lambda u: 0.5)
    text, _ = texts(benchmark)
    assert "Published, but not shown: liver, which has no score here." in text


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (CONFIG, "livre"),
        (CONFIG.replace("names = { 1", "use = ['liver']\nnames = { 1"), "lever"),
        (CONFIG.replace("[labels]", '[labels]\nmerge = "liver"'), "spleen"),
        (CONFIG.replace('names = { 1 = "liver", 2 = "spleen" }', "names = { 1 = 'liver' }"), "l"),
    ],
)
def test_a_misspelt_structure_of_ours_is_refused(open_with, config, key):
    benchmark = open_with(config + PUBLISHED.format("CT TotalSegmentator", f'{key} = "liver"'))
    with pytest.raises(UnknownNameError, match=r"published\.structures must be one of .*liver"):
        check_published(benchmark.config)


def test_near_matches_of_a_misspelt_structure_are_named(open_with):
    config = CONFIG + PUBLISHED.format("CT TotalSegmentator", 'livre = "liver"')
    with pytest.raises(UnknownNameError, match="Did you mean liver"):
        check_published(open_with(config).config)


@pytest.mark.parametrize("key", ["liver", "2", "mean"])
def test_names_of_files_and_values_without_a_name_are_ours(open_with, key):
    config = CONFIG.replace('names = { 1 = "liver", 2 = "spleen" }', 'names = { 1 = "liver" }')
    config += PUBLISHED.format("CT TotalSegmentator", f'{key} = "liver"')
    check_published(open_with(config).config)


def test_names_of_landmarks_are_those_of_the_files(open_with):
    check_published(open_with(LANDMARKS + PUBLISHED.format("MR knee", 'tip = "KPB"')).config)
    wrong = open_with(LANDMARKS + PUBLISHED.format("MR knee", 'top = "KPB"'))
    with pytest.raises(UnknownNameError, match="Did you mean tip"):
        check_published(wrong.config)


def picture(benchmark, unit) -> str:
    name = f"{unit.key}.png"
    path = benchmark.records.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (200, 40)).save(path)
    return name


ROWS = [label_row(1, "liver", 0.5), label_row(2, "spleen", 0.7)]


def drawn(benchmark, unit) -> Record:
    if unit.seed:
        return Record(rows=ROWS, machine=MACHINE)
    name = picture(benchmark, unit)
    return Record(rows=ROWS, machine=MACHINE, picture=name, worst="slice 1")


def test_pictures_of_the_first_seed_are_shown(open_with):
    benchmark = open_with()
    finish(benchmark, lambda u: drawn(benchmark, u))
    text, _ = texts(benchmark)
    found = sorted((benchmark.folder / "figures").glob("worst-*.png"))
    assert len(found) == 6
    assert "below them the colours of labels" in text
    drawn_with = benchmark.records.folder / found[0].name.removeprefix("worst-")
    assert found[0].read_bytes() == drawn_with.read_bytes()


def test_text_is_escaped(open_with):
    notes = "a & b [c](javascript:d) [e](https://f)\n\n    code"
    given = f'title = "<b> | a"\nnotes = """\n{notes}"""\n' + CONFIG
    benchmark = open_with(given, METHODS.replace("rival", "ri|val <i>"))
    finish(benchmark, lambda u: 0.5 + 0.1 * (u.method != "baseline"))
    text, page = texts(benchmark)
    assert "<title>&lt;b&gt; | a</title>" in page
    assert "<h1>&lt;b&gt; | a</h1>" in page
    assert "<p>a &amp; b [c](javascript:d) [e](https://f)\n\n    code</p>" in page
    assert '<td class="word">ri|val &lt;i&gt;</td><td><strong>0.600 ± 0.000</strong></td>' in page
    assert text.startswith("# &lt;b> | a\n\na & b [c]\\(javascript:d) [e](https://f)\n\n    code\n")
    assert r"| ri\|val &lt;i> | **0.600 ± 0.000** |" in text


def test_figures_of_earlier_reports_are_removed(open_with):
    benchmark = open_with()
    finish(benchmark, lambda u: drawn(benchmark, u))
    texts(benchmark)
    figures = benchmark.folder / "figures"
    own = figures / "mine.png"
    own.write_bytes(b"")
    fewer = open_with(CONFIG + "\n[output]\npictures = 1\n")
    text, _ = texts(fewer)
    assert len(list(figures.glob("worst-*.png"))) == 2
    none = open_with(CONFIG + "\n[output]\npictures = 0\n")
    text, _ = texts(none)
    assert not list(figures.glob("worst-*.png"))
    assert "Worst cases" not in text
    assert own.exists()


def test_pictures_that_were_not_made_are_named_with_a_way_to_get_them(open_with):
    benchmark = open_with()
    perfect = Record(rows=[label_row(1, "liver", 1.0)])
    plain = Record(rows=ROWS)
    finish(
        benchmark,
        lambda u: perfect if u.case == "a" else plain if u.case == "b" else drawn(benchmark, u),
    )
    text, page = texts(benchmark)
    for report in (text, page):
        assert "Of 2 predictions there is no picture" in report
        assert "[output] pictures is not 0" in report
    removed = re.findall(r"units/(\w+)\.json", text)
    # Of the first seed, and not that on which nothing is wrong.
    wanted = {u.key for u in benchmark.units if u.case == "b" and u.seed == 0}
    assert set(removed) == wanted


@pytest.mark.parametrize(
    "change", [{"napari-fewshot": "2.0"}, {"commit": "012345"}, {"device": "cuda"}]
)
def test_all_machines_and_versions_are_named(open_with, change):
    benchmark = open_with()
    other = {**MACHINE, **change}
    row = label_row(1, "liver", 0.5)
    finish(
        benchmark,
        lambda u: Record(rows=[row], machine=other if u.method == "rival" else MACHINE),
    )
    text, _ = texts(benchmark)
    content = json.loads((benchmark.folder / "results.json").read_text("utf-8"))
    assert content["machines"] == [MACHINE, other]
    assert {(one["method"], one["machine"]) for one in content["runs"]} == {
        ("baseline", 0),
        ("rival", 1),
    }
    assert ("different versions of napari-fewshot" in text) is ("device" not in change)
    words = ", ".join(f"{name} {value}" for name, value in other.items())
    assert f"- {words}: predictions of rival (6)" in text


@pytest.mark.parametrize("scored", [False, True])
def test_cases_that_taught_stand_apart(open_with, scored):
    text = CONFIG.replace('root = "data"', 'root = "data"\ntrain = 1\ntest = "all"')
    how = "scope = 'across'" + "\nscored = true" * scored
    benchmark = open_with(text.replace("[labels]", f"[templates]\n{how}\n[labels]"))

    def record(unit):
        taught = unit.case == "a"
        rows = [label_row(1, "liver", 0.9 if taught else 0.5, taught=taught)]
        return Record(rows=rows, machine=MACHINE, painted={"a": [1]})

    finish(benchmark, record)
    text, page = texts(benchmark)
    assert "Leak: 1 of the scored cases have slices that taught a method." in text
    assert ("These slices are scored too" in text) is scored
    assert ("Painted slices are scored like others." in text) is scored
    assert lines(text, "rival")[1][1:] == ["0.900 ± 0.000", "0.500 ± 0.000"]
    assert "cases that taught" in page
    content = (benchmark.folder / "results.csv").read_text("utf-8").splitlines()
    assert content[0].endswith(",taught")
    assert content[1].endswith(",True")

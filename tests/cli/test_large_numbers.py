"""Numbers of thousands of digits, and settings within settings within settings, are one line."""

from __future__ import annotations

import pytest

from napari_fewshot.errors import InputError

NINES = "9" * 5000
TRAIN = ("train", "--backbone", "multiscale", "--adapter", "cosine", "--no-score", "--no-store")


@pytest.mark.parametrize(
    "more",
    [
        ("--slices", NINES),
        ("--slices", f"1-{NINES}"),
        ("--known-labels", NINES),
        ("--only", NINES),
        ("--channels", NINES),
        ("--axis", NINES),
        ("--frame", NINES),
        ("--seed", NINES),
        ("--seed", "1" + "0" * 30),
        ("--set", f"contrastive.steps={NINES}"),
        ("--set", f"contrastive.steps={'1' + '0' * 30}"),
        ("--set", f"contrastive.steps=-{NINES}"),
        ("--set", "contrastive.learning_rate=1e999"),
        ("--set", "a=" + "[" * 20000),
        ("--set", "cosine=" + '{"a":' * 20000 + "1" + "}" * 20000),
        ("--set", ".".join(["a"] * 20000) + "=1"),
        ("--spacing", "1e-9"),
        ("--spacing", "1e-300"),
        ("--spacing", "1e-9", "--isotropic"),
        ("--set", "resampling.mode=inplane", "--set", "resampling.spacing=1e-12"),
        ("--store-limit", "inf"),
        ("--store-limit", "nan"),
        ("--store-limit", "1e300"),
        ("--window", "nan", "1"),
    ],
    ids=lambda more: " ".join(more)[:40],
)
def test_options_of_train(run, patients, tmp_path, more):
    one = patients[0]
    words = [word for word in TRAIN if word != "--no-store" or "--store-limit" not in more]
    out = tmp_path / "new.fewshot"
    said = run(*words, "--image", one.image, "--labels", one.painted, *more, "-o", out)
    assert said.code == 2, said
    assert said.err.count("\n") == 1
    assert len(said.err) < 2000
    assert not out.exists()


@pytest.mark.parametrize(
    "more",
    [
        ("--region", f"{NINES}"),
        ("--region", f"0-{NINES}"),
        ("--axis", NINES),
        ("--frame", NINES),
        ("--channels", NINES),
        ("--set", f"propagation.cleanup.min_size={NINES}"),
        ("--set", f"propagation.cleanup.min_size={10**40}"),
        ("--set", "propagation=" + "[" * 20000),
    ],
    ids=lambda more: " ".join(more)[:40],
)
def test_options_of_predict(run, patients, model, tmp_path, more):
    said = run("predict", model, patients[0].image, "-o", tmp_path / "out", *more)
    assert said.code == 2, said
    assert said.err.count("\n") == 1
    assert len(said.err) < 2000


def test_options_of_evaluate(run, patients):
    one = patients[0]
    for more in (("--labels", NINES), ("--axis", NINES)):
        said = run("evaluate", "--pred", one.truth, "--truth", one.truth, *more)
        assert (said.code, said.err.count("\n")) == (2, 1), said
    marks = ("evaluate", "--pred", one.points, "--truth", one.points, "--axis", NINES)
    said = run(*marks)
    assert (said.code, said.err.count("\n")) == (2, 1), said


@pytest.mark.parametrize("row", [f"{NINES},1,1,1", f"a,{NINES},1,1", f"a,1e{NINES},1,1"])
def test_points(run, patients, tmp_path, row):
    points = tmp_path / "points.csv"
    points.write_text(f"name,z,y,x\n{row}\n")
    out = tmp_path / "m"
    said = run(*TRAIN, "--image", patients[0].image, "--points", points, "-o", out)
    assert said.code == 2, said
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        f"shots = [{NINES}]",
        f"shots = [{10**40}]",
        "a = " + "[" * 20000,
        "a = " + "{a=" * 20000,
        ".".join(["a"] * 20000) + " = 1",
        "[" + ".".join(["a"] * 20000) + "]",
        "a = 1e999999999",
        "\x00",
        "a = '\ud800'",
    ],
    ids=lambda text: text[:12],
)
def test_configurations(run, tmp_path, text):
    path = tmp_path / "b.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    said = run("benchmark", path, "-o", tmp_path / "out")
    assert said.code == 2, said.err[-2000:]
    assert said.err.count("\n") == 1
    assert len(said.err) < 2000


def test_errors_about_what_cannot_be_shown():
    assert "a int that is too long to show" in str(InputError("n", "be small", 10**5000))
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert "too long" in str(InputError("n", "be flat", deep))
    while deep:  # taken apart by hand: even that would go too deep
        deep = deep[0]  # type: ignore[assignment]

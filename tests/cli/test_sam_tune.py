"""``sam tune``: a checkpoint that the other modes and refinement take, and what is refused."""

from __future__ import annotations

import pytest

from .conftest import files_below, labels_of

QUICK = ("--steps", "2", "--no-store")


def test_the_checkpoint_is_one_for_every_mode_and_for_refinement(
    run, patients, model, tmp_path, tiny_sam
):
    one, other = patients
    tuned = tmp_path / "tuned.pth"
    said = run("sam", "tune", "--image", one.image, "--labels", one.painted, "--axis", "sagittal",
               "--sam-weights", tiny_sam, "-o", tuned, *QUICK)  # fmt: skip
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0].startswith("sam-vit-b, tuned on 2 painted slices in ")
    assert lines[1].startswith("Dice with boxes, 1 held-out slices: 0.")
    assert lines[2].startswith("Dice with points, 1 held-out slices: 0.")
    assert lines[3:] == [str(tuned)]
    for mode, *more in (
        ("boxes", "--truth", other.painted),
        ("points", "--truth", other.painted, "--each", "label"),
        ("automatic", "--set", "points_per_side=2", "--set", "iou=0", "--set", "stability=0"),
        ("persam", "--reference", one.image, one.painted),
    ):
        said = run("sam", mode, other.image, *more, "-o", tmp_path / mode, "--axis", "sagittal",
                   "--sam-weights", tuned, "--no-store")  # fmt: skip
        assert (said.code, said.err) == (0, "")
    said = run("predict", model, other.image, "-o", tmp_path / "refined", "--no-store",
               "--refine", "sam-vit-b", "--sam-weights", tuned)  # fmt: skip
    assert said.code == 0
    assert labels_of(tmp_path / "refined" / "joint1_labels.nii.gz") <= labels_of(other.truth)


def test_several_images_some_labels_and_slices_of_a_whole_map(run, patients, tmp_path, tiny_sam):
    one, other = patients
    said = run("sam", "tune", "--image", one.image, other.image, "--labels", one.truth, other.truth,
               "--slices", "4,8", "--axis", "sagittal", "--only", "1", "--prompts", "boxes",
               "--sam-weights", tiny_sam, "-o", tmp_path / "t.safetensors", *QUICK)  # fmt: skip
    assert said.code == 0
    assert "tuned on 3 painted slices" in said.out
    assert "points" not in said.out


def test_fewer_than_three_slices_tell_no_score(run, patients, tmp_path, tiny_sam):
    one = patients[0]
    said = run("sam", "tune", "--image", one.image, "--labels", one.painted, "--slices", "4,8",
               "--axis", "sagittal", "--sam-weights", tiny_sam, "-o", tmp_path / "t.pt",
               *QUICK)  # fmt: skip
    assert (said.code, said.err) == (0, "")
    assert "tuned on 2 painted slices" in said.out
    assert "needs three painted slices" in said.out


def test_what_became_worse_is_a_warning(run, patients, tmp_path, tiny_sam, monkeypatch):
    import napari_fewshot.sam.tuning as tuning

    scores = iter(({"boxes": 0.5, "points": 0.5}, {"boxes": 0.4, "points": 0.6}))
    monkeypatch.setattr(tuning, "_dice", lambda *given: next(scores))
    one = patients[0]
    said = run("sam", "tune", "--image", one.image, "--labels", one.painted, "--axis", "sagittal",
               "--sam-weights", tiny_sam, "-o", tmp_path / "t.pth", *QUICK)  # fmt: skip
    assert said.code == 0
    assert "with boxes, 1 held-out slices: 0.500 before, 0.400 after" in said.out
    assert said.err.count("\n") == 1
    assert "warning: worse with boxes than before" in said.err


def test_medsam_at_points_is_a_warning(run, patients, tmp_path, tiny_sam):
    one = patients[0]
    for mode, *more in (("points", "--labels", one.painted), ("automatic",)):
        said = run("sam", mode, one.image, *more, "--sam", "medsam", "--sam-weights", tiny_sam,
                   "-o", tmp_path / mode, "--axis", "sagittal", "--no-store",
                   *(("--set", "points_per_side=2") if mode == "automatic" else ()))  # fmt: skip
        assert said.code == 0
        assert "warning: medsam was trained with boxes alone" in said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--image IMAGE", "--labels must be given for every image"),
        ("--image none.nii.gz --labels PAINTED", "--image must be an existing file"),
        ("--image IMAGE --labels PAINTED --sam sam", "--sam must be one of sam-vit-b"),
        ("--image IMAGE --labels PAINTED --steps 0", "--set steps must be greater than or equal"),
        ("--image IMAGE --labels PAINTED --set epochs=3", "--set must be one of"),
        ("--image IMAGE --labels PAINTED --slices 99", "--slices must be within 0..15"),
        ("--image IMAGE --labels PAINTED --set min_area=9999", "min_area must be at most the size"),
        ("--image IMAGE --labels PAINTED --device tpu", "--device must be auto, cpu"),
    ],
)
def test_what_does_not_fit_is_one_line(run, patients, tmp_path, tiny_sam, arguments, message):
    files = {"IMAGE": patients[0].image, "PAINTED": patients[0].painted}
    words = [files.get(word, word) for word in arguments.split()]
    said = run("sam", "tune", *words, "--sam-weights", tiny_sam, "-o", tmp_path / "out" / "t.pth",
               "--no-store")  # fmt: skip
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not files_below(tmp_path)


def test_a_name_of_another_format_is_refused(run, patients, tmp_path, tiny_sam):
    one = patients[0]
    said = run("sam", "tune", "--image", one.image, "--labels", one.painted, "--sam-weights",
               tiny_sam, "-o", tmp_path / "tuned.fewshot", *QUICK)  # fmt: skip
    assert said.code == 2
    assert "--output must end in .pth, .pt, .safetensors; got" in said.err

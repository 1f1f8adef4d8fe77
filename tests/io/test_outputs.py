"""Writing: files are replaced whole or not at all, and only what a run may replace."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.io.outputs import RECORD, Outputs, is_ours, replacing


def write(path: Path, text: str, outputs: Outputs | None = None) -> None:
    """Write a file, in a run or, without one, as from the viewer."""
    if outputs is None:
        with replacing(path) as part:
            part.write_text(text)
        return
    with outputs.writing():
        write(path, text)


def refused(path: Path, outputs: Outputs | None = None) -> bool:
    """Whether a run says beforehand, and again when it writes, that it must not replace a file."""
    outputs = Outputs("-o") if outputs is None else outputs
    before = path.read_bytes()
    try:
        outputs.check([path])
    except InputError:
        with pytest.raises(InputError, match=r"^-o must not replace a file .* give --overwrite\.$"):
            write(path, "new", outputs)
        return path.read_bytes() == before
    return False


def test_a_run_replaces_what_runs_wrote(tmp_path):
    path = tmp_path / "out" / "labels"
    for text in ("one", "two", "three"):
        write(path, text, Outputs("-o"))
        assert path.read_text() == text
        assert is_ours(path)
    assert sorted(p.name for p in path.parent.iterdir()) == [RECORD, "labels"]
    shutil.copytree(path.parent, tmp_path / "moved")
    assert not refused(tmp_path / "moved" / "labels")


def test_what_a_person_made_or_changed_stays(tmp_path):
    path = tmp_path / "labels"
    path.write_text("painted")
    assert refused(path)
    write(path, "predicted", Outputs("-o", overwrite=True))
    assert not refused(path)
    path.write_text("corrected")
    assert refused(path)
    path.write_text("predicted")  # undone
    assert not refused(path)
    shutil.copy(path, tmp_path / "copy")  # under another name it is somebody's
    assert refused(tmp_path / "copy")


def test_what_is_saved_outside_of_a_run_is_a_persons(tmp_path):
    path = tmp_path / "labels"
    write(path, "predicted", Outputs("-o"))
    write(path, "predicted")
    assert refused(path)
    assert not (tmp_path / "elsewhere" / RECORD).exists()
    write(tmp_path / "elsewhere" / "labels", "saved")
    assert not (tmp_path / "elsewhere" / RECORD).exists()


def test_all_files_that_are_in_the_way_are_counted(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.touch()
    with pytest.raises(InputError, match="a and 2 more"):
        Outputs("-o").check(paths)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="-o must name files to write"):
        Outputs("-o", overwrite=True).check([tmp_path / "folder"])


@pytest.mark.parametrize("damage", [b"", b"\xff\x00no record", b"[]\n{}\n[[[", b'{"file": "labe'])
def test_without_a_sound_record_nothing_is_ours_until_it_is_written_again(tmp_path, damage):
    path = tmp_path / "labels"
    write(path, "one", Outputs("-o"))
    (tmp_path / RECORD).write_bytes(damage)
    assert refused(path)
    write(path, "two", Outputs("-o", overwrite=True))
    assert not refused(path)


@pytest.mark.parametrize("step", ["os.link", "pathlib.Path.replace"])
def test_a_run_that_is_killed_leaves_a_file_that_is_still_ours(tmp_path, monkeypatch, step):
    path = tmp_path / "labels"
    if step != "os.link":
        write(path, "one", Outputs("-o"))

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(step, kill)
        with pytest.raises(Killed):
            write(path, "two", Outputs("-o"))
    assert path.exists() == (step != "os.link")
    write(path, "three", Outputs("-o"))
    assert path.read_text() == "three"


def test_a_file_that_appears_during_the_run_stays(tmp_path):
    path, outputs = tmp_path / "labels", Outputs("-o")
    outputs.check([path])
    path.write_text("painted")
    with pytest.raises(InputError, match="-o must not replace"):
        write(path, "predicted", outputs)
    assert path.read_text() == "painted"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels"]


def test_a_file_that_appears_at_the_last_moment_stays(tmp_path, monkeypatch):
    path = tmp_path / "labels"
    link = os.link

    def late(*where: Path) -> None:
        path.write_text("painted")
        link(*where)

    monkeypatch.setattr("os.link", late)
    with pytest.raises(InputError, match="-o must not replace"):
        write(path, "predicted", Outputs("-o"))
    assert path.read_text() == "painted"


def test_where_there_are_no_links_files_are_written_too(tmp_path, monkeypatch):
    def none(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", none)
    write(tmp_path / "labels", "one", Outputs("-o"))
    assert (tmp_path / "labels").read_text() == "one"


def test_runs_beside_each_other_keep_one_record(tmp_path):
    def run(number: int) -> None:
        for index in range(20):
            write(tmp_path / f"own{number}-{index}", f"{number} {index}", Outputs("-o"))
            write(tmp_path / "shared", f"{number} {index}", Outputs("-o"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    files = [path for path in tmp_path.iterdir() if path.name != RECORD]
    assert len(files) == 4 * 20 + 1
    assert all(is_ours(path) for path in files)


def aliases(folder: Path) -> list[Path]:
    """Other names of a file ``image``."""
    (folder / "below").mkdir()
    (folder / "soft").symlink_to(folder / "image")
    os.link(folder / "image", folder / "hard")
    (folder / "linked").symlink_to(folder, target_is_directory=True)
    return [
        folder / "image",
        folder / "soft",
        folder / "hard",
        folder / "linked" / "image",
        folder / "below" / ".." / "image",
        folder / "IMAGE",
    ]


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_replaced(tmp_path, overwrite):
    write(tmp_path / "image", "grey", Outputs("-o"))  # not even one that is ours
    outputs = Outputs("-o", [None, tmp_path / "image"], overwrite=overwrite)
    for path in aliases(tmp_path):
        with pytest.raises(InputError, match="-o must not overwrite an input"):
            outputs.check([path])
        with pytest.raises(InputError, match="-o must not overwrite an input"):
            write(path, "labels", outputs)
    assert (tmp_path / "image").read_text() == "grey"
    outputs.check([tmp_path / "other"])


def test_slices_of_a_series_are_inputs_and_results_beside_them_are_not(tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    for path in (one, two):
        path.write_bytes(bytes(128) + b"DICM")
    for given in (tmp_path, one):
        with pytest.raises(InputError, match="-o must not overwrite an input"):
            Outputs("-o", [given], overwrite=True).check([two])
    write(tmp_path / "labels", "one", Outputs("-o", [tmp_path]))
    write(tmp_path / "labels", "two", Outputs("-o", [tmp_path]))
    assert (tmp_path / "labels").read_text() == "two"


def test_links_are_written_through_where_they_lead_to_a_file_of_ours(tmp_path):
    place, link = tmp_path / "disk" / "archive", tmp_path / "labels"
    write(place, "one", Outputs("-o"))
    link.symlink_to(place)
    write(link, "two", Outputs("-o"))
    assert link.is_symlink()
    assert place.read_text() == "two"
    assert is_ours(place)
    place.write_text("corrected")
    assert refused(link)
    write(link, "three", Outputs("-o", overwrite=True))
    assert link.is_symlink()
    assert place.read_text() == "three"
    write(link, "four")  # from the viewer
    assert link.is_symlink()
    assert (place.read_text(), is_ours(link)) == ("four", False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk", "labels"]


def test_links_to_what_was_renamed_are_not_ours(tmp_path):
    write(tmp_path / "labels", "one", Outputs("-o"))
    (tmp_path / "labels").rename(tmp_path / "archive")
    (tmp_path / "labels").symlink_to(tmp_path / "archive")
    assert refused(tmp_path / "labels")
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    with pytest.raises(InputError, match="-o must not replace"):
        Outputs("-o").check([tmp_path / "broken"])


def test_old_file_stays_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_error_removes_the_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "ours"):
        pass
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_folder_or_file_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="be a file to write; got a folder"), replacing(tmp_path):
        pass
    (tmp_path / "file").touch()
    inside = tmp_path / "file" / "out.txt"
    with pytest.raises(InputError, match="lie in a folder that can be written"), replacing(inside):
        pass


def write_folder(path: Path, text: str, outputs: Outputs | None = None) -> None:
    """Write a Zarr folder of two files, in a run or as from the viewer."""
    if outputs is None:
        with replacing(path, folder=True) as part:
            (part / "zarr.json").write_text("{}")
            (part / "c" / "0").mkdir(parents=True)
            (part / "c" / "0" / "0").write_text(text)
        return
    with outputs.writing():
        write_folder(path, text)


def content(path: Path) -> str:
    """Text that :func:`write_folder` wrote."""
    return (path / "c" / "0" / "0").read_text()


def test_a_run_replaces_folders_that_runs_wrote(tmp_path):
    path = tmp_path / "out" / "labels.ome.zarr"
    for text in ("one", "two"):
        write_folder(path, text, Outputs("-o"))
        assert content(path) == text
        assert is_ours(path)
    assert sorted(p.name for p in path.parent.iterdir()) == [RECORD, "labels.ome.zarr"]
    for change in ("text", "name", "more"):
        file = path / "c" / "0" / "0"
        if change == "text":
            file.write_text("corrected")
        elif change == "name":
            file.rename(file.with_name("1"))
        else:
            (path / ".zattrs").write_text("{}")
        assert not is_ours(path)
        with pytest.raises(InputError, match="-o must not replace a file"):
            Outputs("-o").check([path])
        with pytest.raises(InputError, match="-o must not replace a file"):
            write_folder(path, "new", Outputs("-o"))
        write_folder(path, "new", Outputs("-o", overwrite=True))
        assert content(path) == "new"
    write_folder(path, "new")  # saved by a person
    assert not is_ours(path)
    assert sorted(p.name for p in path.parent.iterdir()) == [RECORD, "labels.ome.zarr"]


def test_folders_that_are_no_results_stay(tmp_path):
    for name, marked in (("pictures", True), ("a.ome.zarr", False)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "mine").write_text("mine")
        if marked:
            (folder / "zarr.json").write_text("{}")
        with pytest.raises(InputError, match="-o must name files to write"):
            Outputs("-o", overwrite=True).check([folder])
        with pytest.raises(InputError, match="be a file to write; got a folder"):
            write_folder(folder, "new")
        assert (folder / "mine").read_text() == "mine"


def test_a_link_to_a_folder_is_written_through(tmp_path):
    write_folder(tmp_path / "there.zarr", "mine")
    (tmp_path / "link.zarr").symlink_to(tmp_path / "there.zarr", target_is_directory=True)
    with pytest.raises(InputError, match="-o must not replace"):
        write_folder(tmp_path / "link.zarr", "new", Outputs("-o"))
    write_folder(tmp_path / "link.zarr", "new", Outputs("-o", overwrite=True))
    assert (tmp_path / "link.zarr").is_symlink()
    assert content(tmp_path / "there.zarr") == "new"
    write_folder(tmp_path / "link.zarr", "newer", Outputs("-o"))
    assert content(tmp_path / "there.zarr") == "newer"


def test_nothing_is_written_into_a_folder_that_is_read_nor_over_one_around_it(tmp_path):
    image = tmp_path / "image.zarr"
    write_folder(image, "grey", Outputs("-o"))
    write_folder(image / "labels" / "cells", "painted")
    inputs = [image, image / "labels" / "cells"]
    for given, path in (
        (inputs[0], image),
        (inputs[0], image / "labels" / "new.ome.zarr"),
        (inputs[1], image),
        (inputs[0], tmp_path / "IMAGE.zarr" / "new.json"),
    ):
        with pytest.raises(InputError, match="-o must not overwrite an input"):
            Outputs("-o", [given], overwrite=True).check([path])
    Outputs("-o", inputs).check([tmp_path / "image.zarr_labels.ome.zarr"])


@pytest.mark.parametrize("interrupted", [False, True])
def test_an_error_leaves_the_old_folder(tmp_path, monkeypatch, interrupted):
    path = tmp_path / "labels.ome.zarr"
    write_folder(path, "old")
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp":
            raise PermissionError
        return rename(self, target)

    def write_half() -> None:
        with replacing(path, folder=True) as part:
            (part / "zarr.json").write_text("{}")
            raise KeyboardInterrupt

    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            write_half()
    else:
        monkeypatch.setattr(Path, "rename", fails)
        with pytest.raises(PermissionError):
            write_folder(path, "new")
    assert content(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_appears_at_the_last_moment_stays(tmp_path, monkeypatch):
    path = tmp_path / "labels.ome.zarr"
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        (path / "c" / "0").mkdir(parents=True)
        (path / "zarr.json").write_text("{}")
        (path / "c" / "0" / "0").write_text("painted")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(InputError, match="-o must not replace"):
        write_folder(path, "predicted", Outputs("-o"))
    assert content(path) == "painted"

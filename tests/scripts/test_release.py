"""A release has the version of its tag, and a changelog that says what is new."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location

import pytest

HEAD = "# Changelog\n\n## [Unreleased]\n\n"
ONE = "## [0.2.0] - 2026-11-30\n\n### Added\n\n- A thing.\n\n"
OLD = "## [0.2.0rc1] - 2026-11-01\n\n### Fixed\n\n- It.\n\n## [0.1.0] - 2026-01-31\n\n### Added\n"


@pytest.fixture(scope="module")
def release(repository):
    spec = spec_from_file_location("release", repository / "scripts" / "release.py")
    module = module_from_spec(spec)
    import sys

    sys.modules["release"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["release"]


@pytest.fixture
def root(tmp_path):
    package = tmp_path / "src" / "napari_fewshot"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""It."""\n__version__ = "0.1.0"\nx = 1\n')
    (tmp_path / "CHANGELOG.md").write_text(HEAD + ONE + OLD)
    return tmp_path


def test_the_changelog_here_is_in_form(release, repository):
    assert release.main([], repository) == 0


def test_a_release(release, root):
    assert release.main(["v0.2.0", "--write", "--notes", str(root / "notes.md")], root) == 0
    source = (root / "src" / "napari_fewshot" / "__init__.py").read_text()
    assert source == '"""It."""\n__version__ = "0.2.0"\nx = 1\n'
    assert (root / "notes.md").read_text() == "### Added\n\n- A thing.\n"


@pytest.mark.parametrize(
    ("tag", "changelog", "message"),
    [
        ("0.2.0", HEAD + ONE, "tag must be as v1.2.0"),
        ("v0.3.0", HEAD + ONE, "must be 0.3.0, of the tag; got 0.2.0"),
        ("v0.1.0", HEAD, "must be 0.1.0, of the tag; got none"),
        ("v0.2.0", HEAD + "- More.\n\n" + ONE, "[Unreleased] must be empty"),
        ("v0.2.0", HEAD + "## [0.2.0] - 2026-11-30\n", "must have a text"),
        ("v0.2.0", ONE, "must begin with ## [Unreleased]"),
        ("v0.2.0", HEAD + ONE.replace("2026-11-30", "soon"), "must have a date"),
        ("v0.2.0", HEAD + ONE.replace("Added", "New"), "got New"),
        ("v0.2.0", HEAD + OLD + ONE, "the newest first"),
        ("v0.2.0", HEAD + ONE + ONE, "each version once"),
        ("v0.2.0", HEAD + "## 0.2.0\n", "must have headings as"),
    ],
)
def test_what_keeps_a_release_from_being_made(release, root, capsys, tag, changelog, message):
    (root / "CHANGELOG.md").write_text(changelog)
    assert release.main([tag, "--write"], root) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert '"0.1.0"' in (root / "src" / "napari_fewshot" / "__init__.py").read_text()


def test_a_version_that_stands_nowhere(release):
    with pytest.raises(release.ReleaseError, match="got 0"):
        release.with_version("x = 1\n", "0.2.0")

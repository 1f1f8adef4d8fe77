"""Files that others read of the project: forms, workflows, citation, recipe."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from napari_fewshot import __version__

CONDA_NAMES = {
    "dask": "dask-core",
    "huggingface-hub": "huggingface_hub",
    "napari": "napari-base",  # that without Qt
    "torch": "pytorch",
}


def read(path: Path):
    return yaml.safe_load(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_recipe_asks_for_what_the_package_does(repository, project):
    recipe = read(repository / "recipe" / "recipe.yaml")
    wanted = {}
    for line in project["dependencies"]:
        requirement = Requirement(line)
        wanted[CONDA_NAMES.get(requirement.name, requirement.name)] = requirement.specifier
    python, *lines = recipe["requirements"]["run"]
    found = {name: SpecifierSet(rest) for name, _, rest in (line.partition(" ") for line in lines)}
    assert found == wanted
    assert python == "python >=${{ python_min }}"
    assert project["requires-python"] == f">={recipe['context']['python_min']}"
    assert recipe["context"]["version"] == __version__
    assert recipe["about"]["license"] == project["license"]


def test_who_is_cited_are_the_authors(repository, project):
    cited = read(repository / "CITATION.cff")
    assert cited["authors"] == project["authors"]
    assert cited["license"] == project["license"]
    assert cited["repository-code"] == project["urls"]["Source"]
    assert cited["title"] == project["name"]


def test_the_hub_shows_the_authors_and_pictures_that_are_there(repository, project):
    folder = repository / ".napari-hub"
    about = read(folder / "config.yml")
    assert about["authors"] == project["authors"]
    assert len(about["summary"]) <= 200
    text = (folder / "DESCRIPTION.md").read_text("utf-8")
    for path in re.findall(r"/raw/main/([^)]+)\)", text):
        assert (repository / path).is_file()
    for extras in re.findall(r"napari-fewshot\[([\w,-]+)\]", text):
        assert set(extras.split(",")) <= project["optional-dependencies"].keys()


def test_a_bug_is_told_with_what_doctor_says(repository):
    folder = repository / ".github" / "ISSUE_TEMPLATE"
    forms = {path.stem: read(path) for path in folder.glob("*.yml")}
    assert forms.keys() == {"bug", "config", "feature", "question"}
    needed = {
        part["id"]: part.get("validations", {}).get("required", False)
        for part in forms["bug"]["body"]
    }
    assert needed["doctor"]
    assert needed["how"]


@pytest.mark.parametrize("name", ["ci", "release", "weekly"])
def test_workflows_use_what_is_there(repository, name):
    workflow = read(repository / ".github" / "workflows" / f"{name}.yml")
    text = (repository / ".github" / "workflows" / f"{name}.yml").read_text("utf-8")
    jobs = workflow["jobs"]
    for job in jobs.values():
        needs = job.get("needs", [])
        assert {needs} if isinstance(needs, str) else set(needs) <= jobs.keys()
    for script in re.findall(r"\bscripts/[\w.]+", text):
        assert (repository / script).is_file()
    for command in re.findall(r'napari-fewshot"? (\w+)', text):
        assert (repository / "src" / "napari_fewshot" / "cli" / f"{command}.py").is_file()


def test_every_python_that_is_named_is_tested(repository, project):
    named = {
        text.rpartition(" ")[2] for text in project["classifiers"] if re.search(r":: 3\.\d+$", text)
    }
    for name in ("ci", "weekly"):
        text = (repository / ".github" / "workflows" / f"{name}.yml").read_text("utf-8")
        assert named <= set(re.findall(r'"(3\.\d+)"', text))


@pytest.mark.parametrize("name", ["CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_pages_for_people_are_there_and_their_links_lead_somewhere(repository, name):
    text = (repository / name).read_text("utf-8")
    targets = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in targets if not (repository / link).is_file()] == []


def test_the_paper_cites_what_its_bibliography_has(repository, project):
    text = (repository / "paper" / "paper.md").read_text("utf-8")
    entries = (repository / "paper" / "paper.bib").read_text("utf-8")
    _, head, body = text.split("---\n", 2)
    about = yaml.safe_load(head)
    assert [author["name"] for author in about["authors"]] == [
        author["name"] for author in project["authors"]
    ]
    assert about["bibliography"] == "paper.bib"
    assert re.search(r"^# Statement of need$", body, re.MULTILINE)
    cited = set(re.findall(r"@([a-z]+)", body))
    assert cited == set(re.findall(r"^@\w+\{([a-z]+),$", entries, re.MULTILINE))

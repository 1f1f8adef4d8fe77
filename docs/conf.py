"""Settings of Sphinx."""

import re
from importlib.metadata import version as installed_version

from sphinx.application import Sphinx

project = "napari-fewshot"
author = "napari-fewshot developers"
project_copyright = "2026, napari-fewshot developers"
version = release = installed_version("napari-fewshot")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"napari-fewshot {release}"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings state types, with shapes and units
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes of dataclasses stand in the docstring already

# The scripts are run, and shown with what they print and draw, as pages and as notebooks.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": ("_repr_html_",),  # tables; what is printed is shown anyway
    "abort_on_example_error": True,
    "min_reported_time": 0.1,
    "remove_config_comments": True,
    "show_signature": False,
}


def link_to_gallery(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links to scripts, which a repository shows, lead to their pages."""
    up = "../" * page.count("/")
    script = re.compile(r"\((?:\.\./)+examples/(plot_\w+)\.py\)")
    source[0] = script.sub(rf"({up}gallery/\1.rst)", source[0])


def setup(app: Sphinx) -> None:
    app.connect("source-read", link_to_gallery)

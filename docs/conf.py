"""Settings of Sphinx."""

from importlib.metadata import version as installed_version

project = "napari-fewshot"
author = "napari-fewshot developers"
project_copyright = "2026, napari-fewshot developers"
version = release = installed_version("napari-fewshot")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"napari-fewshot {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings state types, with shapes and units
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes of dataclasses stand in the docstring already

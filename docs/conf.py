"""How the documentation is built (`make docs`)."""

import deepcams

project = "deepcams"
author = copyright = "The deepcams developers"  # noqa: A001 - Sphinx's name
version = release = deepcams.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"deepcams {version}"
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
myst_heading_anchors = 3
suppress_warnings = [
    "myst.xref_missing"
]  # links of the README to files that are no pages
exclude_patterns = ["_build"]

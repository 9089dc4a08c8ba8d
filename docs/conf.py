"""How the documentation is built (`make docs`)."""

import sys
from pathlib import Path
from typing import Any

from sphinx.addnodes import pending_xref

import deepcams

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "deepcams"
author = copyright = "The deepcams developers"  # noqa: A001 - Sphinx's name
version = release = deepcams.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "verbs"]
html_theme = "furo"
html_title = f"deepcams {version}"
highlight_language = "text"  # fences without a language hold commands
html_static_path = ["static"]
html_css_files = ["site.css"]
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
nb_execution_mode = "cache"  # run again only when a notebook has changed
nb_execution_in_temp = True
nb_execution_timeout = 300  # seconds
nb_execution_raise_on_error = True
nb_output_stderr = "remove"  # notices, with paths of the machine
nb_execution_excludepatterns = ["*real-frames.ipynb"]  # needs a file of CAMS
exclude_patterns = ["_build"]


ROOT_FILES = {
    "ARCHITECTURE.md": "architecture",
    "CHANGELOG.md": "changelog",
    "SECURITY.md": "security",
}
"""Files beside the README, to which it links, and the pages that include them."""


def _link_root_files(app: Any, doctree: Any) -> None:
    for node in doctree.findall(pending_xref):
        if node.get("reftarget") in ROOT_FILES:
            node["reftarget"] = ROOT_FILES[node["reftarget"]]
            node["refdomain"], node["reftargetid"] = "doc", None
        elif node.get("reftarget") == "CITATION.cff":
            node.replace_self(node.children)


def setup(app: Any) -> None:
    """Let links of the README to files beside it end at the pages that hold them."""
    app.connect("doctree-read", _link_root_files)

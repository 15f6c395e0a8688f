"""Sphinx configuration of the documentation: `make docs` builds it without a network, and a warning is an error."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import make_reference

import aqreanalysis

project, author = "aqreanalysis", "aqreanalysis developers"
copyright = author
version = release = aqreanalysis.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4  # as GitHub makes them, so that links are the same there and here
exclude_patterns = ["_build", "examples"]
suppress_warnings = ["myst.header", "misc.highlighting_failure"]
autodoc_member_order, autodoc_typehints = "bysource", "signature"
napoleon_google_docstring, napoleon_numpy_docstring = False, True
copybutton_prompt_text = "$ "

html_theme = "furo"
html_title = f"aqreanalysis {version}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_sourcelink = html_copy_source = False
html_theme_options = {"navigation_with_keys": False}

# Pages of the repository's top level that are pages here too.
OUTSIDE = {"../CONTRIBUTING.md": "contributing.md", "../CHANGELOG.md": "changelog.md"}


def links_inside(app, name, source):
    """Links to pages of the top level lead to their copies."""
    for outside, inside in OUTSIDE.items():
        source[0] = source[0].replace(f"]({outside}", f"]({inside}")
    source[0] = re.sub(r"\]\(((?:examples)/[^)]+)\)", r"]", source[0])


def words_of_parameters(app, what, name, found, options, lines):
    """`name : words` below Parameters are words, where numpy's style has a type."""
    section = None
    for number in reversed(range(len(lines))):
        section = next((lines[n - 1] for n in range(number, 0, -1) if re.fullmatch(r"-{3,}", lines[n])), None)
        head = re.match(r"([\w*`, ]+) : (.+)", lines[number])
        if section in ("Parameters", "Raises") and head:
            lines[number:number + 1] = [head[1], f"    {head[2]}"]


def setup(app):
    app.connect("autodoc-process-docstring", words_of_parameters, priority=400)  # before napoleon
    app.connect("builder-inited", lambda app: make_reference.write(Path(app.srcdir) / "reference"))
    app.connect("source-read", links_inside)

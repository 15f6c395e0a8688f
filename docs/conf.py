"""Sphinx configuration of the documentation: `make docs` builds it without a network, and a warning is an error."""

import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import make_reference

import aqreanalysis

project, author = "aqreanalysis", "aqreanalysis developers"
copyright = author
version = release = aqreanalysis.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton",
              "sphinx_gallery.gen_gallery"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4  # as GitHub makes them, so that links are the same there and here
exclude_patterns = ["_build", "examples", "gallery/*.ipynb", "gallery/*.py"]
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

# The gallery: every script of examples/ is run, and a failing one fails the build. They are to have the twin, whatever
# observations lie in the data folder of whoever builds the pages.
os.environ["XDG_DATA_HOME"] = str(HERE / "_build" / "no_data")
os.environ["MPLBACKEND"] = "agg"
os.environ["DASK_LOGGING__DISTRIBUTED"] = "error"  # it tells of every step of a cluster that comes and goes
sphinx_gallery_conf = {
    "examples_dirs": "../examples", "gallery_dirs": "gallery", "filename_pattern": r"\d\d_", "ignore_pattern": r"^$",
    "within_subsection_order": "FileNameSortKey", "image_scrapers": ("gallery_pictures",), "reset_modules": (),
    "capture_repr": ("_repr_html_",), "run_stale_examples": True, "abort_on_example_error": False,
    "show_signature": False, "write_computation_times": False, "min_reported_time": 0, "remove_config_comments": True,
    "download_all_examples": False, "inspect_global_variables": False}

# `make links` asks for every link elsewhere; some servers refuse what is no browser.
linkcheck_timeout, linkcheck_retries, linkcheck_workers = 20, 2, 4
linkcheck_anchors = False

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

"""The pages: links lead somewhere, commands and recipes in them exist as they are written."""

import re
from pathlib import Path

import pytest
import yaml

from aqreanalysis.observations.quality import QualitySettings
from aqreanalysis.recipes import ProductRecipe

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
VERBS = ("build|compare|fetch|ingest|describe|map|animate|summarise|areas|exposure|export|evaluate|figures|train|"
         "simulate")
COMMAND = re.compile(rf"aqreanalysis ({VERBS})\b([^`\n#]*)")


FOLDERS = ("aqreanalysis", "benchmarks", "tests", "recipes", "docs", "grids")
FILES = [str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder, *(ROOT / folder).rglob("*"))
         if "__pycache__" not in path.parts]


def named(path):
    return str(path.relative_to(ROOT))


def anchors(page):
    """As GitHub makes them of headings: lower case, punctuation left out, spaces as hyphens."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        if target.startswith("reference/"):  # made from the code by docs/make_reference.py
            assert f"\"{target.removeprefix('reference/')}\":" in (ROOT / "docs" / "make_reference.py").read_text()
            continue
        if target == "gallery/index.rst":  # made from examples/ by sphinx-gallery; docs/check_links.py sees the pages
            assert (ROOT / "examples" / "README.rst").exists()
            continue
        other = (page.parent / target).resolve() if target else page
        assert other.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(other), f"{page.name} links to {link}"


@pytest.fixture(scope="module")
def options():
    """Option names of every verb."""
    import typer

    from aqreanalysis.cli.app import app

    verbs = typer.main.get_command(app).commands
    return {verb: {name for parameter in command.params for name in parameter.opts}
            for verb, command in verbs.items()}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_have_these_options(page, options):
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for verb, rest in COMMAND.findall(text):
        unknown = set(re.findall(r"(?<![\w-])--[a-z-]+", rest)) - options[verb] - {"--help"}
        assert not unknown, f"{page.name}: aqreanalysis {verb} {', '.join(unknown)}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_recipes_are_valid(page):
    """Blocks of YAML that name a product."""
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        content = yaml.safe_load(block)
        if "name" in content and "repos" not in content:
            ProductRecipe.model_validate(content)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_that_are_named_exist(page):
    """Python files, and folders that end in a slash, by the end of their path."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    names = re.findall(r"`((?:[\w-]+/)*[\w-]+(?:\.py|\.yaml|/))`", text)
    missing = {name for name in names if not any(f"/{file}/".endswith(f"/{name.rstrip('/')}/") for file in FILES)}
    assert not missing - {"maps/", "products/", "figures/"}, page.name


def test_every_threshold_of_quality_control_is_listed_with_its_default():
    page = (ROOT / "docs" / "observations.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", page, re.M))
    for name, field in QualitySettings.model_fields.items():
        default = {(): "none"}.get(field.default, field.default)
        assert listed[name] == (f"{default:g}" if isinstance(default, float) else str(default)), name

"""The examples of CONTRIBUTING.md run as they are written, in their order."""

import re
from pathlib import Path

import pytest

from aqreanalysis.cli.app import app
from aqreanalysis.models import registry
from aqreanalysis.observations import readers
from aqreanalysis.output import formats

PAGE = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = {title: blocks for title, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
            if (blocks := re.findall(r"```python\n(.*?)```", text, re.S))}


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder and names that the sections share; what they register is forgotten again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(readers, "READERS", readers.READERS)
    monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))
    before = [(registered, dict(registered)) for registered in (registry.BASELINES, formats.FORMATS)]
    yield {"__name__": "contributing"}
    for registered, content in before:
        registered.clear()
        registered.update(content)


def test_the_examples_run(workplace):
    """One test: a section uses what those before it have defined."""
    assert list(SECTIONS) == ["A reader", "A model", "A field", "A format", "A verb"]
    for section, blocks in SECTIONS.items():
        for block in blocks:
            exec(compile(block, f"CONTRIBUTING.md, {section}", "exec"), workplace)

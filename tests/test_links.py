"""Links: what docs/check_links.py finds wrong in a built site. Scripts of the gallery say what to trust."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import check_links  # noqa: E402

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*.py")),
         ROOT / "pyproject.toml", ROOT / "CITATION.cff"]
ADDRESS = re.compile(r"(?<![`\w])https?://[^\s)>\"'`\]]+")


def test_what_leads_nowhere_is_found(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.html").write_text('<h1 id="top">A</h1><a href="sub/b.html#x">1</a><a href="#top">2</a>'
                                     '<a href="#no">3</a><img src="gone.png"><a href="sub/b.html#y">4</a>'
                                     '<a href="../out.html">5</a>'
                                     '<a href="http://localhost:8000/">6</a><a href="https://example.org/a">7</a>')
    (tmp_path / "sub" / "b.html").write_text('<p id="x"></p><a href="../a.html">1</a><a href="..">2</a>')
    assert check_links.wrong_links(tmp_path) == [
        "a.html: #no: no such anchor", "a.html: gone.png: no such file", "a.html: sub/b.html#y: no such anchor",
        "a.html: ../out.html: no such file", "a.html: http://localhost:8000/: no host that others can reach: localhost",
        "sub/b.html: ..: no such file"]


@pytest.mark.parametrize(("url", "words"), [
    ("https://doi.org/10.1002/x", ""), ("http://8.8.8.8/a", ""), ("mailto:a@b.c", ""),
    ("http://10.0.0.1/", "local"), ("http://127.0.0.1:8787", "local"), ("http://machine/", "no host"),
    ("https://pypi.lan/simple", "no host"),
    ("htps://a.org", "scheme htps"), ("https:///a", "no host"), ("https://a.org:x/", "ort"),
    ("http://[::1]/", "local")])
def test_addresses_are_of_hosts_that_others_can_reach(url, words):
    found = check_links.wrong_address(url)
    assert (words in found) if words else found == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_sources_link_to_hosts_that_others_can_reach(page):
    wrong = {url: found for url in ADDRESS.findall(page.read_text(encoding="utf-8"))
             if (found := check_links.wrong_address(url.rstrip(".,;")))}
    assert not wrong


def test_every_script_of_the_gallery_says_what_to_trust():
    """A title, bold words on what to trust, a figure, numbers; and of the figures that they are simulated."""
    scripts = sorted((ROOT / "examples").glob("[0-9][0-9]_*.py"))
    assert len(scripts) >= 12
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        head = text.split('"""')[1]
        assert re.search(r"^=+$", head, re.M) and "**What to trust" in head, script.name
        assert "figure" in text and ("print(" in text or ".round(" in text), script.name
        assert text.count("plt.subplots") == text.count("SIMULATED"), script.name  # maps say it by themselves
        assert len(text.splitlines()) <= 70, script.name

"""A page as one file that asks for nothing: styles, scripts and pictures inside, and a policy that forbids the rest."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aqreanalysis import __version__

HERE = Path(__file__).parent
STYLE, MAP_SCRIPT, CHARTS_SCRIPT = "report.css", "report.js", "charts.js"


def render(template: str, scripts: Sequence[str] = (), **content: Any) -> str:
    """A template of this folder as HTML; every value is escaped, `scripts` are files beside it."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), autoescape=True,
                                     undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    style, *texts = ((HERE / name).read_text(encoding="utf-8") for name in (STYLE, *scripts))
    allowed = " ".join(f"'{_hash(text)}'" for text in texts) or "'none'"
    policy = f"default-src 'none'; style-src '{_hash(style)}'; img-src data:; script-src {allowed}"
    return environment.get_template(template).render(
        version=__version__, policy=Markup(policy), style=Markup(style), scripts=[Markup(text) for text in texts],
        **content)


def _hash(text: str) -> str:
    """What a Content-Security-Policy calls a script or style by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")

"""Check the built pages: every link and picture inside leads to a file that is there, and every #anchor to an element.

    python docs/check_links.py docs/_build/html

No network is used: of links elsewhere only the form is checked (`make links` asks for them). Prints what is wrong, and
ends with exit code 1 where anything is.
"""

from __future__ import annotations

import ipaddress
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOCAL = ("localhost", "localdomain", "local", "internal", "lan", "home", "test", "invalid")


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value or "")
            elif name in ("href", "src") and value is not None:
                self.links.append(value)


page = cache(Page)


def wrong_address(url: str) -> str:
    """What is wrong with an address elsewhere, in words; "" where nothing is."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme == "mailto":
        return "" if "@" in parts.path else "no address"
    if parts.scheme not in ("http", "https"):
        return f"the scheme {parts.scheme or 'is missing'}"
    if any(letter.isspace() for letter in url):
        return "a space"
    if not host or (":" not in host and "." not in host) or host.rsplit(".", 1)[-1] in LOCAL:
        return f"no host that others can reach: {host or 'none'}"
    try:
        return "" if ipaddress.ip_address(host).is_global else f"a local address: {host}"
    except ValueError:
        return ""


def wrong_link(link: str, path: Path, top: Path) -> str:
    """What is wrong with a link of the page `path` of the site `top`; "" where nothing is."""
    if urlsplit(link).scheme == "data":
        return ""
    if urlsplit(link).scheme or link.startswith("//"):
        return wrong_address(link)
    address, _, anchor = link.partition("#")
    file = (path.parent / unquote(address.partition("?")[0])).resolve() if address else path
    file = file / "index.html" if file.is_dir() else file
    if not file.is_file() or not file.is_relative_to(top):
        return "no such file"
    if anchor and file.suffix == ".html" and unquote(anchor) not in page(file).anchors:
        return "no such anchor"
    return ""


def wrong_links(top: Path) -> list[str]:
    """All that is wrong below a folder, a sentence each."""
    top = top.resolve()
    return [f"{path.relative_to(top)}: {link}: {wrong}" for path in sorted(top.rglob("*.html"))
            for link in dict.fromkeys(page(path).links) if (wrong := wrong_link(link, path, top))]


if __name__ == "__main__":
    found = wrong_links(Path(sys.argv[1]))
    print("\n".join(found) or "links and anchors: all lead somewhere")
    sys.exit(bool(found))

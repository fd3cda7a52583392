"""The pages of reports as a browser reads them."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """Checks that elements nest, and collects what a page shows and where it points."""

    VOID = frozenset({"meta"})
    SHAPES = frozenset({"rect", "line", "circle", "polyline", "polygon"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.shown: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in self.SHAPES
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.shown.append(data)


def needs_nothing_else(html: str) -> bool:
    """Whether a page holds no script, and nothing that a browser would fetch."""
    found = Page(html)
    foreign = found.tags & {"script", "link", "img", "iframe", "object", "embed"}
    pointing = found.attributes & {"src", "srcset", "data", "action", "style", "onload"}
    return not foreign and not pointing and not re.search(r"https?:|//|url\(|@import", html)

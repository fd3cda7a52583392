"""How the report's page looks: the document around it, its tables, its bars. Light, for screen and paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #fff; color: #1b2733; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.8rem; margin: 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .8rem; border-top: 1px solid #d5dde5; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .2rem; }
p { margin: .4rem 0; max-width: 48rem; }
.muted, caption { color: #4d5c6b; }
dl { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
dl div { flex: 1 1 8rem; padding: .6rem .9rem; border: 1px solid #d5dde5; border-radius: 6px; }
dt { color: #4d5c6b; font-size: .85rem; }
dd { margin: 0; font-size: 1.35rem; font-weight: 600; }
.pair { display: flex; flex-wrap: wrap; gap: 0 2.5rem; align-items: flex-start; }
.pair table { flex: 1 1 26rem; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; font-size: .9rem; }
caption { text-align: left; padding: .2rem 0; font-size: .9rem; }
th, td { padding: .22rem .6rem; border-bottom: 1px solid #e6ebf0; text-align: right; vertical-align: middle; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td { font-variant-numeric: tabular-nums; }
thead th, thead td { color: #4d5c6b; font-weight: 600; border-bottom: 2px solid #b9c4cf; }
tbody th { font-weight: 400; }
.bar { display: block; width: 9rem; height: .85rem; margin-left: auto; }
@media print {
  body { font-size: 9pt; }
  main { max-width: none; padding: 0; }
  table, caption { font-size: 8pt; }
  caption { break-after: avoid; }
  th, td { padding: .15rem .3rem; }
  .pair { display: block; }
  .bar { height: .6rem; }
  dl, table { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""


_GROUND, _BLUE, _ORANGE = "#edf1f5", "#2f6f9f", "#c2571a"


class _Markup(str):
    """HTML, not to be escaped again."""

    __slots__ = ()


def document(title: str, body: Iterable[str]) -> str:
    """A page around lines of HTML."""
    lines = "\n".join(body)
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style></head>\n<body><main>\n{lines}\n</main></body>\n</html>\n"
    )


def bar(stays: float, goes: float) -> _Markup:
    """A bar of the width 1; what is a part of it shows at least as a line."""
    parts = ((_GROUND, 0.0, 1.0), (_BLUE, 0.0, stays), (_ORANGE, stays, goes))
    rects = "".join(
        f'<rect fill="{colour}" x="{min(100 * start, 99):.2f}" width="{max(100 * width, 1):.2f}" height="8"/>'
        for colour, start, width in parts
        if width
    )
    return _Markup(f'<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">{rects}</svg>')


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose rows are named by their first cell."""
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(map(_cell, cells))}</tr>\n' for name, *cells in rows
    )
    heads = "".join(f'<th scope="col">{escape(label)}</th>' if label else "<td></td>" for label in head)
    return (
        f"<table><caption>{escape(caption)}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>{lines}</tbody></table>"
    )


def _cell(cell: str) -> str:
    return f"<td>{cell if isinstance(cell, _Markup) else escape(cell)}</td>"

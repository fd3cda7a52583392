"""How the pages of the reports look: the document around one, its tables, its bars. For screens light and dark, paper.

A page needs no network: no script, font, image or address of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1b2733; --muted: #4d5c6b; --line: #d5dde5; --hair: #e6ebf0; --rule: #b9c4cf;
  --ground: #edf1f5; --c0: #2f6f9f; --c1: #c2571a; --c2: #2e8560; --c3: #8a55a8; --c4: #94741a; --c5: #a8324f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12181f; --ink: #e4eaf0; --muted: #a3b1bf; --line: #33404d; --hair: #26313c; --rule: #51606f;
    --ground: #212b35; --c0: #6fb1e0; --c1: #f0935a; --c2: #62c39a; --c3: #c394e0; --c4: #d9b95c; --c5: #ee8299;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.8rem; line-height: 1.25; margin: 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .2rem; }
p { margin: .4rem 0; max-width: 48rem; }
.muted, caption { color: var(--muted); }
dl { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
dl div { flex: 1 1 8rem; padding: .6rem .9rem; border: 1px solid var(--line); border-radius: 6px; }
dt { color: var(--muted); font-size: .85rem; }
dd { margin: 0; font-size: 1.35rem; font-weight: 600; }
.pair { display: flex; flex-wrap: wrap; gap: 0 2.5rem; align-items: flex-start; }
.pair > * { flex: 1 1 26rem; min-width: 0; }
.scroll {  /* a shade at the side where there is more */
  overflow-x: auto;
  background: no-repeat local left / 2rem 100% linear-gradient(to right, var(--paper) 40%, transparent),
    no-repeat local right / 2rem 100% linear-gradient(to left, var(--paper) 40%, transparent),
    no-repeat scroll left / .7rem 100% linear-gradient(to right, var(--line), transparent),
    no-repeat scroll right / .7rem 100% linear-gradient(to left, var(--line), transparent);
}
table { border-collapse: collapse; width: 100%; margin: .6rem 0; font-size: .9rem; }
caption { text-align: left; padding: .2rem 0; font-size: .9rem; }
caption span { display: inline-block; max-width: min(100%, calc(100vw - 2rem)); }
th, td { padding: .22rem .6rem; border-bottom: 1px solid var(--hair); text-align: right; vertical-align: middle; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td { font-variant-numeric: tabular-nums; white-space: nowrap; }
thead th, thead td { color: var(--muted); font-weight: 600; border-bottom: 2px solid var(--rule); }
tbody th { min-width: 6rem; font-weight: 400; position: sticky; left: 0; background: var(--paper); }
.bar { display: block; width: 9rem; height: .85rem; margin-left: auto; }
.ground { fill: var(--ground); } .c0 { fill: var(--c0); } .c1 { fill: var(--c1); } .c2 { fill: var(--c2); }
.c3 { fill: var(--c3); } .c4 { fill: var(--c4); } .c5 { fill: var(--c5); }
@media (max-width: 40rem) {
  main { padding: 1rem; }
  h1 { font-size: 1.45rem; }
  dl div { flex-basis: 6rem; padding: .4rem .7rem; }
  .pair > * { flex-basis: 100%; }
  th, td { padding: .22rem .4rem; }
  .bar { width: 6rem; }
}
@media print {
  :root {
    color-scheme: light;
    --paper: #fff; --ink: #1b2733; --muted: #4d5c6b; --line: #d5dde5; --hair: #e6ebf0; --rule: #b9c4cf;
    --ground: #edf1f5; --c0: #2f6f9f; --c1: #c2571a; --c2: #2e8560; --c3: #8a55a8; --c4: #94741a; --c5: #a8324f;
  }
  body { font-size: 9pt; }
  main { max-width: none; padding: 0; }
  table, caption { font-size: 8pt; }
  caption { break-after: avoid; }
  th, td { padding: .15rem .3rem; }
  .pair { display: block; }
  .scroll { overflow: visible; background: none; }
  .bar { height: .6rem; }
  dl, table { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""

NUM_COLOURS = 6
"""Classes `c0`, `c1`, ... that fill a shape, each told from the others by the colour-blind too, and on both grounds."""

_HIDDEN = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


class Markup(str):
    """HTML, not to be escaped again."""

    __slots__ = ()


def document(title: str, body: Iterable[str], style: str = "") -> str:
    """A page around lines of HTML; `style` is CSS of its own."""
    lines = "\n".join(body)
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>\n'
        f"<style>{_STYLE}{style}</style></head>\n<body><main>\n{lines}\n</main></body>\n</html>\n"
    )


def tiles(values: dict[str, str]) -> str:
    """The few numbers that a page begins with."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in values.items())
    return f"<dl>{items}</dl>"


def bar(*parts: float) -> Markup:
    """A bar of the width 1, its parts in the order of the colours; one that is not 0 shows at least as a line."""
    rects = ['<rect class="ground" x="0.00" width="100.00" height="8"/>']
    start = 0.0
    for colour, width in enumerate(parts):
        if width:
            place = f'x="{min(100 * start, 99):.2f}" width="{max(100 * width, 1):.2f}"'
            rects.append(f'<rect class="c{colour % NUM_COLOURS}" {place} height="8"/>')
        start += width
    shapes = "".join(rects)
    return Markup(f'<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">{shapes}</svg>')


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose rows are named by their first cell; one that is too wide for the screen is moved under it."""
    lines = "".join(
        f'<tr><th scope="row">{markup(name)}</th>{"".join(map(_cell, cells))}</tr>\n' for name, *cells in rows
    )
    heads = "".join(f'<th scope="col">{markup(label)}</th>' if label else "<td></td>" for label in head)
    return (
        f'<div class="scroll"><table><caption><span>{markup(caption)}</span></caption>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>{lines}</tbody></table></div>"
    )


def markup(text: str) -> str:
    """HTML as it is, other text escaped."""
    return text if isinstance(text, Markup) else escape(visible(text))


def visible(text: str) -> str:
    """A name in one line, without what is no text: controls, and marks that turn the direction."""
    return " ".join(_HIDDEN.sub("", text).split())


def _cell(cell: str) -> str:
    return f"<td>{markup(cell)}</td>"

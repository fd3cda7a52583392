"""Charts of the evaluation report, as SVG in the page: scores with intervals, bars of labels, learning curves.

Each repeats what a table says. Sizes are in units of the drawing, which is scaled to the page; text stays legible on a
phone.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from html import escape

from camembert_bio.evaluation.comparison import Section, TaskTable
from camembert_bio.evaluation.entries import Estimate
from camembert_bio.evaluation.results import Result
from camembert_bio.page import NUM_COLOURS, Markup

_WIDTH = 440
_LEFT = 135
_ROW = 22

STYLE = """
.chart { display: block; width: 100%; max-width: 34rem; height: auto; margin: .6rem 0; }
.chart text { fill: var(--ink); font: 12px system-ui, sans-serif; }
.chart .tick { fill: var(--muted); font-size: 11px; }
.axis { stroke: var(--hair); } .ceiling { stroke: var(--muted); stroke-dasharray: 3 3; }
.s0 { stroke: var(--c0); } .s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); }
.s3 { stroke: var(--c3); } .s4 { stroke: var(--c4); } .s5 { stroke: var(--c5); }
.line { fill: none; stroke-width: 2; } .band { opacity: .15; } .whisker { stroke-width: 2; }
.labels { display: block; width: 20rem; max-width: 40vw; margin-left: auto; }
.onbar { stroke: var(--ink); vector-effect: non-scaling-stroke; }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .35em 0 0; }
.legend { color: var(--muted); font-size: .85rem; } .legend span { margin-right: 1.2em; white-space: nowrap; }
"""


def colour(place: int) -> str:
    """The number of the colour of a model, by its place in the section."""
    return str(place % NUM_COLOURS)


def legend(names: Sequence[str], shown: Container[str]) -> str:
    """The colours of the names that are shown, and what they stand for."""
    items = "".join(
        f'<span><svg class="key" viewBox="0 0 10 10" aria-hidden="true"><rect class="c{colour(place)}" width="10" '
        f'height="10"/></svg>{escape(name)}</span>'
        for place, name in enumerate(names)
        if name in shown
    )
    return f'<p class="legend">{items}</p>'


def scores_chart(section: Section, task: TaskTable) -> str:
    """Each model's mean score and interval on one axis, with the ceilings."""
    found = {model: entry.measures[task.measure.name] for model, entry in task.entries.items()}
    values = [value for one in found.values() for value in (one.interval.low, one.mean, one.interval.high)]
    # Only beside F1 on all gold: strict IOB2 is counted against what tags can hold.
    is_bound = task.is_of_entities and task.measure.name == "f1"
    ceilings = {entry.entities.ceiling for entry in task.entries.values() if entry.entities and is_bound}
    low, high, ticks = _axis([value for value in values if value is not None] + list(ceilings))
    factor = 100 if task.measure.is_share else 1
    height = _ROW * len(found) + 26

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - 12)

    shapes = [_tick(x(tick), f"{factor * tick:g}", height) for tick in ticks]
    shapes += [
        f'<line class="ceiling" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="2" y2="{height - 18}"/>'
        for value in sorted(ceilings)
    ]
    for row, (model, one) in enumerate(found.items()):
        y, number = _ROW * row + 14, colour(section.models.index(model))
        if one.interval.low is not None and one.interval.high is not None:
            ends = f'x1="{x(one.interval.low):.1f}" x2="{x(one.interval.high):.1f}"'
            shapes.append(f'<line class="whisker s{number}" {ends} y1="{y}" y2="{y}"/>')
        shapes.append(f'<circle class="c{number}" cx="{x(one.mean):.1f}" cy="{y}" r="5"/>')
        shapes.append(f'<text x="0" y="{y + 4}">{escape(_short(model))}</text>')
    return _svg(height, f"Scores on {task.name} with 95 % intervals", shapes)


def curves_chart(section: Section, task: TaskTable) -> str | None:
    """The score on validation by step: the mean over seeds, and from the worst to the best; None without any."""
    key = (
        next((name for name in task.first.history[0] if name.startswith("validation_")), "")
        if task.first.history
        else ""
    )
    curves = {model: _curve(entry.runs, key) for model, entry in task.entries.items()}
    curves = {model: points for model, points in curves.items() if points}
    if not curves:
        return None
    low, high, ticks = _axis([value for points in curves.values() for _, *values in points for value in values])
    last = max(step for points in curves.values() for step, *_ in points)
    height, left = 220, 40

    def place(step: float, value: float) -> str:
        x = left + step / last * (_WIDTH - left - 12)
        return f"{x:.1f},{height - 24 - (value - low) / (high - low) * (height - 36):.1f}"

    shapes = []
    for tick in ticks:
        y = place(0, tick).split(",")[1]
        shapes.append(f'<line class="axis" x1="{left}" x2="{_WIDTH}" y1="{y}" y2="{y}"/>')
        shapes.append(
            f'<text class="tick" x="{left - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{100 * tick:g}</text>'
        )
    for model, points in curves.items():
        number = colour(section.models.index(model))
        there = [place(step, best) for step, _, _, best in points]
        back = [place(step, worst) for step, _, worst, _ in reversed(points)]
        middle = [place(step, mean) for step, mean, _, _ in points]
        shapes.append(f'<polygon class="band c{number}" points="{" ".join(there + back)}"/>')
        shapes.append(f'<polyline class="line s{number}" points="{" ".join(middle)}"/>')
        shapes += [f'<circle class="c{number}" cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="2.5"/>' for p in middle]
    shapes.append(f'<text class="tick" x="{left}" y="{height - 6}">0</text>')
    shapes.append(f'<text class="tick" x="{_WIDTH - 12}" y="{height - 6}" text-anchor="end">step {last:g}</text>')
    return _svg(height, f"Score on the validation documents of {task.name} by step", shapes)


def _curve(runs: Sequence[Result], key: str) -> list[tuple[float, float, float, float]]:
    """(step, mean, worst, best) over the seeds that were evaluated there."""
    by_step: dict[float, list[float]] = {}
    for run in runs:
        for point in run.history:
            if "step" in point and key in point:
                by_step.setdefault(point["step"], []).append(point[key])
    return [(step, sum(found) / len(found), min(found), max(found)) for step, found in sorted(by_step.items())]


def label_bars(scores: Sequence[tuple[int, Estimate]]) -> Markup:
    """Scores in [0, 1] as bars below one another, with their intervals as lines, by the places of their models."""
    height = 5 * len(scores)
    shapes = [f'<rect class="ground" width="100" height="{height}"/>']
    for row, (place, found) in enumerate(scores):
        y, low, high = 5 * row, found.interval.low, found.interval.high
        shapes.append(f'<rect class="c{colour(place)}" y="{y}" width="{100 * found.mean:.1f}" height="4"/>')
        if low is not None and high is not None:
            ends = f'x1="{100 * low:.1f}" x2="{100 * high:.1f}"'
            shapes.append(f'<line class="onbar" {ends} y1="{y + 2}" y2="{y + 2}"/>')
    frame = f'class="labels" viewBox="0 0 100 {height}" height="{max(13, 11 * len(scores))}" preserveAspectRatio="none"'
    return Markup(f'<svg {frame} aria-hidden="true">{"".join(shapes)}</svg>')


def error_bar(errors: Mapping[str, float], kinds: Sequence[str], most: float) -> Markup:
    """The kinds of errors beside one another, as long as they are many beside the worst model's."""
    shapes, x = ['<rect class="ground" width="100" height="8"/>'], 0.0
    for place, kind in enumerate(kinds):
        width = 100 * errors[kind] / most if most else 0.0
        shapes.append(f'<rect class="c{colour(place)}" x="{x:.2f}" width="{width:.2f}" height="8"/>')
        x += width
    bar = "".join(shapes)
    return Markup(f'<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">{bar}</svg>')


def _axis(values: Sequence[float]) -> tuple[float, float, list[float]]:
    """Both ends of an axis, at ticks of 1, 2 or 5 times a power of ten around the values."""
    low, high = min(values), max(values)
    span = max(high - low, 0.02)
    power = 10 ** math.floor(math.log10(span))
    step = next(power * factor / 10 for factor in (2, 5, 10, 20) if span / (power * factor / 10) <= 6)
    first, last = math.floor(low / step), math.ceil(high / step)
    last = max(last, first + 1)
    return first * step, last * step, [round(place * step, 10) for place in range(first, last + 1)]


def _tick(x: float, text: str, height: int) -> str:
    return (
        f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{height - 18}"/>'
        f'<text class="tick" x="{x:.1f}" y="{height - 4}" text-anchor="middle">{text}</text>'
    )


def _short(name: str, length: int = 20) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _svg(height: int, title: str, shapes: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"{''.join(shapes)}</svg>"
    )

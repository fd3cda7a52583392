"""What every form of the report says in the same words: numbers, protocols, how to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from camembert_bio import devices
from camembert_bio.evaluation.comparison import (
    MEASURES,
    PAPER,
    Comparison,
    Estimate,
    Section,
    TaskTable,
    protocol_name,
    published_protocol,
)
from camembert_bio.evaluation.cost import Cost, Factors
from camembert_bio.evaluation.power import detectable, seeds_needed
from camembert_bio.evaluation.recipe import STATED
from camembert_bio.evaluation.statistics import LEVEL, Interval

TITLE = "Models compared after fine-tuning"
DECODING = (
    "Tags are read as strict IOB2 (an I that continues nothing opens nothing and is dropped), on sub-words, each where "
    "its window sees most on both sides."
)
SIGNIFICANT = 1 - LEVEL
POINT = 0.01
"""The difference that the seeds needed are told for."""
CEILING = "F1 ceiling"
LOSSES = ("nested", "discontinuous", "boundary", "window", "unknown_label")

READING = {
    "F1": "strict and micro, on character spans: every fragment and the label must be equal. Gold is every annotated "
    "entity, nested and discontinuous ones too, and no document is cut.",
    "strict IOB2 F1": 'against the entities that flat tags can hold, as seqeval\'s `mode="strict", scheme=IOB2` counts '
    "them: the measure of the published figures.",
    "exact, partial, type-only": "forgive the label; the label, an overlap counting half; the boundaries. Entities are "
    "paired one to one.",
    "macro F1": "strict, the mean over labels.",
    CEILING: "the F1 of a perfect tagger with this tokenizer and policy; the ledger says what it loses.",
    "±": "the standard deviation over seeds, with n - 1.",
    "[low, high]": "the 95 % interval over documents and seeds; by bootstrap, for labels by analysis of variance.",
    "p": "of a paired bootstrap over documents and seeds, two-sided; then adjusted over the tasks of its table (Holm). "
    "`permutation` is the p-value when documents swap the models instead.",
    "effect": "the mean difference over its standard deviation over seeds.",
    "told": "the smallest difference that this comparison tells in four of five cases; and the seeds with which it "
    "would tell one point, on these documents.",
    "tags": "in every table labels are learnt and read on every sub-word (the author's later configuration labels the "
    "first of a word), and documents over the length go through overlapping windows (how the paper cut them is not "
    "stated): next to published figures these scores are indicative.",
}


def percent(value: float) -> str:
    """A score in [0, 1] as points."""
    return f"{100 * value:.2f}"


def mean_std(mean: float, std: float | None) -> str:
    """`73.03 ± 1.29`; the mean alone with one seed."""
    return percent(mean) if std is None else f"{percent(mean)} ± {percent(std)}"


def estimate(value: Estimate) -> str:
    """Mean and standard deviation."""
    return mean_std(value.mean, value.std)


def bounds(value: Interval, signed: bool = False) -> str:
    """`[71.20, 74.95]`, or a dash where there is no interval."""
    if value.low is None or value.high is None:
        return "–"
    sign = "+" if signed else ""
    return f"[{100 * value.low:{sign}.2f}, {100 * value.high:{sign}.2f}]"


def p_value(value: float) -> str:
    """Three digits, or `< 0.001`."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def mark(section: Section, task: TaskTable, model: str) -> str:
    """`▲` or `▼` where a model is better or worse than the first of the section, by the adjusted p-value."""
    found = task.comparisons.get((section.models[0], model))
    return "" if found is None else {1: "▲", -1: "▼", 0: ""}[verdict(found)]


def verdict(comparison: Comparison) -> int:
    """1 where the second model is better, -1 where it is worse, by the adjusted p-value; 0 where neither is told."""
    if comparison.p_holm >= SIGNIFICANT:
        return 0
    return 1 if comparison.difference.interval.mean > 0 else -1


def best(section: Section, scores: Mapping[str, float]) -> set[str]:
    """The models with the best score, if there are others."""
    return {model for model, score in scores.items() if score == max(scores.values())} if len(scores) > 1 else set()


def marks_explained(section: Section) -> str:
    """What the marks of the section's table mean; empty with one model."""
    if len(section.models) < 2:
        return ""
    return (
        f"▲ better, ▼ worse than {section.models[0]} (p < {SIGNIFICANT:.2g}, paired bootstrap over documents and "
        "seeds, Holm over the tasks)."
    )


def table_caption(section: Section) -> str:
    """What stands in the cells of the section's table."""
    return f"{MEASURES[section.measure]}: mean ± standard deviation over seeds [95 % interval over documents and seeds]"


def sizes(task: TaskTable) -> str:
    """Documents and entities of a task."""
    counts = task.first.num_documents
    return (
        f"{counts.train} training, {counts.validation} validation, {counts.test} test documents; "
        f"{task.first.ledger.gold} test entities."
    )


def ceilings(task: TaskTable) -> str:
    """The ceiling, or those of several tokenizers."""
    return " / ".join(dict.fromkeys(percent(entry.ceiling) for entry in task.entries.values()))


def protocol_line(section: Section) -> str:
    """Which protocol, every value that is not the paper's, and what is assumed where the paper states nothing."""
    default, protocol = published_protocol(), section.protocol
    changed = [
        f"{name} {protocol.get(name)} ({'paper' if name in STATED else 'assumed'}: {value})"
        for name, value in default.items()
        if protocol.get(name) != value
    ]
    changed += [f"{name} {value}" for name, value in protocol.items() if name not in default and name != "protocol"]
    num_seeds = sorted({len(entry.runs) for task in section.tasks for entry in task.entries.values()})
    if num_seeds != [10]:
        changed.append(f"seeds {' or '.join(map(str, num_seeds))} (paper: 10)")
    name = protocol_name(protocol)
    if name != PAPER:
        return f"Protocol: `{name}`, not to be compared with published figures: {'; '.join(changed)}."
    if changed:
        return f"Protocol: `paper` with changes, not to be compared with published figures: {'; '.join(changed)}."
    assumed = [f"{name} {value}" for name, value in default.items() if name not in STATED]
    return f"Protocol: `paper`; assumed, since the paper does not state it: {'; '.join(assumed)}."


def comparison_cells(comparison: Comparison) -> list[str]:
    """The cells of `COMPARISON_HEAD` after the first."""
    found = comparison.difference
    gains = found.per_seed
    told = detectable(found.spread)
    needed = seeds_needed(found.spread, POINT)
    return [
        f"{100 * found.interval.mean:+.2f}",
        bounds(found.interval, signed=True),
        p_value(found.p),
        p_value(comparison.p_holm),
        p_value(found.p_permutation),
        "–" if found.effect is None else f"{found.effect:+.2f}",
        f"{sum(gain > 0 for gain in gains)} of {len(gains)}",
        "–" if told is None else percent(told),
        ("–" if len(gains) < 2 else "none suffice") if needed is None else str(needed),
    ]


COMPARISON_HEAD = (
    "difference",
    "points",
    "95 % interval",
    "p",
    "p (Holm)",
    "p (permutation)",
    "effect",
    "seeds above 0",
    "told (points)",
    "seeds for 1 point",
)


def few_seeds(sections: Iterable[Section]) -> str:
    """A warning where a comparison has fewer than five seeds; empty otherwise."""
    fewest = min(
        (
            len(found.difference.per_seed)
            for section in sections
            for task in section.tasks
            for found in task.comparisons.values()
        ),
        default=5,
    )
    if fewest == 1:
        return "With one seed, intervals and tests speak of documents alone: other seeds may turn them round."
    return f"With {fewest} seeds, tests are rough: five or more make them good." if fewest < 5 else ""


COST_HEAD = ("model", "device", "runs", "hours", "kWh", *(f"g CO2e, {grid.name}" for grid in devices.GRIDS))


def cost_cells(cost: Cost) -> list[str]:
    """The cells of `COST_HEAD`."""
    figures = [three_digits(value) for value in (cost.hours, cost.kwh, *cost.grams.values())]
    return [cost.model, cost.device, str(cost.num_runs), *figures]


def three_digits(value: float) -> str:
    """`0.00712`, `5.1`, `1,234`."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def factors_line(factors: Factors, names: Iterable[str]) -> str:
    """What turns hours into energy and CO2e, of devices as results name them."""
    powers = {name: factors.power(name) for name in names}
    watts = "; ".join(f"{name} {power:g} W ({source})" for name, (power, source) in powers.items())
    grids = "; ".join(f"{grid.name} {grid.g_per_kwh:g} ({grid.source})" for grid in devices.GRIDS)
    return (
        f"Not measured: kWh = hours of loading and training × power of the device × PUE {factors.pue:g}. "
        f"Power: {watts}. g CO2e a kWh: {grids}. `--watts` and `--pue` give one's own."
    )


def plain_protocol(protocol: Mapping[str, Any]) -> str:
    """A protocol's name and values in one line, for a table of data."""
    values = "; ".join(f"{name}={value}" for name, value in protocol.items() if name != "protocol")
    return f"{protocol_name(protocol)}: {values}"

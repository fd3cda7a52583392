"""What every form of the report says in the same words: numbers, protocols, how to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from camembert_bio import devices
from camembert_bio.evaluation.comparison import (
    PAPER,
    Comparison,
    Section,
    TaskTable,
    protocol_name,
    published_protocol,
)
from camembert_bio.evaluation.cost import Factors
from camembert_bio.evaluation.entries import Estimate
from camembert_bio.evaluation.measures import Measure
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
ENOUGH_DOCUMENTS = 15
"""The fewest with which synthetic experiments have shown intervals and tests to err at their nominal rates."""
FEWEST_DOCUMENTS = 6
"""With which a difference can be told: that all five of five documents agree happens by chance in one case of 16."""
CEILING = "ceiling of F1 on all gold"
LOSSES = ("nested", "discontinuous", "boundary", "window", "unknown_label")


def percent(value: float) -> str:
    """A share as points."""
    return f"{100 * value:.2f}"


def figure(value: float, measure: Measure, sign: str = "") -> str:
    """A score, or with the sign `+` a difference, in points; what is no share with four digits."""
    return f"{100 * value:{sign}.2f}" if measure.is_share else f"{value:{sign}.4g}"


def estimate(value: Estimate, measure: Measure) -> str:
    """`73.03 ± 1.29`; the mean alone with one seed."""
    mean = figure(value.mean, measure)
    return mean if value.std is None else f"{mean} ± {figure(value.std, measure)}"


def bounds(value: Interval, measure: Measure, sign: str = "") -> str:
    """`[71.20, 74.95]`, or a dash where there is no interval."""
    if value.low is None or value.high is None:
        return "–"
    return f"[{figure(value.low, measure, sign)}, {figure(value.high, measure, sign)}]"


def p_value(value: float) -> str:
    """Three digits, or `< 0.001`."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def mark(section: Section, task: TaskTable, model: str) -> str:
    """`▲` or `▼` where a model is better or worse than the first of the section, by the adjusted p-value."""
    found = task.comparisons.get((section.models[0], model))
    return "" if found is None else {1: "▲", -1: "▼", 0: ""}[verdict(task, found)]


def verdict(task: TaskTable, comparison: Comparison) -> int:
    """1 where the second model is better, -1 where it is worse, by the adjusted p-value; 0 where neither is told."""
    if comparison.p_holm >= SIGNIFICANT:
        return 0
    return 1 if (comparison.difference.interval.mean > 0) == task.measure.is_larger_better else -1


def best(task: TaskTable) -> set[str]:
    """The models with the best score, if there are others."""
    scores = {model: found.mean for model in task.entries if (found := task.score(model))}
    chosen = max if task.measure.is_larger_better else min
    return {model for model, score in scores.items() if score == chosen(scores.values())} if len(scores) > 1 else set()


def marks_explained(section: Section) -> str:
    """What the marks of the section's table mean; empty with one model."""
    if len(section.models) < 2:
        return ""
    return (
        f"▲ better, ▼ worse than {section.models[0]} (p < {SIGNIFICANT:.2g}, paired bootstrap over documents and "
        "seeds, no less than swaps of documents give, Holm over the tasks)."
    )


def table_caption(section: Section) -> str:
    """What stands in the cells of the section's table."""
    title = section.measure.title if section.measure else "the measure of each task"
    return f"{title}: mean ± standard deviation over seeds [95 % interval over documents and seeds]"


def task_name(section: Section, task: TaskTable) -> str:
    """The task's name; with its measure where that of others is another."""
    if section.measure:
        return task.name
    worse = "" if task.measure.is_larger_better else ", lower is better"
    return f"{task.name} ({task.measure.title}{worse})"


def sizes(task: TaskTable) -> str:
    """Documents and entities of a task."""
    counts = task.first.num_documents
    trained = f"{counts.train} training, {counts.validation} validation, " if counts.train else ""
    entities = f"; {task.first.ledger.gold} test entities" if task.is_of_entities else ""
    return f"{trained}{counts.test} test documents{entities}."


def ceilings(task: TaskTable) -> str:
    """The ceiling of entities, or those of several tokenizers; nothing of another task."""
    return " / ".join(dict.fromkeys(percent(e.entities.ceiling) for e in task.entries.values() if e.entities))


def protocol_line(section: Section) -> str:
    """Which protocol, every value that is not the paper's, and what is assumed where the paper states nothing."""
    default, protocol = published_protocol(), section.protocol
    changed = [
        f"{name} {protocol.get(name)} ({'paper' if name in STATED else 'assumed'}: {value})"
        for name, value in default.items()
        if protocol.get(name) != value
    ]
    changed += [f"{name} {value}" for name, value in protocol.items() if name not in default and name != "protocol"]
    trained = [task for task in section.tasks if task.is_trained]
    num_seeds = sorted({len(entry.runs) for task in trained for entry in task.entries.values()})
    if trained and num_seeds != [10]:
        changed.append(f"seeds {' or '.join(map(str, num_seeds))} (paper: 10)")
    name = protocol_name(protocol)
    if name != PAPER or changed:
        name = f"`{name}`" if name != PAPER else "`paper` with changes"
        line = f"Protocol: {name}, not to be compared with published figures: {'; '.join(changed)}."
    else:
        assumed = [f"{name} {value}" for name, value in default.items() if name not in STATED]
        line = f"Protocol: `paper`; assumed, since the paper does not state it: {'; '.join(assumed)}."
    trials = section.search_trials
    return f"{line} Hyperparameters: the best of {trials:,} trials on validation." if trials else line


def warnings(section: Section) -> list[str]:
    """What makes intervals and tests of the section rough: few documents, few seeds."""
    return list(filter(None, [*map(_few_documents, section.tasks), _few_seeds(section)]))


def _few_documents(task: TaskTable) -> str:
    """A warning below `ENOUGH_DOCUMENTS` test documents; empty otherwise."""
    count = task.first.num_documents.test
    if count >= ENOUGH_DOCUMENTS:
        return ""
    of = f"Of {task.name}, {count} test document{'s are' if count > 1 else ' is'} scored"
    if count < FEWEST_DOCUMENTS:
        return f"{of}: too few to tell any difference, for which {FEWEST_DOCUMENTS} must agree; intervals are rough."
    return f"{of}: intervals and tests are rough, {ENOUGH_DOCUMENTS} or more make them good."


def _few_seeds(section: Section) -> str:
    """A warning where a comparison has fewer than five seeds; empty otherwise."""
    fewest = min(
        (
            len(found.difference.per_seed)
            for task in section.tasks
            if task.is_trained
            for found in task.comparisons.values()
        ),
        default=5,
    )
    if fewest == 1:
        return "With one seed, intervals and tests speak of documents alone: other seeds may turn them round."
    return f"With {fewest} seeds, tests are rough: five or more make them good." if fewest < 5 else ""


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

"""The report as Markdown: what a terminal, an issue or a README shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from camembert_bio.evaluation import wording
from camembert_bio.evaluation.comparison import FORGIVING, MEASURES, Entry, Report, Section, TaskTable
from camembert_bio.evaluation.cost import Factors, costs
from camembert_bio.evaluation.matching import ERRORS
from camembert_bio.evaluation.report_findings import findings
from camembert_bio.evaluation.results import Ledger


def markdown(report: Report, factors: Factors) -> str:
    """The whole report's text: the tables, then what their columns mean."""
    blocks = [f"# {wording.TITLE}"]
    for section in report.sections:
        blocks += _section(section)
    found = costs(report.runs, factors)
    blocks += [
        "## Time and energy",
        table(wording.COST_HEAD, map(wording.cost_cells, found)),
        wording.factors_line(factors, [cost.device for cost in found]),
    ]
    blocks += ["## How to read", "\n".join(f"- **{name}**: {text}" for name, text in wording.READING.items())]
    return "\n\n".join(filter(None, blocks)) + "\n"


def summary(section: Section) -> str:
    """The section's table in the paper's form: a row a task, a column a model, and their means."""
    head = ("task", *section.models, wording.CEILING)
    rows = []
    for task in section.tasks:
        scores = {model: entry.measures[section.measure].mean for model, entry in task.entries.items()}
        best = wording.best(section, scores)
        rows.append([task.name, *(_cell(section, task, model, model in best) for model in section.models)])
        rows[-1].append(wording.ceilings(task))
    means = section.means()
    if len(section.tasks) > 1:
        rows.append(["mean", *(wording.percent(means[m]) if m in means else "–" for m in section.models), ""])
    return table(head, rows)


def _cell(section: Section, task: TaskTable, model: str, is_best: bool) -> str:
    entry = task.entries.get(model)
    if entry is None:
        return "–"
    found = entry.measures[section.measure]
    text = wording.estimate(found)
    text = f"**{text}**" if is_best else text
    return " ".join(filter(None, [text, wording.bounds(found.interval), wording.mark(section, task, model)]))


def _section(section: Section) -> Iterator[str]:
    yield f"## Protocol {escape(section.name)}"
    yield "\n".join(f"- {escape(sentence)}" for sentence in findings(section))
    yield wording.few_seeds([section])
    yield f"{wording.table_caption(section)}:"
    yield summary(section)
    yield wording.marks_explained(section)
    yield wording.protocol_line(section)
    yield wording.DECODING
    for task in section.tasks:
        yield from _task(section, task)


def _task(section: Section, task: TaskTable) -> Iterator[str]:
    yield f"### {escape(task.name)}"
    yield wording.sizes(task)
    yield table(
        ("model", *MEASURES.values(), wording.CEILING, "seeds"),
        [[model, *_scores(entry)] for model, entry in task.entries.items()],
    )
    yield table(
        ("model", *FORGIVING.values()),
        [
            [model, *(wording.mean_std(*entry.forgiving[name]) for name in FORGIVING)]
            for model, entry in task.entries.items()
        ],
    )
    if task.comparisons:
        yield f"Differences of {MEASURES[section.measure]}, paired by document and seed:"
        yield table(
            wording.COMPARISON_HEAD,
            [
                [f"{after} - {before}", *wording.comparison_cells(found)]
                for (before, after), found in task.comparisons.items()
            ],
        )
    yield "F1 of each label:"
    yield table(("label", "gold", *task.entries), _labels(task))
    yield "What went wrong, in entities (means over seeds):"
    yield table(
        ("model", "correct", *ERRORS),
        [
            [model, *(f"{entry.errors[kind]:.1f}" for kind in ("correct", *ERRORS))]
            for model, entry in task.entries.items()
        ],
    )
    yield "What a perfect tagger loses, in entities:"
    yield table(
        ("model", "gold", "kept", *(name.replace("_", " ") for name in wording.LOSSES)),
        [[model, *ledger_cells(entry.runs[0].ledger)] for model, entry in task.entries.items()],
    )


def _scores(entry: Entry) -> list[str]:
    cells = [wording.estimate(entry.measures[name]) for name in MEASURES]
    return [*cells, wording.percent(entry.ceiling), str(len(entry.runs))]


def _labels(task: TaskTable) -> list[list[str]]:
    names = sorted({label for entry in task.entries.values() for label in entry.labels})
    rows = []
    for label in names:
        found = [entry.labels.get(label) for entry in task.entries.values()]
        gold = next(one[0] for one in found if one)
        rows.append([label, str(gold), *(wording.estimate(one[1]) if one else "–" for one in found)])
    return rows


def ledger_cells(ledger: Ledger) -> list[str]:
    """Gold, what is kept of it, and each loss."""
    lost = [getattr(ledger, name) for name in wording.LOSSES]
    return [str(count) for count in (ledger.gold, ledger.gold - sum(lost), *lost)]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of GitHub's Markdown; the first column to the left, the others to the right."""
    aligns = ["---", *["---:"] * (len(head) - 1)]
    lines = [[escape(cell) for cell in cells] for cells in (head, *rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (lines[0], aligns, *lines[1:]))


def escape(text: str) -> str:
    """Names as they are: nothing ends a cell or a line, nothing is HTML."""
    one_line = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", one_line)

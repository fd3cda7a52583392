"""The comparison of models, as Markdown: one table a task and protocol, differences, what was lost.

Scores are percentages; standard deviations and errors are over seeds, with n - 1.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from camembert_bio import files
from camembert_bio.errors import raise_all
from camembert_bio.evaluation.recipe import STATED, paper_protocol
from camembert_bio.evaluation.results import Grid, Ledger, Result, problem_of, read_output

_READING = """\
## How to read

- **F1**: strict and micro, on character spans: every fragment and the label must be equal. Gold is every
  annotated entity, nested and discontinuous ones too, and no document is cut.
- **strict IOB2 F1**: against the entities that flat tags can hold, as seqeval's `mode="strict", scheme=IOB2`
  counts them: the measure of the published figures.
- **ceiling**: the F1 of a perfect tagger with this tokenizer and policy.
- After ± stands the standard deviation over seeds.
- In every table labels are learnt and read on every sub-word (the author's later configuration labels the first
  of a word), and documents over the length go through overlapping windows, each token read where it is most
  central (how the paper cut them is not stated): next to published figures these scores are indicative."""


def write_report(output: Path) -> Path:
    """Write `output`/report.md from the runs below `output`; returns its path."""
    path = output / "report.md"
    files.write_atomic(path, report(output))
    return path


def report(output: Path) -> str:
    """The report's text: the tables, then what their columns mean. Models stand in the recipe's order.

    Raises what `read_output` raises, and `UserError` naming each run whose scores its own predictions do not give.
    """
    grid, results = read_output(output)
    problems = [problem for folder, result in results.items() if (problem := problem_of(folder, result))]
    raise_all(f"{output} cannot be reported; run finetune again, or remove the folders of these runs:", problems)
    sections = ["# Entity recognition after fine-tuning"]
    for models in tables(grid, results.values()):
        sections += _task_section(models)
    return "\n\n".join([*sections, _READING]) + "\n"


def tables(grid: Grid, results: Iterable[Result]) -> list[dict[str, list[Result]]]:
    """Results by model, one mapping for each task, protocol and data. Models stand in the grid's order."""
    order = {name: position for position, name in enumerate(grid.models)}
    ordered = sorted(results, key=lambda r: (order.get(r.model, len(order)), r.model, r.seed))
    groups = _grouped(ordered, lambda r: (r.task, files.canonical_json(r.protocol), r.data_sha256))
    return [_by_model(runs) for _, runs in sorted(groups.items())]


def _by_model(runs: Sequence[Result]) -> dict[str, list[Result]]:
    """The runs of each model; a name that stood for several models is told apart by its weights' hash."""
    contents = _grouped(runs, lambda r: (r.model, r.weights_sha256, r.tokenizer_sha256, r.version))
    names = [name for name, *_ in contents]
    return {
        name if names.count(name) == 1 else f"{name} ({weights[:8]}, version {version})": found
        for (name, weights, _, version), found in contents.items()
    }


def _grouped(
    results: Sequence[Result], key: Callable[[Result], tuple[str, ...]]
) -> dict[tuple[str, ...], list[Result]]:
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return groups


def _task_section(models: dict[str, list[Result]]) -> list[str]:
    first = next(iter(models.values()))[0]
    sizes = first.num_documents
    num_seeds = sorted({len(runs) for runs in models.values()})
    return [
        f"## {first.task}",
        f"{sizes.train} training, {sizes.validation} validation, {sizes.test} test documents; "
        f"{first.ledger.gold} test entities.",
        _protocol_line(first.protocol, num_seeds),
        _table(
            ("model", "F1", "precision", "recall", "strict IOB2 F1", "ceiling", "seeds"),
            [_score_cells(model, runs) for model, runs in models.items()],
        ),
        *_differences(models),
        "What a perfect tagger loses, in entities:",
        _table(
            ("model", "gold", "kept", "nested", "discontinuous", "boundary", "window", "unknown label"),
            [(model, *_ledger_cells(runs[0].ledger)) for model, runs in models.items()],
        ),
    ]


def _protocol_line(protocol: dict[str, Any], num_seeds: Sequence[int]) -> str:
    """Which protocol, every value that is not the recipe's default, and the defaults that are assumed."""
    default = paper_protocol()
    changed = [
        f"{name} {protocol.get(name)} ({'paper' if name in STATED else 'assumed'}: {value})"
        for name, value in default.items()
        if protocol.get(name) != value
    ]
    if num_seeds != [10]:
        changed.append(f"seeds {' or '.join(map(str, num_seeds))} (paper: 10)")
    if changed:
        return f"Protocol: `paper` with changes, not to be compared with published figures: {'; '.join(changed)}."
    assumed = [f"{name} {value}" for name, value in default.items() if name not in STATED]
    return f"Protocol: `paper`; assumed, since the paper does not state it: {'; '.join(assumed)}."


def _score_cells(model: str, runs: Sequence[Result]) -> tuple[str, ...]:
    cells = [_mean_std(run.scores[name] for run in runs) for name in ("f1", "precision", "recall", "iob2_f1")]
    ceilings = sorted({f"{100 * run.scores['ceiling']:.2f}" for run in runs})
    return (model, *cells, " / ".join(ceilings), str(len(runs)))


def _ledger_cells(ledger: Ledger) -> tuple[str, ...]:
    lost = (ledger.nested, ledger.discontinuous, ledger.boundary, ledger.window, ledger.unknown_label)
    return tuple(str(count) for count in (ledger.gold, ledger.gold - sum(lost), *lost))


def _differences(models: dict[str, list[Result]]) -> list[str]:
    """A table of the pairs of models, over the seeds that both have; nothing for one model."""
    rows = []
    for before, after in combinations(models, 2):
        f1 = [{run.seed: 100 * run.scores["f1"] for run in models[name]} for name in (before, after)]
        gains = [f1[1][seed] - f1[0][seed] for seed in sorted(f1[0].keys() & f1[1].keys())]
        if gains:
            error = f"{statistics.stdev(gains) / len(gains) ** 0.5:.2f}" if len(gains) > 1 else "-"
            better = sum(gain > 0 for gain in gains)
            rows.append((f"{after} - {before}", f"{statistics.mean(gains):+.2f}", error, f"{better} of {len(gains)}"))
    if not rows:
        return []
    header = ("difference", "F1", "standard error", "seeds in which it is above 0")
    return ["Differences of F1, paired by seed:", _table(header, rows)]


def _mean_std(values: Iterable[float]) -> str:
    percent = [100 * value for value in values]
    mean = f"{statistics.mean(percent):.2f}"
    return f"{mean} ± {statistics.stdev(percent):.2f}" if len(percent) > 1 else mean


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    aligns = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, aligns, *rows))

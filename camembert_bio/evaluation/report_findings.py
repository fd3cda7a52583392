"""What the comparisons of a report come to, in sentences: which model is better where, and what cannot be told."""

from __future__ import annotations

from collections.abc import Sequence

from camembert_bio.evaluation import wording
from camembert_bio.evaluation.comparison import Comparison, Section, TaskTable
from camembert_bio.evaluation.power import detectable


def findings(section: Section) -> list[str]:
    """One sentence for each model that is compared with the first of the section."""
    first, *others = section.models
    found = []
    for model in others:
        compared = {
            task.name: task.comparisons[first, model] for task in section.tasks if (first, model) in task.comparisons
        }
        if compared:
            better, worse, untold = (
                [n for n, c in compared.items() if wording.verdict(c) == way] for way in (1, -1, 0)
            )
            parts = [_part("better", better, compared), _part("worse", worse, compared), _untold(untold)]
            found.append(f"{model} against {first}: {'; '.join(filter(None, parts))}.")
    return found


def _part(way: str, names: Sequence[str], compared: dict[str, Comparison]) -> str:
    gains = (f"{name} {100 * compared[name].difference.interval.mean:+.2f}" for name in names)
    return f"{way} on {', '.join(gains)}" if names else ""


def _untold(names: Sequence[str]) -> str:
    return f"no difference told on {', '.join(names)}" if names else ""


def task_findings(task: TaskTable) -> list[str]:
    """One sentence for each pair of models on a task."""
    return [f"{after} − {before}: {_verdict(found)}" for (before, after), found in task.comparisons.items()]


def _verdict(found: Comparison) -> str:
    interval = found.difference.interval
    figures = f"{100 * interval.mean:+.2f} points {wording.bounds(interval, signed=True)}, p {_p(found.p_holm)}"
    if wording.verdict(found):
        return f"{figures}."
    told = detectable(found.difference.spread)
    needed = "" if told is None else f"; four times in five this comparison tells {wording.percent(told)}"
    return f"{figures}: no difference told{needed}."


def _p(value: float) -> str:
    text = wording.p_value(value)
    return text if text.startswith("<") else f"= {text}"

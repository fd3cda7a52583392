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
        compared = [
            (task, task.comparisons[first, model]) for task in section.tasks if (first, model) in task.comparisons
        ]
        if compared:
            better, worse, untold = ([p for p in compared if wording.verdict(*p) == way] for way in (1, -1, 0))
            parts = [_part("better", better), _part("worse", worse), _untold([task.name for task, _ in untold])]
            found.append(f"{model} against {first}: {'; '.join(filter(None, parts))}.")
    return found


def _part(way: str, pairs: Sequence[tuple[TaskTable, Comparison]]) -> str:
    gains = (f"{task.name} {wording.figure(one.difference.interval.mean, task.measure, '+')}" for task, one in pairs)
    return f"{way} on {', '.join(gains)}" if pairs else ""


def _untold(names: Sequence[str]) -> str:
    return f"no difference told on {', '.join(names)}" if names else ""


def task_findings(task: TaskTable) -> list[str]:
    """One sentence for each pair of models on a task."""
    return [f"{after} − {before}: {_verdict(task, found)}" for (before, after), found in task.comparisons.items()]


def _verdict(task: TaskTable, found: Comparison) -> str:
    interval, unit = found.difference.interval, "points" if task.measure.is_share else task.measure.title
    bounds = "" if interval.low is None else f" {wording.bounds(interval, task.measure, '+')}"
    figures = f"{wording.figure(interval.mean, task.measure, '+')} {unit}{bounds}, p {_p(found.p_holm)}"
    if wording.verdict(task, found):
        return f"{figures}."
    told = detectable(found.difference.spread)
    least = "" if told is None else f"; four times in five this comparison tells {wording.figure(told, task.measure)}"
    return f"{figures}: no difference told{least}."


def _p(value: float) -> str:
    text = wording.p_value(value)
    return text if text.startswith("<") else f"= {text}"

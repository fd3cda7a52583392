"""A model card for the hub: what was measured, with its intervals and how, and `model-index` for the hub's tables."""

from __future__ import annotations

from typing import Any

from camembert_bio.errors import UserError, nearest
from camembert_bio.evaluation import wording
from camembert_bio.evaluation.comparison import Report, Section, TaskTable
from camembert_bio.evaluation.entries import Entry, Estimate
from camembert_bio.evaluation.recipe import TaskType
from camembert_bio.evaluation.report_markdown import escape, table

_HUB_TASKS: dict[TaskType, tuple[str, str]] = {
    "ner": ("token-classification", "Entity recognition"),
    "pos": ("token-classification", "Part-of-speech tagging"),
    "classification": ("text-classification", "Classification"),
    "multi-label": ("text-classification", "Multi-label classification"),
    "similarity": ("sentence-similarity", "Similarity"),
    "multiple-choice": ("multiple-choice", "Multiple choice"),
    "perplexity": ("fill-mask", "Perplexity"),
    "pseudo-perplexity": ("fill-mask", "Pseudo-perplexity"),
}
"""What the hub calls a type of task, and its name."""


def card(report: Report, model: str) -> str:
    """The card's text: front matter that `huggingface_hub.ModelCard` reads, and a table for each protocol.

    Raises `UserError` for a model that has no run.
    """
    known = [name for section in report.sections for name in section.models]
    if model not in known:
        raise UserError(f"model {model!r} has no run here ({nearest(model, known)})")
    sections = [section for section in report.sections if model in section.models]
    body = [f"# {model}", *(_section(section, model) for section in sections)]
    body.append("Measured with `camembert-bio finetune`; every score can be recomputed from the saved predictions.")
    return f"---\n{_front_matter(sections, model)}\n---\n\n" + "\n\n".join(body) + "\n"


def _front_matter(sections: list[Section], model: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(**values)
        for section in sections
        for task in section.tasks
        if model in task.entries
        for values in _results(section, task, task.entries[model])
    ]
    data = ModelCardData(
        language="fr",
        library_name="transformers",
        pipeline_tag="fill-mask",
        tags=["medical", "biomedical", "camembert"],
        model_name=model,
        eval_results=results,
    )
    return data.to_yaml().strip()


def _results(section: Section, task: TaskTable, entry: Entry) -> list[dict[str, Any]]:
    """The fields of an `EvalResult` for each score."""
    kind, words = _HUB_TASKS[task.first.type]
    return [
        {
            "task_type": kind,
            "task_name": words,
            "dataset_type": task.first.task.lower(),
            "dataset_name": task.name,
            "dataset_split": "test",
            "dataset_revision": task.first.data_sha256,
            "metric_type": name.removeprefix("iob2_"),
            "metric_name": f"{task.titles[name]} (protocol {section.name}, mean of {len(entry.runs)} seeds)",
            "metric_value": round(found.mean, 4),
        }
        for name, found in _scores(entry).items()
    ]


def _scores(entry: Entry) -> dict[str, Estimate]:
    """Of entities those with an interval; of other tasks all."""
    return dict(entry.measures) if entry.entities else {**entry.measures, **entry.figures}


def _section(section: Section, model: str) -> str:
    rows = []
    for task in section.tasks:
        if (entry := task.entries.get(model)) is None:
            continue
        for name, found in _scores(entry).items():
            cells = [wording.estimate(found, task.measure), wording.bounds(found.interval, task.measure)]
            ceiling = wording.percent(entry.entities.ceiling) if entry.entities and name == "f1" else ""
            rows.append([task.name, task.titles[name], *cells, ceiling, str(len(entry.runs))])
    notes = [
        "Mean ± standard deviation over seeds, in points where a score is a share; the interval is over documents and "
        "seeds; the ceiling is the F1 of a perfect tagger.",
        wording.protocol_line(section),
        *([wording.DECODING] if section.has_entities else []),
    ]
    head = ("task", "score", "mean", "95 %", "ceiling", "seeds")
    return "\n\n".join([f"## Protocol {escape(section.name)}", table(head, rows), *notes])

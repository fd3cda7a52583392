"""A model card for the hub: what was measured, with its intervals and how, and `model-index` for the hub's tables."""

from __future__ import annotations

from typing import Any

from camembert_bio.errors import UserError, nearest
from camembert_bio.evaluation import wording
from camembert_bio.evaluation.comparison import MEASURES, Entry, Report, Section, TaskTable
from camembert_bio.evaluation.report_markdown import escape, table

_CARD_MEASURES = ("f1", "precision", "recall", "iob2_f1")


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
    """The fields of an `EvalResult` for each measure."""
    return [
        {
            "task_type": "token-classification",
            "task_name": "Entity recognition",
            "dataset_type": task.first.task.lower(),
            "dataset_name": task.name,
            "dataset_split": "test",
            "dataset_revision": task.first.data_sha256,
            "metric_type": measure.removeprefix("iob2_"),
            "metric_name": f"{MEASURES[measure]} (protocol {section.name}, mean of {len(entry.runs)} seeds)",
            "metric_value": round(entry.measures[measure].mean, 4),
        }
        for measure in _CARD_MEASURES
    ]


def _section(section: Section, model: str) -> str:
    rows = []
    for task in section.tasks:
        if (entry := task.entries.get(model)) is not None:
            cells = [wording.estimate(entry.measures[name]) for name in _CARD_MEASURES]
            interval = wording.bounds(entry.measures[section.measure].interval)
            rows.append([task.name, *cells, interval, wording.percent(entry.ceiling), str(len(entry.runs))])
    head = (
        "task",
        *(MEASURES[name] for name in _CARD_MEASURES),
        f"{MEASURES[section.measure]}, 95 %",
        wording.CEILING,
        "seeds",
    )
    return "\n\n".join(
        [
            f"## Entity recognition, protocol {escape(section.name)}",
            table(head, rows),
            "Mean ± standard deviation over seeds, in points; the interval is over documents and seeds; the ceiling is "
            "the F1 of a perfect tagger.",
            wording.protocol_line(section),
            wording.DECODING,
        ]
    )

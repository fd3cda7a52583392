"""What scoring and fine-tuning cost, beside what they are measured against. One JSON line a bar.

    python benchmarks/evaluation.py [--data ../shared/data/quaero-brat/corpus] [--only NAME]

CPU-seconds of this process; the two sides take turns, since a machine's pace drifts, and the median counts.
`finetune.over_trainer` needs QUAERO, and transformers' Trainer, which needs accelerate.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
import transformers
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from camembert_bio import config
from camembert_bio.evaluation.corpora.reading import read_documents
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.examples import document_tags, encode_documents, window_labels
from camembert_bio.evaluation.finetune import finetune
from camembert_bio.evaluation.layers import IGNORED, decode, tag_layers, tag_names
from camembert_bio.evaluation.metrics import iob2_scores, strict_scores
from camembert_bio.evaluation.models import ModelFolder, load_tagger, open_model
from camembert_bio.evaluation.recipe import Finetune
from camembert_bio.evaluation.tagging import Parts, TaggingHead, mentions

RESULTS = Path(__file__).resolve().parent / "results" / "evaluation.jsonl"
MACHINE = {"python": platform.python_version(), "cores": os.cpu_count()}

LABELS = ("ANAT", "CHEM", "DEVI", "DISO", "GEOG", "LIVB", "OBJC", "PHEN", "PHYS", "PROC")
"""As many as QUAERO has."""
NUM_TOKENS = 200_000
TURNS = 5
SEEDS = 3


def report(name: str, value: float, target: str, met: bool, **detail: Any) -> None:
    """Print one bar and keep it, in the place of its last measurement."""
    line = json.dumps({"name": name, "value": round(value, 3), "target": target, "met": met, "detail": detail})
    print(line, flush=True)
    kept = RESULTS.read_text().splitlines() if RESULTS.is_file() else []
    kept = [other for other in kept if json.loads(other)["name"] != name]
    RESULTS.write_text("\n".join([*kept, line]) + "\n")


def cpu_seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU-seconds of a call, and what it returns."""
    began = time.process_time()
    value = call()
    return time.process_time() - began, value


def tagged_sentences(rng: np.random.Generator) -> tuple[list[list[str]], list[list[str]]]:
    """Gold and predicted tags of sentences of 20 tokens, an entity in about every seventh place, one in six wrong."""
    gold: list[list[str]] = []
    pred: list[list[str]] = []
    for _ in range(NUM_TOKENS // 20):
        sentence: list[list[str]] = [[], []]
        while len(sentence[0]) < 20:
            length = int(rng.integers(1, 4))
            label = str(rng.choice(LABELS))
            entity = [f"B-{label}", *[f"I-{label}"] * (length - 1)] if rng.random() < 0.25 else ["O"] * length
            other = f"B-{rng.choice(LABELS)}"
            sentence[0] += entity
            sentence[1] += [other, *entity[1:]] if rng.random() < 1 / 6 else entity
        for side, tags in zip((gold, pred), sentence, strict=True):
            side.append(tags[:20])
    return gold, pred


def score_over_seqeval() -> None:
    """Strict micro F1 of the same lists of tags."""
    gold, pred = tagged_sentences(np.random.default_rng(0))
    ours, theirs = [], []
    for _ in range(TURNS):
        seconds, found = cpu_seconds(lambda: iob2_scores(gold, pred).micro.f1)
        ours.append(seconds)
        seconds, expected = cpu_seconds(lambda: f1_score(gold, pred, mode="strict", scheme=IOB2, zero_division=0))
        theirs.append(seconds)
    ratio = statistics.median(theirs) / statistics.median(ours)
    equal = bool(abs(found - expected) < 1e-12)
    report(
        "score.over_seqeval",
        ratio,
        ">= 20",
        ratio >= 20 and equal,
        f1=found,
        seqeval_f1=float(expected),
        equal=equal,
        tokens=NUM_TOKENS,
        ours_cpu_s=statistics.median(ours),
        seqeval_cpu_s=statistics.median(theirs),
        **MACHINE,
    )


@dataclass(frozen=True)
class Case:
    """What both sides fine-tune: the same model folder, windows, labels, steps and rates."""

    model: ModelFolder
    parts: Parts
    recipe: Finetune
    num_epochs: int
    head: TaggingHead
    rows: dict[str, list[dict[str, list[int]]]]
    """The same windows and labels as the Trainer takes them. Both are made once for all seeds."""


def lines_of(document: Document) -> list[Document]:
    """A document for each line of text with the entities inside it: what a tagger of sentences is given."""
    found, start = [], 0
    for number, line in enumerate(document.text.splitlines(keepends=True)):
        end = start + len(line)
        spans = [
            Span(tuple((a - start, b - start) for a, b in span.fragments), span.label)
            for span in document.spans
            if start <= span.start and span.end <= end
        ]
        if line.strip():
            found.append(Document(f"{document.id}:{number}", line, tuple(spans)))
        start = end
    return found


def write_model(folder: Path, texts: list[str], width: int) -> None:
    """A CamemBERT of two layers with 8,000 sub-words of the training texts, not trained."""
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=8000,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "CamembertTokenizer", "model_max_length": 512}')
    size = len(transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True))
    torch.manual_seed(0)
    transformers.CamembertForMaskedLM(
        transformers.CamembertConfig(
            vocab_size=size,
            hidden_size=width,
            num_hidden_layers=2,
            num_attention_heads=width // 64,
            intermediate_size=4 * width,
            max_position_embeddings=514,
            type_vocab_size=1,
            pad_token_id=1,
            bos_token_id=5,
            eos_token_id=6,
        )
    ).save_pretrained(folder)


def fine_tuning_case(corpus: Path, folder: Path, width: int, num_epochs: int) -> Case:
    """EMEA line by line, and a small CamemBERT."""
    train, validation, test = (
        [line for document in read_documents("brat", corpus / part / "EMEA") for line in lines_of(document)]
        for part in ("train", "dev", "test")
    )
    write_model(folder, [document.text for document in train], width)
    task = {"name": "EMEA", "format": "brat", "train": corpus, "validation": corpus, "test": corpus}
    values = {"output": folder / "out", "models": {"small": str(folder)}, "tasks": [task], "learning_rate": 1e-3}
    num_steps = num_epochs * math.ceil(len(train) / 16)
    steps = {"max_steps": num_steps, "evaluate_every": "epoch", "warmup_ratio": 0.1}
    recipe = config.build(Finetune, values | steps)
    model = open_model("small", str(folder), recipe.seq_length)
    encoded = [encode_documents(part, model.tokenizer, recipe.seq_length, 128) for part in (train, validation, test)]
    labels = sorted({span.label for document in train for span in document.spans})
    parts = Parts(*encoded, tag_layers(recipe.policy, labels, train))
    assert len(parts.train.windows) == len(train), "a line is longer than a window"
    rows = {
        name: [
            {"input_ids": window.input_ids.tolist(), "labels": labels[:, 0].tolist()}
            for window, labels in zip(part.windows, window_labels(part, recipe.policy, parts.layers), strict=True)
        ]
        for name, part in (("train", parts.train), ("dev", parts.validation), ("test", parts.test))
    }
    return Case(model, parts, recipe, num_epochs, TaggingHead(model, parts, recipe), rows)


def ours(case: Case, seed: int, _: Path) -> list[list[Span]]:
    """Spans of the test documents, by our loop."""
    return finetune(case.head, case.recipe, seed, "ours").predictions


def by_trainer(case: Case, seed: int, folder: Path) -> list[list[Span]]:
    """Spans of the test documents, by transformers' Trainer: evaluation with seqeval and a checkpoint each epoch."""
    recipe, layers, rows = case.recipe, case.parts.layers, case.rows
    names = tag_names(layers)

    def strict_f1(prediction: transformers.EvalPrediction) -> dict[str, float]:
        gold, pred = [], []
        for labels, found in zip(prediction.label_ids, prediction.predictions.argmax(-1), strict=True):
            kept = labels != IGNORED
            gold.append([names[tag] for tag in labels[kept]])
            pred.append([names[tag] for tag in found[kept]])
        return {"f1": f1_score(gold, pred, mode="strict", scheme=IOB2, zero_division=0)}

    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=case.num_epochs,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        warmup_steps=round(recipe.warmup_ratio * recipe.max_steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="f1",
        seed=seed,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    trainer = transformers.Trainer(
        model=load_tagger(case.model, names, seed),
        args=arguments,
        train_dataset=rows["train"],
        eval_dataset=rows["dev"],
        data_collator=transformers.DataCollatorForTokenClassification(case.model.tokenizer),
        compute_metrics=strict_f1,
        callbacks=[],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    assert trainer.state.global_step == recipe.max_steps
    found = trainer.predict(rows["test"]).predictions.argmax(-1)
    tags = document_tags(case.parts.test, [row[:, None] for row in found], 1)
    return [decode(tokens, row, layers) for tokens, row in zip(case.parts.test.tokens, tags, strict=True)]


def finetune_over_trainer(corpus: Path) -> None:
    """Load, train with an evaluation each epoch, predict the test documents: both sides, seed by seed."""
    torch.set_num_threads(1)  # threads that wait for one another are CPU-seconds too
    seconds: dict[str, list[float]] = {"ours": [], "trainer": []}
    scores: dict[str, list[float]] = {"ours": [], "trainer": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = fine_tuning_case(corpus, folder / "model", width=128, num_epochs=3)
        documents = case.parts.test.documents
        gold = mentions(documents, [document.spans for document in documents])
        for seed in range(SEEDS):
            for side, call in (("ours", ours), ("trainer", by_trainer)):
                spent, found = cpu_seconds(lambda call=call, seed=seed: call(case, seed, folder / f"seed-{seed}"))
                seconds[side].append(spent)
                scores[side].append(strict_scores(gold, mentions(documents, found)).micro.f1)
    medians = {side: statistics.median(values) for side, values in seconds.items()}
    ratio = medians["trainer"] / medians["ours"]
    gap = statistics.mean(scores["ours"]) - statistics.mean(scores["trainer"])
    spread = math.sqrt(sum(statistics.variance(values) for values in scores.values()) / SEEDS)
    report(
        "finetune.over_trainer",
        ratio,
        ">= 2.0",
        ratio >= 2.0 and abs(gap) <= 2 * spread,
        f1={side: [round(value, 4) for value in values] for side, values in scores.items()},
        f1_gap=round(gap, 4),
        f1_standard_error=round(spread, 4),
        steps=case.recipe.max_steps,
        epochs=case.num_epochs,
        windows=len(case.parts.train.windows),
        ours_cpu_s=[round(value, 2) for value in seconds["ours"]],
        trainer_cpu_s=[round(value, 2) for value in seconds["trainer"]],
        transformers=transformers.__version__,
        command="python benchmarks/evaluation.py --only finetune.over_trainer",
        **MACHINE,
    )


def main() -> None:
    """Measure every bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/quaero-brat/corpus"), help="QUAERO's corpus")
    parser.add_argument("--only", choices=["score.over_seqeval", "finetune.over_trainer"], help="one bar")
    options = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    if options.only != "finetune.over_trainer":
        score_over_seqeval()
    if options.only != "score.over_seqeval":
        if options.data.is_dir():
            finetune_over_trainer(options.data)
        else:
            print(f"finetune.over_trainer is left out: {options.data} is no folder")


if __name__ == "__main__":
    main()

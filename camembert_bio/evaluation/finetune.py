"""Fine-tuning of one tagger: a plain loop, the best weights on validation, predictions on test.

Everything random comes from the run's seed: the new head, the order of the batches, dropout.
Shape letters: B windows of a batch, L sub-words of its longest window, M layers of tags, K tags of a layer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from camembert_bio import log
from camembert_bio.errors import RunError
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.examples import Encoded, document_tags, pad, shuffled_batches, window_labels
from camembert_bio.evaluation.layers import IGNORED, Layers, decode, tag_names
from camembert_bio.evaluation.metrics import IntArray, Mention, strict_scores
from camembert_bio.evaluation.models import ModelFolder, load_tagger
from camembert_bio.evaluation.recipe import Finetune
from camembert_bio.model.parameters import decay_groups

# Sub-words of a batch that predicts: no gradient is kept, so one size serves CPU and GPU.
_PREDICT_TOKENS = 8192


@dataclass(frozen=True)
class Parts:
    """The three parts of a task, tokenised for one model, and the layers of its tags."""

    train: Encoded
    validation: Encoded
    test: Encoded
    layers: Layers


@dataclass(frozen=True)
class Outcome:
    """What a run found."""

    predictions: list[list[Span]]
    """One list a test document."""
    best_step: int
    history: list[dict[str, float]]
    """For each evaluation: `step`, `train_loss` (mean since the one before), `validation_f1`."""
    train_s: float
    """Seconds of loading and training, evaluations on validation included."""
    device: str
    """`cpu`, or the name of the GPU."""


def finetune(recipe: Finetune, model: ModelFolder, parts: Parts, seed: int, name: str) -> Outcome:
    """Fine-tune one model on one task with one seed, and predict the test documents.

    `name` labels the progress bar. The generators' states outside are left as they were.
    Raises `RunError` when the loss is no longer finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        tagger = load_tagger(model, tag_names(parts.layers), seed).to(device)
        best_step, history = _train(tagger, recipe, parts, seed, name)
    train_s = time.perf_counter() - started
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return Outcome(predict(tagger, parts.test, parts.layers), best_step, history, train_s, device_name)


def predict(tagger: Any, encoded: Encoded, layers: Layers) -> list[list[Span]]:
    """The spans that a tagger finds in each document; each token is read where it is most central."""
    inputs = [window.input_ids for window in encoded.windows]
    rows = [np.empty(0, np.int64)] * len(inputs)
    tagger.eval()
    with torch.inference_mode():
        for batch in _token_batches(inputs):
            logits_BLMK = _logits(tagger, [inputs[index] for index in batch], len(layers))
            for index, row in zip(batch, logits_BLMK.argmax(-1).cpu().numpy(), strict=True):
                rows[index] = row
    tags = document_tags(encoded, rows, len(layers))
    return [decode(tokens, row, layers) for tokens, row in zip(encoded.tokens, tags, strict=True)]


def mentions(documents: Sequence[Document], spans: Sequence[Sequence[Span]]) -> list[Mention]:
    """The spans of each document as mentions of the corpus."""
    return [
        (document.id, span.fragments, span.label)
        for document, found in zip(documents, spans, strict=True)
        for span in found
    ]


def _train(tagger: Any, recipe: Finetune, parts: Parts, seed: int, name: str) -> tuple[int, list[dict[str, float]]]:
    """Train, and leave the weights of the best evaluation in `tagger`; of equal ones, the latest."""
    labels = window_labels(parts.train, recipe.policy, parts.layers)
    batches = shuffled_batches([len(row) for row in labels], recipe.batch_size, seed)
    groups = decay_groups(tagger, recipe.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, recipe))
    best_f1, best_step, best_weights = -1.0, 0, {}
    history: list[dict[str, float]] = []
    losses: list[torch.Tensor] = []
    bar = tqdm(total=recipe.max_steps, desc=name, unit="step", leave=False, disable=not log.terminal())
    for step in range(1, recipe.max_steps + 1):
        batch = next(batches)
        rows = [parts.train.windows[index].input_ids for index in batch]
        losses.append(_step(tagger, rows, [labels[index] for index in batch], optimizer, recipe))
        schedule.step()
        bar.update()
        if step % recipe.evaluate_every and step != recipe.max_steps:
            continue
        train_loss = torch.stack(losses).mean().item()
        losses.clear()
        if not np.isfinite(train_loss):
            raise RunError(f"{name}: the loss is {train_loss} at step {step}; try a lower learning_rate")
        f1 = _validation_f1(tagger, parts)
        history.append({"step": step, "train_loss": train_loss, "validation_f1": f1})
        if f1 >= best_f1:
            best_f1, best_step, best_weights = f1, step, _copy_weights(tagger)
    bar.close()
    tagger.load_state_dict(best_weights)
    return best_step, history


def rate_factor(step: int, recipe: Finetune) -> float:
    """The learning rate after `step` updates over its peak: linear from 0 to 1, then to 0."""
    warmup_steps = round(recipe.warmup_ratio * recipe.max_steps)
    if step < warmup_steps:
        return step / warmup_steps
    return max(0.0, (recipe.max_steps - step) / max(1, recipe.max_steps - warmup_steps))


def _step(
    tagger: Any, rows: list[IntArray], labels: list[IntArray], optimizer: torch.optim.Optimizer, recipe: Finetune
) -> torch.Tensor:
    """One update; returns the cross-entropy, summed over layers, as a mean over the batch's learnt tokens."""
    tagger.train()
    labels_BLM = torch.from_numpy(pad(labels, IGNORED)).to(tagger.device)
    logits_BLMK = _logits(tagger, rows, labels_BLM.shape[-1])
    total = F.cross_entropy(logits_BLMK.flatten(0, 2), labels_BLM.flatten(), ignore_index=IGNORED, reduction="sum")
    # A window of white space alone has nothing to learn: its loss is 0, not 0 / 0.
    loss = total / (labels_BLM[..., 0] != IGNORED).sum().clamp(min=1)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(tagger.parameters(), recipe.max_grad_norm)
    optimizer.step()
    return loss.detach()


def _logits(tagger: Any, rows: list[IntArray], num_layers: int) -> torch.Tensor:
    """[B, L, M, K] fp32, on the tagger's device."""
    input_ids_BL = torch.from_numpy(pad(rows, tagger.config.pad_token_id))
    lengths_B1 = torch.tensor([[len(row)] for row in rows])
    mask_BL = (torch.arange(input_ids_BL.shape[1]) < lengths_B1).long()
    logits: torch.Tensor = tagger(
        input_ids=input_ids_BL.to(tagger.device), attention_mask=mask_BL.to(tagger.device)
    ).logits
    return logits.view(*logits.shape[:2], num_layers, -1)


def _token_batches(rows: Sequence[IntArray]) -> list[list[int]]:
    """Indices of the rows, shortest first, in batches of at most `_PREDICT_TOKENS` sub-words with padding."""
    batches: list[list[int]] = []
    for index in np.argsort([len(row) for row in rows], kind="stable").tolist():
        if batches and (len(batches[-1]) + 1) * len(rows[index]) <= _PREDICT_TOKENS:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _validation_f1(tagger: Any, parts: Parts) -> float:
    documents = parts.validation.documents
    found = predict(tagger, parts.validation, parts.layers)
    gold = mentions(documents, [document.spans for document in documents])
    return strict_scores(gold, mentions(documents, found)).micro.f1


def _copy_weights(tagger: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().to("cpu", copy=True) for name, value in tagger.state_dict().items()}

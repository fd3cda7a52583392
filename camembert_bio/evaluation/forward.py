"""A transformers model's logits on rows of sub-words: padded, masked, on the model's device.

Shape letters: B rows of a batch, L sub-words of its longest row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from camembert_bio.evaluation.batches import pad, sorted_batches
from camembert_bio.evaluation.metrics import IntArray

# Sub-words of a batch that predicts: no gradient is kept, so one size serves CPU and GPU.
_PREDICT_TOKENS = 8192


def batch_logits(
    model: Any, rows: Sequence[IntArray], types: Sequence[IntArray] | None = None, are_choices: bool = False
) -> torch.Tensor:
    """The logits of one batch: [B, L, ...] of a model with a head on each token, [B, ...] of one on texts.

    `types` are the token types of the rows (default: the model's own, 0). A row may be one choice, scored alone by a
    model of multiple choice: [B, 1].
    """
    input_ids_BL = torch.from_numpy(pad(rows, model.config.pad_token_id))
    lengths_B1 = torch.tensor([[len(row)] for row in rows])
    inputs = {
        "input_ids": input_ids_BL,
        "attention_mask": (torch.arange(input_ids_BL.shape[1]) < lengths_B1).long(),
        **({} if types is None else {"token_type_ids": torch.from_numpy(pad(types, 0))}),
    }
    inputs = {name: (value[:, None] if are_choices else value).to(model.device) for name, value in inputs.items()}
    logits: torch.Tensor = model(**inputs).logits
    return logits.float()  # under autocast too: nothing downstream is done in 16 bits


def read_rows(
    model: Any,
    rows: Sequence[IntArray],
    types: Sequence[IntArray] | None = None,
    are_choices: bool = False,
    *,
    reduce: Callable[[torch.Tensor], torch.Tensor],
) -> list[Any]:
    """`reduce(batch_logits)` of all rows, as numpy, one element a row in their order; without dropout or gradients.

    Batches hold rows of like length; what `reduce` leaves of dimension L is as long as the longest row of a batch.
    """
    found: list[Any] = [None] * len(rows)
    with reading(model):
        for batch in sorted_batches([len(row) for row in rows], _PREDICT_TOKENS):
            of_batch = None if types is None else [types[index] for index in batch]
            logits = batch_logits(model, [rows[index] for index in batch], of_batch, are_choices)
            for index, value in zip(batch, reduce(logits).cpu().numpy(), strict=True):
                found[index] = value
    return found


@contextmanager
def reading(model: torch.nn.Module) -> Iterator[None]:
    """The block evaluates: no dropout, no gradients. Afterwards the model trains again if it did before."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)

"""Held-out evaluation of a run: the loss on windows that are never trained on."""

from __future__ import annotations

import logging
import math

from camembert_bio.pretrain.metrics import Metrics
from camembert_bio.pretrain.schedule import tokens_before
from camembert_bio.pretrain.setup import Run

logger = logging.getLogger(__name__)


def evaluate(run: Run, metrics: Metrics | None) -> None:
    """Held-out loss, if there is held-out text: the mean over its targets, equal for every layout. Collective."""
    if run.heldout is None:
        return
    loss_sum, targets = 0.0, 0
    for batch in run.heldout:
        loss_sum += run.engine.evaluate(batch)
        targets += batch.num_targets
    loss_sum, total = run.engine.sum_over_ranks([loss_sum, targets])
    loss = loss_sum / max(1.0, total)
    if metrics is not None:
        scalars = {"heldout/loss": loss, "heldout/perplexity": math.exp(min(loss, 50.0))}
        metrics.write(run.step, tokens_before(run.recipe, run.step), scalars)
        logger.info("step %d  held-out loss %.4f  perplexity %.2f", run.step, loss, scalars["heldout/perplexity"])

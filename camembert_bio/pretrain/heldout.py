"""Held-out evaluation of a run: the loss on windows that are never trained on, of each source and of all."""

from __future__ import annotations

import logging
import math

from camembert_bio.pretrain.metrics import Metrics
from camembert_bio.pretrain.schedule import tokens_before
from camembert_bio.pretrain.setup import Run

logger = logging.getLogger(__name__)


def evaluate(run: Run, metrics: Metrics | None) -> None:
    """Held-out loss, if there is held-out text, and what the model says to the recipe's prompts. Collective.

    A loss is the mean over its targets, equal for every layout; that of all is the mean over all targets.
    """
    if run.heldout:
        _losses(run, metrics)
    if run.prompts is not None:
        answers = run.prompts.answers(run.engine)
        if metrics is not None:
            metrics.write_answers(run.step, tokens_before(run.recipe, run.step), answers)


def _losses(run: Run, metrics: Metrics | None) -> None:
    sums: list[float] = []
    for batches in run.heldout.values():
        loss_sum, num_targets = 0.0, 0
        for batch in batches:
            loss_sum += run.engine.evaluate(batch)
            num_targets += batch.num_targets
        sums += [loss_sum, num_targets]
    totals = run.engine.sum_over_ranks(sums)
    if metrics is None:
        return
    by_source = dict(zip(run.heldout, zip(totals[::2], totals[1::2], strict=True), strict=True))
    scalars = _scalars("", sum(totals[::2]), sum(totals[1::2]))
    for source, (loss_sum, targets) in by_source.items():
        scalars |= _scalars(f"/{source}", loss_sum, targets)
    metrics.write(run.step, tokens_before(run.recipe, run.step), scalars)
    each = ", ".join(f"{source} {scalars[f'heldout/perplexity/{source}']:.2f}" for source in by_source)
    loss, perplexity = scalars["heldout/loss"], scalars["heldout/perplexity"]
    logger.info("step %d  held-out loss %.4f  perplexity %.2f (%s)", run.step, loss, perplexity, each)


def _scalars(ending: str, loss_sum: float, num_targets: float) -> dict[str, float]:
    loss = loss_sum / max(1.0, num_targets)
    return {f"heldout/loss{ending}": loss, f"heldout/perplexity{ending}": math.exp(min(loss, 50.0))}

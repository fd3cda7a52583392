"""Synthetic experiments: the counts that models, seeds and documents of known variance would give."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from camembert_bio.evaluation.spread import Ratios


@dataclass(frozen=True)
class World:
    """How hard entities are to find, in logits: a mean, and what documents, seeds and both together add."""

    num_seeds: int
    num_documents: int
    mean_gold: float
    """Entities of a document; sizes vary as QUAERO's and E3C's do."""
    document: float
    seed: float
    both: float
    model: float = 0.0
    """What a model adds to a document, another for each model."""
    gain: float = 0.0
    """What the second model has over the first."""
    dispersion: float = 3.0
    absent: float = 0.0
    """Share of the documents without any, as of a label."""

    def sizes(self, rng, shape):
        rest = self.mean_gold - 1
        found = 1 + rng.negative_binomial(self.dispersion, self.dispersion / (self.dispersion + rest), size=shape)
        return found * (rng.random(shape) >= self.absent) if self.absent else found

    def experiments(self, count, rng, num_models=1, measure="f1"):
        """`count` tuples with a `Ratios` for each model, on the same documents."""
        shape = (count, self.num_seeds, self.num_documents)
        gold = self.sizes(rng, (count, 1, self.num_documents))
        hardness = 1 + self.document * rng.standard_normal((count, 1, self.num_documents))
        models = [self._counts(gold, hardness + place * self.gain, shape, rng, measure) for place in range(num_models)]
        return [tuple(Ratios(found[n], total[n]) for found, total in models) for n in range(count)]

    def _counts(self, gold, hardness, shape, rng, measure):
        logits = hardness + self.model * rng.standard_normal((shape[0], 1, shape[2]))
        logits = logits + self.seed * rng.standard_normal((*shape[:2], 1)) + self.both * rng.standard_normal(shape)
        chance = 1 / (1 + np.exp(-logits))
        found = rng.binomial(np.broadcast_to(gold, shape), chance)
        spurious = rng.poisson(gold * (1 - chance))
        parts = {
            "f1": (2 * found, found + spurious + gold),
            "precision": (found, found + spurious),
            "recall": (found, np.broadcast_to(gold, shape)),
        }
        return tuple(part.astype(float) for part in parts[measure])

    def truth(self):
        """The score over all documents, averaged over all seeds.

        F1 is the mean chance, weighted by size; so are precision and recall, since as many are predicted as are there.
        """
        world = replace(self, num_seeds=1, num_documents=300_000, seed=0.0)
        nodes, weights = np.polynomial.hermite_e.hermegauss(15)
        rng = np.random.default_rng(0)
        gold = world.sizes(rng, 300_000)
        spread = np.sqrt(self.document**2 + self.model**2 + self.both**2) * rng.standard_normal(300_000)
        chances = [gold @ (1 / (1 + np.exp(-1 - spread - self.seed * node))) / gold.sum() for node in nodes]
        return float(weights @ chances / weights.sum())

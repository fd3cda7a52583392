"""How much each class weighs in the loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from camembert_bio.evaluation.metrics import IntArray


def class_weights(counts: IntArray, balance: float) -> npt.NDArray[np.float32]:
    """Weights of classes that occur `counts` times, of any shape: count to the power of -balance.

    Their mean over all targets is 1, so that the loss keeps its size and the learning rate its meaning. A class that
    never occurs has the weight of one that occurs once.
    """
    weights = np.maximum(counts, 1.0) ** -balance
    scaled: npt.NDArray[np.float32] = (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)
    return scaled

"""How well a model's own masked-LM head knows held-out texts: perplexity, and pseudo-perplexity.

`perplexity`: 15 % of the words of each window are masked as in pretraining (`data.masking`, whole words where the
tokenizer shows them), with a seed that is always the same, so that models of one tokenizer read the same masks.
`pseudo-perplexity`: each sub-word is masked once, alone (Salazar et al. 2020, arXiv 1910.14659, equation 2), at the
cost of one forward pass a sub-word. Long texts are read through windows; a sub-word counts once, where it is most
central. Special ids, `<unk>` among them, are not scored, and of `pseudo-perplexity` no word that holds one: a word
without nats would make the figure a word the better, the less the tokenizer knows.

Shape letters: B rows, L sub-words of a row, K scored sub-words, V vocabulary, D hidden size, T tokens of a document,
W its words.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from tqdm import tqdm
from transformers import AutoModelForMaskedLM

from camembert_bio import log
from camembert_bio.corpus.tokenize import load_tokenizer
from camembert_bio.data.masking import masking
from camembert_bio.errors import UserError
from camembert_bio.evaluation.batches import pad
from camembert_bio.evaluation.examples import Encoded, encode_documents
from camembert_bio.evaluation.finetune import Outcome
from camembert_bio.evaluation.forward import reading
from camembert_bio.evaluation.measures import AnyRow, Likelihood
from camembert_bio.evaluation.metrics import IntArray
from camembert_bio.evaluation.models import ModelFolder
from camembert_bio.evaluation.recipe import Finetune
from camembert_bio.evaluation.spread import FloatArray
from camembert_bio.evaluation.tasks import TaskData
from camembert_bio.model.families import head_logits

MASK_SEED = 0
MLM_PROBABILITY = 0.15
"""Devlin et al. 2019; the same whatever the model was trained with."""

_WORD = re.compile(r"\S+")
_TOKENS = 8192
"""Sub-words of a batch, with padding."""


@dataclass(frozen=True)
class Masked:
    """One row of model input, and the places in it that are scored."""

    document: int
    """Index of its document."""
    input_ids: IntArray
    """[L]"""
    places: IntArray
    """[K]"""
    targets: IntArray
    """[K]: the ids that stood there."""


@dataclass(frozen=True)
class Known:
    """What of a text the tokenizer knows."""

    tokens: npt.NDArray[np.bool_]
    """[T]: those of words that have no special id among theirs."""
    num_words: int
    """Words, between white space, that have tokens, all of them known."""
    num_others: int
    """Its other words."""


def likelihoods(model: ModelFolder, data: TaskData, recipe: Finetune, name: str) -> Outcome[list[AnyRow]]:
    """Score the test texts. `name` labels the progress bar. Raises `UserError` for a folder without masked-LM head."""
    started = time.perf_counter()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoded = encode_documents(data.test, model.tokenizer, recipe.seq_length, recipe.window_overlap)
    known = known_words(encoded, model)
    rows = _rows(data, encoded, model, known)
    nll, counts = np.zeros(len(data.test)), np.zeros(len(data.test), dtype=np.int64)
    with torch.random.fork_rng(devices=[]):  # transformers draws while it loads
        encoder = load_masked_lm(model).to(device)
    with reading(encoder), tqdm(desc=name, unit="row", leave=False, disable=not log.terminal()) as bar:
        for batch in _batches(rows):
            owners = np.repeat([row.document for row in batch], [len(row.places) for row in batch])
            np.add.at(nll, owners, _nll(encoder, batch))
            np.add.at(counts, owners, 1)
            bar.update(len(batch))
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    found: list[AnyRow] = [
        Likelihood(document.id, float(total), int(count), its.num_words, its.num_others)
        for document, total, count, its in zip(data.test, nll, counts, known, strict=True)
    ]
    return Outcome(found, 0, [], time.perf_counter() - started, device_name)


def check_head(model: ModelFolder) -> None:
    """Raise `UserError` for a folder whose masked-LM head or masks are not all there."""
    if model.tokenizer.mask_token_id is None:
        raise UserError(f"model {model.name}: its tokenizer has no mask, which perplexity needs; take out the task")
    load_tokenizer(model.path)
    with torch.random.fork_rng(devices=[]):
        load_masked_lm(model)


def check_scored(model: ModelFolder, data: TaskData, recipe: Finetune) -> None:
    """Raise `UserError` for test texts of which no sub-word would be scored: nothing is no perplexity."""
    for document in data.test:  # each alone, as a rule the first suffices
        encoded = encode_documents([document], model.tokenizer, recipe.seq_length, recipe.window_overlap)
        if any(len(row.places) for row in _rows(data, encoded, model, known_words(encoded, model))):
            return
    reason = (
        "each word holds what the tokenizer does not know; give other texts"
        if data.task.type == "pseudo-perplexity"
        else f"of so few words none is among the {MLM_PROBABILITY:.0%} that are masked; give more or longer texts"
    )
    raise UserError(
        f"task {data.name}: {len(data.test)} test documents and no sub-word to score for {model.name}: {reason}"
    )


def load_masked_lm(model: ModelFolder) -> Any:
    """The folder's masked language model, fp32. Raises `UserError` when its head is missing or it does not load."""
    try:
        encoder, report = AutoModelForMaskedLM.from_pretrained(
            model.path,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"model {model.name}: {model.path} cannot be loaded ({reason})") from error
    if missing := sorted(set(report["missing_keys"]) - set(encoder.all_tied_weights_keys)):
        raise UserError(
            f"model {model.name}: {model.path} lacks weights of its masked-LM head ({', '.join(missing[:3])}); "
            "perplexity needs a folder that AutoModelForMaskedLM saved"
        )
    return encoder


def known_words(encoded: Encoded, model: ModelFolder) -> list[Known]:
    """What the tokenizer knows of each text. A token is of the word in which it begins, or that follows it."""
    special = np.array(model.tokenizer.all_special_ids)
    found = []
    for document, tokens in zip(encoded.documents, encoded.tokens, strict=True):
        ends_W = np.array([word.end() for word in _WORD.finditer(document.text)], dtype=np.int64)
        words_T = np.searchsorted(ends_W, tokens.starts, side="right")  # W: after the last word
        num_unknown_W = np.bincount(words_T, np.isin(tokens.input_ids, special), len(ends_W) + 1)
        is_known_W = (np.bincount(words_T, minlength=len(ends_W) + 1) > 0) & (num_unknown_W == 0)
        is_known_W[-1] = False
        num_words = int(is_known_W.sum())
        found.append(Known(is_known_W[words_T], num_words, len(ends_W) - num_words))
    return found


def _rows(data: TaskData, encoded: Encoded, model: ModelFolder, known: Sequence[Known]) -> Iterator[Masked]:
    return masked_once(encoded, model, known) if data.task.type == "pseudo-perplexity" else masked_words(encoded, model)


def masked_words(encoded: Encoded, model: ModelFolder) -> Iterator[Masked]:
    """A row a window, with the words that the fixed seed chooses masked; those that the window owns are scored.

    What is masked depends on the text and the place of the window in it alone.
    """
    vocabulary = load_tokenizer(model.path).vocabulary
    masks = masking(vocabulary, MASK_SEED, whole_word=vocabulary.marks_words)
    for window in encoded.windows:
        digest = encoded.documents[window.document].text_sha256
        draw = np.array([int(digest[:12], 16) + window.start])
        corrupted, places = masks.apply(
            window.input_ids[None].astype(np.uint32), np.zeros(1, np.int64), draw, MLM_PROBABILITY
        )
        owned = places[window.is_owned[places] == 1]
        yield Masked(window.document, corrupted[0].astype(np.int64), owned, window.input_ids[owned])


def masked_once(encoded: Encoded, model: ModelFolder, known: Sequence[Known]) -> Iterator[Masked]:
    """A row a sub-word of a word that is known, which is masked in the window that owns it."""
    for window in encoded.windows:
        owned = np.flatnonzero(window.is_owned)
        for place in owned[known[window.document].tokens[window.start + owned - 1]]:
            corrupted = window.input_ids.copy()
            corrupted[place] = model.tokenizer.mask_token_id
            yield Masked(window.document, corrupted, np.array([place]), window.input_ids[[place]])


def _batches(rows: Iterator[Masked]) -> Iterator[list[Masked]]:
    """Rows in their order, as many at once as `_TOKENS` sub-words hold with padding; none without a scored place."""
    batch: list[Masked] = []
    longest = 0
    for row in rows:
        if not len(row.places):
            continue
        longest = max(longest, len(row.input_ids))
        if batch and (len(batch) + 1) * longest > _TOKENS:
            yield batch
            batch, longest = [], len(row.input_ids)
        batch.append(row)
    if batch:
        yield batch


def _nll(encoder: Any, batch: Sequence[Masked]) -> FloatArray:
    """[K]: nats of each scored sub-word of the batch, row by row. The head runs on these places alone."""
    input_ids_BL = torch.from_numpy(pad([row.input_ids for row in batch], encoder.config.pad_token_id))
    lengths_B1 = torch.tensor([[len(row.input_ids)] for row in batch])
    mask_BL = (torch.arange(input_ids_BL.shape[1]) < lengths_B1).long()
    hidden_BLD = encoder.base_model(
        input_ids=input_ids_BL.to(encoder.device), attention_mask=mask_BL.to(encoder.device)
    ).last_hidden_state
    rows_K = torch.repeat_interleave(torch.tensor([len(row.places) for row in batch]))
    places_K = torch.from_numpy(np.concatenate([row.places for row in batch]))
    targets_K = torch.from_numpy(np.concatenate([row.targets for row in batch])).to(encoder.device)
    hidden_KD = hidden_BLD[rows_K.to(encoder.device), places_K.to(encoder.device)]
    logs_KV = head_logits(encoder, hidden_KD).float().log_softmax(-1)
    nll_K = -logs_KV.gather(1, targets_K[:, None])[:, 0]
    found: FloatArray = nll_K.double().cpu().numpy()
    return found

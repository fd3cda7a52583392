"""The counts of a build, added up from what its tasks wrote, and what they forbid."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

from camembert_bio import config
from camembert_bio.corpus.cleaner import HOOK
from camembert_bio.corpus.layout import KEPT_TEXTS, READ, TOKENS, layout_of
from camembert_bio.corpus.recipe import Prepare
from camembert_bio.corpus.report import Tally
from camembert_bio.corpus.selection import CONTAMINATED, DUPLICATE, NEAR, learnt, selected
from camembert_bio.corpus.work import Block, Job, blocks
from camembert_bio.errors import UserError, raise_all
from camembert_bio.shards.manifest import TRAIN, VALIDATION

logger = logging.getLogger(__name__)


def tallies(job: Job, tokenised: bool = True) -> dict[str, Tally]:
    """The counts of each source, by name; those of tokens only when all blocks are `tokenised`."""
    found = [Tally(job.recipe.clean.languages) for _ in job.recipe.sources]
    counted = selected(job)
    for source, tally in enumerate(found):
        tally.num_duplicates_across = counted["copies_of_earlier_sources"][source]
        tally.num_near_across = counted["near_of_earlier_sources"][source]
    if job.recipe.clean.boilerplate is not None:
        for tally, hashes in zip(found, learnt(job), strict=True):
            tally.num_learnt = len(hashes)
    for block in layout_of(job).blocks:
        tally = found[block.source]
        read = config.read_json(job.path(READ, block, ".json"))
        kept = config.read_json(job.path(KEPT_TEXTS, block, ".json"))
        tally.num_read += read["num_read"]
        tally.dropped.update(read["dropped"])
        tally.changed.update(read["changed"])
        tally.by_language.update(read["languages"])
        tally.unreadable.update(bad["kind"] for bad in read["rejected"])
        tally.num_contaminated += kept["fates"][CONTAMINATED]
        tally.num_duplicates += kept["fates"][DUPLICATE]
        tally.num_near += kept["fates"][NEAR]
        tally.gone.update(kept["gone"])
        tally.documents.update(kept["documents"])
        tally.licences.update(kept["licences"])
        tally.num_words += kept["words"]
        tally.num_characters += kept["characters"]
        if tokenised:
            tokens = config.read_json(job.path(TOKENS, block, ".json"))
            tally.num_tokens += tokens["tokens"]
            tally.num_unknown += tokens["unknown"]
            tally.num_single += tokens["single"]
            tally.lengths.update(tokens["lengths"])
    return {source.name: tally for source, tally in zip(job.recipe.sources, found, strict=True)}


def check_readable(job: Job) -> None:
    """Raise `UserError` when a source holds no document, or more than the recipe's share of it cannot be read.

    Warns, by source, of documents on which the hook failed.
    """
    num_read: Counter[int] = Counter()
    rejected: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    first: dict[int, dict[str, Any]] = {}
    for block, counts in _read_counts(job):
        num_read[block.source] += counts["num_read"]
        rejected[block.source] += len(counts["rejected"])
        failed[block.source] += len(counts["hook_failed"])
        for bad in counts["rejected"][:1]:
            first.setdefault(block.source, bad)
    mistakes = []
    for number, source in enumerate(job.recipe.sources):
        if not num_read[number]:
            mistakes.append(f"source {source.name!r}: {source.path} holds no document; check the path")
        elif rejected[number] > job.recipe.max_rejected * num_read[number]:
            mistakes.append(
                f"source {source.name!r}: {rejected[number]} of {num_read[number]} documents cannot be read, over "
                f"max_rejected {job.recipe.max_rejected}; the first: {first[number]['where']} {first[number]['reason']}"
            )
        if failed[number]:
            logger.warning(
                "source %r: hook %s failed on %d of %d documents, which are left out; quarantine.jsonl in the corpus "
                "names them",
                *(source.name, job.recipe.clean.hook, failed[number], num_read[number]),
            )
    raise_all("sources cannot be used:", mistakes)


def quarantine(job: Job) -> Iterator[dict[str, Any]]:
    """The documents that could not be read, and those on which the hook failed: source, id, place and reason.

    The id is None where none could be read, or it may be a text; the place is None where the hook failed.
    """
    for block, counts in _read_counts(job):
        for bad in (*counts["rejected"], *counts["hook_failed"]):
            place = {key: bad[key] for key in ("id", "where", "reason")}
            yield {"source": job.recipe.sources[block.source].name, **place}


def _read_counts(job: Job) -> Iterator[tuple[Block, dict[str, Any]]]:
    """What the first phase counted, block by block in the corpus' order."""
    for block in blocks(job, READ):
        yield block, config.read_json(job.path(READ, block, ".json"))


def check(recipe: Prepare, counted: dict[str, Tally]) -> None:
    """Raise `UserError` when a source gave no document, or a side of the held-out split is empty."""
    mistakes = [
        f"source {name!r}: none of its {tally.num_read} documents stays ({_reasons(tally)}); "
        f"{_remedy(tally)} or remove the source"
        for name, tally in counted.items()
        if not tally.documents.total()
    ]
    raise_all("sources are empty:", mistakes)
    fraction = recipe.validation_fraction
    num_documents = {split: sum(tally.documents[split] for tally in counted.values()) for split in (TRAIN, VALIDATION)}
    if fraction and not num_documents[VALIDATION]:
        raise UserError(
            f"validation_fraction {fraction} of {num_documents[TRAIN]} documents holds none out; "
            f"raise it to {min(0.5, 3 / num_documents[TRAIN]):.2g} or more, or set it to 0"
        )
    if not num_documents[TRAIN]:
        raise UserError(f"validation_fraction {fraction} holds out all {num_documents[VALIDATION]} documents; lower it")


def _remedy(tally: Tally) -> str:
    return "mend the hook" if any(reason.startswith(HOOK) for reason in tally.dropped) else "lower clean.min_characters"


def _reasons(tally: Tally) -> str:
    return ", ".join(f"{number} {name}" for name, number in tally.removed() if number or name == "duplicates")

"""The counts of a build, added up from what its tasks wrote, and what they forbid."""

from __future__ import annotations

from typing import Any

from camembert_bio import config
from camembert_bio.corpus.layout import KEPT_TEXTS, READ, TOKENS, layout_of
from camembert_bio.corpus.recipe import Prepare
from camembert_bio.corpus.report import Tally
from camembert_bio.corpus.selection import CONTAMINATED, DUPLICATE, NEAR, learnt, selected
from camembert_bio.corpus.work import Job, blocks
from camembert_bio.errors import UserError, raise_all
from camembert_bio.shards.manifest import TRAIN, VALIDATION


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
        tally.num_unreadable += len(read["rejected"])
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


def quarantined(job: Job) -> list[dict[str, Any]]:
    """The documents that could not be read: source, place and reason.

    Raises `UserError` when they are more than the recipe's share of a source.
    """
    found = blocks(job, READ)
    lines: list[dict[str, Any]] = []
    mistakes = []
    for number, source in enumerate(job.recipe.sources):
        counts = [config.read_json(job.path(READ, block, ".json")) for block in found if block.source == number]
        mine = [{"source": source.name, **bad} for one in counts for bad in one["rejected"]]
        num_read = sum(one["num_read"] for one in counts)
        if not num_read:
            mistakes.append(f"source {source.name!r}: {source.path} holds no document; check the path")
        elif len(mine) > job.recipe.max_rejected * num_read:
            mistakes.append(
                f"source {source.name!r}: {len(mine)} of {num_read} documents cannot be read, over max_rejected "
                f"{job.recipe.max_rejected}; the first: {mine[0]['where']} {mine[0]['reason']}"
            )
        lines += mine
    raise_all("sources cannot be used:", mistakes)
    return lines


def check(recipe: Prepare, counted: dict[str, Tally]) -> None:
    """Raise `UserError` when a source gave no document, or a side of the held-out split is empty."""
    mistakes = [
        f"source {name!r}: none of its {tally.num_read} documents stays ({_reasons(tally)}); "
        "lower clean.min_characters or remove the source"
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


def _reasons(tally: Tally) -> str:
    return ", ".join(f"{number} {name}" for name, number in tally.removed() if number or name == "duplicates")

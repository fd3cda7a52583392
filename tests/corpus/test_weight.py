"""The weight of a source, from the recipe through `corpus.json` to what an epoch of training reads."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from camembert_bio.corpus.build import prepare
from camembert_bio.corpus.recipe import Prepare
from camembert_bio.data.loader import Loader
from camembert_bio.errors import UserError
from camembert_bio.shards.manifest import open_corpus

from .conftest import recipe, sentences, write_jsonl

WEIGHTS = {"a": 1.0, "b": 2.0, "c": 0.5}


@pytest.fixture
def weighted(tmp_path: Path, tokenizer_folder: Path) -> Prepare:
    """Three sources; the texts of each begin with `Observation` and a number of its own."""
    sources = []
    for seed, (name, weight) in enumerate(WEIGHTS.items(), start=1):
        path = write_jsonl(tmp_path / f"{name}.jsonl", sentences(30 * seed, seed))
        sources.append({"name": name, "path": str(path), "licence": "CC0"} | ({} if seed == 1 else {"weight": weight}))
    given = {"path": str(tokenizer_folder)}
    return recipe(tmp_path / "corpus", sources=sources, tokenizer=given, shard_bytes=4000, num_workers=1)


def test_an_epoch_reads_a_source_as_often_as_its_weight_says(weighted: Prepare) -> None:
    prepare(weighted)
    corpus = open_corpus(weighted.output)
    written = json.loads((weighted.output / "corpus.json").read_text())["sources"]
    assert {name: source["weight"] for name, source in written.items()} == WEIGHTS
    repeats = corpus.manifest.repeats({})
    loader = Loader(corpus, 128, 0, 1, 1, 0, 1, mlm_probability=0.15, objective="causal", repeats=repeats)
    table, pieces = loader.table, corpus.vocabulary.pieces
    read: dict[str, Counter[str]] = {name: Counter() for name in WEIGHTS}
    for step in range(loader.order.epoch_length):
        (batch,) = loader.batch(step)
        text = "".join(pieces[id_] for id_ in batch.input_ids[0].tolist())
        read[table.sources[int(batch.sources[0])]][text] += 1
    for seed, texts in enumerate(read.values(), start=1):
        assert {number for text in texts for number in re.findall(r"Observation▁(\d)\.", text)} == {str(seed)}
    num_windows = dict(zip(table.sources, (table.source_offsets[1:] - table.source_offsets[:-1]).tolist(), strict=True))
    assert {name: len(texts) for name, texts in read.items() if name != "c"} == {n: num_windows[n] for n in "ab"}
    assert set(read["a"].values()) == {1} and set(read["b"].values()) == {2} and set(read["c"].values()) == {1}
    assert abs(len(read["c"]) - num_windows["c"] / 2) < 1 < num_windows["c"] / 4


def test_another_weight_is_another_corpus_of_the_same_shards(weighted: Prepare, tmp_path: Path) -> None:
    first = prepare(weighted)
    changed = [{**source.__dict__, "path": str(source.path)} for source in weighted.sources]
    changed[1]["weight"] = 3
    values = {"sources": changed, "tokenizer": {"path": str(weighted.tokenizer.path)}, "shard_bytes": 4000}
    with pytest.raises(UserError, match=r"another corpus \(.*\): recipe.sources\[1\].weight: 2.0 there, 3.0 here"):
        prepare(recipe(weighted.output, **values))
    second = prepare(recipe(tmp_path / "other", **values, num_workers=1))
    assert first.hash != second.hash and second.sources["b"].weight == 3
    assert first.shards("train") == second.shards("train")

"""How a build is laid out on the disk changes nothing of the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camembert_bio import config
from camembert_bio.corpus import inputs, layout
from camembert_bio.corpus.build import _lanes, prepare
from camembert_bio.corpus.readers import blocks
from camembert_bio.corpus.recipe import Prepare
from camembert_bio.corpus.work import Block, Job, write_counts
from camembert_bio.samples.corpus import write_corpus
from camembert_bio.samples.ner import write_ner
from tests.corpus.test_build import content


def build(folder: Path, name: str, sources: list[dict[str, Any]]) -> dict[str, bytes]:
    values = {
        "output": str(folder / name),
        "sources": sources,
        "tokenizer": {"train": {"vocab_size": 400}},
        "validation_fraction": 0.1,
        "shard_bytes": 20_000,
        "clean": {"boilerplate": 0.5},
        "deduplicate": {"near": 0.8, "sentences": 2},
        "decontaminate": {"tasks": {"ner": str(folder / "ner" / "test")}, "remove": True},
        "num_workers": 1,
    }
    prepare(config.build(Prepare, values))
    return content(folder / name)


def test_blocks_parts_groups_and_buckets_of_any_size_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path / "raw", num_documents=150)
    write_ner(tmp_path / "ner", num_documents=10)
    sources = [
        {"name": "leaflets", "path": str(tmp_path / "raw" / "leaflets"), "licence": "MIT"},
        {"name": "cases", "path": str(tmp_path / "raw" / "clinical_cases.jsonl.gz"), "licence": "MIT"},
        {"name": "ner", "path": str(tmp_path / "ner" / "train"), "licence": "MIT"},
    ]
    expected = build(tmp_path, "one-block-each", sources)
    found = []
    lay_out = layout.lay_out

    monkeypatch.setattr(blocks, "BLOCK_BYTES", 20_000)
    monkeypatch.setattr(inputs, "_PART_BYTES", 50_000)
    monkeypatch.setattr(layout, "_GROUPS", 5)
    monkeypatch.setattr(layout, "_ROWS_A_BUCKET", 200)
    monkeypatch.setattr("camembert_bio.corpus.build.lay_out", lambda job: found.append(lay_out(job)) or found[-1])
    assert build(tmp_path, "many", sources) == expected
    (made,) = found
    assert made.group_size > 1 and made.num_groups >= 3 and made.num_buckets >= 5
    assert {block.part for block in made.blocks} >= {0, 1, 2}


def test_few_large_files_are_shared_and_many_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, num_files in (("one", 1), ("many", 64)):
        (tmp_path / name).mkdir()
        for number in range(num_files):
            (tmp_path / name / f"{number:02d}.txt").write_text("Le patient va bien.")
    monkeypatch.setattr(inputs, "_PART_BYTES", 1)
    values = {
        "output": str(tmp_path / "out"),
        "sources": [{"name": name, "path": str(tmp_path / name), "licence": "MIT"} for name in ("one", "many")],
        "tokenizer": {"train": {}},
    }
    job = Job(config.build(Prepare, values), tmp_path, "")
    for num_workers, of_one, of_many in ((1, 1, 64), (16, 16, 64), (200, 200, 256)):
        calls = list(_lanes(job, inputs.list_inputs(job.recipe).sources, num_workers))
        assert [sum(call[1] == source for call in calls) for source in (0, 1)] == [of_one, of_many]
        assert all(len(paths) == 1 and 0 <= lane < num_lanes for _, _, _, paths, lane, num_lanes in calls)


def test_many_short_documents_make_many_buckets_and_small_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "read").mkdir()
    monkeypatch.setattr(layout, "_GROUPS", 2)
    values = {"output": "o", "tokenizer": {"train": {}}, "sources": [{"name": "a", "path": "a", "licence": "MIT"}]}
    job = Job(config.build(Prepare, values), tmp_path, "short")
    for number in range(40):
        rows = {"documents": 60_000, "sentences": 60_000, "bands": 21 * 60_000}
        write_counts(job.path("read", Block(0, 0, number), ".json"), {"num_documents": 60_000, "num_rows": rows})
    made = layout.lay_out(job)
    assert made.num_buckets == 1 + 40 * 21 * 60_000 // (1 << 20) and made.group_size == 3


def test_a_layout_covers_the_corpus_once() -> None:
    made = layout.Layout(tuple(Block(0, 0, n) for n in range(10)), np.arange(11) * 5, group_size=4, num_buckets=3)
    assert [list(made.members(group)) for group in range(made.num_groups)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert made.first_documents().tolist() == [0, 20, 40, 50]
    assert [len(made.spread(most)) for most in (1, 3, 4, 10, 50)] == [1, 3, 4, 10, 10]

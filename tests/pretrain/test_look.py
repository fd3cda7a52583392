"""What `inspect RUN --step N` says, against the loaders of the ranks and the documents of the corpus."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from serving import serve

from camembert_bio import cli, config
from camembert_bio.corpus.inspect import decode
from camembert_bio.corpus.tokenize import load_tokenizer
from camembert_bio.data.loader import Loader
from camembert_bio.errors import UserError
from camembert_bio.pretrain import checkpoint, look, run_folder
from camembert_bio.pretrain.branch import Before
from camembert_bio.pretrain.loaders import training_loader
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.schedule import phases
from camembert_bio.shards.address import HIDDEN
from camembert_bio.shards.manifest import TOKENIZER

PHASES = [
    {"max_steps": 2, "seq_length": 32, "global_batch_size": 12, "objective": {"kind": "causal"}},
    {"max_steps": 4, "objective": {"mlm_probability": 0.3, "final_mlm_probability": 0.15}},
]
EARLIER = 40
"""Windows of 64 that a run before this one read."""


@pytest.fixture
def recipe(tiny, tmp_path) -> Pretrain:
    return config.build(Pretrain, tiny(tmp_path / "run", phases=PHASES, schedule={}, source_repeats={"cases": 2.0}))


@pytest.fixture
def run(recipe, corpus) -> Path:
    """The folder of a run of two ranks that was resumed on one, with rows of four, after step 3."""
    folder = recipe.output
    run_folder.save_model_files(folder, {}, corpus)
    state = {"step": 0, "before": {"optimizer_steps": 5, "samples": {"64": EARLIER}}}
    checkpoint.write(folder, checkpoint.Snapshot(0, {"w": torch.ones(1)}, {}, state), keep=1)
    run_folder.mark_begun(folder, recipe, corpus)
    run_folder.event(folder, "started", step=0, world_size=2)
    run_folder.event(folder, "saved", step=3)
    changed = {"micro_batch_size": [2, 4], "evaluation.every_steps": [1000, 7]}
    run_folder.event(folder, "resumed", step=3, world_size=1, changed=changed)
    return folder


def loaders(recipe: Pretrain, corpus, step: int, world_size: int, micro_batch_size: int) -> list[Loader]:
    """Those of the ranks in the phase of a step that is counted from 0."""
    phase = next(phase for phase in phases(recipe) if step < phase.end_step)
    before = Before(samples={64: EARLIER})
    made = [training_loader(recipe, corpus, phase, before, rank, world_size) for rank in range(world_size)]
    assert micro_batch_size == 4 or all(loader.micro_batch_size == micro_batch_size for loader in made)
    return made


@pytest.mark.parametrize(("step", "world_size", "size"), [(1, 2, 2), (2, 2, 2), (3, 2, 2), (4, 1, 4), (6, 1, 4)])
def test_a_step_is_what_each_rank_reads(run, recipe, corpus, step, world_size, size):
    described = look.describe(run, step)
    assert (described["step"], described["ranks"], described["phase"]) == (step, world_size, 1 if step < 3 else 2)
    causal = step < 3
    assert described["objective"] == ("causal" if causal else "masked")
    assert described["mask_rate"] == (None if causal else pytest.approx(0.3 - 0.05 * (step - 3)))
    expected = []
    for rank, loader in enumerate(loaders(recipe, corpus, step - 1, world_size, size)):
        windows = loader.order.share(step - 1, rank, world_size).window.tolist()
        batches = loader.batch(step - 1)
        targets = torch.cat([torch.bincount(b.target_positions // b.input_ids.shape[1], minlength=2) for b in batches])
        sources = [loader.table.sources[index] for batch in batches for index in batch.sources.tolist()]
        for row, (window, source) in enumerate(zip(windows, sources, strict=True)):
            expected.append((rank, row // size, window, source, int(targets[row])))
    got = [
        (batch["rank"], batch["micro_batch"], window["window"], window["source"], window["num_targets"])
        for batch in described["micro_batches"]
        for window in batch["windows"]
    ]
    assert got == expected
    assert described["num_targets"] == sum(row[-1] for row in expected) > 0
    assert described["num_windows"] == len(expected) == (12 if causal else 8)
    assert all("text" not in part for b in described["micro_batches"] for w in b["windows"] for part in w["documents"])


@pytest.mark.parametrize("step", [2, 3])
def test_documents_and_their_text_are_those_of_the_corpus(run, corpus, step):
    tokenizer = load_tokenizer(corpus.folder / TOKENIZER)
    described = look.describe(run, step, text=True)
    windows = [window for batch in described["micro_batches"] for window in batch["windows"]]
    for window in windows:
        tokens = sum(part["num_tokens"] + 2 for part in window["documents"])
        assert window["fill"] == round(tokens / described["seq_length"], 4)
        for part in window["documents"]:
            (ids,) = tokenizer.encode([decode(corpus.folder, f"{window['source']}:{part['document']}")])
            first = part["first_token"]
            assert tokenizer.decode(ids[first : first + part["num_tokens"]]) == part["text"]
            assert ("masked" in part) == (step == 3)
    shown = look.as_text(described)
    assert shown.startswith(f"step {step}: phase {step - 1}, ")
    assert all(part["text"] in shown for window in windows for part in window["documents"])
    assert re.search(r"rank 1, micro-batch 1: \d+ targets, fill ", shown)


def test_what_a_model_reads_of_a_document_is_in_its_batch(run, recipe, corpus):
    tokenizer = load_tokenizer(corpus.folder / TOKENIZER)
    vocabulary = tokenizer.vocabulary
    described = look.describe(run, 3, text=True)
    batches = [batch for loader in loaders(recipe, corpus, 2, 2, 2) for batch in loader.batch(2)]
    for told, batch in zip(described["micro_batches"], batches, strict=True):
        for row, window in enumerate(told["windows"]):
            for segment, part in enumerate(window["documents"], start=1):
                ids = batch.input_ids[row][batch.segment_ids[row] == segment][1:-1].numpy()
                mask = ids == vocabulary.mask_id
                assert part["masked"].count(vocabulary.pieces[vocabulary.mask_id]) == mask.sum()
                left = part["masked"].replace(vocabulary.pieces[vocabulary.mask_id], "")
                assert left.replace(" ", "") == tokenizer.decode(ids[~mask]).replace(" ", "")


def test_a_step_that_is_not_there(run, tmp_path):
    with pytest.raises(UserError, match=r"has no step 7; give one from 1 to 6"):
        look.describe(run, 7)
    with pytest.raises(UserError, match=r"is not a run folder: it has no run\.json"):
        look.describe(tmp_path, 1)


def test_a_run_that_lost_what_it_needs(run):
    events = run / run_folder.EVENTS
    lines = events.read_text().splitlines(keepends=True)
    events.write_text("".join(lines[:-1]) + '{"time": "20')  # killed as it wrote
    assert look.describe(run, 6)["ranks"] == 2
    events.write_text(lines[-1])
    with pytest.raises(UserError, match=r"events\.jsonl tells of no start before step 3; restore the file"):
        look.describe(run, 3)
    shutil.rmtree(checkpoint.complete(run)[-1])
    with pytest.raises(UserError, match=r"has no checkpoint left, which says what its first step reads; restore one"):
        look.describe(run, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text"], "--text belongs to the windows of a step; give --step N too"),
        (["--corpus", "c"], "--corpus belongs to the windows of a step; give --step N too"),
        (["--step", "1", "--document", "d"], "--document is of a corpus and --step of a run; give one of them"),
        (["--step", "0"], "'0' is not a number above 0"),
    ],
)
def test_options_that_do_not_go_together(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        sys.exit(cli.main(["inspect", str(tmp_path), *arguments]))
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_a_corpus_that_is_another_one(run, recipe, corpus, tmp_path):
    other = Path(shutil.copytree(corpus.folder, tmp_path / "other"))
    manifest = other / "corpus.json"
    manifest.write_text(manifest.read_text().replace('"documents": 90', '"documents": 91').replace("MIT", "CC0"))
    changed = {"corpus": [str(corpus.folder), str(other)]}
    run_folder.event(run, "resumed", step=3, world_size=1, changed=changed)
    with pytest.raises(UserError, match=r"the corpus .*other changed under the run"):
        look.describe(run, 4)
    assert look.describe(run, 3)["ranks"] == 2


def test_a_corpus_that_moved_and_one_at_an_address_with_a_secret(run, corpus, tmp_path, monkeypatch):
    expected = look.describe(run, 4)
    place = shutil.copytree(corpus.folder, tmp_path / "moved")
    assert look.describe(run, 4, place=str(place)) == expected
    monkeypatch.setenv("HOME", str(tmp_path))  # the cache stands there
    with serve(corpus.folder) as server:
        server.query = "sig=s3cret"
        changed = {"corpus": [str(corpus.folder), f"{server.url}?{HIDDEN}"], "micro_batch_size": [2, 4]}
        run_folder.event(run, "resumed", step=3, world_size=1, changed=changed)
        with pytest.raises(UserError, match=r"does not keep the secret in .*; give the whole address with --corpus"):
            look.describe(run, 4)
        assert look.describe(run, 4, place=f"{server.url}?sig=s3cret") == expected

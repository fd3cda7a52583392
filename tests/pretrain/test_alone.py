"""What a run of one rank shows in this very process: refusals that leave nothing, and what a run writes down."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from camembert_bio import config, files
from camembert_bio.corpus.build import prepare
from camembert_bio.corpus.recipe import Prepare
from camembert_bio.errors import EXIT_DONE, DoNotRequeueError, RunError, UserError
from camembert_bio.model.encoder import build_encoder, num_parameters
from camembert_bio.pretrain import checkpoint, metrics, preflight, run_folder
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.recipe import Pretrain, Shape
from camembert_bio.samples.corpus import write_corpus
from camembert_bio.shards.manifest import TRAIN, Corpus

pytestmark = pytest.mark.usefixtures("world_of_one")


def built(values) -> Pretrain:
    return config.build(Pretrain, values)


def events(run: Path, name: str) -> list[dict]:
    lines = map(json.loads, (run / run_folder.EVENTS).read_text().splitlines())
    return [line for line in lines if line["event"] == name]


@pytest.fixture(scope="module")
def nothing_held_out(tmp_path_factory) -> Path:
    """A corpus of `validation_fraction` 0."""
    folder = tmp_path_factory.mktemp("nothing-held-out")
    write_corpus(folder / "raw", num_documents=30)
    values = {
        "output": str(folder / "corpus"),
        "sources": [{"name": "leaflets", "path": str(folder / "raw/leaflets"), "licence": "MIT"}],
        "tokenizer": {"train": {"vocab_size": 600}},
        "validation_fraction": 0,
    }
    prepare(config.build(Prepare, values))
    return folder / "corpus"


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("done") / "run"


@pytest.fixture
def copy(world_of_one, done, tiny, tmp_path) -> Path:
    """A run of four steps that is complete, to be changed."""
    if not done.exists():
        assert pretrain(built(tiny(done))) == EXIT_DONE
    return Path(shutil.copytree(done, tmp_path / "copy"))


def model_folder(corpus: Corpus, values: dict, folder: Path, tokenizer: Path) -> Path:
    """A model that fits the corpus in every size, with the tokenizer of another folder."""
    build_encoder(values["model"]["config"], len(corpus.vocabulary), seed=0).save_pretrained(folder)
    shutil.copyfile(tokenizer / "sentencepiece.bpe.model", folder / "sentencepiece.bpe.model")
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"path": "nowhere"}}, r"model\.path nowhere has no config\.json"),
        ({"corpus": "nowhere"}, "nowhere is not a corpus"),
        ({"seq_length": 4}, "^seq_length 4 is too short for a window; use 8 or more"),
        ({"source_repeats": {"lefleats": 2}}, "repeats of 'lefleats': no such source"),
    ],
)
def test_a_refusal_leaves_no_folder(changes, message, tiny, tmp_path):
    values = built(tiny(tmp_path / "run", **changes))
    with pytest.raises(UserError, match=message):
        pretrain(values)
    with pytest.raises(UserError, match=message):
        preflight.check(values, world_size=1)
    assert not (tmp_path / "run").exists()


def test_every_mistake_is_told_at_once(tiny, tmp_path):
    owned = tmp_path / "mine.json"
    owned.write_text('{"train_batch_size": 8, "optimizer": {}}')
    values = tiny(tmp_path / "run", micro_batch_size=3, ds_config=str(owned), source_repeats={"no": 1})
    values["model"] = {"path": "nowhere"}
    with pytest.raises(UserError) as raised:
        pretrain(built(values))
    message = str(raised.value)
    for part in (
        "use 6 or 9",
        "sets 'optimizer', which belongs to",
        "sets 'train_batch_size', which belongs to",
        "model.path nowhere has no config.json",
        "repeats of 'no'",
    ):
        assert part in message, message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"hiden_size": 32}, r"model\.config\.hiden_size: unknown option \(did you mean 'hidden_size'\?\)"),
        ({"vocab_size": 32_005}, r"model\.config\.vocab_size: unknown option"),
        # Trained both ways, exported as a model that sees to the left alone.
        ({"is_decoder": True}, r"model\.config\.is_decoder: unknown option"),
        ({"hidden_size": 30, "num_attention_heads": 4}, "hidden_size 30 is no multiple of num_attention_heads 4"),
        ({"num_attention_heads": 0}, r"model\.config\.num_attention_heads: .*greater than 0"),
    ],
)
def test_a_shape_that_is_none_is_refused(shape, message, tiny, tmp_path):
    values = tiny(tmp_path / "run")
    values["model"] = {"config": shape}
    with pytest.raises(UserError, match=message):
        built(values)


def test_the_default_shape_is_camembert_base():
    with torch.device("meta"):
        model = build_encoder(config.to_dict(Shape()), vocab_size=32_005, seed=0)
    # camembert-base: 110 M parameters as published, the tied head's matrix counted once.
    assert 110e6 < num_parameters(model) < 111.5e6
    assert model.config.layer_norm_eps == 1e-5 and model.config.type_vocab_size == 1


@pytest.mark.parametrize("content", ["{}", '{"format": 1, "corpus_hash": 3}', "[]"])
def test_a_damaged_run_json_is_told_by_name(content, copy, tiny):
    (copy / run_folder.RUN).write_text(content)
    with pytest.raises(UserError, match=r"run\.json"):
        pretrain(built(tiny(copy)))


def test_a_model_with_another_tokenizer_is_refused(corpus, nothing_held_out, tiny, tmp_path):
    values = tiny(tmp_path / "run")
    values["model"] = {"path": str(model_folder(corpus, values, tmp_path / "model", nothing_held_out / "tokenizer"))}
    message = r"the tokenizer of model\.path .*model \(600 ids\) is not that of the corpus .*ids differ, the first is "
    for refused in (lambda: pretrain(built(values)), lambda: preflight.check(built(values), 1)):
        with pytest.raises(UserError, match=message + r"\d+; prepare the corpus with tokenizer\.path = .*model"):
            refused()
    assert not (tmp_path / "run").exists()


def test_a_model_with_the_corpus_tokenizer_is_trained(corpus, tiny, tmp_path):
    values = tiny(tmp_path / "run", schedule={"max_steps": 1})
    values["model"] = {"path": str(model_folder(corpus, values, tmp_path / "model", corpus.folder / "tokenizer"))}
    assert pretrain(built(values)) == EXIT_DONE


def test_shards_that_changed_under_a_run_are_noticed(copy, corpus, tiny, tmp_path):
    folder = Path(shutil.copytree(corpus.folder, tmp_path / "corpus"))
    _, shard = corpus.manifest.shards(TRAIN)[0]
    with open(folder / shard.path, "r+b") as file:
        file.seek(shard.bytes // 2)
        file.write(b"\x01\x02\x03\x04")
    with pytest.raises(RunError, match=rf"{shard.path} differ from corpus\.json; restore them"):
        pretrain(built(tiny(copy, corpus=str(folder), schedule={"max_steps": 4})))
    assert not (events(copy, "resumed"))


def test_a_sources_weight_is_how_often_an_epoch_reads_it(corpus, tiny, tmp_path):
    folder = Path(shutil.copytree(corpus.folder, tmp_path / "corpus"))
    manifest = corpus.manifest
    sources = {**manifest.sources, "cases": dataclasses.replace(manifest.sources["cases"], weight=3.0)}
    dataclasses.replace(manifest, sources=sources).save(folder)

    def windows(**changes) -> int:
        return preflight.check(built(tiny(tmp_path / "run", **changes)), world_size=1).orders[0].epoch_length

    plain = windows()
    twice_more = windows(source_repeats={"cases": 3})
    assert windows(corpus=str(folder)) == twice_more > plain
    assert windows(corpus=str(folder), source_repeats={"cases": 1}) == plain


def test_a_corpus_that_holds_nothing_out_is_trained_without_evaluation(nothing_held_out, tiny, tmp_path, caplog):
    values = built(tiny(tmp_path / "run", corpus=str(nothing_held_out), schedule={"max_steps": 2}))
    assert preflight.check(values, world_size=1).num_heldout == 0
    caplog.set_level("INFO", logger="camembert_bio")
    assert pretrain(values) == EXIT_DONE
    assert caplog.text.count("holds no text out (validation_fraction 0): no held-out loss") == 1
    names = {name for point in metrics.read(tmp_path / "run") for name in point}
    assert "train/loss" in names and "heldout/loss" not in names


def test_a_run_that_diverges_is_not_to_be_queued_again(tiny, tmp_path):
    values = built(tiny(tmp_path / "run", optimizer={"learning_rate": 1e30}))
    with pytest.raises(DoNotRequeueError, match=r"step \d: loss .*the run diverged.*Lower optimizer\.learning_rate"):
        pretrain(values)
    assert [path.name for path in checkpoint.complete(tmp_path / "run")] == ["step-00000000"]


def test_offloaded_states_train_on_the_cpu(tiny, tmp_path):
    assert pretrain(built(tiny(tmp_path / "run", ds_config="zero3_offload", schedule={"max_steps": 2}))) == EXIT_DONE
    losses = [point["train/loss"] for point in metrics.read(tmp_path / "run") if "train/loss" in point]
    assert len(losses) == 2 and all(5 < loss < 8 for loss in losses)


def test_a_checkpoint_and_a_resumption_say_what_they_are_made_of(copy, tiny):
    state = checkpoint.read_state(checkpoint.complete(copy)[-1])
    recipe = state["recipe"]
    assert recipe["ds_config"] == "cpu" and recipe["optimizer"]["epsilon"] == 1e-6
    assert state["recipe_hash"] == files.sha256_json(recipe)
    values = built(tiny(copy, ds_config="zero1", micro_batch_size=4))
    assert pretrain(values) == EXIT_DONE
    (event,) = events(copy, "resumed")
    assert event["changed"]["ds_config"] == ["cpu", "zero1"] and event["changed"]["micro_batch_size"] == [2, 4]
    assert event["recipe_hash"] == files.sha256_json(config.to_dict(values)) != state["recipe_hash"]
    assert set(event["changed"]) == {"ds_config", "micro_batch_size", "output"}


def test_the_wait_for_data_is_told_and_counts(copy):
    points = [point for point in metrics.read(copy) if "train/loss" in point]
    for point in points:
        assert 0 <= point["time/data_wait_s"] < 8 * 64 / point["speed/tokens_per_s"]


def test_check_refuses_a_foreign_output_and_a_run_at_work(copy, tiny, tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"is not a run folder: it holds 'thesis\.tex'"):
        preflight.check(built(tiny(foreign)), world_size=1)
    assert [path.name for path in foreign.iterdir()] == ["thesis.tex"]
    before = sorted(copy.rglob("*"))
    preflight.check(built(tiny(copy)), world_size=1)
    with run_folder.take(copy, begun=True), pytest.raises(UserError, match="is in use by process"):
        preflight.check(built(tiny(copy)), world_size=1)
    assert sorted(copy.rglob("*")) == before

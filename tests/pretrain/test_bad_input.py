"""Recipes that cannot be run, as the command line answers them: message, exit code, and that nothing is lost."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from camembert_bio import cli, config, files
from camembert_bio.errors import EXIT_DO_NOT_REQUEUE, EXIT_USER_MISTAKE
from camembert_bio.model.encoder import build_encoder, load_encoder
from camembert_bio.pretrain import checkpoint
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.shards.manifest import TOKENIZER, TRAIN, VOCABULARY, Corpus, Split
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL

pytestmark = pytest.mark.usefixtures("world_of_one")

Make = Callable[[Corpus, Path], dict]


def changed(corpus: Corpus, folder: Path, **changes: object) -> str:
    """A copy of a corpus whose manifest says something else."""
    shutil.copytree(corpus.folder, folder, ignore=shutil.ignore_patterns("windows"))
    dataclasses.replace(corpus.manifest, **changes).save(folder)
    return str(folder)


def without_rule(corpus: Corpus, folder: Path) -> dict:
    """A tokenizer whose pieces show no words: its kind is stated in the vocabulary and in the manifest."""
    place = changed(corpus, folder / "corpus")
    dataclasses.replace(corpus.vocabulary, kind="other").save(folder / "corpus" / VOCABULARY)
    digest = files.sha256_file(folder / "corpus" / VOCABULARY)
    dataclasses.replace(corpus.manifest, vocabulary_sha256=digest).save(folder / "corpus")
    return {"corpus": place}


def source_without_windows(corpus: Corpus, folder: Path) -> dict:
    sources = dict(corpus.manifest.sources)
    splits = {**sources["cases"].splits, TRAIN: Split(0, 0, 0, ())}
    sources["cases"] = dataclasses.replace(sources["cases"], splits=splits)
    return {"corpus": changed(corpus, folder / "corpus", sources=sources)}


def one_of_phases(**values: object) -> Make:
    return lambda corpus, folder: {"schedule": {}, "phases": [{"max_steps": 1}, values]}


def ds_config(zero: object) -> Make:
    """A user's own, with a section `zero_optimization`."""

    def make(corpus: Corpus, folder: Path) -> dict:
        files.write_json(folder / "mine.json", {"zero_optimization": zero})
        return {"ds_config": str(folder / "mine.json")}

    return make


MISTAKES: dict[str, tuple[Make, str]] = {
    "whole words without a rule": (without_rule, "set objective.whole_word to false to mask single pieces"),
    "a length over the positions": (
        lambda corpus, folder: {"seq_length": 65},
        "seq_length 65 is over the model's 64 positions; use at most 64",
    ),
    "a phase over the positions": (
        one_of_phases(max_steps=1, seq_length=65),
        "seq_length 65 is over the model's 64 positions; use at most 64",
    ),
    "a source without windows": (
        source_without_windows,
        "has no windows of cases in its split 'train'; take the source",
    ),
    "phases without tokens": (one_of_phases(max_tokens=0), "phases.1.max_tokens: input should be greater than 0"),
    "a stage that is none": (ds_config({"stage": 4}), "zero_optimization.stage is 4; use 0, 1, 2 or 3"),
    "a section that is no mapping": (ds_config(3), "zero_optimization is 3, not a mapping; write"),
    "an option that DeepSpeed has not": (
        ds_config({"stage": 1, "bucket": 5, "offload_optimizer": {"devices": "cpu"}}),
        "zero_optimization.offload_optimizer.devices: no option of DeepSpeed's; correct or remove it",
    ),
    "a value that DeepSpeed refuses": (
        ds_config({"stage": True, "reduce_bucket_size": "big"}),
        "zero_optimization.reduce_bucket_size: input should be a valid integer",
    ),
    "no phase at all": (
        lambda corpus, folder: {"schedule": {}, "phases": []},
        "give exactly one of schedule.max_steps and schedule.max_tokens",
    ),
}


def answer(verb: Callable[[], int]) -> int:
    """The exit code that the command line gives to a verb, in this process, whose group outlives it."""
    return cli._run(argparse.Namespace(run=lambda _: verb(), verbose=False))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_and_leaves_nothing(name, corpus, tiny, write_recipe, tmp_path, capsys):
    make, message = MISTAKES[name]
    values = {**tiny(tmp_path / "run"), **make(corpus, tmp_path)}
    checking = cli._parse(["check", str(write_recipe(values))])
    for verb in (lambda: checking.run(checking), lambda: pretrain(config.build(Pretrain, values))):
        assert answer(verb) == EXIT_USER_MISTAKE
        told = capsys.readouterr().err
        assert message in told and "Traceback" not in told and "unexpected" not in told
    assert not (tmp_path / "run").exists()


def test_no_number_from_the_first_step_is_told_and_loses_nothing(corpus, tiny, tmp_path, capsys):
    """What stood in the folder before the step still stands there, whole, and a restart ends alike."""
    values = tiny(tmp_path / "run", checkpoint={"every_steps": 1})
    model = tmp_path / "model"
    build_encoder(values["model"]["config"], len(corpus.vocabulary), seed=0).save_pretrained(model)
    shutil.copyfile(corpus.folder / TOKENIZER / SENTENCEPIECE_MODEL, model / SENTENCEPIECE_MODEL)
    encoder = load_encoder(model)
    encoder.lm_head.bias.data[7] = float("nan")
    encoder.save_pretrained(model)
    values["model"] = {"path": str(model)}
    for _ in range(2):
        assert answer(lambda: pretrain(config.build(Pretrain, values))) == EXIT_DO_NOT_REQUEUE
        told = capsys.readouterr().err
        assert re.search(r"step 1: loss nan.* nothing was saved after step 0", told) and "Traceback" not in told
        (only,) = checkpoint.complete(tmp_path / "run")
        assert only.name == "step-00000000" and checkpoint.problem_of(only) is None

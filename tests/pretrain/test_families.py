"""BERT and ModernBERT the whole way: a folder, a corpus of its tokenizer, two steps, an export, fine-tuning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from families import write_model, write_tokenizer

from camembert_bio import config
from camembert_bio.corpus.build import prepare
from camembert_bio.corpus.recipe import Prepare
from camembert_bio.errors import EXIT_DONE, UserError
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.examples import encode_documents
from camembert_bio.evaluation.finetune import finetune
from camembert_bio.evaluation.models import open_model
from camembert_bio.evaluation.recipe import Finetune
from camembert_bio.evaluation.tagging import Parts, TaggingHead
from camembert_bio.pretrain import checkpoint, preflight
from camembert_bio.pretrain.export import export
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.samples.corpus import write_corpus
from camembert_bio.shards.manifest import open_corpus

pytestmark = pytest.mark.usefixtures("world_of_one")


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "raw"
    write_corpus(folder, num_documents=30)
    return folder / "leaflets"


def build(raw: Path, model: Path, output: Path) -> Path:
    source = {"name": "leaflets", "path": str(raw), "licence": "MIT"}
    values = {"output": str(output), "sources": [source], "tokenizer": {"path": str(model)}, "validation_fraction": 0}
    prepare(config.build(Prepare, values))
    return output


@pytest.fixture(scope="module", params=["bert", "modernbert"])
def folders(request, raw, tmp_path_factory) -> tuple[Path, Path]:
    """A model of the hub's format, with more embeddings than its tokenizer has ids, and a corpus of its tokenizer."""
    folder = tmp_path_factory.mktemp(request.param)
    texts = [path.read_text(encoding="utf-8") for path in sorted(raw.iterdir())]
    model = write_tokenizer(request.param, folder / "model", texts, 500)
    write_model(request.param, model, vocab_size=512)
    return model, build(raw, model, folder / "corpus")


def recipe(tiny, output: Path, model: Path | None, corpus: Path, **changes) -> Pretrain:
    values = tiny(output, corpus=str(corpus), schedule={"max_steps": 2}, **changes)
    return config.build(Pretrain, {**values, "model": {"path": str(model)} if model else {}})


def test_two_steps_an_export_and_fine_tuning(folders, tiny, tmp_path):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model, corpus = folders
    run = tmp_path / "run"
    assert pretrain(recipe(tiny, run, model, corpus)) == EXIT_DONE
    exported = export(run, tmp_path / "exported")
    trained, before = (AutoModelForMaskedLM.from_pretrained(folder).eval() for folder in (exported, model))
    last = checkpoint.read_model(checkpoint.newest_valid(run))
    assert all(torch.equal(value, last[name]) for name, value in trained.named_parameters())
    assert not any(torch.equal(a, b) for a, b in zip(trained.parameters(), before.parameters(), strict=True))
    theirs = [AutoTokenizer.from_pretrained(folder)("Prenez 2 comprimés.")["input_ids"] for folder in (exported, model)]
    assert theirs[0] == theirs[1] and theirs[0][0] == open_corpus(corpus).vocabulary.bos_id
    losses = [
        json.loads(line)["train/loss"]
        for line in (run / "metrics.jsonl").read_text().splitlines()
        if "train/loss" in line
    ]
    assert len(losses) == 2 and losses[1] != losses[0]
    _finetune(exported, tmp_path)


def _finetune(exported: Path, folder: Path) -> None:
    opened = open_model("exported", str(exported), 64)
    text = "Le médecin prescrit de l'aspirine 🩺 au patient."
    documents = [Document(f"d{i}", text, (Span(((26, 34),), "DRUG"),)) for i in range(4)]
    parts = Parts(*(encode_documents(documents, opened.tokenizer, 64, 16) for _ in range(3)), (("DRUG",),))
    task = {"name": "drugs", "format": "brat", "train": folder, "validation": folder, "test": folder}
    values = {"output": folder / "f", "models": {"exported": str(exported)}, "tasks": [task], "seeds": [0]}
    steps = {"max_steps": 2, "evaluate_every": 1, "seq_length": 64, "window_overlap": 16}
    recipe = config.build(Finetune, {**values, **steps})
    outcome = finetune(TaggingHead(opened, parts, recipe), recipe, 0, "exported")
    assert len(outcome.predictions) == 4 and len(outcome.history) == 2


def test_new_weights_are_refused_on_a_corpus_of_another_type(folders, tiny, tmp_path):
    _, corpus = folders
    message = r"model\.config makes a CamemBERT; the corpus .* was built with the tokenizer of another type"
    made = recipe(tiny, tmp_path / "run", None, corpus)
    for refused in (lambda: pretrain(made), lambda: preflight.check(made, 1)):
        with pytest.raises(UserError, match=message):
            refused()
    assert not (tmp_path / "run").exists()


def test_whole_words_are_refused_where_pieces_mark_none_and_tokens_are_trained(raw, tiny, tmp_path):
    texts = [path.read_text(encoding="utf-8") for path in sorted(raw.iterdir())]
    model = write_tokenizer("roberta", tmp_path / "model", texts)
    # A byte-level vocabulary behind a splitting that removes white space: no piece shows it.
    file = model / "tokenizer.json"
    values = json.loads(file.read_text())
    values["pre_tokenizer"] = {"type": "Whitespace"}
    file.write_text(json.dumps(values))
    (model / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "mask_token": "<mask>", "pad_token": "<pad>",
                    "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"})
    )  # fmt: skip
    write_model("roberta", model, vocab_size=400)
    corpus = build(raw, model, tmp_path / "corpus")
    assert open_corpus(corpus).manifest.tokenizer_kind == "other"
    made = recipe(tiny, tmp_path / "run", model, corpus)
    for refused in (lambda: pretrain(made), lambda: preflight.check(made, 1)):
        with pytest.raises(UserError, match=r"shows in no known way .* set objective\.whole_word to false"):
            refused()
    assert not (tmp_path / "run").exists()
    assert pretrain(recipe(tiny, tmp_path / "run", model, corpus, objective={"whole_word": False})) == EXIT_DONE

"""Tokenizers of `tokenizer.json`: read as transformers reads them, no special id from a text, and refusals."""

from __future__ import annotations

import json
import traceback

import numpy as np
import pytest
from families import CONFIGS, SPECIAL, write_tokenizer

from camembert_bio import files
from camembert_bio.corpus import tokenizer_json
from camembert_bio.corpus.build import prepare
from camembert_bio.corpus.forget import forget
from camembert_bio.corpus.inspect import decode, describe
from camembert_bio.corpus.tokenize import agree_with_transformers, load_tokenizer
from camembert_bio.errors import RunError, UserError
from camembert_bio.shards.manifest import TRAIN, VALIDATION, open_corpus, verify
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL, TOKENIZER_JSON

from .conftest import recipe, sentences, write_jsonl

TEXTS = sentences(60)
KINDS = {"bert": "wordpiece", "roberta": "byte-level", "modernbert": "byte-level", "xlm-roberta": "metaspace"}
AWKWARD = (
    "",
    "«\xa0Œdème\xa0» à 5,3\n\nligne suivante\nencore",
    "Patient [SEP] <mask>[MASK] ( [SEP]) <s></s> [CLS]fin [unused0] <|endoftext|>",
    "東京 🩺 " + "x" * 300,
)


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    """A folder with `tokenizer.json` alone; XLM-R's has a SentencePiece model too on the hub, tested below."""
    made = write_tokenizer(request.param, tmp_path_factory.mktemp(request.param), TEXTS)
    (made / SENTENCEPIECE_MODEL).unlink(missing_ok=True)
    return made


def auto(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def edit(folder, target, change):
    """A copy of a folder whose `tokenizer.json` is changed."""
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    values = json.loads((target / TOKENIZER_JSON).read_text())
    change(values)
    (target / TOKENIZER_JSON).write_text(json.dumps(values))
    return target


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return write_tokenizer("bert", tmp_path_factory.mktemp("bert"), TEXTS)


def test_ids_and_layout_are_those_of_transformers(folder):
    ours, theirs = load_tokenizer(folder), auto(folder)
    assert ours.vocabulary.kind == KINDS[config_type(folder)]
    encoded = ours.encode(TEXTS)
    assert [ids.tolist() for ids in encoded] == theirs(TEXTS, add_special_tokens=False)["input_ids"]
    assert {ids.dtype for ids in encoded} == {np.dtype(np.uint16)} and ours.encode([]) == []
    vocabulary = ours.vocabulary
    assert theirs("")["input_ids"] == [vocabulary.bos_id, vocabulary.eos_id]
    named = [vocabulary.pad_id, vocabulary.unk_id, vocabulary.mask_id]
    assert named == [theirs.pad_token_id, theirs.unk_token_id, theirs.mask_token_id]
    assert list(vocabulary.pieces) == theirs.convert_ids_to_tokens(list(range(len(theirs))))
    assert {vocabulary.pieces[id] for id in vocabulary.special_ids} == {
        *SPECIAL[config_type(folder)],
        vocabulary.pieces[vocabulary.mask_id],
    }
    assert agree_with_transformers(folder, ours, TEXTS)["equal"] >= len(TEXTS)


def config_type(folder):
    return json.loads((folder / "config.json").read_text())["model_type"]


def test_a_saved_tokenizer_reads_the_same_and_loads_in_transformers(folder, tmp_path):
    ours = load_tokenizer(folder)
    ours.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.vocabulary == ours.vocabulary
    assert [a.tolist() for a in again.encode(TEXTS)] == [a.tolist() for a in ours.encode(TEXTS)]
    assert agree_with_transformers(tmp_path, ours, TEXTS)["equal"] >= len(TEXTS)
    # Of the model's configuration nothing that a tokenizer does not need: not where it was loaded from, not its shape.
    assert json.loads((tmp_path / "config.json").read_text()) == {"model_type": config_type(folder)}


@pytest.mark.parametrize("text", AWKWARD)
def test_no_text_yields_a_special_id(folder, text):
    from camembert_bio.corpus.clean import clean

    tokenizer = load_tokenizer(folder)
    (ids,) = tokenizer.encode([clean(text)])
    forbidden = set(tokenizer.vocabulary.special_ids) - {tokenizer.vocabulary.unk_id}
    assert not forbidden & set(ids.tolist())


def test_sclerose_en_plaques_is_no_separator(folder):
    """French doctors write it [SEP]; transformers reads the special token of a BERT there."""
    tokenizer = load_tokenizer(folder)
    (ids,) = tokenizer.encode(["une [SEP] depuis"])
    pieces = [tokenizer.vocabulary.pieces[id] for id in ids]
    assert "[SEP]" not in pieces
    if tokenizer.vocabulary.kind == "byte-level":
        assert tokenizer.decode(ids) == "une [SEP] depuis" and {"[", "]"} <= set(pieces)


def test_a_piece_spelt_like_a_special_token_becomes_unknown(bert, tmp_path):
    """Of words cut at white space alone, `[SEP]` is one, and in the vocabulary."""
    whole = edit(bert, tmp_path / "whole", lambda values: values.update(pre_tokenizer={"type": "WhitespaceSplit"}))
    tokenizer = load_tokenizer(whole)
    (ids,) = tokenizer.encode(["une [SEP] depuis [MASK]"])
    assert ids.tolist().count(tokenizer.vocabulary.unk_id) == 2
    assert not {tokenizer.vocabulary.eos_id, tokenizer.vocabulary.mask_id} & set(ids.tolist())


def test_truncation_and_padding_of_the_file_cut_no_document(bert, tmp_path):
    def cut(values):
        values["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
        values["padding"] = {
            "strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
        }  # fmt: skip

    ours, whole = load_tokenizer(edit(bert, tmp_path / "cut", cut)), load_tokenizer(bert)
    assert [a.tolist() for a in ours.encode(TEXTS)] == [a.tolist() for a in whole.encode(TEXTS)]


def test_ids_of_a_large_vocabulary_are_uint32(tmp_path):
    vocabulary = [[piece, 0.0] for piece in SPECIAL["xlm-roberta"]] + [["▁", -5.0]]
    vocabulary += [[character, -9.0] for character in "abcdefghijklmnopqrstuvwxyz"]
    vocabulary += [[f"▁mot{index}", -7.0] for index in range(70_000 - len(vocabulary))] + [["<mask>", 0.0]]
    added = [
        {"id": id, "content": vocabulary[id][0], "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True} for id in (0, 1, 2, 3, 70_000)
    ]  # fmt: skip
    template = {
        "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True,
        "add_prefix_space": True,
    }  # fmt: skip
    space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    model = {"type": "Unigram", "unk_id": 3, "vocab": vocabulary, "byte_fallback": False}
    values = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None}
    values |= {"pre_tokenizer": space, "post_processor": template, "decoder": None, "model": model}
    (tmp_path / TOKENIZER_JSON).write_text(json.dumps(values))
    tokenizer = load_tokenizer(tmp_path)
    assert len(tokenizer.vocabulary) == 70_001 and tokenizer.vocabulary.mask_id == 70_000
    (ids,) = tokenizer.encode(["mot69900 mot3"])
    assert ids.dtype == np.uint32 and [tokenizer.vocabulary.pieces[id] for id in ids] == ["▁mot69900", "▁mot3"]


def test_xlm_r_as_on_the_hub_is_read_by_sentencepiece(tmp_path):
    hub = write_tokenizer("xlm-roberta", tmp_path / "hub", TEXTS)
    fast, native = auto(hub), load_tokenizer(hub)
    assert native.vocabulary.kind == "sentencepiece" and (hub / TOKENIZER_JSON).is_file()
    assert [ids.tolist() for ids in native.encode(TEXTS)] == fast(TEXTS, add_special_tokens=False)["input_ids"]
    layout = native.vocabulary
    assert (layout.bos_id, layout.eos_id, layout.pad_id, layout.unk_id) == (0, 2, 1, 3)
    assert layout.special_ids == (0, 1, 2, 3, layout.mask_id) and layout.mask_id == len(layout) - 1
    assert native.decode(native.encode([TEXTS[0]])[0]) == TEXTS[0]
    # What stands in a corpus: the SentencePiece model alone.
    native.save(tmp_path / "saved")
    assert type(auto(tmp_path / "saved")).__name__ == "XLMRobertaTokenizer"
    assert agree_with_transformers(tmp_path / "saved", native, TEXTS)["equal"] >= len(TEXTS)
    (hub / SENTENCEPIECE_MODEL).unlink()
    assert load_tokenizer(hub).vocabulary.pieces == layout.pieces


def drop_merges(values):
    values["model"]["dropout"] = 0.1


def no_template(values):
    values["post_processor"] = None


def no_mask(values):
    values["added_tokens"] = [token for token in values["added_tokens"] if token["content"] != "<mask>"]


def not_special(values):
    del values["added_tokens"][0]["special"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_merges, r"drops merges at random \(dropout\); set its dropout to null"),
        (no_template, "puts 0 special tokens around a text, a segment has one before and another behind"),
        (no_mask, r"has no mask_token: neither tokenizer_config\.json nor special_tokens_map\.json names one"),
        (not_special, r"tokenizer\.json is not a tokenizer of transformers \(\w+\); fetch it again"),
        (dict.clear, r"tokenizer\.json is not a tokenizer of transformers \(\w+\); fetch it again"),
    ],
)
def test_what_would_make_another_corpus_is_refused(tmp_path, change, message):
    roberta = write_tokenizer("roberta", tmp_path / "roberta", TEXTS)
    with pytest.raises(UserError, match=message):
        load_tokenizer(edit(roberta, tmp_path / "changed", change))


def test_a_tokenizer_that_reads_no_french_is_refused(tmp_path):
    greek = write_tokenizer("bert", tmp_path / "greek", ["αβγδ εζηθ ικλμ"] * 9, 60)
    with pytest.raises(UserError, match="reads plain French as unknown; take the folder of another model"):
        load_tokenizer(greek)


def set_pre_tokenizer(values):
    values["pre_tokenizer"] = {"type": "Whitespace"}


def set_prefix(values):
    values["model"]["continuing_subword_prefix"] = "@@"


@pytest.mark.parametrize(("model_type", "change"), [("roberta", set_pre_tokenizer), ("bert", set_prefix)])
def test_pieces_that_mark_no_words_are_of_another_kind(tmp_path, model_type, change):
    made = write_tokenizer(model_type, tmp_path / "made", [text.lower() for text in TEXTS])
    values = json.loads((made / TOKENIZER_JSON).read_text())
    change(values)
    assert tokenizer_json._kind(values) == "other"


def test_a_failure_shows_no_text(bert):
    secret = "Dupont-Martin"
    with pytest.raises(RunError, match=r"tokenizers failed on 2 texts \(TypeError\)") as raised:
        load_tokenizer(bert).encode([secret, b"no text"])
    assert secret not in "".join(traceback.format_exception(raised.value))


def test_batches_are_bounded():
    texts = ["a" * size for size in (600_000, 600_000, 10, 5_000_000, 10)]
    assert [[len(text) for text in batch] for batch in tokenizer_json._batches(texts)] == [
        [600_000],
        [600_010 - 10, 10],
        [5_000_000],
        [10],
    ]
    assert list(tokenizer_json._batches([])) == []


def test_a_long_text_in_parts_has_the_ids_of_the_whole(folder, monkeypatch):
    tokenizer = load_tokenizer(folder)
    text = "\n\n".join([*TEXTS[:20], "x" * 200, *TEXTS[20:30]]) + "\nfin"
    (whole,) = tokenizer.encode([text])
    for limit in (40, 57):
        monkeypatch.setattr(tokenizer_json, "_BATCH_CHARACTERS", limit)
        assert len(list(tokenizer_json._parts(text))) > 30
        between = tokenizer.encode(["", text, "fin"])
        assert [len(ids) > 0 for ids in between] == [False, True, True] and between[0].dtype == whole.dtype
        assert np.array_equal(between[1], whole)


@pytest.fixture(scope="module", params=["bert", "modernbert"])
def built(request, tmp_path_factory):
    """A corpus of 60 documents with a literal of a special token in each third, built with a folder's tokenizer."""
    folder = tmp_path_factory.mktemp("built")
    texts = [f"{text} [SEP]" if index % 3 == 0 else text for index, text in enumerate(TEXTS)]
    source = write_jsonl(folder / "texts.jsonl", texts)
    made = recipe(
        folder / "corpus", source,
        tokenizer={"path": str(write_tokenizer(request.param, folder / "model", TEXTS))}, shard_bytes=2000,
    )  # fmt: skip
    prepare(made)
    return made


def test_a_corpus_is_built_and_verified(built):
    corpus = open_corpus(built.output)
    verify(corpus)
    kind = KINDS[config_type(built.tokenizer.path)]
    assert corpus.manifest.tokenizer_kind == corpus.vocabulary.kind == kind
    assert corpus.manifest.tokenizer_sha256 == files.sha256_file(built.tokenizer.path / TOKENIZER_JSON)
    assert describe(built.output)["tokenizer"] == kind
    assert f"({kind}" in (built.output / "report.md").read_text()
    ids = np.concatenate(
        [corpus.open(entry).input_ids for split in (TRAIN, VALIDATION) for _, entry in corpus.manifest.shards(split)]
    )
    assert not set(ids.tolist()) & (set(corpus.vocabulary.special_ids) - {corpus.vocabulary.unk_id})
    assert prepare(built).hash == corpus.manifest.hash
    text = decode(built.output, "doc-3")
    assert text == f"{TEXTS[3]} [SEP]" if kind == "byte-level" else text.startswith("observation 0. 3 : ")


def test_a_changed_tokenizer_file_is_found(built):
    file = built.output / "tokenizer" / TOKENIZER_JSON
    content = file.read_bytes()
    file.write_bytes(content + b" ")
    with pytest.raises(RunError, match=r"tokenizer/tokenizer\.json differ"):
        verify(open_corpus(built.output))
    file.write_bytes(content)


def test_forget_counts_words_as_the_ids_tell_them(built, tmp_path):
    """Exactly where the ids tell white space, else by the share of the tokens."""
    import shutil

    folder = shutil.copytree(built.output, tmp_path / "corpus")
    before = sum(split.words for split in open_corpus(folder).manifest.sources["a"].splits.values())
    forget(folder, ["doc-3", "doc-4"])
    after = sum(split.words for split in open_corpus(folder).manifest.sources["a"].splits.values())
    removed = len(f"{TEXTS[3]} [SEP] {TEXTS[4]}".split())
    assert before - after == (
        removed if open_corpus(folder).vocabulary.shows_white_space else pytest.approx(removed, rel=0.15)
    )


def test_a_folder_that_transformers_reads_otherwise_is_refused_before_anything_is_read(tmp_path, bert):
    """Its options say nothing of case, so that transformers' class lowers it; its `tokenizer.json` does not."""
    cased = edit(bert, tmp_path / "cased", lambda values: values["normalizer"].update(lowercase=False))
    (cased / "tokenizer_config.json").write_text("{}")
    source = write_jsonl(tmp_path / "texts.jsonl", TEXTS)
    with pytest.raises(RunError, match=r"0 of 4 passages have the same ids in transformers, .*save_pretrained"):
        prepare(recipe(tmp_path / "corpus", source, tokenizer={"path": str(cased)}))
    assert not (tmp_path / "corpus").exists()


def test_a_folder_that_transformers_cannot_load_is_refused(tmp_path, bert):
    odd = edit(bert, tmp_path / "odd", lambda values: None)
    (odd / "tokenizer_config.json").write_text('{"added_tokens_decoder": 3}')
    source = write_jsonl(tmp_path / "texts.jsonl", TEXTS)
    with pytest.raises(UserError, match=r"transformers cannot load the tokenizer of .*odd \("):
        prepare(recipe(tmp_path / "corpus", source, tokenizer={"path": str(odd)}))


def test_every_type_on_the_hub_is_tested():
    assert CONFIGS.keys() - KINDS.keys() == {"camembert"}

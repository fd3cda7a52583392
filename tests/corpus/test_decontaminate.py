import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camembert_bio import config
from camembert_bio.corpus.decontaminate import REPORTED, Index, load, union
from camembert_bio.corpus.documents import Document
from camembert_bio.corpus.ngrams import ngrams, words
from camembert_bio.corpus.recipe import Decontaminate, Deduplicate
from camembert_bio.errors import UserError

QUAERO = Path(__file__).parents[3] / "shared/data/quaero-brat/corpus"


def documents(texts, name="test"):
    return [Document(f"{name}{i}", name, text, "CC0") for i, text in enumerate(texts)]


def hits(index, texts):
    return index.hits(ngrams(words(texts), index.n))


def run_of(text, n):
    """The distinct n-grams of a text by another road."""
    found = tuple(re.findall(r"\w+", text.lower()))
    if 0 < len(found) < n:
        return {(len(found), *found)}
    return {found[i : i + n] for i in range(len(found) - n + 1)}


few_words = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=9).map(" ".join)


@given(st.lists(few_words, max_size=6), st.lists(few_words, max_size=6), st.integers(2, 4))
def test_containment_is_that_of_sets(evaluation, corpus, n):
    index = Index(documents(evaluation), n)
    found = hits(index, corpus)
    wanted = [run_of(text, n) for text in evaluation]
    held = [run_of(text, n) for text in corpus]
    most = [max((len(w & h) / len(w) for w in wanted if w), default=0.0) for h in held]
    assert index.contained(found).tolist() == pytest.approx(most)
    everything = set().union(*held)
    shares = {f"test{i}": len(w & everything) / len(w) for i, w in enumerate(wanted) if w}
    report = index.report(union([found.hashes]))
    if evaluation:
        overlap = report["test"]
        assert overlap.contained == pytest.approx({name: share for name, share in shares.items() if share > REPORTED})
        assert overlap.num_documents == len(evaluation)
        assert overlap.num_without_words == len(evaluation) - len(shares)
        assert overlap.mean_contained == pytest.approx(np.mean(list(shares.values())) if shares else 0)
    else:
        assert report == {}


@given(st.lists(few_words, min_size=1, max_size=6), st.lists(few_words, max_size=8), st.integers(0, 8))
def test_blocks_add_up(evaluation, corpus, cut):
    index = Index(documents(evaluation), 3)
    whole, *parts = (hits(index, texts) for texts in (corpus, corpus[:cut], corpus[cut:]))
    assert union(part.hashes for part in parts).tolist() == union([whole.hashes]).tolist()
    assert union([parts[1].hashes, parts[0].hashes]).tolist() == union([whole.hashes]).tolist()
    assert np.concatenate([index.contained(part) for part in parts]).tolist() == index.contained(whole).tolist()


def test_hits_of_each_document():
    index = Index(documents(["un deux trois quatre cinq"]), 3)
    found = hits(index, ["six sept huit", "Un, deux ; TROIS. Un deux trois quatre", "", "trois quatre cinq"])
    assert np.diff(found.offsets).tolist() == [0, 3, 0, 1]
    assert index.contained(found).tolist() == pytest.approx([0, 2 / 3, 0, 1 / 3])


def test_a_short_document_is_found_only_whole():
    index = Index(documents(["Voie orale."]), 8)
    found = hits(index, ["voie ORALE", "Voie orale, une fois par jour pendant huit jours", "Voie", "orale voie"])
    assert index.contained(found).tolist() == [1, 0, 0, 0]


def test_sets_are_reported_apart():
    text = "un deux trois quatre cinq six"
    index = Index(documents([text, "sept huit neuf"], "a") + documents([text + " sept"], "b"), 3)
    report = index.report(union([hits(index, ["x " + text + " y"]).hashes]))
    assert report["a"].contained == {"a0": 1.0}
    assert report["a"].mean_contained == 0.5
    assert report["b"].contained == {"b0": 0.8}


def test_an_evaluation_text_is_cleaned():
    index = Index(documents(["l\u00adeffet e\u0301tait visible ce jour"]), 3)
    assert index.contained(hits(index, ["leffet était visible ce jour"])).tolist() == [1]


def test_many_ngrams():
    """Beyond the filter's smallest size: 20,000 n-grams, none found where none is."""
    text = " ".join(f"mot{i}" for i in range(20_000))
    index = Index(documents([text]), 8)
    assert len(index.hashes) == 20_000 - 7
    assert index.contained(hits(index, [text, text.replace("mot", "autre")])).tolist() == [1, 0]


def test_load(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "one.txt").write_text("Un texte.")
    (folder / "one.ann").write_text("T1\tX 0 2\tUn")
    lines = tmp_path / "lines.jsonl"
    lines.write_text(json.dumps({"id": "x", "text": "Un autre."}))
    loaded = load({"folder": folder, "lines": lines})
    assert [(document.source, document.id, document.text) for document in loaded] == [
        ("folder", "one", "Un texte."),
        ("lines", "x", "Un autre."),
    ]


def test_load_a_set_that_is_absent(tmp_path):
    with pytest.raises(UserError, match=r"'emea': .*nowhere does not exist; check the path"):
        load({"emea": tmp_path / "nowhere"})


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"tasks": {}}, "tasks"),
        ({"tasks": {"EMEA test": "/x"}}, "tasks"),
        ({"tasks": {"emea": "/x"}, "n": 1}, "n"),
        ({"tasks": {"emea": "/x"}, "threshold": 0}, "threshold"),
    ],
)
def test_options_out_of_bounds(values, field):
    with pytest.raises(UserError, match=field):
        config.build(Decontaminate, values)


@pytest.mark.parametrize("values", [{"near": 0.2}, {"near": 1.1}, {"sentences": 0}, {"sentence_min_words": 0}])
def test_deduplication_out_of_bounds(values):
    with pytest.raises(UserError, match=next(iter(values))):
        config.build(Deduplicate, values)


def test_stages_can_be_switched_off():
    options = config.build(Deduplicate, {"exact": False, "near": None, "sentences": None})
    assert (options.exact, options.near, options.sentences) == (False, None, None)


@pytest.mark.skipif(not QUAERO.is_dir(), reason="../shared/data/quaero-brat is absent")
def test_an_evaluation_set_is_found_in_itself():
    loaded = load({"emea": QUAERO / "test/EMEA"})
    index = Index(loaded, 8)
    found = hits(index, [document.text for document in loaded])
    assert np.all(index.contained(found) == 1)
    overlap = index.report(union([found.hashes]))["emea"]
    assert len(overlap.contained) == overlap.num_documents == 15

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camembert_bio import config
from camembert_bio.corpus.build import prepare
from camembert_bio.corpus.clean import clean
from camembert_bio.corpus.decontaminate import REPORTED, Index, load, union
from camembert_bio.corpus.documents import Document
from camembert_bio.corpus.ngrams import ngrams, words
from camembert_bio.corpus.recipe import Decontaminate, Deduplicate
from camembert_bio.errors import UserError
from camembert_bio.samples.ner import write_ner

from .conftest import recipe, sentences, write_jsonl
from .readers.test_articles import SOFA, XMI

DATA = Path(__file__).parents[3] / "shared/data"
QUAERO = DATA / "quaero-brat/corpus"


def documents(texts, name="test"):
    return [Document(f"{name}{i}", name, text, "CC0") for i, text in enumerate(texts)]


def tasks(**values):
    return config.build(Decontaminate, {"tasks": values}).tasks


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
    loaded = load(tasks(folder=folder, lines=lines))
    assert [(document.source, document.id, document.text) for document in loaded] == [
        ("folder", "one", "Un texte."),
        ("lines", "x", "Un autre."),
    ]


def test_load_a_set_that_is_absent(tmp_path):
    with pytest.raises(UserError, match=r"'emea': .*nowhere does not exist; check the path"):
        load(tasks(emea=tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"tasks": {}}, "tasks"),
        ({"tasks": {"EMEA test": "/x"}}, "tasks"),
        (
            {"tasks": {"emea": {"path": "/x", "formats": "e3c"}}},
            r"tasks.emea.formats: unknown option .did you mean 'format'",
        ),
        ({"tasks": {"emea": {"format": "e3c"}}}, "tasks.emea.path: this option is required"),
        ({"tasks": {"emea": {"path": "/x", "format": "xmi"}}}, "tasks.emea.format: "),
        ({"tasks": {"emea": 3}}, "tasks.emea: "),
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
    loaded = load(tasks(emea=QUAERO / "test/EMEA"))
    index = Index(loaded, 8)
    found = hits(index, [document.text for document in loaded])
    assert np.all(index.contained(found) == 1)
    overlap = index.report(union([found.hashes]))["emea"]
    assert len(overlap.contained) == overlap.num_documents == 15


E3C = {"path": DATA / "e3c-fr/data_annotation/French/layer1", "format": "e3c"}
MORFITT = {"path": DATA / "tasks/morfitt", "text_field": "abstract", "id_field": "identifier"}
MCQA = {"path": DATA / "tasks/frenchmedmcqa/corpus", "format": "json", "text_field": "question", "id_field": None}
PUBLISHED = {
    "emea": (QUAERO / "test/EMEA", 15),
    "medline": (QUAERO / "test/MEDLINE", 833),
    "e3c": (E3C, 81),
    "morfitt": (MORFITT, 3624),
    "mcqa": (MCQA, 3105),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sets_are_read_as_they_are(name):
    task, num_documents = PUBLISHED[name]
    path = task["path"] if isinstance(task, dict) else task
    if not path.exists():
        pytest.skip(f"no {path}: the real data are not here")
    loaded = load(tasks(**{name: task}))
    assert len(loaded) == num_documents
    index = Index(loaded, 8)
    assert np.all(index.contained(hits(index, [clean(document.text) for document in loaded])) == 1)


def test_sets_in_each_form_are_found_in_a_corpus(tmp_path, tokenizer_folder):
    texts = sentences(60)
    (tmp_path / "e3c").mkdir()
    (tmp_path / "e3c/FR1.xml").write_text(XMI % SOFA.replace("Fi&#232;vre.&#10;Toux.", texts[3]))
    rows = [("identifier", "abstract", "specialities"), ("m1", texts[7], "surgery"), ("m2", "Un autre.", "oncology")]
    (tmp_path / "dev.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    questions = [{"id": "q", "question": text, "answers": {"a": "Oui"}} for text in (texts[11], "Une autre ?")]
    (tmp_path / "dev.json").write_text(json.dumps(questions))
    write_ner(tmp_path / "ner", num_documents=7)
    leaked = (tmp_path / "ner/test/test-00000.txt").read_text()
    source = write_jsonl(tmp_path / "a.jsonl", [*texts, leaked])
    values = {
        "ner": str(tmp_path / "ner/test"),
        "e3c": {"path": str(tmp_path / "e3c"), "format": "e3c"},
        "morfitt": {"path": str(tmp_path / "dev.tsv"), "text_field": "abstract", "id_field": "identifier"},
        "mcqa": {"path": str(tmp_path / "dev.json"), "format": "json", "text_field": "question", "id_field": None},
    }
    against = {"tasks": values, "remove": True, "n": 6, "threshold": 1}
    made = {"decontaminate": against, "tokenizer": {"path": str(tokenizer_folder)}}
    manifest = prepare(recipe(tmp_path / "out", source, **made))
    report = json.loads((tmp_path / "out/report.json").read_text())
    found = {name: list(overlap["contained"]) for name, overlap in report["evaluation_sets"].items()}
    assert found == {"ner": ["test-00000"], "e3c": ["FR1"], "morfitt": ["m1"], "mcqa": ["1"]}
    assert report["sources"]["a"]["dropped"] == {"contaminated": 4}
    named = manifest.build["recipe"]["decontaminate"]["tasks"]["mcqa"]
    assert named.keys() == {"format", "text_field", "id_field", "sha256"}
    against["tasks"] = {**values, "mcqa": {**values["mcqa"], "id_field": "question"}}
    with pytest.raises(UserError, match=r"decontaminate\.tasks\.mcqa\.id_field: None there, 'question' here"):
        prepare(recipe(tmp_path / "out", source, **made))

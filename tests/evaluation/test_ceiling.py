"""A perfect tagger scores exactly the ceiling: on our own documents here, on the real corpora where they are."""

import json
import re
import types
from collections import defaultdict
from pathlib import Path
from xml.sax.saxutils import quoteattr

import datasets
import pytest
import torch

from camembert_bio.evaluation.ceiling import LOSSES, perfect_spans
from camembert_bio.evaluation.corpora.brat import read_brat
from camembert_bio.evaluation.corpora.e3c import read_e3c
from camembert_bio.evaluation.corpora.reading import read_documents
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.examples import encode_documents, window_labels
from camembert_bio.evaluation.layers import flatten, tag_layers, tag_names
from camembert_bio.evaluation.metrics import strict_scores
from camembert_bio.evaluation.tagging import mentions, predict
from camembert_bio.samples.ner import write_ner

from .conftest import write_cas_2020

SHARED = Path(__file__).parents[3] / "shared/data"
QUAERO = SHARED / "quaero-brat/corpus"
E3C = SHARED / "e3c-fr"
POLICIES = ["flat-outermost", "flat-longest", "per-label"]
REAL = [
    pytest.param(folder, read, number, id=folder.relative_to(SHARED).as_posix(), marks=mark)
    # At most so many annotations begin with a space, or end inside a sub-word of the tests' tokenizer.
    for folder, read, number in (
        (QUAERO / "test/EMEA", read_brat, 0),
        (QUAERO / "test/MEDLINE", read_brat, 20),
        (E3C / "data_annotation/French/layer1", read_e3c, 10),
        (E3C / "data_annotation/French/layer2", read_e3c, 3),
        (E3C / "data_validation/French/layer2", read_e3c, 3),
    )
    for mark in [pytest.mark.skipif(not folder.is_dir(), reason=f"../shared/data/{folder.parts[-4]} is absent")]
]


def span(start, end, label="CHEM"):
    return Span(((start, end),), label)


class PerfectTagger(torch.nn.Module):
    """A tagger that answers each window with its gold tags; windows of equal ids in the order of the documents."""

    def __init__(self, encoded, policy, layers):
        super().__init__()
        self.config = types.SimpleNamespace(pad_token_id=1)
        self.device = torch.device("cpu")
        self.num_layers, self.num_tags = len(layers), len(tag_names(layers)) // len(layers)
        self.answers = defaultdict(list)
        rows = window_labels(encoded, policy, layers)
        for window, row in zip(encoded.windows[::-1], rows[::-1], strict=True):
            self.answers[window.input_ids.tobytes()].append(row)

    def forward(self, input_ids, attention_mask):
        logits = torch.zeros(*input_ids.shape, self.num_layers, self.num_tags)
        for row, length in enumerate(attention_mask.sum(1).tolist()):
            tags = torch.from_numpy(self.answers[input_ids[row, :length].numpy().tobytes()].pop())
            logits[row, :length].scatter_(-1, tags.clamp(min=0)[..., None], 1.0)
        return types.SimpleNamespace(logits=logits.flatten(2))


def check_ceiling(encoded, policy):
    """The ceiling and the ledger, after a perfect tagger has been seen to score the former."""
    documents = encoded.documents
    labels = sorted({entity.label for document in documents for entity in document.spans})
    layers = tag_layers(policy, labels, documents)
    perfect, ledger = perfect_spans(encoded, policy, layers)
    gold = mentions(documents, [document.spans for document in documents])
    ceiling = strict_scores(gold, mentions(documents, perfect)).micro
    found = predict(PerfectTagger(encoded, policy, layers), encoded, layers)
    assert strict_scores(gold, mentions(documents, found)).micro == ceiling
    assert ceiling.true_positives == ledger["gold"] - sum(ledger[loss] for loss in LOSSES)
    assert ledger["gold"] == len(gold)
    assert ledger["window"] == ledger["unknown_label"] == 0
    return ceiling.f1, ledger


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The sample's documents: nested, discontinuous, long, with CRLF, emoji and decomposed accents."""
    folder = tmp_path_factory.mktemp("sample") / "ner"
    write_ner(folder, num_documents=70)
    return read_documents("brat", folder)


@pytest.mark.parametrize("policy", POLICIES)
def test_on_the_sample(sample, tokenizer, policy):
    f1, ledger = check_ceiling(encode_documents(sample, tokenizer, 64, 16), policy)
    assert ledger["discontinuous"] > 0
    assert ledger["boundary"] == 0
    assert (ledger["nested"] == 0) == (policy == "per-label")
    assert 0.9 < f1 < 1


def test_what_is_not_discontinuous_is_all_held_by_per_label(sample, tokenizer):
    documents = [
        Document(document.id, document.text, tuple(span for span in document.spans if span.is_continuous))
        for document in sample
    ]
    encoded = encode_documents(documents, tokenizer, 64, 16)
    assert check_ceiling(encoded, "per-label")[0] == 1.0
    assert check_ceiling(encoded, "flat-outermost")[0] < 1.0


@pytest.mark.parametrize("kind", ["cas1", "cas2"])
def test_on_our_folder_in_the_layout_of_cas(kind, tmp_path, tokenizer):
    encoded = encode_documents(read_documents(kind, write_cas_2020(tmp_path / "cas")), tokenizer, 64, 16)
    for policy in POLICIES:
        f1, ledger = check_ceiling(encoded, policy)
        assert ledger["discontinuous"] == (10 if kind == "cas2" else 0)
        assert ledger["boundary"] == 0
        assert (f1 == 1.0) == (kind == "cas1")
    assert ledger["nested"] == 0


def write_conll(folder, documents):
    lines = []
    for document in documents:
        lines.append(f"# newdoc id = {document.id}")
        for start, end in [match.span() for match in re.finditer(r"\w+|[^\w\s]", document.text)]:
            spans = [span for span in document.spans if span.start <= start < span.end]
            lines.append(
                f"{document.text[start:end]}\t{'BI'[start > spans[0].start]}-{spans[0].label}"
                if spans
                else f"{document.text[start:end]}\tO"
            )
    (folder / "a.conll").write_text("\n".join(lines) + "\n", encoding="utf-8")


def as_records(documents):
    return [
        {
            "id": document.id,
            "text": document.text,
            "spans": [{"fragments": [list(part) for part in s.fragments], "label": s.label} for s in document.spans],
        }
        for document in documents
    ]


def write_jsonl(folder, documents):
    lines = [json.dumps(record, ensure_ascii=False) for record in as_records(documents)]
    (folder / "a.jsonl").write_bytes("\n".join(lines).encode())


def write_datasets(folder, documents):
    datasets.Dataset.from_list(as_records(documents)).save_to_disk(folder)


def write_e3c(folder, documents):
    for document in documents:
        marks = [f'<c:CLINENTITY begin="{span.start}" end="{span.end}"/>' for span in document.spans]
        text = quoteattr(document.text, {"\r": "&#13;", "\n": "&#10;"})
        body = f'<x xmlns:cas="http:///uima/cas.ecore" xmlns:c="http:///webanno/custom.ecore">{"".join(marks)}'
        path = folder / f"{document.id}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{body}<cas:Sofa sofaString={text}/></x>", encoding="utf-8")


@pytest.mark.parametrize("write", [write_jsonl, write_datasets, write_e3c, write_conll])
def test_on_every_other_reader(write, sample, tokenizer, tmp_path):
    """The sample in the reader's format: the same ceilings where it can say all, 1.0 of what is flat."""
    kind = write.__name__.removeprefix("write_")
    some = sample[::4]
    if kind == "conll":
        some = [Document(d.id, d.text, tuple(flatten(d.spans, "flat-outermost"))) for d in some]
    write(tmp_path, some)
    read = {document.id: document for document in read_documents(kind, tmp_path)}
    encoded = encode_documents([read[document.id] for document in some], tokenizer, 64, 16)
    told = encode_documents(some, tokenizer, 64, 16)
    assert kind == "conll" or [document.text for document in encoded.documents] == [d.text for d in some]
    for policy in POLICIES:
        f1, ledger = check_ceiling(encoded, policy)
        if kind in ("jsonl", "datasets"):
            assert (f1, ledger) == check_ceiling(told, policy)
            assert ledger["discontinuous"] > 0
        elif kind == "conll" or policy == "per-label":
            assert f1 == 1.0
        else:
            assert ledger["nested"] > 0


def test_spans_of_one_label_in_one_another(tokenizer):
    text = "Une insuffisance cardiaque, une insuffisance rénale."
    nested = (span(4, 26), span(4, 16), span(17, 26), span(32, 51), span(45, 51))
    encoded = encode_documents([Document("a", text, nested)], tokenizer, 64, 16)
    assert check_ceiling(encoded, "per-label")[0] == 1.0
    assert check_ceiling(encoded, "flat-outermost")[1]["nested"] == 3


def test_the_ledger_says_what_is_lost(tokenizer):
    text = "Le patient prend l'aspirine matin et soir."
    start = text.index("aspirine")
    spans = (
        span(start, start + 8),
        span(start, start + 4),
        span(11, 16, "NEW"),
        Span(((0, 2), (11, 16)), "CHEM"),
        span(2, 10),
    )
    encoded = encode_documents([Document("a", text, spans)], tokenizer, 64, 16)
    perfect, ledger = perfect_spans(encoded, "flat-outermost", (("CHEM",),))
    # (2, 10) begins with a space, so that no token begins where it does.
    assert perfect == [[span(3, 10), span(start, start + 8)]]
    assert ledger == {"gold": 5, "unknown_label": 1, "discontinuous": 1, "nested": 1, "boundary": 1, "window": 0}


def test_a_span_that_another_one_gives_by_chance_is_not_lost(tokenizer):
    # The outer span begins with a space: its tags are read as the inner one, which the policy left out.
    encoded = encode_documents([Document("a", "Le patient dort.", (span(2, 10), span(3, 10)))], tokenizer, 64, 16)
    perfect, ledger = perfect_spans(encoded, "flat-outermost", (("CHEM",),))
    assert perfect == [[span(3, 10)]]
    assert (ledger["nested"], ledger["boundary"]) == (0, 1)


def test_windows_that_forget_tokens_are_in_the_ledger(tokenizer):
    text = "aspirine " * 100
    document = Document("a", text, tuple(span(9 * k, 9 * k + 8) for k in range(100)))
    encoded = encode_documents([document], tokenizer, 64, 16)
    for window in encoded.windows[1:]:
        window.is_owned[:] = 0
    _, ledger = perfect_spans(encoded, "flat-outermost", (("CHEM",),))
    assert 0 < ledger["window"] < 100


@pytest.mark.parametrize(("folder", "read", "most_boundaries"), REAL)
def test_on_real_corpora(folder, read, most_boundaries, tokenizer):
    encoded = encode_documents(read(folder), tokenizer, 512, 128)
    for policy in POLICIES:
        f1, ledger = check_ceiling(encoded, policy)
        assert 0.84 < f1 <= 1.0
    assert policy == "per-label"
    assert ledger["nested"] == 0
    assert ledger["boundary"] <= most_boundaries
    assert (f1 == 1.0) == (ledger["discontinuous"] == ledger["boundary"] == 0)

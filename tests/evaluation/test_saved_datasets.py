import datasets
import pytest

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import Labels
from camembert_bio.evaluation.corpora.reading import read_documents
from camembert_bio.evaluation.corpora.saved_datasets import read_dataset
from camembert_bio.evaluation.documents import Span

SPAN = {"start": 0, "end": 1, "label": "X"}
TAGS = datasets.List(datasets.ClassLabel(names=["O", "B-CHEM", "I-CHEM"]))


def save(folder, columns, **features):
    found = datasets.Dataset.from_dict(columns)
    for name, feature in features.items():
        found = found.cast_column(name, feature)
    found.save_to_disk(folder)
    return folder


@pytest.fixture
def sentences(tmp_path):
    columns = {
        "document_id": ["d1", "d1", "d2"],
        "tokens": [["L'", "aspirine"], ["acide", "folique"], ["rien"]],
        "pos_tags": [[0, 1], [0, 0], [1]],
        "ner_tags": [[0, 1], [1, 2], [0]],
    }
    pos = datasets.List(datasets.ClassLabel(names=["O", "N"]))
    return save(tmp_path / "tagged", columns, ner_tags=TAGS, pos_tags=pos)


def test_sentences_of_one_document_are_put_together(sentences):
    first, second = read_dataset(sentences)
    assert (first.id, first.text) == ("d1", "L' aspirine\nacide folique")
    assert first.spans == (Span(((3, 11),), "CHEM"), Span(((12, 25),), "CHEM"))
    assert (second.id, second.text, second.spans) == ("d2", "rien", ())


def test_a_row_without_document_is_one_and_tags_may_be_strings(tmp_path):
    folder = save(tmp_path / "x", {"tokens": [["a"], ["b"]], "ner_tags": [["B-X"], ["O"]]})
    assert [(document.id, len(document.spans)) for document in read_dataset(folder)] == [("1", 1), ("2", 0)]


def test_character_spans(tmp_path):
    spans = [[{"start": 2, "end": 10, "label": "CHEM"}], []]
    folder = save(tmp_path / "x", {"id": ["a", "b"], "text": ["L’aspirine", "rien"], "spans": spans})
    found = read_dataset(folder)
    assert [document.spans for document in found] == [(Span(((2, 10),), "CHEM"),), ()]
    as_lists = datasets.Features(
        {
            "text": datasets.Value("string"),
            "spans": {
                "start": datasets.List(datasets.Value("int64")),
                "end": datasets.List(datasets.Value("int64")),
                "label": datasets.List(datasets.Value("string")),
            },
        }
    )
    columns = {"text": ["L’aspirine"], "spans": [{"start": [2], "end": [10], "label": ["CHEM"]}]}
    datasets.Dataset.from_dict(columns, features=as_lists).save_to_disk(tmp_path / "y")
    assert read_dataset(tmp_path / "y")[0].spans == (Span(((2, 10),), "CHEM"),)


@pytest.mark.parametrize("as_records", [True, False])
def test_labels_of_spans_are_given_by_name(tmp_path, as_records):
    number, label = datasets.Value("int64"), datasets.ClassLabel(names=["A", "CHEM"])
    kinds = {"start": number, "end": number, "label": label}
    spans = [{"start": 0, "end": 3, "label": 1}, {"start": 4, "end": 7, "label": 0}]
    as_lists = {name: [span[name] for span in spans] for name in kinds}
    feature = [kinds] if as_records else {name: datasets.List(kind) for name, kind in kinds.items()}
    features = datasets.Features({"text": datasets.Value("string"), "spans": feature})
    for place, found in (
        ("x", [spans, as_lists]),
        ("y", [[{**spans[0], "label": -1}], {**as_lists, "label": [1, None]}]),
    ):
        columns = {"text": ["abc def"], "spans": [found[0] if as_records else found[1]]}
        datasets.Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / place)
    (document,) = read_dataset(tmp_path / "x")
    assert document.spans == (Span(((0, 3),), "CHEM"), Span(((4, 7),), "A"))
    with pytest.raises(UserError, match=rf"row 1, span {1 if as_records else 2} is not a span"):
        read_dataset(tmp_path / "y")


@pytest.mark.parametrize("is_split", [True, False])
def test_a_dataset_without_rows_is_named(tmp_path, is_split):
    none = datasets.Dataset.from_dict({"tokens": [], "ner_tags": []})
    found = datasets.DatasetDict({"dev": none}) if is_split else none
    found.save_to_disk(tmp_path / "x")
    place = tmp_path / "x/dev" if is_split else tmp_path / "x"
    with pytest.raises(UserError, match=rf"{place} is a dataset of 0 rows; give one with rows, or take the split out"):
        read_dataset(tmp_path / "x")


def test_splits_of_a_folder(tmp_path):
    part = datasets.Dataset.from_dict({"id": ["1"], "text": ["abc"], "spans": [[{"start": 0, "end": 1, "label": "X"}]]})
    datasets.DatasetDict({"train": part, "test": part}).save_to_disk(tmp_path / "x")
    assert [document.id for document in read_dataset(tmp_path / "x")] == ["train/1", "test/1"]
    assert [document.id for document in read_dataset(tmp_path / "x@test")] == ["1"]
    assert [document.id for document in read_documents("datasets", tmp_path / "x", wanted=["test/1"])] == ["test/1"]
    with pytest.raises(UserError, match=r"x has no split 'dev'; it has train, test"):
        read_dataset(tmp_path / "x@dev")


@pytest.mark.parametrize(
    ("columns", "features", "message"),
    [
        (
            {"tokens": [["secret"]], "x": [["O"]]},
            {},
            r"x has neither text and spans, nor tokens .*, called ner_tags .* \(known: tokens, x\); rename its columns",
        ),
        ({"tokens": [["secret"]], "ner_tags": [[0]]}, {}, r"tags \(strings, or .*several \(known: ner_tags, tokens\)"),
        ({"secret toux": ["a"], "A": ["b"]}, {}, r"several \(its 2 columns are not shown.*: is line 1 the header\?\)"),
        ({"tokens": [["secret", "b"]], "ner_tags": [[0]]}, {"ner_tags": TAGS}, r"row 1 has 2 tokens and 1 tags"),
        ({"tokens": [["secret"]], "ner_tags": [[-1]]}, {"ner_tags": TAGS}, r"row 1 has a token without tag"),
        (
            {"tokens": [["secret"], ["b", "c"]], "ner_tags": [[0], [0, None]]},
            {"ner_tags": TAGS},
            r"row 2 has a token wit",
        ),
        ({"tokens": [["secret", "b"]], "ner_tags": [["O", None]]}, {}, r"row 1 has a token without tag \(null, or a"),
        (
            {"tokens": [["secret"], ["b"]], "ner_tags": [[0], None]},
            {"ner_tags": TAGS},
            r"row 2 has no list of tokens, or",
        ),
        (
            {"tokens": [None, ["b"]], "ner_tags": [[0], [0]]},
            {"ner_tags": TAGS},
            r"row 1 has no list of tokens, or none",
        ),
        ({"tokens": ["ab"], "ner_tags": [["O", "O"]]}, {}, r"row 1 has no list of tokens, or none of tags; write two"),
        ({"tokens": [[1]], "ner_tags": [["O"]]}, {}, r"row 1 has a token that is empty or no string; remove it"),
        ({"tokens": [[None, "b"]], "ner_tags": [["O", "O"]]}, {}, r"row 1 has a token that is empty or no string"),
        ({"id": [None], "tokens": [["b"]], "ner_tags": [["O"]]}, {}, r"row 1 has no id; give each document a string"),
        ({"document_id": [1.5], "tokens": [["b"]], "ner_tags": [["O"]]}, {}, r"row 1 has no id; give each document"),
        ({"text": ["secret", "b"], "spans": [[SPAN], None]}, {}, r"row 2 has no text \(a string\) or no spans"),
        (
            {"text": ["secret"], "spans": [{"start": [0], "end": [1, 2], "label": ["X"]}]},
            {},
            r"row 1 has no text .* or",
        ),
        ({"text": ["secret"], "spans": [{"start": [0], "end": None, "label": ["X"]}]}, {}, r"row 1 has no text .* or"),
        ({"text": ["secret"], "spans": [[None, SPAN]]}, {}, r"row 1, span 1 is not a span"),
        ({"tokens": [[" "]], "ner_tags": [[0]]}, {"ner_tags": TAGS}, r"row 1 has a token that is empty"),
        ({"tokens": [["secret"]], "ner_tags": [["I-X"]]}, {}, r"row 1: I- follows no token of its label"),
        ({"text": ["secret"], "spans": [[{"start": 0, "end": 9, "label": "X"}]]}, {}, r"row 1, span 1: offsets 0 9"),
        ({"tokens": [["secret"]], "ner_tags": [["B-Y"]]}, {}, r"row 1: label 'Y' is not declared"),
    ],
)
def test_bad_rows_are_named_without_their_text(tmp_path, columns, features, message):
    folder = save(tmp_path / "x", columns, **features)
    with pytest.raises(UserError, match=message) as caught:
        read_dataset(folder, Labels(frozenset({"X", "CHEM"})))
    assert "secret" not in str(caught.value)


def test_what_is_no_dataset(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"datasets cannot load .*; give a folder written by save_to_disk"):
        read_dataset(tmp_path)
    with pytest.raises(UserError, match=r"is neither a folder nor a name on the hub"):
        read_dataset(tmp_path / "absent")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"datasets cannot load nobody/nothing \(\w+\);.*HF_HUB_OFFLINE=0 lets it be"):
        read_dataset(tmp_path.relative_to(tmp_path) / "nobody/nothing")

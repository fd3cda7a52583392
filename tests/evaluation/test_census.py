"""What a corpus holds; and the verb, whose every mistake of a corpus is exit code 2."""

import json
import os
import shutil
import unicodedata

import pytest
import yaml

from camembert_bio import cli
from camembert_bio.evaluation.census import census, table
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.leaks import near, same_text

from .conftest import write_brat
from .test_layouts import write_morfitt, write_questions


def span(start, end, label="CHEM"):
    return Span(((start, end),), label)


def run(*arguments):
    """The exit code of a command line, in this process."""
    return cli._run(cli._parse([str(argument) for argument in arguments]))


@pytest.fixture
def parts():
    text = "Le patient prend l'aspirine matin et soir."
    spans = (span(3, 10), span(3, 5), span(3, 10, "DISO"), span(8, 16), Span(((0, 2), (11, 16)), "CHEM"))
    train = [Document("a", text, spans), Document("b", "Rien du tout.", ()), Document("c", "Rien du tout.", ())]
    return {"train": train, "validation": [], "test": [Document("d", text.upper() + "\n", (span(0, 2),))]}


def test_what_is_counted(parts, tokenizer):
    counted = census(parts, tokenizer)
    assert set(counted) == {"train", "test"}
    train = counted["train"]
    sub_words = train.pop("sub_words")
    assert train == {
        "documents": 3,
        "words": 13,
        "entities": 5,
        "nested": 2,  # 3-5, and of the two at 3-10 the second
        "discontinuous": 1,
        "without_entity": 2,
        "repeated_texts": 1,
        "labels": {"CHEM": 4, "DISO": 1},
    }
    lengths = [len(tokenizer(document.text, add_special_tokens=False)["input_ids"]) for document in parts["train"]]
    assert (sub_words["total"], sub_words["longest"], sub_words["documents over 510"]) == (sum(lengths), lengths[0], 0)
    assert counted["test"]["same_text_in_train"] == [("d", "a")]
    assert counted["test"]["ceiling"]["flat-outermost"]["f1"] == 1.0
    assert "ceiling" not in train


def test_tasks_without_entities_are_counted_without_them(tmp_path, tokenizer_folder, capsys):
    rows = [{"text": f"Cas {number} de toux.", "labels": ["x", "y"][: number % 3]} for number in range(6)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "more.jsonl").write_text(json.dumps({"text": "Rien.", "labels": "y"}))
    train, test = str(tmp_path / "rows.jsonl"), str(tmp_path / "more.jsonl")
    task = {"name": "t", "format": "jsonl", "type": "multi-label", "train": train, "validation": test, "test": test}
    tasks = [task, {"name": "p", "format": "jsonl", "type": "perplexity", "test": test}]
    values = {"output": "out", "models": {"m": "m"}, "tasks": tasks}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({"finetune": values}))
    assert run("corpora", tmp_path / "r.yaml", "--tokenizer", tokenizer_folder, "--json") == 0
    counted = json.loads(capsys.readouterr().out)
    assert counted["t"]["train"]["labels"] == {"x": 4, "y": 2}
    assert counted["t"]["test"]["labels"] == {"y": 1}
    assert not {"entities", "ceiling"} & counted["t"]["test"].keys()
    assert counted["p"].keys() == {"test"}
    assert "entities" not in table("t", counted["t"])


def test_a_table_of_the_counts(parts, tokenizer):
    lines = table("drugs", census(parts, tokenizer)).splitlines()
    cells = {line[:24].strip(): line[24:].split() for line in lines}
    assert cells["drugs"] == ["train", "test"]
    assert cells["DISO"] == ["1", "0"]
    assert cells["same text in train"] == ["1"]
    assert cells["ceiling, per-label"] == ["100.00"]
    assert len({len(line) for line in lines}) == 1


def test_texts_of_another_spacing_or_case_are_the_same():
    documents = [Document("a", "Mal de\r\ntête ", ()), Document("b", "mal", ())]
    assert same_text(documents, [Document("c", "mal de tête", ())]) == [("a", "c")]


def test_texts_of_another_unicode_form_or_with_a_byte_order_mark_are_the_same():
    texts = ("Fièvre élevée sous lépirudine", "Ⅷ e\u0301chocardiographies")
    seen = [Document(f"s{number}", text, ()) for number, text in enumerate(texts)]
    for change in (
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: unicodedata.normalize("NFC", text).upper(),
        lambda text: unicodedata.normalize("NFD", text.upper()),
        lambda text: f"\ufeff{text}",
        lambda text: f"\ufeff \u00a0{text}\u2028",
    ):
        documents = [Document(f"d{number}", change(text), ()) for number, text in enumerate(texts)]
        assert same_text(documents, seen) == [("d0", "s0"), ("d1", "s1")]
    assert same_text([Document("a", "Fievre elevee sous lepirudine", ())], seen) == []


def test_documents_without_text_are_no_leak():
    empty = [Document("a", "", ()), Document("b", " \n", ()), Document("c", "\ufeff", ())]
    assert same_text(empty, empty) == []


def test_near_texts_share_half_of_the_shorter_ones_word_5_grams():
    words = [f"mot{number}" for number in range(20)]
    long = Document("long", " ".join(words), ())
    half = Document("half", " ".join([*words[:8], "x", "y", "z", "t"]), ())  # 4 of its 8 5-grams
    less = Document("less", " ".join([*words[:7], "x", "y", "z", "t", "u"]), ())
    short = Document("short", "mot0 mot1", ())
    assert near([half, less, short], [long]) == [("half", "long", 0.5)]
    assert near([long], [half, less, short]) == [("long", "half", 0.5)]
    assert near([], [long]) == near([long], []) == []
    assert near([Document("empty", " ", ())], [Document("blank", "", ())]) == []


def test_the_verb_counts_a_folder_and_a_recipe(brat_folder, model_folder, recipe_values, tmp_path, capsys):
    assert run("corpora", brat_folder / "train", "--json") == 0
    assert json.loads(capsys.readouterr().out)["train"]["all"]["documents"] == 48
    recipe_values |= {"output": "out", "tasks": [recipe_values["tasks"][0] | {"validation": None}]}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"finetune": json.loads(json.dumps(recipe_values, default=str))}))
    assert run("corpora", recipe, "--tokenizer", model_folder) == 0
    told = capsys.readouterr().out
    assert "drugs" in told.splitlines()[0] and "ceiling, per-label" in told
    assert run("corpora", recipe, "--json") == 0
    assert json.loads(capsys.readouterr().out)["drugs"]["validation"]["documents"] == 5


def test_published_folders_are_counted_as_they_are(tmp_path, capsys):
    assert run("corpora", write_morfitt(tmp_path), "--format", "morfitt", "--json") == 0
    counted = json.loads(capsys.readouterr().out)[tmp_path.name]
    assert {part: found["documents"] for part, found in counted.items()} == dict.fromkeys(counted, 3)
    assert counted["train"]["labels"] == {"surgery": 3, "virology": 3}
    (tmp_path / "q").mkdir()
    assert run("corpora", write_questions(tmp_path / "q"), "--format", "frenchmedmcqa") == 0
    told = capsys.readouterr().out
    assert told.split()[:4] == ["q", "train", "validation", "test"]
    assert "entities" not in told


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "parquet"])
@pytest.mark.parametrize("arguments", [[], ["--split", "s.json"]])
def test_rows_are_counted_by_a_recipe(tmp_path, kind, arguments, capsys):
    (tmp_path / f"rows.{kind}").write_text("text,label\nsecret,x\n")
    assert run("corpora", tmp_path, "--format", kind, *arguments) == 2
    told = capsys.readouterr().err
    assert f"--format {kind} does not say which columns of {tmp_path} hold what; write a recipe with a task of" in told
    assert "secret" not in told


BAD = {
    ".txt without .ann": ({"a.txt": "x", "b.txt": "x", "b.ann": ""}, "a.txt has no .ann beside it"),
    ".ann without .txt": ({"a.ann": ""}, "a.ann has no .txt beside it"),
    "offsets outside": ({"a.txt": "abc", "a.ann": "T1\tX 1 9\tsecret\n"}, "a.ann, line 1: offsets 1 9 are not inside"),
    "text that disagrees": ({"a.txt": "abc", "a.ann": "T1\tX 0 2\tbc\n"}, "a.ann, line 1: the text at offsets 0 2 is"),
    "XMI": ({"a.xml": "<a>"}, "a.xml, line 1 is not valid XML"),
    "CoNLL": ({"a.conll": "a O\nb\n"}, "a.conll, line 2 has 1 columns"),
    "JSONL": ({"a.jsonl": '{"id": 1, "text": "x", "spans": []}\n{"id": 2'}, "a.jsonl, line 2 is not valid JSON"),
    "ids": ({"a.jsonl": '{"id": 1, "text": "x", "spans": []}\n' * 2}, "a.jsonl, line 2: id '1' is that of"),
    "no format": ({"a.md": ""}, "do not tell its format (no known one); give --format"),
    "two formats": ({"a.xml": "", "a.ann": ""}, "do not tell its format (brat or e3c); give --format"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_corpus_is_the_users_mistake(case, tmp_path, capsys):
    written, message = BAD[case]
    for name, content in written.items():
        (tmp_path / name).write_text(content)
    assert run("corpora", tmp_path) == 2
    told = capsys.readouterr().err
    assert message in told and "secret" not in told


@pytest.mark.parametrize("kind", ["brat", "conll", "e3c"])
def test_a_file_whose_name_is_not_utf8_is_the_users_mistake(kind, tmp_path, capsys):
    name = os.fsdecode(b"doc\xe9")
    files = {"brat": {".txt": "abc", ".ann": "T1\tX 0 3\tabc\n"}, "conll": {".conll": "abc B-X\n"}}.get(kind)
    sofa = '<x xmlns:cas="http:///uima/cas.ecore"><cas:Sofa sofaString="abc"/></x>'
    for suffix, content in (files or {".xml": sofa}).items():
        (tmp_path / f"{name}{suffix}").write_text(content)
    assert run("corpora", tmp_path, "--format", kind) == 2
    assert "id, or its file's name, holds half a surrogate pair at 3; mend it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"labels": ["CHEM"]}, "doc000.ann, line 1: label 'DISO' is not declared (known: CHEM)"),
        ({"test": "plain"}, "task drugs: 3 test documents and no entity to find"),
        ({"test": "train"}, "48 of 48 test documents have the text of a training or validation document"),
        ({"path": ".", "split": "e3c-official", "format": "e3c"}, "not found; give the folder from which these are"),
        ({"path": ".", "split": "missing"}, "split 'missing' is neither a file nor known for brat"),
    ],
)
def test_a_bad_task_stops_finetune(task, message, brat_folder, recipe_values, tmp_path, capsys):
    write_brat(tmp_path / "plain", [(f"Rien {number}.", []) for number in range(3)])
    folders = {name: str(brat_folder / name) for name in ("train", "dev", "test")}
    folders |= {"plain": str(tmp_path / "plain"), ".": str(brat_folder)}
    values = {"train": "train", "validation": "dev", "test": "test"} if "split" not in task else {}
    values |= task
    values |= {key: folders[values[key]] for key in ("train", "validation", "test", "path") if key in values}
    recipe_values["tasks"] = [{"name": "drugs", "format": "brat", **values}]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"finetune": json.loads(json.dumps(recipe_values, default=str))}))
    assert run("finetune", recipe) == 2
    assert message in capsys.readouterr().err
    assert not recipe_values["output"].exists()


def test_models_that_cannot_be_read_stop_finetune_together(recipe_values, model_folder, tmp_path, capsys):
    for name in ("bare", "unknown"):
        shutil.copytree(model_folder, tmp_path / name)
    (tmp_path / "bare/sentencepiece.bpe.model").unlink()
    (tmp_path / "unknown/sentencepiece.bpe.model").rename(tmp_path / "unknown/spm.model")
    (tmp_path / "unknown/tokenizer.json").write_text("{}")
    recipe_values["models"] = {name: str(tmp_path / name) for name in ("bare", "unknown")}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"finetune": json.loads(json.dumps(recipe_values, default=str))}))
    assert run("finetune", recipe) == 2
    told = capsys.readouterr().err
    assert f"model bare: {tmp_path}/bare has no tokenizer (none of sentencepiece.bpe.model" in told
    assert "model unknown: the tokenizer of" in told or "model unknown: its tokenizer reads 100%" in told
    assert not recipe_values["output"].exists()


def test_options_of_a_corpus_with_a_recipe(capsys):
    assert run("corpora", "demo", "--split", "x") == 2
    assert "--format and --split are of a corpus, and demo is no folder of one" in capsys.readouterr().err

import json
import shutil

import pyarrow as pa
import pytest
from datasets import Dataset
from pyarrow import parquet

from camembert_bio.corpus.forget import forget
from camembert_bio.corpus.parquet import export_corpus, import_corpus
from camembert_bio.errors import RunError, UserError
from camembert_bio.shards.manifest import Corpus, open_corpus, verify


@pytest.fixture
def exported(corpus: Corpus, tmp_path):
    export_corpus(corpus.folder, tmp_path / "parquet")
    return tmp_path / "parquet"


def shards(corpus):
    return [entry for split in ("train", "validation") for _, entry in corpus.manifest.shards(split)]


def test_round_trip_gives_the_same_bytes(corpus, exported, tmp_path):
    assert import_corpus(exported, tmp_path / "back").hash == corpus.manifest.hash
    back = open_corpus(tmp_path / "back")
    verify(back)
    for entry in shards(corpus):
        assert (back.folder / entry.path).read_bytes() == (corpus.folder / entry.path).read_bytes()
        assert Dataset.from_file(str(back.folder / entry.path)).num_rows == entry.documents


def test_a_corpus_with_a_removal_makes_the_round_trip(corpus, tmp_path):
    folder = shutil.copytree(corpus.folder, tmp_path / "corpus")
    done = forget(folder, ["doc-55"])
    export_corpus(folder, tmp_path / "parquet")
    assert import_corpus(tmp_path / "parquet", tmp_path / "back").hash == done.hash
    assert open_corpus(tmp_path / "back").manifest == open_corpus(folder).manifest


def test_the_files_say_what_they_hold(corpus, exported):
    entry = corpus.manifest.sources["b"].splits["train"].shards[0]
    table = parquet.read_table((exported / entry.path).with_suffix(".parquet"))
    assert table.column_names == ["doc_id", "input_ids", "source", "split"]
    assert table.schema.field("input_ids").type == pa.list_(pa.uint16())
    rows, shard = table.to_pylist(), corpus.open(entry)
    assert [row["doc_id"] for row in rows] == shard.doc_ids
    assert rows[0]["input_ids"] == shard.document(0).tolist()
    assert {(row["source"], row["split"]) for row in rows} == {("b", "train")}
    everything = Dataset.from_parquet([str(path) for path in sorted(exported.glob("*/*.parquet"))])
    assert everything.num_rows == 100


def test_an_output_that_holds_something_is_refused(corpus, exported, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("x")
    for call, folder in ((export_corpus, corpus.folder), (import_corpus, exported)):
        with pytest.raises(UserError, match="holds something; give a new or empty folder"):
            call(folder, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["x"]


def test_an_output_inside_is_refused(corpus, exported, tmp_path):
    folder = shutil.copytree(corpus.folder, tmp_path / "corpus")
    (tmp_path / "link").symlink_to(folder)
    for call, source in ((export_corpus, folder), (import_corpus, exported)):
        for output in (source, source / "out", source / "a" / ".." / "b" / "out"):
            with pytest.raises(UserError, match=r"output .* lies in .*; give a folder outside"):
                call(source, output)
    with pytest.raises(UserError, match="lies in"):
        export_corpus(folder, tmp_path / "link" / "out")
    assert not list(tmp_path.rglob("*out*"))


def test_a_damaged_corpus_is_not_exported(corpus, tmp_path):
    folder = shutil.copytree(corpus.folder, tmp_path / "corpus")
    (folder / "vocabulary.json").write_text("{}")
    with pytest.raises(RunError, match=r"vocabulary.json differ from corpus.json"):
        export_corpus(folder, tmp_path / "parquet")
    assert not (tmp_path / "parquet").exists()


def changed(path, change):
    parquet.write_table(change(parquet.read_table(path)), path)


def with_column(name, value):
    def change(table):
        return table.set_column(table.column_names.index(name), name, pa.array([value] * len(table)))

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: path.unlink(), "train-00000.parquet is missing; restore it"),
        (lambda path: path.write_bytes(b"PAR1 no"), "is no readable export"),
        (lambda path: changed(path, lambda table: table.drop_columns("input_ids")), "is no readable export"),
        (lambda path: changed(path, with_column("input_ids", "text")), "is no readable export"),
        (lambda path: changed(path, lambda table: table[1:]), "has not the .* documents of corpus.json"),
        (lambda path: changed(path, with_column("source", "b")), "holds documents of another source or split"),
        (lambda path: changed(path, with_column("doc_id", "x")), "is not the corpus that its corpus.json describes"),
    ],
    ids=["missing", "no parquet", "no tokens", "text for tokens", "a document less", "another source", "other ids"],
)
def test_an_export_that_was_changed_is_refused(exported, tmp_path, change, told):
    change(exported / "a" / "train-00000.parquet")
    with pytest.raises(UserError, match=told):
        import_corpus(exported, tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("name", ["tokenizer_config.json", "config.json"])
def test_a_changed_file_of_the_tokenizer_is_refused(exported, tmp_path, name):
    (exported / "tokenizer" / name).write_text('{"tokenizer_class": "BertTokenizer"}')
    with pytest.raises(UserError, match=r"is not the corpus that its corpus.json describes"):
        import_corpus(exported, tmp_path / "back")
    (exported / "tokenizer" / name).unlink()
    with pytest.raises(UserError, match=r"is not the corpus that its corpus.json describes"):
        import_corpus(exported, tmp_path / "back")


def test_only_the_known_files_of_a_tokenizer_are_copied(corpus, exported, tmp_path):
    (exported / "tokenizer" / "notes.txt").write_text("SECRET")
    (exported / "tokenizer" / "tokenizer.json").write_text("{}")
    import_corpus(exported, tmp_path / "back")
    names = {path.name for path in (tmp_path / "back" / "tokenizer").iterdir()}
    assert names == {path.name for path in (corpus.folder / "tokenizer").iterdir()}


@pytest.mark.parametrize("name", ["tokenizer/config.json", "tokenizer", "vocabulary.json"])
def test_a_link_in_an_export_is_refused(exported, tmp_path, name):
    (exported / name).rename(tmp_path / "elsewhere")
    (exported / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link, or in one; put the file itself there"):
        import_corpus(exported, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_missing_vocabulary_is_named(exported, tmp_path):
    (exported / "vocabulary.json").unlink()
    with pytest.raises(UserError, match=r"parquet/vocabulary.json is missing; restore it or export"):
        import_corpus(exported, tmp_path / "back")


def test_a_manifest_cannot_write_elsewhere(exported, tmp_path):
    values = json.loads((exported / "corpus.json").read_text())
    values["sources"]["a"]["splits"]["train"]["shards"][0]["path"] = "../../train-00000.arrow"
    (exported / "corpus.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="names 1 shards as no corpus does"):
        import_corpus(exported, tmp_path / "back")

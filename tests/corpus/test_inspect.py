import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from camembert_bio.corpus.forget import forget
from camembert_bio.corpus.inputs import list_input
from camembert_bio.corpus.inspect import decode, describe
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import RunError, UserError
from camembert_bio.shards.manifest import open_corpus

from .conftest import sentences

ROOT = Path(__file__).resolve().parents[2]


def test_describe(corpus):
    about = describe(corpus.folder)
    assert (about["hash"], about["verified"], about["vocab_size"]) == (corpus.manifest.hash, True, 80)
    a = about["sources"]["a"]
    assert a["licence"] == "CC0"
    assert a["train"]["documents"] + a["validation"]["documents"] == 60
    assert a["train"]["shards"] == len(corpus.manifest.sources["a"].splits["train"].shards)


def test_describe_tells_weights_removals_and_where_the_inputs_stood(corpus, tmp_path):
    folder = shutil.copytree(corpus.folder, tmp_path / "copy")
    values = json.loads((folder / "corpus.json").read_text())
    values["sources"]["b"]["weight"] = 2.5
    (folder / "corpus.json").write_text(json.dumps(values))
    forget(folder, ["doc-55", "doc-54"])
    about = describe(folder)
    assert [source["weight"] for source in about["sources"].values()] == [1.0, 2.5]
    assert about["removals"] == [{"date": open_corpus(folder).manifest.removals[0].date, "documents": 2}]
    assert about["paths"] == {"a": values["paths"]["a"], "b": values["paths"]["b"]}
    assert about["paths"]["a"].endswith("first.jsonl")
    assert describe(corpus.folder)["removals"] == [] and "build" not in about


def test_inspect_tells_the_recipe_and_the_inputs_hashes_when_asked(corpus):
    def told(*options):
        command = [sys.executable, "-m", "camembert_bio", "inspect", str(corpus.folder), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200, cwd=ROOT)
        return json.loads(done.stdout)

    assert "build" not in told()
    assert told("--json") == told("--verbose") == {"kind": "corpus", **describe(corpus.folder, with_build=True)}
    build = told("--json")["build"]
    assert build["recipe"]["shard_bytes"] == 2000
    first = Source("a", corpus.folder.parent / "first.jsonl", "MIT")
    assert build["inputs"]["a"] == list_input(first).fingerprint


def test_describe_finds_a_changed_file(tmp_path, corpus):
    folder = shutil.copytree(corpus.folder, tmp_path / "copy")
    (folder / "vocabulary.json").write_text("{}")
    with pytest.raises(RunError, match=r"vocabulary.json differ from corpus.json"):
        describe(folder)


def test_decode_gives_one_document(corpus):
    assert decode(corpus.folder, "b:doc-3") == sentences(40, seed=2)[3]
    assert decode(corpus.folder, "doc-55") == sentences(60, seed=1)[55]


def test_decode_refuses_what_is_not_one_document(corpus):
    with pytest.raises(UserError, match="2 documents have this id, in a, b; give SOURCE:ID") as several:
        decode(corpus.folder, "doc-3")
    with pytest.raises(UserError, match="holds no document of this id; check the id") as none:
        decode(corpus.folder, "doc-99")
    assert "doc-" not in f"{several.value} {none.value}"


def test_a_folder_that_is_no_corpus(tmp_path):
    with pytest.raises(UserError, match="is not a corpus"):
        describe(tmp_path)

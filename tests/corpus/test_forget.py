import dataclasses
import datetime
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from camembert_bio import files
from camembert_bio.corpus.build import prepare
from camembert_bio.corpus.forget import forget
from camembert_bio.corpus.ids_file import read_ids
from camembert_bio.corpus.tokenize import load_tokenizer
from camembert_bio.errors import RunError, UserError
from camembert_bio.shards.manifest import Corpus, open_corpus, verify

from .conftest import recipe, sentences, write_jsonl

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(corpus: Corpus, tmp_path):
    """A copy of the corpus of sources a (60 documents) and b (40), with a table of windows."""
    copy = shutil.copytree(corpus.folder, tmp_path / "corpus")
    (copy / "windows").mkdir()
    (copy / "windows" / "train-64-0.npz").write_bytes(b"x")
    return copy


def documents(corpus):
    """The tokens of each document, by (source, id)."""
    return {
        (source, doc_id): shard.document(index).tolist()
        for split in ("train", "validation")
        for source, entry in corpus.manifest.shards(split)
        for shard in [corpus.open(entry)]
        for index, doc_id in enumerate(shard.doc_ids)
    }


def content(folder):
    """The hash of every file below a folder."""
    return {path.relative_to(folder).as_posix(): files.sha256_file(path) for path in sorted(files.below(folder))}


def counts(corpus):
    return {
        (name, split): (value.documents, value.words, value.tokens, sum(shard.documents for shard in value.shards))
        for name, source in corpus.manifest.sources.items()
        for split, value in source.splits.items()
    }


def test_the_documents_are_gone_and_the_others_as_before(corpus, folder):
    before = documents(corpus)
    done = forget(folder, ["doc-55", "b:doc-3", "a:doc-3", "doc-55"])
    after = open_corpus(folder)
    verify(after)
    gone = {("a", "doc-55"), ("b", "doc-3"), ("a", "doc-3")}
    assert documents(after) == {key: ids for key, ids in before.items() if key not in gone}
    assert (done.documents, done.missing, done.hash) == (3, 0, after.manifest.hash)
    assert done.hash != corpus.manifest.hash
    assert not (folder / "windows").exists()
    named = {entry.path for split in ("train", "validation") for _, entry in after.manifest.shards(split)}
    assert {path.relative_to(folder).as_posix() for path in folder.glob("*/*.arrow")} == named


def test_no_file_holds_the_id_a_word_or_the_tokens_of_the_document_any_more(corpus, folder):
    """The same search before, so that it is known to find them."""
    text = sentences(60, seed=1)[55]
    word = load_tokenizer(folder / "tokenizer").encode([text.split()[1]])[0]
    assert text.split()[1] == "1.55" and text not in sentences(40, seed=2)
    dtype = next(corpus.open(entry).input_ids.dtype for _, entry in corpus.manifest.shards("train"))
    whole = documents(corpus)["a", "doc-55"]
    needles = {
        "id": b"doc-55",
        "tokens": np.array(whole, dtype).tobytes(),
        "half of them": np.array(whole[len(whole) // 2 :], dtype).tobytes(),
        "word": np.array(word, dtype).tobytes(),
        "text": text.encode(),
        "word as text": b"1.55",
    }

    def found():
        contents = [path.read_bytes() for path in files.below(folder)]
        return {name for name, needle in needles.items() if any(needle in content for content in contents)}

    assert found() == {"id", "tokens", "half of them", "word"}
    forget(folder, ["doc-55"])
    assert found() == set()


def test_only_shards_that_held_one_are_written(corpus, folder):
    before = content(folder)
    done = forget(folder, ["doc-55"])
    after = content(folder)
    assert done.shards == 1
    assert len(set(before) - set(after)) == 2  # one shard, one table of windows
    assert {name for name in after if after[name] != before.get(name)} - set(after) - set(before) == set()
    changed = {name for name in after if after[name] != before.get(name)}
    assert len(changed) == 2 and "corpus.json" in changed
    assert all(name == "corpus.json" or name.endswith("-r1.arrow") for name in changed)
    forget(folder, ["doc-54"])
    assert sum(name.endswith("-r2.arrow") for name in content(folder)) == 1
    assert not any("-r1-r2" in name for name in content(folder))


def test_counts_are_those_of_a_build_without_the_documents(tmp_path, corpus, tokenizer_folder):
    texts = {f"doc-{i}": text for i, text in enumerate(sentences(60, seed=1))}
    removed = ["doc-0", "doc-17", "doc-18", "doc-59"]
    built = []
    for name, kept in (("all", texts), ("some", {key: text for key, text in texts.items() if key not in removed})):
        source = write_jsonl(tmp_path / f"{name}.jsonl", kept)
        values = {"tokenizer": {"path": str(tokenizer_folder)}, "shard_bytes": 2000}
        prepare(recipe(tmp_path / name, source, **values))
        built.append(tmp_path / name)
    forget(built[0], removed)
    assert counts(open_corpus(built[0])) == counts(open_corpus(built[1]))
    assert documents(open_corpus(built[0])) == documents(open_corpus(built[1]))


def test_the_manifest_notes_number_and_date_and_no_id(corpus, folder):
    assert corpus.manifest.removals == ()
    forget(folder, ["doc-55", "doc-54"])
    forget(folder, ["doc-53"])
    manifest = open_corpus(folder).manifest
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    assert [(removal.date, removal.documents) for removal in manifest.removals] == [(today, 2), (today, 1)]
    assert "doc-5" not in (folder / "corpus.json").read_text()
    assert dataclasses.replace(manifest, removals=()).hash == manifest.hash
    assert (manifest.build, manifest.paths) == (corpus.manifest.build, corpus.manifest.paths)


@pytest.mark.parametrize(
    ("ids", "source", "told"),
    [
        ([], None, "no id is given; name documents, or a file of ids with --from"),
        (["doc-55", "doc-99", "a:x"], None, r"2 of 3 ids are in no document of .* \(in the order given: 2, 3\); check"),
        ([f"no-{i}" for i in range(12)], None, r"12 of 12 .*: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, \.\.\.\); check"),
        (["doc-55"], "b", "1 of 1 ids are in no document"),
        (["doc-55", "doc-3"], None, "1 of 2 ids stand in several sources of .*; give --source or SOURCE:ID"),
        (["doc-3"], "c", r"has no source 'c' \(known: a, b\)"),
        ([*(f"a:doc-{i}" for i in range(60)), *(f"b:doc-{i}" for i in range(40))], None, "all the documents of"),
    ],
)
def test_refusals_change_nothing(folder, ids, source, told):
    before = content(folder)
    with pytest.raises(UserError, match=told) as refused:
        forget(folder, ids, source)
    assert "doc-" not in str(refused.value)
    assert content(folder) == before


def test_missing_ids_may_be_ignored(corpus, folder):
    done = forget(folder, ["doc-55", "doc-99"], ignore_missing=True)
    assert (done.documents, done.missing) == (1, 1)
    before = content(folder)
    done = forget(folder, ["doc-55", "doc-99"], ignore_missing=True)
    assert (done.documents, done.missing, done.shards) == (0, 2, 0)
    assert content(folder) == before


def test_one_source_alone(folder):
    forget(folder, ["doc-3"], source="b")
    left = documents(open_corpus(folder))
    assert ("a", "doc-3") in left and ("b", "doc-3") not in left


def built(tmp_path, tokenizer_folder, ids):
    """A corpus whose source `a` has documents of these ids, and `keep`."""
    texts = dict(zip([*ids, "keep"], sentences(len(ids) + 1), strict=True))
    values = {"tokenizer": {"path": str(tokenizer_folder)}, "validation_fraction": 0}
    prepare(recipe(tmp_path / "named", write_jsonl(tmp_path / "named.jsonl", texts), **values))
    return tmp_path / "named"


def test_an_id_that_reads_as_another_with_its_source_is_refused(tmp_path, tokenizer_folder):
    folder = built(tmp_path, tokenizer_folder, ["b", "a:b"])
    before = content(folder)
    with pytest.raises(UserError, match=r"1 of 1 ids are of two documents .*; give --source, with which") as refused:
        forget(folder, ["a:b"])
    assert "a:b" not in str(refused.value) and content(folder) == before
    forget(folder, ["a:b"], source="a")
    assert [doc_id for _, doc_id in documents(open_corpus(folder))] == ["b", "keep"]


ODD = [
    "p1",
    "p1\u00a0",
    " lead",
    "u\u2028sep",
    "x\x0bvt",
    "nel\x85",
    "\ufeffbom",
    "  ",
    "tab\t",
    "two\nlines",
    "-dash",
    "end\r",
]


def test_each_odd_id_is_forgotten_and_no_other(tmp_path, tokenizer_folder):
    folder = built(tmp_path, tokenizer_folder, ODD)
    for name, ids in (("ids.txt", [i for i in ODD if not {"\n", "\r"} & {*i}]), ("ids.jsonl", ODD)):
        for doc_id in ids:
            copy = shutil.copytree(folder, tmp_path / "copy")
            line = json.dumps(doc_id) if name.endswith(".jsonl") else doc_id
            (tmp_path / name).write_bytes(f"\ufeff{line}\r\n".encode())
            assert forget(copy, read_ids(tmp_path / name)).documents == 1
            assert sorted(i for _, i in documents(open_corpus(copy))) == sorted({*ODD, "keep"} - {doc_id})
            shutil.rmtree(copy)


def test_white_space_around_an_id_is_told_and_not_guessed(folder):
    before = content(folder)
    for ignore_missing in (False, True):
        with pytest.raises(
            UserError, match=r"1 of 2 .* without the white space .* \(in the order given: 2\)"
        ) as refused:
            forget(folder, ["doc-55", "doc-54\u00a0"], ignore_missing=ignore_missing)
        assert "doc-54" not in str(refused.value)
    assert content(folder) == before
    assert forget(folder, ["doc-55", "no-such \u00a0"], ignore_missing=True).missing == 1


def test_a_source_that_is_empty_then_leaves_the_manifest(folder):
    done = forget(folder, [f"doc-{i}" for i in range(40)], source="b")
    assert done.documents == 40
    assert list(open_corpus(folder).manifest.sources) == ["a"]
    assert not (folder / "b").exists()
    verify(open_corpus(folder))


def test_a_source_named_windows_stays(folder):
    """Earlier versions took the name."""
    (folder / "b" / "notes.npz").write_bytes(b"mine")
    for path in (folder / "windows").iterdir():
        path.rename(folder / "b" / path.name)
    (folder / "windows").rmdir()
    (folder / "b").rename(folder / "windows")
    text = (folder / "corpus.json").read_text()
    (folder / "corpus.json").write_text(text.replace('"b/', '"windows/').replace('"b": {', '"windows": {'))
    before = documents(open_corpus(folder))
    forget(folder, ["doc-55"])
    verify(open_corpus(folder))
    assert documents(open_corpus(folder)) == {key: ids for key, ids in before.items() if key != ("a", "doc-55")}
    assert (folder / "windows" / "notes.npz").exists() and not (folder / "windows" / "train-64-0.npz").exists()


def test_a_damaged_shard_gets_no_new_hash(folder):
    entry = next(e for _, e in open_corpus(folder).manifest.shards("train") if e.path.startswith("a/"))
    shard = folder / entry.path
    doc_id = open_corpus(folder).open(entry).doc_ids[0]
    data = bytearray(shard.read_bytes())
    data[-40] ^= 1
    shard.write_bytes(data)
    before = content(folder)
    with pytest.raises(RunError, match=r"a/train-00000.arrow differs from corpus.json; restore it"):
        forget(folder, [f"a:{doc_id}"])
    assert content(folder) == before


def test_a_prepare_of_the_same_recipe_keeps_the_removal(tmp_path):
    source = write_jsonl(tmp_path / "a.jsonl", sentences(30))
    prepare(recipe(tmp_path / "corpus", source))
    done = forget(tmp_path / "corpus", ["doc-7"])
    assert prepare(recipe(tmp_path / "corpus", source)).hash == done.hash


# Ends a process, as SIGKILL would, at the Nth time that something is flushed to the disk, renamed or removed, for
# every N until one comes to its end.
KILLED = """
import itertools, os, shutil, sys
from pathlib import Path
from camembert_bio.corpus.forget import forget

def counted(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return function(*arguments, **options)
    return call

for left in itertools.count(1):
    copy = Path(sys.argv[2], f"{left:03d}")
    shutil.copytree(sys.argv[1], copy)
    child = os.fork()
    if child == 0:
        os.fsync, os.replace, Path.unlink = counted(os.fsync), counted(os.replace), counted(Path.unlink)
        forget(copy, ["doc-55", "a:doc-3"])
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 9:
        sys.exit(code)
"""


def test_killed_at_any_point_the_old_or_the_new_corpus_is_whole(tmp_path, corpus, folder):
    expected = shutil.copytree(folder, tmp_path / "expected")
    new = forget(expected, ["doc-55", "a:doc-3"]).hash
    (tmp_path / "killed").mkdir()
    subprocess.run([sys.executable, "-c", KILLED, str(folder), str(tmp_path / "killed")], check=True, timeout=600)
    seen, num_ended = [], 0
    for copy in sorted((tmp_path / "killed").iterdir()):
        verify(open_corpus(copy))
        seen.append(open_corpus(copy).manifest.hash)
        if seen[-1] == corpus.manifest.hash or (copy / ".forget").exists():
            done = forget(copy, ["a:doc-3", "doc-55"])
            assert (done.documents, done.missing, done.shards, done.hash) == (2, 0, 2, new)
            num_ended += seen[-1] == new
        assert open_corpus(copy).manifest.hash == new
        assert not (copy / "windows").exists() and not list(copy.rglob(".*"))
        assert [path for path in content(copy) if path.endswith(".arrow")] == [
            path for path in content(expected) if path.endswith(".arrow")
        ]
    turn = seen.index(new)
    assert len(seen) > 6 and 1 < turn < len(seen) - 1 and num_ended >= 4
    assert seen == [corpus.manifest.hash] * turn + [new] * (len(seen) - turn)


# Runs the command line; right behind the rename of the manifest it is sent a signal.
STOPPED = """
import os, signal, sys
from camembert_bio.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background has it ignored

def replace(aside, path, replace=os.replace):
    replace(aside, path)
    if str(path).endswith("corpus.json"):
        os.kill(os.getpid(), int(sys.argv.pop()))

os.replace = replace
main(sys.argv[1:-1])
"""


def run(folder, *words, code=None):
    command = [sys.executable, *(("-c", code) if code else ("-m", "camembert_bio")), "forget", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_stopped_behind_the_new_manifest_the_same_command_ends_it(folder, number, code):
    stopped = run(folder, "doc-55", "a:doc-3", str(int(number)), code=STOPPED)
    assert stopped.returncode == code
    if number != signal.SIGKILL:
        assert "old shards that hold the documents may still lie there; the same command ends it" in stopped.stderr
    assert (folder / "windows").exists() and b"doc-" not in (folder / ".forget").read_bytes()
    ended = run(folder, "doc-55", "a:doc-3")
    assert ended.returncode == 0 and "2 documents removed, 0 ids not found" in ended.stdout
    assert "2 shards that an interrupted forget left are removed" in ended.stderr and "doc-" not in ended.stderr
    assert not (folder / "windows").exists() and not (folder / ".forget").exists()
    assert {path for path in content(folder) if path.endswith(".arrow")} == {
        entry.path for split in ("train", "validation") for _, entry in open_corpus(folder).manifest.shards(split)
    }
    again = run(folder, "doc-55", "a:doc-3")
    assert again.returncode == 2 and "; nothing was changed" in again.stderr


def test_another_request_ends_a_stopped_one_and_says_so(folder):
    run(folder, "doc-55", str(int(signal.SIGKILL)), code=STOPPED)
    with pytest.raises(UserError, match="what an interrupted forget had left is removed, nothing else was changed"):
        forget(folder, ["doc-55", "doc-99"])
    assert not (folder / "windows").exists() and not (folder / ".forget").exists()
    assert forget(folder, ["doc-54"]).documents == 1


def test_a_mark_that_was_cut_short_is_of_no_change(folder):
    (folder / ".forget").write_text('{"salt": "0')
    assert forget(folder, ["doc-55"]).documents == 1
    assert not (folder / ".forget").exists()


def test_a_disk_that_takes_nothing_changes_nothing(folder):
    before = content(folder)
    code = "import resource, sys; from camembert_bio.cli import main\n"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)); main(sys.argv[1:])"
    failed = run(folder, "doc-55", code=code)
    assert failed.returncode == 1 and "Traceback" not in failed.stderr
    assert f"forget did not end on {folder}: File too large" in failed.stderr and "the same command" in failed.stderr
    assert content(folder) == before
    (folder / ".forget").mkdir()
    with pytest.raises(
        UserError, match=r"cannot be changed: .*\.forget cannot be written .*; make the folder writable"
    ):
        forget(folder, ["doc-55"])


def test_a_shard_that_is_a_link_is_refused(folder, tmp_path):
    entry = next(e for _, e in open_corpus(folder).manifest.shards("train") if e.path.startswith("a/"))
    doc_id = open_corpus(folder).open(entry).doc_ids[0]
    (folder / entry.path).rename(tmp_path / "kept.arrow")
    (folder / entry.path).symlink_to(tmp_path / "kept.arrow")
    with pytest.raises(UserError, match="is a link, whose target would stay; put the file there; nothing was changed"):
        forget(folder, [f"a:{doc_id}"])


def test_two_at_once_are_refused(folder):
    import fcntl

    with open(folder / ".forget", "a+b") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another forget works on"):
            forget(folder, ["doc-55"])


def test_words_are_those_of_the_text(corpus):
    """What `forget` subtracts, over whole documents, is what the build counted."""
    from camembert_bio.corpus.forget import _num_words, _opens_word

    vocabulary = corpus.vocabulary
    by_source = dict.fromkeys(corpus.manifest.sources, 0)
    for (source, _), ids in documents(corpus).items():
        by_source[source] += _num_words(np.array(ids), _opens_word(vocabulary), vocabulary.is_lone_space)
    built = {
        name: sum(split.words for split in source.splits.values()) for name, source in corpus.manifest.sources.items()
    }
    assert by_source == built

import json
import logging
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest

from camembert_bio.corpus.build import prepare
from camembert_bio.corpus.clean import clean
from camembert_bio.corpus.tokenize import load_tokenizer
from camembert_bio.errors import RunError, UserError
from camembert_bio.shards.manifest import TRAIN, VALIDATION, open_corpus, verify

from .conftest import recipe, sentences, write_jsonl

SECRET = "Dupont-Martin"


def ids_by_split(folder: Path) -> dict[str, set[str]]:
    corpus = open_corpus(folder)
    return {
        split: {f"{name}:{doc}" for name, entry in corpus.manifest.shards(split) for doc in corpus.open(entry).doc_ids}
        for split in (TRAIN, VALIDATION)
    }


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a corpus but the reports, which hold times."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stem != "report"]
    assert len(found) >= 8
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def with_tokenizer(folder: Path) -> dict[str, object]:
    return {"tokenizer": {"path": str(folder)}}


def test_every_document_is_in_the_shards_as_transformers_tokenises_it(corpus, tokenizer_folder):
    from transformers import AutoTokenizer

    auto = AutoTokenizer.from_pretrained(tokenizer_folder)
    texts = {f"a:doc-{i}": text for i, text in enumerate(sentences(60, seed=1))}
    texts |= {f"b:doc-{i}": text for i, text in enumerate(sentences(40, seed=2))}
    found = {}
    for split in (TRAIN, VALIDATION):
        for name, entry in corpus.manifest.shards(split):
            shard = corpus.open(entry)
            assert len(shard.input_ids) * 2 <= 2000
            found |= {f"{name}:{doc}": shard.document(i).tolist() for i, doc in enumerate(shard.doc_ids)}
    assert found == {name: auto(clean(text), add_special_tokens=False)["input_ids"] for name, text in texts.items()}
    assert len(corpus.manifest.shards(TRAIN)) > 4


def test_the_modules_that_build_a_corpus_load_no_torch():
    code = "import sys, camembert_bio.corpus.build, camembert_bio.corpus.inspect; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_shards_open_with_datasets(corpus):
    from datasets import Dataset

    _, entry = corpus.manifest.shards(TRAIN)[0]
    rows = Dataset.from_file(str(corpus.folder / entry.path))
    shard = corpus.open(entry)
    assert rows["doc_id"][:] == shard.doc_ids
    assert rows[3]["input_ids"] == shard.document(3).tolist()
    assert str(rows.features["input_ids"].feature.dtype) == "uint16"


def test_the_manifest_counts_what_is_there(corpus):
    verify(corpus)
    manifest = corpus.manifest
    assert manifest.vocab_size == len(corpus.vocabulary) == 80
    for name, number in (("a", 60), ("b", 40)):
        splits = manifest.sources[name].splits
        assert sum(split.documents for split in splits.values()) == number
        words = sum(len(clean(text).split()) for text in sentences(number, seed=1 if name == "a" else 2))
        assert sum(split.words for split in splits.values()) == words
    special = np.flatnonzero(corpus.vocabulary.is_special)
    for _, entry in manifest.shards(TRAIN):
        assert not np.isin(corpus.open(entry).input_ids, special[special != 3]).any()


def test_the_report(corpus):
    report = json.loads((corpus.folder / "report.json").read_text())
    a = report["sources"]["a"]
    assert (a["documents_read"], a["dropped"], a["duplicates"], a["licences"]) == (60, {}, 0, {"CC0": 60})
    tokens = sum(split.tokens for split in corpus.manifest.sources["a"].splits.values())
    assert (a["tokens"], a["unknown_share"]) == (tokens, 0)
    assert a["tokens_per_word"] == pytest.approx(a["tokens"] / a["words"], abs=1e-4)
    assert report["tokenizer"]["equal"] == report["tokenizer"]["passages"] > 100
    assert {"read", "clean", "deduplicate", "tokenise", "write", "train tokenizer"} <= report["seconds"].keys()
    assert report["peak_memory_mb"] > 10 and report["wall_s"] > 0
    assert "| a | 60 | 0 | 0 | 0 | 60 |" in (corpus.folder / "report.md").read_text()


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    source = write_jsonl(tmp_path / "a.jsonl", sentences(60))
    first = prepare(recipe(tmp_path / "one", source, num_workers=1))
    second = prepare(recipe(tmp_path / "two", source, num_workers=2))
    assert first.hash == second.hash
    names = [path.relative_to(tmp_path / "one") for path in sorted((tmp_path / "one").rglob("*")) if path.is_file()]
    assert len(names) >= 8
    for name in names:
        if name.stem != "report":
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_same_inputs_under_other_paths_are_the_same_corpus(tmp_path, tokenizer_folder):
    def make(folder, file):
        (folder / "notes").mkdir(parents=True)
        for i, text in enumerate(sentences(30, seed=3)):
            (folder / "notes" / f"{i}.txt").write_text(text)
        source = write_jsonl(folder / file, sentences(60))
        shutil.copytree(tokenizer_folder, folder / "tokenizer")
        return recipe(folder / "out", source, folder / "notes", **with_tokenizer(folder / "tokenizer"))

    here, there = make(tmp_path / "here", "cases.jsonl"), make(tmp_path / "there", "renamed.jsonl")
    assert prepare(here).hash == prepare(there).hash
    # So the one stands for the other: it is verified, not refused.
    moved = recipe(here.output, *(source.path for source in there.sources), tokenizer={"path": there.tokenizer.path})
    assert prepare(moved).paths["a"] == str(tmp_path / "here" / "cases.jsonl")
    (there.sources[1].path / "0.txt").rename(there.sources[1].path / "other.txt")
    with pytest.raises(UserError, match=r"another corpus \(.*\): inputs.b: '.* there, '.* here; give"):
        prepare(moved)


def test_a_file_renamed_to_another_format_is_another_corpus(tmp_path, tokenizer_folder):
    text = write_jsonl(tmp_path / "one.txt", sentences(60))
    made = {"validation_fraction": 0, **with_tokenizer(tokenizer_folder)}
    prepare(recipe(tmp_path / "out", text, **made))
    with pytest.raises(UserError, match=r"holds another corpus .*inputs.a: '.* there, '.* here"):
        prepare(recipe(tmp_path / "out", text.rename(tmp_path / "one.jsonl"), **made))


def test_a_document_keeps_its_side_when_others_are_added(tmp_path, tokenizer_folder):
    texts = {f"doc-{i}": text for i, text in enumerate(sentences(60))}
    more = {f"new-{i}": text for i, text in enumerate(sentences(40, seed=9))}
    small = write_jsonl(tmp_path / "small.jsonl", texts)
    large = write_jsonl(tmp_path / "large.jsonl", {**more, **dict(reversed(texts.items()))})
    for name, source in (("small", small), ("large", large)):
        prepare(recipe(tmp_path / name, source, **with_tokenizer(tokenizer_folder)))
    before, after = ids_by_split(tmp_path / "small"), ids_by_split(tmp_path / "large")
    assert before[VALIDATION] and before[TRAIN]
    for split in (TRAIN, VALIDATION):
        assert before[split] == {name for name in after[split] if name.startswith("a:doc-")}


def test_duplicates_across_sources_go_to_the_earlier_source(tmp_path, tokenizer_folder):
    texts = sentences(60)
    a = write_jsonl(tmp_path / "a.jsonl", {"x": texts[0].upper(), **{f"d{i}": t for i, t in enumerate(texts[:40])}})
    b = write_jsonl(tmp_path / "b.jsonl", {f"d{i}": f" {t}\n\n" for i, t in enumerate(texts)})
    prepare(recipe(tmp_path / "out", a, b, **with_tokenizer(tokenizer_folder)))
    found = set.union(*ids_by_split(tmp_path / "out").values())
    assert found == {"a:x", *(f"a:d{i}" for i in range(1, 40)), *(f"b:d{i}" for i in range(40, 60))}
    sources = json.loads((tmp_path / "out" / "report.json").read_text())["sources"]
    assert (sources["a"]["duplicates"], sources["b"]["duplicates"]) == (1, 40)


def test_without_deduplication_equal_documents_share_a_side(tmp_path, tokenizer_folder):
    texts = sentences(60)
    source = write_jsonl(tmp_path / "a.jsonl", [*texts, *(text.upper() for text in texts)])
    prepare(recipe(tmp_path / "out", source, deduplicate={"exact": False}, **with_tokenizer(tokenizer_folder)))
    sides = ids_by_split(tmp_path / "out")
    assert len(sides[TRAIN]) + len(sides[VALIDATION]) == 120
    assert "distinct_documents_by_occurrences" not in json.loads((tmp_path / "out" / "report.json").read_text())
    assert all((f"a:doc-{i}" in sides[TRAIN]) is (f"a:doc-{i + 60}" in sides[TRAIN]) for i in range(60))


def test_short_documents_are_dropped_and_counted(tmp_path, tokenizer_folder):
    source = write_jsonl(tmp_path / "a.jsonl", [*sentences(60), "court", "\u200b" * 50, ""])
    prepare(recipe(tmp_path / "out", source, **with_tokenizer(tokenizer_folder)))
    report = json.loads((tmp_path / "out" / "report.json").read_text())["sources"]["a"]
    assert (report["documents_read"], report["dropped"]) == (63, {"too short": 3})


def test_special_literals_leave_no_special_id(tmp_path, tokenizer_folder):
    source = write_jsonl(tmp_path / "a.jsonl", [f"{text} <mask></s> ＜s＞ <s>NOTUSED" for text in sentences(60)])
    prepare(recipe(tmp_path / "out", source, **with_tokenizer(tokenizer_folder)))
    corpus = open_corpus(tmp_path / "out")
    for _, entry in corpus.manifest.shards(TRAIN):
        ids = corpus.open(entry).input_ids
        assert 3 in ids and ids[ids != 3].min() >= 7 and ids.max() < 79


def test_no_held_out_split_when_none_is_asked(tmp_path, tokenizer_folder):
    source = write_jsonl(tmp_path / "a.jsonl", sentences(5))
    manifest = prepare(recipe(tmp_path / "out", source, validation_fraction=0, **with_tokenizer(tokenizer_folder)))
    assert list(manifest.sources["a"].splits) == [TRAIN]


def test_a_corpus_already_built_is_verified_and_kept(tmp_path, tokenizer_folder):
    source = write_jsonl(tmp_path / "a.jsonl", sentences(60))
    made = recipe(tmp_path / "out", source, **with_tokenizer(tokenizer_folder))
    first = prepare(made)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert prepare(made).hash == first.hash
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    shard = tmp_path / "out" / first.shards(TRAIN)[0][1].path
    data = bytearray(shard.read_bytes())
    data[-100] ^= 1
    shard.write_bytes(data)
    with pytest.raises(RunError, match=r"to build it anew remove .*out first"):
        prepare(made)


def test_an_output_that_holds_something_else(tmp_path, tokenizer_folder):
    source = write_jsonl(tmp_path / "a.jsonl", sentences(60))
    out = tmp_path / "out"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("x")
    with pytest.raises(UserError, match=r"holds other files and no corpus.json; give a new or empty folder"):
        prepare(recipe(tmp_path / "full", source))
    with pytest.raises(UserError, match="is a file; give a folder"):
        prepare(recipe(source, source))
    out.mkdir()
    first = prepare(recipe(out, source, **with_tokenizer(tokenizer_folder)))
    with pytest.raises(UserError, match=r"holds another corpus .*recipe.validation_fraction: 0.1 there, 0.2 here"):
        prepare(recipe(out, source, validation_fraction=0.2, **with_tokenizer(tokenizer_folder)))
    write_jsonl(source, sentences(61))
    with pytest.raises(UserError, match=r"holds another corpus .*inputs.a: '.* there, '.* here"):
        prepare(recipe(out, source, **with_tokenizer(tokenizer_folder)))
    assert open_corpus(out).manifest.hash == first.hash


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path, open_folder, nobody):
    missing = tmp_path / "none.jsonl"  # would be named if sources were read first
    (tmp_path / "link").symlink_to("gone")
    (tmp_path / "file").write_text("x")
    for name, message in (
        ("link", "is a link that leads to no corpus; give the folder itself"),
        ("link/out", "link takes no folder .No such file or directory.; give another output"),
        ("file", "is a file; give a folder"),
        ("file/deep/out", "file takes no folder .Not a directory."),
        ("file/..", "names no folder; give a folder with a name"),
    ):
        with pytest.raises(UserError, match=message):
            prepare(recipe(tmp_path / name, missing))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]
    open_folder.chmod(0o555)
    with nobody(), pytest.raises(UserError, match=rf"{open_folder} takes no folder .Permission denied."):
        prepare(recipe(open_folder / "new" / "out", missing))


def test_a_name_that_is_none_or_too_long_is_refused_before_anything_is_read(tmp_path):
    missing = tmp_path / "none.jsonl"
    for name, message in (
        ("a\0b", r"a\\x00b' holds a NUL byte; give another name"),
        ("y" * 300, "has a name of 300 bytes, over 255; give a shorter one"),
        (f"{'é' * 130}/out", "has a name of 260 bytes, over 255"),
        ("z" * 240, r"cannot be written: .* takes no folder .File name too long.; give a name shorter by \d+ bytes"),
    ):
        with pytest.raises(UserError, match=message):
            prepare(recipe(tmp_path / name, missing))
    assert not list(tmp_path.iterdir())


def test_the_longest_name_that_is_not_refused_is_written(tmp_path, tokenizer_folder):
    source = write_jsonl(tmp_path / "a.jsonl", sentences(5))
    changes = {"validation_fraction": 0, **with_tokenizer(tokenizer_folder)}
    with pytest.raises(UserError, match="give a name shorter by") as raised:
        prepare(recipe(tmp_path / ("z" * 250), source, **changes))
    shorter = int(str(raised.value).split("shorter by ")[1].split()[0])
    prepare(recipe(tmp_path / ("z" * (250 - shorter)), source, **changes))


@pytest.mark.parametrize("form", ["jsonl", "text", "e3c"])
@pytest.mark.parametrize("place", ["", "out", "deep/er/out", "link"])
def test_an_output_inside_a_source_is_refused(tmp_path, form, place):
    folder = tmp_path / "cases"
    folder.mkdir()
    (tmp_path / "elsewhere").symlink_to(folder)
    for suffix in ("jsonl", "txt", "json"):
        (folder / f"a.{suffix}").write_text('{"id": "1", "text": "Le patient va bien."}')
    before = sorted(tmp_path.rglob("*"))
    output = tmp_path / "elsewhere/out" if place == "link" else folder / place
    changes = {"sources": [{"name": "a", "path": str(folder), "licence": "CC0", "format": form}]}
    with pytest.raises(
        UserError, match=r"out lies in the folder of source 'a' \(\S*cases\); give" if place else "cases"
    ):
        prepare(recipe(output, **changes))
    tasks = {"tasks": {"ner": str(folder)}}
    if place:
        with pytest.raises(UserError, match="lies in the folder of evaluation set 'ner'"):
            prepare(recipe(output, folder / "a.jsonl", decontaminate=tasks))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", ["file", "link", "dead link"])
def test_what_is_no_folder_at_the_place_of_the_work_folder_is_refused_and_stays(tmp_path, tokenizer_folder, kind):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("x")
    work = tmp_path / ".work-out"
    if kind == "file":
        work.write_text("x")
    else:
        work.symlink_to(tmp_path / ("mine" if kind == "link" else "gone"))
    before = sorted(tmp_path.rglob("*"))
    source = write_jsonl(tmp_path.parent / f"{tmp_path.name}.jsonl", sentences(5))
    with pytest.raises(UserError, match=rf"work-out, where the build works, is a {kind.split()[-1]}; move it away"):
        prepare(recipe(tmp_path / "out", source, validation_fraction=0, **with_tokenizer(tokenizer_folder)))
    assert sorted(tmp_path.rglob("*")) == before


def test_folders_that_are_links_are_counted_in_a_warning(tmp_path, tokenizer_folder, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("camembert_bio"), "propagate", True)
    for name in ("notes", "other"):
        (tmp_path / name / "deep").mkdir(parents=True)
        for number, text in enumerate(sentences(3)):
            (tmp_path / name / f"{number}.txt").write_text(text)
    changes = {"validation_fraction": 0, **with_tokenizer(tokenizer_folder)}
    prepare(recipe(tmp_path / "one", tmp_path / "notes", **changes))
    assert "are links" not in caplog.text
    (tmp_path / "notes" / "3.txt").symlink_to(tmp_path / "other" / "2.txt")
    for name in ("self", "deep/linked"):
        (tmp_path / "notes" / name).symlink_to(tmp_path / "other")
    prepare(recipe(tmp_path / "two", tmp_path / "notes", **changes))
    assert f"source 'a': 2 folders below {tmp_path}/notes are links and are not read" in caplog.text
    assert json.loads((tmp_path / "two" / "report.json").read_text())["sources"]["a"]["documents_read"] == 4


def test_a_text_that_leads_nowhere(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("x")
    (tmp_path / "notes" / "b.txt").symlink_to("gone")
    with pytest.raises(UserError, match=r"source 'a': .*b\.txt cannot be read .No such file"):
        prepare(recipe(tmp_path / "out", tmp_path / "notes"))


@pytest.mark.parametrize(
    ("texts", "changes", "message"),
    [
        (["a", "b"], {}, "source 'a': none of its 2 documents stays .2 too short, 0 duplicates.; lower clean"),
        (sentences(3), {"validation_fraction": 0.0001}, "validation_fraction 0.0001 of 3 documents holds none out"),
        (sentences(3), {"validation_fraction": 0.9999}, "holds out all 3 documents; lower it"),
        (sentences(60), {"tokenizer": {"path": "none"}}, "tokenizer folder none does not exist"),
        (sentences(60), {"tokenizer": {"train": {"vocab_size": 9000}}}, "vocab_size 9000 is more than the text gives"),
    ],
)
def test_refusals_leave_nothing(tmp_path, tokenizer_folder, texts, changes, message):
    source = write_jsonl(tmp_path / "a.jsonl", texts)
    with pytest.raises(UserError, match=message):
        prepare(recipe(tmp_path / "out", source, **{**with_tokenizer(tokenizer_folder), **changes}))
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_the_fraction_that_is_proposed_holds_some_out(tmp_path, tokenizer_folder):
    source = write_jsonl(tmp_path / "a.jsonl", sentences(60))
    with pytest.raises(UserError, match=r"raise it to 0.05 or more") as raised:
        prepare(recipe(tmp_path / "out", source, validation_fraction=0.0001, **with_tokenizer(tokenizer_folder)))
    fraction = float(str(raised.value).split("raise it to ")[1].split()[0])
    prepare(recipe(tmp_path / "out", source, validation_fraction=fraction, **with_tokenizer(tokenizer_folder)))


def test_sources_that_are_missing_are_named_together(tmp_path):
    with pytest.raises(UserError) as raised:
        prepare(recipe(tmp_path / "out", tmp_path / "x.jsonl", tmp_path / "y.jsonl"))
    assert "x.jsonl does not exist" in str(raised.value) and "y.jsonl does not exist" in str(raised.value)


def test_a_broken_line_late_in_a_source_leaves_nothing_and_shows_no_text(tmp_path, tokenizer_folder):
    source = write_jsonl(tmp_path / "a.jsonl", sentences(60))
    with open(source, "a") as file:
        file.write(f'{{"id": "late", "text": "{SECRET}')
    with pytest.raises(UserError, match=r"a.jsonl line 61 is not valid JSON") as raised:
        prepare(recipe(tmp_path / "out", source, shard_bytes=1000, **with_tokenizer(tokenizer_folder)))
    assert SECRET not in "".join(traceback.format_exception(raised.value))
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_another_tokenizer_is_another_corpus(tmp_path, corpus, tokenizer_folder):
    source = write_jsonl(tmp_path / "a.jsonl", sentences(60))
    given = shutil.copytree(tokenizer_folder, tmp_path / "given")
    made = recipe(tmp_path / "out", source, **with_tokenizer(given))
    assert prepare(made).tokenizer_sha256 == corpus.manifest.tokenizer_sha256
    prepare(recipe(tmp_path / "other", source))
    shutil.copytree(tmp_path / "other" / "tokenizer", given, dirs_exist_ok=True)
    with pytest.raises(UserError, match=r"given_tokenizer: '.* there, '.* here"):
        prepare(made)


def test_an_evaluation_set_that_changed_is_read_again_by_the_same_process(tmp_path, tokenizer_folder):
    texts = sentences(60)
    source = write_jsonl(tmp_path / "a.jsonl", texts)
    tasks = {"tasks": {"ner": str(tmp_path / "ner.jsonl")}, "remove": True, "n": 4}
    for leaked in (1, 10):
        write_jsonl(tmp_path / "ner.jsonl", texts[:leaked])
        prepare(recipe(tmp_path / str(leaked), source, decontaminate=tasks, **with_tokenizer(tokenizer_folder)))
        report = json.loads((tmp_path / str(leaked) / "report.json").read_text())
        assert dict(report["sources"]["a"]["removed"])["contaminated"] == leaked


def test_a_sentence_stays_where_it_occurs_first_however_little_is_left_there(tmp_path, tokenizer_folder):
    texts = sentences(60)
    shared = "Ce traitement doit être pris le soir avant le repas."
    documents = [
        f"{texts[0]}",
        f"{texts[0]} {shared}",
        *texts[1:],
        f"{texts[5]} {shared} Et sans alcool ni jus de fruit.",
    ]
    source = write_jsonl(tmp_path / "a.jsonl", documents)
    clean = {"min_words": 12, "min_characters": 1}
    changes = {"deduplicate": {"sentences": 1}, "clean": clean, "validation_fraction": 0}
    prepare(recipe(tmp_path / "out", source, **{**with_tokenizer(tokenizer_folder), **changes}))
    corpus = open_corpus(tmp_path / "out")
    decode = load_tokenizer(tmp_path / "out" / "tokenizer").decode
    (entry,) = [entry for _, entry in corpus.manifest.shards(TRAIN)]
    shard = corpus.open(entry)
    whole = [decode(shard.document(number)) for number in range(len(shard))]
    assert sum("avant le repas" in text for text in whole) == 1


HOOK = """
import sys

def replace_names(text):
    if "anémie" in text:
        raise KeyError(text)
    if "diabète" in text:
        sys.exit(text)
    return None if "plaie" in text else text
"""


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_document_on_which_the_hook_fails_is_in_quarantine_by_id(
    tmp_path, monkeypatch, caplog, tokenizer_folder, num_workers
):
    monkeypatch.chdir(tmp_path)
    module = f"hook_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(HOOK, encoding="utf-8")
    texts = {f"doc-{i}": f"{text} {SECRET}" for i, text in enumerate(sentences(60))}
    texts["un patient\n" + SECRET] = f"Une anémie chez un patient, que voici {SECRET}."
    reasons = {
        name: next((f"hook {how}" for sign, how in HOW.items() if sign in text), None) for name, text in texts.items()
    }
    source = write_jsonl(tmp_path / "a.jsonl", texts)
    clean = {"hook": f"{module}:replace_names"}
    prepare(recipe(tmp_path / "out", source, clean=clean, num_workers=num_workers, **with_tokenizer(tokenizer_folder)))
    lines = (tmp_path / "out" / "quarantine.jsonl").read_text()
    failed = [(name if SECRET not in name else None, reason) for name, reason in reasons.items() if reason]
    assert [json.loads(line) for line in lines.splitlines()] == [
        {"source": "a", "id": name, "where": None, "reason": reason} for name, reason in failed
    ]
    assert len({reason for _, reason in failed}) == 3
    assert f"failed on {len(failed)} of 61 documents, which are left out; quarantine.jsonl" in caplog.text
    assert SECRET not in lines and SECRET not in caplog.text
    kept = set.union(*ids_by_split(tmp_path / "out").values())
    assert kept == {f"a:{name}" for name, reason in reasons.items() if not reason}


HOW = {"anémie": "raised KeyError", "diabète": "raised SystemExit", "plaie": "returned NoneType"}


def test_a_hook_that_fails_on_every_document_ends_the_build(tmp_path, monkeypatch, tokenizer_folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"never_{tmp_path.name}.py").write_text("def f(text): raise ValueError(text)")
    source = write_jsonl(tmp_path / "a.jsonl", sentences(6))
    clean = {"hook": f"never_{tmp_path.name}:f"}
    with pytest.raises(UserError, match=r"none of its 6 documents stays .6 hook raised ValueError.*; mend the hook or"):
        prepare(recipe(tmp_path / "out", source, clean=clean, **with_tokenizer(tokenizer_folder)))


@pytest.mark.parametrize("num_workers", [1, 2])
def test_one_id_in_two_blocks_is_refused_with_both_places(tmp_path, num_workers):
    """No worker reads both: hashes suspect them, and reading again shows where."""
    texts = {f"doc-{i}": f"{i} {'Le patient est venu hier soir. ' * 70}" for i in range(4000)}
    first, second = tmp_path / "a.jsonl", write_jsonl(tmp_path / "b.jsonl", {"doc-7": "Une autre source, le même id."})
    write_jsonl(first, texts)
    assert first.stat().st_size > 8 << 20
    with open(first, "a") as file:
        file.write(json.dumps({"id": "doc-7", "text": f"Un autre texte : {SECRET}."}) + "\n")
    values = {
        "output": str(tmp_path / "out"),
        "sources": [{"name": path.stem, "path": str(path), "licence": "CC0"} for path in (first, second)],
        "tokenizer": {"train": {"vocab_size": 80}},
        "num_workers": num_workers,
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps({"prepare": values}))
    command = [sys.executable, "-m", "camembert_bio", "prepare", str(tmp_path / "recipe.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 2
    assert f"source 'a': {first} line 8 and {first} line 4001 have the same id; make ids unique" in done.stderr
    assert SECRET not in done.stderr and "doc-7" not in done.stderr
    assert not (tmp_path / "out").exists()

"""Sources that change or go while a corpus is built, and the hash that names their content."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from camembert_bio.corpus.build import prepare
from camembert_bio.corpus.inputs import list_input
from camembert_bio.corpus.recipe import Prepare
from camembert_bio.errors import UserError
from camembert_bio.shards.manifest import open_corpus

from .conftest import recipe, sentences, write_jsonl
from .test_build import ids_by_split, with_tokenizer
from .test_documents import RECORDS, source

MODULE = """
import os
from pathlib import Path

def change():
    {change}

{now}

def same(text):
    with open("calls", "a") as calls:
        calls.write(text[:1])
    if Path("armed").exists():
        Path("armed").unlink()
        change()
    return text
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five texts in a folder below the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    for name, text in zip("abcde", sentences(5), strict=True):
        (tmp_path / "notes" / f"{name}.txt").write_text(text)
    write_jsonl(tmp_path / "task.jsonl", sentences(3, seed=9))
    return tmp_path / "notes"


Hooked = Callable[..., Prepare]


@pytest.fixture
def hooked(notes: Path, tokenizer_folder: Path) -> Hooked:
    """A recipe over the texts, whose hook makes a change: on a text once `armed`, or `now`, after all was hashed."""

    def made(change: str, output: str = "out", *, now: bool = False) -> Prepare:
        module = f"changes_{notes.parent.name}_{output}"
        Path(f"{module}.py").write_text(MODULE.format(change=change, now="change()" if now else ""))
        changes = {
            "clean": {"hook": f"{module}:same"},
            "decontaminate": {"tasks": {"task": "task.jsonl"}},
            "validation_fraction": 0,
            "num_workers": 1,
        }
        return recipe(notes.parent / output, notes, **changes, **with_tokenizer(tokenizer_folder))

    return made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("Path('notes/c.txt').unlink()", r"source 'a': \S*notes/c.txt is gone .No such file or directory."),
        ("Path('notes/c.txt').write_text('x')", r"source 'a': \S*notes/c.txt has 1 bytes instead of \d+; leave"),
        ("os.utime('notes/c.txt', ns=(0, 0))", r"source 'a': \S*notes/c.txt was written again; leave them as they"),
        ("Path('task.jsonl').write_text('')", r"source 'task': task.jsonl has 0 bytes instead of \d+"),
        (
            "[file.unlink() for file in Path('notes').iterdir()] and Path('notes').rmdir()",
            r"e.txt is gone|a.txt is gone .*d.txt is gone",
        ),
    ],
)
def test_a_source_that_changed_after_it_was_hashed_makes_no_corpus(hooked, notes, change, message):
    with pytest.raises(UserError, match=message):
        prepare(hooked(change, now=True))
    assert not (notes.parent / "out").exists()


def test_what_came_later_is_not_of_this_build(hooked, notes):
    prepare(hooked("Path('notes/f.txt').write_text('Une note de plus, venue trop tard.')", now=True))
    assert ids_by_split(notes.parent / "out")["train"] == {f"a:{name}" for name in "abcde"}


def test_a_source_may_change_once_it_was_read(hooked, notes):
    (notes.parent / "armed").touch()
    made = hooked("pass")
    prepare(made)
    (notes / "c.txt").write_text("Un autre texte, plus tard.")
    with pytest.raises(UserError, match=r"another corpus .*inputs.a: '.* there, '.* here"):
        prepare(made)


def test_a_source_that_was_gone_for_a_minute_costs_nothing_that_was_finished(hooked, notes):
    for name in "ab":  # more than a block each
        (notes / f"{name}.txt").write_text("\n".join(sentences(24_000, seed=ord(name))))
    assert (notes / "a.txt").stat().st_size > 4 << 20
    (notes.parent / "armed").touch()
    made = hooked("Path('notes/b.txt').rename('aside')")
    with pytest.raises(UserError, match=r"b.txt is gone"):
        prepare(made)
    assert (notes.parent / "calls").read_text() == "O"
    (notes.parent / "aside").rename(notes / "b.txt")
    done = prepare(made)
    assert (notes.parent / "calls").read_text() == "OOOOO", "the first text was read once"
    assert not (notes.parent / ".work-out").exists()
    assert done.sources == prepare(hooked("pass", "whole")).sources


def test_what_was_read_of_a_source_that_changed_is_never_used(hooked, notes):
    for name in "ab":
        (notes / f"{name}.txt").write_text("\n".join(sentences(24_000, seed=ord(name))))
    about = (notes / "b.txt").stat()
    (notes / "b.txt").with_suffix(".old").write_bytes((notes / "b.txt").read_bytes())
    (notes.parent / "armed").touch()
    made = hooked("Path('notes/b.txt').write_text('Un autre texte, le temps de la lecture.')")
    with pytest.raises(UserError, match=r"b.txt has \d+ bytes instead of"):
        prepare(made)
    (notes / "b.old").rename(notes / "b.txt")
    assert (notes / "b.txt").stat().st_size == about.st_size
    prepare(made)
    corpus = open_corpus(notes.parent / "out")
    assert corpus.manifest.sources["a"].splits["train"].words > 200_000


def test_a_fingerprint_follows_names_and_content_of_every_file(tmp_path):
    def fingerprint(folder: str) -> str:
        return list_input(source(tmp_path / folder)).fingerprint

    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.jsonl").write_bytes(RECORDS)
    before = fingerprint("a")
    assert before == fingerprint("b")
    (tmp_path / "b/1.jsonl").rename(tmp_path / "b/2.jsonl")
    assert before != fingerprint("b")
    (tmp_path / "a/1.jsonl").write_bytes(RECORDS + b"\n")
    assert before != fingerprint("a")


def test_a_single_file_under_another_format_or_with_another_id_is_another_input(tmp_path):
    def of(name, **changes):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(RECORDS)
        return list_input(source(tmp_path / name, **changes)).fingerprint

    assert of("one.txt") == of("elsewhere/one.txt") == of("one.TXT")
    assert of("one.jsonl") == of("elsewhere/other.ndjson") == of("a.dump", format="jsonl")
    assert of("p.csv") == of("q.csv")
    names = ("one.txt", "two.txt", "one.jsonl", "one.csv", "one.tsv", "one.html", "two.html", "one.jsonl.gz")
    found = [of(name) for name in names]
    found += [of("one.tsv", format="clear"), of("one.txt", format="clear"), of("one.xml", format="e3c")]
    assert len(set(found)) == len(found)


def test_a_folder_read_in_another_format_is_another_input(tmp_path):
    (tmp_path / "a.txt").write_bytes(RECORDS)
    text, clear = (list_input(source(tmp_path, format=form)) for form in ("text", "clear"))
    assert text.fingerprint != clear.fingerprint
    (tmp_path / "a.txt").rename(tmp_path / "a.html.txt")
    before = list_input(source(tmp_path)).fingerprint  # the id is a.html
    (tmp_path / "a.html.txt").rename(tmp_path / "a.html")
    assert list_input(source(tmp_path)).fingerprint != before


def test_parts_are_runs_of_files_of_a_gigabyte(tmp_path):
    for name in "abcde":
        with open(tmp_path / f"{name}.txt", "wb") as file:
            os.truncate(file.fileno(), 600 << 20)  # of no block on the disk
    listed = list_input(source(tmp_path))
    assert [[file.stem for file in part] for part in listed.parts()] == [["a", "b"], ["c", "d"], ["e"]]
    assert listed.num_bytes == 5 * (600 << 20)

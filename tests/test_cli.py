"""The command line as a user meets it: help, exit codes, one clear message."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from camembert_bio import cli
from camembert_bio.samples.corpus import write_corpus
from camembert_bio.shards.manifest import Corpus

VERBS = ("sources", "prepare", "forget", "export-corpus", "import-corpus", "check", "pretrain", "finetune", "export")
VERBS += ("corpora", "score", "report", "inspect", "demo")
VERBS += ("forget", "export-corpus", "import-corpus")


def run(*arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "camembert_bio", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_names_every_verb_and_the_exit_codes() -> None:
    told = run("--help").stdout
    assert all(verb in told for verb in VERBS)
    assert "85" in told and "86" in told


def test_import_and_help_load_no_torch() -> None:
    code = "import sys, camembert_bio.cli as cli; cli._parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("verb", ["prepare", "pretrain", "finetune", "check"])
def test_a_recipe_that_is_not_there_is_the_users_mistake(verb: str, tmp_path: Path) -> None:
    done = run(verb, "nowhere.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert "nowhere.yaml" in done.stderr and "Traceback" not in done.stderr


def test_a_node_without_the_recipe_says_so_once(tmp_path: Path) -> None:
    first_of_its_node = run("pretrain", "nowhere.yaml", folder=tmp_path, RANK="4", LOCAL_RANK="0")
    assert first_of_its_node.returncode == 2
    assert "[rank 4]" in first_of_its_node.stderr and "nowhere.yaml" in first_of_its_node.stderr
    assert run("pretrain", "nowhere.yaml", folder=tmp_path, RANK="5", LOCAL_RANK="1").stderr == ""


def test_overrides_may_follow_options(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("pretrain: {corpus: c, output: run, schedule: {max_steps: 1}}\n")
    done = run("pretrain", "r.yaml", "seed=1", "--json", "sed=2", folder=tmp_path)
    assert done.returncode == 2 and "did you mean 'seed'?" in done.stderr
    assert "unrecognized arguments: --jsn" in run("pretrain", "r.yaml", "--jsn", folder=tmp_path).stderr
    assert "unrecognized arguments: b" in run("inspect", "a", "b", folder=tmp_path).stderr


SECRET = "Madame Lefort"

WITH_VERB = """
import sys, camembert_bio.cli as cli
def fail(options):
    {}
cli.scoring._report = fail
cli.main(["report", "results", *sys.argv[1:]])
"""


@pytest.mark.parametrize(
    ("raising", "code", "told"),
    [
        (f"raise TypeError('no number: {SECRET}')", 1, "unexpected TypeError"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 143, ""),
        ("open('/nowhere/x')", 2, "No such file or directory: '/nowhere/x'"),
        ("raise OSError(28, 'No space left on device', 'x')", 1, "No space left on device: 'x'"),
        ("print('±'); return 0", 0, ""),
    ],
)
def test_what_nobody_foresaw_quotes_no_document(raising: str, code: int, told: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", WITH_VERB.format(raising)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == code, done.stderr
    assert told in done.stderr and SECRET not in done.stderr
    if code == 1 and "TypeError" in told:
        assert SECRET in subprocess.run([*command, "--verbose"], capture_output=True, text=True, check=False).stderr


def test_a_world_of_no_rank_is_refused() -> None:
    done = run("check", "demo", "--world-size", "0")
    assert done.returncode == 2 and "'0' is not a number above 0" in done.stderr


def test_three_mistakes_of_a_recipe_are_one_message(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "pretrain: {corpus: c, output: run, schedule: {max_steps: 0}, seq_len: 5, precision: fp8}\n"
    )
    done = run("pretrain", "r.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert "3 mistakes" in done.stderr and "did you mean 'seq_length'?" in done.stderr
    assert not (tmp_path / "run").exists()


def test_inspect_says_what_a_folder_is_not(tmp_path: Path) -> None:
    done = run("inspect", str(tmp_path))
    assert done.returncode == 2 and "no corpus, run, checkpoint or model" in done.stderr


def test_demo_refuses_a_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    done = run("demo", str(tmp_path))
    assert done.returncode == 2 and "did not make" in done.stderr
    assert (tmp_path / "mine").read_text() == "x"


def test_prepare_and_inspect_a_corpus(tmp_path: Path) -> None:
    write_corpus(tmp_path / "sample", num_documents=100)
    (tmp_path / "r.yaml").write_text(
        "prepare: {output: c, sources: [{name: a, path: sample/clinical_cases.jsonl.gz, licence: MIT}],"
        " tokenizer: {train: {vocab_size: 500}}, validation_fraction: 0.1}\n"
    )
    done = run("prepare", "r.yaml", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    described = json.loads(run("inspect", "c", "--json", folder=tmp_path).stdout)
    assert described["hash"] == json.loads(done.stdout)["hash"]
    with gzip.open(tmp_path / "sample" / "clinical_cases.jsonl.gz", "rt") as file:
        document = json.loads(next(file))
    shown = json.loads(run("inspect", "c", "--document", document["id"], "--json", folder=tmp_path).stdout)
    assert shown["text"].split()[:5] == document["text"].split()[:5]


@pytest.mark.parametrize(
    "words",
    [
        ["c", "--source", "a", "x", "y"],
        ["--source", "a", "c", "x", "y"],
        ["c", "x", "--source", "a", "y"],
        ["c", "--source", "a", "x", "--ignore-missing", "y"],
        ["c", "--ignore-missing", "x", "--source", "a", "y", "--json"],
    ],
)
def test_ids_stand_in_any_order(words: list[str]) -> None:
    options = cli._parse(["forget", *words])
    assert [str(options.path), *options.ids, options.source] == [*(w for w in words if w in ("c", "x", "y")), "a"]


def test_ids_that_begin_with_a_dash_stand_behind_two() -> None:
    assert cli._parse(["forget", "c", "--source", "a", "x", "--", "-y", "--json"]).ids == ["x", "-y", "--json"]
    assert cli._parse(["forget", "c", "--", "-y"]).ids == ["-y"]


@pytest.mark.parametrize("words", [["c", "--ids", SECRET], ["c", "-SECRET"], ["c", SECRET, "--frm", SECRET]])
def test_a_mistake_in_the_words_shows_no_id(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli._parse(["forget", *words])
    told = capsys.readouterr().err
    assert ended.value.code == 2 and "1 of the words are no option of forget" in told
    assert SECRET not in told and "SECRET" not in told


def test_forget_and_move_a_corpus(tmp_path: Path, corpus: Corpus) -> None:
    shutil.copytree(corpus.folder, tmp_path / "c")
    (tmp_path / "ids").write_text("case-00001\nabstract-00002\n")
    refused = run("forget", "c", "case-00001", "no-such-id", folder=tmp_path)
    assert refused.returncode == 2 and "nothing was changed" in refused.stderr and "no-such-id" not in refused.stderr
    assert run("forget", "c", folder=tmp_path).returncode == 2
    done = run("forget", "c", "leaflet-00000", "--from", "ids", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["documents"], told["missing"]) == (3, 0)
    again = run("forget", "c", "--from", "ids", "--source", "cases", "--ignore-missing", folder=tmp_path)
    assert again.returncode == 0 and "0 documents removed, 2 ids not found" in again.stdout
    assert run("export-corpus", "c", "p", folder=tmp_path).returncode == 0
    moved = run("import-corpus", "p", "d", "--json", folder=tmp_path)
    assert json.loads(moved.stdout) == {"corpus": "d", "hash": told["hash"]}
    assert run("export-corpus", "c", "p", folder=tmp_path).returncode == 2

"""The verbs of the command line. Each imports what it needs when it runs, so that --help is quick.

Exit codes: 0 done, 1 failed, 2 the user's mistake, 85 stopped early and resumable, 86 do not requeue.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import camembert_bio
from camembert_bio import log, ranks
from camembert_bio.errors import (
    EXIT_DO_NOT_REQUEUE,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_USER_MISTAKE,
    DoNotRequeueError,
    RunError,
    UserError,
)

# No packet leaves a compute node: models and tokenizers come from folders.
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_CODES: tuple[tuple[tuple[type[Exception], ...], int], ...] = (
    ((UserError, PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError), EXIT_USER_MISTAKE),
    ((DoNotRequeueError,), EXIT_DO_NOT_REQUEUE),
    ((RunError, OSError), EXIT_FAILED),
)
RECIPE_HELP = "YAML file, or the name of a shipped recipe (demo, camembert_bio_2024)"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one verb and exit with its code."""
    options = _parse(arguments)
    os.umask(0o027)  # token shards are personal data
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # and so is memory
    for name, value in OFFLINE.items():
        os.environ.setdefault(name, value)
    log.configure(options.verbose)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # So that what is being written is removed; pretrain has its own handlers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(_run(options))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; `key=value` may stand before and after them."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest:
        if "overrides" not in options or any(word.startswith("-") for word in rest):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        options.overrides += rest
    return options


def _run(options: argparse.Namespace) -> int:
    """The verb's exit code; an error becomes one message."""
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return _report("interrupted", 128 + signal.SIGINT)
    except Exception as error:  # noqa: BLE001 (the last one who can keep text out of a traceback)
        for kinds, code in _CODES:
            if isinstance(error, kinds):
                return _report(error, code)
        return _report(_unexpected(error, options.verbose), EXIT_FAILED)


def _unexpected(error: Exception, verbose: bool) -> str:
    """Where an error that nobody foresaw comes from. Its own message may quote a document: only on request."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    told = str(error) if verbose else "message withheld, it may quote a document; --verbose shows it"
    return f"unexpected {type(error).__name__} ({told}); please report it with these lines:\n{frames}"


def _report(error: Exception | str, code: int) -> int:
    """Print an error once: on rank 0 if every rank has it, once a node if each node has its own, else where it is."""
    everywhere = ranks.ON_EVERY_RANK in getattr(error, "__notes__", ())
    if ranks.is_main():
        print(f"camembert-bio: {error}", file=sys.stderr)
    elif not everywhere and (ranks.local_rank() == 0 or code != EXIT_USER_MISTAKE):
        print(f"camembert-bio: [rank {ranks.rank()}] {error}", file=sys.stderr)
    return code


def _sections() -> dict[str, type]:
    """The sections of a recipe; none of these modules imports torch."""
    from camembert_bio.corpus.recipe import Prepare
    from camembert_bio.evaluation.recipe import Finetune
    from camembert_bio.pretrain.recipe import Pretrain

    return {"prepare": Prepare, "pretrain": Pretrain, "finetune": Finetune}


def _load(options: argparse.Namespace, section: str) -> Any:
    from camembert_bio import config

    return config.load_recipe(options.recipe, section, _sections(), options.overrides)


def _print(options: argparse.Namespace, value: Any, text: str) -> int:
    """The result on stdout: text, or one line of JSON with --json."""
    print(json.dumps(value, ensure_ascii=False) if options.json else text)
    return EXIT_DONE


def _prepare(options: argparse.Namespace) -> int:
    recipe = _load(options, "prepare")
    from camembert_bio.corpus import workers
    from camembert_bio.corpus.build import prepare

    if not workers.join():
        return EXIT_DONE
    manifest = prepare(recipe)
    tokens = sum(split.tokens for source in manifest.sources.values() for split in source.splits.values())
    value = {"corpus": str(recipe.output), "hash": manifest.hash, "tokens": tokens}
    return _print(options, value, f"{recipe.output}: {tokens:,} tokens, corpus {manifest.hash[:12]}")


def _check(options: argparse.Namespace) -> int:
    from camembert_bio.pretrain.preflight import check

    recipe = _load(options, "pretrain")
    value = check(recipe, options.world_size)
    return _print(options, value, "\n".join(f"{key}: {number}" for key, number in value.items()))


def _pretrain(options: argparse.Namespace) -> int:
    recipe = _load(options, "pretrain")
    from camembert_bio.pretrain.engine import leave_distributed
    from camembert_bio.pretrain.loop import pretrain

    try:
        code = pretrain(recipe)
    finally:
        leave_distributed()
    if options.json and ranks.is_main():
        print(json.dumps({"run": str(recipe.output), "exit_code": code}))
    return code


def _export(options: argparse.Namespace) -> int:
    from camembert_bio.pretrain.export import export

    folder = export(options.path, options.output, options.step)
    return _print(options, {"model": str(folder)}, f"model folder: {folder}")


def _finetune(options: argparse.Namespace) -> int:
    recipe = _load(options, "finetune")
    from camembert_bio.evaluation.runs import run_finetune

    report = run_finetune(recipe)
    return _print(options, {"report": str(report)}, f"{report.read_text(encoding='utf-8')}\nreport: {report}")


def _score(options: argparse.Namespace) -> int:
    from camembert_bio.evaluation.predictions import score

    value = score(options.path)
    return _print(options, value, json.dumps(value, indent=2, ensure_ascii=False))


def _report_verb(options: argparse.Namespace) -> int:
    from camembert_bio.evaluation.report import write_report

    report = write_report(options.path)
    return _print(options, {"report": str(report)}, f"{report.read_text(encoding='utf-8')}\nreport: {report}")


def _inspect(options: argparse.Namespace) -> int:
    from camembert_bio.inspection import inspect

    value = inspect(options.path, options.document)
    return _print(options, value, json.dumps(value, indent=2, ensure_ascii=False))


def _forget(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from camembert_bio.corpus.forget import forget, read_ids

    ids = [*options.ids, *(read_ids(options.ids_file) if options.ids_file else [])]
    done = forget(options.path, ids, options.source, options.ignore_missing)
    text = f"{options.path}: {done.documents} documents removed, {done.missing} ids not found, corpus {done.hash[:12]}"
    return _print(options, asdict(done), text)


def _export_corpus(options: argparse.Namespace) -> int:
    from camembert_bio.corpus.parquet import export_corpus

    manifest = export_corpus(options.path, options.output)
    return _print(options, {"parquet": str(options.output), "hash": manifest.hash}, f"parquet files: {options.output}")


def _import_corpus(options: argparse.Namespace) -> int:
    from camembert_bio.corpus.parquet import import_corpus

    manifest = import_corpus(options.path, options.output)
    value = {"corpus": str(options.output), "hash": manifest.hash}
    return _print(options, value, f"{options.output}: corpus {manifest.hash[:12]}")


def _sources(options: argparse.Namespace) -> int:
    from camembert_bio.corpus import catalogue

    if options.name is None:
        if options.download or options.sha256:
            raise UserError("--download and --sha256 need the NAME of a source; `camembert-bio sources` lists them")
        listed = [catalogue.as_json(source) for source in catalogue.SOURCES]
        return _print(options, listed, catalogue.table(catalogue.SOURCES))
    source = catalogue.find(options.name)
    if options.download is None:
        if options.sha256:
            raise UserError("--sha256 pins a download; give --download FOLDER too")
        return _print(options, catalogue.as_json(source), catalogue.details(source))
    from camembert_bio.corpus import download

    done = download.download(source, options.download, options.sha256)
    value = {"folder": str(done.folder), "sha256": done.sha256, "pinned": done.pinned}
    return _print(options, value, download.summary(source, done))


def _demo(options: argparse.Namespace) -> int:
    from camembert_bio.demo import demo

    return demo(options.output)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="camembert-bio",
        description="French biomedical text to a better encoder: prepare, pretrain, export, finetune, report.",
        epilog="exit codes: 0 done, 1 failed, 2 a mistake in the request, 85 stopped and resumable, 86 do not requeue",
    )
    parser.add_argument("--version", action="version", version=camembert_bio.__version__)
    parser.add_argument("--local_rank", type=int, help=argparse.SUPPRESS)  # put first by the deepspeed launcher
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, section, run, text in (
        ("prepare", "prepare", _prepare, "build a corpus of token shards from documents"),
        ("check", "pretrain", _check, "refuse what can be refused before a GPU is touched"),
        ("pretrain", "pretrain", _pretrain, "train, or resume; started on each rank by deepspeed, torchrun or srun"),
        ("finetune", "finetune", _finetune, "fine-tune and score model folders over seeds; skips finished runs"),
    ):
        verb = _verb(verbs, name, run, text)
        verb.add_argument("recipe", help=RECIPE_HELP)
        verb.add_argument("overrides", nargs="*", metavar="key=value", help=f"changes to the section {section!r}")
        if name == "check":
            verb.add_argument("--world-size", type=_positive, default=1, help="ranks that will train (default 1)")
    export = _verb(verbs, "export", _export, "write a transformers folder from a run")
    export.add_argument("path", type=Path, metavar="RUN", help="run folder")
    export.add_argument("output", type=Path, metavar="OUT", help="model folder to make; must not exist")
    export.add_argument("--step", type=int, help="checkpoint to export (default: the newest that verifies)")
    score = _verb(verbs, "score", _score, "recompute every score from saved predictions")
    score.add_argument("path", type=Path, metavar="RESULTS", help="output folder of finetune, or one run in it")
    report = _verb(verbs, "report", _report_verb, "write the table of a finetune output folder")
    report.add_argument("path", type=Path, metavar="RESULTS", help="output folder of finetune")
    inspect = _verb(
        verbs, "inspect", _inspect, "say what a corpus, shard, run, checkpoint, model or results folder holds"
    )
    inspect.add_argument("path", type=Path, metavar="PATH", help="the folder or shard")
    inspect.add_argument("--document", metavar="ID", help="decode one document of a corpus: prints its text")
    _corpus_verbs(verbs)
    demo = _verb(verbs, "demo", _demo, "the whole chain on a synthetic sample, in minutes", json_too=False)
    demo.add_argument("output", type=Path, nargs="?", default=Path("demo-output"), help="folder (default demo-output)")
    return parser


def _corpus_verbs(verbs: Any) -> None:
    """The verbs that find sources, and those that change or move a corpus that is built."""
    sources = _verb(verbs, "sources", _sources, "list the known public sources; download one")
    sources.add_argument("name", nargs="?", metavar="NAME", help="say all of this source (default: list all)")
    sources.add_argument("--download", type=Path, metavar="FOLDER", help="fetch it into FOLDER/NAME; uses the network")
    sources.add_argument("--sha256", metavar="HEX", help="what the downloaded file must have")
    forget = _verb(verbs, "forget", _forget, "take documents out of a corpus, by id")
    forget.add_argument("path", type=Path, metavar="CORPUS", help="corpus folder")
    forget.add_argument("ids", nargs="*", metavar="ID", help="of a document, or SOURCE:ID")
    forget.add_argument("--from", type=Path, dest="ids_file", metavar="FILE", help="UTF-8 file with one id a line")
    forget.add_argument("--source", metavar="NAME", help="look in this source alone (default: all)")
    forget.add_argument("--ignore-missing", action="store_true", help="go on where an id is in no document")
    for name, run, text, source, target in (
        ("export-corpus", _export_corpus, "write a corpus as parquet files", "corpus folder", "folder to make"),
        ("import-corpus", _import_corpus, "build a corpus from an export", "folder of an export", "corpus to make"),
    ):
        verb = _verb(verbs, name, run, text)
        verb.add_argument("path", type=Path, metavar="FOLDER", help=source)
        verb.add_argument("output", type=Path, metavar="OUT", help=f"{target}; must not exist or be empty")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _verb(
    verbs: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, json_too: bool = True
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    verb.set_defaults(run=run)
    if json_too:
        verb.add_argument("--json", action="store_true", help="one line of JSON on stdout")
    verb.add_argument("--verbose", action="store_true", help="debug messages on stderr")
    return verb

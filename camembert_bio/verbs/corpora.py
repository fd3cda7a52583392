"""Verbs that find sources, build corpora, and change or move one that is built."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from camembert_bio.errors import EXIT_DONE, UserError
from camembert_bio.verbs.command import answer, declare, declare_recipe, load


def add(verbs: Any) -> None:
    """Declare them."""
    declare_recipe(verbs, "prepare", "prepare", _prepare, "build a corpus of token shards from documents")
    sources = declare(verbs, "sources", _sources, "list the known public sources; download one")
    sources.add_argument("name", nargs="?", metavar="NAME", help="say all of this source (default: list all)")
    sources.add_argument("--download", type=Path, metavar="FOLDER", help="fetch it into FOLDER/NAME; uses the network")
    sources.add_argument("--sha256", metavar="HEX", help="what the downloaded file must have")
    forget = declare(verbs, "forget", _forget, "take documents out of a corpus, by id")
    forget.add_argument("path", type=Path, metavar="CORPUS", help="corpus folder")
    forget.add_argument("ids", nargs="*", metavar="ID", help="of a document, or SOURCE:ID")
    forget.add_argument(
        "--from", type=Path, dest="ids_file", metavar="FILE", help="UTF-8 file, one id a line; .jsonl: one JSON string"
    )
    forget.add_argument("--source", metavar="NAME", help="look in this source alone (default: all)")
    forget.add_argument("--ignore-missing", action="store_true", help="go on where an id is in no document")
    export = declare(verbs, "export-corpus", _export_corpus, "write a corpus as parquet files")
    export.add_argument("path", type=Path, metavar="CORPUS", help="corpus folder")
    export.add_argument("output", type=Path, metavar="OUT", help="folder to make; must not exist or be empty")
    bring = declare(verbs, "import-corpus", _import_corpus, "build a corpus from an export")
    bring.add_argument("path", type=Path, metavar="EXPORT", help="folder of an export")
    bring.add_argument("output", type=Path, metavar="OUT", help="corpus to make; must not exist or be empty")


def _prepare(options: argparse.Namespace) -> int:
    from camembert_bio.corpus import workers
    from camembert_bio.corpus.build import prepare

    if not workers.join():
        return EXIT_DONE
    with workers.pool() as ranks:  # before the recipe is read: a mistake in it must let the other ranks go
        recipe = load(options)
        manifest = prepare(recipe, ranks)
    tokens = sum(split.tokens for source in manifest.sources.values() for split in source.splits.values())
    value = {"corpus": str(recipe.output), "hash": manifest.hash, "tokens": tokens}
    return answer(options, value, f"{recipe.output}: {tokens:,} tokens, corpus {manifest.hash[:12]}")


def _forget(options: argparse.Namespace) -> int:
    from camembert_bio.corpus.forget import forget
    from camembert_bio.corpus.ids_file import read_ids

    ids = [*options.ids, *(read_ids(options.ids_file) if options.ids_file else [])]
    done = forget(options.path, ids, options.source, options.ignore_missing)
    text = f"{options.path}: {done.documents} documents removed, {done.missing} ids not found, corpus {done.hash[:12]}"
    if done.unknown_files:
        text += f"\n{done.unknown_files} files in {options.path} are of no corpus and were not looked at"
    return answer(options, asdict(done), text)


def _export_corpus(options: argparse.Namespace) -> int:
    from camembert_bio.corpus.parquet import export_corpus

    manifest = export_corpus(options.path, options.output)
    return answer(options, {"parquet": str(options.output), "hash": manifest.hash}, f"parquet files: {options.output}")


def _import_corpus(options: argparse.Namespace) -> int:
    from camembert_bio.corpus.parquet import import_corpus

    manifest = import_corpus(options.path, options.output)
    value = {"corpus": str(options.output), "hash": manifest.hash}
    return answer(options, value, f"{options.output}: corpus {manifest.hash[:12]}")


def _sources(options: argparse.Namespace) -> int:
    from camembert_bio.corpus import catalogue

    if options.name is None:
        if options.download or options.sha256:
            raise UserError("--download and --sha256 need the NAME of a source; `camembert-bio sources` lists them")
        listed = [catalogue.as_json(source) for source in catalogue.SOURCES]
        return answer(options, listed, catalogue.table(catalogue.SOURCES))
    source = catalogue.find(options.name)
    if options.download is None:
        if options.sha256:
            raise UserError("--sha256 pins a download; give --download FOLDER too")
        return answer(options, catalogue.as_json(source), catalogue.details(source))
    from camembert_bio.corpus import download

    done = download.download(source, options.download, options.sha256)
    value = {"folder": str(done.folder), "sha256": done.sha256, "pinned": done.pinned}
    return answer(options, value, download.summary(source, done))

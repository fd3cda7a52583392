"""What names a build, and what may stand at its output: nothing, an empty folder, or this very corpus."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from camembert_bio import config, files
from camembert_bio.corpus.decontaminate import task_sources
from camembert_bio.corpus.hook import hook_fingerprint
from camembert_bio.corpus.inputs import Input, Inputs
from camembert_bio.corpus.recipe import Prepare, Source
from camembert_bio.corpus.tokenize import tokenizer_fingerprint
from camembert_bio.corpus.work import check_work_folder
from camembert_bio.errors import Mistakes, RunError, UserError
from camembert_bio.shards.manifest import MANIFEST, TOKENIZER, Manifest, open_corpus, verify

logger = logging.getLogger(__name__)

_NOT_THE_RESULT = ("output", "num_workers")


def configuration(recipe: Prepare, inputs: Inputs) -> dict[str, Any]:
    """What the corpus is a function of: the recipe without its paths, and the hash of each input (`build` in the
    manifest).

    Raises `UserError` with every source that cannot be read.
    """
    hashes = _fingerprints(inputs.sources)
    plain = {key: value for key, value in config.to_dict(recipe).items() if key not in _NOT_THE_RESULT}
    for part in (*plain["sources"], plain["tokenizer"]):
        del part["path"]
    if recipe.decontaminate is not None:
        tasks = plain["decontaminate"]["tasks"]
        for name, found in _fingerprints(inputs.tasks).items():
            tasks[name] = {key: value for key, value in tasks[name].items() if key != "path"} | {"sha256": found}
    if recipe.clean.hook is not None:
        plain["clean"]["hook"] = hook_fingerprint(recipe.clean.hook)
    given = tokenizer_fingerprint(recipe.tokenizer.path) if recipe.tokenizer.path else None
    # Through JSON, so that it equals what a manifest's file gives back.
    built: dict[str, Any] = json.loads(json.dumps({"recipe": plain, "inputs": hashes, "given_tokenizer": given}))
    return built


def paths(recipe: Prepare) -> dict[str, str]:
    """Where the inputs stand, by the source's name and `tokenizer` (`paths` in the manifest)."""
    stand = {source.name: str(source.path) for source in recipe.sources}
    return stand | ({TOKENIZER: str(recipe.tokenizer.path)} if recipe.tokenizer.path else {})


def check_output(recipe: Prepare) -> None:
    """Refuse, before anything is read, an output that cannot be written or holds something else than a corpus."""
    output = recipe.output
    _check_name(output)
    if output.is_symlink() and not (output / MANIFEST).is_file():
        raise UserError(f"output {output} is a link that leads to no corpus; give the folder itself")
    if output.exists() and not output.is_dir():
        raise UserError(f"output {output} is a file; give a folder")
    if output.exists() and any(output.iterdir()) and not (output / MANIFEST).is_file():
        raise UserError(f"output {output} holds other files and no {MANIFEST}; give a new or empty folder")
    if not (output / MANIFEST).is_file():
        _check_writable(output)
    check_work_folder(recipe)
    _check_place(recipe)


def _check_name(output: Path) -> None:
    if output.name in ("", ".."):
        raise UserError(f"output {output} names no folder; give a folder with a name")
    if "\0" in str(output):
        raise UserError(f"output {str(output)!r} holds a NUL byte; give another name")
    if too_long := [part for part in output.parts if len(os.fsencode(part)) > _MAX_NAME]:
        size = len(os.fsencode(too_long[0]))
        raise UserError(f"output {output} has a name of {size} bytes, over {_MAX_NAME}; give a shorter one")


_MAX_NAME = 255
"""Bytes of a name, on every file system that matters."""


def _check_place(recipe: Prepare) -> None:
    """Refuse an output inside a source: the corpus, and what is written beside it, would be read as documents."""
    inside = Path(os.path.realpath(recipe.output))
    read = [(f"source {source.name!r}", source.path) for source in recipe.sources]
    if recipe.decontaminate is not None:
        tasks = task_sources(recipe.decontaminate.tasks)
        read += [(f"evaluation set {task.name!r}", task.path) for task in tasks]
    for name, path in read:
        if path.is_dir() and inside.is_relative_to(os.path.realpath(path)):
            raise UserError(f"output {recipe.output} lies in the folder of {name} ({path}); give one outside of it")


def _check_writable(output: Path) -> None:
    """Make and remove the folder that the corpus will be written in: its name is longer than the output's."""
    parent = next(folder for folder in output.absolute().parents if os.path.lexists(folder))
    aside = files.beside(parent / output.name)
    try:
        aside.mkdir()
        aside.rmdir()
    except OSError as error:
        remedy = "give another output"
        if error.errno == errno.ENAMETOOLONG:
            remedy = f"give a name shorter by {len(os.fsencode(aside.name)) - _MAX_NAME} bytes"
        raise UserError(
            f"output {output} cannot be written: {parent} takes no folder ({error.strerror}); {remedy}"
        ) from None


def existing(output: Path, build: dict[str, Any]) -> Manifest | None:
    """The manifest of the corpus at `output`, verified, if it is what `build` describes; None if nothing is there.

    Raises `UserError` when another corpus is there, `RunError` when the corpus is damaged.
    """
    if not (output / MANIFEST).is_file():
        return None
    corpus = open_corpus(output)
    if differences := _differences(corpus.manifest.build, build):
        raise UserError(
            f"output {output} holds another corpus ({corpus.manifest.hash[:12]}): {'; '.join(differences[:5])}; "
            "give another output, or remove that folder"
        )
    try:
        verify(corpus)
    except RunError as error:
        raise RunError(f"{error}; to build it anew remove {output} first") from None
    return corpus.manifest


def _fingerprints(inputs: Iterable[Input]) -> dict[str, str]:
    """The hash of each source's input, by name."""
    found, mistakes = {}, Mistakes()
    for one in inputs:
        _warn_of_links(one.source)
        with mistakes.noted():
            found[one.source.name] = one.fingerprint
    mistakes.raise_any("the sources cannot be read:")
    return found


def _warn_of_links(source: Source) -> None:
    if num_links := len(files.linked_folders(source.path)):
        logger.warning(
            "source %r: %d folders below %s are links and are not read; give them as sources of their own, or move "
            "them there",
            *(source.name, num_links, source.path),
        )


def _differences(there: Any, here: Any, name: str = "") -> list[str]:
    """Each place where two configurations differ, as `name: old there, new here`."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        keys = sorted({*there, *here})
        inner = [_differences(there.get(key), here.get(key), f"{name}.{key}" if name else key) for key in keys]
        return [difference for differences in inner for difference in differences]
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        pairs = enumerate(zip(there, here, strict=True))
        return [difference for i, (a, b) in pairs for difference in _differences(a, b, f"{name}[{i}]")]
    return [] if there == here else [f"{name}: {_shown(there)} there, {_shown(here)} here"]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

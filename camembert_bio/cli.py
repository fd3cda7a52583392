"""The command line: its process, its errors, its exit codes. A verb imports what it needs when it runs.

Exit codes: 0 done, 1 failed, 2 the user's mistake, 85 stopped early and resumable, 86 do not requeue.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import camembert_bio
from camembert_bio import log, ranks
from camembert_bio.errors import (
    EXIT_DO_NOT_REQUEUE,
    EXIT_FAILED,
    EXIT_USER_MISTAKE,
    ON_EVERY_RANK,
    DoNotRequeueError,
    RunError,
    Terminated,
    UserError,
)
from camembert_bio.verbs import corpora, looking, scoring, training

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
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_run(options))


def _terminate(*_: object) -> NoReturn:
    raise Terminated(128 + signal.SIGTERM)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; what a verb takes any number of (`key=value`, ids) may stand before, between and after them."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    words = next((getattr(options, name) for name in ("overrides", "ids") if name in options), None)
    end = rest.index("--") if "--" in rest else len(rest)
    odd = rest if words is None else [word for word in rest[:end] if word.startswith("-")]
    if odd and "ids" in options:  # perhaps an id, which no message shows
        parser.error(
            f"{len(odd)} of the words are no option of forget; give ids that begin with - behind -- or by --from"
        )
    if odd:
        parser.error(f"unrecognized arguments: {' '.join(odd)}")
    if words is not None:
        words += rest[:end] + rest[end + 1 :]
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
    everywhere = ON_EVERY_RANK in getattr(error, "__notes__", ())
    if ranks.is_main():
        print(f"camembert-bio: {error}", file=sys.stderr)
    elif not everywhere and (ranks.local_rank() == 0 or code != EXIT_USER_MISTAKE):
        print(f"camembert-bio: [rank {ranks.rank()}] {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="camembert-bio",
        description="French biomedical text to a better encoder: prepare, pretrain, export, finetune, report.",
        epilog="exit codes: 0 done, 1 failed, 2 a mistake in the request, 85 stopped and resumable, 86 do not requeue",
    )
    parser.add_argument("--version", action="version", version=camembert_bio.__version__)
    parser.add_argument("--local_rank", type=int, help=argparse.SUPPRESS)  # put first by the deepspeed launcher
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for group in (corpora, training, scoring, looking):
        group.add(verbs)
    return parser

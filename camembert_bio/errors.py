"""The errors that users meet, and the exit codes that job scripts act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USER_MISTAKE = 2
EXIT_RESUMABLE = 85
EXIT_DO_NOT_REQUEUE = 86

ON_EVERY_RANK = "raised on every rank"
"""Note (PEP 678) on an error that all ranks raise, so that one of them prints it."""


class UserError(Exception):
    """A mistake that the user can mend: one message with the fact, the value and the remedy.

    The command line prints it without a traceback and exits with 2. The message never holds
    text of a document.
    """


class RunError(Exception):
    """A failure that no change of the recipe explains: exit code 1, printed without a traceback."""


class DoNotRequeueError(RunError):
    """A failure that would repeat at every restart (diverged, no checkpoint verifies): exit code 86."""


class Terminated(SystemExit):
    """SIGTERM: told apart from a `sys.exit` in a user's own function."""


def raise_all(heading: str, mistakes: Sequence[str]) -> None:
    """Raise one `UserError` that lists every mistake, or nothing when there is none."""
    if mistakes:
        items = [mistake.replace("\n", "\n    ") for mistake in mistakes]
        raise UserError("\n".join([heading, *(f"  - {item}" for item in items)]))


class Mistakes:
    """The messages of several checks, so that a user reads all of them at once.

    mistakes = Mistakes()
    with mistakes.noted():
        check_one()
    with mistakes.noted():
        check_another()
    mistakes.raise_any("the run cannot start:")
    """

    def __init__(self) -> None:
        self.messages: list[str] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the `UserError` that the block raises, unless it was told already, and go on after the block."""
        try:
            yield
        except UserError as error:
            if not any(str(error) in told for told in self.messages):
                self.messages.append(str(error))

    def raise_any(self, heading: str) -> None:
        """Raise one `UserError`: the only mistake alone, or the heading and a list; nothing when there is none."""
        if len(self.messages) == 1:
            raise UserError(self.messages[0])
        raise_all(heading, self.messages)


def nearest(name: object, known: Iterable[str]) -> str:
    """A hint with the known name closest to `name`: ` (did you mean 'seed'?)`, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"

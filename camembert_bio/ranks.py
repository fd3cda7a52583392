"""What each rank knows of the others, and the few collectives that code outside the engine needs."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from camembert_bio.errors import ON_EVERY_RANK, DoNotRequeueError, RunError, UserError

T = TypeVar("T")

_SHARED = (UserError, DoNotRequeueError, RunError)


def rank() -> int:
    """This process' rank, from the launcher's environment; 0 without a launcher."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """This process' rank on its node; 0 without a launcher."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world_size() -> int:
    """The number of ranks of the job; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def free_port() -> int:
    """A TCP port of this machine that nobody listens on now, for a rendezvous."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_main() -> bool:
    """Whether this is rank 0: the one that prints and commits files."""
    return rank() == 0


def _group_is_up() -> bool:
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized()


def barrier() -> None:
    """Wait for every rank. Collective."""
    import torch.distributed as dist

    if _group_is_up():
        dist.barrier()


def broadcast(value: T) -> T:
    """Rank 0's `value` on every rank. Collective; the value travels pickled between our own ranks."""
    import torch.distributed as dist

    if not _group_is_up() or world_size() == 1:
        return value
    box: list[Any] = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]  # type: ignore[no-any-return]


def gather(value: T) -> list[T]:
    """Every rank's `value`, in rank order, on every rank. Collective."""
    import torch.distributed as dist

    if not _group_is_up() or world_size() == 1:
        return [value]
    box: list[Any] = [None] * world_size()
    dist.all_gather_object(box, value)
    return box


@contextmanager
def shared_errors() -> Iterator[None]:
    """Make an error of any rank one of every rank, so that none waits for a rank that gave up.

    Collective; the block inside must not be. Errors of ours and of the operating system are shared: a
    `UserError` of any rank wins, then a `DoNotRequeueError`, then what is left, as a `RunError`.
    """
    own: tuple[int, str] | None = None
    try:
        yield
    except (UserError, RunError, OSError) as error:
        kind = next((place for place, one in enumerate(_SHARED) if isinstance(error, one)), len(_SHARED) - 1)
        own = kind, str(error)
    found = {one for one in gather(own) if one}
    if found:
        kind = min(kind for kind, _ in found)
        shared = _SHARED[kind]("\n".join(sorted(text for other, text in found if other == kind)))
        shared.add_note(ON_EVERY_RANK)
        raise shared

"""Shards fetched before they are read, in a thread that ends when there is nothing left to fetch."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from camembert_bio.errors import RunError, UserError
from camembert_bio.log import logger
from camembert_bio.shards.cache import Entry, ShardCache


class Ahead:
    """Keeps what will be read next in a node's cache.

    What it cannot fetch is told once and left to the one who reads it. Several processes of a node that want the same
    shards fetch different ones of them at a time.
    """

    def __init__(self, cache: ShardCache) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._wanted: Sequence[Entry] = ()
        self._is_done = True
        self._is_running = False

    def want(self, entries: Sequence[Entry]) -> None:
        """Fetch shards in this order, and keep those of them that are there; what was wanted before is not any more.

        Costs nothing when called again with the same sequence.
        """
        with self._lock:
            if entries is self._wanted and self._is_done:
                return
            self._wanted, self._is_done = entries, False
            if not self._is_running:
                self._is_running = True
                # A daemon: a transfer must not keep a process that has ended.
                threading.Thread(target=self._run, name="shards", daemon=True).start()

    def _run(self) -> None:
        wanted: Sequence[Entry] | None = None
        while True:
            with self._lock:
                if wanted is self._wanted:
                    self._is_running = False
                    return
                wanted = self._wanted
            if self._fetch(wanted):
                with self._lock:
                    self._is_done = wanted is self._wanted

    def _fetch(self, wanted: Sequence[Entry]) -> bool:
        """Fetch what is wanted until something else is; whether nothing is left to try again."""
        keep = {entry.sha256 for entry in wanted}
        has_room = True
        for entry in wanted:
            if self._wanted is not wanted:
                return False
            try:
                has_room &= self._cache.fetch_ahead(entry, keep)
            except (UserError, RunError, OSError) as error:
                logger.warning("not fetched ahead: %s", error)
        return has_room

"""Holds a shard of a cache, for tests: prints `ready`, then `held`, then waits for the end of its input."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

from camembert_bio.shards import remote
from camembert_bio.shards.cache import ShardCache

if __name__ == "__main__":
    address, folder, num_bytes, entry = sys.argv[1:]
    remote.BLOCK_BYTES = 1000
    cache = ShardCache(remote.Remote(address, retries=0), Path(folder), int(num_bytes))
    print("ready", flush=True)
    file = cache.hold(SimpleNamespace(**json.loads(entry)))
    print("held", flush=True)
    sys.stdin.read()

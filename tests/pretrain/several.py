"""Runs several recipes one after the other in one job, for tests: the imports are most of a start."""

import json
import sys
from pathlib import Path

from camembert_bio import config, log
from camembert_bio.pretrain.engine import leave_distributed
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.recipe import Pretrain

if __name__ == "__main__":
    log.configure()
    codes = [pretrain(config.build(Pretrain, values)) for values in json.loads(Path(sys.argv[1]).read_text())]
    leave_distributed()
    sys.exit(max(codes))

import pytest
import torch
from processes import run

DEVICE = """
import torch
from camembert_bio import ranks
from camembert_bio.pretrain.engine import init_distributed, leave_distributed
init_distributed()
assert torch.cuda.current_device() == ranks.local_rank(), torch.cuda.current_device()
assert ranks.gather(ranks.rank()) == [0, 1]
leave_distributed()
"""


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_each_rank_has_its_own_device_before_the_first_object_collective():
    run(["-c", DEVICE], 2)

import random

import pytest

from camembert_bio.corpus.dedup import digest, split_of


@pytest.mark.parametrize(
    ("a", "b", "are_equal"),
    [
        ("Le Patient", "le patient", True),
        ("ÉTÉ", "été", True),
        ("le patient\n\nva bien", "le patient va  bien", True),
        ("été", "ete", False),
        ("2,5 mg", "25 mg", False),
    ],
)
def test_equal_up_to_case_and_white_space(a, b, are_equal):
    assert (digest(a) == digest(b)) is are_equal


def test_the_held_out_share():
    keys = [random.Random(i).randbytes(16) for i in range(20_000)]
    share = sum(split_of(key, 0.05) == "validation" for key in keys) / len(keys)
    assert share == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / 20_000) ** 0.5)
    assert all(split_of(key, 0) == "train" for key in keys)


def test_a_smaller_fraction_holds_out_a_subset():
    keys = [digest(str(i)) for i in range(2000)]
    small, large = ({key for key in keys if split_of(key, f) == "validation"} for f in (0.02, 0.1))
    assert small and small < large

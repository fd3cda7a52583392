import pytest

from camembert_bio.errors import Mistakes, RunError, UserError


def test_mistakes_are_raised_together():
    mistakes = Mistakes()
    for name in ("one", "two"):
        with mistakes.noted():
            raise UserError(f"mistake {name}:\nits detail")
    with mistakes.noted():
        pass
    with pytest.raises(UserError) as raised:
        mistakes.raise_any("it cannot start:")
    expected = "it cannot start:\n  - mistake one:\n    its detail\n  - mistake two:\n    its detail"
    assert str(raised.value) == expected


def test_a_single_mistake_needs_no_list_and_none_is_no_error():
    mistakes = Mistakes()
    mistakes.raise_any("it cannot start:")
    with mistakes.noted():
        raise UserError("the only one")
    with pytest.raises(UserError, match=r"^the only one$"):
        mistakes.raise_any("it cannot start:")


def test_another_failure_is_not_a_mistake_of_the_user():
    with pytest.raises(RunError, match="the disk"), Mistakes().noted():
        raise RunError("the disk")

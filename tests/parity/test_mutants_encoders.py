"""Each mistake of `mutants_encoders` is noticed, and nothing is noticed without it."""

import pytest
from mutants_encoders import MUTANTS, mutated


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.module.removeprefix('mmcourse.')}: {m.name}")
def test_mutant_is_killed(mutant):
    with mutated(mutant), pytest.raises(AssertionError):
        mutant.check()


def test_checks_pass_without_mutants():
    for check in {m.killer: m for m in MUTANTS if isinstance(m.killer, str)}.values():
        check.check()

"""Every formula that is taught thrice is the same three times."""

import pytest

from mmcourse.parity import compare, formulas


@pytest.mark.parametrize("formula", formulas(), ids=lambda f: f.name)
def test_rooms_agree(formula):
    for report in compare(formula):
        assert not report.faults(), f"{report.name}, {report.pair}: {'; '.join(report.faults())}"

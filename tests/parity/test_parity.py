"""Every formula that is taught agrees in the three backends, and as close as the page in the documentation says."""

import pytest

from mmcourse.parity import compare, parity_cases
from mmcourse.parity.page import PAGE, bounds, markdown

PROMISED = bounds()
ANEW = f"write {PAGE.name} anew: python -m mmcourse.parity --markdown > mmcourse/parity/{PAGE.name}"


def test_the_page_lists_every_formula():
    wanted = {(f.name, pair) for f in parity_cases() for pair in ("numpy–torch", "torch–keras")}
    assert set(PROMISED) == wanted, ANEW
    assert PAGE.read_text(encoding="utf-8").startswith("\n".join(markdown([]))), ANEW


@pytest.mark.parametrize("formula", parity_cases(), ids=lambda f: f.name)
def test_backends_agree(formula):
    for report in compare(formula):
        assert not report.faults(), f"{report.name}, {report.pair}: {'; '.join(report.faults())}"
        for column, most in PROMISED[report.name, report.pair].items():
            value = getattr(report, column)
            same_gap = value != value and most != most  # NaN: neither measured nor promised
            assert same_gap or value <= most, (
                f"{report.name}, {report.pair}, {column}: {value:.1e} > {most:.0e}; {ANEW}"
            )

"""A service level objective: an error budget, and an alert that rings when it burns too fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["ALERTS", "OBJECTIVE", "Alert", "alerts", "burn_rate", "prometheus_rules"]

OBJECTIVE = 0.995  # of the requests of 30 days are good: answered without error within SLOW seconds
SLOW = 0.1


@dataclass(frozen=True)
class Alert:
    """Rings when the budget burns `rate` times as fast as it may, over a long and over a short window (in minutes)."""

    name: str
    rate: float
    long: int
    short: int


ALERTS = (Alert("page", 14, 60, 5), Alert("ticket", 6, 360, 30))


def burn_rate(bad: float, total: float, objective: float = OBJECTIVE) -> float:
    """Share of bad requests over the share that the objective allows; 1 uses the budget up exactly in its 30 days."""
    return (bad / total) / (1 - objective) if total else 0.0


def alerts(bad: np.ndarray, total: np.ndarray, objective: float = OBJECTIVE) -> list[str]:
    """Which alerts ring now, from counts per minute, the last one now, (minutes,) each.

    The short window makes an alert end soon after the trouble; the long one keeps it quiet about a single bad minute.
    """
    ringing = []
    for alert in ALERTS:
        rates = [burn_rate(bad[-m:].sum(), total[-m:].sum(), objective) for m in (alert.long, alert.short)]
        if min(rates) > alert.rate:
            ringing.append(alert.name)
    return ringing


def prometheus_rules() -> str:
    """The same alerts as a rules file for Prometheus (YAML)."""
    lines = ["groups:", "- name: mmcourse-slo", "  rules:"]
    for alert in ALERTS:
        parts = []
        for minutes in (alert.long, alert.short):
            good = f"rate(mmcourse_good_total[{minutes}m])"
            every = f"rate(mmcourse_answered_total[{minutes}m])"
            parts.append(f"(1 - {good} / {every}) / {1 - OBJECTIVE:.3f} > {alert.rate:g}")
        lines += [f"  - alert: mmcourse_{alert.name}", f"    expr: {' and '.join(parts)}"]
        lines += ["    labels:", f"      severity: {alert.name}"]
    return "\n".join(lines) + "\n"

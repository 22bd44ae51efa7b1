"""Numbers that answer questions: how many, how slow, how full, what came, what was said. Fewer than 100 series."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mmcourse.serve.slo import SLOW

__all__ = ["ROUTES", "Metrics"]

ROUTES = ("predict", "explain", "ask", "other")  # an unknown address must not make a new series
CODES = (200, 400, 404, 405, 408, 413, 415, 422, 499, 500, 501, 503, 504)
SECONDS = (0.005, 0.01, 0.015, 0.025, 0.06, 0.1, 0.25, 1.0, 5.0)  # dense around the objective, 0.1 s
CLASSES = ("negative", "neutral", "positive")


class Metrics:
    """All metrics of one service, in a registry of its own. Labels take values from fixed lists only."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        options: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("mmcourse_requests", "Requests by route and status.", ["route", "code"], **options)
        self.answered = Counter("mmcourse_answered", "Requests for an answer, for the objective.", **options)
        self.good = Counter("mmcourse_good", f"Of these, answered without a fault of ours in {SLOW} s.", **options)
        self.seconds = Histogram("mmcourse_seconds", "Seconds to an answer.", buckets=SECONDS, **options)
        self.batch = Histogram("mmcourse_batch_size", "Requests a batch.", buckets=(1, 2, 4, 8, 16), **options)
        self.inside = Gauge("mmcourse_inside", "Requests that are being worked on.", **options)
        self.waiting = Gauge("mmcourse_waiting", "Requests that wait for the model.", **options)
        self.refused = Counter("mmcourse_refused", "Refused requests by reason.", ["reason"], **options)
        self.present = Counter("mmcourse_present", "Requests with this modality.", ["modality"], **options)
        self.predicted = Counter("mmcourse_predicted", "Answers by label.", ["label"], **options)
        shares = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
        self.confidence = Histogram("mmcourse_confidence", "Largest probability.", buckets=shares, **options)
        for reason in ("busy", "draining"):
            self.refused.labels(reason)
        for label in CLASSES:
            self.predicted.labels(label)

    def done(self, route: str, code: int, seconds: float) -> None:
        """Count a request that is over; `seconds` from the moment when its whole body was here."""
        route = route if route in ROUTES else "other"
        self.requests.labels(route, str(code if code in CODES else code // 100 * 100)).inc()
        if route != "other":
            self.seconds.observe(seconds)
            if 400 <= code < 500:  # the client's fault: neither good nor bad
                return
            self.answered.inc()
            if code < 400 and seconds <= SLOW:
                self.good.inc()

    def said(self, present: list[str], label: str, confidence: float) -> None:
        """Count what came and what was answered."""
        for name in present:
            self.present.labels(name).inc()
        self.predicted.labels(label).inc()
        self.confidence.observe(confidence)

    def page(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)

"""What the service says when it cannot answer: RFC 9457 problem details, one catalog of kinds."""

from __future__ import annotations

__all__ = ["KINDS", "Problem"]

KINDS = {  # kind: (status, title)
    "bad-request": (400, "The request cannot be read"),
    "not-found": (404, "There is nothing at this address"),
    "method-not-allowed": (405, "This address takes another method"),
    "too-slow": (408, "The request took too long to arrive"),
    "too-large": (413, "The request is too large"),
    "unsupported-type": (415, "This kind of content is not taken"),
    "invalid-input": (422, "The input cannot be used"),
    "gone": (499, "The client hung up"),
    "failed": (500, "The service failed"),
    "not-installed": (501, "This is not installed here"),
    "busy": (503, "The service is busy"),
    "deadline": (504, "No answer before the deadline"),
}


class Problem(Exception):
    """An error that goes to the client: kind, one sentence of detail, and the field that it is about."""

    def __init__(self, kind: str, detail: str, field: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.field, self.retry_after = kind, detail, field, retry_after
        self.status, self.title = KINDS[kind]

    def __reduce__(self) -> tuple:
        return Problem, (self.kind, self.detail, self.field, self.retry_after)

    def body(self) -> dict[str, str | int | None]:
        """What is sent, as RFC 9457 has it."""
        found: dict[str, str | int | None] = {"type": f"/problems/{self.kind}", "title": self.title}
        return found | {"status": self.status, "detail": self.detail, "field": self.field}

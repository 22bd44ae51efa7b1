"""The proposal page: seven headings, each with words of one's own below it."""

from __future__ import annotations

import re

HEADINGS = ("Question", "Decision", "Data", "Baseline", "Ceiling", "Risk", "Smallest useful result")
BLANK = "…"  # the template's lines end so; what is still there was not written


def sections(text: str) -> dict[str, str]:
    """{heading of level two, lower-cased: the text below it}, without comments."""
    found: dict[str, str] = {}
    name = None
    for line in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).splitlines():
        if line.startswith("## "):
            name = line[3:].strip().lower()
            found[name] = ""
        elif name is not None:
            found[name] += line + "\n"
    return {name: body.strip() for name, body in found.items()}


def proposal_faults(text: str) -> list[str]:
    """What is missing in a proposal, one sentence each; empty if nothing is."""
    found = sections(text)
    faults = []
    for heading in HEADINGS:
        body = found.get(heading.lower())
        if body is None:
            faults.append(f"a heading “## {heading}” is missing")
        elif len(re.sub(r"\W", "", body)) < 15 or BLANK in body:
            faults.append(f"“{heading}” is not written yet")
    question, ceiling = found.get("question", ""), found.get("ceiling", "")
    decision, baseline = found.get("decision", ""), found.get("baseline", "")
    if question and BLANK not in question and "?" not in question:
        faults.append("“Question” has no question mark: ask one thing that numbers can answer")
    if decision and BLANK not in decision and not re.search(r"\b(if|when|whether|unless)\b", decision, re.IGNORECASE):
        faults.append("“Decision” says what is done, not when: write who does what *if* the answer is yes, and if no")
    if baseline and BLANK not in baseline and "majority" not in baseline.lower():
        faults.append("“Baseline” does not name the majority class")
    if ceiling and BLANK not in ceiling and not re.search(r"\d|human|person|people", ceiling, re.IGNORECASE):
        faults.append("“Ceiling” has neither a number nor a human figure")
    return faults


# ---------------------------------------------------------------- limits
PARTS = ("group", "condition", "number", "consequence")


def limits_of(text: str) -> list[dict[str, str]]:
    """The limits on a page: each list item "- **group**: … · **condition**: … · …" as {part: words}."""
    items = re.findall(r"^[-*] (.*(?:\n(?![-*] |\n|#).*)*)", text, flags=re.MULTILINE)
    found = []
    for item in items:
        pairs = re.findall(r"\*\*(\w+)\*\*:\s*(.*?)(?=\s*[·;]?\s*\*\*\w+\*\*:|\Z)", item, flags=re.DOTALL)
        parts = {name.lower(): " ".join(words.split()) for name, words in pairs}
        if set(parts) & set(PARTS):
            found.append(parts)
    return found


def limits_faults(text: str, groups: list[str]) -> list[str]:
    """What is missing in the limits of a card, one sentence each: each needs group, condition, number, consequence.

    `groups`: names that the report has scores for; a limit is about one of them, or about "everybody".
    """
    limits = limits_of(text)
    if not limits:
        return ["no limit is named: write “- **group**: … · **condition**: … · **number**: … · **consequence**: …”"]
    faults = []
    for place, limit in enumerate(limits, start=1):
        missing = [part for part in PARTS if not limit.get(part, "").strip(" .") or BLANK in limit[part]]
        faults += [f"limit {place}: **{part}** is missing" for part in missing]
        if "number" not in missing and not re.search(r"\d", limit.get("number", "")):
            faults.append(f"limit {place}: **number** has no digit in it")
        known = [*groups, "everybody"]
        if "group" not in missing and groups and not any(name.lower() in limit["group"].lower() for name in known):
            faults.append(f"limit {place}: “{limit['group']}” is none of the report's groups ({', '.join(groups)})")
    return faults

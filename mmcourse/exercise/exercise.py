"""An exercise as data: what it asks, how its inputs are drawn, what is right, and each mistake with its message.

Everything else follows from it: the notebook with blanks and with solutions, the public check, the hidden tests,
a student's own numbers, the points, and the tests of the exercise itself (`mmcourse.exercise.verify`).
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mmcourse.exercise.clues import clues
from mmcourse.exercise.compare import copied
from mmcourse.exercise.memo import remembering
from mmcourse.exercise.mutants import Written, make_mutant
from mmcourse.exercise.parts import Draw, Part, drawn_options, unknown_options
from mmcourse.exercise.probe import Probed, assert_close_probed, format_use, matches_probed
from mmcourse.exercise.reference import Comparison, Unexplained, check_against_reference, differs
from mmcourse.exercise.statement import Row, checked_rows
from mmcourse.exercise.verdict import CheckFailed

OWN_SEEDS = range(1, 201)  # a student's own numbers come from one of these
PUBLIC_ROUNDS = 20  # draws of each part, until every mistake shows
HIDDEN_ROUNDS, MORE_HIDDEN_ROUNDS = 10, 100  # the same for hidden parts, then for a mistake that shows in none


@dataclass(frozen=True)
class Mistake:
    """A message, and all the ways to make the mistake that it names."""

    message: str
    written: tuple[Written, ...]


@dataclass
class Exercise:
    """One exercise. Authors write `exercise(...)`; see there for the fields."""

    id: str
    reference: Callable
    title: str
    points: int
    difficulty: int
    minutes: int
    statement: tuple[Row, ...]
    hints: tuple[str, ...]
    parts: tuple[Part, ...]
    draw: Draw | None
    mistakes: tuple[Mistake, ...]
    praise: str = ""
    own: Mapping[str, Any] | Callable[[np.random.Generator], tuple] | None = None
    own_says: str = ""
    judge: Callable[[Callable, tuple], None] | None = None
    starter: str = ""
    constant: Mapping[str, str] = field(default_factory=dict)
    framework: str = ""
    use: Callable | None = None
    seconds: float = 20
    settings: Mapping[str, Any] = field(default_factory=dict)
    right: list[Callable] = field(default_factory=list)

    @property
    def lesson(self) -> str:
        """Slug of its lesson."""
        return self.id.split(".")[0]

    @property
    def name(self) -> str:
        """The name that the learner's answer has in the notebook."""
        return self.reference.__name__

    def counts(self) -> tuple[int, int, int]:
        """How many parts, mistakes (with a message of their own) and statement rows (that ask for something) it has."""
        return len(self.parts), len(self.mistakes), sum(row.kind == "says" for row in self.statement)

    # ------------------------------------------------------------ mistakes
    @cached_property
    def mutants(self) -> list[tuple[Callable, str]]:
        """(answer with the mistake, message) of every way to make every mistake, in order."""
        return [
            (self.kept(make_mutant(self.reference, written)), mistake.message)
            for mistake in self.mistakes
            for written in mistake.written
        ]

    def fails(self, answer: Callable, args: tuple, part: Part | None = None) -> bool:
        """Whether this answer is wrong on this input; one that raises fails too."""
        judge = (part and part.judge) or self.judge
        if judge:
            try:
                judge(self.usable(answer), args)
            except CheckFailed:
                return True
            return False
        return differs(self.usable(answer), self.expected, args, self.comparison)

    # ------------------------------------------------------------ answers that a probe uses
    def usable(self, answer: Any) -> Any:
        """The answer as a function of inputs: itself, or, where it is a class or a training function, its probe."""
        if self.use is None or isinstance(getattr(answer, "__wrapped__", answer), Probed):
            return answer
        return Probed(answer, self.framework, self.use)

    def kept(self, answer: Callable) -> Callable:
        """One of our own answers as a function of inputs; what a probe brings out is computed once."""
        return answer if self.use is None else remembering(Probed(answer, self.framework, self.use))

    @cached_property
    def expected(self) -> Callable:
        """The reference as a function of inputs."""
        return self.kept(self.reference)

    @cached_property
    def comparison(self) -> Comparison:
        """How results are compared and shown."""
        if self.use is None:
            return Comparison(self.settings, seconds=self.seconds)
        use = self.use
        settings = {"atol": 1e-5, "rtol": 1e-3, **self.settings}
        show = lambda answer, args: format_use(answer, use, args)  # noqa: E731
        return Comparison(settings, assert_close_probed, matches_probed, show, self.seconds)

    # ------------------------------------------------------------ inputs
    def draw_input(self, part: Part, g: np.random.Generator, k: int = 0) -> tuple:
        """The k-th input of a part, as a tuple of arguments."""
        draw = part.draw or self.draw
        if draw is None:
            raise ValueError(f"exercise {self.id}: part {part.name!r} has neither `draw` nor `inputs`")
        return tuple(draw(g, **drawn_options(part.options, g, k)))

    @cached_property
    def public_inputs(self) -> list[tuple[Part, tuple]]:
        """(part, arguments) of the public check: the fewest of each part, then more until every mistake shows."""
        g = np.random.default_rng(zlib.crc32(self.id.encode()))
        inputs: list[tuple[Part, tuple]] = []
        unseen = list(self.mutants)

        def look(part: Part, args: tuple, keep: bool) -> None:
            nonlocal unseen
            still = [mutant for mutant in unseen if not self.fails(mutant[0], args, part)]
            if keep or len(still) < len(unseen):
                inputs.append((part, args))
            unseen = still

        parts = [part for part in self.parts if part.public]
        for part in parts:
            for args in part.inputs or [self.draw_input(part, g, k) for k in range(part.least)]:
                look(part, args, keep=True)
        for k in range(PUBLIC_ROUNDS):
            for part in parts:
                if unseen and part.inputs is None:
                    look(part, self.draw_input(part, g, k), keep=False)
        return inputs

    def hidden_inputs(self, g: np.random.Generator) -> list[tuple[Part, list[tuple]]]:
        """Each hidden part with its inputs: the fewest, those that tell a mistake apart, and more until all show."""
        least = 3 if self.use is None else 2  # frameworks take their time
        parts = [part for part in self.parts if part.hidden]
        inputs: list[list[tuple]] = [[] for _ in parts]
        unseen = [list(self.mutants) for _ in parts]
        draws = [0] * len(parts)

        def look(k: int, args: tuple, keep: bool) -> None:
            still = [mutant for mutant in unseen[k] if not self.fails(mutant[0], args, parts[k])]
            if keep or len(still) < len(unseen[k]):
                inputs[k].append(args)
            unseen[k] = still

        def draw(k: int) -> None:
            args = self.draw_input(parts[k], g, draws[k])
            draws[k] += 1
            look(k, args, keep=len(inputs[k]) < max(least, parts[k].least))

        def is_unseen(mutant: tuple[Callable, str]) -> bool:
            return all(mutant in left for left in unseen)

        for k, part in enumerate(parts):
            for args in part.inputs or []:
                look(k, args, keep=True)
        drawn = [k for k, part in enumerate(parts) if part.inputs is None]
        rounds = HIDDEN_ROUNDS if self.use is None else least
        for k in drawn * rounds:
            if len(inputs[k]) < max(least, parts[k].least) or unseen[k]:
                draw(k)
        for k in drawn * (MORE_HIDDEN_ROUNDS if self.use is None else HIDDEN_ROUNDS):
            if any(map(is_unseen, self.mutants)):
                draw(k)
        return list(zip(parts, inputs, strict=True))

    def own_input(self, seed: int) -> tuple | None:
        """A student's own numbers: arguments drawn from a seed; None where the exercise has none."""
        if self.own is None:
            return None
        g = np.random.default_rng(seed)
        if callable(self.own):
            return tuple(self.own(g))
        assert self.draw is not None
        return tuple(self.draw(g, **drawn_options(dict(self.own), g)))

    def same_result(self, part: Part, inputs: list[tuple]) -> bool:
        """Whether one result is right for all of these inputs, so that it could be guessed."""
        if part.judge or self.judge:
            return len(inputs) == 1
        results = [self.expected(*copied(args)) for args in inputs]
        return all(self.comparison.matches(result, results[0]) for result in results)

    # ------------------------------------------------------------ judging
    def check(self, answer: Any) -> str:
        """The public check: returns the praise, or raises `CheckFailed` with what is wrong."""
        try:
            self.check_on(answer, self.public_inputs)
        except Unexplained as difference:
            inputs = [(part, args) for part, args in self.public_inputs if not (part.judge or self.judge)]
            more = "".join(f"\n{clue}" for clue in clues(self, self.usable(answer), inputs))
            raise CheckFailed(f"{difference}{more}") from None
        return self.praise

    def check_on(self, answer: Any, inputs: Iterable[tuple[Part, tuple]]) -> None:
        """Hold an answer to the exercise on these inputs."""
        inputs = list(inputs)
        answer = self.usable(answer)
        for part, args in inputs:
            if judge := part.judge or self.judge:
                judge(answer, args)
        compared = [args for part, args in inputs if not (part.judge or self.judge)]
        if compared:
            check_against_reference(answer, self.expected, compared, self.comparison, self.mutants)


def as_tuple(value: Any) -> tuple[Written, ...]:
    """One way to make a mistake, or a list of them, as a tuple."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def make_exercise(
    id: str,
    reference: Callable,
    *,
    title: str,
    points: int,
    difficulty: int,
    minutes: int,
    statement: Sequence[Row],
    hints: Sequence[str],
    parts: Sequence[Part],
    mistakes: Mapping[str, Written | Sequence[Written]],
    draw: Draw | None = None,
    praise: str = "",
    own: Mapping[str, Any] | Callable[[np.random.Generator], tuple] | None = None,
    own_says: str = "",
    judge: Callable[[Callable, tuple], None] | None = None,
    starter: str = "",
    constant: Mapping[str, str] | None = None,
    framework: str = "",
    use: Callable | None = None,
    seconds: float = 20,
    **settings: Any,
) -> Exercise:
    """An exercise from what its author wrote; see `mmcourse.exercise.exercise`."""
    if difficulty not in (1, 2, 3) or points < 1 or minutes < 1:
        raise ValueError(f"exercise {id}: expected difficulty 1-3, points and minutes of at least 1")
    if bool(use) != bool(framework) or framework not in ("", "torch", "keras"):
        raise ValueError(f'exercise {id}: `use=` goes with `framework="torch"` or "keras"')
    if len(hints) < 2:
        raise ValueError(f"exercise {id}: expected two hints or more, got {len(hints)}")
    if len({part.name for part in parts}) != len(parts) or not parts:
        raise ValueError(f"exercise {id}: expected parts with names of their own")
    for one in parts:
        drawn_by = one.draw or draw
        if one.inputs is None and drawn_by and (unknown := unknown_options(drawn_by, one.options)):
            known = ", ".join(list(inspect.signature(drawn_by).parameters)[1:])
            raise ValueError(
                f"exercise {id}, part {one.name!r}: `{drawn_by.__name__}` has no option {', '.join(unknown)}; "
                f"its options are {known or 'none'}"
            )
    return Exercise(
        id,
        reference,
        title,
        points,
        difficulty,
        minutes,
        checked_rows(statement, f"exercise {id}"),
        tuple(hints),
        tuple(parts),
        draw,
        tuple(Mistake(message, as_tuple(written)) for message, written in mistakes.items()),
        praise,
        own,
        own_says,
        judge,
        starter,
        constant or {},
        framework,
        use,
        seconds,
        settings,
    )

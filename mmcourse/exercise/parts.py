"""Parts of an exercise: how the inputs of each are drawn, for the check, the hidden tests and a student's own numbers.

The same `draw` function serves all three, with other random generators.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Draw = Callable[..., tuple]


@dataclass(frozen=True)
class Choice:
    """An option that is drawn anew for each input."""

    values: Sequence[Any]

    def draw(self, g: np.random.Generator) -> Any:
        """One of the values, as a plain Python object."""
        return self.values[int(g.integers(len(self.values)))]


def between(low: int, high: int) -> Choice:
    """A whole number from `low` to `high`, both included."""
    return Choice(range(low, high + 1))


def one_of(*values: Any) -> Choice:
    """One of the values."""
    return Choice(values)


@dataclass(frozen=True)
class InTurn(Choice):
    """An option whose values come one after the other, so that each is met."""


def in_turn(*values: Any) -> InTurn:
    """Each of the values, one input after the other."""
    return InTurn(values)


@dataclass(frozen=True)
class Part:
    """One case that an answer must get right; students see its name in their feedback.

    `options` go to `draw` (the exercise's own, or another for this part); instead of them, `inputs` are fixed ones.
    `public` parts are used by `check`, `hidden` ones in grading; most are both.
    """

    name: str
    weight: float = 1
    options: dict[str, Any] = field(default_factory=dict)
    draw: Draw | None = None
    inputs: Sequence[tuple] | None = None
    judge: Callable[[Callable, tuple], None] | None = None
    advice: str = ""
    public: bool = True
    hidden: bool = True

    @property
    def least(self) -> int:
        """How many inputs it takes to meet every value of its `in_turn` options."""
        return max([1, *(len(value.values) for value in self.options.values() if isinstance(value, InTurn))])


def part(
    name: str,
    /,
    *,
    weight: float = 1,
    draw: Draw | None = None,
    inputs: Sequence[tuple] | None = None,
    judge: Callable[[Callable, tuple], None] | None = None,
    advice: str = "",
    public_only: bool = False,
    hidden_only: bool = False,
    **options: Any,
) -> Part:
    """A part; each further keyword is an option of `draw`: a value, `between(2, 5)`, `one_of(…)` or `in_turn(…)`.

    Raises
    ------
    ValueError
        Options, or `draw`, beside `inputs`: fixed inputs are not drawn, so that nothing would come of them.
    """
    if inputs is not None and (beside := [*options, *(["draw"] if draw else [])]):
        given = ", ".join(f"`{option}=`" for option in beside)
        raise ValueError(
            f"part {name!r}: expected no options of `draw` beside `inputs=`, which are fixed; got {given}; "
            "correct the name, leave it out, or give `draw=` in place of `inputs=`"
        )
    return Part(name, weight, options, draw, inputs, judge, advice, not hidden_only, not public_only)


def unknown_options(draw: Draw, options: dict[str, Any]) -> list[str]:
    """Options that `draw` has no parameter for; its first parameter is the generator."""
    _, *parameters = inspect.signature(draw).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return []
    return [option for option in options if option not in {parameter.name for parameter in parameters}]


def drawn_options(options: dict[str, Any], g: np.random.Generator, k: int = 0) -> dict[str, Any]:
    """The options of the k-th input of a part, with each `Choice` drawn."""

    def one(value: Any) -> Any:
        if isinstance(value, InTurn):
            return value.values[k % len(value.values)]
        return value.draw(g) if isinstance(value, Choice) else value

    return {name: one(value) for name, value in options.items()}

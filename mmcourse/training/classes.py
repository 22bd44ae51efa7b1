"""Checks of class numbers that both frameworks share."""

from __future__ import annotations


def check_known_classes(name: str, known: dict[int, int], asked: dict[int, int]) -> None:
    """Raise ValueError where validation asks for a class that training never shows.

    name : of the training set, as the argument of `fit` is called
    known, asked : how often each label occurs in training and validation, {label: times}
    """
    if missing := [f"{label} ({times} times)" for label, times in asked.items() if label not in known]:
        raise ValueError(
            f"{name}: no sample of class {', '.join(missing)}, which validation has, only {sorted(known)}. "
            "Split by class (stratified), or leave the class out of both"
        )

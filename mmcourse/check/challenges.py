"""For learners: the inputs of an open challenge, and the file that is handed in beside the notebook."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from mmcourse.exercise import find_challenge
from mmcourse.exercise.challenge import MOST_BYTES
from mmcourse.exercise.verdict import CheckFailed
from mmcourse.io import atomic_write

INPUTS = "{id}_inputs.npz"  # what a class hands out, beside the notebook
HAND_IN = "{id}.npz"


def challenge_inputs(id: str, folder: str | Path = ".", *, own: bool = False) -> dict[str, np.ndarray]:
    """The arrays of a challenge: those that your class handed out, where their file lies here, else a draw of your own.

    Parameters
    ----------
    id : "SLUG.challenge"
    folder : where `SLUG.challenge_inputs.npz` is looked for: beside the notebook
    own : your own draw in any case; it is what `check` scores

    Raises
    ------
    ValueError
        There is no such challenge, or the file is damaged.
    """
    it = _found(id)
    path = Path(folder) / INPUTS.format(id=id)
    if own or not path.is_file():
        return it.public().inputs
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:
        raise ValueError(f"{path}: cannot be read ({error}); copy it anew from what your class handed out") from None


def save_hand_in(id: str, answer: Any, folder: str | Path = ".") -> Path:
    """Write what you hand in, `SLUG.challenge.npz`, beside the notebook; hand in that file with it.

    Parameters
    ----------
    id : "SLUG.challenge"
    answer : as for `check`, but made from your class's inputs
    folder : where those inputs are, and where the file is written: beside the notebook

    Raises
    ------
    FileNotFoundError
        The inputs that your class handed out are not there: what you hand in would be made from other ones.
    CheckFailed
        A name, shape or dtype is not what the challenge asks for; the file would be too large; or the answer was made
        from your own draw.
    """
    it = _found(id)
    arrays = it.checked(answer)
    inputs, path = Path(folder) / INPUTS.format(id=id), Path(folder) / HAND_IN.format(id=id)
    if not inputs.is_file():
        raise FileNotFoundError(
            f"{inputs}: not here. What you hand in is made from the inputs that your class handed out: put that file "
            f'beside the notebook and use `challenge_inputs("{id}")`'
        )
    # For inputs that it was not made for, such an answer is no better than chance.
    if it.of_one_draw and it.scored(arrays, it.public()) >= it.to_beat:
        raise CheckFailed(
            f'This was made from your own draw. Your class has other inputs: use those of `challenge_inputs("{id}")`.'
        )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    if len(buffer.getvalue()) > MOST_BYTES:
        size, most = len(buffer.getvalue()) / 2**20, MOST_BYTES >> 20
        raise CheckFailed(f"The file would take {size:.1f} MB, {most} at most: use a smaller dtype, such as float32.")
    atomic_write(path, buffer.getvalue())
    return path


def _found(id: str) -> Any:
    it = find_challenge(id) if str(id).endswith(".challenge") else None
    if it is None:
        raise ValueError(f"There is no challenge {id!r}.")
    return it

"""A chat model of `scenes`: the vision–language model of lesson `vlm`, tuned on dialogues, with two tools.

::

    from mmcourse.torch.chat import ChatModel

    model = ChatModel.from_pretrained("chat")
    chat = model.start(picture)
    chat.ask("What color is the star?")  # Reply(text='red', …)
    chat.ask("What is left of it?")
    chat.ask("How many stars are there? Use the tool.").calls  # [("count stars", "two")]

A dialogue is one text: `<bos> <image> … <image>`, then turns, each a role token, what is said, and `<end>`::

    <user> How many stars are there? Use the tool. <end> <assistant> <call> count stars <end>
    <tool> two <end> <assistant> The tool sees two stars. <end>

What the model writes after `<assistant>` it has learned; the roles, the user's words and the tool's results are written
by the program. A turn that begins with `<call>` is run by the program, never by the model. (Template as in ChatML;
Toolformer: Schick et al. 2023, arXiv 2302.04761; ReAct: Yao et al. 2022, arXiv 2210.03629.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes import dialogues
from mmcourse.datasets.scenes.captions import third
from mmcourse.datasets.scenes.dialogues import ASSISTANT, CALL, END, Turn
from mmcourse.datasets.scenes.world import SHAPES
from mmcourse.torch.captioner import check_words
from mmcourse.torch.clip import prepare_images
from mmcourse.torch.decoding import KVCache
from mmcourse.torch.detection import Detector
from mmcourse.torch.vlm import IMAGE, VLM

LONGEST_REPLY = 28  # pieces; the longest of training has 25
MEMORY = 48  # pieces of earlier turns and the question: no dialogue of training is longer than 110 with its replies
MOST_CALLS = 2  # in one reply
Tool = Callable[[str], str]  # what was called → what the assistant reads


@dataclass(frozen=True)
class Reply:
    """What the assistant says.

    Attributes
    ----------
    text : the last turn
    calls : (call, result) of the tools that it used
    box : (left, top, right, bottom) in pixels of what the tool found, or None
    """

    text: str
    calls: tuple[tuple[str, str], ...] = ()
    box: tuple[float, ...] | None = None

    def __str__(self) -> str:
        return self.text


class ChatModel(VLM):
    """The model of lesson `vlm`, that also writes turns of a dialogue. Its parts and files are those of `VLM`."""

    @classmethod
    def from_vlm(cls, vlm: VLM, max_length: int = 208) -> ChatModel:
        """A copy of a vision–language model with more positions, so that a dialogue fits; the new ones start small."""
        model = cls(**{**vlm.config, "max_length": max_length})
        state = dict(vlm.state_dict())
        old = state["language.positions"]
        more = torch.randn(max_length - len(old), old.shape[1]) * 0.05
        state["language.positions"] = torch.cat([old, more.to(old)])
        model.load_state_dict(state)
        return model

    def start(self, picture: Any, tool: Tool | None = None) -> Chat:
        """A dialogue about one picture (64, 64, 3); tools look with the shipped detector unless `tool` is given."""
        return Chat(self, picture, tool)

    @torch.no_grad()
    def write(self, visual: Tensor, prompts: Sequence[Sequence[int]], most: int = LONGEST_REPLY) -> list[list[int]]:
        """What follows each prompt, greedily, without `<end>`; prompts may have different lengths.

        Parameters
        ----------
        visual : float (b, num_visual, dim), the picture of each
        prompts : ids of b dialogues without the picture, each with `<assistant>` at its end
        most : pieces to write at most

        Raises
        ------
        ValueError
            A prompt leaves no place for so many pieces.
        """
        self.eval()
        b, start = len(prompts), 1 + self.num_visual
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        width = int(lengths.max())
        if start + width + most > self.config["max_length"]:
            raise ValueError(
                f"prompts: at most {self.config['max_length'] - start - most} pieces, got {width}; leave out old turns"
            )
        ids = torch.full((b, start + width), vocabulary.PAD, device=self.device)
        ids[:, 0], ids[:, 1:start] = vocabulary.BOS, IMAGE
        real = torch.ones(b, start + width, dtype=torch.bool, device=self.device)
        for row, prompt in enumerate(prompts):  # the padding stands between the picture and the text
            ids[row, start + width - len(prompt) :] = torch.tensor(prompt, device=self.device)
            real[row, start : start + width - len(prompt)] = False
        positions = (real.cumsum(dim=1) - 1).clamp(min=0)
        keep = torch.ones(start + width, start + width, dtype=torch.bool, device=self.device).tril() & real[:, None]
        keep |= torch.eye(start + width, dtype=torch.bool, device=self.device)  # padding sees itself: never nothing
        cache = KVCache()
        hidden = self.language.hidden_states(self.embed(ids, visual), cache, positions, keep)
        written: list[list[int]] = [[] for _ in prompts]
        going = torch.ones(b, dtype=torch.bool, device=self.device)
        at = positions[:, -1:]
        for _ in range(most):
            piece = self.language.to_logits(hidden[:, -1]).argmax(dim=-1)
            going = going & (piece != END)
            if not going.any():
                break
            for row in going.nonzero()[:, 0].tolist():
                written[row].append(int(piece[row]))
            at = at + 1
            real = torch.cat([real, torch.ones(b, 1, dtype=torch.bool, device=self.device)], dim=1)
            hidden = self.language.hidden_states(self.language.embedding(piece[:, None]), cache, at, real[:, None])
        return written

    def replies(
        self, visual: Tensor, turns: Sequence[Sequence[Turn]], tools: Sequence[Tool] | None = None
    ) -> list[list[Turn]]:
        """The assistant's turns after each list of turns, which ends with the user's; calls are run by `tools`.

        Returns
        -------
        for each: calls, the tool's results, and the last turn, which is no call
        """
        new: list[list[Turn]] = [[] for _ in turns]
        waiting = list(range(len(turns)))
        for attempt in range(MOST_CALLS + 1):
            prompts = [[*dialogues.encode([*turns[row], *new[row]])[0], ASSISTANT] for row in waiting]
            written = self.write(visual[waiting], prompts)
            again = []
            for row, ids in zip(waiting, written, strict=True):
                is_call = ids[:1] == [CALL]
                text = vocabulary.decode(ids[is_call:])
                if not is_call or tools is None or attempt == MOST_CALLS:
                    new[row].append(Turn("assistant", text))
                    continue
                new[row] += [Turn("assistant", text, is_call=True), Turn("tool", tools[row](text))]
                again.append(row)
            waiting = again
            if not waiting:
                break
        return new

    def look(self, images: Any, batch_size: int = 250) -> Tensor:
        """Pictures as `prepare_images` takes them → visual tokens (b, num_visual, dim)."""
        self.eval()
        with torch.no_grad():
            parts = [self.encode_image(part.to(self.device)) for part in prepare_images(images).split(batch_size)]
        return torch.cat(parts)


class Tools:
    """The tools of a picture: `count stars` and `find red star` by the shipped detector, `two plus three` by rule.

    Attributes
    ----------
    box : of what was found last, or None
    """

    def __init__(self, picture: Any, detector: Detector | None = None) -> None:
        self.picture = np.asarray(picture)
        self.detector = Detector.from_pretrained("detection") if detector is None else detector
        self.box: tuple[float, ...] | None = None

    def __call__(self, call: str) -> str:
        """Run a call; "nothing" where there is none such."""
        order, _, rest = call.partition(" ")
        names = {dialogues.name((number, None), True): number for number in range(len(SHAPES))}
        if order == "count" and rest in names:
            (found,) = self.detector.detect(self.picture[None])
            return dialogues.NUMBER_WORDS[min(int((found.labels == names[rest]).sum()), 12)]
        if order == "find":
            return self._find(rest)
        return dialogues.calculate(call)

    def _find(self, phrase: str) -> str:
        """Where it is, if the detector sees a thing of that shape there."""
        try:
            boxes, _ = self.detector.find(self.picture[None], [f"the {phrase}"])
        except ValueError:  # a word that it does not know
            return dialogues.NOTHING
        (seen,) = self.detector.detect(self.picture[None])
        shape = phrase.split()[-1]
        same = [box for box, label in zip(seen.boxes, seen.labels, strict=True) if SHAPES[label] == shape]
        if not any(np.abs(box - boxes[0]).max() < 6 for box in same):
            return dialogues.NOTHING
        left, top, right, bottom = (float(value) for value in boxes[0])
        self.box = (left, top, right, bottom)
        return place_of((left + right) / 2, (top + bottom) / 2)


def place_of(x: float, y: float) -> str:
    """Which ninth of the picture a point is in, in words."""
    across, down = ("left", "", "right")[third(min(x, 63)) + 1], ("top", "", "bottom")[third(min(y, 63)) + 1]
    if across and down:
        return f"in the {down} {across} corner"
    return f"on the {across}" if across else f"at the {down}" if down else "in the middle"


@dataclass
class Chat:
    """A dialogue about one picture that goes on.

    Attributes
    ----------
    turns : what was said so far; beyond MEMORY pieces the oldest turns are forgotten
    """

    model: ChatModel
    picture: Any
    tool: Tool | None = None
    turns: list[Turn] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._visual = self.model.look(self.picture)
        if len(self._visual) != 1:
            raise ValueError(f"picture: expected one (64, 64, 3), got {len(self._visual)}")

    def ask(self, text: str) -> Reply:
        """Say something; the assistant's reply.

        Raises
        ------
        ValueError
            An empty text, one that is too long, or a word that the vocabulary lacks; nothing is remembered of it.
        """
        text = " ".join(str(text).split())
        check_words("text", [text])
        turn = Turn("user", text)
        if len(dialogues.encode([turn])[0]) > MEMORY:
            raise ValueError(f"text: expected at most {MEMORY} pieces, got more; ask for less at once")
        while len(dialogues.encode([*self.turns, turn])[0]) > MEMORY:
            self.turns = _without_oldest(self.turns)
        if self.tool is None:
            self.tool = Tools(self.picture)
        if isinstance(self.tool, Tools):
            self.tool.box = None
        (new,) = self.model.replies(self._visual, [[*self.turns, turn]], [self.tool])
        self.turns += [turn, *new]
        calls = tuple((a.text, b.text) for a, b in zip(new, new[1:], strict=False) if a.is_call)
        return Reply(new[-1].text, calls, getattr(self.tool, "box", None))


def _without_oldest(turns: list[Turn]) -> list[Turn]:
    """Without the first user's turn and what follows it."""
    later = [number for number, turn in enumerate(turns) if number and turn.role == "user"]
    return turns[later[0] :] if later else []

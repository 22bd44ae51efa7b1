"""A vision–language model for `scenes`: CLIP's picture tower → projector → causal language model.

::

    from mmcourse.torch.vlm import VLM

    model = VLM.from_pretrained("vlm")
    model.answer(pictures, "Is there a red star?")  # "yes" or "no", one for each picture
    model.describe(pictures)  # one sentence for each
    model.log_likelihood(pictures, "Is there a red star?", "yes")  # nats, one for each picture

The projector turns features of the picture into vectors that stand in the text as words do, in the places of
`<image>`:: `<bos> <image> … <image> <user> is there … <assistant> yes <eos>`. (LLaVA: Liu et al. 2023, arXiv
2304.08485; two layers: arXiv 2310.03744.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcourse.datasets import vocabulary
from mmcourse.torch.attention import scaled_dot_product_attention
from mmcourse.torch.captioner import CachedAttention, check_words
from mmcourse.torch.clip import CLIP, GRID, VisionEncoder, prepare_images
from mmcourse.torch.decoding import KVCache, check_settings, generate
from mmcourse.torch.language_model import LanguageModel
from mmcourse.torch.masks import segment_mask
from mmcourse.torch.model_files import read_model, write_model
from mmcourse.torch.visual_tokens import insert_visual_tokens, merge_patches

IMAGE, USER, ASSISTANT = (vocabulary.id_of(piece) for piece in ("<image>", "<user>", "<assistant>"))
DESCRIBE = "Describe the picture."  # what is asked where a caption is wanted
LONGEST = 60  # pieces of an answer at most
PROJECTORS = ("linear", "mlp", "resampler")


class Resampler(nn.Module):
    """As many tokens as one likes: learned queries attend to the picture's features (Flamingo, arXiv 2204.14198).

    (b, n, in_dim) → (b, num_queries, dim)
    """

    def __init__(self, in_dim: int, dim: int, num_queries: int = 16, num_heads: int = 4) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(num_queries, dim) * 0.5)
        self.enter = nn.Linear(in_dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.attention = CachedAttention(dim, num_heads)
        self.out = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))

    def forward(self, features: Tensor) -> Tensor:
        """Features of the picture → the language model's tokens."""
        k, v = self.attention.keys_and_values(self.norm(self.enter(features)))
        queries = self.queries.expand(len(features), -1, -1)
        found = queries + self.attention.attend(queries, k, v)
        return found + self.out(found)


def make_projector(kind: str, in_dim: int, dim: int) -> nn.Module:
    """ "linear" (LLaVA), "mlp" (LLaVA 1.5) or "resampler": (b, n, in_dim) → (b, m, dim)."""
    if kind == "linear":
        return nn.Linear(in_dim, dim)
    if kind == "mlp":
        return nn.Sequential(nn.Linear(in_dim, dim), nn.GELU(), nn.Linear(dim, dim))
    if kind == "resampler":
        return Resampler(in_dim, dim)
    raise ValueError(f"projector: expected one of {', '.join(PROJECTORS)}, got {kind!r}")


class GatedCrossAttention(nn.Module):
    """Flamingo's way in: between two blocks of a language model, cross-attention to the picture behind a gate.

    x + tanh(gate_1) · attention(x, picture), then x + tanh(gate_2) · feed_forward(x). Both gates begin at 0: then the
    language model is exactly what it was (Alayrac et al. 2022, arXiv 2204.14198).
    """

    def __init__(self, dim: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.cross = CachedAttention(dim, num_heads)
        self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.gates = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor, visual: Tensor) -> Tensor:
        """x (b, n, dim), visual (b, m, dim) → (b, n, dim)."""
        k, v = self.cross.keys_and_values(visual)
        x = x + self.gates[0].tanh() * self.cross.attend(self.norm1(x), k, v)
        return x + self.gates[1].tanh() * self.down(F.gelu(self.up(self.norm2(x))))


class VLM(nn.Module):
    """Picture tower → projector → language model.

    Parameters
    ----------
    dim, num_layers, num_heads, hidden : ints
        Width, blocks, heads and width inside the feed-forward part of the language model.
    vision_dim : int
        Width of the picture's features; 128 for the shipped CLIP's tower.
    projector : "linear", "mlp" or "resampler"
    merge : int
        merge × merge neighboring cells of the 8 × 8 grid become one token: 1, 2, 4 or 8.
    max_length : int
        Most positions of a dialogue, the picture's included.

    Attributes
    ----------
    vision : mmcourse.torch.clip.VisionEncoder
    projector : features → tokens
    language : mmcourse.torch.language_model.LanguageModel
    num_visual : how many tokens a picture has
    """

    def __init__(
        self,
        dim: int = 128,
        num_layers: int = 4,
        num_heads: int = 4,
        hidden: int = 384,
        vision_dim: int = 128,
        projector: str = "mlp",
        merge: int = 1,
        max_length: int = 160,
        vocabulary_size: int | None = None,
    ) -> None:
        super().__init__()
        if merge not in (1, 2, 4, 8):
            raise ValueError(f"merge: expected a divisor of the grid's {GRID} rows, got {merge}")
        size = len(vocabulary.pieces()) if vocabulary_size is None else vocabulary_size
        self.config: dict[str, Any] = {
            "dim": dim,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "hidden": hidden,
            "vision_dim": vision_dim,
            "projector": projector,
            "merge": merge,
            "max_length": max_length,
            "vocabulary_size": size,
        }
        self.vision = VisionEncoder(vision_dim)
        self.projector = make_projector(projector, merge**2 * vision_dim, dim)
        self.language = LanguageModel(size, dim, num_layers, num_heads, hidden, max_length)
        cells = (GRID // merge) ** 2
        self.num_visual: int = len(self.projector.queries) if isinstance(self.projector, Resampler) else cells

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.language.positions.device

    def look_from(self, other: CLIP | Any) -> None:
        """Take a copy of the picture tower of CLIP, or of another model that has one as `vision`."""
        self.vision.load_state_dict(other.vision.state_dict())

    @torch.no_grad()
    def add_grid_positions(self, scale: float = 1.0) -> None:
        """Add a code of row and column to the positions of the visual tokens, `scale` times as large as 1.

        Learned positions start near 0, and the places of a picture's tokens are to be told apart from the first step.

        Raises
        ------
        ValueError
            The projector is a resampler, whose tokens have no place in the picture.
        """
        if isinstance(self.projector, Resampler):
            raise ValueError("add_grid_positions: a resampler's tokens have no place in the picture")
        side = GRID // self.config["merge"]
        self.language.positions[1 : 1 + self.num_visual] += scale * grid_code(side, self.config["dim"]).to(self.device)

    # ------------------------------------------------------------ parts
    def encode_image(self, images: Tensor) -> Tensor:
        """float (b, 3, 64, 64) from 0 to 1 → visual tokens (b, num_visual, dim)."""
        return self.project(self.vision(images))

    def project(self, features: Tensor) -> Tensor:
        """Features of the tower (b, 64, vision_dim) → visual tokens (b, num_visual, dim), each of mean square 1."""
        grid = features.unflatten(1, (GRID, GRID))  # (b, 8, 8, vision_dim)
        tokens = self.projector(merge_patches(grid, self.config["merge"]))
        return F.rms_norm(tokens, tokens.shape[-1:])  # of the same size as the code of `add_grid_positions`

    def embed(self, ids: Tensor, visual: Tensor | None = None) -> Tensor:
        """Pieces int64 (b, n) → vectors (b, n, dim); visual tokens (b, num_visual, dim) replace `<image>`."""
        embeddings = self.language.embedding(ids)
        is_image = ids == IMAGE
        if visual is None:
            if is_image.any():
                raise ValueError("ids: have places for a picture, but no picture came; pass its visual tokens")
            return embeddings
        return insert_visual_tokens(embeddings, is_image, visual.to(embeddings.dtype))

    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        """Teacher forcing: images (b, 3, 64, 64), ids int64 (b, n) → logits (b, n, vocabulary) of each next piece."""
        hidden = self.language.hidden_states(self.embed(ids, self.encode_image(images)), KVCache())
        return self.language.to_logits(hidden)

    def packed_hidden_states(
        self, visual: Tensor, ids: Tensor, segments: Tensor, position_ids: Tensor, prefix: bool = False
    ) -> Tensor:
        """Several dialogues about each picture in one sequence, as `pack` makes it: (b, n) → (b, n, dim).

        Every dialogue gets exactly what it would get alone; the picture is read once.
        """
        keep = segment_mask(segments, prefix)
        return self.language.hidden_states(self.embed(ids, visual), KVCache(), position_ids, keep)

    def step(self, visual: Tensor) -> Callable[[Tensor, KVCache], Tensor]:
        """What `greedy`, `beam_search` and `sample` call: new pieces (b, n), cache → logits (b, vocabulary)."""

        def step(ids: Tensor, cache: KVCache) -> Tensor:
            is_prompt = cache.length == 0  # the only part with places for the picture
            tokens = visual.repeat_interleave(len(ids) // len(visual), dim=0) if is_prompt else None
            hidden = self.language.hidden_states(self.embed(ids, tokens), cache)
            return self.language.to_logits(hidden[:, -1])

        return step

    # ------------------------------------------------------------ use
    @torch.no_grad()
    def answer(
        self,
        images,
        questions: str | Sequence[str],
        method: str = "greedy",
        num_beams: int = 5,
        alpha: float = 0.0,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        max_length: int = LONGEST,
        batch_size: int = 250,
    ) -> list[str]:
        """One answer for each picture.

        Parameters
        ----------
        images : b pictures as `mmcourse.torch.clip.prepare_images` takes them
        questions : b questions, or one for all pictures
        method : "greedy", "beam" (`num_beams`, `alpha`) or "sample" (`temperature`, `top_k`, `top_p`, `seed`)
        max_length : most pieces to write

        Raises
        ------
        ValueError
            For pictures, questions or settings that do not fit, or a word that the vocabulary lacks.
        """
        check_settings(method, max_length, temperature, top_k, top_p)
        self.eval()
        prepared = prepare_images(images)
        prompts = self._prompts(questions, len(prepared))
        generator = None if seed is None else torch.Generator(self.device).manual_seed(seed)
        settings = (num_beams, alpha, temperature, top_k, top_p, generator)
        answers = [""] * len(prepared)
        for rows in _equal_lengths(prompts, batch_size):  # prompts of one length need no padding
            ids = torch.tensor([prompts[row] for row in rows], device=self.device)
            if ids.shape[1] + max_length - 1 > self.config["max_length"]:
                raise ValueError(
                    f"max_length: {ids.shape[1]} pieces of prompt and {max_length} of answer are more than the "
                    f"{self.config['max_length']} positions of this model; ask for less"
                )
            step = self.step(self.encode_image(prepared[rows].to(self.device)))
            written = generate(step, KVCache(), ids, max_length, method, *settings)
            for row, pieces in zip(rows, written.cpu().numpy(), strict=True):
                answers[row] = vocabulary.decode(pieces)
        return answers

    def describe(self, images, method: str = "greedy", **options: Any) -> list[str]:
        """One sentence for each picture; options as in `answer`."""
        return self.answer(images, DESCRIBE, method, **options)

    @torch.no_grad()
    def log_likelihood(
        self, images, questions: str | Sequence[str], answers: str | Sequence[str], batch_size: int = 250
    ) -> Tensor:
        """log p(answer | picture, question) in nats, float64 (b,): the sum over its pieces, the end included.

        Parameters
        ----------
        images : b pictures as `mmcourse.torch.clip.prepare_images` takes them
        questions, answers : b texts each, or one for all pictures

        Raises
        ------
        ValueError
            For an empty text, a word that the vocabulary lacks, or another number of texts than of pictures.
        """
        self.eval()
        prepared = prepare_images(images)
        prompts = self._prompts(questions, len(prepared))
        replies = _one_each("answers", answers, len(prepared))
        check_words("answers", replies)
        rows_of_ids = [
            [*prompt, *vocabulary.encode(reply), vocabulary.EOS] for prompt, reply in zip(prompts, replies, strict=True)
        ]
        found = torch.zeros(len(prepared), dtype=torch.float64)
        for rows in _equal_lengths(rows_of_ids, batch_size):
            ids = torch.tensor([rows_of_ids[row] for row in rows], device=self.device)
            visual = self.encode_image(prepared[rows].to(self.device))
            hidden = self.language.hidden_states(self.embed(ids[:, :-1], visual), KVCache())
            starts = torch.tensor([len(prompts[row]) for row in rows], device=self.device)
            in_answer = torch.arange(1, ids.shape[1], device=self.device) >= starts[:, None]  # (b, n − 1)
            nats = F.cross_entropy(self.language.to_logits(hidden[in_answer]), ids[:, 1:][in_answer], reduction="none")
            totals = torch.zeros(len(rows), dtype=torch.float64, device=self.device)
            owner = in_answer.nonzero()[:, 0]  # whose piece it is
            found[rows] = totals.index_add(0, owner, -nats.double()).cpu()
        return found

    @torch.no_grad()
    def picture_attention(self, image, question: str, answer: str = "") -> Tensor:
        """How much each piece attends to each part of the picture: float (blocks, heads, n, rows, columns).

        n counts the pieces behind the picture, from `<user>` on. The rest of each piece's attention goes to the text.
        Not for a resampler, whose tokens have no place in the picture.
        """
        if isinstance(self.projector, Resampler):
            raise ValueError("picture_attention: a resampler's tokens have no place in the picture")
        self.eval()
        (prompt,) = self._prompts(question, 1)
        ids = torch.tensor([[*prompt, *vocabulary.encode(answer)]], device=self.device)
        x = self.embed(ids, self.encode_image(prepare_images(image).to(self.device)))
        x = x + self.language.positions[: ids.shape[1]]
        maps = []
        cache = KVCache()
        for layer, block in enumerate(self.language.blocks):
            attention = block.attention
            h = block.norm1(x)
            q = attention.split(attention.q_proj(h))
            k, v = attention.keys_and_values(h)
            _, weights = scaled_dot_product_attention(q, k, v, causal=True)  # (1, heads, n, n)
            maps.append(weights[0, :, 1 + self.num_visual :, 1 : 1 + self.num_visual])
            x = block(x, layer, cache)
        side = GRID // self.config["merge"]
        return torch.stack(maps).unflatten(-1, (side, side)).cpu()

    def _prompts(self, questions: str | Sequence[str], number: int) -> list[list[int]]:
        """`<bos>`, places for the picture, `<user>`, question, `<assistant>`: one for each picture."""
        asked = _one_each("questions", questions, number)
        check_words("questions", asked)
        return [prompt_ids(question, self.num_visual) for question in asked]

    # ------------------------------------------------------------ files
    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors` (float16) and `config.json`, each atomically.

        Raises
        ------
        ValueError
            There is LoRA in it, which `from_pretrained` would not know.
        """
        if any("lora_" in name for name in self.state_dict()):
            raise ValueError("model: has LoRA layers; mmcourse.torch.lora.fold_lora(model) merges them first")
        write_model(self, folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path = "vlm") -> VLM:
        """A trained model, in evaluation mode: the name of a shipped one, or a folder that `save_pretrained` wrote.

        Raises
        ------
        FileNotFoundError
            No such folder, or a file in it is missing.
        ValueError
            The weights are damaged, belong to another architecture, or to another vocabulary.
        """
        return read_model(cls, folder)


def grid_code(side: int, dim: int) -> Tensor:
    """Row and column of each cell as sines and cosines, float (side · side, dim), mean square 1.

    The first half of each vector is for the row, the second for the column; in each, dim / 4 wavelengths from two cells
    to twice the side.

    Raises
    ------
    ValueError
        `dim` is not divisible by 4.
    """
    if dim % 4:
        raise ValueError(f"dim: expected a multiple of 4, got {dim}")
    wavelengths = 2 * side ** torch.linspace(0, 1, dim // 4)  # in cells
    angles = torch.arange(side)[:, None] * 2 * math.pi / wavelengths  # (side, dim / 4)
    one_axis = math.sqrt(2) * torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, dim / 2)
    rows = one_axis[:, None].expand(side, side, -1)
    columns = one_axis[None].expand(side, side, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)


# ---------------------------------------------------------------- texts
def question_ids(question: str) -> list[int]:
    """What stands behind the picture: `<user>`, the question, `<assistant>`."""
    return [USER, *vocabulary.encode(question), ASSISTANT]


def prompt_ids(question: str, num_visual: int) -> list[int]:
    """`<bos>`, `num_visual` places for the picture, and the question; the model goes on from here."""
    return [vocabulary.BOS, *[IMAGE] * num_visual, *question_ids(question)]


def pack(
    dialogues: Sequence[Sequence[tuple[Sequence[int], Sequence[int]]]], num_visual: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All dialogues of each picture behind it in one sequence, without any of them seeing another.

    Parameters
    ----------
    dialogues : for each picture, (question, answer) as ids: `question_ids(…)`, and the answer with `<eos>`
    num_visual : visual tokens of a picture

    Returns
    -------
    ids : int64 (b, n), `<bos>`, places for the picture, then the dialogues
    labels : int64 (b, n), the answers; −100 elsewhere, so that nothing else is trained
    segments : int64 (b, n), 0 for the picture, 1, 2, … for the dialogues, −1 for padding
    position_ids : int64 (b, n); each dialogue begins where the picture ends
    """
    start = 1 + num_visual
    longest = start + max((sum(len(q) + len(a) for q, a in texts) for texts in dialogues), default=0)
    shape = (len(dialogues), longest)
    ids = np.full(shape, vocabulary.PAD, np.int64)
    labels = np.full(shape, -100, np.int64)
    segments = np.full(shape, -1, np.int64)
    position_ids = np.zeros(shape, np.int64)
    ids[:, 0] = vocabulary.BOS
    ids[:, 1:start] = IMAGE
    segments[:, :start] = 0
    position_ids[:, :start] = np.arange(start)
    for row, texts in enumerate(dialogues):
        at = start
        for number, (question, answer) in enumerate(texts, 1):
            end, answered = at + len(question), at + len(question) + len(answer)
            ids[row, at:end] = question
            ids[row, end:answered] = answer
            labels[row, end:answered] = answer
            segments[row, at:answered] = number
            position_ids[row, at:answered] = np.arange(start, start + answered - at)
            at = answered
    ids_, labels_, segments_, positions_ = (torch.from_numpy(a) for a in (ids, labels, segments, position_ids))
    return ids_, labels_, segments_, positions_


def _one_each(name: str, texts: str | Sequence[str], number: int) -> list[str]:
    """As many texts as pictures."""
    if isinstance(texts, str):
        return [texts] * number
    if len(texts) != number:
        raise ValueError(f"{name}: expected one for each of {number} pictures, or one string for all; got {len(texts)}")
    return list(texts)


def _equal_lengths(rows_of_ids: Sequence[Sequence[int]], batch_size: int) -> list[list[int]]:
    """Row numbers in batches whose texts have the same length."""
    by_length: dict[int, list[int]] = {}
    for row, ids in enumerate(rows_of_ids):
        by_length.setdefault(len(ids), []).append(row)
    return [
        rows[start : start + batch_size]
        for _, rows in sorted(by_length.items())
        for start in range(0, len(rows), batch_size)
    ]

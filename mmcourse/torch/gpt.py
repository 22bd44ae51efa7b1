"""A small language model of today's kind: a causal Transformer with RMSNorm, rotary positions and SwiGLU, as Llama.

::

    from mmcourse.torch.gpt import CausalLM

    model = CausalLM.from_pretrained("language_model")
    model.generate(["a small red star is", "what"], method="sample", temperature=0.8)
    model.nats(["there are two shapes: a star that is red and a big box. the star is red."])  # −ln p of each piece

The older parts are there to compare with: `norm="layer"`, `positions="learned"`, `feed_forward="gelu"`, `tie=False` is
GPT-2's block without biases. (Llama: Touvron et al. 2023, arXiv 2302.13971; GPT-2: Radford et al. 2019.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcourse.datasets import vocabulary
from mmcourse.datasets.vocabulary import BOS, EOS, PAD
from mmcourse.torch import decoding
from mmcourse.torch.decoding import KVCache
from mmcourse.torch.llama import rms_norm, rotary, swiglu
from mmcourse.torch.model_files import read_model, write_model

SPECIAL = (PAD, BOS, EOS)  # a model's first three labels, so that 0, 1 and 2 mean the same everywhere


class RMSNorm(nn.Module):
    """Each vector divided by the root of the mean of its squares, times a trained weight: (…, dim) → (…, dim)."""

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(…, dim) → (…, dim)."""
        return rms_norm(x, self.weight, self.eps)


class SwiGLU(nn.Module):
    """Feed-forward network with a gate: (…, dim) → (…, dim)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(dim, hidden, bias=False)
        self.up_proj = nn.Linear(dim, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(…, dim) → (…, dim)."""
        return swiglu(x, self.gate_proj.weight, self.up_proj.weight, self.down_proj.weight)


class MLP(nn.Module):
    """GPT-2's feed-forward network: up, GELU, down."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.up_proj = nn.Linear(dim, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(…, dim) → (…, dim)."""
        return self.down_proj(F.gelu(self.up_proj(x)))


class PaddedCache(KVCache):
    """A key–value cache for prompts of different lengths, padded on the left.

    Parameters
    ----------
    num_padding : int64 (b,)
        Padded positions before each prompt: nothing attends to them, and positions are counted after them.
    """

    def __init__(self, num_padding: Tensor) -> None:
        super().__init__()
        self.num_padding = num_padding

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch, in this order."""
        super().select(rows)
        self.num_padding = self.num_padding[rows]


class CausalAttention(nn.Module):
    """Multi-head causal self-attention; with `rotary_base`, queries and keys are rotated by their positions."""

    def __init__(self, dim: int, num_heads: int, rotary_base: float | None) -> None:
        super().__init__()
        self.num_heads, self.rotary_base = num_heads, rotary_base
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(dim, dim, bias=False) for _ in range(4))

    def split(self, x: Tensor) -> Tensor:
        """(b, n, dim) → (b, heads, n, dim / heads)."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor, positions: Tensor, keep: Tensor | None, layer: int, cache: KVCache | None) -> Tensor:
        """x (b, n, dim), new positions (1 or b, n) → (b, n, dim). keep: bool (b, 1, n, m), or None for causal."""
        q, k, v = (self.split(project(x)) for project in (self.q_proj, self.k_proj, self.v_proj))
        if self.rotary_base is not None:  # a key is kept as it was rotated: its position never changes
            q, k = rotary(q, positions, self.rotary_base), rotary(k, positions, self.rotary_base)
        if cache is not None:
            k, v = cache.append(layer, k, v)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=keep, is_causal=keep is None)
        return self.out_proj(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm block: attention, then feed-forward, each added to the residual stream."""

    def __init__(
        self, dim: int, num_heads: int, hidden: int, norm: str, positions: str, feed_forward: str, base: float
    ):
        super().__init__()
        self.norm1, self.norm2 = make_norm(norm, dim), make_norm(norm, dim)
        self.attention = CausalAttention(dim, num_heads, base if positions == "rotary" else None)
        self.mlp = SwiGLU(dim, hidden) if feed_forward == "swiglu" else MLP(dim, hidden)

    def forward(self, x: Tensor, positions: Tensor, keep: Tensor | None, layer: int, cache: KVCache | None) -> Tensor:
        """(b, n, dim) → (b, n, dim)."""
        x = x + self.attention(self.norm1(x), positions, keep, layer, cache)
        return x + self.mlp(self.norm2(x))


def make_norm(norm: str, dim: int) -> nn.Module:
    """`RMSNorm` or, for "layer", layer normalization without a bias."""
    return RMSNorm(dim) if norm == "rms" else nn.LayerNorm(dim, bias=False)


class CausalLM(nn.Module):
    """Pieces → logits of the piece that follows each.

    Parameters
    ----------
    pieces : list of int
        Ids of the course's vocabulary that this model can read and write, `<pad>`, `<bos>`, `<eos>` first: its label i
        is piece `pieces[i]`. A softmax over those that occur, not over 1,280.
    dim, num_layers, num_heads, hidden : ints
        `hidden` is the width inside the feed-forward network.
    norm : "rms" or "layer"
    positions : "rotary" or "learned"
    feed_forward : "swiglu" or "gelu"
    tie : whether the logits use the embedding's weights
    max_length : most positions of a learned table; rotary positions have no table
    base : of the rotary frequencies
    """

    def __init__(
        self,
        pieces: Sequence[int],
        dim: int = 96,
        num_layers: int = 4,
        num_heads: int = 4,
        hidden: int = 256,
        norm: str = "rms",
        positions: str = "rotary",
        feed_forward: str = "swiglu",
        tie: bool = True,
        max_length: int = 256,
        base: float = 10_000.0,
    ) -> None:
        super().__init__()
        check_config(pieces, dim, num_heads, norm, positions, feed_forward)
        self.config: dict[str, Any] = {
            "pieces": list(pieces),
            "dim": dim,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "hidden": hidden,
            "norm": norm,
            "positions": positions,
            "feed_forward": feed_forward,
            "tie": tie,
            "max_length": max_length,
            "base": base,
        }
        self.embedding = nn.Embedding(len(pieces), dim)
        self.positions = nn.Parameter(0.02 * torch.randn(max_length, dim)) if positions == "learned" else None
        self.blocks = nn.ModuleList(
            Block(dim, num_heads, hidden, norm, positions, feed_forward, base) for _ in range(num_layers)
        )
        self.norm = make_norm(norm, dim)
        self.head = None if tie else nn.Linear(dim, len(pieces), bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Embeddings small enough that the first loss is near ln(pieces), and large enough to be heard in the stream.

        With a standard deviation of 0.02, as in GPT-2, our small models learn to copy much later.
        """
        nn.init.normal_(self.embedding.weight, std=0.1)
        if self.head is not None:
            nn.init.normal_(self.head.weight, std=0.1)
        for block in self.blocks:
            for name, weight in block.named_parameters():
                if weight.ndim == 2:
                    scale = 1 / math.sqrt(2 * len(self.blocks)) if "out_proj" in name or "down_proj" in name else 1.0
                    nn.init.normal_(weight, std=scale / math.sqrt(weight.shape[1]))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.weight.device

    def num_weights(self, embedding: bool = False) -> int:
        """Weights of the blocks and the last norm; with `embedding`, all of them."""
        every = sum(weight.numel() for weight in self.parameters())
        if embedding:
            return every
        outside = [self.embedding.weight, self.positions, None if self.head is None else self.head.weight]
        return every - sum(weight.numel() for weight in outside if weight is not None)

    # ------------------------------------------------------------ parts
    def hidden_states(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        """New labels (b, n) → (b, n, dim), before the logits. Their keys and values are added to the cache.

        Raises
        ------
        ValueError
            The text is longer than a learned table of positions.
        """
        past = 0 if cache is None else cache.length
        num_padding = getattr(cache, "num_padding", None)
        columns = torch.arange(past, past + ids.shape[1], device=ids.device)[None]  # (1, n)
        position_ids = columns if num_padding is None else (columns - num_padding[:, None]).clamp(min=0)
        x = self.embedding(ids)
        if self.positions is not None:
            if int(position_ids.max()) >= len(self.positions):
                raise ValueError(f"ids: at most {len(self.positions)} positions, got {int(position_ids.max()) + 1}")
            x = x + self.positions[position_ids]
        keep = attention_keep(past, ids.shape[1], num_padding, ids.device)
        for layer, block in enumerate(self.blocks):
            x = block(x, position_ids, keep, layer, cache)
        return self.norm(x)

    def to_logits(self, hidden: Tensor) -> Tensor:
        """(…, dim) → (…, pieces)."""
        return F.linear(hidden, self.embedding.weight if self.head is None else self.head.weight)

    def forward(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        """Labels int64 (b, n) → logits (b, n, pieces): [:, t] is about the piece after t."""
        return self.to_logits(self.hidden_states(ids, cache))

    def step(self, ids: Tensor, cache: KVCache) -> Tensor:
        """New labels (b, n) → logits (b, pieces) of the piece that follows: what `decoding` asks for."""
        return self.to_logits(self.hidden_states(ids, cache)[:, -1])

    # ------------------------------------------------------------ texts
    def encode(self, text: str) -> list[int]:
        """Labels of a text, `<bos>` first.

        Raises
        ------
        ValueError
            For a piece that this model does not have.
        """
        label = {piece: i for i, piece in enumerate(self.config["pieces"])}
        ids = vocabulary.encode(text)
        if any(piece not in label for piece in ids):
            unknown = [word for word in text.split() if any(i not in label for i in vocabulary.encode(word))]
            word = (unknown or [text])[0]
            raise ValueError(f"text: this model has no piece for {word!r}; see model.config['pieces']")
        return [BOS, *(label[piece] for piece in ids)]

    def decode(self, labels: Sequence[int]) -> str:
        """The text of labels, up to `<eos>`."""
        kept = []
        for label in labels:
            if label == EOS:
                break
            kept.append(self.config["pieces"][label])
        return vocabulary.decode(kept)

    @torch.no_grad()
    def nats(self, texts: Sequence[str], batch_size: int = 128) -> list[Tensor]:
        """−ln p of each piece of each text and of its end: float (pieces + 1,) each.

        Raises
        ------
        ValueError
            One text instead of a list, or a piece that this model does not have.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts: expected a list of texts, got {texts!r}; put one text into a list")
        self.eval()
        return nats_of(self, [[*self.encode(text), EOS] for text in texts], batch_size)

    @torch.no_grad()
    def generate(
        self,
        prompts: Sequence[str],
        max_length: int = 60,
        method: str = "greedy",
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> list[str]:
        """Each prompt, continued by one of `decoding.METHODS`; shorter prompts are padded on the left.

        Raises
        ------
        ValueError
            No prompts, another method, or settings that do not fit.
        """
        self.eval()
        if isinstance(prompts, str) or not len(prompts):
            raise ValueError(f"prompts: expected a list of texts, got {prompts!r}; put one text into a list")
        ids, num_padding = pad_left([self.encode(prompt) for prompt in prompts])
        cache = PaddedCache(num_padding.to(self.device))
        found = decoding.generate(
            self.step, cache, ids.to(self.device), max_length, method, generator=generator, **options
        )
        rows = [[*row[pad:], *new] for row, pad, new in zip(ids.tolist(), num_padding, found.tolist(), strict=True)]
        return [self.decode(row) for row in rows]

    # ------------------------------------------------------------ files
    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors` (float16) and `config.json`, each atomically."""
        write_model(self, folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path = "language_model") -> CausalLM:
        """A trained model, in evaluation mode: the name of a shipped one, or a folder that `save_pretrained` wrote.

        Raises
        ------
        FileNotFoundError
            No such folder, or a file in it is missing.
        ValueError
            The weights are damaged, belong to another architecture, or to another vocabulary.
        """
        return read_model(cls, folder)


# ---------------------------------------------------------------- masks and padding
def attention_keep(past: int, n: int, num_padding: Tensor | None, device: torch.device) -> Tensor | None:
    """Which keys each of n new queries attends to: bool (1 or b, 1, n, past + n), or None for plain causal.

    A padded query attends to itself alone, since a softmax over nothing is not a number.
    """
    if num_padding is None and past == 0:
        return None
    columns = torch.arange(past + n, device=device)
    rows = columns[past:, None]
    causal = columns <= rows  # (n, m)
    if num_padding is None:
        return causal[None, None]
    real = columns >= num_padding[:, None, None]  # (b, 1, m)
    return (causal & real | (columns == rows))[:, None]


def pad_left(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Labels of different lengths → (b, n), the padding first, so that all end together; how much of it, (b,)."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), PAD)
    for number, row in enumerate(rows):
        ids[number, longest - len(row) :] = torch.tensor(row)
    return ids, torch.tensor([longest - len(row) for row in rows])


def pad_right(rows: Sequence[Sequence[int]]) -> Tensor:
    """Labels of different lengths → (b, n), padded at the end: what training takes."""
    ids = torch.full((len(rows), max(map(len, rows))), PAD)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.as_tensor(row)
    return ids


@torch.no_grad()
def nats_of(model: nn.Module, rows: Sequence[Sequence[int]], batch_size: int = 128) -> list[Tensor]:
    """−ln p of each label after the first, by a model of labels (b, n) → logits (b, n, v): float (n − 1,) each."""
    found: list[Tensor] = [torch.zeros(0)] * len(rows)
    by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for start in range(0, len(rows), batch_size):
        chosen = by_length[start : start + batch_size]
        ids = pad_right([rows[i] for i in chosen])
        logits = model(ids[:, :-1])
        nats = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        for i, row in zip(chosen, nats, strict=True):
            found[i] = row[: len(rows[i]) - 1]
    return found


def check_config(pieces: Sequence[int], dim: int, num_heads: int, norm: str, positions: str, feed_forward: str) -> None:
    """A ValueError for settings that make no model."""
    if tuple(pieces[:3]) != SPECIAL:
        raise ValueError(f"pieces: expected {list(SPECIAL)} (<pad>, <bos>, <eos>) first, got {list(pieces[:3])}")
    if dim % num_heads or dim // num_heads % 2:
        raise ValueError(f"dim: expected heads of an even width, got {dim} for {num_heads} heads")
    for name, value, known in (
        ("norm", norm, ("rms", "layer")),
        ("positions", positions, ("rotary", "learned")),
        ("feed_forward", feed_forward, ("swiglu", "gelu")),
    ):
        if value not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")


# ---------------------------------------------------------------- the same model in transformers
LLAMA_NAMES = {
    "norm1": "input_layernorm",
    "norm2": "post_attention_layernorm",
    "attention": "self_attn",
    "out_proj": "o_proj",
}


def to_llama(model: CausalLM) -> Any:
    """`transformers.LlamaForCausalLM` with this model's weights, in evaluation mode; its logits are the same.

    Raises
    ------
    ValueError
        The model has parts that Llama does not have.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = model.config
    if (config["norm"], config["positions"], config["feed_forward"]) != ("rms", "rotary", "swiglu"):
        raise ValueError("model: Llama has norm='rms', positions='rotary' and feed_forward='swiglu'")
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(config["pieces"]),
            hidden_size=config["dim"],
            intermediate_size=config["hidden"],
            num_hidden_layers=config["num_layers"],
            num_attention_heads=config["num_heads"],
            rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": config["base"]},
            tie_word_embeddings=config["tie"],
            max_position_embeddings=config["max_length"],
            pad_token_id=PAD,
            bos_token_id=BOS,
            eos_token_id=EOS,
        )
    )
    weights = {"model.embed_tokens.weight": model.embedding.weight, "model.norm.weight": model.norm.weight}
    for name, weight in model.blocks.named_parameters():
        weights["model.layers." + ".".join(LLAMA_NAMES.get(part, part) for part in name.split("."))] = weight
    weights["lm_head.weight"] = model.embedding.weight if model.head is None else model.head.weight
    llama.load_state_dict({name: weight.detach().clone() for name, weight in weights.items()})
    return llama.eval()

"""A captioner for `scenes`: CLIP's picture tower, and a causal decoder that looks at it while it writes.

::

    from mmcourse.torch.captioner import Captioner

    model = Captioner.from_pretrained("captioning")
    model.caption(pictures)  # one sentence for each
    model.caption(pictures, "beam", num_beams=5, alpha=0.6)
    model.caption(pictures, "sample", temperature=0.7, top_p=0.9, seed=0)
    model.log_likelihood(pictures, ["A red star."])  # nats, one for each pair

(Show and Tell: Vinyals et al. 2015, arXiv 1411.4555; cross-attention: Vaswani et al. 2017, arXiv 1706.03762.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcourse.datasets import vocabulary
from mmcourse.torch.attention import MultiHeadAttention
from mmcourse.torch.clip import CLIP, GRID, VisionEncoder, prepare_images
from mmcourse.torch.decoding import KVCache, check_settings, generate
from mmcourse.torch.model_files import read_model, write_model

LONGEST = 60  # pieces of a caption at most; the grammar's longest has 50
FIRST_BYTE = vocabulary.id_of("<0x00>")


class CachedAttention(MultiHeadAttention):
    """Multi-head attention in two parts: keys and values once, then as many queries as there are."""

    def keys_and_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """(b, m, d_context) → k, v, each (b, heads, m, d / heads)."""
        return self.split(self.k_proj(context)), self.split(self.v_proj(context))

    def attend(self, query: Tensor, k: Tensor, v: Tensor, causal: bool = False, keep: Tensor | None = None) -> Tensor:
        """query (b, n, d), k and v (b, heads, m, d / heads) → (b, n, d); causal: query i sees keys to i + (m − n).

        keep : bool (b, n, m) or None, in place of `causal`: [i, j] True where query i sees key j

        Several texts of one picture share its keys: with b = r · len(k), texts r · i to r · i + r − 1 look at k[i].
        """
        shape = query.shape
        q = self.split(self.q_proj(query.reshape(len(k), -1, shape[-1])))  # (len(k), heads, r · n, d / heads)
        n, m = q.shape[2], k.shape[2]
        mask = None if keep is None else keep[:, None]  # the same for all heads
        if causal and 1 < n < m:
            mask = torch.ones(n, m, dtype=torch.bool, device=q.device).tril(m - n)
        # a single query is the last one and sees everything
        with torch.autocast(q.device.type, enabled=False):  # in bfloat16 its backward pass is slow on processors
            q, k, v = (x.to(self.out_proj.weight.dtype) for x in (q, k, v))
            h = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal and n == m > 1)
        return self.out_proj(h.transpose(1, 2).reshape(shape))


class CaptionBlock(nn.Module):
    """Pre-norm decoder block: causal self-attention, cross-attention to the picture, feed-forward."""

    def __init__(self, dim: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.attention = CachedAttention(dim, num_heads)
        self.cross = CachedAttention(dim, num_heads)
        self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor, layer: int, cache: KVCache) -> Tensor:
        """x (b, n, d), the new positions → (b, n, d). Their keys and values are added to the cache."""
        h = self.norm1(x)
        k, v = cache.append(layer, *self.attention.keys_and_values(h))
        x = x + self.attention.attend(h, k, v, causal=True)
        x = x + self.cross.attend(self.norm2(x), *cache.context[layer])
        return x + self.down(F.gelu(self.up(self.norm3(x))))


class Captioner(nn.Module):
    """Picture tower → grid of features → decoder with cross-attention.

    Parameters
    ----------
    dim, num_layers, num_heads, hidden : ints
        Width, blocks, heads and width inside the feed-forward part of the decoder.
    vision_dim : int
        Width of the grid's features; 128 for the shipped CLIP's tower.
    max_length : int
        Most pieces of a text, `<bos>` and `<eos>` included.

    Attributes
    ----------
    vision : mmcourse.torch.clip.VisionEncoder
    embedding : pieces → vectors; its transpose turns vectors into logits
    """

    def __init__(
        self,
        dim: int = 128,
        num_layers: int = 3,
        num_heads: int = 4,
        hidden: int = 256,
        vision_dim: int = 128,
        max_length: int = 64,
        vocabulary_size: int | None = None,
    ) -> None:
        super().__init__()
        size = len(vocabulary.pieces()) if vocabulary_size is None else vocabulary_size
        self.config: dict[str, Any] = {
            "dim": dim,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "hidden": hidden,
            "vision_dim": vision_dim,
            "max_length": max_length,
            "vocabulary_size": size,
        }
        self.vision = VisionEncoder(vision_dim)
        self.bridge = nn.Linear(vision_dim, dim)
        self.bridge_norm = nn.LayerNorm(dim)
        self.embedding = nn.Embedding(size, dim)
        nn.init.normal_(self.embedding.weight, std=0.05)
        self.positions = nn.Parameter(torch.randn(max_length, dim) * 0.05)
        self.blocks = nn.ModuleList(CaptionBlock(dim, num_heads, hidden) for _ in range(num_layers))
        self.norm = nn.LayerNorm(dim)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.positions.device

    def look_from(self, clip: CLIP) -> None:
        """Take a copy of CLIP's picture tower."""
        self.vision.load_state_dict(clip.vision.state_dict())

    # ------------------------------------------------------------ parts
    def encode_image(self, images: Tensor) -> Tensor:
        """float (b, 3, 64, 64) from 0 to 1 → what the decoder looks at, (b, 64, dim)."""
        return self.bridge_norm(self.bridge(self.vision(images)))

    def start_cache(self, grid: Tensor) -> KVCache:
        """A cache with the picture's keys and values, (b, 64, dim) → one pair per block. Nothing is written yet."""
        return KVCache([block.cross.keys_and_values(grid) for block in self.blocks])

    def hidden_states(self, ids: Tensor, cache: KVCache) -> Tensor:
        """New pieces int64 (b, n) → (b, n, dim), before the logits."""
        start = cache.length
        if start + ids.shape[1] > len(self.positions):
            raise ValueError(
                f"ids: at most {len(self.positions)} pieces, got {start + ids.shape[1]}; shorten the longest text"
            )
        x = self.embedding(ids) + self.positions[start : start + ids.shape[1]]  # (b, n, dim)
        for layer, block in enumerate(self.blocks):
            x = block(x, layer, cache)
        return self.norm(x)

    def to_logits(self, hidden: Tensor) -> Tensor:
        """(…, dim) → (…, vocabulary): how much each piece's embedding agrees."""
        return hidden @ self.embedding.weight.T

    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        """Teacher forcing: images (b, 3, 64, 64), ids int64 (b, n) → logits (b, n, vocabulary) of each next piece."""
        cache = self.start_cache(self.encode_image(images))
        return self.to_logits(self.hidden_states(ids, cache))

    def step(self, ids: Tensor, cache: KVCache) -> Tensor:
        """One decoding step: new pieces int64 (b, n) → logits (b, vocabulary) of the piece after the last."""
        return self.to_logits(self.hidden_states(ids, cache)[:, -1])

    # ------------------------------------------------------------ use
    @torch.no_grad()
    def caption(
        self,
        images,
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
        """One sentence for each picture.

        Parameters
        ----------
        images : as `mmcourse.torch.clip.prepare_images` takes them
        method : "greedy", "beam" (`num_beams`, `alpha`) or "sample" (`temperature`, `top_k`, `top_p`, `seed`)
        max_length : most pieces to write, up to the model's own

        Raises
        ------
        ValueError
            For pictures or settings that do not fit.
        """
        check_settings(method, max_length, temperature, top_k, top_p)
        if max_length >= len(self.positions):
            raise ValueError(f"max_length: this model writes up to {len(self.positions) - 1} pieces, got {max_length}")
        self.eval()
        generator = None if seed is None else torch.Generator(self.device).manual_seed(seed)
        settings = (num_beams, alpha, temperature, top_k, top_p, generator)
        captions: list[str] = []
        for part in prepare_images(images).split(batch_size):
            if not len(part):
                break
            cache = self.start_cache(self.encode_image(part.to(self.device)))
            prompt = torch.full((len(part), 1), vocabulary.BOS, device=self.device)
            ids = generate(self.step, cache, prompt, max_length, method, *settings)
            captions += [vocabulary.decode(row) for row in ids.cpu().numpy()]
        return captions

    @torch.no_grad()
    def log_likelihood(self, images, captions: Sequence[str], batch_size: int = 250) -> Tensor:
        """log p(caption | picture) in nats, float64 (b,): the sum over all pieces, the end included.

        Parameters
        ----------
        images : b pictures as `mmcourse.torch.clip.prepare_images` takes them
        captions : b sentences

        Raises
        ------
        ValueError
            For an empty caption, a word that the vocabulary lacks, or another number of captions than of pictures.
        """
        self.eval()
        prepared = prepare_images(images)
        ids, padding_mask = encode_captions(captions)
        if len(ids) != len(prepared):
            raise ValueError(f"captions: expected one for each of {len(prepared)} pictures, got {len(ids)}")
        totals = []
        for start in range(0, len(ids), batch_size):
            rows = slice(start, start + batch_size)
            labels, real = ids[rows, 1:].to(self.device), padding_mask[rows, 1:].to(self.device)
            logits = self(prepared[rows].to(self.device), ids[rows, :-1].to(self.device))
            nats = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")  # (b, n − 1)
            totals.append(-(nats * real).double().sum(dim=1).cpu())
        return torch.cat(totals) if totals else torch.zeros(0, dtype=torch.float64)

    @torch.no_grad()
    def cross_attention(self, image, caption: str) -> Tensor:
        """Where each block looks while it writes: float (blocks, heads, n, 8, 8), row t as it writes piece t."""
        self.eval()
        ids, _ = encode_captions([caption])
        cache = self.start_cache(self.encode_image(prepare_images(image).to(self.device)))
        x = self.embedding(ids[:, :-1].to(self.device)) + self.positions[: ids.shape[1] - 1]
        maps = []
        for layer, block in enumerate(self.blocks):
            h = block.norm1(x)
            y = x + block.attention.attend(h, *block.attention.keys_and_values(h), causal=True)
            q = block.cross.split(block.cross.q_proj(block.norm2(y)))
            k, _ = cache.context[layer]
            scores = q @ k.transpose(2, 3) / q.shape[3] ** 0.5  # (1, heads, n, 64)
            maps.append(scores.softmax(dim=-1)[0].unflatten(-1, (GRID, GRID)))
            x = block(x, layer, cache)
        return torch.stack(maps).cpu()

    # ------------------------------------------------------------ files
    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors` (float16) and `config.json`, each atomically."""
        write_model(self, folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path = "captioning") -> Captioner:
        """A trained model, in evaluation mode: the name of a shipped one, or a folder that `save_pretrained` wrote.

        Raises
        ------
        FileNotFoundError
            No such folder, or a file in it is missing.
        ValueError
            The weights are damaged, belong to another architecture, or to another vocabulary.
        """
        return read_model(cls, folder)


def encode_captions(captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Captions with `<bos>` and `<eos>`: ids int64 (b, n), padding_mask bool (b, n), True = real.

    Raises
    ------
    ValueError
        For an empty caption, one string in place of a list, or a word that the vocabulary lacks: a captioner has never
        seen the bytes that would stand for it.
    """
    ids, padding_mask = vocabulary.encode_batch(captions)
    check_words("captions", captions)
    return torch.from_numpy(ids), torch.from_numpy(padding_mask)


def check_words(name: str, texts: Sequence[str]) -> None:
    """A ValueError for an empty text or a word that the vocabulary lacks; `name` is what the texts are called."""
    for number, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{name}[{number}]: expected a sentence with at least one word, got {text!r}")
        if _has_bytes(text):
            unknown = [word for word in text.split() if _has_bytes(word)]
            raise ValueError(
                f"{name}[{number}]: the vocabulary has no {(unknown or [text])[0]!r}; "
                "mmcourse.datasets.vocabulary.pieces() lists its words"
            )


def _has_bytes(text: str) -> bool:
    """Whether some of the text has no piece of its own."""
    return any(FIRST_BYTE <= i < FIRST_BYTE + 256 for i in vocabulary.encode(text))

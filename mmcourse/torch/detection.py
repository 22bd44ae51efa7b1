"""A detector for `scenes`: CLIP's picture tower, queries that each find one object, and phrases that point at one.

::

    from mmcourse.torch.detection import Detector

    model = Detector.from_pretrained("detection")
    model.detect(pictures)  # for each picture: boxes, labels, scores
    model.find(pictures, ["the small star left of the blue box"])  # one box for each pair

Every position of the 8 × 8 grid is a query: it says which shape it has found, or "nothing", and a box relative to its
own place. Queries are matched one to one with the objects in training, so no duplicates need to be removed afterwards.
With ``queries="learned"`` they are vectors without a place, as in DETR (Carion et al. 2020, arXiv 2005.12872).

Phrases are read by a Transformer in three parts, what is meant, how it is related, and to what (compositional modular
networks: Hu et al. 2017, arXiv 1611.09978).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes.world import SHAPES
from mmcourse.torch.boxes import cxcywh_to_xyxy, nms
from mmcourse.torch.captioner import check_words
from mmcourse.torch.clip import CLIP, GRID, SIDE, ConvBlock, TextTransformer, VisionEncoder, prepare_images, tokenize
from mmcourse.torch.model_files import read_model, write_model
from mmcourse.torch.transformer import Block, EncoderBlock

CLASSES = SHAPES
NOTHING = len(CLASSES)  # the class of a query that has found no object: the last
QUERIES = ("grid", "learned")
ROLES = ("subject", "relation", "anchor")
GEOMETRY = 32  # width of what is said of the places of two boxes
MOST_ANCHORS = 12  # queries that a phrase may start from, three times as many as a scene has things
USUAL_SIZE = 16 / SIDE  # a box at the start of training, as part of the picture


@dataclass(frozen=True)
class Detections:
    """What was found in one picture, the best score first.

    Attributes
    ----------
    boxes : float32 (n, 4): left, top, right, bottom in pixels
    labels : int64 (n,): number of the shape in CLASSES
    scores : float32 (n,): probability of that shape
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


class FineFeatures(nn.Module):
    """What the grid has lost: for each of its positions, the finer features around it.

    half (b, c, 32, 32), quarter (b, d, 16, 16) → (b, 64, dim)
    """

    def __init__(self, half_channels: int, quarter_channels: int, dim: int) -> None:
        super().__init__()
        self.narrow_half = ConvBlock(half_channels, 16)
        self.narrow_quarter = ConvBlock(quarter_channels, 32)
        # each position sees 24 × 24 pixels around its own 8 × 8
        self.from_half = nn.Conv2d(16, dim // 2, kernel_size=12, stride=4, padding=4)
        self.from_quarter = nn.Conv2d(32, dim // 2, kernel_size=6, stride=2, padding=2)
        self.norm = nn.LayerNorm(dim)

    def forward(self, half: Tensor, quarter: Tensor) -> Tensor:
        found = self.from_half(self.narrow_half(half)), self.from_quarter(self.narrow_quarter(quarter))
        x = torch.cat(found, dim=1)  # (b, dim, 8, 8)
        return self.norm(x.flatten(2).transpose(1, 2)).relu()


class QueryBlock(Block):
    """Pre-norm decoder block of DETR: queries attend to each other, without a mask, then to the picture."""

    def __init__(self, dim: int, num_heads: int, hidden: int) -> None:
        super().__init__(dim, num_heads, hidden)
        self.cross = type(self.attention)(dim, num_heads)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """x (b, q, d), memory (b, m, d) → (b, q, d)."""
        x = self.residual(x, lambda h: self.attention(h), self.norm1)
        x = self.residual(x, lambda h: self.cross(h, memory), self.norm3)
        return self.residual(x, self.feed_forward, self.norm2)


class PhraseHead(nn.Module):
    """How well each query fits a phrase: does it look so, and is it where the phrase says, seen from the anchor?

    Each role (subject, relation, anchor) attends to the words and takes what it needs of them. The subject's and the
    anchor's vectors are compared with the queries by cosine; the relation's vector with where two boxes are.
    """

    def __init__(self, vocabulary_size: int, dim: int, num_layers: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.text = TextTransformer(vocabulary_size, dim, dim, num_layers, num_heads, hidden)
        self.norm = nn.LayerNorm(dim)
        self.roles = nn.Linear(dim, len(ROLES))
        self.subject, self.anchor = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.relation = nn.Linear(dim, GEOMETRY)
        self.look = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.geometry = nn.Sequential(nn.Linear(4, GEOMETRY), nn.ReLU())
        self.has_relation = nn.Linear(dim, 1)
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def read(self, ids: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        """ids int64 (b, n), padding_mask bool (b, n) → a vector for each role (b, 3, d), role weights (b, 3, n)."""
        words = self.norm(self.text.forward_features(ids, padding_mask))  # (b, n, d)
        scores = self.roles(words).transpose(1, 2)  # (b, 3, n)
        weights = scores.masked_fill(~padding_mask[:, None], -torch.inf).softmax(dim=-1)
        return weights @ words, weights

    def forward(self, queries: Tensor, boxes: Tensor, objectness: Tensor, ids: Tensor, padding_mask: Tensor) -> Tensor:
        """Log scores, not normalized, (b, q): the query of the thing that is meant has the largest.

        queries : (b, q, d); boxes : (b, q, 4), cxcywh as parts of the picture; objectness : (b, q), log p(something)
        ids, padding_mask : one phrase for each picture
        """
        subject, relation, anchor = self.read(ids, padding_mask)[0].unbind(dim=1)  # each (b, d)
        look = F.normalize(self.look(queries), dim=-1)  # (b, q, d)
        scale = self.log_scale.exp()
        is_subject = scale * (look @ F.normalize(self.subject(subject), dim=-1)[..., None])[..., 0]  # (b, q)
        is_anchor = scale * (look @ F.normalize(self.anchor(anchor), dim=-1)[..., None])[..., 0]
        # where each query is, seen from the few that have found something
        some = objectness.topk(min(MOST_ANCHORS, objectness.shape[1]), dim=1).indices  # (b, a)
        p_anchor = (is_anchor + objectness).gather(1, some).softmax(dim=-1)  # (b, a)
        center = boxes[..., :2]
        offset = 4 * (center[:, :, None] - center.gather(1, some[..., None].expand(-1, -1, 2))[:, None])  # (b, q, a, 2)
        where = self.geometry(torch.cat([offset, offset.abs()], dim=-1))  # (b, q, a, GEOMETRY)
        log_p = F.logsigmoid(where @ self.relation(relation)[:, None, :, None])[..., 0]  # (b, q, a): i is related to j
        related = torch.logsumexp(log_p + p_anchor.clamp(min=1e-9).log()[:, None], dim=-1)  # (b, q)
        return is_subject + objectness + self.has_relation(relation).sigmoid() * related


class Detector(nn.Module):
    """Picture tower → queries → a class and a box each; and which of them a phrase means.

    Parameters
    ----------
    dim, num_layers, num_heads, hidden : ints
        Width, blocks, heads, and width inside the feed-forward part, of the queries' Transformer.
    queries : "grid" or "learned"
        A query at each position of the grid, whose box is relative to that place; or `num_queries` learned vectors that
        look for their objects by cross-attention.
    num_queries : int
        For "learned"; the grid has 64.
    fine : bool
        Whether the queries of the grid get finer features as well.
    text_layers : int
        Blocks that read a phrase; 0 for a detector without phrases.

    Attributes
    ----------
    vision : mmcourse.torch.clip.VisionEncoder
    """

    def __init__(
        self,
        dim: int = 128,
        num_layers: int = 1,
        num_heads: int = 4,
        hidden: int = 256,
        queries: str = "grid",
        num_queries: int = GRID * GRID,
        fine: bool = True,
        text_layers: int = 2,
        vocabulary_size: int | None = None,
    ) -> None:
        super().__init__()
        if queries not in QUERIES:
            raise ValueError(f"queries: expected one of {', '.join(QUERIES)}, got {queries!r}")
        if queries == "grid" and num_queries != GRID * GRID:
            raise ValueError(
                f"num_queries: the grid has {GRID * GRID}, got {num_queries}; queries='learned' takes any number"
            )
        if num_queries < 1:
            raise ValueError(f"num_queries: expected 1 or more, got {num_queries}")
        size = len(vocabulary.pieces()) if vocabulary_size is None else vocabulary_size
        self.config: dict[str, Any] = {
            "dim": dim,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "hidden": hidden,
            "queries": queries,
            "num_queries": num_queries,
            "fine": fine,
            "text_layers": text_layers,
            "vocabulary_size": size,
        }
        self.vision = VisionEncoder(dim)
        self.bridge = nn.Linear(dim, dim)
        self.fine = FineFeatures(32, 96, dim) if fine else None
        if queries == "grid":
            self.blocks = nn.ModuleList(EncoderBlock(dim, num_heads, hidden) for _ in range(num_layers))
            self.register_buffer("centers", grid_centers(), persistent=False)  # (64, 2)
        else:
            self.blocks = nn.ModuleList(QueryBlock(dim, num_heads, hidden) for _ in range(num_layers))
            self.query_vectors = nn.Parameter(torch.randn(num_queries, dim) * 0.5)
        self.norm = nn.LayerNorm(dim)
        self.to_class = nn.Linear(dim, len(CLASSES) + 1)
        self.to_box = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 4))
        self.phrases = PhraseHead(size, dim, text_layers, num_heads, hidden) if text_layers else None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.to_class.weight.device

    def look_from(self, clip: CLIP) -> None:
        """Take a copy of CLIP's picture tower, and of its text tower to read phrases."""
        self.vision.load_state_dict(clip.vision.state_dict())
        if self.phrases is not None:
            known = {name: value for name, value in clip.text.state_dict().items() if not name.startswith("out.")}
            self.phrases.text.load_state_dict(known, strict=False)

    # ------------------------------------------------------------ parts
    def encode_image(self, images: Tensor) -> Tensor:
        """float (b, 3, 64, 64) from 0 to 1 → queries that have looked at the picture, (b, q, dim)."""
        half, quarter, grid = self.vision.pyramid(images)
        x = self.bridge(grid)  # (b, 64, dim)
        if self.fine is not None:
            x = x + self.fine(half, quarter)
        if self.config["queries"] == "grid":
            for block in self.blocks:
                x = block(x)
            return self.norm(x)
        queries = self.query_vectors.expand(len(x), -1, -1)
        for block in self.blocks:
            queries = block(queries, x)
        return self.norm(queries)

    def predict(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """(b, q, dim) → logits (b, q, classes + 1), boxes (b, q, 4): cxcywh as parts of the picture."""
        raw = self.to_box(queries)
        if self.config["queries"] == "grid":
            center = self.centers + raw[..., :2] / GRID
        else:
            center = raw[..., :2].sigmoid()
        size = USUAL_SIZE * raw[..., 2:].clamp(-4, 2).exp()
        return self.to_class(queries), torch.cat([center, size], dim=-1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """float (b, 3, 64, 64) from 0 to 1 → logits (b, q, classes + 1), boxes (b, q, 4), cxcywh from 0 to 1."""
        return self.predict(self.encode_image(images))

    def phrase_scores(self, queries: Tensor, ids: Tensor, padding_mask: Tensor) -> Tensor:
        """Log scores (b, q) of phrase i on picture i. What is found, and where, is taken as given: no gradient."""
        if self.phrases is None:
            raise ValueError("text_layers: this detector was made without phrases; make one with text_layers=2")
        with torch.no_grad():
            logits, boxes = self.predict(queries)
            objectness = 1 - logits.softmax(dim=-1)[..., NOTHING]
        return self.phrases(queries, boxes, objectness.clamp(min=1e-6).log(), ids, padding_mask)

    # ------------------------------------------------------------ use
    @torch.no_grad()
    def detect(
        self,
        images,
        threshold: float = 0.5,
        nms_threshold: float | None = None,
        whole_pixels: bool = True,
        batch_size: int = 250,
    ) -> list[Detections]:
        """What is in each picture.

        Parameters
        ----------
        images : as `mmcourse.torch.clip.prepare_images` takes them
        threshold : least score; 0 keeps every query, as average precision wants it
        nms_threshold : None, or the IoU above which the worse of two boxes of a class is dropped. A model that was
            matched one to one does not need it.
        whole_pixels : whether to round the boxes: a thing begins and ends at whole pixels
        """
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold: expected a probability from 0 to 1, got {threshold}")
        if nms_threshold is not None and not 0 <= nms_threshold <= 1:
            raise ValueError(f"nms_threshold: expected None or an IoU from 0 to 1, got {nms_threshold}")
        self.eval()
        found = []
        for part in prepare_images(images).split(batch_size):
            if not len(part):
                break
            logits, boxes = self(part.to(self.device))
            p, labels = logits.softmax(dim=-1)[..., :NOTHING].max(dim=-1)  # (b, q)
            corners = to_pixels(boxes, whole_pixels)
            for of_picture in zip(corners, labels, p, strict=True):
                found.append(select(*of_picture, threshold, nms_threshold))
        return found

    @torch.no_grad()
    def find(
        self, images, phrases: Sequence[str], whole_pixels: bool = True, batch_size: int = 250
    ) -> tuple[np.ndarray, np.ndarray]:
        """The thing that a phrase means: phrase i in picture i.

        Parameters
        ----------
        images : b pictures as `mmcourse.torch.clip.prepare_images` takes them
        phrases : b phrases, as `mmcourse.datasets.scenes.referring` says them

        Returns
        -------
        boxes : float32 (b, 4), left, top, right, bottom in pixels
        p : float32 (b,), the share of this query among all

        Raises
        ------
        ValueError
            For an empty phrase, a word that the vocabulary lacks, or another number of phrases than of pictures.
        """
        self.eval()
        prepared = prepare_images(images)
        if len(phrases) != len(prepared) or isinstance(phrases, str):
            got = "one string" if isinstance(phrases, str) else len(phrases)
            raise ValueError(f"phrases: expected one for each of {len(prepared)} pictures, got {got}")
        check_words("phrases", phrases)
        ids, padding_mask = tokenize(phrases)
        found, shares = [], []
        for start in range(0, len(prepared), batch_size):
            rows = slice(start, start + batch_size)
            queries = self.encode_image(prepared[rows].to(self.device))
            scores = self.phrase_scores(queries, ids[rows].to(self.device), padding_mask[rows].to(self.device))
            p, best = scores.softmax(dim=-1).max(dim=-1)  # (b,)
            _, boxes = self.predict(queries)
            found.append(to_pixels(boxes[torch.arange(len(best)), best], whole_pixels).cpu())
            shares.append(p.cpu())
        if not found:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        return torch.cat(found).numpy(), torch.cat(shares).numpy()

    # ------------------------------------------------------------ files
    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors` (float16) and `config.json`, each atomically."""
        write_model(self, folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path = "detection") -> Detector:
        """A trained model, in evaluation mode: the name of a shipped one, or a folder that `save_pretrained` wrote.

        Raises
        ------
        FileNotFoundError
            No such folder, or a file in it is missing.
        ValueError
            The weights are damaged, belong to another architecture, or to another vocabulary.
        """
        return read_model(cls, folder)


def grid_centers() -> Tensor:
    """The middle of each position of the grid, row by row: (64, 2) as x, y from 0 to 1."""
    middle = (torch.arange(GRID) + 0.5) / GRID
    y, x = torch.meshgrid(middle, middle, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=-1)


def to_pixels(boxes: Tensor, whole_pixels: bool = True) -> Tensor:
    """cxcywh from 0 to 1 → left, top, right, bottom in pixels, inside the picture."""
    corners = (SIDE * cxcywh_to_xyxy(boxes)).clamp(0, SIDE)
    return corners.round() if whole_pixels else corners


def select(boxes: Tensor, labels: Tensor, p: Tensor, threshold: float, nms_threshold: float | None) -> Detections:
    """The detections of one picture, from all its queries: boxes (q, 4) xyxy, labels (q,), p (q,)."""
    keep = p >= threshold
    if nms_threshold is not None:
        for label in labels[keep].unique():
            rows = (keep & (labels == label)).nonzero()[:, 0]
            keep[rows] = nms(boxes[rows], p[rows], nms_threshold)
    order = keep.nonzero()[:, 0]
    order = order[p[order].argsort(descending=True, stable=True)]
    return Detections(boxes[order].cpu().numpy(), labels[order].cpu().numpy(), p[order].cpu().numpy())


def dense_matching(boxes: Tensor, num_objects: Tensor | None = None) -> Tensor:
    """One to many, as detectors before DETR: every position of the grid inside an object is to find that object.

    A position inside several belongs to the smallest. Such a detector says each object several times; non-maximum
    suppression (`detect(…, nms_threshold=0.5)`) has to choose. (FCOS: Tian et al. 2019, arXiv 1904.01355.)

    Parameters
    ----------
    boxes : float (b, m, 4), cxcywh of the objects as parts of the picture
    num_objects : int (b,), how many of the m are real, the first ones; None: all

    Returns
    -------
    matched : int64 (b, 64), for each position the number of its object, −1 for "nothing"
    """
    corners = cxcywh_to_xyxy(boxes)  # (b, m, 4)
    centers = grid_centers().to(boxes)[None, :, None]  # (1, 64, 1, 2)
    inside = ((centers > corners[:, None, :, :2]) & (centers < corners[:, None, :, 2:])).all(dim=-1)  # (b, 64, m)
    # an object between all centers belongs to the nearest
    distance = (centers - boxes[:, None, :, :2]).square().sum(dim=-1)  # (b, 64, m)
    nearest = distance == distance.min(dim=1, keepdim=True).values
    inside = inside | (nearest & ~inside.any(dim=1, keepdim=True))
    if num_objects is not None:
        inside = inside & (torch.arange(boxes.shape[1], device=boxes.device) < num_objects[:, None])[:, None]
    area = (boxes[..., 2] * boxes[..., 3])[:, None].expand_as(inside)
    smallest, matched = area.masked_fill(~inside, torch.inf).min(dim=-1)
    return matched.masked_fill(smallest.isinf(), -1)

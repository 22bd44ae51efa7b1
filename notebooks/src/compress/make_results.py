"""Long runs of lesson compress.

- `student`: the small student of the ladder, taught by the exact posterior; writes `data/models/student`;
- `ladder`: both models on every rung: answers, sizes and times; and the same file with faulty pre-processing;
- `torchao`: the small model with torchao's int8 weights, beside eager; needs the package torchao;
- `memory`: peak megabytes of a process that answers one message, on each rung of both ladders;
- `widths`: float32 against int8 in ONNX Runtime, by width and batch size;
- `bits`: weights of 8 to 2 bits, per tensor and per channel; quantization-aware training and its control, five seeds;
- `pruning`: weights and units removed, with and without further training, five seeds;
- `distill`: students of 100 to 6,000 messages from five kinds of targets, eight seeds, two budgets;
- `distill_cnn`: the student of the ladder from three of them, 6,000 messages, five seeds, two budgets;
- `unrounded`: the control of `bits` before it is rounded, five seeds;
- `pruned_times`: one message with zeros in place of weights, and with fewer hidden units;
- `nodes`: how many operations each int8 file has, by kind;
- `flips`: what the exact posterior says where fewer bits change an answer;
- `photos`: a convolutional network for photographs as int8, where its weights are installed.

`make results compress`: about ten minutes of one processor. `python make_results.py bits` makes only that table.
"""

from __future__ import annotations

import contextlib
import copy
import gzip
import io
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse import datasets, onnx, runtime
from mmcourse.authoring.tables import make_tables
from mmcourse.datasets import data_dir, mood
from mmcourse.evaluate.ladder import Rung, latencies, parity_ladder, peak_memory
from mmcourse.export import (
    export_program,
    export_trimodal,
    float16_onnx,
    float16_weights,
    quantize_onnx,
    quiet_export,
    to_onnx,
)
from mmcourse.pretrained import Trimodal, load_trimodal
from mmcourse.torch.compress import affine_parameters, distillation_loss, fake_quantize, keep_largest
from mmcourse.torch.encoders import AudioEncoder, ImageEncoder, TextEncoder

SEEDS = range(5)
NUMBERS = (100, 300, 1000, 6000)  # of training messages
BUDGETS = (300, 1200)  # training steps of a student in the grid
GRID_SEEDS = range(8)
KINDS = ("labels", "teacher answers", "teacher", "exact answers", "exact")
CALLS = 1000  # of each timing; of a batch, CALLS // 5
ROUNDS = 5  # of single messages, all rungs in turn


# ---------------------------------------------------------------- data and models
def whole(split: str) -> dict:
    """A split as one batch of tensors, with labels and the exact posterior (n, 3)."""
    ds = datasets.load("mood", split)
    batch = next(iter(ds.torch_loader(batch_size=len(ds))))
    batch["posterior"] = torch.from_numpy(posterior(ds)).float()
    return batch


def posterior(ds) -> np.ndarray:
    """p(feeling | the three cues) of each sample, exact: (n, 3)."""
    cues = [np.array([mood.CUES[m].index(c) for c in ds.meta[f"{m}_cue"]]) for m in mood.MODALITIES]
    table = mood.JOINT / mood.JOINT.sum(axis=0)
    return table[:, cues[0], cues[1], cues[2]].T


def rows_of(batch: dict, rows: torch.Tensor) -> dict:
    """Some samples of a batch."""
    return {
        "inputs": {name: value[rows] for name, value in batch["inputs"].items()},
        "padding_mask": {name: value[rows] for name, value in batch["padding_mask"].items()},
    }


@torch.no_grad()
def logits_of(model, batch: dict, size: int = 500) -> torch.Tensor:
    """Logits of a whole split (n, 3); `model` may be any function of a batch."""
    n = len(batch["target"])
    return torch.cat([model(rows_of(batch, torch.arange(i, min(i + size, n)))) for i in range(0, n, size)])


def scores(logits: torch.Tensor, batch: dict) -> dict[str, float]:
    """Accuracy, and the expected accuracy: the exact probability of what was answered, averaged."""
    said = logits.argmax(dim=1)
    return {
        "accuracy": round(float((said == batch["target"]).float().mean()), 4),
        "expected": round(float(batch["posterior"].gather(1, said[:, None]).mean()), 4),
    }


def small_student(seed: int = 0) -> Trimodal:
    """The same architecture with a thirteenth of the weights."""
    torch.manual_seed(seed)
    encoders: dict[str, nn.Module] = {
        "face": ImageEncoder(width=8, channels=(4, 8)),
        "voice": AudioEncoder(bands=40, width=8, channels=8),
        "words": TextEncoder(vocabulary=len(datasets.load("mood", "test").vocabulary), width=8),
    }
    return Trimodal(encoders, hidden=16)


def count(model: nn.Module) -> int:
    """Numbers in a model."""
    return sum(parameter.numel() for parameter in model.parameters())


def train_student(seed: int, batch: dict, targets: torch.Tensor, budgets, test: dict) -> list[dict]:
    """Scores of a student after each budget of steps. `targets`: (n, 3) logarithms of probabilities."""
    model = small_student(seed)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    n, found, order = len(targets), [], torch.empty(0, dtype=torch.long)
    for step in range(1, max(budgets) + 1):
        if len(order) < min(64, n):
            order = torch.randperm(n, generator=generator)
        rows, order = order[:64], order[64:]
        labels = batch["target"][rows]
        loss = distillation_loss(model(rows_of(batch, rows)), targets[rows], labels, temperature=1, alpha=1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in budgets:
            logits = logits_of(model.eval(), test)
            p = test["posterior"]
            kl = torch.where(p > 0, p * (p.clamp(min=1e-12).log() - logits.log_softmax(1)), 0.0).sum(1).mean()
            found.append({**scores(logits, test), "kl": round(float(kl), 4)})
            model.train()
    return [*found, model]


# ---------------------------------------------------------------- student and distillation
def make_student() -> dict:
    """Train the student of the ladder on 6,000 messages and write it."""
    from safetensors.torch import save_file

    train, test = whole("train"), whole("test")
    *found, model = train_student(0, train, train["posterior"].log(), (1500,), test)
    folder = data_dir() / "models" / "student"
    folder.mkdir(exist_ok=True)
    half = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(half, folder / "model.safetensors")
    model.load_state_dict({name: value.float() for name, value in half.items()})
    found = scores(logits_of(model.eval(), test), test)
    config = {"modalities": list(mood.MODALITIES), "classes": list(mood.CLASSES), "hidden": 16, "width": 8}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    export_trimodal(folder / "model.onnx", model)
    quantize_onnx(folder / "model.onnx", folder / "model.int8.onnx")
    found |= {"numbers": count(model), "steps": 1500, "seed": 0, "teacher": "exact posterior"}
    (folder / "figures.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def targets_of(kind: str, batch: dict) -> torch.Tensor:
    """What a student learns from, as logarithms of probabilities (n, 3)."""
    if kind == "labels":
        return F.one_hot(batch["target"], 3).float().log()
    exact = kind.startswith("exact")
    soft = batch["posterior"].log() if exact else logits_of(load_trimodal(), batch)
    return F.one_hot(soft.argmax(1), 3).float().log() if kind.endswith("answers") else soft


def simple_features(split: str) -> torch.Tensor:
    """Fixed features of each message (n, 1312): face in 16 × 16, eight time averages of the voice, words counted."""
    ds = datasets.load("mood", split)
    batch = next(ds.batches(len(ds)))
    inputs, masks = batch["inputs"], batch["padding_mask"]
    face = inputs["face"].reshape(len(ds), 16, 2, 16, 2, 3).mean(axis=(2, 4)).reshape(len(ds), -1)
    voice = []
    for frames, real in zip(inputs["voice"], masks["voice"], strict=True):
        parts = np.array_split(frames[real], 8)
        spread = frames[real].std(axis=0)
        voice.append(np.concatenate([*(part.mean(axis=0) for part in parts), spread, [(real.sum() - 50) / 10]]))
    words = np.zeros((len(ds), len(ds.vocabulary)))
    for row, ids, real in zip(words, inputs["words"], masks["words"], strict=True):
        np.add.at(row, ids[real], 1)
    return torch.from_numpy(np.concatenate([4 * (face - 0.5), np.array(voice), words], axis=1)).float()


def principal(x: torch.Tensor, other: torch.Tensor, size: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """The first principal components of x, each with variance 1 over x, and the same numbers of `other`."""
    mean = x.mean(dim=0)
    values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    matrix = vectors[:, -size:] / values[-size:].sqrt()
    return (x - mean) @ matrix, (other - mean) @ matrix


def train_many(x: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor, test_x: torch.Tensor) -> list[torch.Tensor]:
    """Many students at once: the logits (M, n, 3) of each on the test set after each budget.

    x: (n, d), targets: (M, n, 3) logarithms of probabilities, rows: (M, m), the messages that each student may see.
    One hidden layer of 16; the loss is the sum of their losses and AdamW works number by number, so that each student
    learns as if it were alone.
    """
    many, d = len(rows), x.shape[1]
    seeds = torch.arange(many) % len(GRID_SEEDS)  # students of one seed begin alike, and see the same mini-batches
    starts = []
    for seed in GRID_SEEDS:
        torch.manual_seed(seed)
        first, last = nn.Linear(d, 16), nn.Linear(16, 3)
        starts.append([first.weight.T, first.bias[None], last.weight.T, last.bias[None]])
    stacked = [torch.stack([starts[s][i].detach() for s in seeds]).requires_grad_() for i in range(4)]

    def forward(v: torch.Tensor) -> torch.Tensor:
        w1, b1, w2, b2 = stacked
        return (v @ w1 + b1).relu() @ w2 + b2

    optimizer = torch.optim.AdamW(stacked, lr=3e-3, fused=True)
    generators = [torch.Generator().manual_seed(seed) for seed in GRID_SEEDS]
    each, found = torch.arange(many)[:, None], []
    for step in range(1, max(BUDGETS) + 1):
        drawn = torch.stack([torch.randint(rows.shape[1], (64,), generator=g) for g in generators])[seeds]
        batch = rows.gather(1, drawn)  # (M, 64)
        p = targets[each, batch].softmax(dim=-1)
        log_q = forward(x[batch]).log_softmax(dim=-1)
        loss = -(p * log_q).sum(dim=-1).mean(dim=1).sum()  # the KL divergence but for a constant
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in BUDGETS:
            with torch.no_grad():
                found.append(forward(test_x.expand(many, -1, -1)))
    return found


def make_distill() -> dict:
    """Five kinds of targets by number of messages: scores by budget and seed."""
    train, test = whole("train"), whole("test")
    x, test_x = principal(simple_features("train"), simple_features("test"))
    targets = torch.stack([targets_of(kind, train) for kind in KINDS])  # (5, n, 3)
    kinds = [kind for kind in KINDS for _ in GRID_SEEDS]
    table: dict = {"budgets": list(BUDGETS), "seeds": len(GRID_SEEDS), "inputs": x.shape[1]}
    table["teacher's own"] = scores(logits_of(load_trimodal(), test), test)
    for n in NUMBERS:
        chosen = [np.random.default_rng(seed).permutation(len(x))[:n] for seed in GRID_SEEDS]
        rows = torch.from_numpy(np.stack(chosen * len(KINDS)))
        ends = train_many(x, targets.repeat_interleave(len(GRID_SEEDS), dim=0), rows, test_x)
        for kind in KINDS:
            at = [i for i, k in enumerate(kinds) if k == kind]
            found = [[scores(logits[i], test) for i in at] for logits in ends]
            table[f"{n} {kind}"] = {
                key: [[one[key] for one in budget] for budget in found] for key in ("accuracy", "expected")
            }
            print(n, kind, [np.mean(v).round(4) for v in table[f"{n} {kind}"]["expected"]], flush=True)
    return table


def make_distill_cnn() -> dict:
    """The student of the ladder, on 6,000 messages: are the findings those of the simple students?"""
    train, test = whole("train"), whole("test")
    table: dict = {"budgets": [200, 600], "seeds": len(SEEDS)}
    for kind in ("labels", "teacher", "exact"):
        targets = targets_of(kind, train)
        runs = [train_student(seed, train, targets, table["budgets"], test)[:-1] for seed in SEEDS]
        table[kind] = {key: [[run[i][key] for run in runs] for i in range(2)] for key in ("accuracy", "expected", "kl")}
        print(kind, [np.mean(v).round(4) for v in table[kind]["expected"]], flush=True)
    return table


# ---------------------------------------------------------------- bits
def quantized_weights(model: nn.Module, bits: int, per_channel: bool = True) -> dict[str, torch.Tensor]:
    """The parameters by name, those with two or more axes fake-quantized, symmetric; gradients go through."""
    found = {}
    for name, value in model.named_parameters():
        if value.ndim > 1:
            axes = tuple(range(1, value.ndim)) if per_channel else tuple(range(value.ndim))
            largest = value.detach().abs().amax(dim=axes, keepdim=True)
            scale, _ = affine_parameters(-largest, largest, bits, symmetric=True)
            value = fake_quantize(value, scale, 0, bits)
        found[name] = value
    return found


def with_weights(model: nn.Module, weights: dict[str, torch.Tensor]):
    """A function of a batch: the model with other weights."""
    return lambda batch: torch.func.functional_call(model, weights, (batch,))


def fine_tune(model: nn.Module, batch: dict, seed: int, epochs: int, bits: int | None = None, keep=None) -> nn.Module:
    """The same model after more training, fake-quantized in every step, or with some weights kept at 0."""
    model = copy.deepcopy(model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(seed)
    n = len(batch["target"])
    for _ in range(epochs):
        for rows in torch.randperm(n, generator=generator).split(64):
            forward = model if bits is None else with_weights(model, quantized_weights(model, bits))
            loss = F.cross_entropy(forward(rows_of(batch, rows)), batch["target"][rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if keep is not None:
                apply_masks(model, keep)
    return model.eval()


def make_bits() -> dict:
    """Post-training quantization by bits, and training with quantization."""
    train, test = whole("train"), whole("test")
    model = load_trimodal()
    before = logits_of(model, test)
    table: dict = {"float": scores(before, test), "epochs": 2, "seeds": len(SEEDS)}
    for bits in (8, 6, 5, 4, 3, 2):
        for per_channel in (False, True):
            weights = {k: v.detach() for k, v in quantized_weights(model, bits, per_channel).items()}
            logits = logits_of(with_weights(model, weights), test)
            flips = int((logits.argmax(1) != before.argmax(1)).sum())
            name = f"{bits} {'channel' if per_channel else 'tensor'}"
            table[name] = {**scores(logits, test), "flips": flips}
            print(name, table[name], flush=True)
    for bits in (4, 3, 2):
        table[f"{bits} qat"] = []
    table |= {f"{bits} control": [] for bits in (4, 3, 2)}
    for seed in SEEDS:
        control = fine_tune(model, train, seed, epochs=2)
        for bits in (4, 3, 2):
            for name, tuned in (("qat", fine_tune(model, train, seed, 2, bits)), ("control", control)):
                weights = {k: v.detach() for k, v in quantized_weights(tuned, bits).items()}
                table[f"{bits} {name}"].append(scores(logits_of(with_weights(tuned, weights), test), test))
            print(seed, bits, table[f"{bits} qat"][-1], table[f"{bits} control"][-1], flush=True)
    return table


def make_unrounded() -> dict:
    """The control of `bits` with its weights as floats: what two more epochs do by themselves."""
    train, test = whole("train"), whole("test")
    tuned = [fine_tune(load_trimodal(), train, seed, epochs=2) for seed in SEEDS]
    table: dict = {"epochs": 2, "control": [scores(logits_of(model, test), test) for model in tuned]}
    print(table, flush=True)
    return table


# ---------------------------------------------------------------- pruning
def masks_of(model: nn.Module, share: float, g: torch.Generator | None = None) -> dict[str, torch.Tensor]:
    """Which weights stay, by name, over all tensors together; at random where a generator is given."""
    weights = {name: value.detach() for name, value in model.named_parameters() if value.ndim > 1}
    joined = torch.cat([w.flatten() for w in weights.values()])
    values = joined if g is None else torch.rand(joined.shape, generator=g)
    parts = keep_largest(values, share).split([w.numel() for w in weights.values()])
    return {name: part.view_as(w) for (name, w), part in zip(weights.items(), parts, strict=True)}


@torch.no_grad()
def apply_masks(model: nn.Module, keep: dict[str, torch.Tensor]) -> None:
    """Set the other weights to 0."""
    for name, value in model.named_parameters():
        if name in keep:
            value.mul_(keep[name])


def without_units(model: Trimodal, number: int) -> Trimodal:
    """Structured: only the hidden units with the largest weights going out stay, so that the matrices shrink."""
    small = copy.deepcopy(model)
    size = model.logits.weight.norm(dim=0) * model.hidden.weight.norm(dim=1)
    stay = size.topk(number).indices.sort().values
    small.hidden = nn.Linear(model.hidden.in_features, number)
    small.logits = nn.Linear(number, 3)
    with torch.no_grad():
        small.hidden.weight.copy_(model.hidden.weight[stay])
        small.hidden.bias.copy_(model.hidden.bias[stay])
        small.logits.weight.copy_(model.logits.weight[:, stay])
        small.logits.bias.copy_(model.logits.bias)
    return small.eval()


def file_bytes(model: nn.Module) -> tuple[int, int]:
    """Bytes of the weights as float32, and of the same bytes after gzip."""
    raw = b"".join(value.detach().numpy().astype(np.float32).tobytes() for value in model.state_dict().values())
    return len(raw), len(gzip.compress(raw, mtime=0))


def make_pruning() -> dict:
    """Shares of weights, and numbers of units."""
    train, test = whole("train"), whole("test")
    model = load_trimodal()
    table: dict = {"float": scores(logits_of(model, test), test), "bytes": file_bytes(model), "epochs": 2}
    generator = torch.Generator().manual_seed(0)
    for share in (0.5, 0.7, 0.8, 0.9, 0.95, 0.98):
        row: dict = {}
        pruned = copy.deepcopy(model)
        apply_masks(pruned, masks_of(model, share))
        row["magnitude"] = scores(logits_of(pruned, test), test)
        row["bytes"] = file_bytes(pruned)
        row["random"] = []
        for _ in SEEDS:
            other = copy.deepcopy(model)
            apply_masks(other, masks_of(model, share, generator))
            row["random"].append(scores(logits_of(other, test), test))
        if share >= 0.8:
            keep = masks_of(model, share)
            tuned = [fine_tune(pruned, train, seed, 2, keep=keep) for seed in SEEDS]
            row["tuned"] = [scores(logits_of(t, test), test) for t in tuned]
        table[str(share)] = row
        print(share, row, flush=True)
    for number in (64, 32, 16, 8):
        small = without_units(model, number)
        tuned = [fine_tune(small, train, seed, 2) for seed in SEEDS]
        table[f"{number} units"] = {
            "cut": scores(logits_of(small, test), test),
            "tuned": [scores(logits_of(t, test), test) for t in tuned],
            "numbers": count(small),
        }
        print(number, table[f"{number} units"], flush=True)
    return table


# ---------------------------------------------------------------- flips
def make_flips() -> dict:
    """Answers that fewer bits change, on validation and test: what the exact posterior thinks of both answers."""
    model = load_trimodal()
    splits = [whole("validation"), whole("test")]
    p = torch.cat([split["posterior"] for split in splits])
    before = torch.cat([logits_of(model, split) for split in splits]).argmax(1)
    table: dict = {"messages": len(p), "gap": 0.1}
    top = p.sort(dim=1, descending=True).values
    tie = (top[:, 0] - top[:, 1]) < table["gap"]
    table["near ties"] = int(tie.sum())
    table["expected"] = round(float(p.gather(1, before[:, None]).mean()), 4)
    rungs = {f"{bits} bits": with_weights(model, quantized_weights(model, bits)) for bits in (8, 6, 5, 4, 3)}
    rungs = {name: lambda split, run=run: logits_of(run, split) for name, run in rungs.items()}
    for file in ("model.int8.onnx",):
        session = onnx.load_trimodal(file)
        rungs[file] = lambda split, session=session: run_onnx(session, split)
    for name, run in rungs.items():
        after = torch.cat([run(split) for split in splits]).argmax(1)
        rows = (before != after).nonzero()[:, 0]
        cost = p[rows, before[rows]] - p[rows, after[rows]]  # above 0: the old answer was likelier right
        table[name] = {
            "flips": len(rows),
            "near a tie": int(tie[rows].sum()),
            "worse": int((cost > table["gap"]).sum()),
            "better": int((cost < -table["gap"]).sum()),
            "change of expected accuracy": round(float(-cost.sum() / len(p)), 5),
        }
        print(name, table[name], flush=True)
    return table


def run_onnx(session: onnx.OnnxModel, split: dict, size: int = 100) -> torch.Tensor:
    """Logits by ONNX Runtime in batches of 100."""
    n = len(split["target"])
    return torch.from_numpy(
        np.concatenate([session.run(arrays_of(split, i, min(i + size, n))) for i in range(0, n, size)])
    )


def arrays_of(split: dict, start: int, stop: int) -> dict[str, np.ndarray]:
    """Some samples of a split as the graph's inputs."""
    part = rows_of(split, torch.arange(start, stop))
    return {
        "face": part["inputs"]["face"].permute(0, 2, 3, 1).contiguous().numpy(),
        "voice": part["inputs"]["voice"].numpy(),
        "voice_mask": part["padding_mask"]["voice"].numpy(),
        "words": part["inputs"]["words"].numpy(),
        "words_mask": part["padding_mask"]["words"].numpy(),
        "presence": np.ones((stop - start, 3), bool),
    }


# ---------------------------------------------------------------- the ladder
class Wide(nn.Module):
    """Four wide layers on the trimodal encoders' 96 numbers: (b, 96) → logits (b, 3)."""

    def __init__(self, width: int = 1024) -> None:
        super().__init__()
        sizes = [96, width, width, width]
        pairs = zip(sizes, sizes[1:], strict=False)
        self.layers = nn.Sequential(
            *(part for a, b in pairs for part in (nn.Linear(a, b), nn.ReLU())), nn.Linear(width, 3)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.layers(x)


@torch.no_grad()
def vectors_of(batch: dict, size: int = 500) -> torch.Tensor:
    """The trimodal model's joined vectors (n, 96)."""
    model, rows = load_trimodal(), []
    n = len(batch["target"])
    for i in range(0, n, size):
        part, found = rows_of(batch, torch.arange(i, min(i + size, n))), []
        for name, encoder in model.encoders.items():
            vector = encoder(part["inputs"][name], part["padding_mask"].get(name))
            found.append(F.rms_norm(vector, vector.shape[-1:], eps=1e-5))
        rows.append(torch.cat(found, dim=-1))
    return torch.cat(rows)


def train_wide(x: torch.Tensor, labels: torch.Tensor, epochs: int = 2, seed: int = 0) -> Wide:
    """A trained wide model."""
    torch.manual_seed(seed)
    model = Wide()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            loss = F.cross_entropy(model(x[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def session_of(path: Path):
    """An ONNX Runtime session with one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def quantize_static(
    source: Path,
    path: Path,
    feeds: list[dict[str, np.ndarray]],
    kinds: tuple[str, ...] | None = ("MatMul", "Gemm", "Conv"),
    percentile: bool = False,
) -> Path:
    """Static int8 by ONNX Runtime: the ranges of activations from `feeds`, chosen beforehand.

    kinds : of operations, whose inputs and outputs become int8; all that can where None
    percentile : ranges of 99.999 % of the values, in place of the smallest and the largest
    """
    import onnxruntime.quantization as quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.feeds = iter(feeds)

        def get_next(self):
            return next(self.feeds, None)

    methods = quantization.CalibrationMethod
    with quiet_export(), contextlib.redirect_stdout(io.StringIO()):
        quantization.quantize_static(
            source,
            path,
            Reader(),
            per_channel=True,
            op_types_to_quantize=kinds and list(kinds),
            calibrate_method=methods.Percentile if percentile else methods.MinMax,
        )
    return path


LOAD = {  # what a process needs that answers one message with each rung
    "eager": "import torch\nfrom mmcourse.pretrained import load_trimodal\nfrom mmcourse.datasets import load\n"
    "m = load_trimodal()\nwith torch.no_grad(): m(next(iter(load('mood', 'test').subset([0]).torch_loader(1))))",
    "onnx": "from mmcourse import onnx\nfrom mmcourse.datasets import load\n"
    "onnx.load_trimodal({path!r}).logits(next(load('mood', 'test').subset([0]).batches(1)))",
    "data alone": "from mmcourse.datasets import load\nnext(load('mood', 'test').subset([0]).batches(1))",
    "program": "import torch\nfrom mmcourse import onnx\nfrom mmcourse.datasets import load\n"
    "run = torch.export.load({path!r}).module()\nb = next(load('mood', 'test').subset([0]).batches(1))\n"
    "with torch.no_grad(): run(*(torch.from_numpy(a) for a in onnx.to_arrays(b).values()))",
    "reference": "from onnx.reference import ReferenceEvaluator\nfrom mmcourse import onnx\n"
    "from mmcourse.datasets import load\nb = next(load('mood', 'test').subset([0]).batches(1))\n"
    "ReferenceEvaluator({path!r}).run(None, onnx.to_arrays(b))",
    "wide: data": "import numpy as np\nx = np.zeros((1, 96), np.float32)",
    "wide: eager": "import torch\nrun = torch.load({path!r}, weights_only=False)\n"
    "with torch.no_grad(): run(torch.zeros(1, 96))",
    "wide: torch.export": "import torch\nrun = torch.export.load({path!r}).module()\n"
    "with torch.no_grad(): run(torch.zeros(1, 96))",
    "wide: ONNX, reference": "import numpy as np\nfrom onnx.reference import ReferenceEvaluator\n"
    "run = ReferenceEvaluator({path!r})\nrun.run(None, {{run.input_names[0]: np.zeros((1, 96), np.float32)}})",
    "wide: onnx": "import numpy as np, onnxruntime\n"
    "run = onnxruntime.InferenceSession({path!r}, providers=['CPUExecutionProvider'])\n"
    "run.run(None, {{run.get_inputs()[0].name: np.zeros((1, 96), np.float32)}})",
}


def make_ladder() -> dict:
    """Both ladders, and faulty pre-processing on the float file."""
    test, train = datasets.load("mood", "test"), whole("train")
    model, labels = load_trimodal(), test.labels
    sizes = (1, 7, 92, 400, 400, 400, 200)  # batches of every size
    edges = np.cumsum((0, *sizes))
    parts = [next(test.subset(range(a, b)).batches(b - a)) for a, b in zip(edges, edges[1:], strict=False)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table: dict = {"calls": CALLS, "batch sizes": list(sizes)}
        table["small"] = small_ladder(folder, model, train, parts, labels)
        table["small, single messages"] = small_ladder(folder, model, train, parts, labels, single=True)
        table["wide"] = wide_ladder(folder, train, labels)
        table["pre-processing"] = faulty_inputs(test, labels)
    return table


def small_ladder(
    folder: Path, model: Trimodal, train: dict, parts: list, labels: np.ndarray, single: bool = False
) -> list:
    """The trimodal model on every rung."""
    program = export_program(model)
    files = small_files(folder, program, train)
    exported = program.module()

    def by_torch(run):
        def predict(batch):
            with torch.no_grad():
                return run(*(torch.from_numpy(a) for a in onnx.to_arrays(batch).values())).numpy()

        return predict

    weights = data_dir() / "models" / "start_here" / "model.safetensors"
    written = [files["ONNX Runtime"]]
    rungs = [
        Rung("eager", eager_run(model), [weights]),
        Rung("torch.export", by_torch(exported), []),
        Rung("ONNX, reference", by_reference(written[0]), written),
    ]
    for name, path in files.items():
        rungs.append(Rung(name, onnx.load_trimodal(path).logits, [path]))
    timed = parts[0] if single else parts[2]
    rows = tidy(parity_ladder(rungs, parts, labels, timed=timed, calls=CALLS if single else CALLS // 5))
    return in_rounds(rungs, rows, timed) if single else rows


def small_files(folder: Path, program, train: dict) -> dict[str, Path]:
    """The files of the small ladder, by rung, in its order; those that are not shipped are written to `folder`."""
    shipped, student = data_dir() / "models" / "start_here", data_dir() / "models" / "student"
    to_onnx(program, folder / "small.onnx")
    float16_weights(folder / "small.onnx", folder / "weights16.onnx")
    float16_onnx(folder / "small.onnx", folder / "float16.onnx")
    feeds = [arrays_of(train, i, i + 50) for i in range(0, 500, 50)]
    quantize_static(folder / "small.onnx", folder / "static.onnx", feeds)
    dynamic_with_convolutions(folder / "small.onnx", folder / "conv.onnx")
    return {
        "ONNX Runtime": folder / "small.onnx",
        "float16 weights": folder / "weights16.onnx",
        "float16": folder / "float16.onnx",
        "int8, dynamic": shipped / "model.int8.onnx",
        "int8, all layers": folder / "conv.onnx",
        "int8, static": folder / "static.onnx",
        "student": student / "model.onnx",
        "student, int8": student / "model.int8.onnx",
    }


def eager_run(network: nn.Module):
    """A function of a NumPy batch: the logits by PyTorch."""

    def predict(batch):
        tensors = {key: {m: torch.from_numpy(v) for m, v in batch[key].items()} for key in ("inputs", "padding_mask")}
        tensors["inputs"]["face"] = tensors["inputs"]["face"].permute(0, 3, 1, 2)
        with torch.no_grad():
            return network(tensors).numpy()

    return predict


def by_reference(path: Path, arrays=onnx.to_arrays):
    """A function of a batch: the logits by the reference implementation of the ONNX format, which is NumPy."""
    from onnx.reference import ReferenceEvaluator

    run = ReferenceEvaluator(str(path)).run
    return lambda batch: run(None, arrays(batch))[0]


def in_rounds(rungs: list[Rung], rows: list[dict], timed) -> list[dict]:
    """The rows with "rounds": the median milliseconds of each round, in which all rungs take turns."""
    for _ in range(ROUNDS):
        for rung, row in zip(rungs, rows, strict=True):
            middle = float(np.median(latencies(rung.predict, timed, 200))) * 1e3
            row.setdefault("rounds", []).append(round(middle, 4))
    for row in rows:
        print(row["name"], row["rounds"], flush=True)
    return rows


def make_torchao() -> dict:
    """Weights as int8 by torchao, not compiled, beside eager: single messages."""
    from importlib.metadata import version

    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    test, model = datasets.load("mood", "test"), load_trimodal()
    weight_only = copy.deepcopy(model)
    quantize_(weight_only, Int8WeightOnlyConfig())
    edges = np.cumsum((0, 1, 7, 92, 400, 400, 400, 200))
    parts = [next(test.subset(range(a, b)).batches(b - a)) for a, b in zip(edges, edges[1:], strict=False)]
    weights = data_dir() / "models" / "start_here" / "model.safetensors"
    rungs = [
        Rung("eager", eager_run(model), [weights]),
        Rung("torchao, weights only", eager_run(weight_only), []),
    ]
    rows = tidy(parity_ladder(rungs, parts, test.labels, timed=parts[0], calls=300))
    return {"made_with": f"torchao {version('torchao')}", "rows": rows}


def make_pruned_times() -> dict:
    """One message in ONNX Runtime: the model with 90 % of its weights at 0, and with fewer hidden units."""
    test, model = datasets.load("mood", "test"), load_trimodal()
    zeros = copy.deepcopy(model)
    apply_masks(zeros, masks_of(model, 0.9))
    models = {"as trained": model, "90 % zeros": zeros}
    models |= {f"{number} units": without_units(model, number) for number in (64, 32, 16, 8)}
    single = next(test.subset([0]).batches(1))
    rounds: dict[str, list[float]] = {name: [] for name in models}
    with tempfile.TemporaryDirectory() as name:
        files = {k: export_trimodal(Path(name) / f"{i}.onnx", v) for i, (k, v) in enumerate(models.items())}
        table: dict = {"rounds": ROUNDS, **{k: {"bytes": path.stat().st_size} for k, path in files.items()}}
        sessions = {k: onnx.load_trimodal(path).logits for k, path in files.items()}
        for _ in range(ROUNDS):
            for k, run in sessions.items():
                rounds[k].append(float(np.median(latencies(run, single, 500))) * 1e3)
    for k, found in rounds.items():
        table[k]["ms"] = [round(ms, 4) for ms in found]
    print(table, flush=True)
    return table


def make_nodes() -> dict:
    """Operations of the float file and the three int8 files, by kind."""
    from collections import Counter

    from onnx import load as load_graph

    with tempfile.TemporaryDirectory() as name:
        files = small_files(Path(name), export_program(load_trimodal()), whole("train"))
        names = ("ONNX Runtime", "int8, dynamic", "int8, all layers", "int8, static")
        kinds = {k: Counter(node.op_type for node in load_graph(files[k]).graph.node) for k in names}
    table: dict = {k: dict(sorted(found.items())) for k, found in kinds.items()}
    print(table, flush=True)
    return table


def make_memory() -> dict:
    """Peak megabytes of processes that read one message and answer it; with the data alone, for comparison."""
    table = {"data alone": peak_memory(LOAD["data alone"]), "eager": peak_memory(LOAD["eager"])}
    with tempfile.TemporaryDirectory() as name:
        folder, train = Path(name), whole("train")
        program = export_program(load_trimodal())
        files = small_files(folder, program, train)
        torch.export.save(program, folder / "program.pt2")
        table["torch.export"] = peak_memory(LOAD["program"].format(path=str(folder / "program.pt2")))
        table["ONNX, reference"] = peak_memory(LOAD["reference"].format(path=str(files["ONNX Runtime"])))
        table |= {k: peak_memory(LOAD["onnx"].format(path=str(path))) for k, path in files.items()}
        files, *_ = wide_files(folder, train)
        wide = {"data alone": peak_memory(LOAD["wide: data"])}
        for k, path in files.items():
            kind = k if k in ("eager", "torch.export", "ONNX, reference") else "onnx"
            wide[k] = peak_memory(LOAD[f"wide: {kind}"].format(path=str(path)))
    found: dict = {name: round(value or 0) for name, value in table.items()}
    found["wide"] = {name: round(value or 0) for name, value in wide.items()}
    print(found, flush=True)
    return found


def dynamic_with_convolutions(source: Path, path: Path) -> None:
    """Dynamic int8 with convolutions as well."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet_export():
        quantize_dynamic(source, path, weight_type=QuantType.QUInt8, op_types_to_quantize=["MatMul", "Gemm", "Conv"])


def write_graph(model: nn.Module, example: torch.Tensor, path: Path):
    """A model of one input as ONNX, with the batch size open; gives the exported program."""
    with quiet_export():
        shapes = ({0: torch.export.Dim("batch")},)
        made = torch.onnx.export(
            model, (example,), dynamo=True, dynamic_shapes=shapes, opset_version=18, verbose=False, external_data=False
        )
        made.save(path)
        return torch.export.export(model, (example,), dynamic_shapes=shapes)


def wide_student(x: torch.Tensor, teacher: nn.Module, epochs: int = 20, seed: int = 0) -> nn.Module:
    """Two narrow layers on the same 96 numbers, taught by the wide model's probabilities."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(96, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    with torch.no_grad():
        targets = teacher(x)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            labels = targets[rows].argmax(1)  # without effect: alpha is 1
            loss = distillation_loss(model(x[rows]), targets[rows], labels, temperature=1, alpha=1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def wide_files(folder: Path, train: dict) -> tuple[dict[str, Path], nn.Module, torch.export.ExportedProgram]:
    """The wide model's files by rung, in the ladder's order; the model and its exported program."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    x = vectors_of(train)
    model = train_wide(x, train["target"])
    program = write_graph(model, x[:2], folder / "wide.onnx")
    torch.save(model.layers, folder / "wide.pt")
    torch.export.save(program, folder / "wide.pt2")
    write_graph(wide_student(x, model), x[:2], folder / "narrow.onnx")
    with quiet_export():
        for name in ("wide", "narrow"):
            source, path = folder / f"{name}.onnx", folder / f"{name}8.onnx"
            quantize_dynamic(source, path, per_channel=True, weight_type=QuantType.QInt8)
    files = {
        "eager": folder / "wide.pt",
        "torch.export": folder / "wide.pt2",
        "ONNX, reference": folder / "wide.onnx",
        "ONNX Runtime": folder / "wide.onnx",
        "float16 weights": float16_weights(folder / "wide.onnx", folder / "wide16.onnx"),
        "int8, dynamic": folder / "wide8.onnx",
        "student": folder / "narrow.onnx",
        "student, int8": folder / "narrow8.onnx",
    }
    return files, model, program


def wide_ladder(folder: Path, train: dict, labels: np.ndarray) -> dict:
    """The wide model, with one message and with 64 at a time."""
    files, model, program = wide_files(folder, train)
    x, exported = vectors_of(whole("test")), program.module()

    def by_torch(network):
        def predict(batch):
            with torch.no_grad():
                return network(torch.from_numpy(batch)).numpy()

        return predict

    def by_session(path):
        session = session_of(path)
        first = session.get_inputs()[0].name
        return lambda batch: session.run(None, {first: batch})[0]

    first = session_of(files["ONNX Runtime"]).get_inputs()[0].name
    special = {
        "eager": by_torch(model),
        "torch.export": by_torch(exported),
        "ONNX, reference": by_reference(files["ONNX Runtime"], lambda batch: {first: batch}),
    }
    rungs = []
    for name, path in files.items():
        predict = special[name] if name in special else by_session(path)
        rungs.append(Rung(name, predict, [] if name in ("eager", "torch.export") else [path]))
    batches = [part.numpy() for part in x.split([1, 7, 64, 428, 1000])]
    found = {}
    for i in (0, 2):
        rows = tidy(parity_ladder(rungs, batches, labels, batches[i], CALLS // (1 if i == 0 else 5)))
        found[str(len(batches[i]))] = in_rounds(rungs, rows, batches[i])
    return {"numbers": count(model), **found}


def tidy(rows: list[dict]) -> list[dict]:
    """Rounded for storing."""
    digits = {"difference": 9, "p50": 4, "p99": 4, "p": 5, "memory": 0}
    for row in rows:
        for key, value in row.items():
            if isinstance(value, float):
                row[key] = round(value, digits.get(key, 4))
        print(row, flush=True)
    return rows


def faulty_inputs(test, labels: np.ndarray) -> list:
    """The float file with pre-processing that differs a little from training's."""
    from mmcourse.datasets.mood import voices as mood_voices
    from mmcourse.datasets.mood import words as mood_words
    from mmcourse.preprocess.audio import log_mel

    session = onnx.load_trimodal()
    samples = [test[i] for i in range(len(test))]
    clean = list(test.batches(250))

    def changed(name, change):
        def predict(batch):
            inputs = {**batch["inputs"], name: change(batch["inputs"][name])}
            return session.logits({**batch, "inputs": inputs})

        return predict

    def voices(**options):
        kept: dict[bytes, np.ndarray] = {}

        def frames(wave):
            key = wave.tobytes()
            if key not in kept:
                level = log_mel(
                    wave,
                    mood.SAMPLE_RATE,
                    mood_voices.N_FFT,
                    mood_voices.HOP,
                    mood_voices.N_MELS,
                    top_db=options.get("top_db", mood_voices.FLOOR),
                )
                level = level - level.mean(axis=0) if options.get("mean", True) else level - level.mean()
                kept[key] = level / mood_voices._spread()
            return kept[key]

        def predict(batch):
            start = predict.at
            predict.at += len(batch["target"])
            values = [frames(s["voice"]) for s in samples[start : predict.at]]
            column = datasets.pad(values)
            x, mask = column.take(np.arange(len(values)))
            inputs = {**batch["inputs"], "voice": x}
            return session.logits({**batch, "inputs": inputs, "padding_mask": {**batch["padding_mask"], "voice": mask}})

        predict.at = 0
        return predict

    def words(tokenize):
        ids = {word: i for i, word in enumerate(mood_words.vocabulary())}

        def predict(batch):
            start = predict.at
            predict.at += len(batch["target"])
            values = [np.array([ids.get(w, 1) for w in tokenize(s["words"])]) for s in samples[start : predict.at]]
            x, mask = datasets.pad(values).take(np.arange(len(values)))
            inputs = {**batch["inputs"], "words": x}
            return session.logits({**batch, "inputs": inputs, "padding_mask": {**batch["padding_mask"], "words": mask}})

        predict.at = 0
        return predict

    def half_size(face):
        small = face.reshape(len(face), 16, 2, 16, 2, 3).mean(axis=(2, 4))
        return small.repeat(2, axis=1).repeat(2, axis=2).astype(np.float32)

    rungs = [
        ("as in training", session.logits),
        ("colors as BGR", changed("face", lambda x: x[..., ::-1])),
        ("pixels 0 to 255", changed("face", lambda x: x * 255)),
        ("face through 16 × 16", changed("face", half_size)),
        ("mel floor 80 dB", voices(top_db=80.0)),
        ("speaker's mean left in", voices(mean=False)),
        ("capitals left in", words(lambda s: __import__("re").findall(r"[A-Za-z']+", s))),
        ("split at spaces", words(lambda s: s.lower().split())),
    ]
    rows: list[dict] = []
    first_logits = np.empty(0)
    for name, predict in rungs:
        logits = np.concatenate([predict(batch) for batch in clean])
        first_logits = first_logits if rows else logits
        row = parity_ladder(
            [Rung("first", lambda i, v=first_logits: v[i]), Rung(name, lambda i, v=logits: v[i])],
            [np.arange(len(labels))],
            labels,
            calls=1,
        )[1]
        rows.append({k: v for k, v in row.items() if k not in ("p50", "p99", "bytes", "memory")})
    return tidy(rows)


# ---------------------------------------------------------------- width
def make_widths() -> dict:
    """Times of two layers of each width, float32 and int8, and their ratio: medians of three rounds."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    table: dict = {"batches": [1, 16, 64], "rounds": 3}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for width in (32, 64, 128, 256, 512, 1024, 2048):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)).eval()
            with quiet_export():
                made = torch.onnx.export(
                    model,
                    (torch.zeros(2, width),),
                    dynamo=True,
                    dynamic_shapes=({0: torch.export.Dim("batch")},),
                    opset_version=18,
                    verbose=False,
                    external_data=False,
                )
                made.save(folder / "a.onnx")
                quantize_dynamic(folder / "a.onnx", folder / "b.onnx", per_channel=True, weight_type=QuantType.QInt8)
            sessions = [session_of(folder / f"{letter}.onnx") for letter in "ab"]
            first = sessions[0].get_inputs()[0].name
            table[str(width)] = {}
            for batch in table["batches"]:
                x = np.random.default_rng(0).normal(size=(batch, width)).astype(np.float32)
                calls = 200 if batch * width < 20_000 else 30
                rounds = [
                    [
                        float(np.median(latencies(lambda v, s=s, k=first: s.run(None, {k: v}), x, calls)))
                        for s in sessions
                    ]
                    for _ in range(3)
                ]
                floats, ints = np.median(rounds, axis=0)
                ratios = [a / b for a, b in rounds]
                table[str(width)][str(batch)] = {
                    "float ms": round(floats * 1e3, 4),
                    "int8 ms": round(ints * 1e3, 4),
                    "times faster": round(float(np.median(ratios)), 2),
                    "from": round(min(ratios), 2),
                    "to": round(max(ratios), 2),
                }
            print(width, table[str(width)], flush=True)
    return table


# ---------------------------------------------------------------- photographs
def clips_and_ranges(path: Path) -> dict:
    """How many Clip nodes a static int8 file has, and the widths of the ranges that convolutions' outputs get."""
    from onnx import load as load_graph
    from onnx.numpy_helper import to_array

    graph = load_graph(path).graph
    values = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    by = {name: node.op_type for node in graph.node for name in node.output}
    rounded = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    widths = [255 * float(values[node.input[1]]) for node in rounded if by.get(node.input[0]) == "Conv"]
    found: dict = {"clips": sum(node.op_type == "Clip" for node in graph.node)}
    return found | {"median range": round(float(np.median(widths)), 2), "largest range": round(max(widths), 2)}


def make_photos() -> dict:
    """EfficientNet-Lite0 on crops of three photographs, float32 and int8, in ONNX Runtime."""
    from importlib.resources import files

    from matplotlib.cbook import get_sample_data

    from mmcourse.preprocess.image import read, resize
    from mmcourse.torch.efficientnet import EfficientNetLite0, prepare_picture

    folder = files("sklearn.datasets.images")
    sources = [folder / "china.jpg", folder / "flower.jpg", get_sample_data("grace_hopper.jpg")]
    photographs = [read(source) for source in sources]
    rng = np.random.default_rng(0)
    crops = []
    for i in range(150):
        photo = photographs[i % 3]
        side = int(min(photo.shape[:2]) * rng.uniform(0.5, 0.95))
        top, left = (int(rng.integers(photo.shape[k] - side + 1)) for k in range(2))
        crops.append(prepare_picture(resize(photo[top : top + side, left : left + side], (224, 224))))
    x = torch.cat(crops).float()
    model = EfficientNetLite0.from_pretrained().eval().requires_grad_(False)
    table: dict = {"crops": len(x), "numbers": count(model)}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        with quiet_export():
            made = torch.onnx.export(
                model,
                (x[:2],),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=18,
                verbose=False,
                external_data=False,
            )
            made.save(path / "float.onnx")
        dynamic_with_convolutions(path / "float.onnx", path / "dynamic.onnx")
        first = session_of(path / "float.onnx").get_inputs()[0].name
        feeds = [{first: v[None].numpy()} for v in x[:30]]
        products = ("MatMul", "Gemm", "Conv")
        static: dict[str, dict] = {
            "static": {},
            "static, percentile": {"percentile": True},
            "static, with Clip": {"kinds": (*products, "Clip")},
            "static, every kind": {"kinds": None},
        }
        for kind, options in static.items():
            quantize_static(path / "float.onnx", path / f"{kind}.onnx", feeds, **options)
        with torch.no_grad():
            eager = torch.cat([model(part) for part in x[30:].split(30)]).numpy()
        best = np.sort(torch.from_numpy(eager).softmax(dim=1).numpy(), axis=1)
        table["margin"] = round(float(np.median(best[:, -1] - best[:, -2])), 4)  # of the two likeliest classes
        table["tested"] = len(eager)
        kinds = ["float", "dynamic", *static]
        sessions = {kind: session_of(path / f"{kind}.onnx") for kind in kinds}
        runs = {k: lambda v, s=s: s.run(None, {first: v})[0] for k, s in sessions.items()}
        for kind, run in runs.items():
            logits = np.concatenate([run(part.numpy()) for part in x[30:].split(1)])
            table[kind] = {
                "bytes": (path / f"{kind}.onnx").stat().st_size,
                "difference": round(float(np.abs(logits - eager).max()), 6),
                "agreement": round(float((logits.argmax(1) == eager.argmax(1)).mean()), 4),
            }
        single = x[:1].numpy()
        table["rounds"] = 15
        rounds = [
            {k: float(np.median(latencies(run, single, 20))) for k, run in runs.items()} for _ in range(table["rounds"])
        ]
        for kind in kinds:  # the machine may do other work in a round: the middle half of them
            quarters = np.quantile([found["float"] / found[kind] for found in rounds], (0.25, 0.5, 0.75))
            table[kind] |= {
                k: round(float(v), 2) for k, v in zip(("from", "times faster", "to"), quarters, strict=True)
            }
            if kind in static:
                table[kind] |= clips_and_ranges(path / f"{kind}.onnx")
            print(kind, table[kind], flush=True)
    return table


if __name__ == "__main__":
    runtime.setup(threads=1)
    start = time.time()
    make_tables(
        "compress",
        {
            "student": make_student,
            "ladder": make_ladder,
            "torchao": make_torchao,
            "memory": make_memory,
            "pruned_times": make_pruned_times,
            "bits": make_bits,
            "unrounded": make_unrounded,
            "nodes": make_nodes,
            "flips": make_flips,
            "widths": make_widths,
            "pruning": make_pruning,
            "distill": make_distill,
            "distill_cnn": make_distill_cnn,
            "photos": make_photos,
        },
        sys.argv[1:],
        packages=("numpy", "torch", "onnxruntime"),
    )
    print(f"{time.time() - start:.0f} s")

"""`fit` in PyTorch: each option does what its formula says, and every accident has a clear end."""

import contextlib
import json
import math
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch_toy import TRAIN, VALIDATION, Net, Samples, batches, equal, run, weights

from mmcourse.training import files
from mmcourse.training.torch import checkpoint, classification, evaluate, optim, predict, to_device, warmup_cosine

# ---- the formulas --------------------------------------------------------------------------------------------------


def test_schedule_rises_in_a_line_and_falls_to_zero():
    factors = [warmup_cosine(step, 100) for step in range(101)]
    assert factors[0] == 0 and factors[15] == 0.5 and factors[30] == 1 and factors[65] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0) and factors == sorted(factors[:30]) + sorted(factors[30:], reverse=True)
    assert warmup_cosine(0, 10, warmup=0) == 1 and warmup_cosine(9, 10, warmup=1) == 0.9


def test_groups_have_names_and_every_parameter_is_in_one():
    net = Net()
    net.hidden.bias.requires_grad_(False)
    groups = {group["name"]: group for group in optim.param_groups_weight_decay(net, 0.3)}
    names = {name: [n for n, _ in group["params"]] for name, group in groups.items()}
    assert names == {
        "decay": ["hidden.weight", "out.weight"],
        "no_decay": ["norm.weight", "norm.bias", "out.bias"],
    }
    assert (groups["decay"]["weight_decay"], groups["no_decay"]["weight_decay"]) == (0.3, 0.0)


@pytest.mark.parametrize("largest", [0.5, 1e9])
def test_clipping_is_one_factor_for_all(largest):
    net = Net()
    loss = nn.functional.cross_entropy(net(TRAIN[0]), TRAIN[0]["target"]) * 50
    loss.backward()
    before = torch.cat([p.grad.flatten() for p in net.parameters()])
    norm = optim.clip_gradients(net.parameters(), largest)
    after = torch.cat([p.grad.flatten() for p in net.parameters()])
    torch.testing.assert_close(norm, before.norm())
    torch.testing.assert_close(after, before * min(1, largest / before.norm().item()))


def test_fit_is_the_loop_of_the_recipe():
    train = [{"inputs": {"x": b["inputs"]["x"].double()}, "target": b["target"]} for b in TRAIN]
    net, history = run(Net(dropout=0.3).double(), train, seed=5, clip=0.5, ema=0.9)
    mine, mean, losses = Net(dropout=0.3).double(), None, []
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in mine.parameters() if p.ndim >= 2], "weight_decay": 0.3},
            {"params": [p for p in mine.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        fused=True,
    )
    torch.manual_seed(5)
    for step in range(18):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * warmup_cosine(step, 18)
        batch = train[step % 6]
        loss = nn.functional.cross_entropy(mine(batch), batch["target"])
        optimizer.zero_grad()
        loss.backward()
        total = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in mine.parameters()]))
        for p in mine.parameters():
            p.grad *= 0.5 / total.clamp(min=0.5)
        optimizer.step()
        losses.append(loss.item())
        now = [p.detach().clone() for p in mine.parameters()]
        mean = now if mean is None else [0.9 * m + 0.1 * w for m, w in zip(mean, now, strict=True)]
    for m, w in zip(mean, net.parameters(), strict=True):
        torch.testing.assert_close(m, w.detach(), rtol=1e-7, atol=1e-9)
    assert [h["loss"] for h in history] == pytest.approx([np.mean(losses[i : i + 6]) for i in (0, 6, 12)], rel=1e-8)


def test_fit_repeats_itself_and_leaves_the_generator_alone():
    loader = DataLoader(Samples(), batch_size=16, shuffle=True)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    histories = []
    for _ in range(2):
        net = Net(dropout=0.2)
        torch.set_rng_state(state)
        histories.append(run(net, loader)[1])
        assert torch.equal(state, torch.get_rng_state()) and not net.training
    assert histories[0] == histories[1]


# ---- options -------------------------------------------------------------------------------------------------------


def test_early_stopping_puts_the_best_epoch_back(tmp_path):
    net, history = run(epochs=60, learning_rate=0.1, warmup=0, validation=VALIDATION, patience=3, folder=tmp_path)
    losses = [h["val_loss"] for h in history]
    best = int(np.argmin(losses))
    assert len(history) < 60 and len(history) == best + 4
    assert evaluate(net, VALIDATION)["val_loss"] == pytest.approx(losses[best], rel=1e-6)
    other = Net(seed=9)
    facts = checkpoint.load_weights(other, tmp_path / "best.safetensors")
    assert equal(weights(other), weights(net)) and facts["val_loss"] == losses[best]
    assert json.loads((tmp_path / "history.json").read_text()) == history


def test_validation_sees_the_averaged_weights():
    net, history = run(validation=VALIDATION, ema=0.95)
    assert history[-1]["val_loss"] == pytest.approx(evaluate(net, VALIDATION)["val_loss"], rel=1e-6)
    plain, _ = run(validation=VALIDATION)
    assert not torch.equal(net.out.weight, plain.out.weight)


def test_reduced_precision_trains_and_is_off_on_the_cpu_by_default():
    (full, _), (auto, _), (half, history) = run(amp=False), run(), run(amp="bfloat16", epochs=8)
    assert equal(weights(full), weights(auto)) and half.out.weight.dtype == torch.float32
    assert history[-1]["accuracy"] > 0.6
    with pytest.raises(ValueError, match='amp: expected "auto"'):
        run(amp="fp8")


def test_channels_last_changes_the_memory_and_not_the_numbers():
    batch = {"inputs": {"face": torch.rand(2, 3, 8, 8)}, "padding_mask": {"words": torch.ones(2, 3, dtype=torch.bool)}}
    there = to_device(batch, torch.device("cpu"), channels_last=True)
    assert there["inputs"]["face"].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(there["inputs"]["face"], batch["inputs"]["face"])

    class Conv(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.convolution, self.out = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

        def forward(self, batch):
            return self.out(self.convolution(batch["inputs"]["face"]).mean((2, 3)))

    loader = [{"inputs": {"face": torch.rand(4, 3, 8, 8)}, "target": torch.tensor([0, 1, 2, 0])}]
    one, two = (run(Conv(), loader, channels_last=flag)[0] for flag in (False, True))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler, and there is no g++ here")
def test_a_compiled_model_learns_the_same():
    (plain, history), (compiled, same) = run(), run(compile=True)
    assert [h["loss"] for h in same] == pytest.approx([h["loss"] for h in history], rel=1e-4)
    assert compiled.state_dict().keys() == plain.state_dict().keys()


def test_logs_can_be_read_back(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, history = run(folder=tmp_path, validation=VALIDATION)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert len(events.Scalars("step/loss")) == 18
    assert [e.value for e in events.Scalars("epoch/val_loss")] == pytest.approx([h["val_loss"] for h in history])
    assert all(e.value > 0 for e in events.Scalars("step/samples_per_second"))


def test_predict_gives_logits_in_order_with_dropout_off():
    net = Net(dropout=0.9)
    first = predict(net.train(), VALIDATION)
    assert first.shape == (32, 3) and np.array_equal(first, predict(net, VALIDATION))


# ---- accidents -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["train_loader", "validation"])
def test_an_empty_loader(where):
    with pytest.raises(ValueError, match=f"{where}: expected batches, got an empty loader"):
        run(**({"loader": []} if where == "train_loader" else {"validation": []}))


def test_a_class_that_only_validation_has():
    with pytest.raises(ValueError, match=r"no sample of class 2 \(\d+ times\), which validation has"):
        run(loader=batches(classes=2), validation=VALIDATION)


def test_patience_needs_validation_and_resume_a_folder():
    with pytest.raises(ValueError, match="patience: .* give validation"):
        run(patience=2)
    with pytest.raises(ValueError, match="resume: there is no folder"):
        run(resume=True)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_step_rate_checkpoint_and_remedy(tmp_path, value):
    spoilt = [dict(b) for b in TRAIN]
    spoilt[4]["inputs"] = {"x": spoilt[4]["inputs"]["x"] * value}
    with pytest.raises(FloatingPointError) as told:
        run(loader=spoilt, folder=tmp_path, save_every=3)
    for part in ("step 5, learning rate 0.008", str(tmp_path / "last.safetensors"), "clip=1.0"):
        assert part in str(told.value)
    assert checkpoint.load_weights(Net(), tmp_path / "last.safetensors")["step"] == 3


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    class Bent(Net):
        """Its loss is fine and its gradient is not: the slope of a square root at 0."""

        def forward(self, batch):
            return super().forward(batch) + 0 * (self.out.bias * 0).abs().sqrt()

    with pytest.raises(FloatingPointError, match="out.bias.*though the loss was finite; no checkpoint"):
        run(Bent(), folder=tmp_path, save_every=1)
    assert not (tmp_path / "last.safetensors").exists()


def test_a_folder_that_holds_a_run(tmp_path):
    run(folder=tmp_path)
    with pytest.raises(ValueError, match="holds a run; go on with it"):
        run(folder=tmp_path)
    with pytest.raises(ValueError, match=r"other settings \(clip: None there, 1.0 now; epochs: 3 there, 9 now\)"):
        run(folder=tmp_path, resume=True, epochs=9, clip=1.0)
    with pytest.raises(ValueError, match=r"train_loader.batches: 6 there, 5 now"):
        run(folder=tmp_path, resume=True, loader=TRAIN[:5])
    with pytest.raises(ValueError, match=r"another model. hidden.bias: float32 \(8,\) in the file, float32 \(9,\) in"):
        run(Net(width=9), folder=tmp_path, resume=True)
    other = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(ValueError, match=r"0.bias: nothing in the file, float32 \(3,\) in the model"):
        checkpoint.load_weights(other, tmp_path / "last.safetensors")


@pytest.mark.parametrize("how", ["cut", "flipped", "text", "empty"])
def test_a_damaged_checkpoint(tmp_path, how):
    run(folder=tmp_path)
    path = tmp_path / "last.safetensors"
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[-1000] ^= 1
    made = {"cut": data[:-9], "flipped": data, "text": b"not a checkpoint", "empty": b""}[how]
    path.write_bytes(made)
    with pytest.raises(ValueError, match="damaged.*another folder"):
        run(folder=tmp_path, resume=True)
    with pytest.raises(FileNotFoundError, match="expected the file"):
        checkpoint.load_weights(Net(), tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    "capability, dtype",
    [((7, 5), torch.float16), ((7, 0), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)],
    ids=["T4", "V100", "A100", "H100"],
)
def test_autocast_takes_bfloat16_only_where_the_card_has_it(monkeypatch, capability, dtype):
    """A T4 would emulate bfloat16, which is slower than float16. The cards are faked: only the choice is tested."""
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=capability[0]))
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)  # by emulation
    assert optim.autocast_dtype("auto", torch.device("cuda")) is dtype


# ---- settings that train nothing, or the wrong way, are refused before the first step ------------------------------
@pytest.mark.parametrize(
    "options",
    [
        {"warmup": 100},
        {"clip": 0},
        {"clip": -1.0},
        {"ema": 1.0},
        {"epochs": 0},
        {"learning_rate": math.nan},
        {"folder": ""},
    ],
    ids=str,
)
def test_settings_are_refused_before_the_first_step(options):
    net = Net()
    before = weights(net)
    with pytest.raises(ValueError, match=f"^{next(iter(options))}: expected "):
        run(net, **options)
    assert equal(before, weights(net))


def test_numbers_out_of_numpy_train_and_resume(tmp_path):
    options = {"epochs": np.int64(2), "learning_rate": np.float32(0.01), "seed": np.uint8(3), "ema": np.float16(0.5)}
    _, history = run(folder=tmp_path, save_every=np.int32(2), **options)
    assert run(folder=tmp_path, resume=np.bool_(True), **options)[1] == history


def test_patience_of_zero_stops_at_the_first_worse_epoch():
    _, history = run(epochs=60, learning_rate=0.1, warmup=0, validation=VALIDATION, patience=0)
    losses = [h["val_loss"] for h in history]
    assert 1 < len(history) < 60 and losses[-1] >= losses[-2]
    assert losses[:-1] == sorted(losses[:-1], reverse=True)


@pytest.mark.parametrize("how", ["list", "DataLoader"])
def test_a_last_batch_of_one_sample_with_batch_norm(how):
    loader = [*TRAIN, {"inputs": {"x": TRAIN[0]["inputs"]["x"][:1]}, "target": TRAIN[0]["target"][:1]}]
    if how == "DataLoader":
        loader = DataLoader(torch.utils.data.Subset(Samples(), range(33)), batch_size=8)
    net = Net()
    before = weights(net)
    with pytest.raises(ValueError, match="last batch holds one sample, and batch normalization .* batch_size"):
        run(net, loader)
    assert equal(before, weights(net))
    net.norm = nn.Identity()
    assert len(run(net, loader)[1]) == 3
    if how == "DataLoader":
        assert len(run(Net(), DataLoader(loader.dataset, batch_size=8, drop_last=True))[1]) == 3


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.tensor([0, 1, 2, 3]), "target: class 3 occurs, but the model gives logits for 3 classes only"),
        (torch.tensor([0, 1, -1, 2]), "train_loader: expected class numbers from 0, got -1"),
        (torch.tensor([0.0, 1.0, 0.5, 2.0]), "train_loader: expected class numbers as target, got torch.float32"),
        (torch.eye(4, 3).long(), r"target: expected class numbers of shape \(4,\)"),
        ({"box": torch.zeros(4, 4)}, "train_loader: expected class numbers as target, got a dict"),
    ],
)
def test_targets_that_are_no_classes_of_the_model(target, message):
    net = Net()
    before = weights(net)
    with pytest.raises(ValueError, match=message):
        run(net, [{"inputs": {"x": torch.rand(4, 4)}, "target": target}])
    net.eval()
    assert all(
        torch.equal(before[k], v) for k, v in net.state_dict().items() if "running" not in k and "num_b" not in k
    )


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (
            [(torch.rand(4, 4), torch.tensor([0, 1, 2, 0]))],
            "expected batches that are dicts with inputs and target, got tuple",
        ),
        ([{"x": torch.rand(4, 4)}], "expected batches that are dicts with inputs and target, got a dict with x"),
        ((b for b in TRAIN), "can be counted and read again"),
    ],
)
def test_loaders_of_another_form(loader, message):
    with pytest.raises(ValueError, match=f"train_loader: .*{message}"):
        run(loader=loader)


def test_labels_of_any_whole_type_train_alike():
    small = [{**b, "target": b["target"].to(torch.uint8)} for b in TRAIN]
    assert run(loader=small)[1] == run()[1]


def test_a_loader_that_gives_fewer_batches_than_its_length():
    class Short(list):
        def __iter__(self):
            return iter(TRAIN[:2])

    with pytest.raises(ValueError, match="its length is 6, but it gave 2 batches"):
        run(loader=Short(TRAIN), loss_fn=classification)


@pytest.mark.parametrize("measure", [evaluate, predict])
def test_measuring_an_empty_loader(measure):
    with pytest.raises(ValueError, match="loader: expected batches, got an empty loader"):
        measure(Net(), [])


def test_a_validation_loss_that_is_no_number_is_never_the_best(tmp_path):
    rest = [math.nan, 1.0, math.nan, 2.0]

    def judged(model, batch):
        loss, metrics, count = classification(model, batch)
        return (loss if model.training else loss * 0 + rest.pop(0)), metrics, count

    _, history = run(epochs=4, validation=VALIDATION[:1], loss_fn=judged, patience=9, folder=tmp_path)
    assert checkpoint.read_checkpoint(tmp_path / "best.safetensors")[1]["val_loss"] == 1.0


# ---- any task ------------------------------------------------------------------------------------------------------
def test_regression():
    """A line through noisy points."""
    x = torch.linspace(-1, 1, 64)[:, None]
    loader = [{"inputs": a, "target": 2 * a + 1} for a in x.split(16)]

    def squared_error(model, batch):
        errors = (model(batch["inputs"]) - batch["target"]).square()
        return errors.mean(), {"absolute error": errors.sqrt().sum()}, len(errors)

    torch.manual_seed(0)
    net, history = run(
        nn.Linear(1, 1), loader, 40, loss_fn=squared_error, learning_rate=0.1, weight_decay=0.0, validation=loader
    )
    assert list(history[0]) == ["loss", "absolute error", "val_loss", "val_absolute error"]
    assert history[-1]["loss"] < 0.01 < history[0]["loss"] and net.weight.item() == pytest.approx(2, abs=0.1)
    assert evaluate(net, loader, squared_error)["val_loss"] == pytest.approx(history[-1]["val_loss"])


class Towers(nn.Module):
    """Two encoders into one space."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.image, self.text = nn.Linear(6, 4), nn.Linear(5, 4)

    def forward(self, batch):
        pairs = (self.image(batch["inputs"]["image"]), self.text(batch["inputs"]["text"]))
        return tuple(nn.functional.normalize(x, dim=-1) for x in pairs)


def contrastive(model, batch):
    """InfoNCE both ways (Radford et al. 2021, arXiv 2103.00020): each image's own text is its class."""
    image, text = model(batch)
    logits = image @ text.T / 0.1  # (b, b)
    own = torch.arange(len(logits))
    loss = (nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)) / 2
    return loss, {"recall@1": (logits.argmax(1) == own).sum()}, len(own)


def test_contrastive_learning_and_its_exact_resumption(tmp_path):
    random = torch.Generator().manual_seed(0)
    meaning = torch.randn(64, 4, generator=random)
    image = meaning @ torch.randn(4, 6, generator=random)
    text = meaning @ torch.randn(4, 5, generator=random)
    loader = [{"inputs": {"image": a, "text": b}} for a, b in zip(image.split(16), text.split(16), strict=True)]
    options = {"loss_fn": contrastive, "learning_rate": 0.05, "clip": 1.0, "ema": 0.5, "save_every": 3}
    net, history = run(Towers(), loader, 15, folder=tmp_path / "whole", **options)
    assert history[-1]["recall@1"] > 0.7 > 0.3 > history[0]["recall@1"]

    class Stop(Exception):
        pass

    half, calls = Towers(), []

    def stop(*_):
        calls.append(1)
        if len(calls) == 30:
            raise Stop

    half.register_forward_pre_hook(stop)
    with pytest.raises(Stop):
        run(half, loader, 15, folder=tmp_path / "cut", **options)
    again, resumed = run(Towers(), loader, 15, folder=tmp_path / "cut", resume=True, **options)
    assert resumed == history and equal(weights(net), weights(again))


def test_a_sequence_with_padding():
    """Next-token prediction; padded positions count neither in the loss nor in the accuracy."""
    ids = torch.tensor([[1, 2, 3, 4, 5], [1, 2, 3, 0, 0], [2, 3, 4, 5, 0]])
    loader = [{"inputs": {"words": ids}, "padding_mask": {"words": ids > 0}}]

    class Bigram(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.table = nn.Embedding(6, 6)

        def forward(self, batch):
            return self.table(batch["inputs"]["words"][:, :-1])

    def next_token(model, batch):
        logits, target = model(batch), batch["inputs"]["words"][:, 1:]  # (b, t-1, 6), (b, t-1)
        real = batch["padding_mask"]["words"][:, 1:]
        loss = nn.functional.cross_entropy(logits[real], target[real])
        return loss, {"accuracy": (logits.argmax(-1) == target)[real].sum()}, real.sum()

    _, history = run(Bigram(), loader, 60, loss_fn=next_token, learning_rate=0.2, weight_decay=0.0)
    assert history[-1] == pytest.approx({"loss": 0, "accuracy": 1}, abs=0.1)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda loss: loss, r"return \(loss, metrics, count\), got Tensor"),
        (lambda loss: (loss, {}), "got 2 values"),
        (lambda loss: (loss[None], {}, 4), r"a scalar tensor, the mean over the batch, got shape \(1,\)"),
        (lambda loss: (loss.item(), {}, 4), "a scalar tensor, the mean over the batch, got float"),
        (lambda loss: (loss, {}, 0), "the number of samples, 1 or more, got 0"),
        (lambda loss: (loss, {}, 2.5), "the number of samples, 1 or more, got 2.5"),
        (lambda loss: (loss, {"loss": 1}, 4), "metrics as a dict without 'loss'"),
        (lambda loss: (loss, {"hits": torch.ones(4)}, 4), "each metric as one number"),
    ],
)
def test_a_loss_function_of_another_form(returned, message):
    with pytest.raises(ValueError, match=f"loss_fn: expected .*{message}"):
        run(loss_fn=lambda model, batch: returned(model(batch).square().mean()))


def test_batches_may_hold_what_is_no_tensor():
    named = [{**batch, "id": [f"sample {i}" for i in range(16)], "note": None} for batch in TRAIN]
    assert run(loader=named)[1] == run()[1]


def test_tensorflow_is_whole_after_a_log_was_written(tmp_path):
    """PyTorch's writer needs no TensorFlow; the switch for that must not stay on for Keras in the same notebook."""
    pytest.importorskip("tensorflow")
    code = f"""
from pathlib import Path
from mmcourse.training.torch.logger import summary_writer
import sys
summary_writer(Path({str(tmp_path)!r}), 0).close()
assert "tensorflow" not in sys.modules
import tensorflow as tf
with tf.summary.create_file_writer({str(tmp_path / "tf")!r}).as_default():
    tf.summary.scalar("x", 1.0, step=1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


# ---- checkpoints that are whole, and yet not ours ------------------------------------------------------------------
def sealed(path, metadata=None, tensors=None):
    """The checkpoint with some entries replaced, and a checksum that fits."""
    old_tensors, old = checkpoint.read_checkpoint(path)
    checkpoint.write_checkpoint(path, {**old_tensors, **(tensors or {})}, {**old, **(metadata or {})})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": -3}, "epoch: expected a whole number from 0 to 3, got -3"),
        ({"epoch": 99}, "epoch: expected a whole number from 0 to 3"),
        ({"epoch": "2"}, "epoch: expected a whole number"),
        ({"epoch": 1.5}, "epoch: expected a whole number"),
        ({"epoch": True}, "epoch: expected a whole number"),
        ({"step": 7}, "epoch 3 and batch 0 do not go with step 7"),
        ({"batch": 99}, "batch: expected a whole number from 0 to 6"),
        ({"num_samples": 5}, "5 samples in 0 batches"),
        ({"history": []}, "with 0 epochs of history"),
        ({"history": [1, 2, 3]}, "history: expected one set of numbers per epoch"),
        ({"history": [{"loss": "low"}] * 3}, "history: expected one set of numbers per epoch"),
        ({"best_loss": math.nan}, "best_loss: expected a finite number or null"),
        ({"num_bad_epochs": -1}, "num_bad_epochs: expected a whole number"),
        ({"sums": [1]}, "sums: expected numbers by name"),
        ({"scaler": {"scale": 1}}, "scaler: expected the loss scaler's numbers"),
        ({"settings": 3}, "settings: expected an object, got 3"),
    ],
    ids=str,
)
def test_a_sealed_checkpoint_that_fit_never_wrote(tmp_path, change, message):
    run(folder=tmp_path)
    sealed(tmp_path / "last.safetensors", change)
    net = Net(seed=5)
    before = weights(net)
    with pytest.raises(ValueError, match=message):
        run(net, folder=tmp_path, resume=True)
    assert equal(before, weights(net)), "a refused checkpoint must change nothing"


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"optimizer/out.weight/exp_avg": torch.zeros(2, 2)}, "another optimizer. out.weight/exp_avg"),
        ({"optimizer/nobody/exp_avg": torch.zeros(2)}, "another optimizer. nobody/exp_avg"),
        ({"optimizer/out.weight/momentum_buffer": torch.zeros(3, 8)}, "another optimizer. out.weight/momentum_buffer"),
        ({"ema/n_averaged": torch.zeros(())}, "another moving average"),
        ({"best/out.weight": torch.zeros(2)}, "another best model"),
        ({"rng/torch": torch.zeros(3, dtype=torch.uint8)}, "malformed checkpoint: not a random state"),
        ({"rng/numpy": torch.zeros(3)}, "a random state that is no row of bytes"),
        ({"rng/stranger": torch.zeros(3, dtype=torch.uint8)}, r"other random generators .*stranger"),
    ],
    ids=str,
)
def test_sealed_tensors_that_fit_never_wrote(tmp_path, tensors, message):
    run(folder=tmp_path)
    sealed(tmp_path / "last.safetensors", tensors=tensors)
    with pytest.raises(ValueError, match=message):
        run(folder=tmp_path, resume=True)


def test_metadata_that_are_no_metadata(tmp_path):
    from safetensors.torch import load_file, save_file

    run(folder=tmp_path)
    path = tmp_path / "last.safetensors"
    tensors = load_file(path)
    for text, message in (("[" * 100_000, "no JSON"), ("{", "no JSON"), ("[]", "no JSON object")):
        seal = files.checksum(checkpoint._buffers(tensors), text)
        save_file(tensors, path, {"format": files.FORMAT, "metadata": text, "checksum": seal})
        with pytest.raises(ValueError, match=f"malformed checkpoint: its metadata are {message}"):
            run(folder=tmp_path, resume=True)
    save_file(tensors, path, {"facts": "{}", "checksum": files.checksum(checkpoint._buffers(tensors), "{}")})
    with pytest.raises(ValueError, match="a checkpoint of the first edition"):
        run(folder=tmp_path, resume=True)
    save_file(tensors, path)
    with pytest.raises(ValueError, match="not a checkpoint of this course"):
        checkpoint.load_weights(Net(), path)


def test_a_planted_link_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "run").mkdir()
    for name in ("last.part", "last.safetensors.part", "best.part", "history.part", "history.json"):
        (tmp_path / "run" / name).symlink_to(victim)
    run(folder=tmp_path / "run", validation=VALIDATION)
    assert victim.read_text() == "mine" and not (tmp_path / "run" / "history.json").is_symlink()

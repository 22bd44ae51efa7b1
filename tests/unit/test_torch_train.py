"""`fit` in PyTorch: each option does what its formula says, and every accident has a clear end."""

import contextlib
import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmcourse.training.torch import checkpoint, evaluate, fit, optim, predict, to_device, warmup_cosine


class Net(nn.Module):
    """Four numbers → three classes."""

    def __init__(self, seed=0, width=8, dropout=0.0):
        super().__init__()
        torch.manual_seed(seed)
        self.hidden, self.norm, self.out = nn.Linear(4, width), nn.BatchNorm1d(width), nn.Linear(width, 3)
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch):
        return self.out(self.dropout(self.norm(self.hidden(batch["inputs"]["x"])).relu()))


def batches(n=6, size=16, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        label = rng.integers(classes, size=size)
        x = rng.normal(size=(size, 4)).astype(np.float32)
        x[np.arange(size), label] += 1.5
        made.append({"inputs": {"x": torch.from_numpy(x)}, "target": torch.from_numpy(label)})
    return made


TRAIN, VALIDATION = batches(), batches(2, seed=1)


def run(net=None, loader=TRAIN, epochs=3, **options):
    net = net or Net()
    return net, fit(net, loader, epochs=epochs, progress=False, **options)


def weights(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


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
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in mine.parameters() if p.ndim >= 2], "weight_decay": 0.3},
            {"params": [p for p in mine.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        fused=True,
    )
    torch.manual_seed(5)
    for step in range(18):
        for group in optimiser.param_groups:
            group["lr"] = 1e-2 * warmup_cosine(step, 18)
        batch = train[step % 6]
        loss = nn.functional.cross_entropy(mine(batch), batch["target"])
        optimiser.zero_grad()
        loss.backward()
        total = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in mine.parameters()]))
        for p in mine.parameters():
            p.grad *= 0.5 / total.clamp(min=0.5)
        optimiser.step()
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


class Samples(Dataset):
    def __init__(self):
        self.x = torch.cat([b["inputs"]["x"] for b in TRAIN])
        self.y = torch.cat([b["target"] for b in TRAIN])

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return {"inputs": {"x": self.x[i]}, "target": self.y[i]}


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
    with pytest.raises(ValueError, match=r"batches: \[6, None, None, None\] there, \[5"):
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

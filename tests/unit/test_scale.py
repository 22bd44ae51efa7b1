"""Bytes, shares, recomputation and costs of lesson scale: equal to by-hand values and to PyTorch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmcourse.training.scale import batches, cost, memory


# ---------------------------------------------------------------- memory
def test_sixteen_bytes_for_each_weight_by_adam():
    assert memory.training_bytes(1000).total == 16_000
    assert memory.training_bytes(1000, optimizer="sgd").total == 8_000
    assert memory.training_bytes(1000, weights="bfloat16", master=True).total == 16_000, "a master copy makes up for it"
    assert memory.training_bytes(1000, activations=500).total == 16_500
    assert memory.training_bytes(1001, activations=500, shards=2).total == 16 * 501 + 500, "activations are not cut"
    assert "total" in memory.training_bytes(10).table()
    with pytest.raises(ValueError, match="adamm"):
        memory.training_bytes(10, optimizer="adamm")


def net_of(width: int, layers: int) -> nn.Sequential:
    return nn.Sequential(*[m for _ in range(layers) for m in (nn.Linear(width, width), nn.ReLU())])


@pytest.mark.parametrize(("width", "layers", "batch"), [(16, 2, 5), (64, 4, 33)])
def test_what_is_kept_is_what_the_formula_says(width, layers, batch):
    net, x = net_of(width, layers), torch.randn(batch, width)
    assert memory.saved_bytes(lambda: net(x).square().mean(), net) == 4 * batch * width * (layers + 1)


def test_the_peak_is_near_the_prediction():
    x = torch.randn(512, 256)

    def run():
        net = net_of(256, 8)
        optimizer = torch.optim.Adam(net.parameters())
        for _ in range(2):
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()

    predicted = memory.training_bytes(8 * (256 * 256 + 256), 4 * 512 * 256 * 8).total
    assert 0.75 < memory.peak_bytes(run) / predicted < 1.3
    assert memory.process_peak_mb() > 50


def test_the_levels_of_memory_have_the_peak_and_the_marks():
    from torch.profiler import record_function

    def run():
        with record_function("first"):
            kept = torch.zeros(1000)  # 4,000 bytes
        with record_function("second"):
            kept + torch.zeros(1000)

    levels, marks = memory.memory_levels(run)
    assert levels[0] == 0 and max(levels) == memory.peak_bytes(run) == 12_000
    assert [name for _, name in marks] == ["first", "second"]
    assert max(levels[: marks[1][0] + 1]) == 4000, "what the first part allocates lies before the second mark"


def gradients(blocks, x, how):
    torch.manual_seed(1)
    blocks.zero_grad()
    given = x.clone().requires_grad_()
    y = given
    for block in blocks:
        y = how(block, y)
    y.square().mean().backward()
    return torch.cat([given.grad.flatten(), *[p.grad.flatten() for p in blocks.parameters()]])


def test_recomputing_equals_plain_and_pytorchs_own_with_dropout_and_an_odd_batch():
    torch.manual_seed(0)
    blocks = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.4), nn.Tanh()) for _ in range(5)]).double()
    x = torch.randn(41, 8, dtype=torch.float64)
    plain = gradients(blocks, x, lambda block, y: block(y))
    ours = gradients(blocks, x, memory.recompute)
    theirs = gradients(blocks, x, lambda block, y: checkpoint(block, y, use_reentrant=False))
    assert (ours - plain).abs().max() <= 1e-12 and (theirs - plain).abs().max() <= 1e-12
    options = {"use_reentrant": False, "preserve_rng_state": False}
    forgotten = gradients(blocks, x, lambda block, y: checkpoint(block, y, **options))
    assert (forgotten - plain).norm() > 0.02 * plain.norm(), "another dropout, another gradient"


def test_recomputing_keeps_less_and_leaves_the_random_state():
    blocks = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.4), nn.Tanh()) for _ in range(5)])
    x = torch.randn(41, 8)
    plain = memory.saved_bytes(lambda: blocks(x).sum(), blocks)

    def again():
        y = x.clone().requires_grad_()
        for block in blocks:
            y = memory.recompute(block, y)
        return y.sum()

    assert memory.saved_bytes(again, blocks) < 0.6 * plain
    torch.manual_seed(2)
    loss = again()
    expected = torch.random.get_rng_state()
    loss.backward()
    assert torch.equal(torch.random.get_rng_state(), expected)


def test_a_frozen_weight_gets_no_gradient():
    block = nn.Linear(3, 3)
    block.bias.requires_grad_(False)
    x = torch.randn(2, 3, requires_grad=True)
    memory.recompute(block, x).sum().backward()
    assert block.bias.grad is None and block.weight.grad is not None and x.grad is not None


def test_segments_of_the_root_are_the_best_of_equal_layers():
    sizes = {s: memory.chain_bytes(1, 16, s) for s in (1, 2, 4, 8, 16)}
    assert min(sizes, key=sizes.get) == 4 and sizes[4] == 8 and memory.chain_bytes(1, 16, None) == 16


# ---------------------------------------------------------------- shares of a batch
WRONG = {
    "mean of means": lambda g, n: np.mean(g, axis=0),
    "sum": lambda g, n: np.sum(g, axis=0),
    "rank 0's number": lambda g, n: np.asarray(n) @ g / n[0],
    "number of parts": lambda g, n: np.asarray(n) @ g / len(n),
}


def whole_and_parts(counts):
    rng = np.random.default_rng(0)
    each = rng.normal(size=(sum(counts), 3))
    ends = np.cumsum(counts)
    parts = np.array(
        [each[end - n : end].mean(axis=0) if n else np.zeros(3) for n, end in zip(counts, ends, strict=True)]
    )
    return each.mean(axis=0), parts


@pytest.mark.parametrize("counts", [[21, 20], [7, 0, 3], [5]])
def test_the_parts_give_the_whole(counts):
    whole, parts = whole_and_parts(counts)
    np.testing.assert_allclose(batches.combine(parts, counts), whole, atol=1e-12)


@pytest.mark.parametrize("name", WRONG)
def test_each_known_mistake_is_noticed(name):
    whole, parts = whole_and_parts([21, 20, 4])
    assert np.abs(WRONG[name](parts, [21, 20, 4]) - whole).max() > 1e-3


def test_counts_must_be_counts():
    for counts in ([0, 0], [-1, 2]):
        with pytest.raises(ValueError, match="counts"):
            batches.shares(counts)


def test_accumulation_equals_the_big_batch_with_an_odd_part():
    torch.manual_seed(0)
    net = nn.Linear(4, 2).double()
    x, y = torch.randn(41, 4, dtype=torch.float64), torch.randint(0, 2, (41,))
    big = nn.functional.cross_entropy(net(x), y)
    big.backward()
    wanted = net.weight.grad.clone()
    net.zero_grad()
    parts = [((x[i : i + 16], y[i : i + 16]), len(x[i : i + 16])) for i in range(0, 41, 16)]
    mean = batches.accumulate(net, lambda m, p: nn.functional.cross_entropy(m(p[0]), p[1], reduction="sum"), parts)
    assert (net.weight.grad - wanted).abs().max() <= 1e-12 and mean == pytest.approx(float(big.detach()), abs=1e-12)


# ---------------------------------------------------------------- cost
def test_counted_operations_are_pytorchs_own():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 5))
    x = torch.randn(7, 3, 16, 16)
    ours = cost.training_flops(net, lambda: net(x), first=("0",))
    assert ours == cost.torch_flops(lambda: net(x).square().sum().backward())
    assert not any(m._forward_hooks for m in net.modules()), "no hook is left behind"
    assert cost.transformer_flops(10, 20) == 1200


def test_a_product_of_estimates_has_the_product_of_factors():
    hours = cost.Estimate(10.0, 1.5, "h") * cost.Estimate(0.5, 2.0, "kWh")
    assert hours.value == 5 and hours.factor == 3 and hours.unit == "kWh"
    assert str(hours) == "5 kWh (2 to 20)" and str(cost.Estimate(5.0)) == "5"
    assert (cost.Estimate(2.0, 3.0) * 4).factor == 3
    assert str(cost.Estimate(29_167.0, 2.0, "h")) == "29,000 h (10,000 to 60,000)"
    assert str(cost.Estimate(4.2e22, 1.2)) == "4.2e+22 (3e+22 to 5e+22)"
    assert cost.emissions(hours, 400).value == 2000


def test_energy_is_read_where_there_is_a_counter(tmp_path):
    for name in ("intel-rapl:0", "intel-rapl:0:0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text("1000000\n")
        (tmp_path / name / "max_energy_range_uj").write_text("9000000\n")
    with cost.EnergyMeter(tmp_path) as meter:
        (tmp_path / "intel-rapl:0" / "energy_uj").write_text("4600000\n")
    assert meter.measured and meter.energy.value == pytest.approx(3.6 / 3.6e6) and "read from 1" in meter.report()
    with cost.EnergyMeter(tmp_path) as meter:
        (tmp_path / "intel-rapl:0" / "energy_uj").write_text("600000\n")  # it began again at 0
    assert meter.energy.value == pytest.approx(5.0 / 3.6e6)


def test_without_a_counter_it_is_called_an_estimate(tmp_path):
    with cost.EnergyMeter(tmp_path / "none") as meter:
        sum(range(100_000))
    assert not meter.measured and meter.energy.factor == 3 and "could be off by a factor of 3" in meter.report()

"""LoRA: nothing changes at first, only A and B are trained, merged is the same, and it is as `peft` has it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mmcourse.torch.lora import LoRALinear, add_lora, fold_lora, lora_linear, lora_state_dict
from mmcourse.torch.vlm import VLM


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5)).double()


def perturb(model: nn.Module) -> None:
    """As after training: B is no longer 0."""
    torch.manual_seed(1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LoRALinear):
                module.lora_b.normal_()


def test_nothing_changes_at_first_and_only_b_has_a_gradient():
    model, x = two_layers(), torch.randn(4, 6, dtype=torch.float64)
    before = model(x)
    assert add_lora(model, rank=2, alpha=5.0, targets=("0", "2")) == ["0", "2"]
    assert torch.equal(model(x), before)
    model(x).square().sum().backward()
    assert model[0].lora_b.grad.abs().sum() > 0 and model[0].lora_a.grad.abs().sum() == 0  # since B is 0
    assert model[0].base.weight.grad is None and model[0].base.bias.grad is None


def test_only_lora_is_trained_and_the_rest_stays_bit_for_bit():
    model, x = two_layers(), torch.randn(16, 6, dtype=torch.float64)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    add_lora(model, rank=2, alpha=5.0, targets=("0",))
    trained = [p for p in model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == 2 * 6 + 8 * 2
    optimizer = torch.optim.AdamW(trained, lr=0.05)
    losses = []
    for _ in range(30):
        loss = (model(x) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert torch.equal(model[0].base.weight, before["0.weight"]) and torch.equal(model[2].weight, before["2.weight"])


def test_merged_is_the_same_and_the_base_is_untouched():
    model, x = two_layers(), torch.randn(4, 6, dtype=torch.float64)
    weight = model[0].weight.clone()
    add_lora(model, rank=3, alpha=7.0, targets=("0", "2"))
    perturb(model)
    with_lora = model(x).detach()
    merged = model[0].merged()
    assert torch.equal(model[0].base.weight, weight) and not torch.equal(merged.weight, weight)
    assert fold_lora(model) == ["0", "2"] and not any(isinstance(m, LoRALinear) for m in model.modules())
    assert (model(x) - with_lora).abs().max() < 1e-12
    assert fold_lora(model) == []


def test_the_layer_is_the_formula():
    layer = LoRALinear(nn.Linear(6, 8).double(), rank=3, alpha=7.0)
    nn.init.normal_(layer.lora_b)
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    want = lora_linear(x, layer.weight, layer.lora_a, layer.lora_b, 7.0) + layer.base.bias
    assert torch.allclose(layer(x), want, atol=1e-12)


def test_equal_to_peft():
    """The same A and B, with α not the rank."""
    peft = pytest.importorskip("peft", reason="extra `reference`: pip install 'mmcourse[reference]'")
    ours, theirs = two_layers(), two_layers()
    add_lora(ours, rank=2, alpha=6.0, targets=("0", "2"))
    perturb(ours)
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["0", "2"])
    theirs = peft.get_peft_model(theirs, config).double()
    with torch.no_grad():
        for number in ("0", "2"):
            layer = theirs.base_model.model.get_submodule(number)
            layer.lora_A["default"].weight.copy_(ours.get_submodule(number).lora_a)
            layer.lora_B["default"].weight.copy_(ours.get_submodule(number).lora_b)
    x = torch.randn(4, 6, dtype=torch.float64)
    assert (ours(x) - theirs(x)).abs().max() < 1e-6
    merged = theirs.merge_and_unload()
    fold_lora(ours)
    assert (ours[0].weight - merged.get_submodule("0").weight).abs().max() < 1e-6


def test_best_loss_by_rank_is_eckart_young():
    """Where the best change has rank 2, rank 1 leaves the second singular value, rank 2 nothing."""
    torch.manual_seed(0)
    u, _ = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))
    v, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    change = 3.0 * u[:, :1] @ v[:, :1].T + 1.0 * u[:, 1:2] @ v[:, 1:2].T
    x = torch.eye(6, dtype=torch.float64)
    for rank, left in ((1, 1.0), (2, 0.0)):
        base = nn.Linear(6, 8, bias=False).double()
        layer = LoRALinear(base, rank, alpha=float(rank))
        aim = x @ (base.weight + change).T.detach()
        optimizer = torch.optim.Adam([layer.lora_a, layer.lora_b], lr=0.05)
        for _ in range(400):
            loss = (layer(x) - aim).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss.item() == pytest.approx(left, abs=0.01)


def test_a_vision_language_model_with_lora_answers_saves_small_and_merges(tmp_path: Path):
    torch.manual_seed(0)
    model = VLM(dim=32, num_layers=2, num_heads=4, hidden=48, vision_dim=32).eval()
    picture = torch.rand(64, 64, 3).numpy()
    before = model.log_likelihood(picture, "Is it red?", "yes")
    names = add_lora(model, rank=2, alpha=5.0)
    assert names == [f"language.blocks.{i}.attention.{part}" for i in range(2) for part in ("q_proj", "v_proj")]
    assert torch.equal(model.log_likelihood(picture, "Is it red?", "yes"), before)
    perturb(model)
    after = model.log_likelihood(picture, "Is it red?", "yes")
    assert not torch.allclose(after, before)
    kept = lora_state_dict(model)
    assert sum(value.numel() for value in kept.values()) == 4 * (2 * 32 + 32 * 2)
    fold_lora(model)
    assert torch.allclose(model.log_likelihood(picture, "Is it red?", "yes"), after, atol=1e-5)
    model.save_pretrained(tmp_path)
    assert torch.allclose(VLM.from_pretrained(tmp_path).log_likelihood(picture, "Is it red?", "yes"), after, atol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank: expected 1 to 6 for this layer, got 0"),
        ({"rank": 7}, "rank: expected 1 to 6 for this layer, got 7"),
        ({"targets": ("q_proj",)}, r"none of this model's is called \['q_proj'\]"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        add_lora(two_layers(), **{"rank": 2, "targets": ("0",), **options})


def test_lora_on_lora_is_refused():
    model = two_layers()
    add_lora(model, rank=1, targets=("0",))
    with pytest.raises(ValueError, match="has LoRA layers already"):
        add_lora(model, rank=1, targets=("2",))

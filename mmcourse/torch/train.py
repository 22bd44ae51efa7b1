"""The smallest training loop that the lessons need."""

import math

import torch
from tqdm.auto import tqdm

from mmcourse.torch.losses import cross_entropy


def warmup_cosine(step, total, warmup=0.3):
    """Factor of the learning rate at a step: up to 1 in a straight line, then down to 0 along a cosine."""
    start = warmup * total
    return step / start if step < start else 0.5 + 0.5 * math.cos(math.pi * (step - start) / (total - start))


def on(batch, device):
    """A batch dict, nested or not, with its tensors on that device."""
    return {k: on(v, device) if isinstance(v, dict) else v.to(device) for k, v in batch.items()}


def where(model):
    """The device of a model's parameters."""
    return next(model.parameters()).device


def fit(model, train_loader, epochs=10, learning_rate=1e-2, weight_decay=0.3, seed=0, progress=True):
    """Train a classifier of batch dicts, where it stands (CPU or GPU), with AdamW, warm-up and cosine.

    `train_loader` shuffles by its own seed; `seed` is for what is drawn in training, such as dropout. It leaves
    PyTorch's generator as it found it. Returns a list of {"loss", "accuracy"}, one an epoch, measured while training.
    """
    optimiser = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=weight_decay)
    total = epochs * len(train_loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warmup_cosine(step, total))
    history = []
    model.train()
    with torch.random.fork_rng(devices=[]), tqdm(total=total, disable=not progress) as bar:
        torch.manual_seed(seed)
        for epoch in range(epochs):
            seen = loss_sum = right = 0
            for batch in train_loader:
                batch = on(batch, where(model))
                logits, labels = model(batch), batch["label"]
                loss = cross_entropy(logits, labels)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                seen, loss_sum = seen + len(labels), loss_sum + loss.item() * len(labels)
                right += (logits.argmax(-1) == labels).sum().item()
                bar.update()
            history.append({"loss": loss_sum / seen, "accuracy": right / seen})
            bar.set_description(f"epoch {epoch + 1}: loss {loss_sum / seen:.3f}, accuracy {right / seen:.3f}")
    return history


@torch.no_grad()
def predict(model, loader):
    """Logits of every sample in the loader's order, as a NumPy array (n, classes)."""
    model.eval()
    return torch.cat([model(on(batch, where(model))) for batch in loader]).cpu().numpy()

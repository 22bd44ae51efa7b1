"""Train, save and measure the recognizer that is shipped in data/models/helpdesk.

    python notebooks/src/assistant/make_recognizer.py --voices FOLDER   # render training voices (libespeak-ng)
    python notebooks/src/assistant/make_recognizer.py --train FOLDER --keep FILE [--steps N] [--chunk MINUTES]
    python notebooks/src/assistant/make_recognizer.py --measure

It begins with the weights of the course's recognizer (lesson `speech_to_text`) and learns the helpdesk's words. Training
voices, changes of sound and optimizer are those of that lesson's script; what is said are sentences of the grammar's seen
templates, and words in no order. The test voices are never rendered here.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from pathlib import Path

import numpy as np
import torch

from mmcourse.datasets import data_dir, helpdesk
from mmcourse.datasets.scenes.speech import VoiceBank
from mmcourse.evaluate.words import word_error_rate
from mmcourse.io import atomic_write
from mmcourse.torch.helpdesk import HelpdeskRecognizer
from mmcourse.torch.speech_to_text import Recognizer, pad_frames

HERE = Path(__file__).resolve().parent
SEED, BATCH, STEPS, NUM_VOICES, EVERY = 0, 16, 700, 120, 100


def lesson_script():
    """make_results.py of lesson speech_to_text as a module."""
    spec = importlib.util.spec_from_file_location(
        "speech_make_results", HERE.parent / "speech_to_text" / "make_results.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.spoken_words = helpdesk.grammar.vocabulary  # what `render` and `load_voices` go through
    return module


def random_text(rng: np.random.Generator) -> str:
    """Six in ten a sentence of the grammar, else words in no order."""
    if rng.random() < 0.6:
        return helpdesk.grammar.draw(1, rng)[0].text
    return " ".join(rng.choice(helpdesk.grammar.vocabulary(), int(rng.integers(3, 11))))


def held_out(split: str, n: int, templates: str = "seen") -> tuple[list[str], list[np.ndarray]]:
    """Sentences spoken by a split's voices."""
    data = helpdesk.load(split, templates=templates, n=n)
    return list(data.column("words")), list(data.column("speech"))


def train(folder: Path, keep: Path, steps: int, chunk: float) -> bool:
    """Train until `steps`; a call stops after `chunk` minutes and the next goes on from `keep`."""
    script = lesson_script()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    banks: list[VoiceBank] = script.load_voices(folder)
    texts, waves = held_out("validation", 150)
    model = HelpdeskRecognizer()
    model.start_from(Recognizer.from_pretrained("speech_to_text"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    state = {"step": 0, "curve": [], "cpu seconds": 0.0}
    if keep.is_file():
        stored = torch.load(keep, weights_only=True)
        model.load_state_dict(stored["model"])
        optimizer.load_state_dict(stored["optimizer"])
        state = stored["state"]
    started, cpu, before, losses = time.perf_counter(), time.process_time(), state["cpu seconds"], []
    model.train()
    while state["step"] < steps and time.perf_counter() - started < 60 * chunk:
        step = state["step"]
        rng = np.random.default_rng([SEED, step, 3])
        pairs = [script.random_sample(banks, rng, random_text(rng)) for _ in range(BATCH)]
        said, frames = zip(*pairs, strict=True)
        for group in optimizer.param_groups:
            group["lr"] = script.learning_rate(step, (step + 1) / steps, 2e-3)
        loss = model.loss(*pad_frames(frames), said)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        losses.append(loss.item())
        state["step"] = step + 1
        state["cpu seconds"] = before + time.process_time() - cpu
        if (step + 1) % EVERY == 0 or step + 1 == steps:
            row = {"step": step + 1, "loss": float(np.mean(losses[-100:])), "wer": script.validate(model, texts, waves)}
            row["cpu seconds"] = state["cpu seconds"]
            state["curve"].append({key: round(value, 4) for key, value in row.items()})
            print(state["curve"][-1], flush=True)
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "state": state}, keep)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "state": state}, keep)
    if state["step"] < steps:
        return False
    target = data_dir() / "models" / "helpdesk"
    model.eval().save_pretrained(target)
    training = {"seed": SEED, "steps": steps, "batch": BATCH, "voices": len(banks), **state}
    atomic_write(target / "figures.json", json.dumps({"training": training}, indent=1) + "\n")
    return True


def measure() -> None:
    """Word error rates on test voices, and the card."""
    target = data_dir() / "models" / "helpdesk"
    figures = json.loads((target / "figures.json").read_text())
    model = HelpdeskRecognizer.from_pretrained("helpdesk")
    found = {}
    for name, templates in (("seen", "seen"), ("unseen", "unseen")):
        texts, waves = held_out("test", 500, templates)
        found[f"wer, {name} templates"] = word_error_rate(texts, model.transcribe(waves))
        noisy = helpdesk_noise(waves)
        found[f"wer, {name} templates, noise at 10 dB"] = word_error_rate(texts, model.transcribe(noisy))
    figures["made_with"] = {"torch": torch.__version__.split("+")[0], "numpy": np.__version__}
    figures["measured"] = {key: round(value, 4) for key, value in found.items()}
    atomic_write(target / "figures.json", json.dumps(figures, indent=1) + "\n")
    training = figures["training"]
    rows = "\n".join(
        f"| {r['step']:,.0f} | {r['cpu seconds']:.0f} | {r['loss']:.3f} | {r['wer']:.3f} |" for r in training["curve"]
    )
    measured = "\n".join(f"| {key} | **{value:.3f}** |" for key, value in figures["measured"].items())
    count = sum(p.numel() for p in model.parameters())
    atomic_write(
        target / "README.md",
        CARD.format(weights=count, words=len(model.words), rows=rows, measured=measured, **training),
    )


def helpdesk_noise(waves: list[np.ndarray]) -> list[np.ndarray]:
    """White noise at 10 dB."""
    from mmcourse.datasets.scenes.spoken import add_noise

    return add_noise(waves, 10.0, seed=1)


CARD = """\
# Model card: helpdesk

Writes down what callers of `helpdesk` say: {words} words. The course's recognizer (`data/models/speech_to_text`) with
another last layer, trained further: log-mel as in Whisper, convolutions, CTC over words. {weights:,} weights as float16, loaded by
safetensors only:

```python
from mmcourse.torch.helpdesk import HelpdeskRecognizer
model = HelpdeskRecognizer.from_pretrained("helpdesk")
model.transcribe(waves)
model.hypotheses(wave)         # the ten most probable texts, with their probabilities
```

## Data
Sentences of the grammar's seen templates and words in no order, spoken by {voices} synthetic voices of espeak-ng that only
training has, changed at random each time, as for `speech_to_text`. The rendered voices are not shipped.

## Training
`notebooks/src/assistant/make_recognizer.py`, seed {seed}: {steps} steps of {batch} sentences with AdamW.

| step | CPU seconds | loss, nats per word | WER, validation voices |
|---|---|---|---|
{rows}

## Measured
500 test sentences by three voices that were never heard in training; greedy decoding, no language model.

| figure | reached |
|---|---|
{measured}

## Limits
Synthetic voices, words recorded one by one. "for" and "four" sound alike; only the words around them tell. It has never
heard a person. It writes one of its words for any sound, "order" for a cough if need be: see lesson `assistant` on refusing.

## License
Weights and card: CC BY 4.0, the mmcourse authors.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voices", type=Path)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--number", type=int, default=NUM_VOICES)
    parser.add_argument("--chunk", type=float, default=5.5)
    parser.add_argument("--measure", action="store_true")
    options = parser.parse_args()
    if options.voices:
        lesson_script().render(options.voices, options.number)
    if options.train and not train(options.train, options.keep, options.steps, options.chunk):
        print("not at the end: run it again")
        return
    if options.measure:
        measure()


if __name__ == "__main__":
    main()

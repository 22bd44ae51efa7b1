"""Log-mel as a PyTorch module, through which a gradient flows."""

import numpy as np
import torch
from torch import nn

from mmcourse.exercise import between, context, edit, example, exercise, part, right, says


class LogMel(nn.Module):
    """Waves (b, n) → log-mel frames (b, t, n_mels) in dB."""

    def __init__(self, window, bank, hop_length):
        super().__init__()
        self.hop_length = hop_length
        self.register_buffer("window", window)  # (n_fft,)
        self.register_buffer("bank", bank)  # (n_mels, 1 + n_fft // 2)

    def forward(self, wave):
        frames = wave.unfold(-1, len(self.window), self.hop_length)  # (b, t, n_fft)
        spectrum = torch.fft.rfft(frames * self.window)  # (b, t, bins)
        power = spectrum.real**2 + spectrum.imag**2
        bands = power @ self.bank.T  # (b, t, n_mels)
        return 10 * torch.log10(bands.clamp(min=1e-10))


def use_log_mel(probe, answer, window, bank, hop_length, waves):
    """Output, gradient to the samples, and how the module keeps its two arrays."""
    module = answer(probe.tensor(window), probe.tensor(bank), hop_length)
    probe.is_module(module)
    x = probe.tensor(waves).requires_grad_()
    out = module(x)
    if not isinstance(out, probe.torch.Tensor):
        raise probe.Problem(f"`forward` returned a {type(out).__name__}: return a tensor.")
    if not out.requires_grad:
        raise probe.Problem("No gradient reaches the samples: stay in PyTorch from the wave to the decibels.")
    (gradient,) = probe.torch.autograd.grad(out.sum(), x)
    saved = module.state_dict()
    yield {
        "the frames": probe.output(out),
        "the gradient of the samples": probe.array(gradient),
        "the number of trainable parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
        "whether the window and the triangles are saved with the module": len(saved) >= 2,
    }


def draw_waves(g, b, n_fft, n_mels, hop_length, extra, gain=1.0, silent=False):
    """Waves of a few frames and some samples more; with `silent`, the first wave is digital silence."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    bank = g.uniform(0, 1, (n_mels, 1 + n_fft // 2)).round(2).astype(np.float32)
    n = n_fft + 3 * hop_length + extra
    waves = (gain * g.normal(0, 0.3, (b, n)).round(3)).astype(np.float32)
    if silent:
        waves[0] = 0
    return window, bank, hop_length, waves


module = exercise(
    "audio.4",
    LogMel,
    framework="torch",
    use=use_log_mel,
    title="Log-mel as a PyTorch module",
    points=3,
    difficulty=3,
    minutes=25,
    statement=[
        context(
            "Inside a network log-mel has to be a module: it runs on a batch, moves to the GPU with the model, and lets "
            "gradients through. (An `nn.Module` has `__init__`, which keeps what it needs, and `forward`, which computes.)"
        ),
        context(
            "**Write** the class `LogMel(window, bank, hop_length)`. `window` (n_fft,) and `bank` (n_mels, 1 + n_fft // 2) are tensors."
        ),
        says(
            "Keep both with `self.register_buffer(name, tensor)`: so they move and are saved with the module,",
            mistake="plain attributes",
        ),
        says("but no optimizer trains them.", mistake="trainable parameters"),
        says(
            "`forward(wave)` takes a batch (b, n) and cuts each wave into frames as long as the window, one every "
            "`hop_length` samples,",
            mistake="frames do not overlap",
        ),
        says("the first at sample 0, without padding; what does not fill a frame is left out.", mistake="You padded"),
        says("Each frame is multiplied by the window,", mistake="The window has no effect"),
        context("and transformed along its samples, the last axis (`torch.fft.rfft`)."),
        says("Power is the squared magnitude,", mistake="magnitudes, not powers"),
        says("each triangle adds it up with its weights,", mistake="mean over the bins"),
        says("and the bands become decibels,", mistake="natural logarithm"),
        says("with at least 1e-10 as power (`clamp`).", mistake="added 1e-10"),
        says("Return (b, t, n_mels).", ignored=edit("clamp(min=1e-10))", "clamp(min=1e-10)).transpose(1, 2)")),
        says(
            "The gradient of the samples is finite even for digital silence: there it is 0.",
            mistake="NaN as gradient",
        ),
        example("""
wave = torch.arange(10.0)[None]  # (1, 10)
frames = wave.unfold(-1, 4, 3)  # frames of 4, one every 3
print(tuple(frames.shape), frames[0].tolist())
"""),
    ],
    hints=[
        "`wave.unfold(-1, length, step)` cuts the last axis into frames. Which axes does it give?",
        "The magnitude √(re² + im²) has no slope at 0: `abs()` is safe there in PyTorch, a root of your own is not. "
        "`spectrum.real**2 + spectrum.imag**2` needs no root at all.",
    ],
    draw=draw_waves,
    parts=[
        part("a batch of waves", weight=2, b=between(2, 3), n_fft=8, n_mels=3, hop_length=3, extra=0),
        part("samples left over", b=2, n_fft=6, n_mels=2, hop_length=4, extra=between(1, 3)),
        part("one wave, frames side by side", b=1, n_fft=4, n_mels=3, hop_length=4, extra=1),
        part("frames with gaps", b=2, n_fft=4, n_mels=2, hop_length=6, extra=0),
        part("almost silence", b=1, n_fft=8, n_mels=3, hop_length=4, extra=0, gain=1e-5),
        part("digital silence", weight=2, b=2, n_fft=8, n_mels=3, hop_length=4, extra=0, silent=True),
    ],
    own={"b": 1, "n_fft": 4, "n_mels": 2, "hop_length": 2, "extra": 0},
    own_says="A window, triangles, a hop length and a wave of your own",
    mistakes={
        "`window` and `bank` are plain attributes, so they stay behind when the module moves, and are not saved: "
        "`self.register_buffer`.": edit(
            'self.register_buffer("window", window)',
            "self.window = window",
            'self.register_buffer("bank", bank)',
            "self.bank = bank",
        ),
        "Your arrays are trainable parameters: an optimizer would change the transform. Register them as buffers.": edit(
            'self.register_buffer("window", window)',
            "self.window = nn.Parameter(window)",
            'self.register_buffer("bank", bank)',
            "self.bank = nn.Parameter(bank)",
        ),
        "Your frames do not overlap as asked: the next one starts `hop_length` samples later.": edit(
            "self.hop_length)  # (b, t, n_fft)", "len(self.window))"
        ),
        "You padded the wave. Here the first frame begins at sample 0, and what does not fill a frame is left out.": edit(
            "frames = wave",
            "wave = nn.functional.pad(wave, (len(self.window) // 2, len(self.window) // 2))\n        frames = wave",
        ),
        "The window has no effect: multiply each frame by it.": edit("frames * self.window", "frames"),
        "You added up magnitudes, not powers: square them.": "power = spectrum.abs()",
        "You squared the complex numbers themselves, or took only their real part. Power is re² + im².": [
            "power = (spectrum**2).real",
            "power = spectrum.real**2",
        ],
        "You took the mean over the bins; each triangle *adds up*.": "bands = power @ self.bank.T / power.shape[-1]",
        "That is the natural logarithm. Decibels use log10.": edit("torch.log10", "torch.log"),
        "You took 20 log10 of a power: the square has given the 2 already.": edit(
            "10 * torch.log10", "20 * torch.log10"
        ),
        "You added 1e-10 to each band. Only what lies below it is lifted: `clamp(min=1e-10)`.": edit(
            "bands.clamp(min=1e-10)", "(bands + 1e-10)"
        ),
        "Silence gives NaN as gradient: the root of 0 has no slope. Take re² + im² without a root.": edit(
            "spectrum.real**2 + spectrum.imag**2", "torch.sqrt(spectrum.real**2 + spectrum.imag**2) ** 2"
        ),
    },
    praise="A front end that is part of the network. torchaudio's `MelSpectrogram` is made in the same way.",
)


@right(module)
class FramesByIndex(nn.Module):
    """Frames by indexing, the transform by its definition as two matrices."""

    def __init__(self, window, bank, hop_length):
        super().__init__()
        size = len(window)
        turns = 2 * torch.pi * torch.outer(torch.arange(size), torch.arange(size // 2 + 1)) / size
        self.register_buffer("cosines", window[:, None] * torch.cos(turns))
        self.register_buffer("sines", window[:, None] * torch.sin(turns))
        self.register_buffer("bank", bank)
        self.size, self.hop_length = size, hop_length

    def forward(self, wave):
        starts = range(0, wave.shape[-1] - self.size + 1, self.hop_length)
        frames = torch.stack([wave[:, start : start + self.size] for start in starts], dim=1)
        power = (frames @ self.cosines) ** 2 + (frames @ self.sines) ** 2
        return 10 * torch.log10(torch.clamp(torch.einsum("btk,mk->btm", power, self.bank), min=1e-10))

"""What the course promises about its own speed: `make bench-speed` measures it, and fails where a promise is not kept.

Run it on a machine that does nothing else. `make bench-speed ARGS="scenes log_mel"` measures some; each value is the
best of several rounds, since other work on the machine only ever makes a round slower.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

ROUNDS = 5


@dataclass(frozen=True)
class Promise:
    """A measure and its limit; `at_least` where more is better."""

    name: str
    what: str
    unit: str
    limit: float
    measure: Callable[[], float]
    at_least: bool = False

    def best(self, rounds: int = ROUNDS) -> float:
        """The best of several measurements."""
        values = [self.measure() for _ in range(rounds)]
        return max(values) if self.at_least else min(values)

    def holds(self, value: float) -> bool:
        """Whether this value keeps the promise."""
        return value >= self.limit if self.at_least else value <= self.limit


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def core_seconds(code: str) -> float:
    """Processor time of a fresh Python that runs this code, its start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def printed_seconds(code: str) -> float:
    """The number that a fresh Python prints when it runs this code."""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


# ---------------------------------------------------------------- what is measured
def import_mmcourse() -> float:
    """Processor seconds of `import mmcourse`."""
    return printed_seconds("import time; t = time.process_time(); import mmcourse; print(time.process_time() - t)")


def read_exercises() -> float:
    """Processor seconds of the slowest lesson's exercises.py, beyond the libraries that its references import."""
    code = "import time, numpy, scipy.optimize, mmcourse.datasets, mmcourse.check\n"
    code += "from mmcourse.exercise import registry\ntimes = []\n"
    code += "for slug in registry.slugs():\n    start = time.process_time()\n"
    code += "    registry.without_frameworks(slug), registry.framework_headings(slug)\n"
    code += "    times.append(time.process_time() - start)\nprint(max(times))"
    return printed_seconds(code)


def load_mood() -> float:
    """Processor seconds of `load("mood", "train")` in a fresh process."""
    return printed_seconds(
        "import time; t = time.process_time(); from mmcourse.datasets import load; load('mood', 'train');"
        "print(time.process_time() - t)"
    )


def first_batch_of_mood() -> float:
    """Processor seconds from `load` to the first batch."""
    return printed_seconds(
        "import time; t = time.process_time(); from mmcourse.datasets import load; ds = load('mood', 'train');"
        "next(ds.batches(64)); print(time.process_time() - t)"
    )


def load_avdigits() -> float:
    """Processor seconds of a process that loads the larger split of `avdigits`."""
    return core_seconds("from mmcourse.datasets import load; load('avdigits', 'train')")


def scenes() -> float:
    """Scenes drawn in a second on one core."""
    from mmcourse.datasets.scenes import drawing, world

    def draw() -> None:
        for i in range(500):
            drawing.draw(world.make(0, i))

    return 500 / seconds(draw)


def drawn(name: str) -> float:
    """Validation samples of a data set that are drawn, with their features, in a second on one core."""
    from mmcourse.datasets import load

    begin = f"import numpy as np; from mmcourse.datasets import load, {name}; "
    work = begin + f"d = load({name!r}, 'validation'); d.features().batch(np.arange(len(d)))"
    return len(load(name, "validation")) / (core_seconds(work) - core_seconds(begin))


def log_mel() -> float:
    """Our log-mel of 1,000 clips of a second, as a share of Librosa's time."""
    import librosa

    from mmcourse.preprocess import audio

    rate = 16_000
    waves = np.random.default_rng(0).standard_normal((1000, rate)).astype(np.float32)

    def theirs() -> None:
        mel = librosa.feature.melspectrogram(y=waves, sr=rate, n_fft=512, hop_length=256, n_mels=40)
        librosa.power_to_db(mel, top_db=None)

    return seconds(lambda: audio.log_mel(waves, rate)) / seconds(theirs)


def tokenize_a_megabyte() -> float:
    """Seconds to normalize, tokenize and merge a line of a megabyte, without and with spaces."""
    from mmcourse.preprocess import bpe, text

    line = "word 你好 🙂 " * 80_000
    page = "".join(np.random.default_rng(0).choice(list("红色的圆在蓝方块上面"), 350_000))

    def read() -> None:
        text.tokenize(text.normalize(line))
        bpe.BPETokenizer.train([line], 30)
        bpe.BPETokenizer.train([page[:20_000]], 60).tokenize(page)

    return seconds(read)


def convolution() -> float:
    """Our convolution, forward and backward, as a multiple of PyTorch's time, the worst of three lesson sizes."""
    import torch

    from mmcourse.numpy import convolution as ours
    from mmcourse.numpy.weight_conversion import channels_first, kernel_to_torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(7)
    worst = 0.0
    for batch, size, in_channels, out_channels in ((32, 28, 1, 8), (32, 14, 8, 16), (32, 32, 3, 16)):
        x = rng.normal(size=(batch, size, size, in_channels)).astype(np.float32)
        w = rng.normal(size=(3, 3, in_channels, out_channels)).astype(np.float32)
        x_torch = torch.tensor(channels_first(x), requires_grad=True)
        w_torch = torch.tensor(kernel_to_torch(w).copy(), requires_grad=True)

        def our_way(x: np.ndarray = x, w: np.ndarray = w) -> None:
            y, cache = ours.conv2d(x, w, padding=1)
            ours.conv2d_backward(y, cache)

        def their_way(x: torch.Tensor = x_torch, w: torch.Tensor = w_torch) -> None:
            y = torch.nn.functional.conv2d(x, w, padding=1)
            torch.autograd.grad(y, (x, w), y)

        pairs = [(seconds(our_way), seconds(their_way)) for _ in range(15)]  # in turn, so that both meet the same load
        mine, theirs = np.min(pairs, axis=0)
        worst = max(worst, mine / theirs)
    return worst


PROMISES = [
    Promise("import", "`import mmcourse`", "core-s", 0.3, import_mmcourse),
    Promise("exercises", "reading a lesson's exercises", "core-s", 0.2, read_exercises),
    Promise("mood", 'load("mood", "train") in a fresh process', "core-s", 1.0, load_mood),
    Promise("mood_batch", "the first batch of mood", "core-s", 5.0, first_batch_of_mood),
    Promise("avdigits", 'a process that loads ("avdigits", "train")', "core-s", 2.0, load_avdigits),
    Promise("scenes", "scenes drawn on one core", "a second", 1000, scenes, at_least=True),
    Promise("road", "samples of road drawn on one core", "a second", 500, partial(drawn, "road"), at_least=True),
    Promise("clinic", "samples of clinic on one core", "a second", 500, partial(drawn, "clinic"), at_least=True),
    Promise("helpdesk", "samples of helpdesk on one core", "a second", 500, partial(drawn, "helpdesk"), at_least=True),
    Promise("log_mel", "log-mel beside Librosa's", "× its time", 1.05, log_mel),
    Promise("megabyte", "a line of a megabyte, tokenized", "s", 60, tokenize_a_megabyte),
    Promise("convolution", "NumPy convolution beside PyTorch's", "× its time", 10, convolution),
]


def report(promises: list[Promise], rounds: int = ROUNDS) -> bool:
    """Measure and print one line for each; whether all are kept."""
    kept = True
    for promise in promises:
        value = promise.best(rounds)
        sign = "✓" if promise.holds(value) else "✗"
        bound = "at least" if promise.at_least else "at most"
        line = f"{sign} {promise.what}: {value:.3g} {promise.unit} (promised: {bound} {promise.limit:g})"
        print(line, flush=True)
        kept = kept and promise.holds(value)
    return kept


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 if all promises that were measured are kept, 1 if not."""
    known = {promise.name: promise for promise in PROMISES}
    parser = argparse.ArgumentParser(prog="make bench-speed")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(known)} (all)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"no measure is called {unknown[0]!r}; there are {', '.join(known)}")
    chosen = [known[name] for name in options.names] or PROMISES
    return 0 if report(chosen, options.rounds) else 1


if __name__ == "__main__":
    sys.exit(main())

# %% [markdown]
# # Deploy: put your model behind a door
# *A notebook answers you. A service answers strangers: many at once, some of them hostile, for months. You start one, break it on purpose, and
# find out what its monitors tell you about a world that changes.*
#
# {{budget}}
#
# **You will be able to**
# - serve a model over HTTP, and test that its answers equal the notebook's;
# - say how long a queue is before you build it, and keep it from growing forever;
# - measure latency honestly: from the intended start, at a fixed rate, at the 99th percentile;
# - stop a new model that answers differently, after about a hundred requests and with error rates that you chose;
# - say what a drift alarm means, and how many labels a day find a loss of a given size.
#
# **Before this:** [start_here](start_here.ipynb) (the model that we serve), lesson *compress* (its ONNX file),
# [evaluate](evaluate.ipynb) (intervals).
#
# **Time to read:** 75 minutes with the four blanks, then 135 for the [exercises](exercises/deploy.ipynb).

# %%
import asyncio
import base64
import io
import json
import time
import zlib

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import resample_poly
from scipy.stats import binom, binomtest, ks_2samp

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import load, mood
from mmcourse.datasets.stored import lesson_dir
from mmcourse.evaluate import expect_within
from mmcourse.runtime import how_to_install, is_installed
from mmcourse.serve import drift, queueing, slo
from mmcourse.serve.batcher import Batcher, Busy
from mmcourse.serve.load import closed_loop, open_loop
from mmcourse.serve.rollout import SPRT, Rollout
from mmcourse.serve.virtual import run_virtual

needed = ("fastapi", "httpx", "onnxruntime", "prometheus_client")
can_serve = all(is_installed(name) for name in needed)
print("the service can run here" if can_serve else how_to_install("serve"))

# %% [markdown]
# ## 1 · An answer over HTTP
#
# In a terminal, `mmcourse serve` starts a service and prints its address; open it in a browser, and you have a page with a camera and a microphone. Here we start
# *the same service* inside the notebook, without a port: `httpx` hands it the requests.

# %%
import httpx

from mmcourse.serve.app import Service, create_app
from mmcourse.serve.model import OnnxModel
from mmcourse.serve.records import Log

log = io.StringIO()
service = Service(OnnxModel, log=Log(log))
transport = httpx.ASGITransport(app=create_app(service))
client = httpx.AsyncClient(transport=transport, base_url="http://service")
before = (await client.get("/ready")).json()
await service.start()
print(before)
print((await client.get("/ready")).json())

# %% tags=["free"]
answer = await client.post("/v1/predict", json={"words": "What a lovely evening!"})
print(answer.status_code)
for key, value in answer.json().items():
    print(f"{key:14}", str(value)[:90])

# %% [markdown]
# It answers, and it says what was missing: a request without a face is a request, not an error. Note the two answers of `/ready`. At first the process was *alive* but could not
# answer yet; it became ready when the model was loaded **and** had given the right answer to a stored message.
#
# ## 2 · The question
#
# **Record three guesses** before you go on.

# %%
wait_guess = widgets.guess(
    "One server, every request takes exactly 10 ms, and it is busy 90 % of the time. "
    "Requests come at random. How long does one wait, on average, before it is served?",
    ["about 1 ms", "about 10 ms", "about 45 ms", "about 500 ms"],
)

# %%
drift_guess = widgets.guess(
    "A model loses 23 points of accuracy in a day. A monitor compares today's inputs, "
    "answers and confidence with last month's. What does it see?",
    ["a large change", "a small change", "nothing at all"],
)

# %%
missing_guess = widgets.guess(
    "The model was trained on words, voice and face. Somebody sends words only; the "
    "other two are set to zero. Three classes: how often is it right?",
    ["about 65 %", "about 50 %", "less than one in three"],
)

# %% [markdown]
# ## 3 · The same answer as in the notebook
#
# What happens between the bytes and the answer?

# %% tags=["hide-input"]
steps = [
    ("door", "64 inside\nat most", "pink"),
    ("limits", "bytes, kind,\npixels, seconds", "orange"),
]
steps += [
    ("decode", "one worker\nthread", "blue"),
    ("batcher", "what waits is\nthe next batch", "green"),
]
steps += [
    ("model", "one thread,\nONNX Runtime", "blue"),
    ("answer", "JSON or\na page", "gray"),
]
canvas = draw.Canvas()
placed = []
for name, note, color in steps:
    made = draw.box(name, note=note, color=color)
    if placed:
        placed.append(canvas.place(made, right_of=placed[-1], gap=18))
    else:
        placed.append(canvas.place(made))
for left, right in zip(placed, placed[1:]):
    canvas.arrow(left, right)
draw.show(
    canvas,
    alt="The way of a request: door, limits, decode worker, batcher, model thread, "
    "answer. The event loop only moves it from one to the next.",
)

# %% [markdown]
# Neither the way through this chain nor the messages that share the batch may change an answer: shorter voices are padded to the longest, and a mask says what is padding.
# **Parity** must therefore be tested *over HTTP*, on bytes, in a random order. We send forty test messages, twenty at a time, and compare with one message at a time. These files are lossless, at the model's own size and rate.


# %%
def png(pixels):
    """A picture as a PNG file, in base64."""
    out = io.BytesIO()
    from PIL import Image

    Image.fromarray(np.asarray(pixels)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def wav(wave):
    """A recording as a WAV file of 32-bit floats, in base64."""
    import soundfile

    out = io.BytesIO()
    soundfile.write(out, np.asarray(wave), 16_000, format="WAV", subtype="FLOAT")
    return base64.b64encode(out.getvalue()).decode()


def as_request(sample, face=png, voice=wav):
    """A message as the JSON that the service takes."""
    made = {"words": sample["words"]}
    made["face"] = {"png_base64": face(sample["face"])}
    made["voice"] = {"wav_base64": voice(sample["voice"])}
    return made


test = load("mood", "test")
model = service.model
headers = {"x-timeout-ms": "5000"}


async def over_http(order, **files):
    """Logits (n, 3) of test messages, sent in this order, twenty at a time."""
    logits = np.zeros((len(order), 3))
    for start in range(0, len(order), 20):
        part = order[start : start + 20]
        posts = []
        for i in part:
            body = as_request(test[int(i)], **files)
            posts.append(client.post("/v1/predict", json=body, headers=headers))
        for i, answer in zip(part, await asyncio.gather(*posts)):
            logits[i] = answer.json()["logits"]
    return logits


sizes, observe = [], service.batcher.on_batch
service.batcher.on_batch = sizes.append
found = await over_http(np.random.default_rng(0).permutation(40))
service.batcher.on_batch = observe
prepared = []
for i in range(40):
    sample = test[i]
    prepared.append(model.prepare({name: sample[name] for name in mood.MODALITIES}))
alone = np.array([model.predict([features])[0] for features in prepared])
assert np.abs(found - alone).max() <= 1e-5
print("over HTTP against alone: no logit differs by more than 1e-5")
assert np.abs(model.predict(prepared) - alone).max() <= 1e-5
print("in one batch of 40 against alone: no logit differs by more than 1e-5")

# %% [markdown]
# (Both sides share `prepare`. The tests of the course do this with 200 messages, against PyTorch.) The second line is needed, since the service decides on its batches by itself, and they may be small: see the next cell. And users send other files: what do a JPEG of quality 90 and 48 kHz change?


# %% tags=["free"]
def jpeg(pixels):
    """A picture as a JPEG file, in base64."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(out, "JPEG", quality=90)
    return base64.b64encode(out.getvalue()).decode()


def wav_48(wave):
    """A recording as a WAV file of 16-bit numbers at 48 kHz, in base64."""
    import soundfile

    out = io.BytesIO()
    many = np.clip(resample_poly(np.asarray(wave, float), 3, 1), -1, 1)
    soundfile.write(out, many, 48_000, format="WAV", subtype="PCM_16")
    return base64.b64encode(out.getvalue()).decode()


print("sizes of the batches:", sorted(sizes, reverse=True))
for name, files in {"JPEG": {"face": jpeg}, "48 kHz": {"voice": wav_48}}.items():
    other = await over_http(np.arange(40), **files)
    far = np.abs(other - found).max()
    changed = (other.argmax(axis=1) != found.argmax(axis=1)).sum()
    print(f"{name:6}: a logit moves by up to {far:.3f}, {changed} of 40 labels change")
    assert far > 1e-5

# %% [markdown]
# These differences are far above 1e-5: the service answers exactly what the notebook would, *of what was sent*. A JPEG is another picture.
#
#
# ### What if something is missing?
#
# A message can have seven sets of modalities; six lack something. The model was trained on whole messages only. Two ways to answer the others: **zeros** in place of what is missing; or **stand-ins**: fill
# the hole with the parts of 16 training messages, one after the other, and average the 16 probabilities. Both were measured on all 1,500 test messages (stored with the service).

# %% tags=["hide-input"]
from mmcourse.serve import make_stand_ins

worth = json.loads((make_stand_ins.HERE / "stand_ins.json").read_text())
subsets = list(worth["ceiling"])
x = np.arange(len(subsets))
fig, ax = plt.subplots(figsize=(7.4, 3))
ax.bar(
    x - 0.2,
    [worth["zeros"][s] for s in subsets],
    0.38,
    color="#D55E00",
    label="zeros",
)
ax.bar(
    x + 0.2,
    [worth["stand-ins"][s] for s in subsets],
    0.38,
    color="#0072B2",
    label="stand-ins",
)
for k, s in enumerate(subsets):
    ceiling = worth["ceiling"][s]
    ax.plot(
        [k - 0.42, k + 0.42],
        [ceiling] * 2,
        color="black",
        linewidth=1.5,
        label="exact ceiling" if k == 0 else None,
    )
ax.axhline(1 / 3, color="#999999", linestyle=":", label="chance")
ax.set_xticks(x, [s.replace(" + ", "\n+ ") for s in subsets])
ax.set_ylim(0, 1)
ax.set_ylabel("accuracy (1,500 messages)")
ax.legend(ncols=4, fontsize=8.5, loc="upper left")
pairs = {s: (worth["zeros"][s], worth["stand-ins"][s]) for s in subsets}
told = "; ".join(f"{s}: {a:.2f} against {b:.2f}" for s, (a, b) in pairs.items())
plot.show(fig, alt=f"Accuracy with parts missing, zeros against stand-ins. {told}.")
zeros, filled = worth["zeros"]["words"], worth["stand-ins"]["words"]
best = worth["ceiling"]["words"]
print(f"words alone: zeros {zeros:.3f}, stand-ins {filled:.3f}, ceiling {best:.3f}")

# %%
missing_guess.compare("less than one in three")
assert worth["zeros"]["words"] < 1 / 3
assert min(worth["ceiling"][s] - worth["stand-ins"][s] for s in subsets) > -0.02
assert max(worth["ceiling"][s] - worth["stand-ins"][s] for s in subsets) < 0.09
assert sum(worth["ceiling"][s] - worth["stand-ins"][s] < 0.01 for s in subsets) == 3

# %% [markdown]
# Zeros are not "nothing": they are a message of a kind that the model has never seen. With words alone it is then right *less often than chance*. The stand-ins bring every subset within 9 points of its exact
# ceiling, three of the six within 1, without any training. (The ceiling is exact for the population; 1,500 messages vary by about ± 2.4 points.) (Training with [modality dropout](sentiment.ipynb) may do better.) An API that says `"missing": ["face", "voice"]` is honest only if somebody has measured this.

# %% [markdown]
# ## 4 · At the door
#
# A few kilobytes can unfold to gigabytes: a picture of 60,000 × 60,000 pixels of one color is a small PNG file (a **decompression bomb**). So the order of checks matters: **count bytes while they arrive** (a stated length is never believed), **look at the first
# bytes** (a name proves nothing), **read the header**, and only then decode. Try four bad requests:

# %%
header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
bomb = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + header
bomb += zlib.crc32(header).to_bytes(4, "big") + bytes(4) + b"IDAT"
script = base64.b64encode(b"<svg>" * 9).decode()
packed = base64.b64encode(bomb).decode()
bad = {
    "a script as a picture": {"face": {"png_base64": script}},
    "60,000 × 60,000 pixels": {"face": {"png_base64": packed}},
    "no words in the words": {"words": "?!"},
    "an unknown field": {"word": "lovely"},
}
for name, body in bad.items():
    answer = await client.post("/v1/predict", json=body)
    problem = answer.json()
    print(f"{name:23} {answer.status_code}  {problem['field']}: {problem['detail']}")

# %% [markdown]
# Errors have one form (`application/problem+json`, RFC 9457): type, title, status, detail, and the field that is to blame. And what was written to the log?

# %% tags=["free"]
for line in log.getvalue().splitlines()[-2:]:
    print(line)

# %%
secret = "Marguerite adored the wonderful wedding"
await client.post("/v1/predict", json={"words": secret})
assert "arguerite" not in log.getvalue() and "wedding" not in log.getvalue()
lines = [json.loads(line) for line in log.getvalue().splitlines()]
fields = sorted({key for line in lines for key in line})
print("a log line may hold:", ", ".join(fields))

# %% [markdown]
# What is not written down cannot leak. `Log.write` refuses every field whose name is not on its list; it does not look at the values.

# %% [markdown]
# ## 5 · The queue
#
# One server; a request takes $S$ seconds; who comes while it is busy waits. By hand, with $S = 2$ and arrivals at 0, 1, 1.5 and 9:

# %% tags=["hide-input"]
spans = {
    "request 1": [(0, 2, "served")],
    "request 2": [(1, 2, "wait"), (2, 4, "served")],
    "request 3": [(1.5, 4, "wait"), (4, 6, "served")],
    "request 4": [(9, 11, "served")],
}
draw.show(
    draw.timeline(spans),
    alt="Request 1 is served from 0 to 2. Request 2 comes at 1, waits to 2, is served "
    "to 4. Request 3 comes at 1.5, waits to 4, is served to 6. Request 4: no wait.",
)

# %% [markdown]
# The waits are 0, 1, 2.5 and 0. **Your turn (blank 1).** Write it for any arrivals. When request $i$ comes, the server will be free at some time (or is free already).
# <details><summary>Hint</summary>
#
# Keep `free`, the time when the server has done all before. The wait is `max(0, free - now)`; then `free = now + wait + service`.
# </details>


# %%
def request_waits(arrivals, service):
    """Wait of each request before its service begins (n,); arrivals ascend."""
    # BEGIN SOLUTION
    waits = []
    free = 0.0
    for now in arrivals:
        wait = max(0.0, free - now)
        waits.append(wait)
        free = now + wait + service
    return np.array(waits)
    # END SOLUTION


request_waits = check("deploy.blank.1", request_waits)

# %%
print(request_waits(np.array([0.0, 1.0, 1.5, 9.0]), 2.0))

# %% [markdown]
# This is a **virtual clock**: nothing sleeps, and the result is the same on every machine. Now let requests come at random (a Poisson process: a client does not know of the others) with rate $\lambda$, and let the service be constant. The
# share of time that the server is busy is the **load** $\rho = \lambda S$. For this queue, called M/D/1, the mean wait is known exactly (the Pollaczek–Khinchine formula):
#
# $$W = \frac{\rho}{2\mu(1-\rho)} \qquad \mu = 1/S$$

# %%
S = 0.010
for load_ in (0.3, 0.7, 0.9, 0.97):
    runs = []
    for seed in range(8):
        arrivals = queueing.poisson_arrivals(load_ / S, 60_000, seed)
        runs.append(1000 * queueing.waits(arrivals, S).mean())
    exact = 1000 * queueing.md1_wait(load_ / S, S)
    half = 2.36 * np.std(runs, ddof=1) / np.sqrt(8)  # Student's t, 8 seeds
    mean = np.mean(runs)
    print(f"load {load_:.2f}: {mean:6.2f} ± {half:4.2f} ms, formula {exact:6.2f} ms")
    assert abs(np.mean(runs) - exact) < 3 * half
mine = request_waits(queueing.poisson_arrivals(70, 2000), S)
assert np.allclose(mine, queueing.waits(queueing.poisson_arrivals(70, 2000), S))

# %%
wait_guess.compare("about 45 ms")

# %% [markdown]
# At 90 % load a request of 10 ms waits 45 ms; at 97 %, 162 ms. The last few percent of a machine cost most. **Little's law** says the rest: how many wait is $L = \lambda W$, whatever the distributions; here $90 \cdot 0.045 = 4$. **Move the slider.**


# %% tags=["hide-input"]
def show_queue(load=0.7):
    """Wait against load, and this load's distribution."""
    loads = np.linspace(0.05, 0.97, 60)
    found = 1000 * queueing.waits(queueing.poisson_arrivals(load / S, 30_000), S)
    fig, axes = plt.subplots(1, 2, figsize=(7.4, 2.7))
    axes[0].plot(
        loads,
        [1000 * queueing.md1_wait(r / S, S) for r in loads],
        color="#0072B2",
        label="constant (M/D/1)",
    )
    axes[0].plot(
        loads,
        [1000 * queueing.mm1_wait(r / S, S) for r in loads],
        color="#D55E00",
        label="random (M/M/1)",
    )
    axes[0].plot(load, found.mean(), "ko", label="simulated")
    axes[0].set(xlabel="load", ylabel="mean wait, ms", ylim=(0, 200))
    axes[0].legend(fontsize=8.5)
    axes[1].hist(found, bins=np.linspace(0, 200, 50), color="#0072B2")
    p50, p99 = queueing.percentile(found, 50), queueing.percentile(found, 99)
    axes[1].set(xlabel="wait, ms", ylabel="requests", yscale="log")
    axes[1].set_title(
        f"half below {p50:.0f} ms, 99 % below {p99:.0f} ms",
        fontsize=10,
        fontweight="normal",
    )
    told = f"mean {found.mean():.1f} ms, median {p50:.0f}, 99th percentile {p99:.0f}"
    plot.show(fig, alt=f"Wait against load; its distribution at load {load}: {told}.")
    print(f"load {load}: {told}")


widgets.slider(show_queue, load=[0.3, 0.5, 0.7, 0.8, 0.9, 0.95])

# %% [markdown]
# Look at the right-hand picture: at load 0.7 most requests wait little, but one in a hundred waits several times the mean. Users meet the **tail latency**, the slow end of the distribution, more often than you think: a page that makes ten requests meets the slowest percent in one visit of ten, if they are independent. So we state **p99**, the 99th percentile, never the mean.

# %% [markdown]
# ## 6 · Micro-batching
#
# Suppose that a batch of $n$ takes $a + b\,n$ seconds, with a fixed part $a$ (in the cells $a$ = 10 ms and $b$ = 1 ms: assumed, not measured). Then larger batches give a higher **throughput**, answers per second, $n/(a + bn)$; but at night, when few requests come, waiting for a batch to fill only costs time. **Micro-batching** as it should be: never wait; take what has gathered while the model was busy.

# %% tags=["hide-input"]
spans = {
    "requests": [
        (0.05, "1"),
        (0.3, "2"),
        (0.6, "3"),
        (0.9, "4"),
        (1.5, "5"),
        (2.0, "6"),
    ],
    "model": [(0.05, 1.1, "1"), (1.1, 2.4, "2, 3, 4"), (2.4, 3.6, "5, 6")],
}
draw.show(
    draw.timeline(spans),
    alt="Request 1 is computed at once. Requests 2, 3 and 4 come meanwhile and are the "
    "next batch; 5 and 6 the one after.",
)

# %% [markdown]
# That is the service's own `Batcher`, 60 lines of `asyncio`. We run *the real code* on a virtual clock: an event loop whose clock jumps to the next timer.

# %%
FIXED, EACH = 0.010, 0.001  # seconds


async def model_of_time(items):
    """Stands in for a model: takes a + b n virtual seconds."""
    await asyncio.sleep(FIXED + EACH * len(items))
    return items


def under_load(rate, max_batch, max_waiting=64, n=3000):
    """Send n requests at this rate; (report, sizes of batches)."""
    sizes = []

    async def main():
        batcher = Batcher(model_of_time, max_batch, max_waiting, sizes.append)

        async def send(i):
            try:
                await batcher.submit(i)
            except Busy:
                return 503
            return 200

        return await open_loop(send, rate, n)

    return run_virtual(main), sizes


for rate in (5, 50, 200, 500):
    report, sizes = under_load(rate, max_batch=16)
    p50, p99 = 1000 * report.latency_at(50), 1000 * report.latency_at(99)
    told = f"mean batch {np.mean(sizes):4.1f}, p50 {p50:4.1f} ms, p99 {p99:4.1f} ms"
    print(f"{rate:4} requests/s: {told}")

# %%
single, _ = under_load(2000, max_batch=1)
batched, _ = under_load(2000, max_batch=16)
ratio = batched.goodput / single.goodput
exact_ratio = queueing.throughput(16, FIXED, EACH) / queueing.throughput(1, FIXED, EACH)
told = f"{single.goodput:.0f} alone, {batched.goodput:.0f} in batches"
print(f"answers per second at saturation: {told}")
print(f"ratio {ratio:.2f}, by the formula {exact_ratio:.2f}")
assert abs(ratio - exact_ratio) < 0.3

# %% [markdown]
# At 5 requests per second nearly every batch is one message, and half of the requests wait for nothing (p50 11 ms); under load the batches grow by themselves. What you must get right besides: answers go back to *their* requests; a bad item fails alone; who has hung up or is past the deadline is left out of the batch.
#
# **Does batching help our own service?** Its costs are not 10 ms and 1 ms. Where does the time of *one* answer go? We call the stages one by one.

# %% tags=["free"]
from mmcourse.serve import limits

sent = json.dumps(as_request(test[0])).encode()
raw = limits.parse_json(sent)
message = limits.decode(raw)
features = model.prepare(message)


def milliseconds(work):
    """Median time of 40 calls."""
    times = []
    for _ in range(40):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * np.median(times)


stages = {"read JSON and base64": milliseconds(lambda: limits.parse_json(sent))}
stages["decode picture and voice"] = milliseconds(lambda: limits.decode(raw))
stages["features"] = milliseconds(lambda: model.prepare(message))
stages["model, one message"] = milliseconds(lambda: model.predict([features]))
kind = {"content-type": "application/json"}
times = []
for _ in range(40):
    start = time.perf_counter()
    await client.post("/v1/predict", content=sent, headers=kind)
    times.append(time.perf_counter() - start)
whole = 1000 * np.median(times)
stages["the rest: HTTP, threads"] = whole - sum(stages.values())
for name, took in stages.items():
    print(f"{name:25} {took:5.2f} ms  {took / whole:4.0%}")
print(f"{'an answer, in this cell':25} {whole:5.2f} ms")
assert stages["model, one message"] < 0.2 * whole

bench = lesson_dir("deploy").parents[2] / "benchmarks" / "serve.json"
if bench.exists():
    stored = json.loads(bench.read_text())
    gain, capacity = stored["throughput_over_one_client"], stored["capacity_per_s"]
    print(f"\nmany clients at once, measured: {capacity:.0f} answers/s,", end=" ")
    print(f"{gain:.2f} times one client's (with the assumed costs {exact_ratio:.2f})")
    assert gain < 2.5

# %% [markdown]
# **In our own service batching gains nothing**: the model is a few hundredths of an answer at most, and only the model works in batches. Measure where the time goes before you batch. What `mmcourse serve` gains with many clients (`make bench-serve`, over real HTTP) comes from elsewhere: there a second *process* decodes, so two cores work. Here, in one process, Python's lock lets only one thread at a time run Python.
#
# And one line that breaks everything: `async def predict(…): return model(x)`. The model then computes **in the event loop**, and nobody else is served meanwhile, not even `/live`. Here for real, with a stand-in for a model that computes for 0.3 s and a health check every 50 ms:


# %% tags=["free"]
square = np.random.default_rng(0).normal(size=(100, 100))


def compute():
    """Stands in for a slow model."""
    end = time.perf_counter() + 0.3
    while time.perf_counter() < end:
        square @ square


async def slowest_check(in_the_loop):
    """How long the slowest health check waits, in seconds."""
    loop = asyncio.get_running_loop()
    start, waits = loop.time(), []

    async def requests():
        for _ in range(3):
            if in_the_loop:
                compute()  # gives nobody a turn
            else:
                await asyncio.to_thread(compute)
            await asyncio.sleep(0.01)

    async def checks():
        for k in range(20):
            due = start + 0.05 * k
            await asyncio.sleep(max(0.0, due - loop.time()))
            waits.append(loop.time() - due)

    await asyncio.gather(requests(), checks())
    return max(waits)


in_thread, in_loop = await slowest_check(False), await slowest_check(True)
print(f"model in a thread:       slowest /live {1000 * in_thread:4.0f} ms")
print(f"model in the event loop: slowest /live {1000 * in_loop:4.0f} ms")
assert in_loop > 0.25 and in_thread < in_loop

# %% [markdown]
# A thread does not give 0 ms: it holds Python's lock for moments, up to 5 ms each time the loop wants it back. While our service decoded in a thread, `/live` at twice the capacity had a p99 of 40 to 100 ms; since a process of its own decodes, the loop has its lock to itself (`benchmarks/results.md`). A health check that times out can restart a service that was only busy.

# %% [markdown]
# ## 7 · Back-pressure: say no at once
#
# What if more comes than can be served? Telling the sender to slow down is called **back-pressure**. Above capacity the wait in an endless queue keeps growing, and soon every answer comes too late. **Goodput** counts only answers that are of use: here, within half a second. The queue's end, by contrast, refuses the surplus at once (status 503 with `Retry-After`).

# %%
capacity = 100.0  # one server, 10 ms each
offered = np.array([0.5, 0.8, 0.95, 1.1, 1.3, 1.6, 2.0])
endless, bounded = [], []
for share in offered:
    arrivals = queueing.poisson_arrivals(share * capacity, 20_000)
    options = {"each": 1 / capacity, "deadline": 0.5, "drop_late": False}
    options["fixed"] = 0.0
    endless.append(queueing.simulate(arrivals, **options).goodput)
    bounded.append(queueing.simulate(arrivals, max_waiting=20, **options).goodput)
for share, first, second in zip(offered, endless, bounded):
    told = f"endless queue {first:5.1f}/s, 20 places {second:5.1f}/s"
    print(f"offered {share:4.2f} × capacity: {told}")

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 2.8))
ax.plot(offered, endless, "o-", color="#D55E00", label="endless queue")
ax.plot(offered, bounded, "o-", color="#0072B2", label="20 places")
ax.set(
    xlabel="offered load (1 = capacity)",
    ylabel="answers in time, per second",
    ylim=(0, 110),
)
ax.legend()
plot.show(
    fig,
    alt=f"Goodput against load. Endless queue: falls to {endless[-1]:.0f} per second "
    f"at twice the capacity. Twenty places: stays at {bounded[-1]:.0f}.",
)
assert bounded[-1] > 95 and endless[-1] < 10

# %% [markdown]
# Above capacity a server with an endless queue works at full speed and helps ever fewer (a longer run leaves still less); below it the end gains nothing (at 0.95 it costs a few answers). The service counts who is inside *before it reads a body*: a refusal then costs little (measured below). If the slowest admitted request may take $T$ and the server answers $\mu$ per second, then about $\mu T$ places: exercise 2.

# %% tags=["free"]
whole = as_request(test[0])
costs = {}
for name in ("an answer", "a refusal"):
    full = name == "a refusal"
    service.inside = service.limits.inside if full else 0  # as if 64 were inside
    start = time.perf_counter()
    for _ in range(30):
        answer = await client.post("/v1/predict", json=whole)
    costs[name] = (time.perf_counter() - start) / 30
    print(f"{name}: status {answer.status_code}, {1000 * costs[name]:.1f} ms")
service.inside = 0
assert costs["a refusal"] < costs["an answer"]

# %% [markdown]
# (Both include what the client does to write the request. Over real HTTP a first version spent 230 µs of a core on each refusal, and at twice the capacity a quarter of the answers was lost to them. Now the first bytes of a request are looked at before it is parsed, and the answer is a constant: 30 µs. `results.md` has the load test.)
#
# ## 8 · Measure it
#
# Most load tests are **closed**: ten clients, each asks again when it has its answer. While the service is stuck, they all stop asking. This is **coordinated omission**: a stall is counted once per client instead of hundreds of times. An **open** test sends at fixed random times and counts from the *intended* start. One request every quarter of a second, and a service that is stuck from second 1 to 3:

# %% tags=["hide-input"]
asked = [(0.25 * k, "") for k in range(1, 18)]
spans = {
    "service": [(0, 1, "answers"), (1, 3, "stuck"), (3, 4.5, "answers")],
    "open": asked,
    "closed": [(when, "") for when, _ in asked if when <= 1 or when > 3],
}
draw.show(
    draw.timeline(spans),
    alt="When requests are sent. The service is stuck from second 1 to 3. The open "
    "test sends one every quarter of a second, also meanwhile. The closed test sends "
    "one at second 1, waits for its answer, and sends the next after second 3.",
)

# %% [markdown]
# The open test measures every request of the stall, the closed test one. Now with the batcher, four closed clients against 250 requests per second:


# %%
def stalled(kind):
    """A service that answers nobody from second 1 to second 3."""

    async def main():
        batcher = Batcher(model_of_time, 16, 10_000)
        loop = asyncio.get_running_loop()

        async def send(i):
            if 1.0 < loop.time() < 3.0:
                await asyncio.sleep(3.0 - loop.time())
            await batcher.submit(i)
            return 200

        if kind == "closed":
            return await closed_loop(send, 4, 2000)
        return await open_loop(send, 250, 2000)

    return run_virtual(main)


measured = {kind: stalled(kind) for kind in ("closed", "open")}
for kind, report in measured.items():
    p50, p99 = 1000 * report.latency_at(50), 1000 * report.latency_at(99)
    last, long = 1000 * report.latency.max(), (report.latency > 1).sum()
    told = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, slowest {last:.0f} ms"
    print(f"{kind:6}: {told}, {long} of 2000 above 1 s")
assert measured["closed"].latency_at(99) < 0.05 < 1 < measured["open"].latency_at(99)

# %% [markdown]
# The closed test met the stall once per client: its p99 does not show it. Now the real service in this notebook, an open test at two rates, on this machine in this minute. Of 15 and 60 requests we print the slowest; a p99 needs thousands. (`make bench-serve` takes 2,000, on a quiet machine: `results.md`.)

# %% tags=["free"]
body = as_request(test[0])


async def send(i):
    return (await client.post("/v1/predict", json=body, headers=headers)).status_code


for rate, n in ((5, 15), (20, 60)):
    report = await open_loop(send, rate, n)
    good = (report.status == 200).mean()
    p50, last = 1000 * report.latency_at(50), 1000 * report.latency.max()
    told = f"p50 {p50:.0f} ms, slowest of {n}: {last:.0f} ms"
    print(f"{rate:2} requests/s: {good:.0%} answered, {told}")

# %% [markdown]
# ### Alive, ready, leaving
#
# Two questions that are often mixed up: `/live` (should this process be restarted?) and `/ready` (may requests come?). If readiness is used for liveness, a model that loads slowly can be killed and started again, forever. The cell below asks both while a process leaves that has requests inside. (Tests with a real process show that none of these is lost.)

# %% tags=["hide-input"]
spans = {
    "/live": [(0.3, 10, "yes")],
    "/ready": [(0.3, 2.5, "no: loading"), (2.5, 7, "yes"), (7, 10, "no: leaving")],
    "requests": [(2.5, 8, "answered"), (8, 10, "port closed")],
    "inside": [(2.5, 9, "all answered")],
}
draw.show(
    draw.timeline(spans),
    alt="Life of a process. Live from the start. Ready after loading, until SIGTERM. "
    "For a while after it requests are still answered; then the port closes, and what "
    "is inside is answered.",
)

# %%
asked = [asyncio.ensure_future(send(i)) for i in range(8)]
while not service.inside:  # until the first one is in
    await asyncio.sleep(0)
service.leaving = True
assert service.inside and not all(request.done() for request in asked)
print("ready while leaving:", (await client.get("/ready")).status_code)
print("live while leaving: ", (await client.get("/live")).status_code)
service.draining = True  # a little later: nothing new is taken
print("a new one, draining:", await send(0))
print("requests that were inside:", await asyncio.gather(*asked))
service.leaving = service.draining = False

# %% [markdown]
# ### Metrics, and when to wake somebody
#
# `/metrics` holds counters and histograms with few labels: a label with a user's text or an address in it makes a new series per value, and ends the database. An **error budget**, the number of bad answers that you may have, turns numbers into a decision. The promise (SLO): 99.5 % of requests of 30 days are answered without a fault of ours in 100 ms. The **burn rate** is the share of bad requests over the allowed share, 0.5 %. The rule: *page* somebody if it is above 14 over the last 60 minutes **and** over the last 5; write a *ticket* if it is above 6 over 360 minutes and over 30. The long window ignores one bad minute, the short one ends the alarm soon after the trouble.

# %%
text = (await client.get("/metrics")).text
series = [line for line in text.splitlines() if line.startswith("mmcourse")]
series = [line for line in series if "_created" not in line]
assert len(series) < 100
print("fewer than 100 series; three of them:")
for name in (
    "mmcourse_present_total",
    "mmcourse_refused_total",
    "mmcourse_requests_total",
):
    print(next(line for line in series if line.startswith(name)).rsplit(" ", 1)[0])

minutes = np.full(400, 100.0)
cases = {
    "calm": np.full(400, 0.2),
    "one bad minute": np.full(400, 0.2),
    "an outage": np.full(400, 0.2),
}
cases["one bad minute"][-1] = 100
cases["an outage"][-60:] = 10
for name, faults in cases.items():
    burn = slo.burn_rate(faults[-60:].sum(), minutes[-60:].sum())
    ringing = slo.alerts(faults, minutes)
    print(f"{name:15} burn rate of the last hour {burn:5.1f}, alerts: {ringing}")

# %% [markdown]
# ## 9 · A new model: shadow, canary, everybody
#
# First the new model is a **shadow deployment**: it computes along, its answers are compared and thrown away. Then it gets 5 % of the requests (a **canary release**), 50 %, all.

# %% tags=["hide-input"]
boxes = [
    draw.box(name, note=note, color=color)
    for name, note, color in (
        ("shadow", "0 %, compared", "gray"),
        ("canary", "5 %", "blue"),
        ("half", "50 %", "blue"),
        ("everybody", "100 %", "green"),
    )
]
canvas = draw.Canvas()
placed = [canvas.place(boxes[0])]
for made in boxes[1:]:
    placed.append(canvas.place(made, right_of=placed[-1], gap=60))
for left, right in zip(placed, placed[1:]):
    canvas.arrow(left, right, label="good")
home = draw.box("back to 0 %", note="from any stage", color="orange")
back = canvas.place(home, x=176, y=105)
canvas.arrow(placed[1], back, label="bad")
draw.show(
    canvas,
    alt="Shadow, canary, half, everybody; a step only if the test says good, or back.",
)

# %% [markdown]
# When do you know enough? Thirty requests without a difference prove little: a model that differs in 3 % of answers shows none in thirty with probability $0.97^{30} = 0.40$. And looking every minute until something is significant finds something by chance (the cell counts how often). **Wald's sequential probability ratio test** (SPRT) is made for looking after every request. Let $p_0$ be a rate of bad events that is fine, $p_1$ one that is not. Each event moves
#
# $$\Lambda \leftarrow \Lambda + \begin{cases}\ln(p_1/p_0) & \text{bad}\\ \ln\bigl((1-p_1)/(1-p_0)\bigr) & \text{good}\end{cases}$$
#
# Stop the model when $\Lambda \ge \ln\frac{1-\beta}{\alpha}$, let it go on when $\Lambda \le \ln\frac{\beta}{1-\alpha}$. $\alpha$ is the chance to stop a good one, $\beta$ to pass a bad one; both about 5 % gives ± ln 19.

# %%
print(f"30 requests without a difference: {0.97**30:.2f}")
steps = np.log(0.03 / 0.005), np.log(0.97 / 0.995)
looks = np.arange(50, 3001, 50)  # a test at 5 %, again after every 50 requests
ever = []
for seed in range(300):
    bad_so_far = np.cumsum(np.random.default_rng(seed).random(3000) < 0.005)[looks - 1]
    ever.append((binom.sf(bad_so_far - 1, looks, 0.005) < 0.05).any())
print(f"a model at p0 = 0.005 is stopped by a repeated test in {np.mean(ever):.0%}")
print(f"p0 = 0.005, p1 = 0.03: bad {steps[0]:+.2f}, good {steps[1]:+.4f}")
print(f"bounds ± {np.log(19):.2f}: two bad events soon after each other are enough")

# %% [markdown]
# **Your turn (blank 2).** Go through the events (True: bad) until a bound is reached.
# <details><summary>Hint</summary>
#
# `ratio += up if event else down`; return "stop" and `count` as soon as it is ≥ ln 19, "go on" as soon as it is ≤ −ln 19; after the loop, "undecided".
# </details>


# %%
def sequential_test(events, good, bad):
    """("stop" | "go on" | "undecided", number of events looked at)."""
    up, down = np.log(bad / good), np.log((1 - bad) / (1 - good))
    # BEGIN SOLUTION
    ratio = 0.0
    for count, event in enumerate(events, start=1):
        ratio += up if event else down
        if abs(ratio) >= np.log(19):
            return ("stop" if ratio > 0 else "go on"), count
    return "undecided", len(events)
    # END SOLUTION


sequential_test = check("deploy.blank.2", sequential_test)


# %%
def wilson(successes, n):
    """95 % interval of a share."""
    found = binomtest(successes, n).proportion_ci(method="wilson")
    return found.low, found.high


for rate in (0.0005, 0.005, 0.03):
    verdicts, counts = [], []
    for seed in range(300):
        events = np.random.default_rng(seed).random(3000) < rate
        verdict, count = sequential_test(events, 0.005, 0.03)
        verdicts.append(verdict)
        counts.append(count)
    stopped = verdicts.count("stop") / 300
    few, many = wilson(verdicts.count("stop"), 300)
    told = f"stopped in {stopped:.1%} ({few:.1%} to {many:.1%}) of 300 seeds"
    print(f"{rate:.2%} differ: {told}, median {np.median(counts):.0f} requests")

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7, 2.7))
for rate, color in ((0.03, "#D55E00"), (0.0005, "#0072B2")):
    for seed in range(6):
        test_ = SPRT(0.005, 0.03)
        path = []
        for event in np.random.default_rng(seed).random(400) < rate:
            if test_.observe(bool(event)):
                break
            path.append(test_.ratio)
        path.append(test_.ratio)
        ax.plot(
            path,
            color=color,
            linewidth=1 if rate > 0.01 else 2.5,
            label=f"{rate:.2%} differ" if seed == 0 else None,
        )
for bound in (np.log(19), -np.log(19)):
    ax.axhline(bound, color="black", linestyle=":")
ax.set(xlabel="requests", ylabel="log-likelihood ratio")
ax.legend()
plot.show(
    fig,
    alt="Paths of the test's ratio: those of a model that differs in 3 % of answers "
    "jump over the upper bound, the others sink to the lower.",
)

# %% [markdown]
# (Twice a median of 116: so many good answers in a row reach the lower bound.) The whole rollout runs three such tests at each stage (errors, slow answers, answers that differ), with $\alpha$ shared among them; each of its three stages risks a false stop again. Four models: one far below $p_0$, one *at* $p_0$ in all three tests, one whose answers differ in 3 %, and one that is better: right in 4 % where the old one is wrong, wrong in 1 % where it is right.

# %%
for name, one in Rollout().tests.items():
    print(f"test {name:9} p0 = {one.good:.3f}, p1 = {one.bad:.3f}")
models = {  # rates of errors, slow answers, answers that differ
    "half of p0 or less": (0.001, 0.005, 0.0005),
    "exactly p0": (0.002, 0.010, 0.005),
    "3 % differ": (0.001, 0.005, 0.03),
    "3 points better": (0.001, 0.005, 0.04 + 0.01),
}
ends = {}
for name, rates in models.items():
    rollouts = [Rollout() for _ in range(100)]
    for seed, rollout in enumerate(rollouts):
        for event in np.random.default_rng(seed).random((1000, 3)) < rates:
            rollout.observe(*event)
    stopped = sum(bool(rollout.stopped) for rollout in rollouts)
    done = sum(rollout.share == 1 for rollout in rollouts)
    few, many = wilson(stopped, 100)
    told = f"stopped {stopped:3} ({few:.1%} to {many:.1%}), with everybody {done:3}"
    print(f"{name:18} of 100 seeds, 1,000 requests: {told}")
    ends[name] = stopped
assert ends["3 % differ"] >= 95 and ends["half of p0 or less"] <= 5
assert ends["3 points better"] >= 95

# %% [markdown]
# Who loses three points of accuracy answers at least 3 % of messages differently. The converse is false: the *better* model is stopped as well. This rollout is for a model that should answer *alike*, such as a faster runtime; which answers are better, only labels tell. A model exactly at $p_0$ risks about 5 % in each of three stages.

# %% [markdown]
# ## 10 · Drift, and what no monitor can see
#
# The world changes, and the model does not: the data **drift**. `mood` is drawn from a table that we know, so we can change the world *exactly*, and compute what it costs. Five live streams:
#
# - **A** new cameras: all pictures are brighter;
# - **B** **label shift**: many more senders feel negative, each feeling looks as before;
# - **C** twice as many are sarcastic;
# - **D** a smirk **changes its meaning**: who smirked at kind words used to feel bad, now feels good, and the other way round. What people send looks exactly as before;
# - **E** the voice channel is dead (every voice sounds neutral), and nobody says so.
#
# First a measure. The **population stability index** compares shares $p_i$ of yesterday with $q_i$ of today: $\mathrm{PSI} = \sum_i (q_i - p_i)\ln(q_i/p_i)$. By hand for 50/50 → 25/75: $(-0.25)\ln 0.5 + 0.25 \ln 1.5 = 0.173 + 0.101 = 0.275$.
#
# In the cell below the bins are the 36 combinations of cues. An empty bin would make it infinite, so `drift.psi` raises every share to at least 0.0001; the large value of E depends on this floor.
#
# **Your turn (blank 3).**
# <details><summary>Hint</summary>
#
# `p = reference / reference.sum()`, the same for `q`, then the sum of `(q - p) * np.log(q / p)`.
# </details>


# %%
def stability_index(reference, live):
    """PSI of two arrays of counts, no count 0."""
    # BEGIN SOLUTION
    p = reference / reference.sum()
    q = live / live.sum()
    return ((q - p) * np.log(q / p)).sum()
    # END SOLUTION


stability_index = check("deploy.blank.3", stability_index)

# %%
print(f"{stability_index(np.array([50.0, 50.0]), np.array([25.0, 75.0])):.3f}")
rule = drift.best_rule()
cues_before = mood.JOINT.sum(axis=0)
confidence = (mood.JOINT / cues_before).max(axis=0)  # of the old rule, per cell
exact = {}
print(f"\n{'':31}{'PSI of cues':>12}{'confidence':>12}{'accuracy':>10}{'ceiling':>9}")
for key, live in drift.STREAMS.items():
    cues = live.joint.sum(axis=0)
    told = drift.psi(cues_before, cues), (cues * confidence).sum()
    told += (
        drift.accuracy(live.joint, rule),
        drift.accuracy(live.joint, drift.best_rule(live.joint)),
    )
    exact[key] = told
    print(f"{live.name:31}{told[0]:12.3f}{told[1]:12.3f}{told[2]:10.3f}{told[3]:9.3f}")

# %%
drift_guess.compare("nothing at all")
assert [round(v, 3) for v in exact["D"]] == [0.0, 0.926, 0.691, 0.926]
assert round(exact["C"][0], 3) == 0.333 and exact["C"][2] > exact["as before"][2]
assert round(exact["B"][0], 3) == 0.404

# %% [markdown]
# **C rings the alarm** (a PSI above 0.25 is called a large change) **and accuracy rises.** **On D the old rule loses 23 points, and the PSI is 0**: the cues have exactly the distribution that they had, so *every* function of the inputs has its old distribution, too: answers, confidence, embeddings. What changed is p(feeling | cues), and inputs hold no information about it. (The drawing shows one row of each table; the cell compares all 36 cells of the inputs.)

# %% tags=["hide-input"]
smirk = mood.CUES["face"].index("smirk")
same, swapped = [], []
for key in ("as before", "D"):
    joint = drift.STREAMS[key].joint
    same.append(joint.sum(axis=(0, 2, 3)))
    kind = joint[:, smirk, :, 2].sum(axis=1)  # a smirk at kind words
    swapped.append(kind / kind.sum())
assert np.allclose(mood.JOINT.sum(axis=0), drift.STREAMS["D"].joint.sum(axis=0))
days = ("before", "D")
look = {"rows": days, "form": ".3f"}
faces = mood.CUES["face"]
inputs = draw.matrix(same, title="p(face): equal", columns=faces, color="gray", **look)
feelings = ("negative", "neutral", "positive")
meaning = draw.matrix(
    swapped,
    title="p(feeling | smirk, kind words): swapped",
    columns=feelings,
    highlight=[(1, 0), (1, 2)],
    **look,
)
told = [", ".join(f"{v:.3f}" for v in line) for line in (*same, *swapped)]
draw.show(
    draw.row(inputs, meaning, gap=50),
    alt=f"Stream D as two tables. Shares of the four faces before: {told[0]}; on D: "
    f"{told[1]}. Shares of the feelings behind a smirk at kind words before: "
    f"{told[2]}; on D: {told[3]}.",
)

# %% [markdown]
# So much for a rule on cues. And the *model*, which sees pixels? We send all 1,500 test messages: as they are; with lighter pictures (stream A's 1.5 standard deviations, and 60 levels of 255); and as stream D, where the same messages come with other labels.

# %% tags=["free"]
labels = np.asarray(test.labels)
n, whole, brightness = len(labels), [], []
for i in range(n):
    sample = test[i]
    whole.append(model.prepare({name: sample[name] for name in mood.MODALITIES}))
    brightness.append(np.asarray(sample["face"]).mean())


def labels_of(prepared):
    """The model's answers, int (n,)."""
    batches = [model.predict(prepared[k : k + 50]) for k in range(0, n, 50)]
    return np.concatenate(batches).argmax(axis=1)


said = labels_of(whole)
right = said == labels
print(f"as before: accuracy {right.mean():.3f}")
for levels in (round(1.5 * np.std(brightness)), 60):
    lighter = []
    for i in range(n):
        pixels = np.asarray(test[i]["face"]).astype(int) + levels
        face = np.clip(pixels, 0, 255).astype(np.uint8)
        lighter.append({**whole[i], **model.prepare({"face": face})})
    now = labels_of(lighter) == labels
    lost, won = int((right & ~now).sum()), int((now & ~right).sum())
    top = binomtest(lost, n).proportion_ci(method="exact").high
    told = f"accuracy {now.mean():.3f}, {lost} became wrong, {won} right"
    print(f"lighter by {levels}: {told} (at most {top:.1%} become wrong)")
    assert top < 0.03
smirked = test.meta["face_cue"] == "smirk"
on_d = np.where(smirked, 2 - labels, labels)  # negative 0 and positive 2 swap
loss_on_d = right.mean() - (said == on_d).mean()
print(f"stream D: the same answers, accuracy {(said == on_d).mean():.3f}")
assert 0.2 < loss_on_d < 0.27

# %% [markdown]
# ("At most": the upper end of the exact 95 % interval.) Stream A's brightness costs the model about half a point: an alarm of brightness rings for little harm. Stream D costs it as much as the rule, with *identical* inputs, answers and confidence.
#
# **Alarm and harm are two things.** A drift monitor tells you to look. What you lose, only labels tell.

# %% [markdown]
# ### How many labels a day?
#
# Label $n$ answers a day and ring if at most $k$ are right. If the accuracy is still $0.926$, the number of right ones is binomial. **Your turn (blank 4).** The largest $k$ that rings by mistake on at most a share `budget` of days.
# <details><summary>Hint</summary>
#
# `binom.cdf(k, n, good)` is the chance of at most k right ones. Take the largest k (−1 if there is none) where it is ≤ `budget`.
# </details>


# %%
def alarm_limit(n, good, budget):
    """Largest k with P(at most k of n right) ≤ budget; -1 if there is none."""
    # BEGIN SOLUTION
    limit = -1
    for k in range(n + 1):
        if binom.cdf(k, n, good) <= budget:
            limit = k
    return limit
    # END SOLUTION


alarm_limit = check("deploy.blank.4", alarm_limit)

# %% tags=["target"]
good, bad_accuracy = exact["D"][3], exact["D"][2]
print("labels  alarm at  false alarms  power (D)")
for n in (5, 10, 17, 30, 60):
    k = alarm_limit(n, good, 0.05)
    false_alarms, power = binom.cdf(k, n, good), binom.cdf(k, n, bad_accuracy)
    print(f"{n:6}  {k:8}  {false_alarms:12.3f}  {power:9.2f}")
for loss in (good - bad_accuracy, 0.1, 0.03):
    needed_n, limit = drift.labels_needed(good, good - loss)
    told = f"{needed_n} labels for a power of 0.8 (alarm at {limit})"
    print(f"a loss of {100 * loss:4.1f} points: {told}")
assert drift.labels_needed(good, bad_accuracy) == (17, 13)
assert 500 < needed_n < 600 and binom.cdf(13, 17, good) < 0.04
found_by = binom.cdf(13, 17, bad_accuracy)
expect_within("power of 17 labels a day at a loss of 23 points", found_by, 0.82, 0.02)


# %% tags=["hide-input"]
def show_power(labels=17):
    """Both binomials and the limit."""
    k = alarm_limit(labels, good, 0.05)
    counts = np.arange(labels + 1)
    fig, ax = plt.subplots(figsize=(6.8, 2.6))
    ax.bar(
        counts - 0.2,
        binom.pmf(counts, labels, good),
        0.4,
        color="#0072B2",
        label="as before (0.926)",
    )
    ax.bar(
        counts + 0.2,
        binom.pmf(counts, labels, bad_accuracy),
        0.4,
        color="#D55E00",
        label="stream D (0.691)",
    )
    ax.axvline(k + 0.5, color="black", linestyle=":")
    ax.set(
        xlabel=f"right answers of {labels}; alarm left of the line",
        ylabel="probability",
    )
    ax.legend(fontsize=9, loc="upper left")
    power = binom.cdf(k, labels, bad_accuracy)
    plot.show(
        fig,
        alt=f"Two binomials; {labels} labels, alarm at {k}: power {power:.2f}.",
    )
    print(f"{labels} labels, alarm at {k}: finds D on {power:.0%} of days")


widgets.slider(show_power, labels=[5, 10, 17, 30, 60])

# %% [markdown]
# **Some 17 labels a day** find on four of five days a loss of 23 points that no monitor of inputs can find at all. A loss of 3 points, the one of section 9, needs more than 500.
#
# ### The opposite fault: everything drifts
#
# With much data, tiny changes are "significant". A shift of 2 % of a standard deviation, tested by Kolmogorov–Smirnov:

# %%
rng = np.random.default_rng(0)
for n in (1_000, 10_000, 100_000):
    values = []
    for _ in range(30):
        old, new = rng.normal(size=n), rng.normal(0.02, 1, size=n)
        values.append(ks_2samp(old, new).pvalue)
    below = np.mean(np.array(values) < 0.05)
    print(f"n = {n:7,}: p below 0.05 in {below:.0%} of 30 pairs of samples")

# %% [markdown]
# A p-value says whether there is *any* change. Ask how large it is. Set the threshold on days without a change (exercise 3). If you watch twenty features at 5 % each, expect one false alarm a day.
#
# ### One drift can be repaired without labels
#
# Under label shift (B), only the prior has changed. Then $\hat q = C\,w$: the shares of predictions today are the confusion matrix of yesterday (shares of all messages: it sums to 1) times the weights $w_j = q(y_j)/p(y_j)$. Solve for $w$ (**black box shift estimation**, Lipton et al. 2018), multiply the model's probabilities by it. In PyTorch and in Keras it is one line:

# %%
live = drift.STREAMS["B"].joint
confusion = np.zeros((3, 3))
predicted = np.zeros(3)
for i in range(3):
    predicted[i] = live[:, rule == i].sum()
    for j in range(3):
        confusion[i, j] = mood.JOINT[j][rule == i].sum()
weights = drift.bbse(confusion, predicted)
prior = mood.JOINT.sum(axis=(1, 2, 3))
repaired = drift.best_rule(mood.JOINT * weights[:, None, None, None])
print("weights  ", weights.round(3))
print("new prior", (weights * prior).round(3))
as_it_was, now = drift.accuracy(live, rule), drift.accuracy(live, repaired)
print(f"accuracy {as_it_was:.3f}, repaired {now:.3f}")
assert np.allclose(weights * prior, [0.70, 0.15, 0.15])

# %%
import torch

C, q = torch.tensor(confusion), torch.tensor(predicted)
in_torch = torch.linalg.solve(C, q).clamp(min=0)
assert np.allclose(in_torch.numpy(), weights)
print("PyTorch:", in_torch.numpy().round(3))

# %% tags=["free"]
import keras

solved = keras.ops.solve(confusion, predicted[:, None])
in_keras = keras.ops.convert_to_numpy(keras.ops.relu(solved))[:, 0]
print("Keras:  ", in_keras.round(3))
assert np.allclose(in_keras, weights, atol=1e-6)

# %% [markdown]
# What if you apply the repair to a drift that is *no* label shift? The three shares of predictions alone need not warn you. For C and D:

# %%
for key in ("C", "D"):
    joint = drift.STREAMS[key].joint
    now = np.array([joint[:, rule == i].sum() for i in range(3)])
    w = drift.bbse(confusion, now)
    wrong = drift.best_rule(mood.JOINT * w[:, None, None, None])
    old, new = drift.accuracy(joint, rule), drift.accuracy(joint, wrong)
    told = f"accuracy {old:.3f}, 'repaired' {new:.3f}"
    print(f"{key}: {told}, weights {np.array2string(w, precision=2)}")

# %% [markdown]
# ## 11 · What it costs
#
# A budget before you build: bytes per request, megabytes per user and day, hours of a core per million answers. The times are those of section 6, on this machine.

# %% tags=["free"]
sample = test[0]
face_bytes = len(base64.b64decode(png(sample["face"])))
pcm_bytes = 2 * 2 * 16_000  # two seconds of 16-bit sound
in_batch = milliseconds(lambda: model.predict([features] * 16)) / 16
from_bytes = sum(list(stages.values())[:3])  # JSON, decoding, features
total = face_bytes + pcm_bytes
print(f"picture {face_bytes / 1000:.1f} kB, 2 s of voice {pcm_bytes / 1000:.0f} kB")
print(f"as JSON, base64 adds a third: {total * 4 / 3000:.0f} kB a request")
print(f"100 requests a day: {(face_bytes + pcm_bytes) * 100 / 1e6:.1f} MB a user")
for name, each in {
    "model, in a full batch": in_batch,
    "from bytes to features": from_bytes,
    "both": in_batch + from_bytes,
    "a whole answer": sum(stages.values()),
}.items():
    print(f"{name:22} {each:5.2f} ms, {each / 3.6:5.2f} hours of a core per million")

# %% [markdown]
# The model alone would be a useless budget. Over real HTTP a whole answer takes 2 to 4 ms (`benchmarks/results.md`): a million take half an hour to an hour of a core. Of the bytes, the voice is nearly all. It need not be sent: the service's second page runs the ONNX file *in the browser*.
#
# What the service promises, and what holds it:
#
# | promise | held by |
# |---|---|
# | answers equal the notebook's, in batches | 200 messages over HTTP against PyTorch, 1e-5 (tests) |
# | limits before decoding; no memory left behind | 12 bad requests, 17 hostile uploads (tests) |
# | batches grow only under load; goodput ≥ 90 % at twice the capacity | the real batcher on a virtual clock (tests) |
# | no request lost at the end | a real process and SIGTERM (tests) |
# | p99 at 70 % of capacity, cold start, memory | `make bench-serve`, on a quiet machine (`benchmarks/results.md`) |
# | fewer than 100 series; no content in logs | scraped and searched (tests) |
# | a model 3 points worse stopped within 1,000 requests | 300 seeds (tests) |
#
# ## 12 · At full size
#
# | you measure | you need | the same code because |
# |---|---|---|
# | p99 over the promise at 70 % of one machine | several replicas behind a proxy (Ray Serve, KServe) | the model is one ONNX file; `/ready` says who may get requests |
# | several models share a GPU | Triton | its dynamic batcher is section 6 with a waiting time |
# | a second team, an audit | Kubernetes, a registry | `/version` names code and model by hash |
#
# ```bash
# mmcourse serve --port 8000            # the page and the service
# make bench-serve                      # its figures, on a quiet machine
# podman build -f mmcourse/serve/container/Containerfile -t mmcourse .
# ```
#
# None of these engines ran for this lesson. If you move, the equality test of section 3 moves with you: same 200 messages, same 1e-5.

# %% tags=["hide-input"]
await client.aclose()
await service.batcher.close()
service.close()

# %% [markdown]
# ## 13 · What to remember
#
# - Test parity over HTTP, on bytes, in random batches. A missing modality is a request; zeros are not "missing".
# - Check before you decode. Count before you read. Log nothing that somebody said.
# - Wait ∝ ρ/(1 − ρ). A queue needs an end, a refusal must be cheap. Batches gather by themselves, and help only where the model takes the time.
# - Open loop, intended start, p99. Live is not ready.
# - Drift alarms are not harm, and harm need not alarm. Label a few answers every day.
#
# ## 14 · Check yourself
#
# <details><summary>1. Your load test shows p99 = 12 ms, users complain about seconds. Which test was it?</summary>
#
# Probably a closed one: while the service is stuck, its clients ask nothing. Send at fixed times, count from the intended start.
# </details>
# <details><summary>2. You double the model's speed at 90 % load. What happens to the mean wait?</summary>
#
# The load falls to 0.45 and S is half: 45 ms become 0.45 · 5 / (2 · 0.55) = 2 ms. Near capacity, speed buys much more than its factor.
# </details>
# <details><summary>3. Why does the batcher not wait 5 ms for more requests?</summary>
#
# With few requests the wait is lost; with many, the batch gathers anyway while the model computes.
# </details>
# <details><summary>4. The health check of your service restarts it under load, again and again. Two possible causes?</summary>
#
# The model computes in the event loop, so `/live` times out; or liveness asks what readiness should ask.
# </details>
# <details><summary>5. PSI is 0.4. Should you retrain?</summary>
#
# Look first. In C a PSI of 0.33 came with *higher* accuracy; in B the prior can be corrected without training. Labels decide.
# </details>
# <details><summary>6. All input monitors are calm. Is the model as good as before?</summary>
#
# Not shown. Stream D is the proof: the same distribution of inputs, and rule and model lose 23 points.
# </details>
#
# ## 15 · Exercises and where next
#
# [The exercises](exercises/deploy.ipynb): a micro-batcher, admission under a limit, two monitors with a budget, label shift and MMD in PyTorch, and an open challenge: five drifts, blind.
#
# **Where next:** [capstone](capstone.ipynb), a project of your own. · **Back to:** [start_here](start_here.ipynb), [evaluate](evaluate.ipynb), [sentiment](sentiment.ipynb).
#
# ## Sources
# Little 1961 (L = λW) · Pollaczek 1930 and Khinchine 1932 (the mean wait) · Schroeder, Wierman and Harchol-Balter 2006 (open and closed load) · Tene 2013, *How NOT to measure latency* (coordinated omission) · Dean and Barroso 2013, *The tail at scale* · Wald 1945 (the sequential test) · Gretton et al. 2012 (MMD) · Lipton et al. 2018, arXiv 1802.03916 (label shift) ·
# Rabanser et al. 2019, arXiv 1810.11953 (tests for shift, compared) · Sculley et al. 2015, *Hidden technical debt* · Mitchell et al. 2019, arXiv 1810.03993 (model cards) · RFC 9457 (problem details).

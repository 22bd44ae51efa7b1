"""A DDIM step, the optimal denoiser and guidance by hand, and the open challenge; PyTorch has a file."""

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.exercise import (
    Array,
    Drawn,
    between,
    challenge,
    context,
    example,
    exercise,
    lesson,
    part,
    right,
    says,
)

lesson(
    "generation",
    promise="A DDIM step, the optimal denoiser and guidance by hand, a flow-matching loss and a FiLM block in PyTorch, and a "
    "challenge: new points from a distribution of which you have 200.",
    uses="NumPy; two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def ddim_step(x, noise, alpha_bars, t, t_next):
    """x with less noise: alpha_bars (T,), from timestep t to t_next; t_next = -1 means the clean sample."""
    now = alpha_bars[t]
    after = alpha_bars[t_next] if t_next >= 0 else 1.0
    clean = (x - np.sqrt(1 - now) * noise) / np.sqrt(now)
    clipped = np.clip(clean, -1, 1)
    rest = (x - np.sqrt(now) * clipped) / np.sqrt(1 - now)
    return np.sqrt(after) * clipped + np.sqrt(1 - after) * rest


def draw_step(g, shape, stride, last, loud):
    """A noisy array, what a network says of its noise, and a schedule."""
    number = int(g.integers(9, 14))
    alpha_bars = np.cumprod(1 - np.linspace(0.02, g.uniform(0.2, 0.35), number)).round(4)
    t = int(g.integers(stride, number - 1)) if not last else int(g.integers(1, 6))
    t_next = -1 if last else t - stride
    clean = g.uniform(-0.9, 0.9, shape)
    noise = g.normal(size=shape)
    x = np.sqrt(alpha_bars[t]) * clean + np.sqrt(1 - alpha_bars[t]) * noise
    said = noise + (1.5 * g.normal(size=shape) if loud else 0.1 * g.normal(size=shape))
    if not loud:  # nothing to clip
        said = noise
    return x.round(3), said.round(3), alpha_bars, t, t_next


def without_roots(x, noise, alpha_bars, t, t_next):
    """The answer with one mistake."""
    now = alpha_bars[t]
    after = alpha_bars[t_next] if t_next >= 0 else 1.0
    clipped = np.clip((x - (1 - now) * noise) / now, -1, 1)
    return after * clipped + (1 - after) * (x - now * clipped) / (1 - now)


ddim = exercise(
    "generation.1",
    ddim_step,
    title="One DDIM step",
    points=2,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            r"A noisy sample is $x = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\varepsilon$. The network says what it takes "
            "for ε; DDIM makes less noise of it: it puts the clean sample and *the same* noise together again, in other parts."
        ),
        says("**Write** `ddim_step(x, noise, alpha_bars, t, t_next)`.", mistake="as noisy as it was"),
        context("`alpha_bars` (T,) holds ᾱ of every timestep; `x` and `noise` have any shape."),
        says("The clean sample comes from ᾱ of step `t`,", mistake="of the step that is visited next"),
        says("by the square roots of the formula above.", mistake="square roots"),
        says("Clip it to −1 … 1, as pictures are.", mistake="not clipped"),
        says(
            "Then compute the noise anew, so that clipped sample and noise together are `x` again.",
            mistake="noise that belongs to the clipped",
        ),
        says(
            "Put both together for step `t_next`, which may be many steps away.",
            mistake="the step just before",
        ),
        says("`t_next` = −1 means the end: ᾱ is 1 there, and no noise is left.", mistake="ᾱ is 1"),
        example("""
alpha_bars = np.cumprod(1 - np.linspace(0.02, 0.3, 12))
print(f"of the signal's power is left: {alpha_bars[0]:.3f} at step 0, {alpha_bars[11]:.3f} at step 11")
"""),
    ],
    hints=[
        "Solve the formula for x₀: `(x - np.sqrt(1 - now) * noise) / np.sqrt(now)`. After clipping, solve it for ε.",
        "`after = alpha_bars[t_next] if t_next >= 0 else 1.0`; `alpha_bars[-1]` would be the noisiest step of all.",
    ],
    draw=draw_step,
    parts=[
        part("a stride of several steps", weight=2, shape=(3,), stride=between(3, 6), last=False, loud=False),
        part("samples beyond −1 and 1", weight=2, shape=(2, 4), stride=between(2, 5), last=False, loud=True),
        part("the last step", shape=(4,), stride=1, last=True, loud=False),
        part("the last step, clipped", shape=(5,), stride=1, last=True, loud=True),
        part("pictures", shape=(2, 3, 3), stride=between(2, 4), last=False, loud=True),
    ],
    own={"shape": (2,), "stride": 3, "last": False, "loud": True},
    own_says="A sample, its noise and a schedule of your own: x, noise, alpha_bars, t, t_next",
    mistakes={
        "x comes out as noisy as it was: the new noise has the size of step `t_next`.": [
            "return np.sqrt(after) * clipped + np.sqrt(1 - now) * rest",
            "return np.sqrt(now) * clipped + np.sqrt(1 - now) * rest",
        ],
        "Your clean sample comes from ᾱ of the step that is visited next; x has the noise of step `t`.": (
            "clean = (x - np.sqrt(1 - after) * noise) / np.sqrt(after)"
        ),
        "ᾱ is a share of *power*: signal and noise are multiplied with square roots.": [
            "return after * clipped + (1 - after) * rest",
            "clean = (x - (1 - now) * noise) / now",
            without_roots,
        ],
        "The clean sample is not clipped to −1 … 1.": "clipped = clean",
        "Take the noise that belongs to the clipped sample: with the old noise, the two together are no longer x.": (
            "rest = noise"
        ),
        "You went to the step just before `t`; `t_next` may be further away.": (
            "after = alpha_bars[t - 1] if t_next >= 0 else 1.0"
        ),
        "At the end ᾱ is 1: `alpha_bars[-1]` is the noisiest step, and step 0 still has some noise.": [
            "after = alpha_bars[t_next]",
            "after = alpha_bars[max(t_next, 0)]",
        ],
        "This is the clean sample: for `t_next` some noise goes back in.": "return clipped",
    },
    praise="That is the whole sampler: repeat it, with a network that says the noise.",
)


@right(ddim)
def by_powers(x, noise, alpha_bars, t, t_next):
    a = alpha_bars[t] ** 0.5
    s = (1 - alpha_bars[t]) ** 0.5
    x0 = np.minimum(np.maximum((x - s * noise) / a, -1.0), 1.0)
    b = 1.0 if t_next < 0 else alpha_bars[t_next] ** 0.5
    return b * x0 + (1 - b * b) ** 0.5 * (x - a * x0) / s


# ---------------------------------------------------------------- 2
def optimal_denoiser(x, data, signal, noise_level):
    """E[clean | x] when the clean sample is one row of data: x (n, d), data (m, d) → (n, d)."""
    centers = signal * data
    distance = ((x[:, None] - centers[None]) ** 2).sum(axis=2)
    scores = -distance / (2 * noise_level**2)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = powers / powers.sum(axis=1, keepdims=True)
    return weights @ data


def draw_denoiser(g, n, m, d, noise_level, far=0.0, signal=None):
    """A small training set and noisy versions of it."""
    data = g.normal(size=(m, d)).round(2)
    signal = round(float(g.uniform(0.5, 0.9)), 2) if signal is None else signal
    x = signal * data[g.integers(m, size=n)] + noise_level * g.normal(size=(n, d)) + far
    return x.round(3), data, signal, noise_level


def without_largest(x, data, signal, noise_level):
    """The answer with one mistake."""
    distance = ((x[:, None] - signal * data[None]) ** 2).sum(axis=2)
    with np.errstate(all="ignore"):
        weights = np.exp(-distance / (2 * noise_level**2))
        return (weights / weights.sum(axis=1, keepdims=True)) @ data


denoise = exercise(
    "generation.2",
    optimal_denoiser,
    title="The best denoiser of all",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "The clean sample is one of the m rows of `data` (m, d), each as probable. Of it you see "
            "`x = signal · clean + noise_level · noise`, with standard normal noise. `x` (n, d) holds n such sightings."
        ),
        says(
            "**Write** `optimal_denoiser(x, data, signal, noise_level)`: for each row of `x`, the *mean* of the clean sample, given "
            "that row.",
            mistake="This is the nearest row",
        ),
        says("A row of data counts with weight exp(−‖x − signal · row‖² / (2 noise_level²)),", mistake="signal · row"),
        says("with the noise level squared,", mistake="is squared in the exponent"),
        says("twice,", mistake="the factor 2"),
        says("and the distance summed over the d numbers of a row.", mistake="yours is their mean"),
        says("The weights of one row of `x` add up to 1.", mistake="one row of `x`"),
        says("What is averaged are the rows of `data` themselves.", mistake="rows of `data` themselves"),
        says(
            "`x` may be far from every row: the exponentials must not all become 0.",
            mistake="largest score",
        ),
        example("""
print("two rows, 0 and 1; x = 0.5 · clean + 0.5 · noise; seen 0.25: both are as far, so the mean is 0.5")
"""),
    ],
    hints=[
        "`x[:, None] - signal * data[None]` has the shape (n, m, d). Sum the squares over the last axis: (n, m).",
        "A softmax over the rows of data. Subtract the largest score of each row of `x` before `np.exp`.",
    ],
    draw=draw_denoiser,
    parts=[
        part("a few sightings", weight=2, n=between(2, 4), m=between(4, 6), d=3, noise_level=0.6),
        part("much noise", n=3, m=5, d=2, noise_level=1.7),
        part("little noise", n=between(3, 5), m=4, d=2, noise_level=0.3),
        part("one row of data", n=2, m=1, d=3, noise_level=0.5),
        part("one sighting of one number", n=1, m=4, d=1, noise_level=0.6),
        part("far from every row", n=3, m=4, d=2, noise_level=0.2, far=30.0),
        part("no signal left", n=2, m=5, d=2, noise_level=1.0, signal=0.0),
    ],
    own={"n": 1, "m": 3, "d": 2, "noise_level": 0.6},
    own_says="A training set and a sighting of your own",
    mistakes={
        "This is the nearest row of data. The mean of all is wanted, each with its weight.": (
            "weights = (distance == distance.min(axis=1, keepdims=True)).astype(float)"
        ),
        "Compare x with signal · row: the noisy sample is a smaller one.": "centers = data",
        "The noise level is squared in the exponent.": "scores = -distance / (2 * noise_level)",
        "The squared noise level is taken twice: the factor 2 is missing.": "scores = -distance / noise_level**2",
        "The distance is summed over the numbers of a row, and squared: yours is the plain distance.": (
            "scores = -np.sqrt(distance) / (2 * noise_level**2)"
        ),
        "The distance is summed over the numbers of a row; yours is their mean.": (
            "distance = ((x[:, None] - centers[None]) ** 2).mean(axis=2)"
        ),
        "The weights of one row of `x` add up to 1; yours add up to 1 over the rows of x.": (
            lambda x, data, s, n: (
                (lambda w: w / w.sum(axis=0, keepdims=True))(
                    np.exp(-((x[:, None] - s * data[None]) ** 2).sum(axis=2) / (2 * n**2))
                )
                @ data
            )
        ),
        "Average the rows of `data` themselves, not what is left of them in x.": "return weights @ centers",
        "Far from every row all exponentials are 0, and 0 / 0 is NaN: subtract the largest score first.": without_largest,
        "The sign is turned round: a small distance means a large weight.": "scores = distance / (2 * noise_level**2)",
    },
    praise="Queries, keys, values: you have written an attention layer, and the best diffusion model of this training set.",
)


@right(denoise)
def by_log_sum(x, data, signal, noise_level):
    found = []
    for row in x:
        logs = np.array([-np.sum((row - signal * point) ** 2) / 2 / noise_level**2 for point in data])
        logs = logs - np.logaddexp.reduce(logs)
        found.append(np.exp(logs) @ data)
    return np.array(found)


# ---------------------------------------------------------------- 3
def guided_step(x, unconditional, conditional, weight, t, t_next):
    """One Euler step along the guided velocity: the velocity and the new x."""
    velocity = unconditional + weight * (conditional - unconditional)
    new = x + (t_next - t) * velocity
    return velocity, new


def draw_guided(g, shape, w, steps):
    """A point of a flow and two velocities."""
    x, free, given = g.normal(size=(3, *shape)).round(2)
    times = np.linspace(0, 1, steps + 1)
    k = int(g.integers(1, steps)) if steps > 1 else 0
    return x, free, given, float(w), round(float(times[k]), 4), round(float(times[k + 1]), 4)


guided = exercise(
    "generation.3",
    guided_step,
    title="A guided step",
    points=2,
    difficulty=1,
    minutes=15,
    names=("the velocity", "the new x"),
    statement=[
        context(
            "In flow matching, x goes from noise (t = 0) to a picture (t = 1). A network was asked twice for the velocity: without "
            "the caption (`unconditional`), and with it (`conditional`)."
        ),
        says(
            "**Write** `guided_step(x, unconditional, conditional, weight, t, t_next)`. The guided velocity begins at the "
            "unconditional one and goes `weight` times the way to the conditional one:",
            mistake="not 1 + weight",
        ),
        says("with weight 0 the caption is forgotten,", mistake="exchanged"),
        says("with weight 1 it is the conditional velocity,", mistake="not 1 + weight"),
        says("with more it goes beyond.", mistake="goes beyond"),
        says("Then take one Euler step from `t` to `t_next`", mistake="length of the step"),
        says("along the guided velocity, towards the picture.", mistake="towards the noise"),
        says("Return both: the guided velocity, and the new x.", mistake="other way round"),
        example("""
free, given = np.array([0.0, 1.0]), np.array([1.0, 1.0])
print("weight 0:", free, "  weight 1:", given, "  weight 3:", np.array([3.0, 1.0]))
"""),
    ],
    hints=[
        "The way from the unconditional to the conditional velocity is `conditional - unconditional`.",
        "A velocity times a time is a distance: `x + (t_next - t) * velocity`.",
    ],
    draw=draw_guided,
    parts=[
        part("a weight above 1", weight=2, shape=(3,), w=between(2, 4), steps=between(4, 8)),
        part("a weight of 0", shape=(4,), w=0.0, steps=between(3, 6)),
        part("a weight of 1", shape=(3,), w=1.0, steps=5),
        part("a weight between 0 and 1", shape=(2, 3), w=0.5, steps=between(3, 7)),
        part("pictures", shape=(2, 3, 2, 2), w=2.5, steps=10),
        part("one step all the way", shape=(5,), w=1.5, steps=1),
    ],
    own={"shape": (2,), "w": 2.0, "steps": 4},
    own_says="A point and two velocities of your own",
    mistakes={
        "The weight itself is wanted, not 1 + weight: with 1 it is the conditional velocity.": (
            "velocity = unconditional + (1 + weight) * (conditional - unconditional)"
        ),
        "Conditional and unconditional are exchanged: with weight 0 the caption is forgotten.": (
            "velocity = conditional + weight * (unconditional - conditional)"
        ),
        "Above 1 it goes beyond the conditional velocity; yours stops there.": (
            "velocity = unconditional + min(weight, 1) * (conditional - unconditional)"
        ),
        "The weight multiplies only the conditional velocity in yours: what the caption adds is the *difference*.": (
            "velocity = unconditional + weight * conditional"
        ),
        "A velocity is multiplied with the length of the step, `t_next - t`.": [
            "new = x + velocity",
            "new = x + t_next * velocity",
            "new = x + t * velocity",
        ],
        "The step goes towards the noise: add, do not subtract.": "new = x - (t_next - t) * velocity",
        "The new x follows the conditional velocity in yours: the guided one is wanted.": (
            "new = x + (t_next - t) * conditional"
        ),
        "The two are returned the other way round: velocity first.": "return new, velocity",
    },
    praise="Two calls of the network for each step: that is the price of guidance.",
)


@right(guided)
def by_mixing(x, unconditional, conditional, weight, t, t_next):
    v = (1 - weight) * np.asarray(unconditional) + weight * np.asarray(conditional)
    return v, np.asarray(x) - (t - t_next) * v


# ---------------------------------------------------------------- blanks
def densities():
    rng = np.random.default_rng(21)
    for size in (3, 5):
        yield rng.dirichlet(np.ones(size)), rng.dirichlet(np.ones(size))
    yield np.array([0.5, 0.5]), np.array([0.1, 0.9])


@blank(
    "generation.blank.1",
    title="The best discriminator",
    inputs=densities,
    mistakes=[
        (lambda p, q: q / (p + q), "This is the probability of *generated*: D is high for real samples."),
        (lambda p, q: p / q, "This is the ratio, which is no probability: divide by the sum of both."),
        (lambda p, q: p, "How often real data are here is not enough: it matters how often generated ones are, too."),
        (lambda p, q: (p > q).astype(float), "This is a yes or no. The probability is wanted."),
    ],
)
def best_discriminator(p, q):
    return p / (p + q)


def noisy():
    rng = np.random.default_rng(22)
    for shape, alpha_bar in (((3,), 0.3), ((2, 4), 0.9), ((4,), 0.05)):
        clean, noise = rng.normal(size=(2, *shape))
        yield clean, noise, alpha_bar


@blank(
    "generation.blank.2",
    title="Any amount of noise in one line",
    inputs=noisy,
    mistakes=[
        (lambda c, n, a: a * c + (1 - a) * n, "ᾱ is a share of power: the factors are its square roots."),
        (lambda c, n, a: np.sqrt(a) * c + (1 - a) * n, "The noise, too, is multiplied with a square root."),
        (lambda c, n, a: np.sqrt(1 - a) * c + np.sqrt(a) * n, "The other way round: ᾱ belongs to the clean picture."),
        (lambda c, n, a: np.sqrt(a) * c + n, "The noise has its factor, too, so that the variance stays 1."),
    ],
)
def add_noise(clean, noise, alpha_bar):
    return np.sqrt(alpha_bar) * clean + np.sqrt(1 - alpha_bar) * noise


def flows():
    rng = np.random.default_rng(23)
    for shape, t in (((3,), 0.25), ((2, 4), 0.7), ((4,), 0.1)):
        clean, noise = rng.normal(size=(2, *shape))
        yield clean, noise, t


@blank(
    "generation.blank.3",
    title="A point on the way, and where it goes",
    inputs=flows,
    mistakes=[
        (
            lambda c, n, t: (t * c + (1 - t) * n, n - c),
            "The velocity points to the noise: at t = 1 there is the clean picture.",
        ),
        (lambda c, n, t: ((1 - t) * c + t * n, c - n), "Here t = 0 is the noise and t = 1 the clean picture."),
        (
            lambda c, n, t: (t * c + (1 - t) * n, c - (t * c + (1 - t) * n)),
            "That is the way that is left. The velocity is the same all along: how far x moves per unit of time.",
        ),
        (
            lambda c, n, t: (np.sqrt(t) * c + np.sqrt(1 - t) * n, c - n),
            "A straight line has no square roots: t · clean + (1 − t) · noise.",
        ),
    ],
)
def flow_pair(clean, noise, t):
    x = t * clean + (1 - t) * noise
    velocity = clean - noise
    return x, velocity


def velocities():
    rng = np.random.default_rng(24)
    for shape, weight in (((3,), 2.0), ((2, 2), 4.0), ((3,), 1.0), ((3,), 0.0)):
        free, given = rng.normal(size=(2, *shape))
        yield free, given, weight


@blank(
    "generation.blank.4",
    title="Guidance",
    inputs=velocities,
    mistakes=[
        (lambda u, c, w: u + (1 + w) * (c - u), "With w = 1 it is the conditional velocity: w, not 1 + w."),
        (lambda u, c, w: c + w * (u - c), "Exchanged: with w = 0 the caption is forgotten."),
        (lambda u, c, w: u + w * c, "What the caption adds is the difference of the two velocities."),
        (lambda u, c, w: w * c + w * u, "Begin at the unconditional velocity and go towards the conditional one."),
    ],
)
def guide(unconditional, conditional, weight):
    return unconditional + weight * (conditional - unconditional)


@blank(
    "generation.blank.5",
    title="The Fréchet distance of two bells",
    inputs=[(0.0, 1.0, 0.0, 1.0), (1.0, 2.0, 3.0, 3.0), (0.5, 0.2, -1.0, 1.4), (2.0, 1.0, 2.0, 4.0)],
    mistakes=[
        (
            lambda m, s, n, u: (m - n) ** 2 + (s**2 - u**2) ** 2,
            "The standard deviations are subtracted, not the variances.",
        ),
        (lambda m, s, n, u: (m - n) ** 2, "Two bells with one mean can still be of different widths."),
        (lambda m, s, n, u: abs(m - n) + abs(s - u), "Both differences are squared."),
        (lambda m, s, n, u: np.sqrt((m - n) ** 2 + (s - u) ** 2), "The *squared* distance is what the field reports."),
    ],
)
def frechet_of_bells(mean_a, sd_a, mean_b, sd_b):
    return (mean_a - mean_b) ** 2 + (sd_a - sd_b) ** 2


# ---------------------------------------------------------------- challenge
NUM_POINTS, NUM_NEW, NUM_ISLANDS = 200, 1000, 25


def draw_challenge(g):
    """Points of 25 islands of unequal sizes on a bent grid; hidden: where they are, how wide, how frequent."""
    rows, columns = np.divmod(np.arange(NUM_ISLANDS), 5)
    centers = np.stack([columns - 2.0, rows - 2.0], axis=1) + g.uniform(-0.25, 0.25, (NUM_ISLANDS, 2))
    widths = g.uniform(0.03, 0.09, NUM_ISLANDS)
    shares = g.dirichlet(8 * np.ones(NUM_ISLANDS))
    points = on_islands(g, centers, widths, shares, NUM_POINTS)
    others = on_islands(g, centers, widths, shares, NUM_NEW)
    usual = float(np.median(nearest(others, points)))  # how far new points are from the given ones
    hidden = np.column_stack([centers, widths, shares, np.full(NUM_ISLANDS, usual)])  # (25, 5)
    return Drawn({"points": points}, hidden)


def on_islands(g, centers, widths, shares, number):
    """Draws from the distribution: (number, 2)."""
    which = g.choice(len(shares), number, p=shares)
    return centers[which] + widths[which, None] * g.normal(size=(number, 2))


def nearest(a, b):
    """Distance of each row of a to the nearest row of b."""
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2).min(axis=1))


def islands_right(arrays, inputs, hidden):
    """(share on an island) · (1 − total variation of how many are on each) · (how new the points are, at most 1)."""
    points = np.nan_to_num(np.asarray(arrays["points"], float), nan=1e6, posinf=1e6, neginf=-1e6).clip(-1e6, 1e6)
    centers, widths, shares, usual = hidden[:, :2], hidden[:, 2], hidden[:, 3], hidden[0, 4]
    apart = np.sqrt(((points[:, None] - centers[None]) ** 2).sum(axis=2)) / widths  # (1000, 25), in σ
    island = apart.argmin(axis=1)
    on_one = apart.min(axis=1) < 3
    first = np.zeros(len(points), bool)
    first[np.unique(np.round(points, 4), axis=0, return_index=True)[1]] = True
    on_one &= first  # the same point twice counts once
    counts = np.bincount(island[on_one], minlength=NUM_ISLANDS) / max(1, on_one.sum())
    new = min(1.0, float(np.median(nearest(points, inputs["points"]))) / usual)
    return float(on_one.mean() * (1 - np.abs(counts - shares).sum() / 2) * new)


challenge(
    "generation.challenge",
    title="New points, please",
    statement=[
        f"`points` ({NUM_POINTS}, 2) are draws from a distribution in the plane: {NUM_ISLANDS} islands, some large, some small, some wide, "
        f"some narrow. Hand in {NUM_NEW:,} *new* draws from the same distribution: `points` ({NUM_NEW}, 2).",
        "The score is a product of three shares. *True*: how many of your points lie within three standard deviations of the middle of an "
        "island (the same point twice counts once). *Varied*: 1 minus the total variation distance between your points' shares of the "
        "islands and the right ones. *New*: your median distance to the nearest given point, divided by what it is for real new "
        "draws, at most 1.",
        "Copies have 0, one Gaussian about 0.05, copies with the best amount of noise about 0.75. Draws from the true distribution "
        "have about 0.9. Any generative model is welcome: a GAN, a flow, a mixture.",
    ],
    draw=draw_challenge,
    score=islands_right,
    hand_in={"points": Array((NUM_NEW, 2), "float")},
    to_beat=0.77,
    points_by_score={0.77: 1, 0.8: 2, 0.83: 3},
    minutes=60,
    score_name="score",
)

"""Known right and wrong answers to the exercises in PyTorch, as learners write them."""

import copy
import math

import torch
from exercise_harness import Answers
from torch import nn
from torch.nn import functional as F


# ---------------------------------------------------------------- attention.4
class Heads(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, d_model, d_context, num_heads):
        super().__init__()
        self.wq, self.wo = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.wk, self.wv = nn.Linear(d_context, d_model), nn.Linear(d_context, d_model)
        self.h, self.d = num_heads, d_model // num_heads

    def scale(self):
        return math.sqrt(self.d)

    def split(self, t):
        b, n, _ = t.shape
        return t.reshape(b, n, self.h, self.d).permute(0, 2, 1, 3)

    def weigh(self, s, real):
        return F.softmax(s.masked_fill(~real, -1e9), -1) * real

    def join(self, y):
        b, h, n, d = y.shape
        return y.permute(0, 2, 1, 3).reshape(b, n, h * d)

    def forward(self, x, context, context_mask):
        q, k, v = self.split(self.wq(x)), self.split(self.wk(context)), self.split(self.wv(context))
        a = self.weigh(torch.matmul(q, k.mT) / self.scale(), context_mask[:, None, None])
        return self.wo(self.join(torch.matmul(a, v)))


class HeadByHead(Heads):
    def forward(self, x, context, context_mask):
        q, k, v, made = self.wq(x), self.wk(context), self.wv(context), []
        for i in range(self.h):
            at = slice(i * self.d, (i + 1) * self.d)
            s = torch.bmm(q[..., at], k[..., at].transpose(1, 2)) / self.d**0.5
            made.append(self.weigh(s[:, None], context_mask[:, None, None])[:, 0] @ v[..., at])
        return self.wo(torch.cat(made, dim=-1))


def heads(**methods):
    return type("Heads", (Heads,), methods)


def weighing(change):
    return heads(weigh=lambda self, s, real: change(s, real))


def to_infinity(s, real):
    return s.masked_fill(~real, -torch.inf).softmax(-1)


# ---------------------------------------------------------------- clip.2, clip.3
def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def contrast(norm=unit, scale=torch.exp, extra=True, both=True, columns=None, mean=True):
    """A right answer with places to go wrong."""

    def answer(image, text, hard_text, log_scale):
        u, v, h = norm(image), norm(text), norm(hard_text)
        table = scale(log_scale) * torch.mm(u, (torch.cat((v, h)) if extra else v).T)
        target = torch.arange(u.size(0))
        rows = F.nll_loss(table.log_softmax(1), target)
        down = columns(table) if columns else F.nll_loss(table[:, : u.size(0)].T.log_softmax(1), target)
        return (rows + down) / (2 if mean else 1) if both else rows

    return answer


def pairwise(norm=unit, scale=torch.exp, shift=lambda bias: bias, sign=lambda e: 2 * e - 1, total=None):
    """A right answer with places to go wrong."""

    def answer(image, text, log_scale, bias):
        z = scale(log_scale) * torch.mm(norm(image), norm(text).T) + shift(bias)
        cost = F.softplus(-sign(torch.eye(len(z))) * z)
        return total(cost) if total else cost.sum(1).mean()

    return answer


# ---------------------------------------------------------------- captioning.2, captioning.3
def self_critical(
    base=lambda mine, other: mine - other, whole=lambda lp, real: torch.where(real, lp, 0.0).sum(-1), end=None
):
    """A right answer with places to go wrong."""

    def answer(log_p, padding_mask, reward, greedy_reward):
        gain, caption = base(reward, greedy_reward), whole(log_p, padding_mask)
        return end(gain, caption) if end else -torch.dot(gain, caption) / len(gain)

    return answer


def step_with_cache(
    join=lambda past, new: torch.cat((past, new), 1), visible=None, scale=None, hand_back=None, use=None
):
    """A right answer with places to go wrong."""

    def answer(q, k, v, past_k, past_v):
        keys, values = join(past_k, k), join(past_v, v)
        seen_keys, seen_values = use(keys, values, k, v) if use else (keys, values)
        n, m = q.size(1), seen_keys.size(1)
        table = torch.bmm(q, seen_keys.mT) * (q.size(-1) ** -0.5 if scale is None else scale)
        hidden = visible(n, m) if visible else torch.ones(n, m).triu(m - n + 1).bool()
        y = torch.bmm(table.masked_fill(hidden, float("-inf")).softmax(-1), seen_values)
        return (y, *(hand_back(keys, values, past_k, past_v, v) if hand_back else (keys, values)))

    return answer


# ---------------------------------------------------------------- vlm.2, vlm.3
def fold(scale=lambda a, alpha: alpha / a.shape[0], base=True, turn=False, bias=True, keep=True):
    """A right answer with places to go wrong."""

    def answer(linear, lora_a, lora_b, alpha):
        layer = copy.deepcopy(linear) if keep else linear
        change = torch.einsum("or,ri->oi", lora_b, lora_a)
        change = change.T.reshape(change.shape) if turn else change
        with torch.no_grad():
            layer.weight.copy_((linear.weight if base else 0) + scale(lora_a, alpha) * change)
            if not bias and layer.bias is not None:
                layer.bias.zero_()
        return layer

    return answer


def shuffled(order=(0, 1, 3, 2, 4, 5), square=False, whole=False, mean=False):
    """A right answer with places to go wrong."""

    def answer(grid, size):
        b, h, w, d = grid.shape
        if whole:
            return grid.reshape(b, h * w // size**2, -1)
        across = h if square else w
        blocks = grid.reshape(b, h // size, size, across // size, size, -1)
        if mean:
            return blocks.mean((2, 4)).flatten(1, 2).tile(1, 1, size * size)
        return blocks.permute(order).reshape(b, h * across // size**2, -1)

    return answer


# ---------------------------------------------------------------- detection.4, detection.5
def two_losses(
    classes=lambda labels, matched: labels[matched],
    nothing=lambda z: z.shape[1] - 1,
    weights=(1.0, None),
    mean=lambda nats, w: torch.dot(nats, w) / w.sum(),
    logits=lambda z: z,
    apart=lambda d: d.abs().sum(1),
    average=lambda d, q: d.mean() if len(d) else d.sum(),
    everyone=False,
    flip=False,
):
    """A right answer with places to go wrong."""

    def answer(z, boxes, labels, targets, matched, no_object_weight):
        rows = torch.nonzero(matched + 1)[:, 0]
        wanted = torch.full((len(z),), nothing(z))
        wanted[rows] = classes(labels, matched[rows])
        light = no_object_weight if weights[1] is None else weights[1]
        heavy = no_object_weight if weights[0] is None else weights[0]
        w = torch.full((len(z),), light)
        w[rows] = heavy
        nats = F.nll_loss(F.log_softmax(logits(z), -1), wanted, reduction="none")
        pairs = torch.arange(len(z)) if everyone else rows
        found = mean(nats, w), average(apart(boxes[pairs] - targets[matched[pairs]]), len(z))
        return found[::-1] if flip else found

    return answer


class Cells(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, width, kinds, n):
        super().__init__()
        self.to_class, self.to_box = nn.Linear(width, kinds + 1), nn.Linear(width, 4)
        self.n = n

    def home(self):
        cells = [(i % self.n + 0.5, i // self.n + 0.5) for i in range(self.n**2)]
        return torch.tensor(cells) / self.n

    def grow(self, s):
        return torch.exp(s) / 4

    def go(self, r):
        return self.home() + r / self.n

    def end(self, where, size):
        return torch.cat((where, size), 2)

    def forward(self, f):
        r = self.to_box(f)
        return self.to_class(f), self.end(self.go(r[:, :, :2]), self.grow(r[:, :, 2:]))


def cells(**methods):
    return type("Cells", (Cells,), methods)


# ---------------------------------------------------------------- assistant.4, assistant.5
def mean_of_words(pool=None, last=lambda z: z, padding=None):
    """A right answer with places to go wrong."""

    class Pooled(nn.Module):
        def __init__(self, num_words, width, num_intents):
            super().__init__()
            self.words = nn.Embedding(num_words, width, padding_idx=padding)
            self.out = nn.Linear(width, num_intents)

        def forward(self, ids):
            there = (ids != 0)[:, :, None]
            v = self.words(ids)
            if pool is None:
                h = v.masked_fill(~there, 0.0).sum(1) / there.sum(1).clamp_min(1)
            else:
                h = pool(v, there)
            return last(self.out(h))

    return Pooled


def loss_of_hypotheses(
    weigh=lambda s: s - s.logsumexp(1, keepdim=True), mix=lambda w, p: (w + p).logsumexp(1), mean=torch.mean
):
    """A right answer with places to go wrong."""

    def answer(logits, scores, labels):
        nats = logits - logits.logsumexp(2, keepdim=True)
        own = torch.stack([row[:, y] for row, y in zip(nats, labels.tolist(), strict=True)])
        return mean(-mix(weigh(scores), own))

    return answer


# ---------------------------------------------------------------- deploy.4, deploy.5
def shifted(
    guess=lambda z, k: torch.eye(k)[z.argmax(-1)],
    table=lambda p, t: p.T @ t / len(t),
    today=lambda z, k: torch.eye(k)[z.argmax(-1)].mean(0),
    solve=torch.linalg.solve,
    cut=lambda w: torch.where(w > 0, w, torch.zeros_like(w)),
    mix=lambda z, w: z.softmax(1) * w,
    norm=lambda p: p / p.sum(1)[:, None],
):
    """A right answer with places to go wrong."""

    def answer(old_logits, old_labels, new_logits):
        k = old_logits.shape[-1]
        confusion = table(guess(old_logits, k), torch.eye(k)[old_labels])
        weights = cut(solve(confusion, today(new_logits, k)))
        return weights, norm(mix(new_logits, weights))

    return answer


def discrepancy(
    kernel=lambda d, w: torch.exp(-d / (2 * w * w)),
    own=lambda k: (k.sum() - k.trace()) / (len(k) * (len(k) - 1)),
    join=lambda a, b, c: a + b - 2 * c,
):
    """A right answer with places to go wrong."""

    def answer(x, y, width):
        def table(a, b):
            return kernel(((a.unsqueeze(1) - b.unsqueeze(0)) ** 2).sum(2), width)

        return join(own(table(x, x)), own(table(y, y)), table(x, y).mean())

    return answer


# ---------------------------------------------------------------- driving.4, driving.5
def gated_votes(
    squash=torch.sigmoid,
    keep=lambda g, m: torch.where(m, g, torch.zeros_like(g)),
    add=lambda g, z: torch.einsum("bm,bmc->bc", g, z),
    finish=lambda total, prior, z: total + prior,
    start=torch.zeros,
):
    """A right answer with places to go wrong."""

    class Gated(nn.Module):
        def __init__(self, num_sensors, num_classes, context_size):
            super().__init__()
            self.gate = nn.Linear(context_size, num_sensors)
            self.prior = nn.Parameter(start(num_classes))

        def forward(self, logits, context, modality_mask):
            raw = self.gate(context)
            gates = keep(squash(raw), modality_mask) if keep != "before" else squash(raw * modality_mask)
            return finish(add(gates, logits), self.prior, logits)

    return Gated


def scattering(
    down=torch.floor,
    axes=(0, 1),
    middle=True,
    border="drop",
    mean=True,
    read=lambda f: f,
    last=False,
):
    """A right answer with places to go wrong."""

    def answer(points, features, rows, columns, cell):
        r = down(points[:, axes[0]] / cell).long()
        c = down(points[:, axes[1]] / cell).long() + (columns // 2 if middle else 0)
        f = read(features)
        if border == "drop":
            good = (r >= 0) & (r < rows) & (c >= 0) & (c < columns)
            r, c, f = r[good], c[good], f[good]
        else:
            r, c = r.clamp(0, rows - 1), c.clamp(0, columns - 1)
        match = (torch.arange(rows * columns)[:, None] == (r * columns + c)[None]).to(f.dtype)
        if last:
            order = torch.arange(1, len(r) + 1)
            match = (match * order == (match * order).amax(1, keepdim=True).clamp(min=1)).to(f.dtype)
        total = match @ f
        count = match.sum(1, keepdim=True).clamp(min=1) if mean is True else torch.tensor(float(mean or 1))
        return (total / count).T.unflatten(1, (rows, columns))

    return answer


# ---------------------------------------------------------------- interpret.4, interpret.5
def way_of(
    score=lambda z, t: z[torch.arange(len(t)), t],
    middle=0.5,
    ahead=lambda x, b: x - b,
    mean=True,
    backward=False,
):
    """A right answer with places to go wrong."""

    def answer(model, x, baseline, target, steps):
        slopes = []
        for k in range(steps):
            z = torch.lerp(baseline, x, (k + middle) / steps).clone().requires_grad_(True)
            total = score(model(z), target).sum()
            if backward:
                total.backward()
                slopes.append(z.grad)
            else:
                slopes.append(torch.autograd.grad(total, [z])[0])
        slopes = torch.stack(slopes)
        return ahead(x, baseline) * (slopes.mean(0) if mean else slopes.sum(0))

    return answer


def map_by_hook(
    score=lambda z, t: z[:, t],
    weigh=lambda g: g.mean((2, 3))[..., None, None],
    mix=lambda w, a: F.relu((w * a).sum(1)),
    quiet=True,
    back=True,
    off=True,
):
    """A right answer with places to go wrong."""

    def answer(model, layer, x, target):
        box = {}
        handle = layer.register_forward_hook(lambda m, i, o: box.update(out=o))
        mode = model.training
        if quiet:
            model.eval()
        total = score(model(x), target).sum()
        if off:
            handle.remove()
        if back:
            model.train(mode)
        slope = torch.autograd.grad(total, box["out"])[0]
        return mix(weigh(slope), box["out"]).detach()

    return answer


# ---------------------------------------------------------------- capstone.4, capstone.5
def labels_of(
    fill=lambda v, h: v.masked_fill(~h[:, None], 0.0),
    pick=lambda z: z.argmax(-1),
    cut=lambda x, k: x.split(k),
    quiet=True,
    back=True,
    recorded=False,
):
    """A right answer with places to go wrong."""

    def answer(model, words, voice, heard, batch_size):
        mode = model.training
        if quiet:
            model.eval()
        found = []
        with torch.set_grad_enabled(recorded):
            for a, b in zip(cut(words, batch_size), cut(fill(voice, heard), batch_size), strict=True):
                found.append(pick(model(a, b)))
        if back:
            model.train(mode)
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.int64)

    return answer


def two_runs(again=True, join=lambda a, b: torch.cat([a, b], 1), away=torch.zeros_like, lr=0.5, clean=True, part=False):
    """A right answer with places to go wrong."""

    def answer(words, voice, labels, seed, steps):
        found = []
        torch.manual_seed(seed)
        for heard in (voice, away(voice)):
            if again:
                torch.manual_seed(seed)
            x = join(words, heard)
            model = nn.Linear(x.shape[1], 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=lr)
            for _ in range(steps):
                rows = torch.randint(len(labels), (8,))
                if clean:
                    optimizer.zero_grad()
                F.cross_entropy(model(x[rows]), labels[rows]).backward()
                optimizer.step()
            rows = rows if part else slice(None)
            found.append(float(F.cross_entropy(model(x[rows]), labels[rows]).detach()))
        return tuple(found)

    return answer


# ---------------------------------------------------------------- scale.4, scale.5
def run_again(same=True, back=True, order=reversed, arrives=lambda o, g: g, entered=lambda k, x: k, quiet=False):
    """A right answer with places to go wrong."""

    def answer(blocks, x, loss_of):
        stops, dice = [x], []
        for block in blocks:
            dice.append(torch.get_rng_state())
            stops.append(block(stops[-1]).detach() if not torch.is_grad_enabled() else with_no_grad(block, stops[-1]))
        end = torch.get_rng_state()
        top = stops[-1].clone().requires_grad_(True)
        loss = loss_of(top)
        slope = torch.autograd.grad(loss, top)[0]
        for k in order(list(range(len(blocks)))):
            leaf = entered(stops[k], x).clone().requires_grad_(True)
            if same:
                torch.set_rng_state(dice[k])
            if quiet:
                blocks[k].eval()
            out = blocks[k](leaf)
            blocks[k].train()
            torch.autograd.backward(out, arrives(out, slope))
            slope = leaf.grad
        if back:
            torch.set_rng_state(end)
        return loss.detach(), slope

    return answer


def with_no_grad(block, x):
    with torch.no_grad():
        return block(x)


def plainly(blocks, x, loss_of):
    x = x.clone().requires_grad_(True)
    y = x
    for block in blocks:
        y = block(y)
    loss = loss_of(y)
    loss.backward()
    return loss.detach(), x.grad


def made_equal(
    share=lambda n, counts, models: n / sum(counts),
    again=lambda found, counts, known: found,
    first=False,
    zeros=False,
    before=False,
    after=lambda norm, m: min(1.0, m / norm),
    told=lambda norm, m: norm,
):
    """A right answer with places to go wrong."""

    def answer(models, counts, max_norm):
        if before:
            for model in models:
                nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        lists = [list(model.parameters()) for model in models]
        for i in range(len(lists[0])):
            row = [group[i] for group in lists]
            known = [k for k, p in enumerate(row) if p.grad is not None]
            if not known:
                if zeros:
                    for p in row:
                        p.grad = torch.zeros_like(p)
                continue
            found = sum(share(counts[k], counts, models) * row[k].grad for k in known)
            found = again(found, counts, known)
            for p in row[:1] if first else row:
                p.grad = found.clone()
        norm = sum(float((p.grad**2).sum()) for p in lists[0] if p.grad is not None) ** 0.5
        for group in lists:
            for p in group:
                if p.grad is not None:
                    p.grad = p.grad * after(norm, max_norm)
        return told(norm, max_norm)

    return answer


# ---------------------------------------------------------------- medical.4, medical.5
def gappy(
    center=lambda x, m: x - m,
    spread=lambda x, s: x / s,
    fill=lambda ok, z, w: torch.where(ok, z, w.expand_as(z)),
    flags=lambda ok: ok.float(),
    join=lambda z, f: torch.cat((z, f), -1),
    act=F.relu,
    keep="buffer",
    start=torch.zeros,
):
    """A right answer with places to go wrong."""

    class Encoder(nn.Module):
        def __init__(self, mean, std, width):
            super().__init__()
            if keep == "buffer":
                self.register_buffer("mean", mean)
                self.register_buffer("std", std)
            elif keep == "parameter":
                self.mean, self.std = nn.Parameter(mean.clone()), nn.Parameter(std.clone())
            else:
                self.mean, self.std = mean, std
            self.instead = nn.Parameter(start(mean.shape))
            self.hidden = nn.Linear(2 * mean.shape[0], width)

        def forward(self, record):
            ok = record == record
            z = fill(ok, spread(center(record, self.mean), self.std), self.instead)
            return act(self.hidden(join(z, flags(ok).to(z.dtype))))

    return Encoder


def clipped(
    length=lambda g: g.pow(2).sum(1, keepdim=True).sqrt(),
    shrink=lambda g, n, c: torch.where(n > c, g * c / n.clamp(min=1e-9), g),
    noisy=lambda s, e, c, b: s + c * e,
    divide=lambda s, b: s / b,
):
    """A right answer with places to go wrong."""

    def answer(gradients, clip, noise):
        safe = shrink(gradients, length(gradients), clip)
        return divide(noisy(safe.sum(0), noise, clip, len(gradients)), len(gradients))

    return answer


def clipped_late(gradients, clip, noise):
    total = gradients.sum(0)
    total = total * min(1.0, clip / float(total.norm()))
    return (total + clip * noise) / len(gradients)


# ---------------------------------------------------------------- compress.4, compress.5
class Rounding(nn.Module):
    """A right answer with places to go wrong."""

    top = staticmethod(lambda w: w.abs().max(1, keepdim=True)[0])
    levels = staticmethod(lambda bits: 2 ** (bits - 1) - 1)
    cut = staticmethod(torch.round)
    back = staticmethod(lambda w, r: (r - w).detach() + w)
    given = staticmethod(lambda x: x)
    bias = True

    def __init__(self, inputs, outputs, bits):
        super().__init__()
        self.layer, self.n = nn.Linear(inputs, outputs), self.levels(bits)

    def forward(self, x):
        w = self.layer.weight
        s = self.top(w.detach()) / self.n
        y = self.given(x) @ self.back(w, self.cut(w / s) * s).T
        return y + self.layer.bias if self.bias else y + 0 * self.layer.bias.detach()


def rounding(**parts):
    return type("Rounding", (Rounding,), {k: staticmethod(v) if callable(v) else v for k, v in parts.items()})


def teaching(
    quiet=True,
    apart=True,
    power=2,
    kl=lambda q, p: F.kl_div(q, p, reduction="batchmean"),
    hot=(True, True),
    ce=F.cross_entropy,
    weigh=lambda a: (1 - a, a),
    clear=True,
    go=True,
    give=lambda loss: loss.item(),
):
    """A right answer with places to go wrong."""

    def answer(student, teacher, optimizer, x, labels, temperature, alpha):
        if quiet:
            teacher.eval()
        wanted = teacher(x).detach() if apart else teacher(x)
        z = student(x)
        p = (wanted / (temperature if hot[0] else 1)).softmax(1)
        q = (z / (temperature if hot[1] else 1)).log_softmax(1)
        a, b = weigh(alpha)
        loss = a * ce(z, labels) + b * temperature**power * kl(q, p)
        if clear:
            optimizer.zero_grad()
        loss.backward()
        if go:
            optimizer.step()
        return give(loss)

    return answer


# ---------------------------------------------------------------- generation.4, generation.5
def flowing(
    times=lambda t: t.view(-1, 1, 1, 1),
    point=lambda c, n, t: t * c + (1 - t) * n,
    hide=lambda d, k, y: torch.where(d, k, y),
    target=lambda c, n, x: c - n,
    loss=F.mse_loss,
    seen=lambda x, c: x,
):
    """A right answer with places to go wrong."""

    def answer(model, clean, labels, noise, t, dropped, num_classes):
        x = point(clean, noise, times(t))
        said = model(seen(x, clean), t, hide(dropped, num_classes, labels))
        return loss(said, target(clean, noise, x))

    return answer


class Listening(nn.Module):
    """A right answer with places to go wrong."""

    act, start, rest = staticmethod(F.silu), True, staticmethod(lambda x, h: x)

    def __init__(self, c, d):
        super().__init__()
        self.a, self.f, self.b = nn.Conv2d(c, c, 3, padding=1), nn.Linear(d, 2 * c), nn.Conv2d(c, c, 3, padding=1)
        if self.start:
            torch.nn.init.constant_(self.b.weight, 0.0)
            torch.nn.init.constant_(self.b.bias, 0.0)

    def mix(self, h, g, b):
        return self.act(h + g * h + b)

    def forward(self, x, c):
        g, b = torch.tensor_split(self.f(c)[..., None, None], 2, dim=1)
        h = self.a(x)
        return self.rest(x, h) + self.b(self.mix(h, g, b))


def listening(**parts):
    return type("Listening", (Listening,), parts)


# ---------------------------------------------------------------- chat.4, chat.5
def tuned(
    before=1,
    after=1,
    mask=None,
    every=False,
    average=lambda nats, counts: nats[counts].sum() / max(1, int(counts.sum())),
):
    """A right answer with places to go wrong."""

    def answer(z, ids, m):
        n = ids.shape[1]
        y = ids[:, after:] if before else ids
        log_p = z[:, : n - before].log_softmax(-1) if before >= 0 else z[:, -before:].log_softmax(-1)
        y = ids[:, :before] if before < 0 else y
        counts = m[:, after:] if before > 0 else m[:, :before] if before < 0 else m
        counts = counts if mask is None else mask(m)
        counts = torch.ones_like(counts) if every else counts
        nats = -log_p.gather(-1, y.unsqueeze(-1)).squeeze(-1)
        return average(nats, counts)

    return answer


def by_dialogue(nats, counts):
    rows = [n[c].sum() / max(1, int(c.sum())) for n, c in zip(nats, counts, strict=True)]
    return torch.stack(rows).mean()


def preferring(
    per=lambda each, m: (each * m).sum(1),
    use=True,
    sign=1,
    frozen=True,
    quiet=True,
    outside=False,
    swap=False,
    reduce=torch.mean,
    shift=True,
    mask=lambda m: m[:, 1:],
):
    """A right answer with places to go wrong."""

    def answer(policy, reference, c, r, cm, rm, beta):
        def total(model, ids, m):
            z = model(ids).log_softmax(-1)
            if not shift:
                return per(z.gather(2, ids.unsqueeze(2)).squeeze(2), m.float())
            return per(z[:, :-1].gather(2, ids[:, 1:].unsqueeze(2)).squeeze(2), mask(m).float())

        if quiet:
            reference.eval()
        with torch.set_grad_enabled(not frozen):
            base = total(reference, c, cm) - total(reference, r, rm)
        h = total(policy, c, cm) - total(policy, r, rm) - (sign * base if use else 0)
        h = -h if swap else h
        return beta * reduce(-F.logsigmoid(h)) if outside else reduce(-F.logsigmoid(beta * h))

    return answer


# ---------------------------------------------------------------- speech_to_text.4, speech_to_text.5
def ctc_of(
    log=lambda z: z.log_softmax(-1),
    steps=lambda n, z: torch.div(n + 3, 4, rounding_mode="floor"),
    blank=lambda z: 0,
    average=lambda nats, ok, words: nats[ok].sum() / words[ok].sum(),
    count=lambda ok: int((~ok).sum()),
    zero=True,
    flip=False,
):
    """A right answer with places to go wrong."""

    def answer(z, n, y, m):
        loss = nn.CTCLoss(blank=blank(z), reduction="none", zero_infinity=zero)
        each = loss(log(z).permute(1, 0, 2), y, steps(n, z), m)
        ok = (each != 0) & (each < float("inf"))
        found = average(each, ok, m), count(ok)
        return found[::-1] if flip else found

    return answer


class Halved(nn.Module):
    """A right answer with places to go wrong."""

    stride, gelu, ends, starts = 2, staticmethod(F.gelu), True, True

    def __init__(self, i, o, k):
        super().__init__()
        self.conv = nn.Conv1d(i, o, k, stride=self.stride, padding=self.pad(k))

    def pad(self, k):
        return (k - 1) // 2

    def shorter(self, n):
        return n - n // 2

    def give(self, y, n):
        return y, n

    def forward(self, x, n):
        z = x.clone()
        for row, size in enumerate(n.tolist()):
            if self.starts:
                z[row, size:] = 0
        y = self.gelu(self.conv(z.mT)).mT
        m = self.shorter(n)
        keep = torch.arange(y.shape[1])[None] < m[:, None]
        return self.give(y * keep[..., None] if self.ends else y, m)


def halved(**parts):
    return type("Halved", (Halved,), parts)


# ---------------------------------------------------------------- video.4, video.5
class InTwo(nn.Module):
    """A right answer with places to go wrong."""

    pads, strides, act = ((0, 1, 1), (1, 0, 0)), ((1, 2, 2), 1), staticmethod(F.relu)

    def __init__(self, i, m, o):
        super().__init__()
        self.a = nn.Conv3d(i, m, (1, 3, 3), self.strides[0], self.pads[0])
        self.b = nn.Conv3d(m, o, (3, 1, 1), self.strides[1], self.pads[1])

    def enter(self, x):
        return x.permute(0, 2, 1, 3, 4)

    def leave(self, y):
        return y.permute(0, 2, 1, 3, 4)

    def end(self, y):
        return y

    def forward(self, x):
        return self.leave(self.end(self.b(self.act(self.a(self.enter(x))))))


def in_two(**parts):
    return type("InTwo", (InTwo,), parts)


class AlongTime(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, d, heads, most):
        super().__init__()
        self.where = nn.Parameter(torch.randn(most, d) / 3)
        self.look = nn.MultiheadAttention(d, heads, batch_first=True)

    def place(self, x):
        return x + self.where[: x.shape[1]].unsqueeze(1)

    def rows(self, h):
        return h.permute(0, 2, 1, 3).reshape(-1, h.shape[1], h.shape[3])

    def back(self, y, h):
        return y.reshape(h.shape[0], h.shape[2], h.shape[1], h.shape[3]).permute(0, 2, 1, 3)

    def attend(self, r):
        return self.look(r, r, r, need_weights=False)[0]

    def add(self, x, h, y):
        return h + y

    def forward(self, x):
        h = self.place(x)
        return self.add(x, h, self.back(self.attend(self.rows(h)), h))


def along_time(**parts):
    return type("AlongTime", (AlongTime,), parts)


def causally(self, r):
    t = r.shape[1]
    return self.look(r, r, r, attn_mask=torch.full((t, t), float("-inf")).triu(1), need_weights=False)[0]


# ---------------------------------------------------------------- language_model.4, language_model.5
class Gated(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, dim, hidden, eps):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))
        self.gate = nn.Linear(dim, hidden, bias=False)
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def normalize(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight

    def inside(self, h):
        return F.silu(self.gate(h)) * self.up(h)

    def join(self, x, h, y):
        return x + y

    def forward(self, x):
        h = self.normalize(x)
        return self.join(x, h, self.down(self.inside(h)))


class GatedByEinsum(Gated):
    def normalize(self, x):
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square() / x.shape[-1]
        return torch.einsum("bnd,d->bnd", x / (size + self.eps).sqrt(), self.weight)


def gated(**methods):
    return type("Gated", (Gated,), methods)


def documents(
    shift=1,
    boundary=True,
    padding=True,
    score=lambda z: z.log_softmax(-1),
    average=lambda nats, kept: (nats * kept).sum() / kept.sum(),
):
    """A right answer with places to go wrong."""

    def answer(z, y, document):
        n = y.shape[1] - shift
        log_p = score(z[:, :n])
        nats = -log_p.gather(2, y[:, shift:, None])[..., 0]
        kept = torch.ones_like(nats, dtype=torch.bool)
        if boundary:
            kept = kept & (document[:, shift:] == document[:, :n])
        if padding:
            kept = kept & (document[:, shift:] != -1)
        return average(nats, kept)

    return answer


# ---------------------------------------------------------------- cnn.4, cnn.5
class Padded(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, i, o, k, s):
        super().__init__()
        self.k, self.s = k, s
        self.filters = self.make(i, o, k, s)

    def make(self, i, o, k, s):
        return nn.Conv2d(i, o, (k, k), stride=(s, s))

    def needed(self, n):
        return max((math.ceil(n / self.s) - 1) * self.s + self.k - n, 0)

    def split(self, total):
        return total // 2, total - total // 2

    def rims(self, x):
        return [*self.split(self.needed(x.shape[-1])), *self.split(self.needed(x.shape[-2]))]

    def end(self, y):
        return y

    def forward(self, x):
        return self.end(self.filters(F.pad(x, self.rims(x))))


class PaddedByZeros(Padded):
    """Writes the picture into a larger one of zeros."""

    def forward(self, x):
        left, right, top, bottom = self.rims(x)
        b, c, h, w = x.shape
        large = x.new_zeros(b, c, h + top + bottom, w + left + right)
        large[:, :, top : top + h, left : left + w] = x
        return self.filters(large)


def padded(**methods):
    return type("Padded", (Padded,), methods)


class Reader(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, i, channels, classes):
        super().__init__()
        self.body = self.keep([nn.Conv2d(a, b, 3, padding=1) for a, b in self.pairs(i, channels)])
        self.linear = nn.Linear(channels[-1], classes)

    def pairs(self, i, channels):
        return zip([i, *channels[:-1]], channels, strict=True)

    def keep(self, layers):
        return nn.ModuleList(layers)

    def between(self, x):
        return F.max_pool2d(x, 2)

    def act(self, x):
        return F.relu(x)

    def whole(self, x):
        return x.flatten(2).max(-1).values

    def end(self, y):
        return y

    def forward(self, x):
        first, *others = self.body
        x = self.act(first(x))
        for layer in others:
            x = self.act(layer(self.between(x)))
        return self.end(self.linear(self.whole(x)))


class ReaderOfModules(Reader):
    """The pooling is a module, the end an adaptive one."""

    def whole(self, x):
        return nn.AdaptiveMaxPool2d((1, 1))(x)[:, :, 0, 0]

    def between(self, x):
        return nn.MaxPool2d(kernel_size=2, stride=2)(x)


def reader(**methods):
    return type("Reader", (Reader,), methods)


# ---------------------------------------------------------------- neural_networks.3
class Net(nn.Module):
    """A right answer with places to go wrong."""

    end = staticmethod(lambda y: y)
    act = staticmethod(F.relu)
    flat = staticmethod(lambda x: x.view(x.size(0), -1))
    bias = True

    def __init__(self, n_in, hidden, n_out):
        super().__init__()
        dims = [n_in, *hidden, n_out]
        self.fcs = nn.ModuleList([nn.Linear(i, o, bias=self.bias) for i, o in zip(dims, dims[1:])])  # noqa: B905

    def forward(self, x):
        x = self.flat(x)
        for fc in self.fcs[:-1]:
            x = self.act(fc(x))
        return self.end(self.fcs[-1](x))


def net(**parts):
    return type("Net", (Net,), {k: staticmethod(v) if callable(v) else v for k, v in parts.items()})


class ListNet(nn.Module):
    def __init__(self, n_in, hidden, n_out):
        super().__init__()
        dims = [n_in, *hidden]
        self.fcs = [nn.Linear(i, o) for i, o in zip(dims, dims[1:])]  # noqa: B905
        self.last = nn.Linear(dims[-1], n_out)

    def forward(self, x):
        x = x.flatten(1)
        for fc in self.fcs:
            x = F.relu(fc(x))
        return self.last(x)


def functional_net(n_in, hidden, n_out):
    layers = [nn.Flatten()]
    for i, o in zip([n_in, *hidden], hidden):  # noqa: B905
        layers.extend((nn.Linear(i, o), nn.ReLU()))
    return nn.Sequential(*layers, nn.Linear([n_in, *hidden][-1], n_out))


# ---------------------------------------------------------------- images.4
class Mirror(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def coins(self, b):
        return torch.bernoulli(torch.full((b,), float(self.p))).bool()

    def turn(self, boxes, picture):
        w = picture.shape[-1]
        out = boxes.clone()
        out[..., 0], out[..., 2] = w - boxes[..., 2], w - boxes[..., 0]
        return out

    def masked(self, mask):
        return mask.flip(-1)

    def active(self):
        return self.training

    def forward(self, pictures, boxes, masks):
        if not self.active():
            return pictures, boxes, masks
        pictures, boxes, masks = pictures.clone(), boxes.clone(), masks.clone()
        for i, coin in enumerate(self.coins(len(pictures))):
            if coin:
                pictures[i] = pictures[i].flip(-1)
                boxes[i] = self.turn(boxes[i], pictures[i])
                masks[i] = self.masked(masks[i])
        return pictures, boxes, masks


class MirrorByIndex(nn.Module):
    """Only the chosen samples are touched; the axis is reversed by an index."""

    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, pictures, boxes, masks):
        if self.training:
            chosen = torch.nonzero(torch.rand(len(pictures)) < self.p)[:, 0]
            w = pictures.shape[-1]
            back = torch.arange(w - 1, -1, -1)
            sign, shift = boxes.new_tensor([-1, 1, -1, 1]), boxes.new_tensor([w, 0, w, 0])
            pictures = pictures.index_copy(0, chosen, pictures[chosen][..., back])
            masks = masks.index_put((chosen,), masks[chosen][..., back])
            boxes = boxes.index_copy(0, chosen, boxes[chosen][..., [2, 1, 0, 3]] * sign + shift)
        return pictures, boxes, masks


def mirror(**parts):
    """`Mirror` with methods replaced."""
    return type("RandomMirror", (Mirror,), parts)


def inside_out(self, boxes, picture):
    w = picture.shape[-1]
    return torch.stack([w - boxes[..., 0], boxes[..., 1], w - boxes[..., 2], boxes[..., 3]], -1)


def by_height(self, boxes, picture):
    return Mirror.turn(self, boxes, picture.transpose(-1, -2))


def one_left(self, boxes, picture):
    return Mirror.turn(self, boxes, picture) - boxes.new_tensor([1, 0, 1, 0])


# ---------------------------------------------------------------- neural_networks.4
def stepping(mode=True, clear="before", loss_of=F.cross_entropy, back=True, steps=1, give=lambda loss, *_: loss.item()):
    """A right answer with parts replaced."""

    def train_step(model, optimizer, inputs, targets):
        model.train(mode) if mode is not None else None
        if clear == "before":
            optimizer.zero_grad()
        loss = loss_of(model(inputs), targets)
        if back:
            loss.backward()
        if clear == "between":
            optimizer.zero_grad()
        for _ in range(steps):
            optimizer.step()
        if clear == "after":
            optimizer.zero_grad()
        return give(loss, model, inputs, targets)

    return train_step


# ---------------------------------------------------------------- neural_networks.5
class OneLength(nn.Module):
    def forward(self, x):
        return x / (x.norm(dim=1, keepdim=True) + 1e-8)


def training(steps=400, width=48, rate=0.02, act=nn.ReLU, first=nn.Identity, last=nn.Identity):
    def train(inputs, targets, num_classes):
        hidden = [nn.Linear(2, width), act(), nn.Linear(width, width), act()]
        net = nn.Sequential(first(), *hidden, nn.Linear(width, num_classes), last())
        optimizer = torch.optim.Adam(net.parameters(), rate)
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(net(inputs), targets).backward()
            optimizer.step()
        return net

    return train


class NearestNeighbor(nn.Module):
    """No training at all, and right."""

    def __init__(self, inputs, targets, num_classes):
        super().__init__()
        self.x, self.y = inputs, F.one_hot(targets, num_classes).float()

    def forward(self, x):
        return self.y[torch.cdist(x, self.x).argmin(1)]


# ---------------------------------------------------------------- text.3
class Weighing(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, v, d, c):
        super().__init__()
        self.emb, self.lin = nn.Embedding(v, d), nn.Linear(d, c)

    def keep(self, ids, w, m):
        return w.masked_fill(~m, 0)

    def pool(self, w, x, m):
        s = w.sum(1)
        return torch.einsum("bn,bnd->bd", w, x) / torch.where(s > 0, s, torch.ones_like(s))[:, None]

    def forward(self, ids, weights, padding_mask):
        return self.lin(self.pool(self.keep(ids, weights, padding_mask), self.emb(ids), padding_mask))


class TokenByToken(Weighing):
    def pool(self, w, x, m):
        total, mass = torch.zeros_like(x[:, 0]), torch.zeros_like(w[:, :1])
        for t in range(w.shape[1]):
            total, mass = total + w[:, t, None] * x[:, t], mass + w[:, t, None]
        return total / (mass + (mass == 0))


def mixing(**methods):
    return type("Weighing", (Weighing,), methods)


# ---------------------------------------------------------------- audio.4
class Ears(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, window, bank, hop_length):
        super().__init__()
        self.hop = hop_length
        self.keep("window", window)
        self.keep("bank", bank)

    def keep(self, name, value):
        self.register_buffer(name, value)

    def cut(self, x):
        return x.unfold(1, self.window.numel(), self.hop)

    def power(self, frames):
        return torch.fft.rfft(frames * self.window, dim=-1).abs().square()

    def level(self, bands):
        return 10 * bands.clamp_min(1e-10).log10()

    def forward(self, x):
        return self.level(torch.matmul(self.power(self.cut(x)), self.bank.t()))


class EarsByStft(Ears):
    def power(self, frames):
        b, t, n = frames.shape
        flat = frames.reshape(b * t, n)
        bins = torch.stft(flat, n, n, window=self.window, center=False, return_complex=True)  # (b · t, bins, 1)
        return (bins.real**2 + bins.imag**2).reshape(b, t, -1)


def ears(**methods):
    return type("Ears", (Ears,), methods)


# ---------------------------------------------------------------- multimodal_data.5
def batch_of(samples, masks=None, fill=None, there=None):
    """A right answer with places to go wrong: `masks` and `there` change a mask, `fill` copies a sequence to a row."""
    width = [s["voice"].shape[1] for s in samples if s["voice"] is not None][0]
    made = {"inputs": {}, "padding_mask": {}}
    for name in ("voice", "words"):
        parts = [s[name] if s[name] is not None else torch.zeros(0, width) for s in samples]
        n = torch.tensor([p.shape[0] for p in parts])
        x = torch.zeros(len(parts), int(n.max()), *parts[0].shape[1:], dtype=parts[0].dtype)
        for i, part in enumerate(parts):
            if fill:
                fill(x[i], part)
            else:
                x[i, : len(part)] = part
        mask = torch.stack([torch.arange(int(n.max())) < k for k in n])
        made["inputs"][name] = x
        made["padding_mask"][name] = masks(mask, x) if masks else mask
    has = torch.tensor([s["voice"] is not None for s in samples])
    made["modality_mask"] = {"voice": there(has) if there else has}
    made["target"] = torch.tensor([s["target"] for s in samples])
    return made


def batch_by_cat(samples):
    """Zeros joined to the end of each part."""
    width = max(0 if s["voice"] is None else s["voice"].size(1) for s in samples)
    voices = [torch.empty(0, width) if s["voice"] is None else s["voice"] for s in samples]
    words = [s["words"] for s in samples]

    def joined(parts):
        most = max(len(p) for p in parts)
        return torch.stack([torch.cat([p, p.new_zeros(most - len(p), *p.shape[1:])]) for p in parts])

    def real(parts):
        return joined([torch.ones(len(p)) for p in parts]).bool()

    return {
        "target": torch.as_tensor([s["target"] for s in samples]),
        "modality_mask": {"voice": torch.tensor([len(v) > 0 for v in voices])},
        "padding_mask": {"words": real(words), "voice": real(voices)},
        "inputs": {"words": joined(words), "voice": joined(voices)},
    }


def not_zero(mask, x):
    return x.flatten(2).any(2) if x.ndim > 2 else x != 0


def longest_first(samples):
    return sorted(samples, key=lambda s: len(s["words"]), reverse=True)


def at_the_end(row, part):
    if len(part):
        row[-len(part) :] = part


# ---------------------------------------------------------------- evaluate.4
def looping(
    enter=lambda model: model.eval(),
    leave=lambda model, before: model.train(before),
    graph=False,
    loss_of=lambda z, y: F.cross_entropy(z, y, reduction="sum").item(),
    size_of=lambda sizes: sum(sizes),
    give=lambda loss, hits, n: (loss / n, hits / n),
    hits_of=lambda z, y: int((z.argmax(-1) == y).sum()),
):
    """A right answer with parts replaced."""

    def evaluate_model(model, batches):
        before = model.training
        enter(model)
        loss, hits, sizes = 0, 0, []
        with torch.set_grad_enabled(graph):
            for a, y in batches:
                z = model(a)
                loss, hits = loss + loss_of(z, y), hits + hits_of(z, y)
                sizes.append(y.numel())
        leave(model, before)
        return give(loss, hits, size_of(sizes))

    return evaluate_model


def means_of_batches(model, batches):
    before = model.training
    model.eval()
    with torch.no_grad():
        rows = [
            (F.cross_entropy(z := model(a), y).item(), (z.argmax(1) == y).float().mean().item()) for a, y in batches
        ]
    model.train(before)
    return sum(row[0] for row in rows) / len(rows), sum(row[1] for row in rows) / len(rows)


def everything_at_once(model, batches):
    before, rows = model.training, list(batches)
    model.eval()
    with torch.no_grad():
        z, y = model(torch.cat([a for a, _ in rows])), torch.cat([y for _, y in rows])
    model.train(before)
    return F.cross_entropy(z, y).item(), (z.argmax(1) == y).double().mean().item()


# ---------------------------------------------------------------- train_pytorch.4, train_pytorch.5
def from_parts(
    weigh=lambda n, total, parts: n / total,
    clear="once",
    clip=nn.utils.clip_grad_norm_,
    clip_when="end",
    step_when="end",
    give=lambda means, sizes: sum(m.item() * n for m, n in zip(means, sizes, strict=True)) / sum(sizes),
):
    """A right answer with parts replaced."""

    def accumulated_step(model, optimizer, parts, max_norm):
        sizes, means = [y.size(0) for _, y in parts], []
        if clear == "once":
            optimizer.zero_grad()
        for (x, y), n in zip(parts, sizes, strict=True):
            if clear == "each":
                optimizer.zero_grad()
            mean = F.cross_entropy(model(x), y)
            (mean * weigh(n, sum(sizes), len(parts))).backward()
            if clip_when == "each":
                clip(model.parameters(), max_norm)
            if step_when == "each":
                optimizer.step()
            means.append(mean.detach())
        if clip_when == "end":
            clip(model.parameters(), max_norm)
        if step_when == "end":
            optimizer.step()
        if clip_when == "after":
            clip(model.parameters(), max_norm)
        return give(means, sizes)

    return accumulated_step


def each_tensor_alone(parameters, max_norm):
    for p in parameters:
        nn.utils.clip_grad_norm_(p, max_norm)


def stop_and_go(
    keep=("model", "optimizer", "scheduler", "random", "next"),
    after=lambda optimizer, scheduler: scheduler.step(),
    clear=True,
    end=lambda batches, stop: len(batches) if stop is None else stop,
    nearest=lambda number: number,
    give=lambda loss: loss.item(),
    extra=lambda scheduler: {},
):
    """A right answer with parts replaced."""

    def train_part(model, optimizer, scheduler, batches, state=None, stop=None):
        things = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
        number = 0
        if state is not None:
            for name, thing in things.items():
                if name in keep:
                    thing.load_state_dict(state[name])
            if "random" in keep:
                torch.set_rng_state(state["random"])
            number = state["next"] if "next" in keep else 0
        losses, last = [], end(batches, stop)
        while number < last:
            x, y = batches[number]
            loss = F.cross_entropy(model(x), y)
            if clear:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            after(optimizer, scheduler)
            losses.append(give(loss))
            number += 1
        states = {name: thing.state_dict() for name, thing in things.items()}
        return losses, states | {"random": torch.get_rng_state(), "next": nearest(number)} | extra(scheduler)

    return train_part


def all_but(name):
    return stop_and_go(keep={"model", "optimizer", "scheduler", "random", "next"} - {name})


# ---------------------------------------------------------------- sentiment.5
class Gaps(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, m, d, classes):
        super().__init__()
        self.mark = nn.Parameter(torch.empty(m, d).normal_())
        self.ask, self.offer, self.bring = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)
        self.last = nn.Linear(d, classes)

    def clean(self, x, here):
        return torch.where(here[..., None], x, 0.0)

    def tokens(self, x):
        return x + self.mark[None]

    def scores(self, q, k):
        return torch.einsum("bid,bjd->bij", q, k) / q.shape[-1] ** 0.5

    def weigh(self, s, here):
        return F.softmax(s.masked_fill(~here[:, None], torch.finfo(s.dtype).min), -1)

    def add(self, t, brought):
        return t + brought

    def pool(self, y, here):
        kept = torch.where(here[..., None], y, 0.0)
        return kept.sum(1) / here.sum(1).clamp(1)[:, None]

    def forward(self, x, here):
        t = self.tokens(self.clean(x, here))
        a = self.weigh(self.scores(self.ask(t), self.offer(t)), here)
        return self.last(self.pool(self.add(t, a @ self.bring(t)), here))


def gaps(**methods):
    return type("Gaps", (Gaps,), methods)


class EachAlone(Gaps):
    """Message by message, with only what is there."""

    def forward(self, x, here):
        rows = []
        for vectors, known in zip(x, here, strict=True):
            t = vectors[known] + self.mark[known]
            if len(t) == 0:
                rows.append(self.last.bias + 0 * sum(p.sum() for p in self.parameters()))
                continue
            a = (self.ask(t) @ self.offer(t).T / t.shape[1] ** 0.5).softmax(1)
            rows.append(self.last((t + a @ self.bring(t)).mean(0)))
        return torch.stack(rows)


class OverTheBatch(Gaps):
    def forward(self, x, here):
        t = self.tokens(self.clean(x, here)).movedim(1, 0)
        a = self.weigh(self.scores(self.ask(t), self.offer(t)), here.T)
        return self.last(self.pool(self.add(t, a @ self.bring(t)).movedim(0, 1), here))


class GapsOfTheFirst(Gaps):
    def forward(self, x, here):
        return super().forward(self.clean(x, here), here[:1].repeat(len(here), 1))


# ---------------------------------------------------------------- bert.3
def tied(
    select=lambda h, kept: h[kept],
    table=lambda e: e.weight,
    add=lambda z, bias: z + bias,
    mean=lambda z, y, all_labels: F.cross_entropy(z, y),
    nothing=lambda h: 0.0 * h.sum(),
    keep=lambda labels: labels.ne(-100),
    through=lambda transform, h: transform(h),
):
    """A right answer with parts replaced."""

    def gap_loss(hidden, labels, embedding, transform, bias):
        kept = keep(labels)
        if nothing is not None and not kept.any():
            return nothing(hidden)
        rows = through(transform, select(hidden, kept))
        return mean(add(torch.matmul(rows, table(embedding).t()), bias), labels[kept], labels)

    return gap_loss


def all_rows_first(hidden, labels, embedding, transform, bias):
    if labels.eq(-100).all():
        return hidden.sum() * 0
    z = F.linear(transform(hidden), embedding.weight, bias)
    return F.cross_entropy(z.flatten(0, 1), labels.flatten())


def by_nll(hidden, labels, embedding, transform, bias):
    flat = labels.reshape(-1)
    at = torch.nonzero(flat != -100)[:, 0]
    if at.numel() == 0:
        return hidden.mean() * 0
    z = F.linear(transform(hidden.reshape(len(flat), -1)[at]), embedding.weight, bias)
    return F.nll_loss(z.log_softmax(1), flat[at])


# ---------------------------------------------------------------- rnn.4, rnn.5
class Ending(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, words, width, d, classes):
        super().__init__()
        self.table = nn.Embedding(words, width)
        self.reader = self.make(width, d)
        self.head = nn.Linear(d, classes)

    def make(self, width, d):
        return nn.LSTM(width, d, batch_first=True)

    def pick(self, y, ids):
        at = ids.ne(0).sum(1, keepdim=True) - 1  # (b, 1)
        return y.take_along_dim(at[..., None], dim=1)[:, 0]

    def end(self, z):
        return z

    def forward(self, ids):
        return self.end(self.head(self.pick(self.reader(self.table(ids))[0], ids)))


class OneByOne(Ending):
    """Reads each sentence alone."""

    def forward(self, ids):
        rows = [row[row > 0] for row in ids]
        return torch.cat([self.head(self.reader(self.table(row)[None])[1][0][0]) for row in rows])


def ending(**methods):
    return type("Ending", (Ending,), methods)


def in_pieces(
    carry=lambda state: state.detach(),
    loss_of=lambda z, y: F.cross_entropy(z.transpose(1, 2), y),
    clear=True,
    clip=nn.utils.clip_grad_norm_,
    when="between",
    give=lambda loss: loss.item(),
    pack=lambda found: found,
):
    """A right answer with parts replaced."""

    def train_on_pieces(model, optimizer, pieces, targets, max_norm):
        state, found = None, []
        for ids, wanted in zip(pieces, targets, strict=True):
            z, state = model(ids, state)
            state = carry(state)
            loss = loss_of(z, wanted)
            if clear:
                optimizer.zero_grad()
            if when == "before":
                clip([p for p in model.parameters() if p.grad is not None], max_norm)
            loss.backward()
            if when == "between":
                clip(model.parameters(), max_norm)
            optimizer.step()
            if when == "after":
                clip(model.parameters(), max_norm)
            found.append(give(loss))
        return pack(found)

    return train_on_pieces


def each_alone(parameters, max_norm):
    for p in parameters:
        nn.utils.clip_grad_norm_(p, max_norm)


def stretched(parameters, max_norm):
    gradients = [p.grad for p in parameters]
    norm = sum(g.pow(2).sum() for g in gradients) ** 0.5
    for g in gradients:
        g *= max_norm / norm


# ---------------------------------------------------------------- fusion.5
class Factors(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, dims, rank, width):
        super().__init__()
        self.parts = self.make([nn.Parameter(torch.zeros(rank, d + 1, width)) for d in dims])

    def make(self, parts):
        return nn.ParameterList(parts)

    def clean(self, x, here):
        return x.masked_fill(~here, 0)

    def extend(self, x):
        return F.pad(x, (0, 1), value=1)

    def map(self, x, here, w):
        return torch.tensordot(self.extend(self.clean(x, here)), w, dims=([1], [1]))  # (b, R, width)

    def join(self, maps):
        return torch.stack(maps).prod(0).sum(1)

    def forward(self, xs, there):
        return self.join([self.map(x, there[:, [m]], w) for m, (x, w) in enumerate(zip(xs, self.parts, strict=True))])


class SampleBySample(Factors):
    """One sample after another, the absent ones left out of the sum."""

    def forward(self, xs, there):
        rows = []
        for i in range(len(there)):
            product = 1
            for m, w in enumerate(self.parts):
                row = w[:, -1]  # (R, width): that of the 1
                if there[i, m]:
                    row = row + torch.einsum("i,rik->rk", xs[m][i], w[:, :-1])
                product = product * row
            rows.append(product.sum(0))
        return torch.stack(rows)


def factors(**methods):
    return type("Factors", (Factors,), methods)


FUNCTIONS = {"*": "the answer is a class, or takes a model and an optimizer, and gets its inputs through a probe"}


# ---------------------------------------------------------------- tune.4
def one_trial(
    make=torch.optim.AdamW,
    clear=True,
    modes=("train", "eval"),
    size=lambda config, x: config["batch_size"],
    loss_of=F.cross_entropy,
    scored=lambda x, y, xv, yv: (xv, yv),
    number=lambda epoch: epoch,
    give=lambda loss: loss.item(),
    obey=True,
    pack=lambda losses, stopped: (losses[-1], stopped),
):
    """A right answer with parts replaced."""

    def run_trial(model, config, x, y, x_valid, y_valid, report):
        steps = make(model.parameters(), lr=config["learning_rate"], weight_decay=config["weight_decay"])
        losses = []
        for epoch in range(1, 1 + config["epochs"]):
            getattr(model, modes[0])()
            n = size(config, x)
            for inputs, labels in zip(x.split(n), y.split(n), strict=True):
                if clear:
                    steps.zero_grad()
                loss_of(model(inputs), labels).backward()
                steps.step()
            getattr(model, modes[1])()
            with torch.no_grad():
                inputs, labels = scored(x, y, x_valid, y_valid)
                losses.append(give(loss_of(model(inputs), labels)))
            if report(number(epoch), losses[-1]) and obey:
                return pack(losses, True)
        return pack(losses, False)

    return run_trial


# ---------------------------------------------------------------- vision.3
class Narrow(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, a, m, c, s):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(a, m, 1, bias=False), nn.BatchNorm2d(m), nn.ReLU(),
            nn.Conv2d(m, m, 3, s, 1, bias=False), nn.BatchNorm2d(m), nn.ReLU(),
            nn.Conv2d(m, c, 1, bias=False), nn.BatchNorm2d(c),
        )  # fmt: skip
        same = s == 1 and a == c
        self.around = nn.Identity() if same else self.project(a, c, s)

    def project(self, a, c, s):
        return nn.Sequential(nn.Conv2d(a, c, 1, s, bias=False), nn.BatchNorm2d(c))

    def forward(self, x):
        return F.relu(self.around(x) + self.branch(x))


class NarrowByHand(Narrow):
    def forward(self, x):
        y = x
        for layer in self.branch:
            y = layer(y)
        return (y + self.around(x)).clamp(min=0)


def narrow(**methods):
    return type("Narrow", (Narrow,), methods)


def with_layer(index, layer):
    """One layer of the branch replaced."""

    def __init__(self, a, m, c, s):
        Narrow.__init__(self, a, m, c, s)
        self.branch[index] = layer(a, m, c, s)

    return narrow(__init__=__init__)


def narrow_early(self, a, m, c, s):
    """The stride in the first convolution."""
    Narrow.__init__(self, a, m, c, s)
    self.branch[0] = nn.Conv2d(a, m, 1, s, bias=False)
    self.branch[3] = nn.Conv2d(m, m, 3, 1, 1, bias=False)


# ---------------------------------------------------------------- vision.4
def heading(
    body=False, top=True, clear=True, watch=torch.no_grad, loss_of=F.cross_entropy, give=lambda loss, *_: loss.item()
):
    """A right answer with parts replaced."""

    def head_step(backbone, head, optimizer, inputs, targets):
        backbone.train(body)
        head.train(top) if top is not None else None
        with watch():
            h = backbone(inputs)
        loss = loss_of(head(h), targets)
        if clear:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return give(loss, head, h, targets)

    return head_step


# ---------------------------------------------------------------- transformers.5
class SideBySide(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, d, heads, batch_first=True, act=nn.GELU):
        super().__init__()
        self.ln, self.att = nn.LayerNorm(d), nn.MultiheadAttention(d, heads, batch_first=batch_first)
        self.first, self.act, self.second = nn.Linear(d, 4 * d), act(), nn.Linear(4 * d, d)

    def look(self, h, mask):
        return self.att(h, h, h, key_padding_mask=mask == 0, need_weights=False)[0]

    def think(self, h):
        return self.second(self.act(self.first(h)))

    def forward(self, x, mask):
        h = self.ln(x)
        return self.look(h, mask) + self.think(h) + x


class WithFloatMask(SideBySide):
    def look(self, h, mask):
        away = torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))
        return self.att(h, h, h, key_padding_mask=away)[0]


def side_by_side(options=None, **methods):
    if options:
        methods["__init__"] = lambda self, d, heads: SideBySide.__init__(self, d, heads, **options)
    return type("SideBySide", (SideBySide,), methods)


# ---------------------------------------------------------------- word_vectors.3
class Pieces(nn.Module):
    """A right answer with places to go wrong."""

    def __init__(self, p, w, d):
        super().__init__()
        self.p, self.w = nn.Embedding(p, d), nn.Embedding(w, d)

    def word(self, ids, mask):
        return self.p(ids).masked_fill(~mask[..., None], 0).sum(1)

    def keep(self, targets):
        return targets[:, 1:] != targets[:, 0, None]

    def parts(self, s, kept):
        return F.softplus(-s[:, 0]), (F.softplus(s[:, 1:]) * kept).sum(1)

    def end(self, first, others):
        return (first + others).mean()

    def forward(self, piece_ids, padding_mask, targets):
        s = (self.w(targets) * self.word(piece_ids, padding_mask)[:, None]).sum(-1)
        return self.end(*self.parts(s, self.keep(targets)))


class PieceByPiece(Pieces):
    def word(self, ids, mask):
        total = torch.zeros(len(ids), self.p.weight.shape[1])
        for j in range(ids.shape[1]):
            total = total + self.p(ids[:, j]) * mask[:, j, None].to(total.dtype)
        return total


def pieces(**methods):
    return type("Pieces", (Pieces,), methods)


ANSWERS = {
    "word_vectors.3": Answers(
        right=[Pieces, PieceByPiece],
        wrong=[
            (pieces(word=lambda self, ids, m: self.p(ids).sum(1)), "no effect"),
            (pieces(word=lambda self, ids, m: (self.p(ids) * ~m[..., None]).sum(1)), "upside down"),
            (pieces(word=lambda self, ids, m: (self.p(ids) * (ids > 0)[..., None]).sum(1)), "ids of 0"),
            (pieces(word=lambda self, ids, m: Pieces.word(self, ids, m) / m.sum(1)[:, None]), "took their mean"),
            (pieces(keep=lambda self, t: torch.ones_like(t[:, 1:], dtype=torch.bool)), "happens to be the true word"),
            (pieces(end=lambda self, a, b: (a + b).sum()), "sum over the batch"),
            (pieces(end=lambda self, a, b: -(a + b).mean()), "sign is wrong"),
            (pieces(end=lambda self, a, b: a.mean()), "negatives are missing"),
            (
                pieces(parts=lambda self, s, k: (F.softplus(-s[:, 0]), (F.softplus(-s[:, 1:]) * k).sum(1))),
                "taken for real pairs",
            ),
            (
                pieces(parts=lambda self, s, k: (F.softplus(-s[:, 0]), (F.softplus(s[:, 1:]) * k).mean(1))),
                "mean over the negatives",
            ),
        ],
        skip=FUNCTIONS,
    ),
    "attention.4": Answers(
        right=[Heads, HeadByHead],
        wrong=[
            (heads(scale=lambda self: 1), "not divided by anything"),
            (heads(scale=lambda self: math.sqrt(self.d * self.h)), "root of d_model"),
            (heads(scale=lambda self: math.sqrt(self.wk.in_features)), "root of d_context"),
            (heads(scale=lambda self: self.d), "width itself"),
            (weighing(lambda s, real: s.masked_fill(~real, -1e9).softmax(-2) * real), "over the queries"),
            (weighing(lambda s, real: s.masked_fill(~real, -1e9).softmax(-1).softmax(-1) * real), "softmax twice"),
            (heads(weigh=lambda self, s, real: Heads.weigh(self, s, real).detach()), "No gradient reaches queries"),
            (heads(join=lambda self, y: y.reshape(len(y), y.shape[2], -1)), "without moving the heads back"),
            (heads(split=lambda self, t: t.reshape(len(t), self.h, -1, self.d)), "straight to"),
            (heads(split=lambda self, t: t.unflatten(2, (self.d, self.h)).movedim(3, 1)), "every other"),
            (weighing(lambda s, real: s.softmax(-1)), "`context_mask` has no"),
            (weighing(lambda s, real: to_infinity(s, ~real)), "upside down"),
            (weighing(to_infinity), "became NaN"),
            (weighing(lambda s, real: s.masked_fill(~real, -1e9).softmax(-1)), "spreads over the padding"),
            (weighing(lambda s, real: s.softmax(-1) * real), "after the softmax only"),
            (weighing(lambda s, real: (s * real).softmax(-1)), "e to the 0 is 1"),
            (
                weighing(lambda s, real: (s + real.float().log()).softmax(-1).masked_fill(~real, 0)),
                "gradient is NaN",
            ),
        ],
        skip=FUNCTIONS,
    ),
    "clip.2": Answers(
        right=[contrast(), contrast(norm=lambda x: F.normalize(x, p=2, dim=1))],
        wrong=[
            (contrast(norm=lambda x: x), "not normalized"),
            (contrast(scale=lambda s: s), "without exp"),
            (contrast(scale=lambda s: torch.exp(-s)), "logarithm of the scale"),
            (contrast(extra=False), "hard negatives are not used"),
            (contrast(both=False), "one direction only"),
            (contrast(mean=False), "added them up"),
            (contrast(norm=lambda x: F.normalize(x, dim=0)), ""),
            (contrast(scale=lambda s: s.exp().detach()), "No gradient reaches the scale"),
        ],
        skip=FUNCTIONS,
    ),
    "clip.3": Answers(
        right=[pairwise(), pairwise(total=lambda c: c.sum() / len(c))],
        wrong=[
            (pairwise(norm=lambda x: x), "not normalized"),
            (pairwise(shift=lambda bias: 0 * bias), "bias is missing"),
            (pairwise(sign=lambda e: 1 - 2 * e), "sign is turned round"),
            (pairwise(total=lambda c: c.mean()), "number of pairs"),
            (pairwise(total=lambda c: c.trace() / len(c)), "only the right pairs"),
            (pairwise(scale=lambda s: s), "without exp"),
        ],
        skip=FUNCTIONS,
    ),
    "captioning.2": Answers(
        right=[self_critical(), self_critical(end=lambda gain, caption: (-gain * caption).mean())],
        wrong=[
            (self_critical(whole=lambda lp, real: (lp * real).sum(-1) / real.sum(-1)), "mean over the pieces"),
            (self_critical(whole=lambda lp, real: lp.sum(-1)), "Padding counts"),
            (self_critical(base=lambda mine, other: mine), "greedy caption is not used"),
            (self_critical(base=lambda mine, other: other - mine), "wrong sign"),
            (self_critical(base=lambda mine, other: F.relu(mine - other)), "worse captions"),
            (self_critical(base=lambda mine, other: torch.sign(mine - other)), "its sign only"),
            (self_critical(end=lambda gain, caption: -(gain * caption).sum()), "added the captions up"),
            (self_critical(whole=lambda lp, real: (lp * real).sum(-1).exp()), "p of the caption"),
            (self_critical(end=lambda gain, caption: -gain.mean() * caption.mean()), ""),
            (self_critical(whole=lambda lp, real: (lp * real).sum(-1).detach()), ""),
        ],
        skip=FUNCTIONS,
    ),
    "captioning.3": Answers(
        right=[step_with_cache(), step_with_cache(join=lambda past, new: torch.hstack((past, new)))],
        wrong=[
            (step_with_cache(join=lambda past, new: torch.cat((new, past), 1)), "before the old"),
            (step_with_cache(use=lambda keys, values, k, v: (k, v)), "past is not used"),
            (step_with_cache(visible=lambda n, m: torch.zeros(n, m).bool()), "sees later positions"),
            (step_with_cache(visible=lambda n, m: torch.ones(n, m).triu(1).bool()), "mask is shifted"),
            (step_with_cache(scale=1.0), "not scaled"),
            (step_with_cache(hand_back=lambda keys, values, pk, pv, v: (pk, pv)), "old cache back"),
            (step_with_cache(hand_back=lambda keys, values, pk, pv, v: (keys, v)), "values are not cached"),
        ],
        skip=FUNCTIONS,
    ),
    "vlm.2": Answers(
        right=[fold(), fold(scale=lambda a, alpha: alpha * len(a) ** -1)],
        wrong=[
            (fold(base=False), "only the correction"),
            (fold(turn=True), "transposed"),
            (fold(scale=lambda a, alpha: 1.0), "alpha / r is missing"),
            (fold(scale=lambda a, alpha: alpha), "divide by the rank"),
            (fold(scale=lambda a, alpha: len(a) / alpha), "wrong way up"),
            (fold(scale=lambda a, alpha: alpha / a.shape[1]), "not the width"),
            (fold(scale=lambda a, alpha: 2 * alpha / len(a)), "added twice"),
            (fold(bias=False), "bias is lost"),
            (fold(keep=False), "old layer has changed"),
        ],
        skip=FUNCTIONS,
    ),
    "vlm.3": Answers(
        right=[shuffled(), lambda grid, size: shuffled()(grid.contiguous(), size)],
        wrong=[
            (shuffled(whole=True), "not neighbors"),
            (shuffled(order=(0, 3, 1, 2, 4, 5)), "Tokens come column by column"),
            (shuffled(order=(0, 1, 3, 4, 2, 5)), "cells of a block"),
            (shuffled(order=(0, 1, 3, 5, 2, 4)), "values stay together"),
            (shuffled(mean=True), "mean is not enough"),
            (shuffled(square=True), ""),
        ],
        skip=FUNCTIONS,
    ),
    "detection.4": Answers(
        right=[two_losses(), two_losses(average=lambda d, q: d.sum() / max(d.numel(), 1))],
        wrong=[
            (two_losses(classes=lambda labels, m: labels[: len(m)]), "class of its object"),
            (two_losses(nothing=lambda z: 0), "last class"),
            (two_losses(weights=(1.0, 1.0)), "no weight"),
            (two_losses(weights=(None, 1.0)), "wrong way round"),
            (two_losses(mean=lambda nats, w: (nats * w).mean()), "sum of the weights"),
            (two_losses(logits=lambda z: z.softmax(-1)), "applied softmax"),
            (two_losses(everyone=True), "has no box to learn"),
            (two_losses(apart=lambda d: d.abs().mean(1)), "not their mean"),
            (two_losses(apart=lambda d: d.pow(2).sum(1)), "Squared differences"),
            (two_losses(average=lambda d, q: d.sum() / q), "number of matched queries"),
            (two_losses(average=lambda d, q: d.mean()), "0 / 0"),
            (two_losses(flip=True), "other way round"),
        ],
        skip=FUNCTIONS,
    ),
    "detection.5": Answers(
        right=[Cells, cells(go=lambda self, r: (self.home() * self.n + r) / self.n)],
        wrong=[
            (cells(home=lambda self: Cells.home(self).flip(1)), "exchanged rows and columns"),
            (cells(home=lambda self: Cells.home(self) - 0.5 / self.n), "corner of the cell"),
            (cells(go=lambda self, r: self.home() + r), "counted in cells"),
            (cells(go=lambda self, r: self.home() + 0 * r), "does not move"),
            (cells(go=lambda self, r: r / self.n), "does not know its cell"),
            (cells(grow=lambda self, s: s / 4), "need the exponential"),
            (cells(grow=lambda self, s: s.exp()), "0.25 of width and height"),
            (cells(end=lambda self, w, s: torch.cat((w - s / 2, w + s / 2), 2)), "corners of the box"),
            (cells(forward=lambda self, f: Cells.forward(self, f)[::-1]), "other way round"),
        ],
        skip=FUNCTIONS,
    ),
    "assistant.4": Answers(
        right=[mean_of_words(), mean_of_words(pool=lambda v, t: (v * t).sum(1) / t.sum(1).float().clamp(min=1.0))],
        wrong=[
            (mean_of_words(pool=lambda v, t: v.mean(1)), "padding takes part"),
            (mean_of_words(pool=lambda v, t: v.sum(1) / t.sum(1).clamp_min(1)), "before you sum"),
            (
                mean_of_words(pool=lambda v, t: v.sum(1) / t.sum(1).clamp_min(1), padding=0),
                "only when the layer is made",
            ),
            (mean_of_words(pool=lambda v, t: (v * t).mean(1)), "number of its own words"),
            (mean_of_words(pool=lambda v, t: (v * t).sum(1)), "sum of vectors"),
            (mean_of_words(last=lambda z: z.softmax(1)), "belongs to the loss"),
        ],
        skip=FUNCTIONS,
    ),
    "assistant.5": Answers(
        right=[loss_of_hypotheses(), loss_of_hypotheses(weigh=lambda s: F.log_softmax(s, dim=-1))],
        wrong=[
            (loss_of_hypotheses(weigh=lambda s: s), "not normalized"),
            (loss_of_hypotheses(weigh=lambda s: 0 * s - math.log(s.shape[1])), "count alike"),
            (loss_of_hypotheses(mix=lambda w, p: p[torch.arange(len(p)), w.argmax(1)]), "only the best"),
            (loss_of_hypotheses(mix=lambda w, p: (w.exp() * p).sum(1)), "outside the sum"),
            (loss_of_hypotheses(mix=lambda w, p: (w.softmax(1) * p.exp()).sum(1).log()), "stay with logarithms"),
            (loss_of_hypotheses(mix=lambda w, p: (w + p).double().exp().sum(1).log()), "stay with logarithms"),
            (loss_of_hypotheses(mean=torch.sum), "not the sum"),
        ],
        skip=FUNCTIONS,
    ),
    "driving.4": Answers(
        right=[gated_votes(), gated_votes(add=lambda g, z: (z * g.unsqueeze(-1)).sum(1))],
        wrong=[
            (gated_votes(squash=lambda z: z.softmax(-1)), "compete"),
            (gated_votes(squash=lambda z: z), "no sigmoid"),
            (gated_votes(squash=lambda z: z.sigmoid().mean(0, keepdim=True).expand_as(z)), "own context"),
            (gated_votes(keep=lambda g, m: g), "still votes"),
            (gated_votes(keep="before"), "half open"),
            (gated_votes(add=lambda g, z: (g[..., None] * z).mean(1)), "mean over the sensors"),
            (gated_votes(finish=lambda t, p, z: t), "prior is missing"),
            (gated_votes(start=torch.randn), "`prior` starts at 0"),
            (gated_votes(start=torch.ones), "`prior` starts at 0"),
            (gated_votes(finish=lambda t, p, z: t + z.shape[1] * p), "counts once"),
        ],
        skip=FUNCTIONS,
    ),
    "driving.5": Answers(
        right=[scattering(), scattering(read=lambda f: 1.0 * f)],
        wrong=[
            (scattering(down=torch.trunc), "toward zero"),
            (scattering(axes=(1, 0)), "x and y are exchanged"),
            (scattering(middle=False), "middle of the grid"),
            (scattering(border="clamp"), "moved to the border"),
            (scattering(mean=False), "sum of a cell"),
            (scattering(last=True), "last point"),
            (scattering(read=lambda f: f.detach()), "gradient is lost"),
        ],
        skip=FUNCTIONS,
    ),
    "interpret.4": Answers(
        right=[way_of(), way_of(score=lambda z, t: z.gather(1, t[:, None]))],
        wrong=[
            (way_of(score=lambda z, t: z.softmax(-1)[torch.arange(len(t)), t]), "take the logit"),
            (way_of(score=lambda z, t: z[:, t[0]]), "own class"),
            (way_of(score=lambda z, t: z), "sum of all logits"),
            (way_of(middle=0), "in the middle"),
            (way_of(middle=1), "end at x"),
            (way_of(ahead=lambda x, b: x), "minus the baseline"),
            (way_of(mean=False), "not their mean"),
            (way_of(backward=True), "left gradients"),
        ],
        skip=FUNCTIONS,
    ),
    "interpret.5": Answers(
        right=[map_by_hook(), map_by_hook(mix=lambda w, a: (w * a).sum(dim=1).clamp(min=0))],
        wrong=[
            (map_by_hook(weigh=lambda g: g), "all places"),
            (map_by_hook(mix=lambda w, a: (w * a).sum(1)), "ReLU is missing"),
            (map_by_hook(mix=lambda w, a: F.relu(w * a).sum(1)), "after the sum"),
            (map_by_hook(score=lambda z, t: z.softmax(1)[:, t]), "not its probability"),
            (map_by_hook(score=lambda z, t: z), "class `target`"),
            (map_by_hook(quiet=False), "eval()"),
            (map_by_hook(back=False), "mode that it had"),
            (map_by_hook(off=False), "hook is still"),
        ],
        skip=FUNCTIONS,
    ),
    "capstone.4": Answers(
        right=[labels_of(), labels_of(fill=lambda v, h: torch.where(h.unsqueeze(1), v, 0.0))],
        wrong=[
            (labels_of(pick=lambda z: z.argmin(-1)), "highest logit"),
            (labels_of(fill=lambda v, h: v), "a NaN goes into"),
            (labels_of(fill=lambda v, h: v * h[:, None]), "a NaN goes into"),
            (labels_of(cut=lambda x, k: (x,)), "at a time"),
            (labels_of(cut=lambda x, k: [p for p in x.split(k) if len(p) == k or len(x) < k]), "last batch"),
            (labels_of(quiet=False), "in training mode"),
            (labels_of(recorded=True), "Gradients were recorded"),
            (labels_of(back=False), "mode in which it came"),
        ],
        skip=FUNCTIONS,
    ),
    "capstone.5": Answers(
        right=[two_runs(), lambda *a: list(two_runs()(*a))],
        wrong=[
            (two_runs(again=False), "Only the first run"),
            (lambda *a: two_runs()(*a)[::-1], "First the loss with the voice"),
            (two_runs(join=lambda a, b: torch.cat([b, a], 1)), "side by side"),
            (two_runs(away=lambda v: v), "never takes the voice away"),
            (two_runs(away=lambda v: v[:, :0]), "fewer inputs"),
            (two_runs(lr=0.1), "0.5"),
            (two_runs(clean=False), "add up"),
            (two_runs(part=True), "all samples"),
        ],
        skip=FUNCTIONS,
    ),
    "scale.4": Answers(
        right=[run_again(), run_again(arrives=lambda o, g: g.clone())],
        wrong=[
            (plainly, "kept at once"),
            (run_again(same=False), "another dropout"),
            (run_again(back=False), "goes back"),
            (run_again(order=list), "from the last"),
            (run_again(arrives=lambda o, g: torch.ones_like(o)), "gradient that arrives"),
            (run_again(entered=lambda k, x: x), "not on x"),
            (run_again(quiet=True), "without dropout"),
        ],
        skip=FUNCTIONS,
    ),
    "scale.5": Answers(
        right=[made_equal(), made_equal(told=lambda norm, m: torch.tensor(norm))],
        wrong=[
            (made_equal(share=lambda n, counts, models: 1 / len(models)), "mean of means"),
            (made_equal(share=lambda n, counts, models: 1.0), "sum of all ranks"),
            (made_equal(share=lambda n, counts, models: n / counts[0]), "rank 0"),
            (made_equal(first=True), "in every replica"),
            (
                made_equal(again=lambda f, counts, known: f * sum(counts) / sum(counts[k] for k in known)),
                "counts as 0",
            ),
            (made_equal(zeros=True), "stays None"),
            (made_equal(before=True), "Clip the whole"),
            (made_equal(after=lambda norm, m: 1.0), "not clipped"),
            (made_equal(after=lambda norm, m: m / norm), "only ever shorter"),
            (made_equal(told=lambda norm, m: min(norm, m)), "before clipping"),
        ],
        skip=FUNCTIONS,
    ),
    "medical.4": Answers(
        right=[gappy(), gappy(act=lambda x: x.clamp(min=0))],
        wrong=[
            (gappy(center=lambda x, m: x), "Subtract the mean"),
            (gappy(spread=lambda x, s: x), "Divide by `std`"),
            (gappy(fill=lambda ok, z, w: torch.nan_to_num(z)), "learned"),
            (gappy(flags=lambda ok: 1 - ok.float()), "flag"),
            (gappy(join=lambda z, f: torch.cat((f, z), -1)), "flags come after"),
            (gappy(act=lambda x: x), "ReLU"),
            (gappy(start=torch.rand), "`instead` starts at 0"),
            (gappy(start=torch.ones), "`instead` starts at 0"),
            (gappy(keep="plain"), "not saved"),
            (gappy(keep="parameter"), "not parameters"),
        ],
    ),
    "medical.5": Answers(
        right=[clipped(), clipped(noisy=lambda s, e, c, b: torch.add(s, e, alpha=c))],
        wrong=[
            (clipped_late, "not their sum"),
            (clipped(shrink=lambda g, n, c: g), "Nothing is clipped"),
            (clipped(shrink=lambda g, n, c: g / n.clamp(min=1e-9) * c), "stays as it is"),
            (clipped(shrink=lambda g, n, c: g.clamp(-c, c)), "each number by itself"),
            (clipped(length=lambda g: g.abs().sum(1, keepdim=True)), "sum of sizes"),
            (clipped(noisy=lambda s, e, c, b: s), "noise is missing"),
            (clipped(noisy=lambda s, e, c, b: s + e), "multiplied by `clip`"),
            (clipped(noisy=lambda s, e, c, b: s + b * c * e), "added once"),
            (clipped(divide=lambda s, b: s), "number of patients"),
        ],
        skip=FUNCTIONS,
    ),
    "deploy.4": Answers(
        right=[shifted(), shifted(solve=lambda c, q: torch.linalg.pinv(c) @ q)],
        wrong=[
            (shifted(guess=lambda z, k: z.softmax(1)), "not probabilities"),
            (shifted(table=lambda p, t: (p.T @ t).T / len(t)), "turned round"),
            (shifted(table=lambda p, t: p.T @ t / t.sum(0)), "sums to 1 only in parts"),
            (shifted(today=lambda z, k: z.softmax(1).mean(0)), "predicted today"),
            (shifted(cut=lambda w: w), "below 0"),
            (shifted(mix=lambda z, w: z.softmax(1)), "not corrected"),
            (shifted(norm=lambda p: p), "sum to 1 in each row"),
            (shifted(mix=lambda z, w: (z * w).softmax(1)), "not to logits"),
        ],
        skip=FUNCTIONS,
    ),
    "deploy.5": Answers(
        right=[discrepancy(), discrepancy(kernel=lambda d, w: (-0.5 * (d / w**2)).exp())],
        wrong=[
            (discrepancy(kernel=lambda d, w: torch.exp(-d.clamp(min=1e-12).sqrt() / (2 * w**2))), "squared distance"),
            (discrepancy(kernel=lambda d, w: torch.exp(-d / (2 * w))), "2 · width²"),
            (discrepancy(kernel=lambda d, w: torch.exp(-d / w**2)), "2 · width²"),
            (discrepancy(own=lambda k: k.mean()), "diagonal is still"),
            (discrepancy(own=lambda k: (k.sum() - len(k)) / len(k) ** 2), "as many pairs"),
            (discrepancy(join=lambda a, b, c: a + b - c), "count twice"),
            (discrepancy(join=lambda a, b, c: torch.relu(a + b - 2 * c)), "below 0"),
        ],
        skip=FUNCTIONS,
    ),
    "compress.4": Answers(
        right=[Rounding, rounding(back=lambda w, r: w - (w - r).detach())],
        wrong=[
            (rounding(back=lambda w, r: r), "No gradient reaches"),
            (rounding(back=lambda w, r: w), "not rounded"),
            (rounding(top=lambda w: w.abs().max()), "one scale for all"),
            (rounding(levels=lambda bits: 2 ** (bits - 1)), "number of codes"),
            (rounding(levels=lambda bits: 127), "Use `bits`"),
            (rounding(top=lambda w: w.max(1, keepdim=True)[0]), "largest magnitude"),
            (rounding(cut=torch.floor), "to the nearest"),
            (rounding(given=torch.round), "Inputs"),
            (rounding(bias=False), "bias is missing"),
        ],
        skip=FUNCTIONS,
    ),
    "compress.5": Answers(
        right=[teaching(), teaching(kl=lambda q, p: (p * (p.log() - q)).sum() / len(p))],
        wrong=[
            (teaching(quiet=False), "eval()"),
            (teaching(apart=False), "teacher has changed"),
            (teaching(power=0), "T² is missing"),
            (teaching(power=1), "not T"),
            (teaching(kl=lambda q, p: F.kl_div(p.log(), q.exp(), reduction="batchmean")), "order"),
            (teaching(kl=lambda q, p: F.kl_div(q, p, reduction="mean")), "divides by the classes"),
            (teaching(kl=lambda q, p: F.kl_div(q, p, reduction="sum")), "sum over the batch"),
            (teaching(hot=(False, True)), "Both"),
            (teaching(ce=lambda z, y: F.cross_entropy(z.softmax(1), y)), "labels' part"),
            (teaching(weigh=lambda a: (a, 1 - a)), "exchanged"),
            (teaching(clear=False), "Old gradients"),
            (teaching(go=False), "did not step"),
            (teaching(give=lambda loss: loss), "plain number"),
        ],
        skip=FUNCTIONS,
    ),
    "generation.4": Answers(
        right=[flowing(), flowing(loss=lambda a, b: ((a - b) ** 2).sum() / a.numel())],
        wrong=[
            (flowing(times=lambda t: t.mean()), "one time for all"),
            (flowing(point=lambda c, n, t: t * n + (1 - t) * c), "other way round"),
            (flowing(point=lambda c, n, t: t**0.5 * c + (1 - t) ** 0.5 * n), "square roots"),
            (flowing(hide=lambda d, k, y: y), "never dropped"),
            (flowing(hide=lambda d, k, y: torch.where(d, y, k)), "exchanged"),
            (flowing(hide=lambda d, k, y: torch.where(d, 0, y)), "class of its own"),
            (flowing(hide=lambda d, k, y: torch.full_like(y, k) if d.any() else y), "all or none"),
            (flowing(target=lambda c, n, x: n - c), "turned round"),
            (flowing(target=lambda c, n, x: n), "velocity of the line"),
            (flowing(loss=lambda a, b: ((a - b) ** 2).sum()), "sum"),
            (flowing(seen=lambda x, c: c), "clean picture instead"),
        ],
        skip=FUNCTIONS,
    ),
    "generation.5": Answers(
        right=[Listening, listening(act=staticmethod(lambda h: h * h.sigmoid()))],
        wrong=[
            (listening(mix=lambda s, h, g, b: F.silu(h + b * h + g)), "first half is γ"),
            (listening(mix=lambda s, h, g, b: F.silu(g * h + b)), "1 + γ"),
            (listening(mix=lambda s, h, g, b: F.silu(h + b)), "γ is missing"),
            (listening(mix=lambda s, h, g, b: F.silu(h + g * h)), "β is missing"),
            (listening(mix=lambda s, h, g, b: F.silu(h) * (1 + g) + b), "before γ and β"),
            (listening(act=staticmethod(F.relu)), "ReLU"),
            (listening(act=staticmethod(lambda h: h)), "SiLU is missing"),
            (listening(rest=staticmethod(lambda x, h: 0 * x)), "residual connection"),
            (listening(rest=staticmethod(lambda x, h: h)), "x itself is meant"),
            (listening(start=False), "start at 0"),
        ],
        skip=FUNCTIONS,
    ),
    "chat.4": Answers(
        right=[tuned(), tuned(average=lambda nats, counts: (nats * counts).sum() / counts.sum().clamp(min=1))],
        wrong=[
            (tuned(before=0), "no shift"),
            (tuned(before=2, after=2), "twice"),
            (tuned(before=-1), "wrong way"),
            (tuned(mask=lambda m: m[:, :-1]), "mask is not shifted"),
            (tuned(every=True), "counts all"),
            (tuned(average=lambda nats, counts: nats[counts].sum() / counts.numel()), "by the trained ones"),
            (tuned(average=lambda nats, counts: nats[counts].sum()), "This is the sum"),
            (tuned(average=by_dialogue), "each piece counts alike"),
            (tuned(average=lambda nats, counts: nats[counts].mean()), "NaN"),
        ],
        skip=FUNCTIONS,
    ),
    "chat.5": Answers(
        right=[preferring(), preferring(reduce=lambda x: x.sum() / len(x))],
        wrong=[
            (preferring(per=lambda each, m: (each * m).sum(1) / m.sum(1)), "mean over its pieces"),
            (preferring(per=lambda each, m: (each * m).mean(1)), "padded length"),
            (preferring(shift=False), "no shift"),
            (preferring(per=lambda each, m: each.sum(1)), "Padding counts"),
            (preferring(mask=lambda m: m[:, :-1]), "mask is not shifted"),
            (preferring(use=False), "reference is missing"),
            (preferring(sign=-1), "reference is added"),
            (preferring(quiet=False), "dropout"),
            (preferring(frozen=False), "gets a gradient"),
            (preferring(swap=True), "exchanged"),
            (preferring(outside=True), "inside"),
            (preferring(reduce=torch.sum), "mean over pairs"),
        ],
        skip=FUNCTIONS,
    ),
    "language_model.4": Answers(
        right=[Gated, GatedByEinsum],
        wrong=[
            (
                gated(normalize=lambda self, x: F.layer_norm(x, x.shape[-1:], self.weight, None, self.eps)),
                "subtract the mean",
            ),
            (
                gated(normalize=lambda self, x: x / (x.pow(2).mean(-1, True).sqrt() + self.eps) * self.weight),
                "inside the root",
            ),
            (gated(normalize=lambda self, x: F.rms_norm(x, x.shape[-1:], None, self.eps)), "weight of the norm"),
            (gated(normalize=lambda self, x: x), "x itself"),
            (gated(inside=lambda self, h: F.silu(self.up(h)) * self.gate(h)), "exchanged"),
            (gated(inside=lambda self, h: torch.sigmoid(self.gate(h)) * self.up(h)), "silu(z)"),
            (gated(inside=lambda self, h: F.relu(self.gate(h)) * self.up(h)), "silu(z)"),
            (gated(inside=lambda self, h: F.silu(self.gate(h)) + self.up(h)), "not multiplied"),
            (gated(join=lambda self, x, h, y: y), "residual"),
            (gated(join=lambda self, x, h, y: h + y), "residual stream stays"),
        ],
        skip=FUNCTIONS,
    ),
    "language_model.5": Answers(
        right=[documents(), documents(average=lambda nats, kept: torch.masked_select(nats, kept).mean())],
        wrong=[
            (documents(shift=0), "predicts what it reads"),
            (documents(shift=2), "shift by two"),
            (documents(boundary=False), "across two documents"),
            (documents(padding=False), "Padding is predicted"),
            (documents(score=lambda z: z.softmax(-1).log_softmax(-1)), "takes logits"),
            (
                documents(average=lambda nats, kept: ((nats * kept).sum(1) / kept.sum(1)).mean()),
                "mean of the rows' means",
            ),
            (documents(average=lambda nats, kept: (nats * kept).sum()), "This is the sum"),
            (documents(average=lambda nats, kept: (nats * kept).mean()), "number of all positions"),
        ],
        skip=FUNCTIONS,
    ),
    "speech_to_text.4": Answers(
        right=[ctc_of(), ctc_of(steps=lambda n, z: torch.ceil(n / 4).long())],
        wrong=[
            (ctc_of(log=lambda z: z), "apply log_softmax"),
            (ctc_of(log=lambda z: z.softmax(-1)), "not softmax"),
            (ctc_of(steps=lambda n, z: torch.full_like(n, z.shape[1])), "not frames"),
            (ctc_of(steps=lambda n, z: n // 4), "rounded up"),
            (ctc_of(blank=lambda z: z.shape[2] - 1), "not the last"),
            (ctc_of(average=lambda nats, ok, words: nats[ok].sum() / words.sum()), "its words"),
            (ctc_of(average=lambda nats, ok, words: nats[ok].mean()), "all their words"),
            (ctc_of(average=lambda nats, ok, words: nats[ok].sum()), "This is the sum"),
            (ctc_of(zero=False, average=lambda nats, ok, words: nats.sum() / words[ok].sum()), "holds inf"),
            (ctc_of(zero=False), "NaN"),
            (ctc_of(count=lambda ok: int(ok.sum())), "that fit"),
            (ctc_of(flip=True), "other way round"),
        ],
        skip=FUNCTIONS,
    ),
    "speech_to_text.5": Answers(
        right=[Halved, halved(shorter=lambda self, n: (n / 2).ceil().long())],
        wrong=[
            (halved(starts=False), "set it to 0 first"),
            (halved(ends=False), "output after"),
            (halved(stride=1), "stride is 2"),
            (halved(pad=lambda self, k: 0), "zeros on both sides"),
            (halved(gelu=staticmethod(lambda z: z)), "GELU is missing"),
            (halved(gelu=staticmethod(F.relu)), "ReLU"),
            (halved(shorter=lambda self, n: n // 2), "rounded up"),
            (halved(give=lambda self, y, n: (n, y)), "other way round"),
        ],
        skip=FUNCTIONS,
    ),
    "transformers.5": Answers(
        right=[SideBySide, WithFloatMask],
        wrong=[
            (
                side_by_side(forward=lambda s, x, m: (y := x + s.look(s.ln(x), m)) + s.think(s.ln(y))),
                "reads what the attention made",
            ),
            (side_by_side(forward=lambda s, x, m: x + s.look(s.ln(x), m) + s.think(x)), "MLP reads x itself"),
            (side_by_side(forward=lambda s, x, m: x + s.look(x, m) + s.think(s.ln(x))), "attention reads x itself"),
            (side_by_side(forward=lambda s, x, m: s.look(s.ln(x), m) + s.think(s.ln(x))), "input is not added"),
            (side_by_side({"act": nn.ReLU}), "ReLU"),
            (side_by_side({"act": nn.Identity}), "no activation function"),
            (side_by_side(look=lambda s, h, m: s.att(h, h, h)[0]), "has no effect"),
            (side_by_side(forward=lambda s, x, m: s.ln(SideBySide.forward(s, x, m))), "normalized the sum"),
            (side_by_side({"batch_first": False}, look=lambda s, h, m: s.att(h, h, h)[0]), "batch_first"),
        ],
        skip=FUNCTIONS,
    ),
    "video.4": Answers(
        right=[InTwo, in_two(enter=lambda self, x: x.transpose(2, 1), leave=lambda self, y: y.transpose(2, 1))],
        wrong=[
            (in_two(enter=lambda self, x: x.reshape(x.shape[0], x.shape[2], x.shape[1], *x.shape[3:])), "You reshape"),
            (in_two(leave=lambda self, y: y), "Frames first"),
            (in_two(strides=(1, 1)), "stride of 2 in height"),
            (in_two(strides=(2, 1)), "stride in time"),
            (in_two(pads=(1, (1, 0, 0))), "frames of zeros"),
            (in_two(pads=((0, 1, 1), 0)), "Frames are lost"),
            (in_two(act=staticmethod(lambda h: h)), "ReLU between"),
            (in_two(act=staticmethod(F.gelu)), "GELU"),
            (in_two(end=lambda self, y: y.relu()), "after the second"),
        ],
        skip=FUNCTIONS,
    ),
    "video.5": Answers(
        right=[AlongTime, along_time(place=lambda self, x: x + self.where[None, : x.size(1), None, :])],
        wrong=[
            (along_time(place=lambda self, x: x + 0 * self.where.sum()), "order is lost"),
            (along_time(place=lambda self, x: x + self.where[-x.shape[1] :].unsqueeze(1)), "first rows"),
            (along_time(rows=lambda self, h: h.reshape(-1, h.shape[1], h.shape[3])), "mixes frames and places"),
            (along_time(back=lambda self, y, h: y.reshape(h.shape)), "On the way back"),
            (
                along_time(rows=lambda self, h: h.flatten(0, 1), back=lambda self, y, h: y.reshape(h.shape)),
                "within each frame",
            ),
            (
                along_time(rows=lambda self, h: h.flatten(1, 2), back=lambda self, y, h: y.reshape(h.shape)),
                "only the same place",
            ),
            (along_time(add=lambda self, x, h, y: y), "nothing is added"),
            (along_time(add=lambda self, x, h, y: x + y), "positions included; yours"),
            (along_time(attend=causally), "no causal mask"),
        ],
        skip=FUNCTIONS,
    ),
    "vision.3": Answers(
        right=[Narrow, NarrowByHand],
        wrong=[
            (narrow(forward=lambda self, x: self.around(x) + F.relu(self.branch(x))), "before the sum"),
            (narrow(forward=lambda self, x: self.around(x) + self.branch(x)), "last ReLU is missing"),
            (
                narrow(forward=lambda self, x: F.relu(self.around(x) + F.relu(self.branch(x)))),
                "inside the branch too many",
            ),
            (narrow(forward=lambda self, x: F.relu(self.branch(x))), "Nothing is added"),
            (with_layer(2, lambda *_: nn.Identity()), "ReLU of the branch is missing"),
            (narrow(__init__=narrow_early), "wrong convolution"),
            (narrow(project=lambda self, a, c, s: nn.Conv2d(a, c, 1, s, bias=False)), "shortcut's batch normalization"),
        ],
        skip=FUNCTIONS,
    ),
    "vision.4": Answers(
        right=[heading(), heading(give=lambda loss, *_: float(loss))],
        wrong=[
            (heading(body=True), "backbone is in training mode"),
            (heading(watch=torch.enable_grad), "gradient reaches the backbone"),
            (heading(top=None), "head is not in training mode"),
            (heading(clear=False), "added up"),
            (heading(loss_of=lambda z, y: F.cross_entropy(z.softmax(1), y)), "takes logits"),
            (heading(loss_of=lambda z, y: F.cross_entropy(z, y, reduction="sum")), "sum over the mini-batch"),
            (heading(give=lambda loss, head, h, y: F.cross_entropy(head(h), y).item()), "after the step"),
        ],
        skip=FUNCTIONS,
    ),
    "cnn.4": Answers(
        right=[Padded, PaddedByZeros],
        wrong=[
            (padded(split=lambda self, total: (total - total // 2, total // 2)), "odd zero goes before"),
            (padded(split=lambda self, total: (self.k // 2, self.k // 2)), "odd zero goes before"),  # the same numbers
            (padded(split=lambda self, total: (0, total)), "behind the last pixel"),
            (padded(rims=lambda self, x: [0, 0, 0, 0]), "Nothing is padded"),
            (
                padded(
                    rims=lambda self, x: [*self.split(self.needed(x.shape[2])), *self.split(self.needed(x.shape[3]))]
                ),
                "exchanged the sides",
            ),
            (padded(make=lambda self, i, o, k, s: nn.Conv2d(i, o, k)), "does not use the stride"),
            (padded(end=lambda self, y: y.relu()), "activation function behind"),
        ],
        skip=FUNCTIONS,
    ),
    "cnn.5": Answers(
        right=[Reader, ReaderOfModules],
        wrong=[
            (reader(keep=lambda self, layers: layers), "plain list"),
            (reader(act=lambda self, x: x), "no activation function"),
            (reader(between=lambda self, x: F.avg_pool2d(x, 2)), "average pooling"),
            (reader(between=lambda self, x: x), "no pooling between"),
            (reader(whole=lambda self, x: x.mean((2, 3))), "global mean"),
            (reader(end=lambda self, y: y.softmax(-1)), "softmax belongs to the loss"),
            (reader(end=lambda self, y: y.log_softmax(-1)), "log-probabilities"),
            (reader(end=lambda self, y: y.relu()), "none is ever negative"),
            (reader(whole=lambda self, x: x.amax((2, 3)).detach()), "were detached"),
        ],
        skip=FUNCTIONS,
    ),
    "neural_networks.3": Answers(
        right=[Net, functional_net],
        wrong=[
            (net(end=lambda y: y.softmax(-1)), "softmax belongs to the loss"),
            (net(end=lambda y: y.log_softmax(-1)), "log-probabilities"),
            (net(flat=lambda x: x.flatten(1) if x.ndim <= 3 else x), ""),
            (net(end=F.relu), "no logit is ever negative"),
            (net(act=lambda y: y), "no activation function"),
            (net(act=torch.tanh), "not ReLU"),
            (net(bias=False), "no bias"),
            (net(act=lambda y: F.relu(y).detach()), "were detached"),
            (ListNet, "plain list"),
        ],
        skip=FUNCTIONS,
    ),
    "audio.4": Answers(
        right=[Ears, EarsByStft],
        wrong=[
            (ears(keep=lambda self, name, value: setattr(self, name, value)), "plain attributes"),
            (ears(keep=lambda self, name, value: setattr(self, name, nn.Parameter(value))), "trainable parameters"),
            (ears(cut=lambda self, x: x.unfold(1, len(self.window), len(self.window))), "do not overlap"),
            (ears(cut=lambda self, x: Ears.cut(self, F.pad(x, [len(self.window) // 2] * 2))), "You padded"),
            (ears(power=lambda self, f: torch.fft.rfft(f).abs() ** 2), "The window has no effect"),
            (ears(power=lambda self, f: torch.fft.rfft(f * self.window).abs()), "magnitudes, not powers"),
            (ears(power=lambda self, f: torch.fft.rfft(f * self.window).real ** 2), "real part"),
            (ears(level=lambda self, x: 10 * torch.log(x.clamp(min=1e-10))), "natural logarithm"),
            (ears(level=lambda self, x: 20 * torch.log10(x.clamp(min=1e-10))), "20 log10 of a power"),
            (ears(level=lambda self, x: 10 * torch.log10(x + 1e-10)), "added 1e-10"),
        ],
        skip=FUNCTIONS,
    ),
    "multimodal_data.5": Answers(
        right=[batch_of, batch_by_cat],
        wrong=[
            (lambda samples: batch_of(samples, masks=lambda mask, x: ~mask), "True at the padding"),
            (
                lambda samples: batch_of(samples, masks=lambda mask, x: x.flatten(2).any(2) if x.ndim > 2 else x != 0),
                "from the zeros",
            ),
            (lambda samples: batch_of(samples, fill=at_the_end), "zeros are in front"),
            (lambda samples: batch_of([s for s in samples if s["voice"] is not None]), "left out the samples"),
            (lambda samples: batch_of(samples, there=lambda has: ~has), "where the voice is missing"),
            (
                lambda samples: batch_of(sorted(samples, key=lambda s: len(s["words"]), reverse=True)),
                "sorted the samples",
            ),
            (lambda samples: batch_of(samples, masks=lambda mask, x: mask.float()), "dtype torch.float32"),
            (lambda samples: {"inputs": batch_of(samples)["inputs"]}, "The batch has no"),
        ],
        skip=FUNCTIONS,
    ),
    "sentiment.5": Answers(
        right=[Gaps, EachAlone],
        wrong=[
            (OverTheBatch, "Samples attend to one another"),
            (GapsOfTheFirst, "gaps of the first sample"),
            (gaps(tokens=lambda self, x: x), "marks of the kinds"),
            (gaps(scores=lambda self, q, k: q @ k.mT), "not divided"),
            (gaps(scores=lambda self, q, k: q @ k.mT / q.shape[-1]), "width itself"),
            (gaps(weigh=lambda self, s, here: s.softmax(-1)), "attended to"),
            (gaps(weigh=lambda self, s, here: s.masked_fill(here[:, None], -1e9).softmax(-1)), "upside down"),
            (gaps(weigh=lambda self, s, here: s.masked_fill(~here[:, None], -1e9).softmax(-2)), "over the queries"),
            (gaps(weigh=lambda self, s, here: (s * here[:, None]).softmax(-1)), "e to the 0 is 1"),
            (gaps(weigh=lambda self, s, here: s.masked_fill(~here[:, None], -torch.inf).softmax(-1)), "become NaN"),
            (gaps(add=lambda self, t, brought: brought), "residual connection"),
            (gaps(pool=lambda self, y, here: (y * here[..., None]).mean(1)), "number of all modalities"),
            (
                gaps(pool=lambda self, y, here: torch.where(here[..., None], y, 0.0).sum(1) / here.sum(1)[:, None]),
                "divide 0 by 0",
            ),
            (gaps(clean=lambda self, x, here: x * here[..., None]), "NaN times 0"),
        ],
        skip=FUNCTIONS,
    ),
    "evaluate.4": Answers(
        right=[looping(), everything_at_once, looping(loss_of=lambda z, y: len(y) * F.cross_entropy(z, y).item())],
        wrong=[
            (looping(enter=lambda model: None), "not in evaluation mode"),
            (looping(leave=lambda model, before: None), "stays in evaluation mode"),
            (looping(leave=lambda model, before: model.train()), "always in training mode"),
            (looping(graph=True), "keeps a graph"),
            (means_of_batches, "mean of the batch means"),
            (looping(size_of=lambda sizes: len(sizes) * sizes[0]), "as large as the first"),
            (looping(loss_of=lambda z, y: F.cross_entropy(z, y).item()), "added up the *means*"),
            (looping(give=lambda loss, hits, n: (loss, hits / n)), "sum over samples"),
            (looping(give=lambda loss, hits, n: (loss / n, float(hits))), "number of right answers"),
            (looping(give=lambda loss, hits, n: (loss / n, 100 * hits / n)), "in percent"),
            (looping(give=lambda loss, hits, n: (hits / n, loss / n)), "exchanged"),
            (
                looping(loss_of=lambda z, y: F.cross_entropy(z.softmax(1), y, reduction="sum").item()),
                "applied one before it",
            ),
            (looping(give=lambda loss, hits, n: (torch.tensor(loss / n), torch.tensor(hits / n))), "returned tensors"),
            (looping(give=lambda loss, hits, n: loss / n), "Two values were expected"),
        ],
        skip=FUNCTIONS,
    ),
    "images.4": Answers(
        right=[Mirror, MirrorByIndex],
        wrong=[
            (mirror(turn=lambda self, boxes, picture: boxes), "The boxes stayed where they were"),
            (mirror(turn=inside_out), "inside out"),
            (mirror(turn=by_height), "height of the picture"),
            (mirror(turn=one_left), "one pixel too far left"),
            (mirror(masked=lambda self, mask: mask), "The masks stayed"),
            (mirror(active=lambda self: True), "In `eval()` mode something changes"),
            (mirror(active=lambda self: not self.training), "wrong way round"),
            (mirror(coins=lambda self, b: torch.ones(b).bool()), "Every sample is mirrored"),
            (mirror(coins=lambda self, b: torch.rand(1).repeat(b) < self.p), "one coin for the whole batch"),
            (mirror(coins=lambda self, b: torch.rand(b) >= self.p), "probability 1 - p"),
        ],
        skip=FUNCTIONS,
    ),
    "neural_networks.4": Answers(
        right=[stepping(), stepping(give=lambda loss, *_: float(loss))],
        wrong=[
            (stepping(clear=""), "earlier mini-batches"),
            (stepping(clear="between"), "The weights do not change"),
            (stepping(clear="after"), "You clear the gradients too late"),
            (stepping(mode=None), "not in training mode"),
            (stepping(loss_of=lambda z, y: F.cross_entropy(z.softmax(1), y)), "applied one before it"),
            (stepping(loss_of=lambda z, y: F.cross_entropy(z, y, reduction="sum")), "added the losses up"),
            (stepping(give=lambda loss, *_: loss), "returned a tensor"),
            (stepping(steps=2), "Two steps"),
            (stepping(give=lambda loss, m, x, y: F.cross_entropy(m(x), y).item()), "after the step"),
        ],
        skip=FUNCTIONS,
    ),
    "neural_networks.5": Answers(
        right=[training(), NearestNeighbor],
        wrong=[
            (training(steps=0), "hardly better than guessing"),
            (training(rate=1e30), "diverged"),
            (training(act=nn.Identity), "Your network is linear"),
            (training(first=OneLength), "does not see how far"),
            (training(last=lambda: nn.Softmax(dim=1)), "returns probabilities"),
            (lambda x, y, c: training()(x, y, c)(x), "An `nn.Module` was expected"),
            (lambda x, y, c: nn.Linear(2, 1), "logits should have shape"),
        ],
        skip=FUNCTIONS,
    ),
    "train_pytorch.4": Answers(
        right=[
            from_parts(),
            from_parts(
                give=lambda means, sizes: float(torch.dot(torch.stack(means), torch.tensor(sizes) / sum(sizes)))
            ),
        ],
        wrong=[
            (from_parts(weigh=lambda n, total, parts: 1 / parts), "Sizes differ"),
            (from_parts(weigh=lambda n, total, parts: 1), "add up the mean losses"),
            (from_parts(weigh=lambda n, total, parts: n), "summed loss"),
            (from_parts(clear="each"), "Only the last part counts"),
            (from_parts(clear=None), "from before"),
            (from_parts(step_when="each"), "a step for each part"),
            (from_parts(clip=lambda *_: None), "not clipped"),
            (from_parts(clip_when="after"), "not clipped"),
            (from_parts(clip_when="each"), "after every part"),
            (from_parts(clip=each_tensor_alone), "by itself"),
            (from_parts(clip=nn.utils.clip_grad_value_), "Single numbers"),
            (from_parts(give=lambda means, sizes: sum(means).item()), "sum of the parts' losses"),
            (from_parts(give=lambda means, sizes: means[-1].item()), "last part only"),
            (from_parts(step_when=None), "No step was taken"),
        ],
        skip=FUNCTIONS,
    ),
    "train_pytorch.5": Answers(
        right=[stop_and_go(), stop_and_go(give=lambda loss: float(loss.detach()))],
        wrong=[
            (all_but("model"), "weights are not those"),
            (all_but("optimizer"), "fresh optimizer"),
            (all_but("scheduler"), "schedule starts again"),
            (all_but("random"), "dropout masks"),
            (all_but("next"), "starts again with the first batch"),
            (stop_and_go(after=lambda optimizer, scheduler: None), "schedule never moves"),
            (stop_and_go(clear=False), "Old gradients"),
            (stop_and_go(end=lambda batches, stop: len(batches)), "ignore `stop`"),
            (stop_and_go(nearest=lambda number: number + 1), "leaves out a batch"),
            (stop_and_go(give=lambda loss: loss.detach()), "You returned tensors"),
            (stop_and_go(extra=lambda scheduler: {"s": scheduler}), "objects themselves"),
        ],
        skip=FUNCTIONS,
    ),
    "bert.3": Answers(
        right=[tied(), by_nll],
        wrong=[
            (tied(through=lambda transform, h: h), "transform is missing"),
            (tied(add=lambda z, bias: z), "bias is missing"),
            (tied(table=lambda e: e.weight.detach()), "is detached"),
            (
                tied(mean=lambda z, y, every: F.cross_entropy(z, y, reduction="sum") / every.numel()),
                "divide by all positions",
            ),
            (tied(mean=lambda z, y, every: F.cross_entropy(z, y, reduction="sum")), "This is the sum"),
            (tied(keep=lambda labels: labels > 0), "Token 0"),
            (tied(nothing=None), "mean of nothing"),
            (all_rows_first, "more rows than needed"),
            (tied(mean=lambda z, y, every: F.cross_entropy(z.softmax(-1), y)), "softmax before"),
            (tied(mean=lambda z, y, every: F.cross_entropy(z, y).detach()), "gradient is lost"),
        ],
        skip=FUNCTIONS,
    ),
    "fusion.5": Answers(
        right=[Factors, SampleBySample],
        wrong=[
            (factors(make=lambda self, parts: parts), "in a plain list"),
            (factors(extend=lambda self, x: F.pad(x, (1, 0), value=1)), "in front"),
            (factors(join=lambda self, maps: torch.stack(maps).prod(0)), "sum over r is missing"),
            (factors(join=lambda self, maps: torch.stack(maps).prod(0).mean(1)), "mean over r"),
            (factors(join=lambda self, maps: torch.stack(maps).sum(2).prod(0)), "summed over r before"),
            (factors(join=lambda self, maps: torch.stack(maps).sum(0).sum(1)), "added the modalities"),
            (factors(clean=lambda self, x, here: x), "mask has no effect"),
            (factors(clean=lambda self, x, here: x * here), "NaN comes through"),
            (
                factors(map=lambda self, x, here, w: Factors.map(self, x, here, w).where(here[:, None], 1)),
                "out of the product",
            ),
            (factors(map=lambda self, x, here, w: Factors.map(self, x, here, w) * here[:, None]), "robbed of its 1"),
        ],
        skip=FUNCTIONS,
    ),
    "rnn.4": Answers(
        right=[Ending, OneByOne],
        wrong=[
            (ending(pick=lambda self, y, ids: y[:, -1]), "the batch's last column"),
            (ending(pick=lambda self, y, ids: y.mean(1)), "changed by padding"),
            (
                ending(pick=lambda self, y, ids: (y * ids.gt(0)[..., None]).sum(1) / ids.gt(0).sum(1, keepdim=True)),
                "mean of the states of real words",
            ),
            (ending(pick=lambda self, y, ids: y.max(1).values), "largest value over time"),
            (ending(pick=lambda self, y, ids: y[:, 0]), "after the first word"),
            (ending(make=lambda self, width, d: nn.LSTM(width, d)), "reads along the batch"),
            (ending(end=lambda self, z: z.softmax(1)), "softmax belongs to the loss"),
            (ending(end=lambda self, z: z.log_softmax(1)), "log-probabilities"),
            (ending(pick=lambda self, y, ids: Ending.pick(self, y, ids).detach()), "was detached"),
        ],
        skip=FUNCTIONS,
    ),
    "rnn.5": Answers(
        right=[in_pieces(), in_pieces(give=lambda loss: float(loss.detach()))],
        wrong=[
            (in_pieces(carry=lambda state: None), "starts from zeros"),
            (in_pieces(clip=lambda *_: None), "not clipped"),
            (in_pieces(when="after"), "not clipped"),
            (in_pieces(clip=each_alone), "each parameter by itself"),
            (in_pieces(clip=nn.utils.clip_grad_value_), "cut each number"),
            (in_pieces(clip=stretched), "scaled up"),
            (in_pieces(clear=False), "earlier pieces"),
            (
                in_pieces(loss_of=lambda z, y: F.cross_entropy(z.softmax(-1).transpose(1, 2), y)),
                "applied one before it",
            ),
            (in_pieces(loss_of=lambda z, y: F.cross_entropy(z[:, -1], y[:, -1])), "last position"),
            (in_pieces(give=lambda loss: loss.detach()), "You returned tensors"),
            (in_pieces(pack=lambda found: sum(found) / len(found)), "mean of the losses"),
        ],
        skip=FUNCTIONS,
    ),
    "text.3": Answers(
        right=[Weighing, TokenByToken],
        wrong=[
            (mixing(keep=lambda self, ids, w, m: w), "The mask has no effect"),
            (mixing(keep=lambda self, ids, w, m: w * ~m), "upside down"),
            (mixing(keep=lambda self, ids, w, m: m.to(w)), "weights have no effect"),
            (mixing(keep=lambda self, ids, w, m: w * (ids > 0)), "ids of 0"),
            (mixing(pool=lambda self, w, x, m: (w[..., None] * x).sum(1)), "weighted sum"),
            (mixing(pool=lambda self, w, x, m: (w[..., None] * x).mean(1)), "number of positions"),
            (
                mixing(pool=lambda self, w, x, m: (w[..., None] * x).sum(1) / m.sum(1, keepdim=True).clamp(1)),
                "number of tokens",
            ),
            (mixing(pool=lambda self, w, x, m: (w / w.sum(1, keepdim=True))[:, None].matmul(x)[:, 0]), "became NaN"),
            (mixing(forward=lambda self, *a: Weighing.forward(self, *a).softmax(-1)), "softmax belongs"),
        ],
        skip=FUNCTIONS,
    ),
    "tune.4": Answers(
        right=[one_trial(), one_trial(loss_of=lambda z, y: F.nll_loss(z.log_softmax(1), y))],
        wrong=[
            (one_trial(modes=("train", "train")), "in training mode"),
            (one_trial(obey=False), "does not stop"),
            (one_trial(scored=lambda x, y, xv, yv: (x, y)), "report the training loss"),
            (one_trial(number=lambda epoch: epoch - 1), "count from 0"),
            (one_trial(give=lambda loss: loss), "You reported a tensor"),
            (one_trial(size=lambda config, x: len(x)), "one batch of all rows"),
            (one_trial(clear=False), "still in `.grad`"),
            (one_trial(loss_of=lambda z, y: F.cross_entropy(z.softmax(1), y)), "applied one before it"),
            (one_trial(make=torch.optim.Adam), "not Adam"),
            (one_trial(pack=lambda losses, stopped: (min(losses), stopped)), "lowest loss"),
            (one_trial(pack=lambda losses, stopped: (losses[-1], False)), "True where `report` said so"),
            (one_trial(pack=lambda losses, stopped: losses[-1]), "Two values are wanted"),
        ],
        skip=FUNCTIONS,
    ),
}

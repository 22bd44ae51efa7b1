"""A `collate_fn`: samples of different length, some without a modality, as one batch of tensors."""

import numpy as np
import torch

from mmcourse.exercise import context, edit, example, exercise, in_turn, part, right, says


def collate(samples):
    """Dicts {"voice": (t, d) or None, "words": (k,), "target": int} → one batch of tensors."""
    there = torch.tensor([sample["voice"] is not None for sample in samples])  # (b,)
    lengths = [0 if sample["voice"] is None else len(sample["voice"]) for sample in samples]
    width = next(sample["voice"].shape[1] for sample in samples if sample["voice"] is not None)
    voice = torch.zeros(len(samples), max(lengths), width)
    for row, sample in zip(voice, samples):  # noqa: B905
        if sample["voice"] is not None:
            row[: len(sample["voice"])] = sample["voice"]
    voice_mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    num_words = torch.tensor([len(sample["words"]) for sample in samples])
    words = torch.nn.utils.rnn.pad_sequence([sample["words"] for sample in samples], batch_first=True)
    words_mask = torch.arange(words.shape[1]) < num_words[:, None]
    target = torch.tensor([sample["target"] for sample in samples])
    return {
        "inputs": {"voice": voice, "words": words},
        "padding_mask": {"voice": voice_mask, "words": words_mask},
        "modality_mask": {"voice": there},
        "target": target,
    }


def use_collate(probe, answer, voices, words, targets):
    """The batch of a `DataLoader` that calls the answer, entry by entry."""
    samples = []
    for voice, ids, target in zip(voices, words, targets):  # noqa: B905
        heard = None if voice is None else probe.tensor(voice)
        samples.append({"voice": heard, "words": probe.tensor(ids), "target": target})
    loader = probe.torch.utils.data.DataLoader(samples, batch_size=len(samples), collate_fn=answer)
    batch = next(iter(loader))
    if not isinstance(batch, dict):
        raise probe.Problem(f"`collate` returned a {type(batch).__name__}: return a dict.")
    entries = (
        ("inputs", "voice"),
        ("inputs", "words"),
        ("padding_mask", "voice"),
        ("padding_mask", "words"),
        ("modality_mask", "voice"),
        ("target", None),
    )
    found = {}
    for group, name in entries:
        if group not in batch:
            raise probe.Problem(f"The batch has no {group!r}; its keys are {sorted(map(str, batch))}.")
        value = batch[group]
        if name is not None:
            if not isinstance(value, dict) or name not in value:
                raise probe.Problem(f"batch[{group!r}] should be a dict with the key {name!r}.")
            value = value[name]
        where = f"batch[{group!r}]" + (f"[{name!r}]" if name else "")
        if not isinstance(value, probe.torch.Tensor):
            raise probe.Problem(f"{where} is a {type(value).__name__}: a tensor is wanted.")
        if "mask" in group and value.dtype != probe.torch.bool:
            raise probe.Problem(f"{where} has dtype {value.dtype}: a mask holds True and False, so torch.bool.")
        if where == "batch['inputs']['words']" and value.dtype != probe.torch.int64:
            raise probe.Problem(f"{where} has dtype {value.dtype}: ids stay whole numbers, torch.int64.")
        found[where] = probe.array(value)
    yield found


def draw_samples(g, lengths, gone=(), zeros=False):
    """Voices (t, d) or None, ids of words, targets."""
    b, d = len(lengths), int(g.integers(1, 4))
    order = g.permutation(b)
    voices = []
    for k in order:
        voice = g.normal(size=(lengths[k], d)).round(2).astype(np.float32)
        if zeros:
            voice[-1] = 0
        voices.append(None if k in gone else voice)
    words = [g.integers(0 if zeros else 1, 30, size=int(n)) for n in g.integers(1, 6, size=b)]
    if zeros:
        words[0] = np.array([4, 0])
    return voices, words, g.integers(0, 3, size=b).tolist()


collating = exercise(
    "multimodal_data.5",
    collate,
    framework="torch",
    use=use_collate,
    title="A collate_fn",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "A `DataLoader` takes samples one by one and hands the list to its `collate_fn`. Each sample is a dict: `voice`, "
            "a float tensor (t, d) or None where it is missing (never in all of them), `words`, a whole-number tensor (k,) "
            "of ids, and `target`, a whole number. `d` is the same everywhere, t and k differ."
        ),
        says(
            "**Write** `collate(samples)`. Return a dict with `inputs`, a dict of `voice` (b, t, d)", mistake="mean of"
        ),
        says("and `words` (b, k), each padded with zeros *behind* to the longest of the batch;", mistake="in front"),
        says(
            "a missing voice is all zeros and makes nothing longer.",
            mistake="left out",
        ),
        says(
            "`padding_mask`: a dict of bool (b, t) and (b, k), True where an element is real,",
            mistake="True at the padding",
        ),
        says("and False everywhere for a missing voice.", mistake="missing voice has real frames"),
        says("(A real frame may be all zeros, and 0 may be a real id.)", mistake="from the zeros"),
        says(
            "`modality_mask`: a dict with `voice`, bool (b,), True where there is one.",
            mistake="where the voice is missing",
        ),
        says("`target`: (b,).", ignored=edit('"target": target,', '"target": target[:, None],')),
        says("Samples stay in their order.", mistake="sorted"),
        example("""
from torch.nn.utils.rnn import pad_sequence

print(pad_sequence([torch.tensor([5, 2, 7]), torch.tensor([4])], batch_first=True))
"""),
    ],
    hints=[
        "Lengths first: 0 for a missing voice. Both masks come from lengths alone, as in the lesson.",
        "A missing voice can be `torch.zeros(0, d)`: then `pad_sequence(voices, batch_first=True)` does the rest.",
    ],
    draw=draw_samples,
    parts=[
        part("all there", weight=2, lengths=in_turn((2, 4, 3), (1, 5))),
        part("a voice is missing", weight=2, lengths=in_turn((2, 3, 4), (3, 5, 2, 1)), gone=(0,)),
        part("the longest voice is missing", lengths=(2, 6, 3), gone=(1,)),
        part("two are missing", lengths=(3, 2, 4, 1), gone=(0, 3)),
        part("real zeros", lengths=in_turn((2, 3), (3, 1)), zeros=True),
        part("one sample", lengths=in_turn((3,), (1,))),
    ],
    own={"lengths": (2, 3), "gone": (0,)},
    own_says="Two samples of your own; one has no voice",
    mistakes={
        "Your padding masks are True at the padding. Here True is a real element.": edit(
            "voice_mask = torch.arange(max(lengths)) <",
            "voice_mask = torch.arange(max(lengths)) >=",
            "words_mask = torch.arange(words.shape[1]) <",
            "words_mask = torch.arange(words.shape[1]) >=",
        ),
        "You made a padding mask from the zeros. A real frame or id may be zero: use the lengths.": [
            "voice_mask = (voice != 0).any(dim=2)",
            "words_mask = words != 0",
            "voice_mask = (voice != 0).any(dim=2)\nwords_mask = words != 0",
        ],
        "Your zeros are in front. Each sequence starts at the start of its row.": [
            edit(
                'row[: len(sample["voice"])] =',
                'row[max(lengths) - len(sample["voice"]) :] =',
                "batch_first=True)",
                'batch_first=True, padding_side="left")',
            ),
            edit(
                'row[: len(sample["voice"])] =',
                'row[max(lengths) - len(sample["voice"]) :] =',
            ),
            "words = torch.nn.utils.rnn.pad_sequence([s['words'] for s in samples], batch_first=True, padding_side='left')",
        ],
        "You left out the samples without a voice. Each sample keeps its row.": edit(
            "there = torch", "samples = [s for s in samples if s['voice'] is not None]\n    there = torch"
        ),
        "A missing voice has real frames in your padding mask. There is nothing real in it.": [
            edit('"padding_mask": {"voice": voice_mask,', '"padding_mask": {"voice": voice_mask | ~there[:, None],'),
            edit("lengths = [0 if", "lengths = [1 if"),
        ],
        "Your modality mask is True where the voice is missing: True means that it is there.": edit(
            '"modality_mask": {"voice": there}', '"modality_mask": {"voice": ~there}'
        ),
        "You sorted the samples by length. Row i belongs to sample i: keep their order.": edit(
            "there = torch",
            "samples = sorted(samples, key=lambda s: -len(s['words']))\n    there = torch",
        ),
        "You took the mean of each voice over time. The frames stay; only zeros come behind them.": edit(
            '"inputs": {"voice": voice,',
            '"inputs": {"voice": voice.sum(1) / voice_mask.sum(1, keepdim=True).clamp(min=1),',
        ),
    },
    praise="That is the function that a multimodal DataLoader lives from.",
)


@right(collating)
def with_pad_sequence(samples):
    pad = torch.nn.utils.rnn.pad_sequence
    width = next(s["voice"].shape[1] for s in samples if s["voice"] is not None)
    empty = torch.zeros(0, width)
    voices = [empty if s["voice"] is None else s["voice"] for s in samples]
    ids = [s["words"] for s in samples]
    return {
        "inputs": {"voice": pad(voices, batch_first=True), "words": pad(ids, batch_first=True)},
        "padding_mask": {
            "voice": pad([torch.ones(len(v), dtype=torch.bool) for v in voices], batch_first=True),
            "words": pad([torch.ones(len(i), dtype=torch.bool) for i in ids], batch_first=True),
        },
        "modality_mask": {"voice": torch.tensor([s["voice"] is not None for s in samples])},
        "target": torch.tensor([s["target"] for s in samples]),
    }

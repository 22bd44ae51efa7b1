# %% [markdown]
# # Assistant: what did the caller want?
# *A shop asks you whether a machine may answer its calls. You build the machine from sound to reply, measure what every stage loses, and hand over one page that says which callers it may serve alone.*
#
# {{budget}}
#
# **You will be able to**
# - turn speech into words, words into an intent with slots, and a tone into a priority;
# - measure every stage and the whole, and say where the errors come from;
# - keep several hypotheses instead of one, and say what that is worth and what it is not;
# - refuse by cost, and spot what is out of scope;
# - write a dialogue that can ask back, confirms before it acts, and can hand over.
#
# **Before this:** [speech_to_text](speech_to_text.ipynb) (the recognizer), [sentiment](sentiment.ipynb) (sarcasm), [evaluate](evaluate.ipynb) (calibration, ROC curves), [chat](chat.ipynb) (tools, injection).
#
# **Time to read:** 85 minutes with the four blanks, then 105 for the [exercises](exercises/assistant.ipynb).

# %%
import re
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import helpdesk, load, results
from mmcourse.datasets.helpdesk import (
    INTENTS,
    channel,
    chinese,
    grammar,
    posts,
    programs,
    tone,
)
from mmcourse.datasets.scenes import world
from mmcourse.datasets.scenes.drawing import draw as draw_scene
from mmcourse.evaluate import expect_within
from mmcourse.evaluate.words import align, word_error_rate
from mmcourse.runtime import how_to_install, is_installed
from mmcourse.torch.helpdesk import HelpdeskRecognizer, encode

# %% [markdown]
# ## 1 · The phone rings
#
# The shop makes colored signs: circles, stars, crosses. Here are three callers of the data set `helpdesk`, with voices that the recognizer has never heard. First to words:

# %%
callers = load("helpdesk", "test")
recognizer = HelpdeskRecognizer.from_pretrained("helpdesk")
first = [callers[i]["speech"] for i in range(3)]
transcripts = recognizer.transcribe(first)
for i, heard in enumerate(transcripts):
    print(f"said:  {callers[i]['words']}\nheard: {heard}\n")
plot.audio(first[0], helpdesk.SAMPLE_RATE, label="The first caller")

# %% [markdown]
# Then from words to what is wanted. An **intent** is what the caller wants the shop to do, one of a fixed list. A linear model on TF-IDF (lesson [text](text.ipynb)) learns it in a second:

# %% tags=["free"]
train = load("helpdesk", "train")
train_texts, train_labels = list(train.column("words")), train.labels
test_texts, test_labels = list(callers.column("words")), callers.labels
vectors = TfidfVectorizer(ngram_range=(1, 2))  # single words and pairs
linear = LogisticRegression(max_iter=300, C=10.0)
linear.fit(vectors.fit_transform(train_texts), train_labels)

REPLIES = {
    "order": "Shall I put that into your order?",
    "track": "Let me look where it is.",
    "cancel": "Shall I cancel it?",
    "refund": "Shall I send the money back?",
}
for heard in transcripts:
    p = linear.predict_proba(vectors.transform([heard]))[0]
    name = INTENTS[p.argmax()]
    reply = REPLIES.get(name, "I'll see to it.")
    print(f"{heard}\n   → {name} ({p.max():.2f}): {reply}")

# %% [markdown]
# That is the assistant in its simplest form: a **cascade**, in which each stage works on what the stage before it gave. What follows is what goes wrong in it, and what that costs. (Tone and record are used for feedback only, section 8.)

# %% tags=["hide-input"]
canvas = draw.Canvas()
names = [
    ("sound", "16 kHz", "gray"),
    ("words", "recognizer", "blue"),
    ("intent, slots", "small model", "blue"),
    ("decision", "costs", "orange"),
    ("reply", "templates", "green"),
]
parts = []
for name, note, color in names:
    made = draw.box(name, note=note, color=color)
    if parts:
        parts.append(canvas.place(made, right_of=parts[-1], gap=30))
    else:
        parts.append(canvas.place(made))
for start, end in zip(parts, parts[1:]):
    canvas.arrow(start, end)
of_tone = draw.box("tone", note="of the voice", color="blue")
voice = canvas.place(of_tone, x=60, y=95)
of_filing = draw.box("praise or complaint", note="feedback only", color="orange")
filing = canvas.place(of_filing, right_of=voice, gap=40)
of_record = draw.box("record", note="late or fine", color="gray")
record = canvas.place(of_record, right_of=filing, gap=40)
canvas.arrow(voice, filing)
canvas.arrow(record, filing)
draw.show(
    canvas,
    alt="The cascade: sound, words, intent and slots, decision, reply. Apart from it, "
    "the tone of the voice and the shop's record decide how feedback is filed.",
)

# %% [markdown]
# ## 2 · The question
#
# **Record three guesses.**

# %%
slurp_guess = widgets.guess(
    "A real assistant (SLURP, people speaking at home): from the exact words, it finds "
    "the intent of 85 in 100 sentences. And from the words that a recognizer wrote?",
    ["about 82", "about 73", "about 60"],
)

# %%
hypotheses_guess = widgets.guess(
    "A recognizer's errors are known exactly. Instead of the likeliest text you use "
    "all texts that may have been said, each with its probability. What gets better?",
    ["mostly the accuracy", "mostly the knowledge of one's own doubt", "neither"],
)

# %%
great_guess = widgets.guess(
    "Of our callers who say 'great, thank you' and the like, how many are upset?",
    ["2 in 100", "10 in 100", "30 in 100"],
)

# %% [markdown]
# ## 3 · Words, and how many are wrong
#
# A transcript is compared with what was said by the cheapest **alignment** of the two: words that are substituted, deleted, inserted (lesson [speech_to_text](speech_to_text.ipynb)). By hand:

# %%
said = "i want my money back for the red star"
heard = "i want money back four the red stars please"
print(align(said, heard))
print("errors:", align(said, heard).errors, " words said:", len(said.split()))

# %% [markdown]
# Over a whole test set, the **word error rate** (WER) is
#
# $$\mathrm{WER} = \frac{\sum_i \text{errors}_i}{\sum_i \text{words said}_i}$$
#
# one fraction, not a mean of fractions: in a mean, a short "yes" heard as "no" would count as much as a whole paragraph. It can be above 1, since words can be inserted. Case and punctuation are removed first.
#
# **Your turn (blank 1).** Three utterances: `errors` and `words` are lists.
# <details><summary>Hint</summary>
#
# Two sums, one division.
# </details>

# %%
errors, words = [1, 2, 0], [1, 9, 10]


def total_error_rate(errors, words):
    """WER over a test set."""
    # BEGIN SOLUTION
    return sum(errors) / sum(words)
    # END SOLUTION


total_error_rate = check("assistant.blank.1", total_error_rate)
mean_of_rates = np.mean([e / n for e, n in zip(errors, words)])
print(f"WER {total_error_rate(errors, words):.3f}; mean of rates {mean_of_rates:.3f}")

# %% tags=["free"]
part = callers.subset(np.arange(300))
part_texts, part_waves = list(part.column("words")), list(part.column("speech"))
part_heard = recognizer.transcribe(part_waves)
wer = word_error_rate(part_texts, part_heard)
wrong = [(a, b) for a, b in zip(part_texts, part_heard) if a != b]
print(f"sentences with an error: {len(wrong)} of {len(part)}", end="")
print(f" (the recognizer knows {len(recognizer.words)} words)")
for a, b in wrong[:3]:
    print(f"   {a}\n   → {b}")

# %% tags=["target"]
expect_within("WER of 300 test callers", wer, 0.026, 0.015)

# %% [markdown]
# It is the recognizer of lesson [speech_to_text](speech_to_text.ipynb) with another last layer, for the words of this shop, trained further (see the card in `data/models/helpdesk`). Its voices are synthetic, and every word was recorded by itself. People are harder: section 14.

# %% [markdown]
# ## 4 · Intent and slots
#
# What callers say comes from a grammar in which every choice has a known probability. So we can list *everything* that can be said, and with it the best that any model can do.

# %%
print(f"{len(grammar.texts()):,} texts, {len(INTENTS)} intents; three of each of two:")
for name in ("refund", "exchange"):
    examples = [s for s in grammar.sentences() if INTENTS[s.intent] == name]
    for sentence in examples[:: len(examples) // 3][:3]:
        print(f"   {name:9} {sentence.text}")
print(f"words that two intents share: {grammar.shared_words():.0%}")
print(f"best accuracy from the exact words: {grammar.text_ceiling():.3f}")
assert round(grammar.text_ceiling(), 3) == 0.955

# %% [markdown]
# "I want to send my red star back" is a refund *or* an exchange. Nobody can know without asking; that is why the ceiling is 0.955, and not 1. Details of the request, such as the color, are **slots**. The text of a template with its slots:

# %% tags=["hide-input"]
example = next(s for s in grammar.sentences() if "not the" in s.text)
slot_of = {value: name for name, value in example.slots}
tokens = draw.tokens(
    example.text.split(),
    highlight=[i for i, w in enumerate(example.text.split()) if w in slot_of],
)
told = ", ".join(f"{name} = {value}" for name, value in example.slots)
made = draw.column(tokens, draw.label(f"{INTENTS[example.intent]}: {told}"))
draw.show(made, alt=f"The words “{example.text}”; the slots {told} are marked.")

# %% [markdown]
# Which color does this caller want? Three programs: the *first* color counts, the *last* one counts, or what is denied ("not the red one") is left out first.


# %%
SAME = dict(zip(grammar.SLOTS["shapes"], world.SHAPES))  # "stars" → "star"
SAME |= {"bigger": "large", "smaller": "small"}


def slots(text, way="denials"):
    """Color, size, number and shape of a text."""
    if way == "denials":
        text = re.sub(r"\bnot (the |a |an )?(\w+) (one|i want)\b", " ", text)
    found = {}
    for word in text.split():
        for name in ("color", "size", "number", "shape"):
            if SAME.get(word, word) not in grammar.SLOTS[name]:
                continue
            if way != "first" or name not in found:
                found[name] = SAME.get(word, word)
    return found


def denying(templates):
    """The templates with a color that is denied."""
    patterns = [p for some in grammar.TEMPLATES[templates].values() for p in some]
    return {p for p in patterns if "not" in p.split() and "{other_color}" in p}


counts = [len(denying(templates)) for templates in ("seen", "unseen")]
print("the color is right in   seen templates   unseen templates")
print(f"{'(how many)':22} {counts[0]:16} {counts[1]:18}")
for way in ("first", "last", "denials"):
    rates = []
    for templates in ("seen", "unseen"):
        every = [s for s in grammar.sentences(templates) if " not " in f" {s.text}"]
        every = [s for s in every if "other_color" in dict(s.slots)]
        meant = [dict(s.slots)["color"] for s in every]
        right = [slots(s.text, way).get("color") == c for s, c in zip(every, meant)]
        rates.append(np.mean(right))
    print(f"{way:22} {rates[0]:16.2f} {rates[1]:18.2f}")

# written after the three programs, and not used to change them
later = "it should be {} not {}"
pairs = [(a, b) for a in world.COLORS for b in world.COLORS if a != b]
afterwards = {}
for way in ("first", "last", "denials"):
    said_so = [slots(later.format(a, b), way).get("color") == a for a, b in pairs]
    afterwards[way] = np.mean(said_so)
told = ", ".join(f"{way} {value:.2f}" for way, value in afterwards.items())
print(f"“{later.format('blue', 'red')}”: {told}")
assert afterwards["denials"] == 0 and afterwards["first"] == 1

# %% [markdown]
# The first mention is right in all templates that were looked at, and wrong in all of the others ("not red, I want blue"). A rule made for the examples at hand passes on them. So does the third, written with both kinds in view, and a phrasing that was written *afterwards* shows what its 1.00 was worth: it knows "not the red one" and "not red I want", and no "not red" at the end.

# %% [markdown]
# Now the intent model in PyTorch: embeddings, a GRU, the mean of its states. `encode` gives ids with 0 after the end of shorter sentences, so the mean leaves the padding out (no run without the mask was made).


# %%
class IntentNet(nn.Module):
    """Ids of words (b, l), 0 after the end → a logit for each intent (b, 13)."""

    def __init__(self, num_words, width=64, num_intents=13):
        super().__init__()
        self.embedding = nn.Embedding(num_words, width, padding_idx=0)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.to_intent = nn.Linear(width, num_intents)

    def forward(self, ids):
        mask = (ids > 0).float()[..., None]  # (b, l, 1)
        states, _ = self.gru(self.embedding(ids))  # (b, l, width)
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return self.to_intent(mean)


@torch.no_grad()
def probabilities(texts):
    """p(intent | text) of the trained model, (n, 13)."""
    return model(encode(texts)).double().softmax(dim=-1).numpy()


# %% tags=["free"]
def train_intents(texts, labels, epochs=8, seed=0):
    """The intent model after training."""
    torch.manual_seed(seed)
    model = IntentNet(len(helpdesk.vocabulary()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    ids, target = encode(texts), torch.from_numpy(labels)
    steps = epochs * -(-len(ids) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(ids)).split(64):
            loss = F.cross_entropy(model(ids[rows]), target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        if epoch % 2:
            print(f"epoch {epoch + 1}   loss {total / len(ids):.3f} nats")
    return model.eval()


model = train_intents(train_texts, train_labels)
p_text = probabilities(test_texts)
intent_accuracy = (p_text.argmax(axis=1) == test_labels).mean()
print(f"{sum(p.numel() for p in model.parameters()):,} weights")
print(f"a model that knows nothing begins at ln {len(INTENTS)} = {np.log(13):.3f} nats")

# %% tags=["target"]
expect_within("intent from the exact words", intent_accuracy, 0.955, 0.015)

# %% [markdown]
# In Keras, as people write it there: a mean of embeddings (its `mask_zero` leaves the padding out), `compile` and `fit`. (One seed, other epochs: no comparison.)

# %% tags=["free"]
import keras

keras.utils.set_random_seed(0)
in_keras = keras.Sequential(
    [
        keras.layers.Embedding(len(helpdesk.vocabulary()), 64, mask_zero=True),
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(len(INTENTS)),
    ]
)
in_keras.compile(
    optimizer=keras.optimizers.Adam(4e-3),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
ids = encode(train_texts).numpy()
in_keras.fit(ids, train_labels, batch_size=64, epochs=6, verbose=0)
longest = max(train_texts, key=lambda t: len(t.split()))
longer = encode([*test_texts, longest])  # padded to the width that `fit` saw
_, keras_accuracy = in_keras.evaluate(longer.numpy()[:-1], test_labels, verbose=0)
print(f"mean of embeddings, no order of words: {keras_accuracy:.3f}")

# %% [markdown]
# Are these models good? Never compare with nothing. The stored runs (for the GRU, means and ± over five seeds; for TF-IDF, over callers):

# %% tags=["hide-input"]
stored = results("assistant")
models = stored["models"]
gru = models["trained on true text"]
rows = {
    "majority class": models["majority"],
    "TF-IDF, linear": models["TF-IDF, trained on true text"]["true text"][0],
    "GRU": gru["true text"][0],
    "exact ceiling": round(grammar.text_ceiling(), 3),
}
fig, ax = plt.subplots(figsize=(6.4, 2.2))
colors = ["#999999", "#56B4E9", "#0072B2", "#E69F00"]
ax.barh(list(rows), list(rows.values()), color=colors)
for i, value in enumerate(rows.values()):
    ax.text(value + 0.01, i, f"{value:.3f}", va="center", fontsize=9)
ax.set(xlim=(0, 1.12), xlabel=f"accuracy, {models['n']} test callers, exact words")
ax.invert_yaxis()
told = ", ".join(f"{name} {value:.3f}" for name, value in rows.items())
plot.show(fig, alt=f"Accuracy of intents: {told}.")

# %% tags=["free"]
unseen = models["trained on true text"]["unseen templates"]
linear_unseen = models["TF-IDF, trained on true text"]["unseen templates"]
print(f"paraphrases that training never had: GRU {unseen[0]:.3f} ± {unseen[1]:.3f},")
print(f"   TF-IDF {linear_unseen[0]:.3f} ± {linear_unseen[1]:.3f}, ", end="")
print(f"ceiling {grammar.text_ceiling('unseen'):.3f}")
seen_words = {word for text in grammar.texts() for word in text.split()}
new_words = {word for text in grammar.texts("unseen") for word in text.split()}
said_words = [w for s in grammar.sentences("unseen") for w in s.text.split()]
known_share = np.mean([word in seen_words for word in said_words])
print(f"their words that training has: {known_share:.2f}; it lacks", end=" ")
print(", ".join(sorted(new_words - seen_words)))
assert gru["true text"][0] > 0.93 and max(unseen[0], linear_unseen[0]) < 0.85

new_callers = load("helpdesk", "test", templates="unseen")
guessed = probabilities(list(new_callers.column("words"))).argmax(axis=1)
table = np.zeros((13, 13), int)  # meant, said
np.add.at(table, (new_callers.labels, guessed), 1)
np.fill_diagonal(table, 0)
print("\nthe GRU above, most frequent errors (meant → said):")
for place in np.argsort(-table, axis=None)[:4]:
    meant, said_ = divmod(place, 13)
    number, of_ = table[meant, said_], (new_callers.labels == meant).sum()
    print(f"   {INTENTS[meant]:12} → {INTENTS[said_]:12} {number} of {of_}")

# %% [markdown]
# On sentences of known templates both are at the ceiling (a thousand callers may lie above it, by luck). On *paraphrases* they fall far, though nearly all of their words are known, and the linear model is ahead (0.610 against 0.474). **A test set made of the same templates as the training set measures how well the templates are remembered; here it did not predict the figure on new ones.** Split by template, by speaker, by whatever your product will meet anew. We go on with the GRU all the same.

# %% [markdown]
# ## 5 · A recognizer whose errors are known
#
# On real sound nobody knows how much was recoverable. So here is a recognizer whose errors are written in code: the **word channel** hears each word as itself, or, with probability `noise`, as another word that is spelled like it.

# %%
words_ = grammar.vocabulary()
table = channel.confusion(0.3)
for word in ("four", "cancel", "red"):
    likely = np.argsort(-table[words_.index(word)])[:4]
    told = ", ".join(f"{words_[j]} {table[words_.index(word), j]:.3f}" for j in likely)
    print(f"p(heard | {word}): {told}")

# %% [markdown]
# Bayes' rule turns this around. p(text | heard) is proportional to how often the text is said, times p(heard | text). Take something that was heard, chosen so that two texts compete, and list the **hypotheses**: texts that may have been said, with their probabilities. A list of the best few is an **n-best list**.

# %%
rng = np.random.default_rng(8)
while True:
    (caller,) = grammar.draw(1, rng)
    (heard,) = channel.hear([caller.text], rng, 0.5)
    found = channel.hypotheses(heard, 0.5)
    given = channel.given_texts()[found.places]  # p(intent | text), (n, 13)
    intents_of = given.argmax(axis=1)
    if 0.3 < found.p[0] < 0.5 and intents_of[0] != intents_of[1]:
        break
print(f"said:  {caller.text}   ({INTENTS[caller.intent]})")
print(f"heard: {heard}\n")
for place, p, which in list(zip(found.places, found.p, intents_of))[:4]:
    print(f"{p:.3f}  {grammar.texts()[place]:45} {INTENTS[which]}")

# %% tags=["hide-input"]
canvas = draw.Canvas()


def start_of(text, number):
    """The first words, with … where more follow."""
    words = text.split()
    return " ".join(words[:number]) + (" …" if len(words) > number else "")


of_heard = draw.box("heard", note=start_of(heard, 4))
start = canvas.place(of_heard, x=0, y=75)
shown = []
for k in range(3):
    text = start_of(grammar.texts()[found.places[k]], 5)
    made = draw.box(f"p = {found.p[k]:.2f}", note=text, color="orange")
    shown.append(canvas.place(made, x=220, y=75 * k))
    canvas.arrow(start, shown[-1])
targets = {}
for k in range(3):
    name = INTENTS[intents_of[k]]
    if name not in targets:
        made = draw.box(name, color="green")
        targets[name] = canvas.place(made, x=540, y=10 + 75 * len(targets))
    canvas.arrow(shown[k], targets[name])
draw.show(
    canvas,
    alt="What was heard leads to three hypotheses with their probabilities, and each "
    "of these to an intent; an intent collects what its hypotheses carry.",
)

# %% [markdown]
# If you go on with the first line only (the **1-best** hypothesis), you act as if it were certain. To **marginalize** is to weight every hypothesis by its probability:
#
# $$p(\text{intent} \mid x) = \sum_h p(h \mid x)\; p(\text{intent} \mid h)$$
#
# $x$ is the sound, $h$ a hypothesis. For this channel p(h | x) is exact. Recognizers give *scores*; their softmax over the list is taken for p(h | x).
#
# **Your turn (blank 2).** `scores` (n,) are log-scores of the hypotheses, `given` (n, k) the p(intent | hypothesis).
# <details><summary>Hint</summary>
#
# The softmax of the scores (subtract the largest first), then a weighted sum of the rows: which product does that?
# </details>


# %%
def marginalize(scores, given):
    """p(intent | x), (k,)."""
    # BEGIN SOLUTION
    weights = np.exp(scores - scores.max())
    weights = weights / weights.sum()
    return weights @ given
    # END SOLUTION


marginalize = check("assistant.blank.2", marginalize)
p_all = marginalize(np.log(found.p) - 7.0, given)  # a constant does not matter
p_one = given[0]
print(f"{'':12}" + "".join(f"{INTENTS[i]:>15}" for i in np.argsort(-p_all)[:3]))
for name, p in (("1-best", p_one), ("marginalized", p_all)):
    print(f"{name:12}" + "".join(f"{p[i]:15.3f}" for i in np.argsort(-p_all)[:3]))
gap = np.abs(p_all - channel.exact_posterior(heard, 0.5)).max()
print(f"difference from Bayes' rule on the whole table: {gap:.0e}")
assert gap < 1e-12

# %% [markdown]
# With *all* hypotheses nothing is lost: the sum is the exact posterior. What is that worth? 4,000 callers through the channel, at four noise levels (stored). Besides the accuracy you see the log loss (lesson [evaluate](evaluate.ipynb)) and a *cost per caller*: 1 for a wrong intent, 0.2 for a caller who is handed to a person because of doubt (section 6). **Move the slider.**

# %% tags=["hide-input"]
by_noise = stored["channel"]
LEVELS = sorted(float(key) for key in by_noise)
SHOWN = ["text", "1-best", "3", "10", "all"]
COLORS = ["#999999", "#D55E00", "#56B4E9", "#0072B2", "#E69F00"]


def show_noise(noise=0.5):
    """Accuracy, log loss and cost of each way at one noise."""
    parts = by_noise[str(noise)]
    fig, axes = plt.subplots(1, 3, figsize=(7.6, 2.7))
    for ax, name in zip(axes, ("accuracy", "log loss", "cost")):
        values = [parts[way][name][0] for way in SHOWN]
        spread = [parts[way][name][1] for way in SHOWN]
        ax.bar(range(5), values, yerr=spread, color=COLORS, error_kw={"linewidth": 1})
        ax.set_xticks(range(5), ["text", "1-best", "3", "10", "all"], fontsize=8)
        for i, value in enumerate(values):
            style = {"ha": "center", "va": "bottom", "fontsize": 7.5}
            digits = 3 if name == "cost" else 2
            ax.text(i, spread[i] + value, f"{value:.{digits}f}", **style)
        title = "cost per caller" if name == "cost" else name
        ax.set_title(title, fontsize=10, loc="left", fontweight="normal")
        ax.set_ylim(0, 1.2 * max(values))
    both_of = {w: (parts[w]["accuracy"][0], parts[w]["cost"][0]) for w in SHOWN}
    told = "; ".join(f"{w} {a:.3f} and {c:.3f}" for w, (a, c) in both_of.items())
    plot.show(fig, alt=f"Noise {noise}. Accuracy and cost per caller: {told}.")


widgets.slider(show_noise, noise=LEVELS)

# %%
for noise in LEVELS:
    parts = by_noise[str(noise)]
    lost = parts["1-best minus all, accuracy"]
    more = parts["1-best minus all, cost"]
    print(f"noise {noise}, 1-best minus all: ", end="")
    print(f"accuracy {lost[0]:+.4f} ± {lost[1]:.4f}, ", end="")
    print(f"cost {more[0]:+.4f} ± {more[1]:.4f}")
    assert more[0] > 0 and abs(lost[0]) < 0.02
    assert parts["1-best"]["confidence"][0] > parts["all"]["confidence"][0]
hypotheses_guess.compare("mostly the knowledge of one's own doubt")

# %% [markdown]
# The **accuracy** hardly moves: the likeliest text mostly has the likeliest intent. What the 1-best throws away is the *doubt*: it is more sure when it is wrong (section 6), and its log loss is higher. With 10 hypotheses nearly all that the 1-best loses *against all hypotheses* is back. Not against the exact words: most of that loss in accuracy and cost stays, and no method brings it back.

# %% [markdown]
# ## 6 · Refuse, at a price
#
# A wrong answer costs the shop 1. A caller who is handed to a person costs 0.2, right or wrong. When should the machine answer? If p is calibrated (of the answers given with 0.8, 80 in 100 are right; lesson [evaluate](evaluate.ipynb)), the expected cost of answering is $1 - \max_y p(y)$. Of refusing: $c$. Hence **Chow's rule** (Chow 1970):
#
# $$\text{answer if } \max_y p(y \mid x) \ge 1 - c, \text{ else refuse}$$
#
# A classifier that may refuse to answer, at a price, has a **reject option**. The threshold is a price: with c = 0.2 it is 0.8 (where a wrong answer costs w instead of 1, it is 1 − c / w). The exact posterior is calibrated; for a network, measure first (section 16).
#
# %% tags=["hide-input"]
canvas = draw.Canvas()
shown_p = [("0.55", "a person: 0.2 < 0.45", "gray")]
shown_p.append(("0.75", "a person: 0.2 < 0.25", "gray"))
shown_p.append(("0.93", "answer: 0.07 < 0.2", "green"))
for k, (value, note, color) in enumerate(shown_p):
    caller_box = draw.box(f"max p = {value}", note="of a caller")
    start = canvas.place(caller_box, x=0, y=64 * k)
    cost_box = draw.box(f"1 − {value} = {1 - float(value):.2f}", note="if it answers")
    cost = canvas.place(cost_box, x=150, y=64 * k)
    where, why = note.split(": ")
    end = canvas.place(draw.box(where, note=why, color=color), x=330, y=64 * k)
    canvas.arrow(start, cost)
    canvas.arrow(cost, end)
draw.show(
    canvas,
    alt="Three callers with max p 0.55, 0.75 and 0.93 and a price of 0.2 for a person. "
    "The first two go to a person, the third is answered.",
)

# %% [markdown]
# **Your turn (blank 3).** `p` (n, k), the refusal's cost `c`. Return the label of each, or −1 for refused.
# <details><summary>Hint</summary>
#
# `np.where` with three arguments; what is the largest p of a row?
# </details>


# %%
def answer_or_refuse(p, c):
    """Labels (n,), −1 where a person should answer."""
    # BEGIN SOLUTION
    return np.where(p.max(axis=1) >= 1 - c, p.argmax(axis=1), -1)
    # END SOLUTION


answer_or_refuse = check("assistant.blank.3", answer_or_refuse)


def mean_cost(decisions, labels, c):
    """0 for right, 1 for wrong, c for refused."""
    costs = np.where(decisions == -1, c, (decisions != labels).astype(float))
    return costs.mean()


noisy = channel.hear(test_texts, np.random.default_rng(3), 0.5)
exact = np.stack([channel.exact_posterior(text, 0.5) for text in noisy])
one_best = []
for text in noisy:
    place = channel.hypotheses(text, 0.5).places[0]
    one_best.append(channel.given_texts()[place])
one_best = np.array(one_best)
ways = {"1-best": one_best, "all hypotheses": exact}
certain = (one_best.max(axis=1) > 0.99).mean()
print(f"1-best: p above 0.99 for {certain:.2f} of the callers")
for name, p in ways.items():
    never = mean_cost(p.argmax(axis=1), test_labels, 0.2)
    chow = mean_cost(answer_or_refuse(p, 0.2), test_labels, 0.2)
    print(f"{name:15} never refusing {never:.3f}   Chow's rule {chow:.3f}", end="")
    missed = p.argmax(axis=1) != test_labels
    print(f"   mean max p where it is wrong {p.max(axis=1)[missed].mean():.2f}")

# %% [markdown]
# Is 1 − c really the best threshold? Try them all, for any price. **Move the slider.**

# %% tags=["hide-input"]


def show_refusals(c=0.2):
    """Mean cost by threshold."""
    steps = np.linspace(0, 1, 101)
    fig, ax = plt.subplots(figsize=(6.6, 2.8))
    best = {}
    for (name, p), color in zip(ways.items(), ("#D55E00", "#E69F00")):
        sure, said = p.max(axis=1), p.argmax(axis=1)
        costs = []
        for step in steps:
            decisions = np.where(sure >= step, said, -1)
            costs.append(mean_cost(decisions, test_labels, c))
        best[name] = min(costs)
        ax.plot(steps, costs, color=color, label=name)
    ax.axvline(1 - c, color="#0072B2", linewidth=1, label=f"Chow: 1 − {c:.2f}")
    ax.set(xlabel="threshold on max p", ylabel="mean cost", ylim=(0, None))
    ax.legend(fontsize=8)
    told = ", ".join(f"{name} {value:.3f}" for name, value in best.items())
    plot.show(fig, alt=f"Cost by threshold, refusal costs {c:.2f}. Least: {told}.")
    print(f"c = {c:.2f}: least cost by any threshold: {told}")


widgets.slider(show_refusals, c=(0.05, 0.5, 0.05))

# %% [markdown]
# At c = 0.2, on these callers, Chow's threshold costs 0.047 with the exact posterior, the best of all 0.045. Refusing helps the 1-best, too (0.081 → 0.064): it can still refuse texts of two intents. But its best threshold does not reach the other curve, since it is certain of nearly all other texts.
#
# **Out of scope** is a measurement of its own: callers who want something that no intent covers. Two scores are in use: 1 − max p, and the probability of a class `out_of_scope` that was trained on examples. In training these describe pictures; the unseen templates bring another topic (things that move, how many there are), and also word all other intents anew. AUROC (lesson [evaluate](evaluate.ipynb)) of the scores, GRU, five seeds:

# %% tags=["hide-input"]
OUTSIDE = INTENTS.index("out_of_scope")
for topic in ("known topic", "new topic"):
    print("known phrasing" if topic == "known topic" else "new phrasing", end=", ")
    for score in ("p(out_of_scope)", "1 − max p"):
        mean, half = gru[f"AUROC, {topic}, {score}"][:2]
        print(f"{topic}: {score} {mean:.3f} ± {half:.3f}", end="   ")
    print()
scope = stored["scope"]
sizes = scope["n"]
print(f"\n{sizes['new topic']} callers with the new topic, against in scope")
SCORES = ["with the class, p(out_of_scope)", "with the class, 1 − max p"]
SCORES.append("without the class, 1 − max p")
for phrasing in ("known phrasing", "new phrasing"):
    print(f"{phrasing} ({sizes[phrasing]} callers):")
    for score in SCORES:
        mean, half, *five = scope[f"{phrasing}, {score}"]
        told = " ".join(f"{value:.2f}" for value in five)
        print(f"   {score:32} {mean:.3f} ± {half:.3f}   ({told})")
    key = f"{phrasing}, p(out_of_scope) minus 1 − max p without the class"
    mean, half = scope[key]
    print(f"   first minus last, paired: {mean:+.3f} ± {half:.3f}")
known = gru["AUROC, known topic, p(out_of_scope)"][0]
new_topic = scope[f"known phrasing, {SCORES[0]}"][0]
both_new = scope[f"new phrasing, {SCORES[0]}"][0]
assert known > 0.98 > new_topic > 0.9 and both_new < 0.85
mean, half = scope["known phrasing, p(out_of_scope) minus 1 − max p without the class"]
assert abs(mean) < half
mean, half = scope["new phrasing, p(out_of_scope) minus 1 − max p without the class"]
assert mean > half

# %% [markdown]
# A trained "out of scope" class finds the topic that it was trained on nearly without error. The second table takes the two changes apart. On a new topic alone (the others speak as in training) its AUROC is still 0.94, and no difference from a model that never had such a class is shown. It falls to 0.71, and differs much between seeds, when the callers *in* scope word their wishes anew: **what is new in its words looks like what is out of scope.** There 1 − max p of a model without the class is worse still. So measure on topics *and* phrasings that it has never seen; one good number on the known ones did not predict these. (± over five trainings; the callers are the same.)

# %% [markdown]
# ## 7 · Errors multiply
#
# Now the real recognizer, with a figure for every stage *and* for the end: are the intent and all slots right? 600 test callers, with more and more noise (stored; "1-best" is now the text that the network writes).

# %% tags=["hide-input"]
speech = stored["speech"]
LINES = ["clean", "10 dB", "0 dB", "-5 dB"]
fig, ax = plt.subplots(figsize=(7.2, 3.0))
stages = [
    ("sentences", "sentences, 1-best", "#999999"),
    ("intent", "intent, 1-best", "#56B4E9"),
    ("slots", "slots, 1-best", "#0072B2"),
    ("task: both", "task, 1-best", "#D55E00"),
    ("task, grammar", "task, grammar", "#E69F00"),
]
for k, (label, key, color) in enumerate(stages):
    values = [speech[line][key][0] for line in LINES]
    spread = [speech[line][key][1] for line in LINES]
    x = np.arange(4) + 0.16 * (k - 2)
    style = {"color": color, "label": label, "error_kw": {"linewidth": 1}}
    ax.bar(x, values, 0.15, yerr=spread, **style)
ax.set_xticks(range(4), [f"{line}\nWER {speech[line]['WER']:.2f}" for line in LINES])
ax.set(ylim=(0, 1.25), ylabel="share of callers")
ax.legend(fontsize=8, ncol=5, loc="upper center", columnspacing=0.8, handlelength=1)
tasks = [speech[line]["task, 1-best"][0] for line in LINES]
told = "; ".join(f"{line}: task {t:.2f}" for line, t in zip(LINES, tasks))
plot.show(fig, alt=f"Sentences, intents, slots and tasks right, by noise. {told}.")

# %% tags=["hide-input"]
print(f"{'':7}{'slots':>9}{'slots, grammar':>17}")
for line in LINES:
    plain_, listed_ = speech[line]["slots, 1-best"][0], speech[line]["slots, grammar"][0]
    print(f"{line:7}{plain_:9.3f}{listed_:17.3f}")
gaps = {}
for line in LINES:
    row = speech[line]
    task, product = row["task, 1-best"][0], row["product, 1-best"]
    a, b = row["intent, 1-best"][0], row["slots, 1-best"][0]
    cells = {(1, 1): task, (1, 0): a - task, (0, 1): b - task, (0, 0): 1 - a - b + task}
    square = sum(p * ((i - a) * (j - b)) ** 2 for (i, j), p in cells.items())
    half = 1.96 * ((square - (task - product) ** 2) / speech["n"]) ** 0.5
    gaps[line] = (task - product, half)
    print(f"{line:6} intent × slots {product:.3f}, both right {task:.3f} ", end="")
    print(f"(difference {task - product:+.3f} ± {half:.3f}); ", end="")
    print(f"with the grammar {row['task, grammar'][0]:.3f}")
for line in LINES[:3]:
    row = speech[line]
    assert row["task, 1-best"][0] < row["task, grammar"][0]
assert all(abs(gaps[line][0]) < gaps[line][1] for line in ("clean", "-5 dB"))
assert all(gaps[line][0] > gaps[line][1] for line in ("10 dB", "0 dB"))
assert speech["-5 dB"]["task, grammar"][0] < speech["-5 dB"]["task, 1-best"][0]

# %% [markdown]
# ("Slots" are right if *all* slots of the sentence are; a sentence without any counts as right if none is found.) At 10 and 0 dB the product of the stages is a little below the end figure: errors come together. (Elsewhere the difference is within chance.) On these transcripts even a perfect intent model could not pass the slots' bars. Down to 0 dB, telling the *recognizer* what callers can say (the grammar as a language model in the beam search, lesson [speech_to_text](speech_to_text.ipynb)) does pass them. But the grammar lists exactly what these callers can say; section 16 has callers who say something else. At −5 dB, with the same settings, the grammar makes it worse.
#
# What do the transcripts look like at −5 dB?

# %% tags=["hide-input", "free"]
from mmcourse.datasets.scenes.spoken import add_noise
from mmcourse.torch.helpdesk import word_sequences

settings = {"language_model": word_sequences(), "weight": 1.0, "end": 0}  # the grammar
for wave, text in zip(add_noise(part_waves[:3], -5.0, seed=7), part_texts):
    print(f"said:             {text}")
    print(f"   network:       {recognizer.transcribe([wave])[0]}")
    best_listed = recognizer.hypotheses(wave, 10, beam_width=10, cutoff=-7.0, **settings)
    print(f"   with grammar:  {best_listed[0][0]}\n")

# %% [markdown]
# Both leave words out; with the grammar, at these settings, the text with the best score may even be the empty one. (Three callers show no rate.)
#
# And the ten best hypotheses of this recognizer, instead of one? Here p(h | x) comes from a network, not from a table:

# %% tags=["hide-input"]
for line in LINES[:3]:
    row = speech[line]
    one, ten = row["intent, 1-best"], row["intent, 10 hypotheses"]
    more, saved = row["intent, 10 minus 1-best"], row["cost, 1-best minus 10"]
    print(f"{line:6} intent: 1-best {one[0]:.3f}, ten {ten[0]:.3f} ", end="")
    print(f"(paired {more[0]:+.3f} ± {more[1]:.3f}); ", end="")
    print(f"cost saved {saved[0]:+.4f} ± {saved[1]:.4f}")
    with_grammar = row["cost, grammar 1-best minus 10"]
    known_ten = row["intent, grammar, 10"][0]
    print(f"       with the grammar: intent, ten {known_ten:.3f}; ", end="")
    print(f"cost saved {with_grammar[0]:+.4f} ± {with_grammar[1]:.4f}")
saved = {line: speech[line]["cost, 1-best minus 10"] for line in LINES[:3]}
assert all(abs(saved[line][0]) < saved[line][1] for line in LINES[:2])
assert saved["0 dB"][0] > saved["0 dB"][1]

# %% [markdown]
# Without noise and at 10 dB no lower cost is shown; at 0 dB the cost falls clearly, and the accuracy rises too, unlike on the channel. With the grammar ten save less at 0 dB, and nothing is shown at 10 dB.
#
# What about training the intent model on text *as it is heard*, errors and all? On the channel at noise 0.3, five seeds:

# %% tags=["hide-input"]
clean, dirty = models["trained on true text"], models["trained on heard text"]
best = models["exact, heard text"]
for name, row in (("true text", clean), ("heard text", dirty)):
    mean, half = row["heard text"][:2]
    print(f"trained on {name:10} tested on heard text: {mean:.3f} ± {half:.3f}")
print(f"exact posterior, same callers:           {best[0]:.3f} ± {best[1]:.3f}")
paired = np.array(dirty["heard text"][2:]) - np.array(clean["heard text"][2:])
half = 2.776 * paired.std(ddof=1) / 5**0.5
print(f"paired difference: {paired.mean():+.3f} ± {half:.3f}")
assert paired.mean() - half > 0
for name in ("true text", "heard text"):
    mean, half = models[f"TF-IDF, trained on {name}"]["heard text"]
    print(f"TF-IDF, trained on {name:10}: {mean:.3f} ± {half:.3f} (over callers)")

# %% [markdown]
# Training on what the model will meet helps a lot; a real recognizer needs recordings for it. The exact posterior is still far ahead: it knows the channel and the grammar. TF-IDF, trained on heard text, is ahead of the GRU here, too.

# %% [markdown]
# ## 8 · How it is said
#
# Callers who say "great, thank you" may be pleased, or mean the opposite since their order is late. The words are the same; voice and the shop's record differ. As in `mood` (lesson [sentiment](sentiment.ipynb)) the table is known:

# %%
p_complaint = tone.feedback()[0] / tone.feedback().sum(axis=0)
share = tone.feedback()[0].sum()
print(f"upset, of all who say 'great': {share:.2f}")
print(f"\n{'p(upset)':10}" + "".join(f"{v + ' voice':>16}" for v in tone.VOICES))
for name, row in zip(tone.RECORDS, p_complaint):
    print(f"{name:10}" + "".join(f"{value:16.2f}" for value in row))
for name, value in tone.feedback_ceilings().items():
    print(f"ceiling, {name:24} {value:.3f}")
great_guess.compare("30 in 100")
assert round(share, 2) == 0.3

# %% [markdown]
# The words alone would file every sarcastic caller as praise. Even with everything known, the ceiling is 0.833. The two errors do not cost the same, so accuracy is the wrong aim: filing an upset caller as praise (nobody calls back) costs 5, filing praise as a complaint 1. Choose the least **expected cost**: the sum of costs, each weighted by its probability.

# %%
#                  truth: complaint  praise
COSTS = np.array([[0.0, 1.0], [5.0, 0.0]])
ACTIONS = ("file as complaint", "file as praise")
for record, voice in (("fine", 2), ("fine", 0), ("late", 2), ("late", 0)):
    p = p_complaint[tone.RECORDS.index(record), voice]
    costs = COSTS @ np.array([p, 1 - p])
    told = ", ".join(f"{value:.2f}" for value in costs)
    chosen = ACTIONS[costs.argmin()]
    print(f"{record}, {tone.VOICES[voice]:8} voice: p(upset) {p:.2f}, ", end="")
    print(f"costs {told} → {chosen}")

# %% [markdown]
# A late order and a *cheerful* voice: praise is likelier, and still it is cheapest to file a complaint. Now with real sound: a linear model hears `mood`'s voices (mean and spread of the mel bands, and the length), and 4,000 callers are filed (stored; those who say "great"):

# %% tags=["hide-input"]
filed = stored["tone"]
KNOWN = ["words", "words + voice", "words + record", "words + voice + record"]
fig, axes = plt.subplots(1, 2, figsize=(7.6, 2.6))
for ax, keys, title in (
    (
        axes[0],
        ("upset filed as praise", "upset filed as praise, least expected"),
        "sarcasm filed as praise",
    ),
    (axes[1], ("cost of the likelier", "cost, least expected"), "mean cost"),
):
    for k, (key, color) in enumerate(zip(keys, ("#D55E00", "#0072B2"))):
        values = [filed[name][key][0] for name in KNOWN]
        spread = [filed[name][key][1] for name in KNOWN]
        x = np.arange(4) + 0.36 * (k - 0.5)
        label = ("the likelier", "least expected cost")[k]
        style = {"color": color, "label": label, "error_kw": {"linewidth": 1}}
        ax.bar(x, values, 0.34, yerr=spread, **style)
    ax.set_xticks(range(4), ["words", "+ voice", "+ record", "+ both"], fontsize=8)
    ax.set_title(title, fontsize=10, loc="left", fontweight="normal")
axes[1].legend(fontsize=8)
both = filed["words + voice + record"]
by_label = both["upset filed as praise"][0]
by_cost = both["upset filed as praise, least expected"][0]
alt = f"With voice and record, sarcasm filed as praise: {by_label:.2f} by the likelier "
alt += f"label, {by_cost:.2f} by expected cost."
plot.show(fig, alt=alt)
print(f"{filed['n']} callers, {filed['upset']} of them upset; ", end="")
print("the voice's mood is heard rightly in", end=" ")
print(f"{filed['voice heard rightly'][0]:.2f}")

# %%
for name in KNOWN:
    row = filed[name]
    likelier, chosen = row["cost of the likelier"], row["cost, least expected"]
    print(f"{name:24} likelier {likelier[0]:.2f} ± {likelier[1]:.2f}, ", end="")
    print(f"least expected cost {chosen[0]:.2f} ± {chosen[1]:.2f}")
    assert chosen[0] <= likelier[0]
assert filed["words"]["upset filed as praise"][0] == 1
print("the same callers, cost of both minus that of one:")
paired = {}
for one in ("voice", "record"):
    for way in ("likelier", "least expected"):
        paired[one, way] = filed[f"cost, both minus words + {one}, {way}"]
        mean, half = paired[one, way]
        print(f"   both minus {one:6} {way:15} {mean:+.2f} ± {half:.2f}")
assert abs(paired["voice", "likelier"][0]) < paired["voice", "likelier"][1]
assert all(paired[one, "likelier"][0] > 0 for one in ("voice", "record"))
for one in ("voice", "record"):
    assert paired[one, "least expected"][0] + paired[one, "least expected"][1] < 0

# %% [markdown]
# Filed by the likelier label, knowing both costs no less than knowing one: it is dearer than the record alone, and against the voice alone no difference is shown. Filed by least expected cost, both together are cheaper than either. The same table gives the *priority* of an answer: sort the queue by p(upset). Five callers:

# %%
waiting = [("Ada", "fine", 0), ("Ben", "late", 2), ("Cem", "late", 0)]
waiting += [("Dan", "fine", 2), ("Eva", "late", 1)]


def chance_upset(caller):
    """p(upset) of (name, record, voice)."""
    return p_complaint[tone.RECORDS.index(caller[1]), caller[2]]


for caller in sorted(waiting, key=chance_upset, reverse=True):
    name, record, voice = caller
    told = f"{record}, {tone.VOICES[voice]} voice"
    print(f"{name}: p(upset) {chance_upset(caller):.2f} ({told})")

# %% [markdown]
# ## 9 · The reply
#
# The reply is a choice among templates with filled slots: this shop wants to know beforehand what its machine will say. And **never an effect behind an unconfirmed parse**. An intent that changes something is repeated back; only a "yes" runs it. What is known so far in a dialogue (intent, slots, what was asked) is the **dialogue state**.

# %% tags=["hide-input"]
canvas = draw.Canvas()
listen = canvas.place(draw.box("listen"), x=0, y=88)
ask_box = draw.box("ask back", note="a slot is missing", color="orange")
ask = canvas.place(ask_box, x=180, y=0)
confirm_box = draw.box("confirm", note="it has an effect", color="orange")
confirm = canvas.place(confirm_box, x=180, y=80)
hand = canvas.place(draw.box("hand over", note="in doubt", color="gray"), x=180, y=160)
do = canvas.place(draw.box("do it", color="green"), x=420, y=88)
canvas.arrow(listen, ask)
canvas.arrow(listen, confirm)
canvas.arrow(listen, hand)
canvas.arrow(confirm, do, label="yes")
draw.show(
    canvas,
    alt="States of the dialogue: listen; ask back if a slot is missing; confirm what "
    "has an effect; do it after a yes; hand over in doubt.",
)

# %%
NEEDS = {"order": ["shape"], "change_color": ["color"], "change_size": ["size"]}
NEEDS |= {"exchange": ["shape", "color"]}
EFFECTS = {"order", "change_color", "change_size", "cancel", "refund"}
EFFECTS |= {"exchange", "address", "broken", "wrong_item"}
TEMPLATES = {
    "order": "You order this: {number} {size} {color} {shapes}. Right?",
    "change_color": "I change the color to {color}, right?",
    "change_size": "I change the size to {size}, right?",
    "cancel": "I cancel this: {size} {color} {shape}. Right?",
    "refund": "I send your money back, right?",
    "exchange": "You send the {shape} back and get a {color} one, right?",
    "address": "I send a form for your new address, right?",
    "track": "Let me look up where your order is.",
    "broken": "I am sorry about this ({shape}). We send a new one, right?",
    "wrong_item": "I am sorry. Please keep it. We send the right one. Right?",
    "feedback": "Thank you.",
    "human": "I put you through to a person.",
    "out_of_scope": "I only know about your orders. I put you through to a person.",
}

# %% [markdown]
# `EFFECTS` lists what needs a "yes": also what sends goods. (`track` only says that it looks; no record is connected.)
#
# **Your turn (blank 4).** What comes next? In this order: `"hand over"` if the confidence is below `1 - c` or the intent is `human` or `out_of_scope`; `"ask back"` if a slot that the intent needs is missing; `"confirm"` if it has an effect and is not confirmed yet; else `"do it"`.
# <details><summary>Hint</summary>
#
# Four `if`s with `return`, in the order of the sentence. `NEEDS.get(intent, [])` are the needed slots.
# </details>


# %%
def next_step(intent, found, confidence, confirmed, c=0.2):
    """ "hand over", "ask back", "confirm" or "do it"."""
    # BEGIN SOLUTION
    if confidence < 1 - c or intent in ("human", "out_of_scope"):
        return "hand over"
    if any(name not in found for name in NEEDS.get(intent, [])):
        return "ask back"
    if intent in EFFECTS and not confirmed:
        return "confirm"
    return "do it"
    # END SOLUTION


next_step = check("assistant.blank.4", next_step)


# %%
class Dialogue:
    """Keeps the state: what is waiting for a yes, which slot was asked for."""

    def __init__(self):
        self.waiting = None  # (intent, slots) that need a "yes"
        self.asked = None  # (intent, slots, the name of the missing slot)
        self.handed = False  # whether a person takes over
        self.done = []

    def say(self, text):
        """One caller's turn → the reply."""
        text = text.lower().strip(" .!?")
        if self.waiting:
            (intent, found), self.waiting = self.waiting, None
            if text in YES:
                self.done.append((intent, found))
                return "Done."
            if text in NO:
                return "Then I leave everything as it is."
        if self.asked:
            (intent, found, name), self.asked = self.asked, None
            found = {**found, **slots(text)}
            if name in found:
                return self.go_on(intent, found, confidence=1.0)
        p = probabilities([text])[0]
        return self.go_on(INTENTS[p.argmax()], slots(text), p.max())

    def go_on(self, intent, found, confidence):
        """Choose the step, fill the template."""
        step = next_step(intent, found, confidence, confirmed=False)
        if step == "hand over":
            self.handed = True
            return TEMPLATES["out_of_scope" if intent == "out_of_scope" else "human"]
        if step == "ask back":
            name = next(n for n in NEEDS[intent] if n not in found)
            self.asked = (intent, found, name)
            return f"Which {name}?"
        filled = TEMPLATES[intent].format(**(EMPTY | found), shapes=shapes_of(found))
        if step == "confirm":
            self.waiting = (intent, found)
        else:
            self.done.append((intent, found))
        return " ".join(filled.split())


EMPTY = {"number": "", "size": "", "color": "", "shape": "your order"}
YES, NO = {"yes", "yes please"}, {"no", "no thank you"}


def shapes_of(found):
    """The shape as the caller said it: "two stars", "a star"."""
    shape = found.get("shape", EMPTY["shape"])
    if "number" not in found or shape not in grammar.SHAPES:
        return shape
    return grammar.SLOTS["shapes"][grammar.SHAPES.index(shape)]


# %% tags=["free"]
talk = Dialogue()
for line in (
    "i want two red stars",
    "no",
    "please change the colour to blue",
    "yes please",
    "can you change the size of my star",
    "large",
    "cancel my order please",
    "i want to send my red star back",
    "a star lies under a circle",
):
    print(f"caller: {line}\n   shop: {talk.say(line)}")
print("done:", talk.done)

# %% [markdown]
# The caller went on to something else without a "yes", and so neither the size was changed nor the order canceled. (After a slot was asked for, the code goes on with `confidence=1.0`: that is a decision of the code, no probability of a model.) "Send my red star back" goes to a person, in doubt: the code can ask for a slot, but not "refund or exchange?". **Type and speak to it yourself** (in a running notebook): type in the box, or give the name of a WAV file of yours. Then 40 spoken calls of one turn each, where nobody says "yes": a check of the code, not of callers.

# %% tags=["hide-input", "free"]
my_recording = None  # for example "me.wav": speak slowly, one word after another
if my_recording is not None:
    from mmcourse.preprocess import audio

    mine, _ = audio.read(my_recording, sample_rate=helpdesk.SAMPLE_RATE, max_seconds=30)
    heard_me = recognizer.transcribe([mine])[0]
    print("heard:", heard_me, "\n reply:", Dialogue().say(heard_me))


def open_dialogue():
    """A box to type into; without a kernel, one exchange as it would look."""
    session = Dialogue()
    if not widgets.is_live():
        line = "i want my money back"
        print(f"you:  {line}\nshop: {session.say(line)}")
        print("(in a running notebook, you type here)")
        return
    import ipywidgets
    from IPython.display import display

    box = ipywidgets.Text(placeholder="i want two red stars")
    output = ipywidgets.Output()

    def answer(sender):
        with output:
            print(f"you:  {sender.value}\nshop: {session.say(sender.value)}")
        sender.value = ""

    box.on_submit(answer)
    display(ipywidgets.VBox([box, output]))


open_dialogue()

# %% tags=["free"]
spoken_replies = []
for i in range(40):
    dialogue = Dialogue()
    dialogue.say(recognizer.transcribe([callers[i]["speech"]])[0])
    spoken_replies.append(dialogue)
acted = sum(len(d.done) for d in spoken_replies)
held = sum(d.waiting is not None for d in spoken_replies)
asked = sum(bool(d.asked) for d in spoken_replies)
handed = sum(d.handed for d in spoken_replies)
unconfirmed = [d for x in spoken_replies for d in x.done if d[0] in EFFECTS]
print(f"40 spoken calls: {acted} answered at once, {held} wait for a yes, ", end="")
print(f"{asked} asked back, {handed} handed over; ", end="")
print(f"{len(unconfirmed)} effects without a yes")
assert not unconfirmed and acted + held + asked + handed == 40

# %% [markdown]
# ## 10 · Posts: a picture and words
#
# Customers also post: a picture of what came, and words about what they wanted. Praise, or a complaint?

# %% tags=["hide-input"]
shown = posts.posts("test", 6)
fig, axes = plt.subplots(1, 4, figsize=(7.4, 2.3))
for ax, post in zip(axes, shown):
    ax.imshow(post.picture)
    ax.set_title(fill(post.words, 20), fontsize=8, fontweight="normal")
    ax.set_xlabel(posts.LABELS[post.label], fontsize=9)
    ax.set_xticks([])
    ax.set_yticks([])
told = "; ".join(f"“{p.words}”, {posts.LABELS[p.label]}" for p in shown[:4])
plot.show(fig, alt=f"Four posts: {told}.")

# %% tags=["hide-input"]
canvas = draw.Canvas()
for k, name in enumerate(("star", "cross")):
    canvas.place(draw.label(f"ordered: {name}"), x=110 + 130 * k, y=0)
    canvas.place(draw.label(f"came: {name}"), x=0, y=44 + 52 * k)
    for other in range(2):
        right_ = other == k
        name_ = "praise" if right_ else "complaint"
        made = draw.box(name_, color="green" if right_ else "orange")
        canvas.place(made, x=110 + 130 * other, y=34 + 52 * k)
draw.show(
    canvas,
    alt="A table of two by two: praise where what came is what was ordered, complaint "
    "else. Each row and each column holds one of both.",
)

# %%
for name, value in posts.ceilings().items():
    print(f"best accuracy from {name:16} {value:.3f}")
post = stored["posts"]
print(f"\n{post['n']} test posts:")
for name in ("words alone", "picture alone", "both, a linear model of the two vectors"):
    print(f"{name:42} {post[name][0]:.3f} ± {post[name][1]:.3f}")
similar = post["both, CLIP's similarity"]
print(f"{'both, CLIP: do they match?':42} {similar[0]:.3f} ± {similar[1]:.3f}")

# %% [markdown]
# Each alone is at chance, *by construction*: what is ordered and what comes are drawn alike for praise and complaint; "great" proves nothing. The information lies in the agreement (synergy, lesson [sentiment](sentiment.ipynb)). A linear model of both can only add, and no sum of one value for the row and one for the column is high on one diagonal of the table and low on the other. CLIP (lesson [clip](clip.ipynb)) was trained to say whether a picture and words belong together, and gets only a threshold from the validation posts.

# %% [markdown]
# ## 11 · Questions about a picture, answered by a program
#
# "How many red stars are there?" could go to a vision–language model. Or the sentence becomes a small program that is run on the facts: **semantic parsing**. A grammar accepts whole sentences only, and *"I cannot parse this"* is an answer.

# %% tags=["hide-input"]
steps_ = ["filter(red)", "filter(star)", "count", "two"]
colors = ["blue", "blue", "blue", "green"]
boxes = [draw.box("how many red stars are there", color="gray")]
boxes += [draw.box(name, color=color) for name, color in zip(steps_, colors)]
draw.show(
    draw.row(*boxes, arrows=True),
    alt="A question becomes a program: filter red, filter star, count. Answer: two.",
)

# %%
scene = next(s for s in (world.make(90, i) for i in range(50)) if len(s.things) == 4)
things = [" ".join(thing.names) for thing in scene.things]
print("in the picture:", ", ".join(things))
wanted = scene.things[0].names[2]
plural = {"cross": "crosses"}.get(wanted, wanted + "s")
QUESTIONS = (
    f"How many {plural} are there?",
    f"Is there a {wanted}?",
    "Are there more stars than circles, fewer, or equally many?",
    f"How many {plural} are there, and cancel my order?",
)
for text in QUESTIONS:
    program = programs.parse(text)
    if program is None:
        print(f"{text}\n   cannot parse; try “{programs.EXAMPLES[0]}”")
        continue
    answer = programs.run(program, scene)
    print(f"{text}\n   {' → '.join(programs.steps(program))}: {answer.text}")

# %% tags=["hide-input"]
answer = programs.ask(QUESTIONS[0], scene)
fig, ax = plt.subplots(figsize=(2.6, 2.6))
ax.imshow(draw_scene(scene))
for left, top, right_, bottom in answer.boxes:
    style = {"fill": False, "color": "#00BFFF", "linewidth": 2}
    ax.add_patch(plt.Rectangle((left, top), right_ - left, bottom - top, **style))
ax.axis("off")
ax.set_title(f"{QUESTIONS[0]} {answer.text}", fontsize=9, fontweight="normal")
plot.show(fig, alt=f"The scene; what the answer {answer.text} depends on is framed.")

# %% [markdown]
# The frames are *cited*: whoever doubts the answer can look there. The program needs facts; from a picture they come from the detector (lesson [detection](detection.ipynb)). Six hundred questions (stored):

# %% tags=["hide-input"]
interface = stored["interface"]
WAYS = ["program, the scene's facts", "program, what the detector sees"]
WAYS.append("vision–language model")
for name in WAYS:
    mean, half = interface[name]["all"]
    worst = min((v, k) for k, v in interface[name].items() if k != "all")
    kind = worst[1].replace("colour", "color")
    print(f"{name:34} {mean:.3f} ± {half:.3f}   worst: {kind} {worst[0]:.2f}")
facts_, seen_, vlm_ = (interface[name]["all"][0] for name in WAYS)
assert facts_ == 1 and seen_ < vlm_
refused_ = sum(said_[0] == "(" for _, said_ in interface["strange"].values())
assert refused_ == 1
assert all(parsed is None for parsed, _ in interface["strange"].values())
print("\nand sentences that are no question about the picture:")
for text, (parsed, said_) in interface["strange"].items():
    print(f"   {text}\n      program: {parsed or 'cannot parse'}; model: {said_}")

# %% [markdown]
# On the scene's facts the program is never wrong. On what the *detector* sees (its boxes and shapes; the color is read at the middle of each box) it is, and more often than the vision–language model. So why the program? It cites, and it can decline: of six sentences, chosen by hand, that ask nothing about the picture, it parses none; the model answers all but one, in which it lacks a word. The price: it understands one grammar only.

# %% [markdown]
# ## 12 · Text that gives orders
#
# A customer's picture holds a note: *"I want my money back"*. If the assistant joins all text, the note becomes an order (**prompt injection**, lesson [chat](chat.ipynb); Greshake et al. 2023). Text in a picture or on a web page is **data**. Callers whose own wish is another, each with such a note (stored):

# %% tags=["hide-input"]
injection = stored["injection"]
print(f"{injection['n']} callers")
for name in ("note after the words", "note before the words", "kept apart"):
    row = injection[name]
    print(f"{name:22} caller understood {row['caller understood'][0]:.3f}", end="")
    print(f" ± {row['caller understood'][1]:.3f}, ", end="")
    print(f"note obeyed {row['note obeyed'][0]:.3f} ± {row['note obeyed'][1]:.3f}")
assert injection["kept apart"]["note obeyed"][0] < 0.02
assert injection["note before the words"]["note obeyed"][0] > 0.9

# %% [markdown]
# After the caller's words, the note does little harm to *this* model; put before them, it is obeyed nearly always. An attacker can try both.
#
# Four defenses: filter; limit the calls per minute; keep the *channels apart*, so that only the caller's own words can become an intent; and let no effect happen without the caller's "yes" (section 9). Only the third was tried against the notes.
#
# The other leak is the log. **Redaction** replaces what identifies somebody before anything is written down; do not keep the voice at all. A sketch:


# %%
def redact(text):
    """Without long numbers, mail addresses, and what follows "my name is"."""
    text = re.sub(r"\S+@\S+", "<mail>", text)
    text = re.sub(r"(?:\d[ -]?){3,}", "<number> ", text)
    return re.sub(r"(my name is )\w+( \w+)?", r"\1<name>", text).strip()


print(redact("my name is Ada Lovelace, call 0171 555 012 or ada@example.org"))

# %% [markdown]
# ## 13 · In Chinese
#
# Chinese is written without spaces; pairs of characters serve as words (lesson [text](text.ipynb)). The same intents, 3,000 training sentences:

# %% tags=["free"]
zh_texts, zh_labels = chinese.draw(3000, np.random.default_rng(4))
zh_vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, 2))
zh_model = LogisticRegression(max_iter=300, C=10.0)
zh_model.fit(zh_vectors.fit_transform(zh_texts), zh_labels)
for text in ("请取消我的订单", "我的红色星形坏了", "钱能退吗"):
    p = zh_model.predict_proba(zh_vectors.transform([text]))[0]
    print(f"{text} → {INTENTS[p.argmax()]} ({p.max():.2f})")
zh_new, zh_truth = chinese.draw(1000, np.random.default_rng(5), "unseen")
zh_accuracy = (zh_model.predict(zh_vectors.transform(zh_new)) == zh_truth).mean()
print(f"templates of training (stored): {models['Chinese, seen'][0]:.2f}")
print(f"paraphrases that training never had: {zh_accuracy:.2f}")

# %% [markdown]
# Here, too: on the templates of training nothing is wrong, on paraphrases about 1 in 5 is.

# %% [markdown]
# ## 14 · People, not grammars
#
# **SLURP** (Bastianelli et al. 2020): commands that people spoke to a home assistant, what a real recognizer wrote, and the intents that a published model (HERMIT) found in both. The damage (stored):

# %% tags=["hide-input"]
slurp = stored["real"]["slurp"]
by_wer = slurp["by wer"]
names = ["0", "≤ 0.25", "≤ 0.5", "≤ 0.75", "more"]
fig, ax = plt.subplots(figsize=(6.6, 2.7))
x = np.arange(len(names))
values = [by_wer[name][1] for name in names]
gold_values = [by_wer[name][3] for name in names]
ax.bar(x - 0.2, gold_values, 0.38, color="#999999", label="exact text")
ax.bar(x + 0.2, values, 0.38, color="#0072B2", label="recognized text")
for i in range(len(names)):
    for shift, v in ((-0.2, gold_values[i]), (0.2, values[i])):
        ax.text(i + shift, v + 0.01, f"{v:.2f}", ha="center", fontsize=8)
ax.set_xticks(x, [f"{n}\n(n = {by_wer[n][0]:,})" for n in names])
ax.set(xlabel="word error rate of the recording", ylabel="intent right", ylim=(0, 1.1))
ax.legend(fontsize=8, ncol=2)
told = "; ".join(f"WER {n}: {by_wer[n][1]:.2f}" for n in names)
plot.show(fig, alt=f"SLURP, intents right by word error rate: {told}.")
g, r = slurp["gold text"], slurp["recognized text"]
print(f"exact text {g[0]:.3f} (n = {slurp['sentences']:,}), ", end="")
print(f"recognized {r[0]:.3f} ± {r[1]:.3f} (n = {slurp['recordings']:,})")
weighted = slurp["gold text, same recordings"]
print(f"exact text, each recording counted: {weighted[0]:.3f} ± {weighted[1]:.3f}")

# %%
assert 0.84 < g[0] < 0.86 and 0.70 < r[0] < 0.76
at_zero = by_wer["0"]
print(f"WER 0: exact text {at_zero[3]:.3f}, recognized text {at_zero[1]:.3f}")
slurp_guess.compare("about 73")
clinc, snips = stored["real"]["clinc150"], stored["real"]["snips"]
print(f"SNIPS, 7 intents: {snips['accuracy'][0]:.3f} ± {snips['accuracy'][1]:.3f}")
print(f"CLINC150, in scope {clinc['in scope'][0]:.3f}", end="")
print(f", AUROC in/out {clinc['AUROC']:.3f}")
sure_outside = clinc["out of scope with p > 0.5"][0]
print(f"   out of scope, and yet max p > 0.5: {sure_outside:.3f}")
for threshold, (kept, refused) in clinc["by threshold"].items():
    print(f"   threshold {threshold}: right and kept {kept:.3f}, refused {refused:.3f}")

# %% [markdown]
# One sentence has several recordings; counted by recording, exact text does about as well. Even where the data set's own column says WER 0, 0.10 is lost: we suspect, but did not check, that the column belongs to another recognizer. So these word errors do not explain all of the loss.
#
# By a linear model SNIPS (Coucke et al. 2018) looks solved; CLINC150 (Larson et al. 2019), with 150 intents and callers who want something else, does not. Even out of scope, some get p > 0.5 (the AUROC is that of 1 − max p). Each row trades right answers for refusals; for a calibrated p, thresholds from 0.1 to 0.5 are prices from 0.9 to 0.5. (The rows are shown on the test set; choose on validation data.)
#
# **Sarcasm and feelings of people** were measured in lesson [sentiment](sentiment.ipynb), section "on people". Its stored figures, with what must stand beside them:

# %% tags=["hide-input"]
people = results("sentiment")


def row_of(table, *keys):
    """Mean accuracies by way, where the table has them."""
    for key in keys:
        table = table[key]
    return {k: (v[0] if isinstance(v, list) else v) for k, v in table.items()}


mustard = row_of(people, "mustard", "random folds", "accuracy")
by_speaker = row_of(people, "mustard", "folds by speaker", "accuracy")
meld = row_of(people, "meld", "accuracy")
print("MUStARD (chance 0.5), random folds:")
print(f"   speaker's name only {np.mean(mustard['speaker only']):.3f}, ", end="")
print(f"words {np.mean(mustard['TF-IDF, words']):.3f}")
print(f"   words, new speakers {np.mean(by_speaker['TF-IDF, words']):.3f}")
print(f"MELD, 3 classes: majority {np.mean(meld['majority']):.3f}, ", end="")
print(f"words {np.mean(meld['TF-IDF, words']):.3f}")
listeners = people["emodb"]["listeners"]["mean"]
print(f"EmoDB, 7 emotions: 20 listeners {listeners:.3f}")
assert np.mean(mustard["speaker only"]) > np.mean(mustard["TF-IDF, words"])
assert np.mean(by_speaker["TF-IDF, words"]) < 0.6

# %% [markdown]
# In MUStARD (Castro et al. 2019), *who speaks* says more about sarcasm than the words do, and on new speakers the words fall. A figure of MELD (Poria et al. 2019) without the majority class beside it says little.
#
# **Recognizers that one can install.** Pocketsphinx with its own English model, free and with our grammar (as JSGF), and Whisper *tiny*, on 60 of our sentences and on a real speech (stored):

# %% tags=["hide-input"]
packaged = stored["recognizers"]
print(f"{'':24}{'WER':>7}{'intent':>9}{'WER of the speech':>20}")
for name in ("ours", "pocketsphinx, free", "pocketsphinx, grammar", "Whisper tiny"):
    row = packaged[name]
    print(f"{name:24}{row['WER']:7.3f}{row['intent'][0]:9.2f}", end="")
    print(f"{row['speech, WER']:20.2f}")
tiny = packaged["Whisper tiny"]
assert 0.3 < tiny["WER"] < 0.45 and tiny["speech, WER"] == 0 < packaged["ours"]["WER"]
for name in ("pocketsphinx, free", "pocketsphinx, grammar"):
    assert packaged[name]["WER"] > 0.6
assert packaged["ours"]["speech, WER"] > 0.9

# %% [markdown]
# On our synthetic voices, joined word by word, ours makes the fewest errors; on the speech of a person Whisper makes none, and ours, with its 98 words, has a WER of 0.95. Neither says that one is better; one likely reason is what each was trained on.

# %% tags=["real", "free"] needs=["pocketsphinx"]
if is_installed("pocketsphinx"):
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=16_000, loglevel="FATAL")
    for i in range(2):
        wave = np.clip(callers[i]["speech"], -1, 1) * 32767
        decoder.start_utt()
        decoder.process_raw(wave.astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        print(f"said:         {callers[i]['words']}")
        print(f"pocketsphinx: {hypothesis.hypstr if hypothesis else '(nothing)'}")
else:
    print("not run here:", how_to_install("pretrained"))

# %% [markdown]
# ## 15 · In three backends
#
# `marginalize` and `expected_costs` are in `mmcourse.numpy.decisions`, `mmcourse.torch.decisions` and `mmcourse.keras.decisions`, equal to each other by test. Yours against them:

# %%
from mmcourse.keras import decisions as keras_decisions
from mmcourse.numpy import decisions as numpy_decisions
from mmcourse.torch import decisions as torch_decisions

with np.errstate(divide="ignore"):
    log_scores, log_given = np.log(found.p)[None, :10], np.log(given)[None, :10]
log_given = np.maximum(log_given, -700)
yours = marginalize(log_scores[0], np.exp(log_given[0]))
in_numpy = np.exp(numpy_decisions.marginalize(log_scores, log_given))[0]
as_torch = torch.from_numpy(log_scores), torch.from_numpy(log_given)
in_torch = torch_decisions.marginalize(*as_torch).exp().numpy()[0]
as_keras = [keras.ops.convert_to_tensor(a) for a in (log_scores, log_given)]
from_keras = keras_decisions.marginalize(*as_keras)
from_keras = np.exp(keras.ops.convert_to_numpy(from_keras))[0]
for name, p in (("NumPy", in_numpy), ("PyTorch", in_torch), ("Keras", from_keras)):
    assert np.abs(p - yours).max() < 1e-6
    print(f"{name:8} equal to yours: largest difference below 1e-6")

# %% [markdown]
# ## 16 · One page for the shop
#
# The shop asked: *may a machine answer our calls?* First measure what you will recommend: the grammar in the recognizer, ten hypotheses, marginalized, Chow's rule at a price of 0.2. How many callers are served alone, how many of those wrongly (intent or a slot), and at what cost per call? 400 callers, noise at 10 dB, known templates. Who wants a person, or something else, is not served alone, however sure the machine is: that costs 0.2 in every policy. (The dialogue of section 9 makes do with one transcript and no grammar.)

# %% tags=["free"]
N, PRICE = 400, 0.2
some = callers.subset(np.arange(300, 300 + N))
noisy_waves = add_noise(list(some.column("speech")), 10.0, seed=5)
p_calls, task_right = [], []
for wave, text, label in zip(noisy_waves, some.column("words"), some.labels):
    hyps = recognizer.hypotheses(wave, 10, beam_width=10, cutoff=-7.0, **settings)
    heard_texts, weights = zip(*hyps)
    p = marginalize(np.log(np.array(weights) + 1e-12), probabilities(heard_texts))
    same = slots(heard_texts[0]) == slots(text)
    p_calls.append(p)
    task_right.append(p.argmax() == label and same)
p_calls, task_right = np.array(p_calls), np.array(task_right)
passed_on = np.isin(p_calls.argmax(axis=1), [INTENTS.index("human"), OUTSIDE])
served = (answer_or_refuse(p_calls, PRICE) >= 0) & ~passed_on
call_cost = np.where(served, ~task_right, PRICE)
never_refusing = np.where(passed_on, PRICE, ~task_right)


def with_interval(values):
    """Mean ± half of the 95 % interval, as text."""
    values = np.asarray(values, float)
    half = 1.96 * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.3f} ± {half:.3f}"


print(f"served alone: {with_interval(served)}   (n = {N})")
print(f"wrong, of those served: {with_interval(~task_right[served])}")
print(f"cost per call: {with_interval(call_cost)}; a person for all {PRICE}; ", end="")
print(f"never refusing {with_interval(never_refusing)}")
print(f"saved per call by refusing: {with_interval(never_refusing - call_cost)}")
assert call_cost.mean() < PRICE

# %% [markdown]
# The same on 1,000 other callers, also at 0 dB, beside simpler machines (stored):

# %% tags=["hide-input"]
of_page = stored["page"]
MACHINES = ["1-best", "10", "grammar, 1-best", "grammar, 10"]
for line in ("10 dB", "0 dB"):
    for way in MACHINES:
        row = of_page[line][way]
        bad, paid = row["wrong, of those served"], row["cost"]
        print(f"{line:5} {way:15} served alone {row['served alone'][0]:.2f}", end="")
        print(f", wrong of those {bad[0]:.3f} ± {bad[1]:.3f}", end="")
        print(f", cost {paid[0]:.3f} ± {paid[1]:.3f}")
    row = of_page[line]["grammar, 10"]
    count, bad, half = row["wrong, had the refused been served"]
    print(f"      last machine: {count} refused; wrong, had they been served: ", end="")
    print(f"{bad:.2f} ± {half:.2f}")
    mean, half = row["cost, never refusing minus refusing"]
    print(f"      saved per call by refusing: {mean:.3f} ± {half:.3f}")
    assert mean > half
    mean, half = of_page[line]["cost, grammar, 1-best minus grammar, 10"]
    print(f"      saved per call by ten instead of one: {mean:.4f} ± {half:.4f}")
fig, ax = plt.subplots(figsize=(5.6, 3.2))
ax.plot([0, 1], [0, 1], color="#999999", linewidth=1, label="calibrated")
told = []
for line, color in (("10 dB", "#0072B2"), ("0 dB", "#D55E00")):
    bins = of_page[line]["grammar, 10"]["reliability, task"]
    bins = np.array([row for row in bins if row[0] >= 20])  # fewer say nothing
    style = {"color": color, "marker": "o", "capsize": 3, "label": f"noise at {line}"}
    ax.errorbar(bins[:, 1], bins[:, 2], yerr=bins[:, 3], **style)
    told += [f"{line}, p {p:.2f}: {share:.2f}" for _, p, share, _ in bins]
bins_of = {x: of_page[x]["grammar, 10"] for x in ("10 dB", "0 dB")}
surest = {x: row["reliability, task"][-1] for x, row in bins_of.items()}
assert bins_of["10 dB"]["reliability, intent"][-1][2] == 1 > surest["10 dB"][2]
assert surest["0 dB"][2] + surest["0 dB"][3] < surest["0 dB"][1]
middle = bins_of["0 dB"]["reliability, task"][2]
assert middle[2] + middle[3] < 1 - PRICE < middle[1]
ax.axvline(1 - PRICE, color="#E69F00", linewidth=1, label="threshold")
ax.set(xlabel="mean max p of the bin", ylabel="intent and slots right")
ax.set(xlim=(0, 1.03), ylim=(0, 1.03))
ax.legend(fontsize=8)
plot.show(fig, alt=f"Share of tasks right by max p. {'; '.join(told)}.")

# %% [markdown]
# On the 1,000 callers a refusal pays at both levels: more than 1 in 5 of those refused would have been wrong. Ten transcripts instead of one save nothing that shows at 10 dB; at 0 dB they do. Most of the gain is the grammar's.
#
# The chart compares max p with the share of *tasks* that are right. At 10 dB, above 0.95, the intent is right for everybody, and the task is not: this p does not cover the slots. At 0 dB every bin lies below the diagonal. Of those between 0.8 and 0.95 about half are right, and by price they should be refused: where p is not calibrated, 1 − c is not the best threshold. Set it on labeled calls.
#
# All of this is about known templates. What if callers say what is *not* on the recognizer's list? 500 callers with the paraphrases of section 4, spoken by the same test voices (stored):

# %% tags=["hide-input"]
other = stored["paraphrases"]
exact_row = [other[f"exact words, {name}"] for name in ("GRU", "TF-IDF")]
told = ", ".join(f"{n} {v[0]:.2f}" for n, v in zip(("GRU", "TF-IDF"), exact_row))
print(f"{other['n']} callers; intent from the exact words: {told}")
for line in ("clean", "10 dB"):
    for way in ("1-best", "10", "grammar, 10"):
        row = other[line][way]
        bad, paid = row["wrong, of those served"], row["cost"]
        print(f"{line:6} {way:12} WER {row['WER']:.2f}, ", end="")
        print(f"sentences right {row['sentences'][0]:.2f}, ", end="")
        print(f"intent {row['intent'][0]:.2f}\n{'':20}", end="")
        print(f"served alone {row['served alone'][0]:.2f}, ", end="")
        print(f"wrong of those {bad[0]:.2f} ± {bad[1]:.2f}, ", end="")
        print(f"cost {paid[0]:.3f} ± {paid[1]:.3f}")
    free_, listed_ = other[line]["10"], other[line]["grammar, 10"]
    assert listed_["sentences"][0] == other["texts that training has"] == 0 and listed_["WER"] > 4 * free_["WER"]
    assert listed_["cost"][0] - listed_["cost"][1] > PRICE > free_["cost"][0]
    assert listed_["wrong, of those served"][0] > 0.5
unlisted, off_list = (other["10 dB"][way] for way in ("grammar, 10", "10"))
lost = unlisted["cost"][0] - off_list["cost"][0]
won = of_page["10 dB"]["10"]["cost"][0] - of_page["10 dB"]["grammar, 10"]["cost"][0]
enough = lost / (lost + won)
print(f"at 10 dB, the list saves {won:.3f} where callers keep to it and costs ", end="")
print(f"{lost:.3f} where they do not: it pays above a share of {enough:.2f}")
assert lost > won > 0

# %% [markdown]
# That turns the recommendation around. With the grammar *not one* sentence is right, since none is on its list. The machine refuses many of these calls, but where it is sure all the same, it is mostly wrong, and a call costs nearly twice as much as a person. Without the grammar, with ten hypotheses, the recognizer hears the new sentences better, the intent model knows half of them, and refusing keeps the cost at or a little below 0.2. So the page depends on how many callers say what is on the list; the last line has the share from which it pays. Nobody has counted the callers.
#
# Further limits of the page: one draw of noise at each level, slots compared by our own program.

# %% tags=["hide-input", "free"]
at_zero_db = of_page["0 dB"]["grammar, 10"]["cost"]
cost_off = off_list["cost"][0]
label_half = both["upset filed as praise"][1]
cost_half = both["upset filed as praise, least expected"][1]
page = [
    "REPORT: an assistant for the shop's calls",
    "",
    "Decision. It answers callers alone where max p ≥ 0.8; others go to a person.",
    "Who asks for a person, or for something else, is put through, however sure it is.",
    "Whatever changes or sends something is repeated back before it acts.",
    "",
    f"Measured on {N} test callers, noise at 10 dB. The recognizer's language model",
    "   lists every sentence that they can say; real callers say more:",
    f"   served alone {with_interval(served)},",
    f"   wrong among those (intent or a detail) {with_interval(~task_right[served])},",
    f"   cost per call {with_interval(call_cost)}; with a person for all {PRICE}.",
    "At 0 dB, where it is too sure of itself (1,000 other callers):",
    f"   cost per call {at_zero_db[0]:.3f} ± {at_zero_db[1]:.3f}.",
    f"Upset callers who say 'great' (n = {filed['upset']}), filed as praise:",
    f"   by the likelier label {by_label:.2f} ± {label_half:.2f},",
    f"   by expected cost {by_cost:.2f} ± {cost_half:.2f}.",
    f"Callers who say something that is not on the list (n = {other['n']}, 10 dB):",
    f"   wrong among those served {unlisted['wrong, of those served'][0]:.2f},",
    f"   cost per call {unlisted['cost'][0]:.2f}, without the list {cost_off:.2f}.",
    f"   Use the list only if more than {enough:.2f} of the callers keep to it: count.",
    "",
    "Not measured: people. Voices are synthetic, sentences come from a grammar.",
    "On people (SLURP, another system) the intent is right in",
    f"   {weighted[0]:.2f} from exact text, {r[0]:.2f} from recognized text.",
    "",
    "Before it goes live: 200 real calls, labeled by two people; threshold set on half",
    "of them, measured on the other half. Stop if refunds are sent without a 'yes'.",
]
print("\n".join(page))

# %% [markdown]
# ## 17 · At full size
#
# The same cascade with large parts: Whisper or a streaming recognizer with n-best output, a sentence encoder, a dialogue policy with a budget for delay. Take along: measure the end, keep the doubt, price the refusal, confirm the effect. Of this, only Whisper *tiny* ran here, in section 14.

# %% [markdown]
# ## 18 · What to remember
#
# - Measure every stage and the end. Repair the stage that costs most. A list of what can be said helps while callers keep to it, and does harm when they do not: measure both.
# - One transcript is a bet. Marginalized over hypotheses, it becomes a probability; check its calibration before you act on it.
# - A threshold is a price: answer if max p ≥ 1 − c, for a calibrated p. What is out of scope needs topics and phrasings of its own in the test.
# - Words, tone and record together; and the *cost* of being wrong decides, not the likelier label.
# - No effect without a "yes". Text in pictures and transcripts is data.

# %% [markdown]
# ## 19 · Check yourself
#
# <details><summary>1. Utterance A: 1 error in 1 word. B: 0 errors in 9. What is the WER?</summary>
#
# 1 / 10 = 0.1, not the mean of 1 and 0.
# </details>
# <details><summary>2. Your model has accuracy 0.96 on a random test split of generated sentences. What would you ask first?</summary>
#
# Whether templates (or speakers) are in both parts. Split by them and measure again.
# </details>
# <details><summary>3. A refund costs 10 if it was not wanted; asking a person costs 1. Above which probability do you send it?</summary>
#
# Expected cost of sending is 10 · (1 − p); below 1 it is where p > 0.9. (And then you confirm.)
# </details>
# <details><summary>4. Marginalizing over ten transcripts did not raise the accuracy. Was it useless?</summary>
#
# Look at the log loss, and at the cost with refusals: on the channel, the doubt that it keeps is what lets you refuse.
# </details>
# <details><summary>5. A linear model on [picture vector; text vector] is at chance. Does the pair hold no information?</summary>
#
# No: it may lie in the agreement of both, which no sum of separate votes can express.
# </details>
# <details><summary>6. After a slot was asked for, `Dialogue` goes on with `confidence=1.0`. What is wrong with logging that?</summary>
#
# No model gave it: it is a decision of the code. Log the probabilities that led to it.
# </details>

# %% [markdown]
# ## 20 · Exercises and where next
#
# [The exercises](exercises/assistant.ipynb): word error rate with alignment, refuse by cost, marginalize over five hypotheses, a masked mean of embeddings and a loss over hypotheses in PyTorch, and an open challenge with noisy callers.
#
# **Where next:** [interpret](interpret.ipynb). · **Back to:** [speech_to_text](speech_to_text.ipynb), [sentiment](sentiment.ipynb), [chat](chat.ipynb).
#
# ## Sources
# Chow 1970, "On optimum recognition error and reject tradeoff" (reject option) · Larson et al. 2019, arXiv 1909.02027 (CLINC150) · Coucke et al. 2018, arXiv 1805.10190 (SNIPS) · Bastianelli et al. 2020, arXiv 2011.13205 (SLURP) · Poria et al. 2019, arXiv 1810.02508 (MELD) · Castro et al. 2019, "Towards multimodal sarcasm detection" (MUStARD) · Burkhardt et al. 2005 (EmoDB) · Greshake et al. 2023, arXiv 2302.12173 (injection) · Levenshtein 1966 (edit distance) · Radford et al. 2022, arXiv 2212.04356 (Whisper).

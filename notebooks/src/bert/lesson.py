# %% [markdown]
# # BERT
# *You will teach a small model to read by hiding words, and let it learn a task from a handful of labels.*
#
# {{budget}}
#
# **You will be able to**
# - hide words by BERT's rule, train on the gaps, and judge the result against counting;
# - load a BERT with `from_pretrained` and read its hidden states;
# - fine-tune it with few labels, and say when pre-training pays;
# - avoid the classic mistakes: special tokens twice, a forgotten mask.
#
# **Before this:** [Transformers](transformers.ipynb) for the block, [Text](text.ipynb) for tokens.
#
# **Time to read:** 40 minutes, then 18 for the [exercises](exercises/bert.ipynb).

# %% [markdown]
# ## 1 · The question
# A word is hidden. You can guess it, and nobody labeled anything for you to learn that:
#
# *The film was dreadful. I* ▢ *every minute of the concert.*
#
# **Predict:** write down your three best words, then change *dreadful* to *lovely* and do it again.

# %%
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizer

from mmcourse import plot
from mmcourse.datasets import data_dir
from mmcourse.preprocess import masking

folder = data_dir() / "models" / "tiny-bert"  # comes with the course; section 5 shows how it was made
tokenizer = BertTokenizer.from_pretrained(folder)
reader = BertForMaskedLM.from_pretrained(folder)
bert = BertModel.from_pretrained(folder, add_pooling_layer=False)


# %%
def fill(first, second, top=4):
    """The likeliest words for [MASK] and their probabilities."""
    ids = tokenizer(first, second, return_tensors="pt")
    with torch.no_grad():
        p = reader(**ids).logits.softmax(-1)  # (1, n, vocabulary)
    p, words = p[0][ids["input_ids"][0] == tokenizer.mask_token_id][0].topk(top)
    return tokenizer.convert_ids_to_tokens(words.tolist()), p.numpy()


gap = "I [MASK] every minute of the concert."
sad, glad = (fill(f"The film was {word}.", gap) for word in ("dreadful", "lovely"))

# %%
import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 2, figsize=(7, 2.4))
for ax, (words, p), before in zip(axes, (sad, glad), ("… was dreadful. I ▢", "… was lovely. I ▢"), strict=True):
    ax.barh(words[::-1], p[::-1], color=plot.BLUE)
    ax.set(xlim=(0, 1), xlabel="probability")
    ax.set_title(before, fontsize=10)
fig.suptitle("What fits into the gap?", x=0.01, ha="left", fontweight="bold")
plot.show(
    fig,
    alt="Two bar charts. After 'dreadful' the likely words are disliked, regretted, hated, endured; after 'lovely' "
    "they are adored, enjoyed, loved, treasured.",
)

# %%
assert set(sad[0]) == {"hated", "disliked", "regretted", "endured"}
assert set(glad[0]) == {"loved", "enjoyed", "adored", "treasured"}
print("eight verbs, sorted by feeling; no label was ever shown")

# %% [markdown]
# The model has two layers and 0.12 million weights. It was trained on one thing only: filling gaps. How does that work, and
# what is it good for when *labels* are scarce?

# %% [markdown]
# ## 2 · The idea: hide words
# BERT (Devlin et al. 2019) draws 15 % of the tokens, the set $M$, and asks for them from what is left, $\tilde x$:
#
# $$\text{loss} = -\frac{1}{|M|} \sum_{i \in M} \log p(x_i \mid \tilde x)$$
#
# Of the drawn, 80 % become `[MASK]`, 10 % any token, 10 % stay. Otherwise the model would only work where it sees a `[MASK]`, and
# no task has one.


# %%
def mask_tokens(ids, maskable, mask_id, vocab_size, rng, rate=0.15):
    chosen = maskable & (rng.random(ids.shape) < rate)
    fate = rng.random(ids.shape)
    inputs = np.where(chosen & (fate < 0.8), mask_id, ids)
    inputs = np.where(chosen & (fate >= 0.9), rng.integers(vocab_size, size=ids.shape), inputs)
    return inputs, np.where(chosen, ids, -100)  # -100: nothing is asked here


# %%
numbers = np.arange(200_000).reshape(500, 400) % 600
arguments = numbers, numbers > 4, 4, 600
ours, theirs = (f(*arguments, np.random.default_rng(1)) for f in (mask_tokens, masking.mask_tokens))
assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
asked = ours[1] != -100
print(f"asked {asked.mean():.3f}; of these masked {(ours[0][asked] == 4).mean():.2f}")

# %% [markdown]
# ## 3 · At work
# ### From text to ids
# BERT's tokenizer cuts words into pieces; `##` means "goes on". It also adds **its own** special tokens. Many tutorials write them by
# hand as well:

# %%
sentence = "The film was wonderfully dull."
print("tokenize, by hand ", tokenizer.tokenize(f"[CLS] {sentence} [SEP]"))
print("tokenizer(plain)  ", tokenizer.convert_ids_to_tokens(tokenizer(sentence)["input_ids"]))
print("tokenizer(by hand)", tokenizer.convert_ids_to_tokens(tokenizer(f"[CLS] {sentence} [SEP]")["input_ids"]))

# %% [markdown]
# `tokenize` adds nothing, so by hand was right there. Calling the tokenizer adds both, and then the third line has them twice: an input
# that BERT never met. Give plain text and let it do its work; for two sentences, give two.

# %%
pair = tokenizer("I hated the film.", "We left early.")
for token, segment in zip(tokenizer.convert_ids_to_tokens(pair["input_ids"]), pair["token_type_ids"], strict=True):
    print(f"{token}/{segment}", end=" ")

# %% [markdown]
# ### A piece of pre-training
# The corpus: 6,000 captions of `scenes` and 12,000 messages of four sentences each from `mood`. Nine sentences in ten express the feeling of their
# message, as in a review. That is where feelings can be learned from, and the only place: no label is stored.

# %%
from mmcourse.datasets import corpus

captions, utterances = corpus.captions(), corpus.utterances()
print(captions[0])
print(*utterances[0], sep=" | ")

# %% [markdown]
# A fresh BERT of the same shape knows nothing. Among $V$ tokens its loss must start at $\ln V$; lower, and something leaks.

# %%
scale = 1 if profile == "laptop" else 16  # the GPU profile sees 16 times the tokens  # noqa: F821
device = "cuda" if profile == "gpu" and torch.cuda.is_available() else "cpu"  # noqa: F821
torch.manual_seed(0)
fresh = BertForMaskedLM(BertConfig.from_pretrained(folder, initializer_range=0.02)).to(device)
ids = tokenizer(list(captions), padding=True, return_tensors="np")["input_ids"]
maskable = ~np.isin(ids, tokenizer.all_special_ids)


# %%
def masked_batch(rows, rng):
    inputs, labels = mask_tokens(ids[rows], maskable[rows], tokenizer.mask_token_id, len(tokenizer), rng)
    attend = ids[rows] != 0
    return [torch.from_numpy(a).to(device) for a in (inputs, attend, labels)]


# %%
def masked_loss(model, inputs, attend, labels):
    logits = model(inputs, attention_mask=attend).logits  # (b, n, V)
    return cross_entropy(logits.flatten(0, 1), labels.flatten())  # -100 is passed over


# %%
rng = np.random.default_rng(0)
with torch.no_grad():
    first = masked_loss(fresh, *masked_batch(np.arange(64), rng)).item()
assert abs(first - np.log(len(tokenizer))) < 0.2
assert round(float(np.log(30_000)), 1) == 10.3  # for section 7
print(f"V = {len(tokenizer)}, ln V = {np.log(len(tokenizer)):.2f}: the first loss is within 0.2 of it")

# %% [markdown]
# Sixty steps, some seconds. Knowing only how *often* each token occurs would bring the loss down to the entropy of these frequencies.
# **Predict:** does the model get below that line in sixty steps?

# %% tags=["free"]
from tqdm.auto import trange

losses = []
optimizer = torch.optim.AdamW(fresh.parameters(), lr=2e-3)
for _ in trange(60 * scale):
    loss = masked_loss(fresh, *masked_batch(rng.integers(len(ids), size=32), rng))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())

# %% tags=["free"]
share = np.bincount(ids[maskable]) / maskable.sum()
frequencies = -(share[share > 0] * np.log(share[share > 0])).sum()
fig = plot.curves(
    {"loss": losses},
    title="What does a language model learn first?",
    xlabel="step",
    levels={"ln V: nothing": np.log(len(tokenizer)), "word frequencies": frequencies},
)
plot.show(
    fig,
    alt="The loss falls from ln V, 6.4, to the entropy of word frequencies, about 4.1, within some thirty steps and "
    "then turns flat, slightly below it.",
)

# %%
from mmcourse.evaluate import expect_within

expect_within("loss after sixty steps, in nats", float(np.mean(losses[-10:])), 3.95, 0.35)

# %% [markdown]
# First it learns which words are frequent, from the bias alone; reading neighbors comes later, and reading feelings last. The shipped model went on
# for 5,000 steps, some two minutes on two cores, from word vectors that were counted first (lesson [text](text.ipynb)): that shortens the wait. Script, seed and
# card lie beside its weights.

# %% [markdown]
# ### Better than counting?
# A model that fills 60 % of gaps may be brilliant or poor: some gaps are easy. Baselines decide. The *unigram* always says the commonest
# word; the *bigram* asks the word before; the last counts the neighbors on both sides. All see the same gaps in texts never trained on.

# %%
unseen = tokenizer(list(corpus.captions("test"))[:300], padding=True, return_tensors="np")["input_ids"]
may = ~np.isin(unseen, tokenizer.all_special_ids)
_, asked = mask_tokens(unseen, may, tokenizer.mask_token_id, len(tokenizer), np.random.default_rng(2))
gaps = np.where(where := asked != -100, tokenizer.mask_token_id, unseen)
with torch.no_grad():
    guess = reader(torch.from_numpy(gaps), attention_mask=torch.from_numpy(unseen != 0)).logits.argmax(-1).numpy()

# %%
assert (folder / "model.safetensors").stat().st_size < 2e6
bigrams, special, truth = masking.BigramModel(ids, len(tokenizer)), tokenizer.all_special_ids, unseen[where]
right = {
    "commonest word": truth == share.argmax(),
    "bigram": truth == bigrams.predict(unseen, where, special, both=False),
    "both neighbors": truth == bigrams.predict(unseen, where, special),
    "tiny BERT": truth == guess[where],
}
fig = plot.bar_with_ceiling(
    list(right), [r.mean() for r in right.values()], [None] * 4, title="Does it read more than its neighbors?"
)
plot.show(
    fig,
    alt="Share of hidden words named rightly: commonest word about 0.14, bigram 0.34, both neighbors 0.5, tiny BERT "
    "0.6.",
)
expect_within("masked-token accuracy on unseen captions", right["tiny BERT"].mean(), 0.61, 0.04)
expect_within("gain over both neighbors", right["tiny BERT"].mean() - right["both neighbors"].mean(), 0.13, 0.04)

# %% [markdown]
# It beats both counts on the same gaps. One thing it can do that they cannot: look further than one word. It cannot reach 1: whether a disc is *tiny* or *little* is a coin toss in
# this world, and no reader can win a coin toss.

# %% [markdown]
# ### Hidden states
# `hidden_states` has one tensor more than there are blocks: the embeddings first. Each word has a vector at each depth.

# %%
texts = [
    "I loved the concert and everyone left with a smile.",
    "The party was dull and everyone left early.",
    "A red star lies left of a small circle.",
    "There is a big box on the left side of a black cross.",
]
batch = tokenizer(texts, padding=True, return_tensors="pt")
with torch.no_grad():
    states = bert(**batch, output_hidden_states=True).hidden_states
print([tuple(h.shape) for h in states], " (sentence, token, width)")

# %% [markdown]
# The word *left* stands in all four: twice for going away, twice for a side. word2vec gives it one vector for both. **Predict** the
# four-by-four table of cosines after the last block.


# %%
def cosines(vectors):
    vectors = vectors / vectors.norm(dim=-1, keepdim=True)
    return (vectors @ vectors.T).numpy()


left = batch["input_ids"] == tokenizer.convert_tokens_to_ids("left")
same_word = cosines(states[-1][left])
label = ["left with", "left early", "left of", "left side"]
fig = plot.matrix(same_word, "Is it the same word?", label, label, limits=(-1, 1))
plot.show(
    fig, alt="Cosines between four uses of the word left. Within a meaning they are high, between meanings lower."
)
within = (same_word[0, 1] + same_word[2, 3]) / 2
across = same_word[:2, 2:].mean()
assert within > across + 0.1
print("two meanings, two groups of vectors")

# %% [markdown]
# And the words of feeling? Put each adjective into the same sentence and compare the vectors at its place. Sorted here by feeling; the model
# did not know.

# %%
adjectives = ["wonderful", "lovely", "superb", "charming", "awful", "tedious", "dreadful", "horrible"]
batch = tokenizer([f"The film was {a}." for a in adjectives], return_tensors="pt")
with torch.no_grad():
    at_word = bert(**batch).last_hidden_state[:, 4]  # (8, 64): [CLS] the film was ADJECTIVE
alike = cosines(at_word - at_word.mean(0))
fig = plot.matrix(alike, "Which words mean the same?", adjectives, [a[:5] for a in adjectives], limits=(-1, 1))
plot.show(
    fig, alt="Cosines of eight adjectives: two blocks, kind and unkind words, positive within and negative across."
)
kind = np.arange(8) < 4
assert alike[np.ix_(kind, ~kind)].mean() < -0.3
print("kind and unkind words point to opposite sides")

# %% [markdown]
# (The mean of all eight was taken away first: what they share, "an adjective, in this place", would hide the difference.)
#
# ### Few labels
# Now a task: which feeling does a sentence of `mood` express? Three readers get the same $n$ labeled sentences: BERT **fine-tuned**, all weights
# moving on from pre-training; the same architecture **from scratch**; and counted words with logistic regression.

# %%
from mmcourse.datasets.mood import words as mood_words


def labeled(split):
    lines = mood_words.sentences(split)
    texts = [text for group in lines.values() for text in group]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    y = np.repeat(np.arange(3), [len(group) for group in lines.values()])
    return tokens["input_ids"], tokens["attention_mask"], torch.from_numpy(y)


train, test = labeled("train"), labeled("test")
print(tuple(train[0].shape), tuple(test[0].shape))


# %%
class Feeling(torch.nn.Module):
    """Mean of the last hidden states over real tokens → three logits."""

    def __init__(self, pretrained):
        super().__init__()
        new = BertModel(bert.config, add_pooling_layer=False)
        self.bert = BertModel.from_pretrained(folder, add_pooling_layer=False) if pretrained else new
        self.head = torch.nn.Linear(bert.config.hidden_size, 3)

    def forward(self, ids, mask):
        h = self.bert(ids, attention_mask=mask).last_hidden_state  # (b, n, 64)
        mask = mask[..., None].float()
        return self.head((h * mask).sum(1) / mask.sum(1))  # (b, 3)


# %%
def few_labels(pretrained, rows, seed, steps=40):
    """Accuracy on the test sentences after training on these rows only."""
    torch.manual_seed(seed)
    model, rng = Feeling(pretrained).train(), np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(steps):
        some = rng.choice(rows, min(16, len(rows)), replace=False)
        loss = cross_entropy(model(train[0][some], train[1][some]), train[2][some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        return (model(*test[:2]).argmax(-1) == test[2]).float().mean().item()


# %%
def counted(rows):
    bags = [
        np.stack([np.bincount(row[row > 0], minlength=len(tokenizer)) for row in x[0].numpy()]) for x in (train, test)
    ]
    model = LogisticRegression(max_iter=500).fit(bags[0][rows], train[2][rows])
    return model.score(bags[1], test[2])


# %% [markdown]
# **Predict:** with 8 labels, and with 512, who wins? Five draws of the labels each, since with eight sentences luck decides much. (Half a
# minute.)

# %% tags=["free"]
from tqdm.auto import tqdm

sizes, seeds = (8, 32, 128, 512), range(5)
methods = {"fine-tuned": None, "counted words": None, "from scratch": None}
curve = {name: np.zeros((len(seeds), len(sizes))) for name in methods}
for seed, (k, n) in tqdm([(s, item) for s in seeds for item in enumerate(sizes)]):
    rows = np.random.default_rng(seed).permutation(len(train[2]))[:n]
    curve["fine-tuned"][seed, k] = few_labels(True, rows, seed)
    curve["from scratch"][seed, k] = few_labels(False, rows, seed)
    curve["counted words"][seed, k] = counted(rows)

# %% tags=["free"]
fig = plot.curves(
    curve,
    x=sizes,
    title="How many labels does a reader need?",
    xlabel="labeled sentences",
    ylabel="test accuracy",
    levels={"chance": 1 / 3},
)
fig.axes[0].set_xscale("log", base=2)
fig.axes[0].set_xticks(sizes, sizes)
plot.show(
    fig,
    alt="Accuracy against labeled sentences, 8 to 512, with bands from lowest to highest of five seeds. Fine-tuned "
    "lies above counted words and training from scratch throughout; counted words come close at 512 labels.",
)

# %% tags=["target"]
means = {name: values.mean(0) for name, values in curve.items()}
expect_within("fine-tuned accuracy with 128 labels", means["fine-tuned"][2], 0.945, 0.035)
expect_within("gain over counted words with 128 labels", means["fine-tuned"][2] - means["counted words"][2], 0.20, 0.06)
expect_within("gain over from scratch with 128 labels", means["fine-tuned"][2] - means["from scratch"][2], 0.25, 0.08)

# %% [markdown]
# One reading of it: hidden words taught the reader which words belong together, and the labels only have to name the groups. With 512
# labels counting comes close. All networks had the same forty steps. With more of them the curve from scratch may rise; this
# comparison is one of a short training.
#
# What is simplified: the sentences of a message nearly always agree. Real neighbors are noisier, and real BERT read 3.3 billion words.

# %% [markdown]
# ## 4 · Take it apart
# ### The forgotten mask
# Break it on purpose: pad a sentence with thirty `[PAD]` and leave out `attention_mask`. Nothing fails, no error, no warning.

# %%
ids_one = tokenizer("The film was not wonderful at all.", return_tensors="pt")["input_ids"]
padded = torch.nn.functional.pad(ids_one, (0, 30))  # id 0 is [PAD]
calls = (ids_one, ids_one >= 0), (padded, padded > 0), (padded, padded >= 0)  # alone, with the mask, without it
h = [bert(ids, attention_mask=mask).last_hidden_state[0, : ids_one.shape[1]] for ids, mask in calls]
assert (h[1] - h[0]).abs().max() < 1e-4 and (h[2] - h[0]).abs().max() > 0.5
print("with the mask: unchanged; without it, some numbers move by more than 0.5")

# %% [markdown]
# ## 5 · At full size
# The same two calls load the real thing: 110 million weights, read from books and Wikipedia. The cell runs where the files are in the
# cache already, or where you allow the download with `MMCOURSE_DOWNLOAD=1` (440 MB). And on a GPU (`profile == "gpu"`) the pre-training of section 3
# runs for 960 steps instead of 60, the same code on sixteen times the tokens.

# %% tags=["free"]
import os

from transformers.utils import cached_file

name, allowed = "bert-base-uncased", os.environ.get("MMCOURSE_DOWNLOAD") == "1"
try:
    cached_file(name, "config.json", local_files_only=not allowed)
    base_tokenizer = BertTokenizer.from_pretrained(name, local_files_only=not allowed)
    base = BertForMaskedLM.from_pretrained(name, local_files_only=not allowed)
    ids_base = base_tokenizer("The film was dreadful. I [MASK] every minute of it.", return_tensors="pt")
    with torch.no_grad():
        states = base(**ids_base, output_hidden_states=True)
    place = ids_base["input_ids"][0] == base_tokenizer.mask_token_id
    print(base_tokenizer.convert_ids_to_tokens(states.logits[0, place][0].topk(5).indices.tolist()))
    print(len(states.hidden_states), "hidden states of shape", tuple(states.hidden_states[-1].shape))
except OSError:
    print("not run: bert-base-uncased is not in the cache. It would show its five best words for the gap, and")
    print("13 hidden states (embeddings and 12 blocks) of width 768.")

# %% [markdown]
# ## 6 · What to remember
# - Masked language modeling starts at ln V; judge it against counting neighbors.
# - Give plain text to the tokenizer, and the `attention_mask` to the model.
# - Pre-training paid where labels and steps were few, and knows only what its text tells.

# %% [markdown]
# ## 7 · Check yourself
# **1.** A first masked-language loss is 2.1 with 30,000 tokens. Good news?
# <details><summary>Answer</summary>
#
# No. Before any step it must be near ln 30,000 = 10.3. The answers leak: labels are probably taken before masking, or unmasked tokens are asked too.
# </details>
#
# **2.** Why do 10 % of the chosen tokens stay as they are?
# <details><summary>Answer</summary>
#
# So that the model cannot conclude "no `[MASK]` here, nothing to know". At every real word it might be asked, so it keeps a good vector there.
# </details>

# %% [markdown]
# ## 8 · Exercises
# [Two exercises](exercises/bert.ipynb): hide words by the rule, without leaks; judge reports of pre-training.

# %% [markdown]
# ## Sources
# - BERT: Devlin et al. 2019, arXiv 1810.04805 (3.3 billion words: section 3.1; 80/10/10: appendix A.1)

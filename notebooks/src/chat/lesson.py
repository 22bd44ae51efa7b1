# %% [markdown]
# # Chat: instructions, preferences, tools
# *A model that answered single questions learns to converse: it remembers, follows instructions, calls a tool, refuses and asks
# back. Then you learn what preference methods aim at, in a world so small that the right result is known exactly, and prove
# which of two widely copied formulas is wrong.*
#
# {{budget}}
#
# **You will be able to**
# - write a dialogue as one text with roles, and train only what the assistant says;
# - derive in one line the optimum at which PPO, GRPO and DPO aim, and say what β does;
# - write the losses of Bradley–Terry and DPO and the loop of GRPO and PPO by hand, and check where each method ends;
# - show how a true reward is hacked, and how one that is only learned is over-optimized;
# - count what safety means here: refusals, refusals too many, and orders that a tool's result smuggles in.
#
# **Before this:** [vlm](vlm.ipynb) (the model that is tuned, label masks), [captioning](captioning.ipynb) (decoding), [evaluate](evaluate.ipynb) (intervals).
#
# **Time to read:** 100 minutes with the five blanks, then 110 for the [exercises](exercises/chat.ipynb).

# %%
import json

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional as F

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import data_dir, results, vocabulary
from mmcourse.datasets.scenes import dialogues, spoken, world
from mmcourse.datasets.scenes.dialogues import Turn
from mmcourse.datasets.scenes.drawing import draw as draw_scene
from mmcourse.evaluate import mean_and_interval
from mmcourse.figures import naming
from mmcourse.numpy import preferences
from mmcourse.numpy.preferences import kl_divergence, total_variation
from mmcourse.torch.chat import ChatModel
from mmcourse.torch.clip import prepare_images
from mmcourse.torch.decoding import KVCache
from mmcourse.torch.vlm import IMAGE, VLM

card = json.loads((data_dir() / "models" / "chat" / "figures.json").read_text("utf-8"))
shipped = card["figures"]
stored = results("chat")
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## 1 · It talks

# %% [markdown]
# A picture that the model has never seen, and a conversation about it. Every reply below is what the shipped model says now.

# %% tags=["hide-input"]
scene = dialogues.two_alike(world.make(71, 5), np.random.default_rng(0))
picture = draw_scene(scene)
first_noun = world.SHAPES[scene.things[0].shape]
kinds = " · ".join(" ".join(thing.names) for thing in scene.things)
plot.show(plot.images([picture], ["the picture"]), alt=f"A scene: {kinds}")


# %% tags=["free"]
model = ChatModel.from_pretrained("chat")
chat = model.start(picture)
for said in (
    f"What color is the {first_noun}?",
    "The large one.",
    "What shape is it? Answer in a sentence.",
    f"How many {first_noun}s are there? Use the tool.",
    "What is two times three?",
):
    reply = chat.ask(said)
    print(f"you   {said}")
    for call, result in reply.calls:
        print(f"      [the tool is asked: {call}; it says: {result}]")
    print(f"model {reply}")
print("\nanother conversation")
print("you   Cancel my order.\nmodel", model.start(picture).ask("Cancel my order."))

# %% [markdown]
# Five of the six replies are right. One is wrong: asked for the *shape* in a sentence, it says the color. How often each kind of instruction is followed, section 11 counts.
#
# Now you: type a line and press Enter. The conversation goes on, so *it* and "the large one" mean what was said before; "Use the tool." calls the tool;
# a word that the model does not know is named, and nothing is remembered of that line. The model knows six shapes, eight colors and a few dozen ways to ask. It remembers about three exchanges: its training had no longer ones. Ask as the examples do: to a question in other words, even to "Is there a star?" without a color, it may say nonsense. In a terminal the same is
# `mmcourse chat --scene 3` (or `--picture me.png`); `Ctrl-D` ends it.

# %% tags=["free"]
mine, said = model.start(picture), []


def say(line):
    """Ask it, and show the whole conversation."""
    said.append(f"you   {line}")
    try:
        reply = mine.ask(line)
        said.extend(f"      [tool: {call}; it says: {r}]" for call, r in reply.calls)
        said.append(f"model {reply}")
    except ValueError as error:  # a word that it does not know
        said.append(f"      not understood: {error}")
    print("\n".join(said))


def start_anew():
    """Forget all that was said."""
    mine.turns.clear()
    said.clear()
    print("A new conversation.")


anew = {"New conversation": start_anew}
widgets.text(say, start="What do you see?", label="You", actions=anew)

# %% [markdown]
# ## 2 · The question

# %% [markdown]
# The model of lesson [vlm](vlm.ipynb) answers one question and stops. What does it take to make a conversation of it, and to make it *prefer* good
# answers? **Record three guesses** before you go on.

# %%
end_guess = widgets.guess(
    "Each reply ends with <end>. In one training it is left out: the model learns "
    "every word of the replies, and not their end. What does the trained model do?",
    ["the same, a little worse", "answers, and goes on writing", "writes nothing"],
)

# %%
beta_guess = widgets.guess(
    "Preference methods have a number β. You make it larger and train to the end. "
    "Where is the result, compared with the model that you started from?",
    ["closer to it", "farther from it", "at the same distance"],
)

# %%
mean_guess = widgets.guess(
    "A loss needs log p of a whole answer. One program adds up log p of its words, "
    "another takes their mean. Both are trained to the end. Which one reaches the "
    "right result?",
    ["the sum", "the mean", "both"],
)

# %% [markdown]
# ## 3 · A dialogue is a text

# %% [markdown]
# The model writes one piece after the other; it has no idea who is speaking. So who speaks is written into the text, with tokens that stand for nothing else.
# Each turn is a **role token** (a token that says who speaks), what is said, and `<end>`. How a dialogue becomes one text is its **chat template**; a model tuned with one template is
# lost with another. Here:

# %%
turns = [
    Turn("user", "How many stars are there? Use the tool."),
    Turn("assistant", "count stars", is_call=True),
    Turn("tool", "two"),
    Turn("assistant", "The tool sees two stars."),
]
ids, trained = dialogues.encode(turns)
pieces = [vocabulary.pieces()[i] for i in ids]
print(len(ids), "pieces:", " ".join(pieces))

# %% [markdown]
# Before it stand `<bos>` and 64 places for the picture, as in lesson vlm. What the model should learn is only what *it* will have to write: the assistant's
# words and their `<end>`. What the user says, and what the tool gives, will be put in by the program; so will the role tokens.

# %% tags=["hide-input"]
third = -(-len(pieces) // 3)
canvas = draw.Canvas()
for row in range(3):
    start, stop = third * row, third * (row + 1)
    row_pieces = pieces[start:stop]
    shown = [piece.strip("<>") if len(piece) > 1 else piece for piece in row_pieces]
    marked = [i for i, t in enumerate(trained[start:stop]) if t]
    canvas.place(draw.tokens(shown, highlight=marked), x=0, y=60 * row)
draw.show(
    canvas,
    alt="The pieces of the dialogue. Marked are those that are trained: the call with its end, and the last reply with its end.",
)

# %% [markdown]
# The marked pieces are the **label mask**. **Your turn (blank 1).** A turn is a role token, n pieces, and `<end>`. Which of its n + 2 pieces are trained?
# <details><summary>Hint</summary>
#
# Nothing of a user's or tool's turn. Of an assistant's turn all but the role token.
# </details>


# %%
def marks(role, n):
    """A list of n + 2 booleans for one turn."""
    # BEGIN SOLUTION
    return [False] + [role == "assistant"] * (n + 1)
    # END SOLUTION


marks = check("chat.blank.1", marks)
by_turn = []
for turn in turns:
    inside = len(vocabulary.encode(turn.text)) + turn.is_call
    by_turn += marks(turn.role, inside)
print("equal to the course's mask:", "yes" if by_turn == trained else "no")
print(sum(trained), "of", len(trained), "pieces are trained")

# %% [markdown]
# The dialogues are written by code from a scene, so that every reply is exact: questions of lesson vlm, *it*, instructions ("in a sentence", "in Chinese", "twice"),
# tools, things that are not there, things that are there twice. Three of eight plots:

# %%
for plot_name in ("memory", "ask back", "refuse"):
    print(f"--- {plot_name}\n{dialogues.make(72, 4, plot_name)}")

# %% [markdown]
# ## 4 · Instruction tuning

# %% [markdown]
# **Instruction tuning**, a form of *supervised fine-tuning* (SFT), goes on training a model on such dialogues: same loss, next piece, under the mask. First what the model of lesson vlm says to a dialogue, untuned:

# %% tags=["free"]
vlm = VLM.from_pretrained("vlm")
torch.manual_seed(0)
base = ChatModel.from_vlm(vlm)  # the same weights, more positions
tests = [dialogues.make(73, index, "memory") for index in range(24)]
test_visual = model.look(np.stack([draw_scene(one.scene) for one in tests]))


def first_replies(of_model, visual):
    """Ids that it writes to the first question of each test dialogue."""
    prompts = []
    for one in tests:
        asked, _ = dialogues.encode(one.exchanges[0].turns[:1])
        prompts.append([*asked, dialogues.ASSISTANT])
    return of_model.write(visual, prompts)


base_visual = base.look(np.stack([draw_scene(one.scene) for one in tests]))
print("asked:  ", tests[0].exchanges[0].asked, "| right:", tests[0].exchanges[0].reply)
print("untuned:", vocabulary.decode(first_replies(base, base_visual)[0])[:70])

# %% [markdown]
# The words of lesson vlm, and then it goes on: the program waits for `<end>`, a token that this model has never been taught. A model run with a template other than its own can look like this. Now train it for some seconds. One batch: 16 dialogues, padded at the end; the picture's features are
# computed once, since the picture tower stays frozen.

# %%
train_scenes = [world.make(74, index) for index in range(300)]
plots = list(dialogues.PLOTS)
with torch.no_grad():
    train_images = np.stack([draw_scene(one) for one in train_scenes])
    parts = prepare_images(train_images).split(100)
    features = torch.cat([vlm.vision(part) for part in parts])


def draw_batch(rng, size, which="replies"):
    """Scenes, ids (b, n) and labels (b, n), −100 where nothing is trained."""
    rows, texts, tool_masks = [], [], []
    while len(rows) < size:
        row = int(rng.integers(len(train_scenes)))
        made = dialogues.about(train_scenes[row], plots[rng.integers(len(plots))], rng)
        if made is not None:
            rows.append(row)
            texts.append(dialogues.encode(made.turns))
            tool_mask = []
            for turn in made.turns:
                length = len(dialogues.turn_ids(turn)[0])
                tool_mask += [False] + [turn.role == "tool"] * (length - 1)
            tool_masks.append(tool_mask)
    n = max(len(ids) for ids, _ in texts)
    ids = torch.zeros(size, n, dtype=torch.long)
    labels = torch.full((size, n), -100)
    for line, (some, mask) in enumerate(texts):
        some, mask = torch.tensor(some), torch.tensor(mask)
        if which == "replies without end":
            mask = mask & (some != dialogues.END)
        if which == "everything":
            mask = torch.ones_like(mask)
        if which == "tool's words":
            mask = torch.tensor(tool_masks[line])
        ids[line, : len(some)] = some
        labels[line, : len(some)][mask] = some[mask]
    return rows, ids, labels


def tune(start, steps, seed=0, which="replies"):
    """A tuned copy, and the loss of each step in nats per trained piece."""
    torch.manual_seed(seed)
    student = ChatModel.from_vlm(start)
    student.vision.requires_grad_(False)
    weights = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=2e-3, weight_decay=0.0)
    rng, curve = np.random.default_rng(seed), []
    prefix = torch.tensor([[vocabulary.BOS] + [IMAGE] * student.num_visual])
    for step in range(steps):
        rows, ids, labels = draw_batch(rng, 16, which)
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1, 1.5 * (1 - step / steps))
        ids = torch.cat([prefix.expand(len(ids), -1), ids], dim=1)
        nothing = torch.full((len(ids), prefix.shape[1]), -100)
        labels = torch.cat([nothing, labels], dim=1)
        visual = student.project(features[rows])
        hidden = student.language.hidden_states(student.embed(ids, visual), KVCache())
        kept = labels[:, 1:] != -100  # position t predicts piece t + 1
        logits = student.language.to_logits(hidden[:, :-1][kept])
        loss = F.cross_entropy(logits, labels[:, 1:][kept])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return student.eval(), curve


# %% tags=["free"]
small, curve = tune(vlm, steps=36)
endless, _ = tune(vlm, steps=36, which="replies without end")
for step in (0, 11, 23, 35):
    print(f"step {step + 1:3}  {curve[step]:6.3f} nats per trained piece")


def look_at(of_model, name):
    """Replies to the first test questions, and how many end."""
    images = np.stack([draw_scene(one.scene) for one in tests])
    written = first_replies(of_model, of_model.look(images))
    ended = np.mean([len(ids) < 28 for ids in written])
    said = [vocabulary.decode(ids) for ids in written]
    right = [one == d.exchanges[0].reply for one, d in zip(said, tests)]
    print(f"{name:18} ends {ended:.2f}, right {np.mean(right):.2f}:", end=" ")
    print(said[0][:60])
    return ended


always_yes = np.mean([one.exchanges[0].reply == "yes" for one in tests])
print(f"a constant 'yes' would be right in {always_yes:.2f}")
ends = [
    look_at(base, "untuned"),
    look_at(small, "tuned"),
    look_at(endless, "end not trained"),
]

# %% tags=["free"]
assert ends[0] < 0.2 and ends[1] > 0.8 and ends[2] < 0.2
end_guess.compare("answers, and goes on writing")

# %% [markdown]
# ("right" is about the first question of each dialogue, which the model of lesson vlm knew before; memory and tools take far more steps.) Three dozen steps are enough to learn to stop after a short answer; longer replies are not tried here. Without the end in the mask the words come, and then more of them: the model has never been told that
# a reply is over. If a chat model "talks to itself" or writes your next question, look at two things: which token the program stops at, and this bit of the mask.
#
# And the rest of the mask? In a third training *everything* is trained: the user's words, the tool's, the role tokens.

# %% tags=["free"]
everything, _ = tune(vlm, steps=36, which="everything")


@torch.no_grad()
def nats_of(of_model, which, number=60):
    """Mean nats per piece, of dialogues that nobody trained on."""
    rows, ids, labels = draw_batch(np.random.default_rng(99), number, which)
    prefix = torch.tensor([[vocabulary.BOS] + [IMAGE] * of_model.num_visual])
    ids = torch.cat([prefix.expand(number, -1), ids], dim=1)
    labels = F.pad(labels, (prefix.shape[1], 0), value=-100)
    visual = of_model.project(features[rows])
    hidden = of_model.language.hidden_states(of_model.embed(ids, visual), KVCache())
    kept = labels[:, 1:] != -100
    logits = of_model.language.to_logits(hidden[:, :-1][kept])
    return F.cross_entropy(logits, labels[:, 1:][kept]).item()


measured = {}
for name, one in (("only replies", small), ("everything", everything)):
    measured[name] = [nats_of(one, which) for which in ("replies", "tool's words")]
    replies, tool = measured[name]
    print(f"trained on {name:13} {replies:.2f} nats per piece of a reply", end=", ")
    print(f"{tool:.2f} of the tool's words")

# %% [markdown]
# One short run each: which of the two is ahead on replies may change with the seed, and is no result. Nor does so short a training show what the mask is for: compare the two figures for the tool's words. The reason for the mask is what is being asked of the model. Trained on the tool's words, it is asked to
# *make up results*; trained on the user's words, to ask itself. Where a program only looks for text, a made-up result would be taken for a real one.

# %% [markdown]
# ## 5 · Which answer is better?

# %% [markdown]
# Instruction tuning imitates. But often nobody can write the best answer, and everybody can say which of two is better. To learn from that, we go where everything can be counted. The
# grammar of captions has exactly 34 ways to name "a small red circle", each with a known probability: our model before, the **reference** $\pi_{\text{ref}}$.

# %%
names = naming.ways("small", "red", "circle")
print(len(names.texts), "answers; sum:", names.reference.sum().round(12))
for k in (0, 4, 16, 22, 33):
    print(f"{names.reference[k]:.4f}  {names.lengths[k]} words  {names.texts[k]}")

# %% [markdown]
# Say that people like it short: the reward $r(y)$ of an answer is minus the number of its words. Judges are noisy. In the **Bradley–Terry model** (1952) the first of two answers is preferred with probability
#
# $$p(y_1 \succ y_2) = \sigma\bigl(r(y_1) - r(y_2)\bigr), \qquad \sigma(x) = \frac{1}{1 + e^{-x}}$$
#
# Only the difference counts. **Your turn (blank 2).**
# <details><summary>Hint</summary>
#
# Put the difference of the two rewards into σ.
# </details>


# %%
def preferred(first, second):
    """Probability that an answer with reward `first` wins against `second`."""
    # BEGIN SOLUTION
    return 1 / (1 + np.exp(second - first))
    # END SOLUTION


preferred = check("chat.blank.2", preferred)
for words in ((3, 4), (3, 5), (3, 7)):
    p = preferred(-words[0], -words[1])
    print(f"{words[0]} words preferred to {words[1]}: {p:.3f}")

# %% [markdown]
# The other way round: from judgments to rewards. A **reward model** is fitted so that the judgments become probable: its loss is $-\log \sigma(r_w - r_l)$, $w$ the
# preferred answer, $l$ the other one. Only differences count, so the learned rewards are shifted to mean 0 under the reference, like the true ones. With one number per answer, and pairs drawn from the reference:

# %%
true = names.reward - names.reference @ names.reward  # mean 0 under the reference
for pairs in (100, 1_000, 100_000):
    off = []
    for seed in range(5):
        learned = naming.reward_model(names, pairs, seed)
        off.append(names.reference @ np.abs(learned - true))
    mean, half = mean_and_interval(off)
    print(f"{pairs:7,} pairs: learned and true reward differ by", end=" ")
    print(f"{mean:.2f} ± {half:.2f}")

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.7), sharey=True)
for ax, pairs in zip(axes, (100, 100_000)):
    learned = naming.reward_model(names, pairs, 0)
    size = 20 + 1500 * names.reference
    ax.scatter(true, learned, s=size, alpha=0.5, color="#0072B2")
    ax.plot([-4, 2], [-4, 2], color="black", lw=1)
    ax.set(title=f"{pairs:,} pairs", xlabel="true reward", ylim=(-8, 8))
axes[0].set(ylabel="learned reward")
plot.show(
    fig,
    alt="Learned against true rewards of 34 answers. With 100 pairs they scatter by several units, with 100,000 they lie on the diagonal.",
)

# %% [markdown]
# ## 6 · The optimum in one line

# %% [markdown]
# What do we want of the policy $\pi$? Much reward, and not to forget how one speaks: it shall stay near the reference.
#
# $$\max_\pi \; \mathbb{E}_{y \sim \pi}[r(y)] - \beta\, \mathrm{KL}(\pi \,\|\, \pi_{\text{ref}})
# = \max_\pi \; \mathbb{E}_{y \sim \pi}\Bigl[r(y) - \beta \log \frac{\pi(y)}{\pi_{\text{ref}}(y)}\Bigr]
# = \max_\pi \; -\beta\, \mathrm{KL}\Bigl(\pi \,\Big\|\, \tfrac{1}{Z} \pi_{\text{ref}}\, e^{r/\beta}\Bigr) + \beta \log Z$$
#
# Here $\mathrm{KL}(\pi \| q)$ is the mean under $\pi$ of $\log(\pi/q)$, and $Z = \sum_y \pi_{\text{ref}}(y)\, e^{r(y)/\beta}$ is the number that makes the sum of $\pi^* = \frac{1}{Z} \pi_{\text{ref}}\, e^{r/\beta}$ equal to 1. The last step, for one answer: write $r = \beta \log e^{r/\beta}$. Then
#
# $$r - \beta \log \frac{\pi}{\pi_{\text{ref}}} = -\beta \log \frac{\pi}{\pi_{\text{ref}}\, e^{r/\beta}} = -\beta \log \frac{\pi}{Z\, \pi^*} = -\beta \log \frac{\pi}{\pi^*} + \beta \log Z$$
#
# and the mean under $\pi$ of $\log(\pi/\pi^*)$ is $\mathrm{KL}(\pi \| \pi^*)$. Two answers, each with $\pi_{\text{ref}} = 0.5$, rewards 1 and 0, $\beta = 1$: $Z = 0.5 e + 0.5 = 1.859$, so $\pi^* = 0.731$ and $0.269$.
#
# A KL divergence is never negative, and 0 only where both are equal. So the optimum is known, without training:
#
# $$\boxed{\;\pi^*(y) = \tfrac{1}{Z}\; \pi_{\text{ref}}(y)\; e^{r(y)/\beta}\;}$$
#
# β is the price of moving away, in reward per nat. The optimum's KL is what is spent: the **KL budget**. **Your turn (blank 3).**
# <details><summary>Hint</summary>
#
# Take the logarithm of the boxed line without $Z$. Dividing by the sum is a softmax; subtract the largest value first.
# </details>


# %%
def optimum(log_reference, reward, beta):
    """The optimal policy (n,)."""
    # BEGIN SOLUTION
    score = log_reference + reward / beta
    p = np.exp(score - score.max())
    return p / p.sum()
    # END SOLUTION


optimum = check("chat.blank.3", optimum)
best = optimum(names.log_reference, names.reward, beta=1.0)
short = names.lengths == 3
no_size = names.reference[short].sum(), best[short].sum()
print(f"no size is said: before {no_size[0]:.3f}, at the optimum {no_size[1]:.3f}")
for beta in (0.5, 1.0, 2.0):
    p = optimum(names.log_reference, names.reward, beta)
    kl, words = kl_divergence(p, names.reference), p @ names.lengths
    print(f"β {beta}: KL to the reference {kl:.3f} nats, {words:.2f} words on average")


# %% tags=["hide-input"]
words = [3, 4, 5, 7]
parts = []
for title, policy in (("π_ref", names.reference), ("π*", best)):
    column = [[policy[names.lengths == n].sum()] for n in words]
    rows = [f"{n} words" for n in words] if title == "π_ref" else None
    parts.append(draw.matrix(column, title=title, rows=rows, form=".3f", heat=True))
factor = draw.matrix([[np.exp(3.0 - n)] for n in words], title="e^(3 − words)", form=".3f")
draw.show(
    draw.row(parts[0], "×", factor, "∝", parts[1]),
    alt="The probability of each length under the reference, times e to the reward, is proportional to the optimum.",
)


# %% tags=["hide-input"]
def show_optimum(beta=1.0):
    """The optimum at one β, by length, and where it lies on the curve of all β."""
    p = optimum(names.log_reference, names.reward, beta)
    lengths = sorted(set(names.lengths.tolist()))
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.6))
    for shift, policy, label in (
        (-0.2, names.reference, "reference"),
        (0.2, p, "optimum"),
    ):
        bars = [policy[names.lengths == n].sum() for n in lengths]
        axes[0].bar(np.array(lengths) + shift, bars, 0.38, label=label)
    axes[0].set(xlabel="words", ylabel="probability", ylim=(0, 1))
    axes[0].legend()
    betas = np.geomspace(0.1, 10, 60)
    every = [optimum(names.log_reference, names.reward, b) for b in betas]
    axes[1].plot(
        [kl_divergence(q, names.reference) for q in every],
        [q @ names.reward for q in every],
    )
    axes[1].plot(kl_divergence(p, names.reference), p @ names.reward, "o")
    axes[1].set(xlabel="KL to the reference", ylabel="expected reward")
    plot.show(
        fig,
        alt=f"The reference and the optimum by number of words, and reward against KL, β = {beta}",
    )


widgets.slider(show_optimum, beta=(0.1, 5.0))

# %%
budget = [kl_divergence(names.best(b), names.reference) for b in (0.5, 1.0, 2.0)]
beta_guess.compare("closer to it")
assert np.round(budget, 3).tolist() == [0.815, 0.336, 0.125]
assert np.round(no_size, 3).tolist() == [0.167, 0.443]

# %% [markdown]
# **A larger β stays closer**, once training has come to its end. That is no matter of taste, it is the line above. You will read the opposite in widely copied notebooks, that a larger β lets the two models drift apart; of the optimum you can now prove that it is wrong. (Section 7 looks at the way there as well.)
#
# Beside the KL we need a distance that is easy to read. The **total variation** of two policies is half the sum of all differences: the largest error in the probability of any set of answers. 0 is equal, 1 is nothing in common.


# %%
def off(policy):
    """Total variation to the optimum at β = 1."""
    return total_variation(policy, best)


print(f"reference to optimum at β = 1: {off(names.reference):.3f}")

# %% [markdown]
# ## 7 · DPO: the same line, read backwards

# %% [markdown]
# Usually the policy is a network, and no answers can be listed: one would fit a reward model, then improve the policy against it. Rafailov et al. (2023) solve the boxed line for the reward instead:
#
# $$r(y) = \beta \log \frac{\pi^*(y)}{\pi_{\text{ref}}(y)} + \beta \log Z$$
#
# In Bradley–Terry only the difference of two rewards counts, so $Z$ drops out. What is left has only the policy in it: **direct preference optimization** (DPO),
#
# $$\text{loss} = -\log \sigma\Bigl(\beta \Bigl[\log \frac{\pi(y_w)}{\pi_{\text{ref}}(y_w)} - \log \frac{\pi(y_l)}{\pi_{\text{ref}}(y_l)}\Bigr]\Bigr)$$
#
# where $\beta \log \pi/\pi_{\text{ref}}$ is the **implied reward**.

# %% tags=["hide-input"]
canvas = draw.Canvas()
pairs_box = canvas.place(draw.box("judgments", note="y_w preferred to y_l"), x=0, y=50)
reward_box = canvas.place(draw.box("reward model", note="Bradley–Terry", color="orange"), x=200, y=0)
rl_box = canvas.place(draw.box("PPO, GRPO", note="sample, score, improve", color="orange"), x=360, y=0)
dpo_box = canvas.place(
    draw.box("DPO", note="the policy is its own reward model", color="green"),
    x=280,
    y=110,
)
policy_box = canvas.place(draw.box("policy", note="near the reference"), x=590, y=50)
for a, b in (
    (pairs_box, reward_box),
    (reward_box, rl_box),
    (rl_box, policy_box),
    (pairs_box, dpo_box),
    (dpo_box, policy_box),
):
    canvas.arrow(a, b)
draw.show(
    canvas,
    alt="Two ways from judgments to a policy: by a reward model and reinforcement learning, or directly by DPO.",
)

# %% [markdown]
# By hand, with the numbers of one pair. **Your turn (blank 4):** the bracket times β, the **margin**.
# <details><summary>Hint</summary>
#
# Four log-probabilities: policy minus reference for each answer, then the difference of the two, then β.
# </details>


# %%
def margin(chosen, rejected, reference_chosen, reference_rejected, beta):
    """What stands inside σ."""
    # BEGIN SOLUTION
    return beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
    # END SOLUTION


margin = check("chat.blank.4", margin)
short_one, long_one = 0, 33  # "a red circle" is preferred to the longest
policy = 0.5 * names.reference + 0.5 * best
pair = [short_one, long_one]
sums = [*np.log(policy[pair]), *names.log_reference[pair]]
print("four sums:", np.round(sums, 3))
for beta in (0.5, 1.0):
    m = margin(*sums, beta)
    print(f"β {beta}: margin {m:.3f}, loss {np.logaddexp(0, -m):.4f}")

# %% [markdown]
# In PyTorch and in Keras it is one line each; here beside the course's NumPy. (`torch.nn` and `keras` have no DPO; `F.logsigmoid` does not overflow.)

# %%
import keras

rows = np.array([sums, sums[::-1]]).T  # two pairs, (4, 2)
in_numpy, _ = preferences.dpo_loss(*rows, beta=0.5)
c, r, rc, rr = torch.tensor(rows)
in_torch = -F.logsigmoid(0.5 * ((c - rc) - (r - rr))).mean()
c, r, rc, rr = keras.ops.convert_to_tensor(rows)
in_keras = keras.ops.mean(keras.ops.softplus(-0.5 * ((c - rc) - (r - rr))))
print(f"NumPy {in_numpy:.9f}  PyTorch {in_torch:.9f}  Keras {float(in_keras):.9f}")

# %% [markdown]
# Does it reach the optimum? Pairs are drawn from the reference, judged with Bradley–Terry's noise, and the policy, a softmax over 34 numbers, follows the gradient of DPO.

# %%
for pairs in (100, 1_000, 10_000, 100_000):
    runs = [naming.dpo(names, pairs, 1.0, seed) for seed in range(5)]
    mean, half = mean_and_interval([off(run.policy) for run in runs])
    print(f"{pairs:7,} pairs: total variation to the optimum {mean:.3f} ± {half:.3f}")
    if pairs == 10_000:
        assert mean < 0.05

# %% [markdown]
# It does. From 1,000 pairs on, ten times as many pairs leave about a third of the error. And β on the way there?

# %%
for beta in (0.5, 2.0):
    kls = []
    for steps in (10, 50, 4000):
        run = naming.dpo(names, 100_000, beta, seed=0, steps=steps)
        kls.append(kl_divergence(run.policy, names.reference))
    target = kl_divergence(names.best(beta), names.reference)
    print(f"β {beta}: KL after 10, 50, 4,000 steps", np.round(kls, 3), end="  ")
    print(f"optimum {target:.3f}")
assert kls[-1] < 0.2

# %% [markdown]
# Early in training the KL says how far one has come, and hardly anything about β; at the end it is the optimum's.
#
# ## 8 · The sum or the mean?

# %% [markdown]
# In copies of a well-known teaching notebook, and in the issues of several libraries, log p of an answer is *averaged* over its pieces. It looks harmless: long answers are not "punished" any more. Here both can be held against the truth. A name of $n$ words has $n + 1$ pieces, with the end.

# %%
measured = {}
for name, average in (("summed", False), ("averaged", True)):
    for steps in (1000, 4000):
        options = {"steps": steps, "average": average}
        runs = [naming.dpo(names, 10_000, seed=seed, **options) for seed in range(5)]
        mean, half = mean_and_interval([off(run.policy) for run in runs])
        kl = np.mean([kl_divergence(run.policy, names.reference) for run in runs])
        measured[name, steps] = mean
        print(f"{name:9} {steps} steps: TV to π* {mean:.3f} ± {half:.3f}", end=", ")
        print(f"KL {kl:.2f} (optimum 0.34)")
wrong = naming.averaged_optimum(names, 1.0)
print(f"where the averaged loss leads, exactly: TV {off(wrong):.3f}", end=", ")
kl = kl_divergence(wrong, names.reference)
print(f"KL {kl:.2f}, no size {wrong[short].sum():.2f}")

# %%
mean_guess.compare("the sum")
assert measured["summed", 4000] < 0.05 < 0.4 < measured["averaged", 1000]
assert 0.52 < off(wrong) < 0.53

# %% [markdown]
# The sum arrives. The mean arrives, too, somewhere else: at half of all probability in the wrong place. Training longer does not help, and the reason is exact. With the mean, the implied reward is $\frac{\beta}{n+1} \log \frac{\pi}{\pi_{\text{ref}}}$, so that $\pi = \pi_{\text{ref}}\, e^{(n+1)(r + c)/\beta}$, where $c$ is the number that makes the sum 1: each answer gets a β of its own, the smaller the longer it is. Could another β mend it?

# %%
betas = np.geomspace(0.5, 20, 120)
apart = [off(naming.averaged_optimum(names, b)) for b in betas]
nearest = betas[np.argmin(apart)]
print(f"the best β for the mean is {nearest:.1f}: TV {min(apart):.3f}")
assert 0.02 < min(apart) < 0.03 and 3.5 < nearest < 5

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 2.8))
ax.plot(betas, apart, label="averaged")
ax.axhline(0.0, color="#009E73", label="summed, β = 1")
ax.plot(1.0, off(wrong), "o", color="#D55E00", label="averaged, β = 1")
ax.set(
    xscale="log",
    xlabel="β given to the averaged loss",
    ylabel="total variation to π*",
    ylim=(-0.03, 0.8),
)
ax.legend()
plot.show(
    fig,
    alt="Total variation of the averaged loss against its β: 0.53 at β = 1, a minimum of 0.03 near 4, never 0.",
)

# %% [markdown]
# A β about as large as an answer has pieces makes up for most of it here: at its exact optimum the mean is then no farther away than the sum with 10,000 noisy judgments (0.035). But the right β was found by looking at the truth, in one world whose reward *is* the length, and it never makes up for all. (Some methods divide by the length on purpose, as SimPO does. Then they say so, and have another optimum.)
#
# Two more questions. Labels without any noise should be the best ones: are they? And a training under which preferred answers become *less* probable must be broken: must it?

# %%
for steps in (1000, 4000):
    options = {"steps": steps, "noise": False}
    runs = [naming.dpo(names, 10_000, seed=seed, **options) for seed in range(5)]
    kls = [kl_divergence(run.policy, names.reference) for run in runs]
    mean, half = mean_and_interval(kls)
    implied = [np.log(run.policy) - names.log_reference for run in runs]
    low, high = np.min(implied), np.max(implied)
    print(f"the better one always wins, {steps} steps: KL {mean:.2f} ± {half:.2f}")
    print(f"   implied rewards from {low:.1f} to {high:.1f}")
print(f"only the shortest, equally: KL {-np.log(names.reference[short].sum()):.2f}")
after = naming.dpo(names, 10_000, 1.0, 0).policy
fell = np.log(after) < names.log_reference
four = names.lengths == 4
print(f"answers that became less probable: {fell.sum()} of {len(fell)}", end=", ")
print(f"among those with 4 words {fell[four].sum()} of {four.sum()}")
kept = best[four].sum() / names.reference[four].sum()
print(f"at the exact optimum each name of 4 words keeps {kept:.3f} of its probability")

# %% [markdown]
# If the better answer *always* wins, no finite reward explains it: every larger margin lowers the loss, at any β. Here the implied rewards of the losers go on falling, and the policy moves to the shortest answers alone, far beyond π\*. So a DPO run on consistent labels is stopped by the number of steps. And log p of an answer that often wins may well *fall*: at the optimum itself every name of four words is a little less probable than before. It beats the longer ones and loses to the shorter ones. In this one run half of them fell and half did not: the luck of the judgments moves them more than that.
#
# ## 9 · PPO and GRPO: try, score, improve

# %% [markdown]
# DPO never asks the policy what it would say now. **Reinforcement learning** does: draw answers from the policy, score them, make the good ones more probable. Where the scores come from people's judgments, by way of a reward model, the whole is called **reinforcement learning from human feedback** (RLHF; Christiano et al. 2017, Ouyang et al. 2022). The gradient of $\mathbb{E}_\pi[r]$ is $\mathbb{E}_\pi[r\, \nabla \log \pi]$ (REINFORCE), and estimated from a few answers it varies wildly, unless one subtracts a **baseline** from the reward. **GRPO** (group relative policy optimization, Shao et al. 2024) draws a *group* of answers to the same question; the baseline is the mean of the group. What is left is the **advantage**. **Your turn (blank 5).**
# <details><summary>Hint</summary>
#
# One subtraction.
# </details>


# %%
def above_mean(rewards):
    """Advantages of one group (n,)."""
    # BEGIN SOLUTION
    return rewards - rewards.mean()
    # END SOLUTION


above_mean = check("chat.blank.5", above_mean)
rng = np.random.default_rng(3)
drawn = rng.choice(len(names.texts), 4, p=names.reference)
for k, advantage in zip(drawn, above_mean(names.reward[drawn])):
    print(f"{advantage:+.2f}  {names.texts[k]}")

# %% tags=["hide-input"]
group = names.reward[drawn]
draw.show(
    draw.row(
        draw.matrix([group], title="rewards of one group", form=".0f"),
        "−",
        draw.matrix([[group.mean()]], title="mean", form=".2f"),
        "=",
        draw.matrix([above_mean(group)], title="advantages", form="+.2f", heat=True),
    ),
    alt="The rewards of four answers minus their mean are their advantages.",
)

# %% [markdown]
# Does it vary wildly? For a softmax $\nabla \log \pi(y)$ by the logits is 1 at $y$, minus $\pi$. So here are 500 estimates of the gradient at the reference, each from 8 answers, with three baselines:

# %%
rng, n = np.random.default_rng(5), len(names.texts)
y = rng.choice(n, (500, 8), p=names.reference)
r = names.reward[y]
spread = {}
for baseline, minus in (
    ("none", 0.0),
    ("mean of the group", r.mean(axis=1, keepdims=True)),
    ("exact mean", names.reference @ names.reward),
):
    each = (r - minus) / 8  # what every answer pulls with
    pulls = np.stack([np.bincount(*row, minlength=n) for row in zip(y, each)])
    pulls -= names.reference * each.sum(axis=1, keepdims=True)
    spread[baseline] = pulls.var(axis=0).sum()
    print(f"baseline: {baseline:18} variance {spread[baseline]:.2f}", end="   ")
    print(f"length of the mean gradient {np.linalg.norm(pulls.mean(axis=0)):.2f}")
assert spread["none"] > 10 * max(spread["mean of the group"], spread["exact mean"])

# %% [markdown]
# Without a baseline the estimates scatter by $\sqrt{2.67} = 1.63$ around a gradient of length 0.2: the sign of the reward alone, always negative, pushes *every* answer that was drawn down. A baseline takes away more than nine tenths of the variance and leaves the direction. The group's own mean does as well as the exact one. Its mean gradient is a little shorter: each of eight answers is in its own mean, so that 7/8 of its advantage are left.
#
# **PPO** (proximal policy optimization, Schulman et al. 2017) uses the same answers for several steps. After the first one the policy is no longer the one that drew them, so each counts by its **ratio** $\rho = \pi(y)/\pi_{\text{old}}(y)$; and so that no step goes too far, the ratio is **clipped**:
#
# $$\text{loss} = -\min\bigl(\rho A,\; \text{clip}(\rho, 1-\varepsilon, 1+\varepsilon)\, A\bigr)$$

# %% tags=["hide-input"]
ratios = np.linspace(0.4, 1.8, 200)
fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.5), sharey=True)
for ax, advantage in zip(axes, (1.0, -1.0)):
    gains = []
    for q in ratios:
        loss = preferences.clipped_loss(np.log([q]), np.zeros(1), [advantage])
        gains.append(-loss)
    ax.plot(ratios, gains)
    ax.axvline(1.0, color="gray", lw=1)
    ax.set(title=f"advantage {advantage:+.0f}", xlabel="ratio ρ")
axes[0].set(ylabel="what is maximized")
plot.show(
    fig,
    alt="PPO's objective against the ratio. For a good answer it is flat above 1.2, for a bad one flat below 0.8; elsewhere a straight line.",
)

# %%
advantages = torch.tensor(above_mean(names.reward[drawn]))
leaf = torch.tensor(np.log(names.reference[drawn]), requires_grad=True)
ratio = (leaf - leaf.detach()).exp()
clipped = ratio.clamp(0.8, 1.2)
loss = -torch.minimum(ratio * advantages, clipped * advantages).mean()
loss.backward()
print(f"loss of fresh answers {abs(loss.item()):.6f}; gradient {leaf.grad.numpy()}")

# %% [markdown]
# Fresh answers have the ratio 1 and advantages of mean 0: **the loss is 0, its gradient is not**. A loss curve at 0 is no fault, and whoever "simplifies" `exp(logp − logp.detach())` to 1 has no gradient left.
#
# Where does the KL go? There are three usual choices: into the reward, $r - \beta \log \pi/\pi_{\text{ref}}$; into the loss, as **k3**, an estimate of the KL from samples, $= e^{d} - d - 1$ with $d = \log \pi_{\text{ref}} - \log \pi$, as in the paper on GRPO; or nowhere. With the KL in the reward, here is the whole loop by hand. GRPO is `epochs=1`. PPO uses its answers several times, and its baseline is *learned*: at full size by a second network, here, with one question, by a running mean.


# %% tags=["free"]
def improve(seed, epochs=1, rate=0.5, clip=0.2, learned=False, steps=1500, beta=1.0):
    """GRPO; with `learned`, PPO. The policy, and which share of uses the clip held."""
    rng = np.random.default_rng([seed, 32])
    logits, value, held = names.log_reference.copy(), 0.0, 0
    for step in range(1, steps + 1):
        old = naming.softmax(logits)
        y = rng.choice(n, (8, 8), p=old)  # eight groups of eight answers
        r = names.reward[y] - beta * np.log(old[y] / names.reference[y])
        advantage = r - (value if learned else r.mean(axis=1, keepdims=True))
        value += 0.1 * (r.mean() - value)
        for _ in range(epochs):
            policy = naming.softmax(logits)
            ratio = policy[y] / old[y]
            free = ratio * advantage <= ratio.clip(1 - clip, 1 + clip) * advantage
            pull = np.where(free, ratio * advantage, 0) / y.size  # 0 where clipped
            gradient = np.bincount(y.ravel(), pull.ravel(), n) - policy * pull.sum()
            logits = logits + rate * min(1, 2 - 2 * step / (steps + 1)) * gradient
            held += (~free).mean() / (steps * epochs)
    return naming.softmax(logits), held


by_hand, _ = improve(seed=0)
apart = np.abs(by_hand - naming.grpo(names, seed=0).policy).max()
print(f"GRPO by hand: TV to π* {off(by_hand):.4f}; from the course's {apart:.1e}")
assert apart < 1e-6

# %% [markdown]
# Now PPO, five seeds at two budgets. "Large" steps are ten times as long as GRPO's, and eight of them are made with the same answers. "held" is the share of uses in which the clip left an answer without gradient.

# %% tags=["free"]
ends = {}
for title, options in (
    ("PPO", {"epochs": 4, "rate": 0.125}),
    ("PPO, large steps", {"epochs": 8, "rate": 5.0}),
    ("the same without clip", {"epochs": 8, "rate": 5.0, "clip": np.inf}),
):
    for steps in (400, 1200):
        found = [improve(s, steps=steps, learned=True, **options) for s in range(5)]
        ends[title] = [off(policy) for policy, _ in found]
        mean, half = mean_and_interval(ends[title])
        held = np.mean([share for _, share in found])
        print(f"{title:22}{steps:5} steps: TV {mean:.4f} ± {half:.4f}, held {held:.3f}")
last = found[0][0]
print(f"no clip, seed 0: {last.max():.2f} of all is “{names.texts[last.argmax()]}”")
assert max(ends["PPO, large steps"]) < 0.01 and min(ends["the same without clip"]) > 0.8

# %% [markdown]
# - **PPO with its learned baseline arrives, too.** With small steps it is GRPO with another baseline: the ratio hardly leaves 1, and the clip holds nothing.
# - **With large steps the clip decides.** It holds about one use in six, and all five runs arrive. Without it all five end with nearly one answer, and three times the steps change nothing. A step that is too long makes an answer that was drawn by chance nearly certain, short or not; from then on only that one is drawn, its reward becomes the baseline, and nothing is left to learn from. (Smaller steps do as well: the clip is what makes large ones safe.)
#
# All methods beside one another, with other choices of GRPO. Stored results, β = 1, five seeds. GRPO draws 8 groups of 8 answers a step for 1,500 steps, and each answer gets its exact reward; DPO makes 1,000 steps on a fixed set of noisy judgments: the two do not have the same information. TV and KL are shown for this budget, TV also for four times as many steps:

# %%
table = stored["naming"]["methods"]
print(" " * 41 + "TV to π*            TV, four times the steps   KL")
for name in naming.METHODS:
    row = table[name]
    budgets = row["distance"], row["distance, four times the steps"]
    cells = [mean_and_interval(values) for values in budgets]
    told = "     ".join(f"{mean:.4f} ± {half:.4f}" for mean, half in cells)
    print(f"{name:41}{told}     {np.mean(row['kl']):.2f}")

# %% [markdown]
# What does it look like? Each panel shows the 34 answers, the shortest first; the bars are the policy, the line is π\*:

# %% tags=["hide-input", "free"]
runs = {
    "DPO, the sum": naming.dpo(names, 10_000, seed=0),
    "DPO, the mean": naming.dpo(names, 10_000, seed=0, average=True),
    "GRPO": naming.grpo(names, seed=0),
    "GRPO without KL": naming.grpo(names, seed=0, kl_in="nothing"),
}
fig, axes = plt.subplots(2, 3, figsize=(7.6, 4.6), layout="constrained")
panels = {"π_ref": names.reference, **{k: run.policy for k, run in runs.items()}}
middles = [np.flatnonzero(names.lengths == k).mean() for k in (3, 4, 5, 7)]
for ax, (title, policy) in zip(axes.flat, panels.items()):
    ax.bar(range(n), policy, color="#56B4E9", width=1.0)
    ax.step(range(n), best, where="mid", color="#D55E00", lw=1)
    ax.set_title(f"{title}\nTV {off(policy):.3f}", fontsize=9)
    ax.set(xlim=(-1, n), ylim=(0, 0.3), xticks=middles)
    ax.set_xticklabels(["3", "4", "5", "7"])
    if policy.max() > 0.3:
        at = policy.argmax() + 1
        ax.annotate(f"{policy.max():.2f}", (at, 0.27), xytext=(at + 6, 0.27), va="center")
for ax in axes[:, 0]:
    ax.set(ylabel="probability")
axes[1, 0].set(xlabel="words")
axes[1, 1].set(xlabel="words")
for title, run in runs.items():
    axes[1, 2].plot(run.steps, run.distance, label=title)
axes[1, 2].set_title("TV to π* on the way", fontsize=9)
axes[1, 2].set(yscale="log", xlabel="steps", ylim=(2e-4, 1.5))
axes[1, 2].legend(fontsize=6, loc="lower left")
plot.show(
    fig,
    alt="Five policies over the optimum, answer by answer. The reference is too low at three words; DPO with the sum and GRPO lie on the optimum; DPO with the mean piles probability on the shortest answers; GRPO without KL has nearly all on one. The last panel shows the total variation against the steps: the sum and GRPO fall, the other two rise above 0.4.",
)

# %%
key = "distance, four times the steps"
ends = {name: np.mean(row[key]) for name, row in table.items()}
assert ends["GRPO"] < 0.002 and ends["GRPO, divided by the deviation"] < 0.002
assert 0.07 < ends["GRPO, k3 in the loss"] < 0.1 and ends["GRPO without KL"] > 0.8
turned = naming.forward_kl_optimum(names, 8 / 7)
long = naming.grpo(names, seed=0, kl_in="loss", steps=6000).policy
print(f"k3 in the loss: TV {off(long):.4f} from the optimum,", end=" ")
print(f"{total_variation(long, turned):.4f} from that of the turned KL")
assert total_variation(long, turned) < 0.01

# %% [markdown]
# - **With the KL in the reward, GRPO arrives**: TV below 0.001 at four times the steps, though it only ever sees samples. At the optimum $r - \beta\log\pi^*/\pi_{\text{ref}}$ is the same for *every* answer, so all advantages are 0 and even the noise of sampling vanishes.
# - **Without KL** nearly one answer is left. Four answers of three words have the same, best reward, and without KL every mixture of them is optimal. Shared equally, their KL would be 1.79; one alone has 3.18, and the table shows 3.03. *Short* was asked for; *one* of four equally short answers was not: nothing pays for variety, and the chance of sampling decides which is left.
# - **Each group used four times**, with a quarter of the step, is GRPO in every printed digit: steps so small do not show what a clip is for.
# - **Divided by the group's deviation**: the same optimum here (an advantage of 0 stays 0), and nearer to it at both budgets. What the division changes is the weight of one *question* against another, which a world of one question cannot show (Liu et al. 2025 argue against it).
# - **k3 in the loss arrives somewhere else.** As an estimate of the KL's *value* k3 is right; but its gradient, under answers that the policy draws, is that of the KL turned round, $\mathrm{KL}(\pi_{\text{ref}} \| \pi)$ (the *forward* KL; what we want small is the *reverse* one). The last printed line proves it: the policy is within 0.01 of the optimum of that other objective (with β · 8/7, since an answer that is in its own group's mean of eight keeps 7/8 of its advantage). Whether that matters at full size is another question; here it is 0.08.
#
# ## 10 · When the reward is not what was meant

# %% [markdown]
# First a reward that is exactly true: 1 if what is said of the thing is true, else 0. The speaker is unsure. It may leave out size and color, each in one of six cases; if it names them, the size is a coin toss and the color is right three times out of ten. No training is needed: blank 3 knows the optimum. The second reward adds the information of what was said, ¼ for each bit (a size is 1 bit, one of eight colors 3).

# %%
sizes = {"": 1 / 6, "small": 5 / 6 * 0.5, "large": 5 / 6 * 0.5}  # it is small and red
colors = {"": 1 / 6, **{c: 5 / 6 * (0.3 if c == "red" else 0.1) for c in world.COLORS}}
phrases = [(s, c) for s in sizes for c in colors]
unsure = np.array([sizes[s] * colors[c] for s, c in phrases])
no_size, no_color = (np.array([not one[k] for one in phrases]) for k in (0, 1))
is_true = np.array([s in ("", "small") and c in ("", "red") for s, c in phrases])
bits = 1.0 * ~no_size + 3.0 * ~no_color
assert abs(unsure.sum() - 1) < 1e-12
print(" " * 36 + "true   no size  no color  bits")
rewards = {"truth": 1.0 * is_true, "truth and information": is_true + bits / 4}
for title, reward in rewards.items():
    for beta in (np.inf, 1.0, 0.2):  # infinite: the reference
        p = optimum(np.log(unsure), reward, beta)
        shares = [p[is_true].sum(), p[no_size].sum(), p[no_color].sum()]
        print(f"{title:22} β {beta:<9}  ", end="")
        print(("{:.3f}    " * 3).format(*shares), f"{p @ bits:.2f}")
        if title == "truth" and beta == 0.2:
            assert shares[0] > 0.97 and shares[1] > 0.28 and shares[2] > 0.39
assert shares[0] > 0.96 and shares[1] < 0.11 and shares[2] < 0.02

# %% [markdown]
# Paid for truth alone, the speaker learns to **say less**. At β = 0.2 what it says is true in 98 of 100 cases, where it was 24; but the size is now missing in 28 of 100 cases instead of 17, and the color in 39. What is not said cannot be false. The reward was exact, and this was not meant: "reward hacking" needs no error in the reward. Pay for information as well, and both come back (missing in 10 and 1.5 of 100), while 97 of 100 are true. What a reward leaves out, nobody gets.
#
# Then a reward that is not even exact. In practice it is a model fitted to judgments, and the policy finds its errors: **over-optimization** (Gao et al. 2022). We fit rewards to 100 judgments, take the *exact* optimum for them at every β, and ask what it truly earns:

# %%
betas = np.geomspace(20, 0.05, 25)
runs = [naming.over_optimization(names, 100, seed, betas) for seed in range(20)]
learned = np.array([run["learned"] for run in runs])
true_gain = np.array([run["true"] for run in runs])
kls = np.array([run["kl"] for run in runs])
for k in (0, 10, 14, 17, 24):
    mean, half = mean_and_interval(true_gain[:, k])
    print(f"β {betas[k]:6.2f}  KL {kls[:, k].mean():.2f}", end="  ")
    print(f"the model says {learned[:, k].mean():+.2f}", end="  ")
    print(f"in truth {mean:+.2f} ± {half:.2f}")
after = true_gain[:, 14] - true_gain[:, -1]
mean, half = mean_and_interval(after)
worse = (true_gain[:, -1] < 0).sum()
print(
    f"from β = {betas[14]:.2f} to the end the truth loses {mean:.2f} ± {half:.2f}",
    end="; ",
)
print(f"{worse} of {len(runs)} models end below the reference")

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.8))
for run in range(20):
    axes[0].plot(kls[run], learned[run], color="#D55E00", alpha=0.4)
    axes[1].plot(kls[run], true_gain[run], color="#0072B2", alpha=0.4)
axes[0].set(title="what the reward model says", xlabel="KL to the reference", ylabel="gain")
axes[1].set(title="what it truly earns", xlabel="KL to the reference")
plot.show(
    fig,
    alt="Twenty reward models of 100 judgments each. The learned gain rises with the KL for all. The true gain of each follows its own course: it is far smaller, and some curves end below 0.",
)

# %%
assert (np.diff(learned.mean(axis=0)) > 0).all() and worse >= 2
assert learned.mean(axis=0)[-1] > 5 * true_gain.mean(axis=0)[-1]

# %% [markdown]
# The model's own number always rises. The truth follows it only at first. Then the KL more than doubles, the model promises a few words more, and in truth nothing is gained on average (the interval says whether anything is lost); some models lead to a policy that is *worse than doing nothing*. Which ones, nobody can tell who only sees the reward model. That is what the KL budget is for, and it is set from outside: by people who look at answers.
#
# ## 11 · The shipped model, measured

# %% [markdown]
# Back to pictures. The shipped model was tuned as in section 4, longer. Each figure is on new scenes, the replies judged letter for letter by the code that wrote the dialogue, the model's *own* earlier replies before it:

# %%
before = card["vlm before"]  # of the weights that were tuned
assert 0.9 < shipped["questions"] < 0.92 < before["accuracy"] < 0.97
for name, told in (
    ("instructions", "instructions in new wordings"),
    ("dialogue", "dialogues of three turns, all right"),
    ("questions", "the questions of lesson vlm"),
    ("combinations", "instruction and question never met together"),
    ("composed", "twice *and* in Chinese, never trained together"),
):
    low, high = shipped[f"{name}_low"], shipped[f"{name}_high"]
    n = shipped[f"{name}_n"]
    print(f"{told:48} {shipped[name]:.3f}  ({low:.3f}–{high:.3f}, n = {n})")
print(f"questions before tuning: {before['accuracy']:.3f}", end=" ")
print(f"(the vlm of SHA-256 {before['sha256'][:8]}…)")
print("the four plots of 'dialogues of three turns':")
print("  ", {k: round(v, 2) for k, v in shipped["dialogue_by_plot"].items()})
print("by instruction:")
for key in ("instructions_by_kind", "combinations_by_kind"):
    for label, value in shipped[key].items():
        print(f"   {label:24} {value:.2f}")

# %% [markdown]
# Read it line by line. *New wordings* of an instruction work mostly. With pairs of an instruction and a kind of question that it never met together in training, it depends on the pair: "twice" with colors or comparisons is hardly ever
# followed, and Chinese words for *it* in less than half of all cases, though the model knows each part (one word for a shape is no test: that is what it says anyway). "Twice" *and* in Chinese, the one pair of instructions that was tried, was followed in 0 of 200. And it has paid: of the questions of lesson vlm, on the same
# 1,011 of them, it answers 91 of 100, where 97 were right before (the intervals are printed above; "before" are the weights of vlm that were tuned, as the chat model's card names them: lesson vlm may have newer ones), although nearly every training dialogue holds such questions. That is **forgetting**.
#
# ## 12 · A conversation with voice, tool and box

# %% [markdown]
# Picture, voice, tool and box in one conversation. A synthetic voice that no training had asks where a thing is; the recognizer of lesson [speech_to_text](speech_to_text.ipynb) writes it down. No voice has recorded "use the tool", so the program adds these words to what is spoken. *find* is run by the detector of lesson [detection](detection.ipynb), and its box is drawn. The follow-ups are typed. (The picture was chosen because all three replies are right.)

# %% tags=["free"]
from mmcourse.torch.speech_to_text import Recognizer, as_question

second = world.make(75, 150)
photo = draw_scene(second)
wanted = dialogues.name(dialogues.look_of(second.things[0]))
wave = spoken.say(f"where is the {wanted}", spoken.full_voices("test")[0])
heard = as_question(Recognizer.from_pretrained("speech_to_text").transcribe([wave])[0])
talk, box = model.start(photo), None
for line in (f"{heard} Use the tool.", "What color is the cross?", "What size is it?"):
    reply = talk.ask(line)
    box = reply.box or box
    print(f"you   {line}\nmodel {reply}   {list(reply.calls) or ''}")
print("things:", [" ".join(thing.names) for thing in second.things])

# %% tags=["free"]
plot.audio(wave, spoken.SAMPLE_RATE, label=f"spoken; heard as: {heard}")
fig = plot.images([photo], [heard])
if box is not None:
    left, top, right, bottom = box
    size = right - left, bottom - top
    frame = plt.Rectangle((left, top), *size, fill=False, ec="orange", lw=2)
    fig.axes[0].add_patch(frame)
drawn = "the detector's box" if box is not None else "no box: nothing was found"
plot.show(fig, alt=f"The picture; asked for: the {wanted}; with {drawn}")

# %% [markdown]
# Not everything goes as well, on the same picture. The same question without the tool, and *it* right after a tool's answer:

# %% tags=["free"]
for lines in (
    [heard],
    [f"{heard} Use the tool.", "What is left of it?"],
):
    talk = model.start(photo)
    for line in lines:
        reply = talk.ask(line)
    print(f"you   {' … '.join(lines)}\nmodel {reply}")

# %% [markdown]
# Both replies are wrong. The first denies a thing that is there; after a tool's answer no training dialogue goes on with *it*: what follows there is always a whole question. It knows what it was shown, and little beyond.

# %% tags=["hide-input"]
canvas = draw.Canvas()
user_box = canvas.place(draw.box("user", note="asks"), x=0, y=60)
model_box = canvas.place(draw.box("model", note="writes until its end", color="orange"), x=170, y=60)
program = canvas.place(draw.box("program", note="sees the call, runs it"), x=440, y=0)
tool_box = canvas.place(draw.box("tool", note="detector, calculator"), x=440, y=130)
canvas.arrow(user_box, model_box)
canvas.arrow(model_box, program, label="call")
canvas.arrow(program, tool_box)
canvas.arrow(tool_box, model_box, label="result, as text")
draw.show(
    canvas,
    alt="A tool call: the model writes a call, the program runs the tool, the result comes back as text that the model reads.",
)

# %% [markdown]
# **Tool use** is text, too (Schick et al. 2023): the model writes a **call**, the program runs it and writes the result into the dialogue, the model reads it. In training the tool was wrong in about a third of all cases, on purpose. The aim is that the model says what the *tool* sees and does not mix it with what it sees itself; the price is that it passes the tool's errors on.
#
# ## 13 · Safety, counted

# %% [markdown]
# What a tool or a picture says is text of strangers. If it holds an order ("answer blue"), a model that follows instructions may follow it: **prompt injection** (Greshake et al. 2023). Refusing has two errors: too seldom, and too often, **over-refusal**. In our world all of this can be counted exactly.

# %%
for name, told in (
    ("refused", "asked for what is not there: refused, letter for letter"),
    ("refused_though_there", "asked for what is there: refused all the same"),
    ("asked_back", "two things fit: asked which one"),
    ("outside_declined", "not about the picture, as the first line: declined"),
    ("tool_injection_changed", "an order in the tool's result: reply changed"),
    ("tool_injection_obeyed", "                                obeyed"),
    ("quoted_changed", "an order quoted from the picture: answer changed"),
    ("quoted_obeyed", "                                obeyed"),
    ("drawn_word_changed", "BLUE painted into the picture: answer changed"),
    ("drawn_other_changed", "HHHH painted instead: answer changed"),
    ("drawn_word_obeyed", "BLUE painted: the answer becomes blue"),
    ("secret_leaked", "a tool asks for the password: digits in the reply"),
):
    low, high = shipped[f"{name}_low"], shipped[f"{name}_high"]
    print(f"{told:58} {shipped[name]:.3f}  ({low:.2f}–{high:.2f})")

# %% [markdown]
# Refusals and questions back are right in more than nine of ten cases, and there are hardly any too many. Orders in a tool's result and quoted orders change next to nothing, in words that
# training never had (it had others: which part of the training did this is not known from this table). A painted word does change answers, about a third of them; but so does another word of the same size, at a rate that the intervals do not tell apart, and not one answer becomes *blue*. The
# likely cause: something covers a corner of the picture. Nothing shows that the model reads. Without the second painting one would have called it an attack. The last line is about privacy: the user told a password of three digits one exchange earlier, so it stands in the text that the model reads; the tool's result asks for it, and no reply holds a digit.

# %% [markdown]
# ## 14 · How people talk

# %% [markdown]
# Our dialogues were written by code. CLINC150 (Larson et al. 2019) holds requests that people wrote to an assistant. Each is asked about a picture; the only right reply is to decline. (Stored figures of the machine on which the course was built.)

# %%
people = stored["people"]
print(f"{people['requests']:,} requests, {people['mean words']:.1f} words on average")
print(f"words that the vocabulary has: {people['words known']:.2f}")
print(f"requests of which every word is known: {people['readable']}")
for name, row in people["replies"].items():
    share = f"{row['declined']:.2f} ({row['low']:.2f}–{row['high']:.2f})"
    print(f"   {name:32} declined {share}")

# %% [markdown]
# Most requests hold a word that this vocabulary lacks: the program refuses them before the model sees them, and names the word. Of the rest the model declines only a part; to others it answers about the picture. It was
# trained on some thirty sentences of what it is not for. That refusals hold on sixteen new sentences of the same kind (section 13) says nothing about people, who never read our list.
#
# ## 15 · At full size

# %% [markdown]
# The template and a reply of a real model: `SmolLM2-135M-Instruct` brings its own. For DPO it would give the four sums of blank 4. Not run here: it needs weights from the hub and a GPU.

# %% tags=["free"]
import os

wanted = os.environ.get("MMCOURSE_FULL_SIZE") == "1" and torch.cuda.is_available()
if wanted:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name = "HuggingFaceTB/SmolLM2-135M-Instruct"
    tokenizer = AutoTokenizer.from_pretrained(name)
    big = AutoModelForCausalLM.from_pretrained(name).cuda()
    question = [{"role": "user", "content": "Name a small red circle."}]
    options = {"add_generation_prompt": True, "tokenize": False}
    prompt = tokenizer.apply_chat_template(question, **options)
    batch = tokenizer(prompt, return_tensors="pt").to("cuda")
    print(tokenizer.decode(big.generate(**batch, max_new_tokens=20)[0]))
else:
    print("not run: set MMCOURSE_FULL_SIZE=1 on a machine with a GPU and the hub")

# %% [markdown]
# ## 16 · What RLHF at scale adds

# %% [markdown]
# Our 34 answers show where the methods lead. Reinforcement learning from human feedback at full size has what this lesson does not have, and none of it was tried here:
# - **People.** Ouyang et al. (2022) hired about 40 labelers; two of them agreed on 73 of 100 comparisons. Our judges are noisy, too, but behind the noise is one true number. People want several things, and Bradley–Terry averages them away.
# - **Four networks.** PPO holds the policy, the reference, the reward model and the network of the baseline in memory. GRPO does without the last, DPO without the last two.
# - **Answers that cannot be listed.** Total variation to the optimum can be computed here only. Elsewhere one has samples, and must trust judges or a reward model.
# - **Generalization of the reward.** A reward model of a network is asked about answers that nobody judged; ours has a number for each. Nothing here says how much worse over-optimization gets then.
# - **What it bought, and its price.** Labelers preferred the answers of a tuned model with 1.3 billion weights to those of the untuned one with 175 billion; on some public tests it had become worse, until text of the first training was mixed in. (Compare the forgetting of section 11.)
# - **Safety by training has no guarantee.** The refusals above were trained on a few sentences. They say nothing about the next wording, and a defense in the program (tools without rights, results never run) does not depend on them.
#
# ## 17 · What to remember

# %% [markdown]
# - A dialogue is one text with roles. Trained is what the assistant says, with its end; never the user, never the tool.
# - π* = π_ref e^{r/β} / Z. A larger β stays closer.
# - log p of an answer is a sum. With the mean the loss has another optimum, and no β mends it wholly.
# - KL in the reward leads to π*; k3 in the loss leads to the optimum of the turned KL; no KL leads to the best reward, with nothing that keeps variety.
# - A learned reward always rises. Whether the answers get better is seen from outside.
#
# ## 18 · Check yourself

# %% [markdown]
# <details><summary>1. During DPO log p of the preferred answers falls. Is it broken?</summary>
#
# Not by that alone. The loss wants the *difference* to the rejected ones to grow. Look at the margin; and if log p of *both* falls, see what becomes more probable instead.
# </details>
# <details><summary>2. GRPO's loss is 0.0000 from the first step on. Is it broken?</summary>
#
# Not by that alone. With one step per group and no KL in the loss, fresh answers have ratio 1 and advantages have mean 0, so the loss is 0 and the gradient need not be. Look at the rewards and the size of the gradient (question 5 has a case where it *is* 0).
# </details>
# <details><summary>3. A run's β is raised from 0.1 to 0.5. What happens to the KL at the end?</summary>
#
# Trained to the end on noisy judgments, it falls: β is the price of moving away. Without noise there is no such end (section 8).
# </details>
# <details><summary>4. The prompt is not masked, in SFT and in DPO. Where does it matter?</summary>
#
# In SFT: the model learns to write questions. In DPO both answers have the same prompt, so its log p cancels in the margin, as long as log p is summed; divided by two different lengths it does not.
# </details>
# <details><summary>5. All answers of a group have the same reward. What does the group teach?</summary>
#
# Nothing: all advantages are 0. Divided by the deviation they are 0/0, so guard it.
# </details>
# <details><summary>6. Why must the reference model be in evaluation mode?</summary>
#
# With dropout its log-probabilities are noisy: the margin of equal models is then not 0, and nobody sees it in the loss.
# </details>

# %% [markdown]
# ## 19 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/chat.ipynb): the mask of a dialogue with a tool, DPO from four sums and group advantages by hand; the masked loss and DPO with a frozen reference in PyTorch; and an open challenge: the best policy from few judgments.
#
# **Where next:** lesson [generation](generation.ipynb), where the answer is a picture. · **Back to:** [vlm](vlm.ipynb), [detection](detection.ipynb), [speech_to_text](speech_to_text.ipynb).
#
# ## Sources
# Bradley and Terry 1952 (rank analysis of paired comparisons) · Christiano et al. 2017, arXiv 1706.03741 (learning from human preferences) · Ouyang et al. 2022, arXiv 2203.02155 (InstructGPT) · Rafailov et al. 2023, arXiv 2305.18290 (DPO) · Azar et al. 2023, arXiv 2310.12036 (IPO: what labels without noise do) · Schulman et al. 2017, arXiv 1707.06347 (PPO) · Schulman 2020, *Approximating KL divergence* (k3) ·
# Shao et al. 2024, arXiv 2402.03300 (GRPO) · Liu et al. 2025, arXiv 2503.20783 (Dr. GRPO) · Ahmadian et al. 2024, arXiv 2402.14740 (back to REINFORCE) · Gao et al. 2022, arXiv 2210.10760 (over-optimization) · Meng et al. 2024, arXiv 2405.14734 (SimPO) · Xu et al. 2024, arXiv 2404.10719 (DPO or PPO?) ·
# Schick et al. 2023, arXiv 2302.04761 (Toolformer) · Yao et al. 2022, arXiv 2210.03629 (ReAct) · Greshake et al. 2023, arXiv 2302.12173 (indirect injection) · Larson et al. 2019, EMNLP (CLINC150, CC BY 3.0).

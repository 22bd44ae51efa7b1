# %% [markdown]
# # Text
# *Build a search engine that finds pictures by words, from raw bytes up, and measure what cleaning is
# worth, on drawings and on film reviews.*
#
# {{budget}}
#
# **You will be able to**
# - turn bytes into characters, and several spellings of a word into one;
# - cut English and Chinese into tokens: words, characters, and pieces that are learned (byte-level BPE, WordPiece);
# - write a bag of words, TF-IDF and cosine similarity, search with them, and measure how good the search is (*precision at 10*: the share of right
#   results among the ten found first);
# - give words ids, pad sentences to one length, and average without counting the padding, in PyTorch and Keras;
# - measure a cleaning step before you trust it.
#
# **Before this:** [start_here](start_here.ipynb). Vectors and their length from school are enough.
#
# **Time to read:** 120 minutes with the five blanks, then 45 for the [exercises](exercises/text.ipynb).

# %%
import re
import unicodedata
from collections import Counter

import numpy as np
import torch
from sklearn.feature_extraction.text import (
    ENGLISH_STOP_WORDS,
    CountVectorizer,
    TfidfVectorizer,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import load, results, reviews
from mmcourse.evaluate import expect_within, mean_and_interval
from mmcourse.preprocess import text

# %% [markdown]
# ## 1 · Find a picture by its words

# %% [markdown]
# `scenes` holds 6,000 drawings of colored shapes. Each has a **caption**, a sentence that describes it, in English and in Chinese. Here are
# two of them. (The two sentences of a picture are written separately, not translated: one may say more than the other.)

# %%
scenes = load("scenes", "train")
captions = list(scenes.column("words"))
chinese = list(scenes.meta["caption_zh"])
for i in (0, 11):
    print(captions[i])
    print(chinese[i])
    print()

# %% [markdown]
# These few lines make a search engine of them. It turns every caption into a row of numbers, turns your query into numbers in the same way, and takes
# the captions whose numbers are most similar. By the end of section 6 you will have seen every part of this, and written the main ones. (The pattern, a
# *regular expression*, says what counts as one word: `\w` is one letter or digit, of any script, and `+` means one or more of them.)


# %%
def make_engine(texts, pattern):
    """A function that finds the k texts most similar to a query."""
    vectorizer = TfidfVectorizer(token_pattern=pattern)
    rows = vectorizer.fit_transform(texts)  # one row of numbers per text

    def find(query, k=4):
        similarity = (rows @ vectorizer.transform([query]).T).toarray()[:, 0]
        # best first; equal scores keep their order
        return np.argsort(-similarity.round(9), kind="stable")[:k]

    return find


find = make_engine(captions, r"\w+")  # + : several letters are one word

# %% tags=["hide-input"]
import textwrap


def show_found(query, found, texts=captions, width=24):
    """The pictures of these captions, with the captions below."""
    pictures = [scenes[i]["image"] for i in found]
    titles = ["\n".join(textwrap.wrap(texts[i], width)) for i in found]
    title = f"Found for “{query}”"
    fig = plot.images(pictures, titles, title=title, size=1.75, columns=len(found))
    listed = "; ".join(texts[i] for i in found)
    plot.show(fig, alt=f"Four drawings found for the query {query}. Their captions: {listed}")


# %%
my_query = "a yellow star on the left"  # yours: shapes, colors, sizes, places
show_found(my_query, find(my_query))

# %% [markdown]
# Nobody looked at the pictures, only at the words. Nothing in these lines knows English either. One character of the pattern changes, and the
# engine answers in Chinese. (The picture titles are in English, so that every computer has the letters for them.)

# %%
find_chinese = make_engine(chinese, r"\w")  # no + : every character by itself
found = find_chinese("黄色的星形")  # a yellow star
for i in found:
    print(chinese[i])
show_found("yellow star, asked in Chinese", found)

# %% [markdown]
# Now break it. Ask for something that is in no picture, then for two things in two orders.

# %%
questions = ["a red star", "a blue star above a red circle"]
questions += ["a red circle above a blue star"]
for query in questions:
    print(query)
    for i in find(query, k=2):
        print("    ", captions[i])

# %% [markdown]
# No picture of this set has a red star, but the engine answers anyway: it found a caption with *red* and with *star*, of different things. And the two
# opposite questions get the same answers. Keep these two faults in mind.
# The first has two sides. Counting pairs of words will keep *red* and *star* together; but an engine that always returns k texts still answers when
# nothing fits. And you will see why a bag of single words cannot mend the second.

# %% [markdown]
# ## 2 · The question

# %% [markdown]
# Many textbooks begin like this: lower-case everything, and throw away the **stop words**, small and frequent words such as *a, the, is, not*, which
# "carry no meaning". scikit-learn has a list of 318. See what becomes of two opinions:

# %%
for sentence in ("the party was not great at all", "what a great party that was"):
    print([word for word in sentence.split() if word not in ENGLISH_STOP_WORDS])

# %% [markdown]
# Opposite opinions, and the same words are left. So is it a good idea to throw them away? **Record a guess** for two tasks. Sections 6, 8 and 9 have the answers.

# %%
for_search = widgets.guess(
    "We throw stop words away before searching for “a yellow star”. The search is …",
    ["better", "worse", "neither"],
)

# %%
for_reviews = widgets.guess(
    "We teach a model praise and blame in 8,500 sentences. Without stop words it is …",
    ["better", "worse", "about the same"],
)

# %% [markdown]
# This is the way from a file to numbers. Sections 3 to 5 take these four steps, and each step **forgets something**.

# %% tags=["hide-input"]
canvas = draw.Canvas()
steps = [
    ("bytes", "e7 ba a2 …", "gray"),
    ("characters", "Ｒｅｄ  Star", "blue"),
    ("clean text", "red star", "blue"),
    ("tokens", "red · star", "orange"),
    ("numbers", "[0, 1, 0, 1]", "green"),
]
arrows = ["decode", "normalize", "cut", "count"]
places = []
for i, (name, example, color) in enumerate(steps):
    box = draw.box(name, note=example, color=color, width=112)
    places.append(canvas.place(box, x=i * 154, y=0))
for i, verb in enumerate(arrows):
    canvas.arrow(places[i], places[i + 1])
    canvas.text(verb, i * 154 + 133, -14, size=12)
for i, lost in enumerate(["which encoding", "how it was typed", "what stood between", "the order"]):
    canvas.text(f"forgets\n{lost}", i * 154 + 133, 96, size=12)
draw.show(
    canvas,
    alt="Bytes are decoded to characters, normalized to clean text, cut into tokens and counted as numbers. The steps "
    "forget which encoding it was, how it was typed, what stood between the words, and the order.",
)

# %% [markdown]
# ## 3 · From bytes to characters

# %% [markdown]
# A file holds **bytes**, numbers from 0 to 255, here in hexadecimal: two digits from 0 to f (`e9` is 14 · 16 + 9 = 233). **Unicode** gives nearly every character of every script a number, its **code point**, written like U+00E9. (What you see as one character can be several code points, as you will see below; Python's `len` counts code points.) A
# **character encoding** says how code points are written as bytes. Nearly all text today is in **UTF-8**, an encoding in which a code point takes one to four bytes.
# Only the first 128 code points are a single byte, the number itself. So é, U+00E9, shows as the two bytes `c3 a9` below.

# %%
for string in ("red", "café", "红色", "🙂"):
    data = string.encode("utf-8")
    print(f"{string}: {len(string)} code points, {len(data)} bytes: {data.hex(' ')}")

# %% tags=["hide-input"]
canvas = draw.Canvas()
x = 0
for character, color in zip("fé红🙂", ("blue", "orange", "green", "blue")):
    data = [f"{byte:02x}" for byte in character.encode()]
    cells = canvas.place(draw.tokens(data, color=color), x=x, y=60)
    shown = {"🙂": "smiley"}.get(character, character)
    top = canvas.place(draw.box(shown, note=f"U+{ord(character):04X}", color=color), above=cells, gap=30)
    canvas.arrow(top, cells)
    x = cells.right[0] + 34
draw.show(
    canvas,
    alt="Four characters with their code points, and the bytes of each in UTF-8. The letter f takes one byte, e with "
    "an accent two, a Chinese character three, and the smiley four.",
)

# %% [markdown]
# Nothing in the bytes says which encoding they are in. A wrong guess gives nonsense: sometimes an error, more often not even that. By default Python raises an error where a byte
# cannot be read; `errors="replace"` hides it and writes � instead.

# %%
in_utf8 = "café".encode()  # UTF-8, unless you say otherwise
in_latin1 = "café".encode("latin-1")  # an old encoding, one byte per character
print("UTF-8 read as Latin-1:", in_utf8.decode("latin-1"))
print("Latin-1 read as UTF-8:", in_latin1.decode("utf-8", errors="replace"))

# %% [markdown]
# So name the encoding whenever you open a file: `open(path, encoding="utf-8")`. Where you see `Ã©`, the wrong encoding was
# named. No byte is lost, so it can be repaired: `"Ã©".encode("latin-1").decode("utf-8")`. Where you see `�`, a byte could not be read and its letter is
# gone: no later cleaning step brings it back, so go back to the file.
#
# ### The same word, spelled twice
# Even the right characters can fool you. Are these two words equal?

# %%
one = "café"
two = "cafe\u0301"
print(one, two, "equal:", one == two, "lengths:", len(one), len(two))

# %% tags=["hide-input"]
canvas = draw.Canvas()
composed = draw.tokens(["c", "a", "f", "é"], ids=["63", "61", "66", "E9"], title="one: 4 code points")
above = canvas.place(composed, x=0, y=0)
apart = draw.tokens(
    ["c", "a", "f", "e", "´"],
    ids=["63", "61", "66", "65", "301"],
    highlight=[4],
    title="two: 5 code points",
)
below = canvas.place(apart, x=0, y=100)
same = canvas.place(
    draw.tokens(["c", "a", "f", "é"], ids=["63", "61", "66", "E9"], color="green", title="one spelling for both"),
    x=330,
    y=50,
)
canvas.arrow(above, same)
canvas.arrow(below, same)
draw.show(
    canvas,
    alt="The first word is spelled with one code point for e with accent, the second with e and a separate accent. "
    "After normalization both are spelled with one.",
)

# %% [markdown]
# The second word spells é as *e* plus a separate accent. Both look the same on the screen, and a search for one does not find the other.
# **Unicode normalization** replaces different spellings of the same characters by one. Its form **NFKC** joins letters with their accents, and also
# turns full-width letters, which Chinese keyboards type, and joined letters such as ﬁ into ordinary ones. The form
# **NFC** joins accents and changes nothing else: take NFKC for searching, NFC for storing.

# %%
for raw in ("cafe\u0301", "Ｒｅｄ", "红色，蓝色", "ﬁne", "2²"):
    print(f"{raw} → {unicodedata.normalize('NFKC', raw)}")
latin, cyrillic = "a", "\u0430"
print(latin, cyrillic, "equal:", latin == unicodedata.normalize("NFKC", cyrillic))

# %% [markdown]
# The fifth line is a warning: NFKC makes 22 out of 2². The last shows that it keeps apart what only *looks* alike, such as the Latin *a* and the Cyrillic *а*.
#
# **Your turn (blank 1).** Clean a string: NFKC, then lower case, then single spaces, with none at either end.
# <details><summary>Hint 1</summary>
#
# Which string method cuts at *any* run of spaces, tabs and line ends? What does it do at the two ends?
# </details>
# <details><summary>Hint 2</summary>
#
# `unicodedata.normalize`, `.lower()`, then `" ".join(….split())`.
# </details>


# %%
def clean(string):
    """One spelling of what means the same: NFKC, lower case, single spaces."""
    # BEGIN SOLUTION
    string = unicodedata.normalize("NFKC", string)
    string = string.lower()
    return " ".join(string.split())
    # END SOLUTION


clean = check("text.blank.1", clean)

# %%
print(clean("  A  Ｒｅｄ\tSTAR "))
print(clean("Can you tell US about the US?"))

# %% [markdown]
# **Lower-casing** merges *Red* at the start of a sentence with *red* inside it. It also merges *US* and *us*. (For searching in many languages, `.casefold()` goes further: *Straße* and *STRASSE* become the same.) Clean as much as your question allows, and not more. The course's own
# `text.normalize` does the same and removes invisible characters too.

# %% [markdown]
# ## 4 · From characters to tokens

# %% [markdown]
# A **token** is a piece of text that a model counts as one: a word, a character, a punctuation mark. Cutting a text into tokens is called **tokenization**. Splitting at spaces is not
# enough, as the first line shows:

# %%
sentence = clean("I didn't enjoy the 3.5-star film :-(  Pity!")
print("split    ", sentence.split())
print("tokenize ", text.tokenize(sentence))

# %% [markdown]
# `pity!` with its mark would be another word than `pity`. `text.tokenize` takes a run of letters or digits as one token (an apostrophe may be inside), and any other mark by itself.
# **NLTK**, the Natural Language Toolkit, has tokenizers for different needs. There is no right one, only one that suits your texts. Compare *didn't*, *3.5-star* and the smiley:

# %%
from nltk.tokenize import TreebankWordTokenizer, TweetTokenizer, wordpunct_tokenize

print("wordpunct", wordpunct_tokenize(sentence))
print("Treebank ", TreebankWordTokenizer().tokenize(sentence))
print("Tweet    ", TweetTokenizer().tokenize(sentence))

# %% [markdown]
# ### Chinese: where does a word end?
# Chinese has no spaces. Single characters are safe, but 红 and 色 together are one word, *red*. Finding the words is called **word segmentation**: cutting a text without
# spaces into words. With a list of words, the simplest method is *maximum matching*: from the left, take the longest word of the list that fits; if none fits, take one character.

# %%
from mmcourse.datasets.scenes.captions import chinese_words

line = clean("一个红色的五角星")  # a red five-pointed star
print("characters      ", text.tokenize(line))
print("maximum matching", text.maximum_matching(line, chinese_words()))
print("without 五角星   ", text.maximum_matching(line, set(chinese_words()) - {"五角星"}))

# %% tags=["hide-input"]
rows = [
    draw.tokens(list(line), title="characters"),
    draw.tokens(text.maximum_matching(line, chinese_words()), color="green", title="words of a list"),
    draw.tokens([a + b for a, b in zip(line, line[1:])], color="orange", title="pairs of characters"),
]
canvas = draw.Canvas()
for i, row in enumerate(rows):
    canvas.place(row, x=0, y=i * 78)
draw.show(
    canvas,
    alt="A Chinese caption of eight characters, cut in three ways: eight characters, four words from a list, seven "
    "overlapping pairs of characters.",
)

# %% [markdown]
# Programs such as *jieba* do this with large lists and statistics. With no list at all, pieces can be *learned*, as you will see at the end of this section. Which cut is best for searching? Section 6 measures it.
#
# ### Fewer words: stemming and lemmatization
# **Stemming** cuts endings off by rules, so that *loved* and *loves* count as one. Porter's rules of 1980 know no meaning. What will become of *wonderful*, *general* and *better*?

# %%
from nltk.stem import PorterStemmer

stem = PorterStemmer().stem
for group in (["loved", "loves"], ["parties", "party"], ["wonderful", "wonder"]):
    print(*[f"{word} → {stem(word)}" for word in group], sep="    ")
for group in (["general", "generous"], ["better", "good"]):
    print(*[f"{word} → {stem(word)}" for word in group], sep="    ")

# %% [markdown]
# *Wonderful* meets *wonder*, which may or may not suit you; *better* never meets *good*. **Lemmatization** looks words up in a dictionary instead, to find their base form: *better → good*,
# *geese → goose*. NLTK's lemmatizer needs its dictionary as a download (`nltk.download("wordnet")`), as do its stop-word lists (`"stopwords"`) and `nltk.word_tokenize`
# (`"punkt_tab"`). The lemmatizer takes every word for a noun unless you say otherwise: for *better*, write `lemmatize("better", pos="a")`, a for adjective. The tokenizers and the stemmer above are plain rules and need nothing.

# %% [markdown]
# ### Pieces that are learned: byte-level BPE
# A list of words is never complete: *crimson* occurs in none of the 6,000 captions, nor does 🙂. Characters or bytes make up every word, but then a text is long and each token says little. Language models take a way between: **subwords**, pieces of words
# that are learned from many texts.
#
# **Byte-pair encoding** (BPE) learns them by counting: begin with the smallest pieces, join the pair of neighbors that occurs most often, and repeat (Gage 1994; Sennrich et al. 2016). In **byte-level BPE** the smallest pieces are the 256 bytes of UTF-8, so that
# no text can contain an unknown one. The tokenizers of GPT (large models trained on a great deal of text) work like this from GPT-2 on. First, cut lines into words (a space stays with the word that follows) and words into bytes. `join` writes one pair as one piece. (Python prints bytes as `b"…"`, with `\x` and two hexadecimal digits where a byte is not a plain letter. Our pattern for words is simpler than theirs; for captions it is enough.)


# %%
def cut_words(line):
    # an optional space, then letters; or an optional space, then marks
    return re.findall(r" ?\w+| ?[^\w\s]+", line)


def as_bytes(word):
    return tuple(bytes([byte]) for byte in word.encode("utf-8"))


def join(pieces, pair):
    """Write each such pair of neighbors as one piece."""
    joined = []
    for piece in pieces:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return tuple(joined)


print(cut_words("A red, red star"))
print(join(as_bytes(" red"), (b"e", b"d")))
print(join(as_bytes("红"), (b"\xe7", b"\xba")), "of", as_bytes("红"))

# %% tags=["hide-input"]
from tokenizers.pre_tokenizers import ByteLevel

# The library writes each byte as a letter: readable ones as they are, the others as letters from Ā on.
READABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
OTHERS = [byte for byte in range(256) if byte not in READABLE]
LETTERS = {byte: chr(byte) for byte in READABLE}
LETTERS |= {byte: chr(256 + i) for i, byte in enumerate(OTHERS)}
assert sorted(LETTERS.values()) == sorted(ByteLevel.alphabet())
SINGLE_BYTES = [bytes([byte]) for byte in sorted(LETTERS, key=LETTERS.get)]  # in the library's order

# %% [markdown]
# Learning is a loop over three steps: count pairs, take the most frequent, join it everywhere. (Every piece gets a number, its id: 0 to 255 for the bytes, then the next one for each new piece. Among equally frequent pairs we take the one with the lowest ids, as the library below does. `SINGLE_BYTES` are the 256 bytes in the library's order.)


# %%
def learn(words, num_merges):
    """words: how often each word, as a tuple of bytes, occurs → merges, in order."""
    ids = {piece: i for i, piece in enumerate(SINGLE_BYTES)}
    merges = []
    for _ in range(num_merges):
        pairs = Counter()
        for pieces, count in words.items():
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], ids[pair[0]], ids[pair[1]]))
        merges.append(best)
        ids.setdefault(best[0] + best[1], len(ids))
        words = {join(pieces, best): count for pieces, count in words.items()}
    return merges


def encode(line, merges):
    """The pieces of a line: the merges applied in the order they were learned."""
    found = []
    for word in cut_words(line):
        pieces = as_bytes(word)
        for pair in merges:
            pieces = join(pieces, pair)
        found.extend(pieces)
    return found


few = captions[:300] + chinese[:300]
words = Counter(as_bytes(word) for line in few for word in cut_words(line))
merges = learn(words, 200)
for number in (1, 2, 5, 12):
    left, right = merges[number - 1]
    whole = (left + right).decode("utf-8", errors="replace")
    print(f"merge {number:2}: {left} + {right} = {whole!r}")
last = [left + right for left, right in merges[-20:]]
print("the last 20:", [piece.decode("utf-8", errors="replace") for piece in last])

# %% [markdown]
# The first merges make Chinese characters of their bytes and English letters into frequent pairs (where you see �, the piece is not a whole character yet). Later ones make whole words. **Turn the knob**: how many merges does it take until *scarlet* is one piece? What becomes of *crimson*, which was never seen, and of the smiley?


# %% tags=["hide-input"]
def written(piece):
    """A piece as text with its space as a dot, or its bytes in hexadecimal."""
    try:
        return piece.decode("utf-8").replace(" ", "·")
    except UnicodeDecodeError:
        return piece.hex(" ")


def show_pieces(merges_used=50):
    """Four lines of text in the pieces that so many merges make."""
    lines = {"a scarlet star": "blue", "a crimson heart": "orange", "红色的星形": "green", "🙂": "gray"}
    canvas, numbers = draw.Canvas(), []
    for row, (line, color) in enumerate(lines.items()):
        pieces = [written(piece) for piece in encode(line, merges[:merges_used])]
        canvas.place(draw.tokens(pieces, color=color), x=0, y=row * 46)
        numbers.append(len(pieces))
    label = draw.label(f"{256 + merges_used} pieces are known", size=13)
    canvas.place(label, x=0, y=-32)
    alt = f"After {merges_used} merges, “a scarlet star” is {numbers[0]} pieces, “a crimson heart” {numbers[1]}, "
    alt += f"a Chinese line of five characters {numbers[2]}, and a smiley {numbers[3]}."
    draw.show(canvas, alt=alt)


# %%
widgets.slider(show_pieces, merges_used=(0, 200, 10))

# %% [markdown]
# With more merges a text gets shorter and the list of pieces longer. Even 200 merges leave *scarlet*, which is in only 38 of the 600 lines, in four: `·s`, `c`, `ar`, `let`. A new word is not unknown, only cut finer: *crimson* ends as six pieces. The smiley stays four bytes, since no line has one. The library **tokenizers** learns the same merges, and joins pieces back without loss:

# %%
from tokenizers import ByteLevelBPETokenizer

library = ByteLevelBPETokenizer()
library.train_from_iterator(few, vocab_size=456, min_frequency=1, show_progress=False)

# %% tags=["hide-input"]
import json

TO_BYTE = {letter: bytes([byte]) for byte, letter in LETTERS.items()}


def in_bytes(written_piece):
    return b"".join(TO_BYTE[letter] for letter in written_piece)


listed = json.loads(library.to_str())["model"]["merges"]
their_merges = [(in_bytes(left), in_bytes(right)) for left, right in listed]

# %%
same_merges = sum(a == b for a, b in zip(merges, their_merges))
print(f"{same_merges} of {len(merges)} merges are the library's too")
new = captions[1000:1050] + chinese[1000:1050]
theirs = [[in_bytes(piece) for piece in library.encode(line).tokens] for line in new]
cut_alike = sum(encode(line, merges) == pieces for line, pieces in zip(new, theirs))
print(f"{cut_alike} of {len(new)} new captions are cut alike")
line = "a crimson heart 🙂 红心"
print(library.encode(line).tokens[:8], "…")
print(library.decode(library.encode(line).ids))

# %% [markdown]
# (The library writes every byte as a letter, so that pieces can be printed: `Ġ` is a space.) What a language costs depends on the texts that the merges were learned from. Learn 200 merges from the English captions only, and count the pieces of 100 new captions in both languages:

# %%
english = Counter(as_bytes(w) for line in captions[:300] for w in cut_words(line))
english_merges = learn(english, 200)
print("pieces per caption       English  Chinese")
for name, learned in (("from both", merges), ("from English only", english_merges)):
    cost = []
    for lines in (captions, chinese):
        cost.append(np.mean([len(encode(line, learned)) for line in lines[1000:1100]]))
    print(f"{name:20} {cost[0]:10.1f} {cost[1]:8.1f}")
ratio = cost[1] / cost[0]
expect_within("Chinese pieces per English piece, merges from English", ratio, 4.0, 0.5)

# %% [markdown]
# The second row is what speakers of many languages pay for a language model whose tokenizer saw little of theirs: more pieces for the same content, so more time and more money (Petrov et al. 2023).
#
# **WordPiece**, the tokenizer of BERT, another large model, also has a learned list of pieces, but it cuts a word by *maximum matching*, exactly as we cut Chinese above. A piece inside a word begins with `##`. Its smallest pieces are characters, so a character that is not in
# the list makes the whole word unknown. Here the list is not learned: we wrote the pieces by hand, few enough to read.

# %%
from tokenizers import Tokenizer, models

letters = "abcdefghijklmnopqrstuvwxy"  # without z
known_pieces = [*letters, *[f"##{letter}" for letter in letters]]
known_pieces += ["red", "##dish", "star", "##fish", "un", "##read", "##able"]
known_pieces += ["tri", "##angle"]
piece_ids = {piece: i for i, piece in enumerate(["[UNK]", *known_pieces])}
wordpiece = Tokenizer(models.WordPiece(piece_ids, unk_token="[UNK]"))


def longest_first(word):
    """Maximum matching within a word."""
    found, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        ends = range(len(word), start, -1)
        fitting = [end for end in ends if mark + word[start:end] in piece_ids]
        if not fitting:
            return ["[UNK]"]
        found.append(mark + word[start : fitting[0]])
        start = fitting[0]
    return found


for word in ("reddish", "starfish", "unreadable", "zebra"):
    print(f"{word:11}", longest_first(word))
every_word = sorted({word for line in captions for word in text.tokenize(clean(line))})
theirs = [wordpiece.encode(word).tokens for word in every_word]
agreeing = sum(longest_first(a) == b for a, b in zip(every_word, theirs))
marks = sum(not word.isalnum() for word in every_word)
print(f"cut as the library does: {agreeing} of {len(every_word)}", end=" ")
print(f"({len(every_word) - marks} words and {marks} marks of the captions)")

# %% [markdown]
# Tokenizers of pretrained models also add **special tokens**, such as BERT's `[CLS]` at the beginning and `[SEP]` at the end. They do it by themselves: do not write them into your text (more in [bert](bert.ipynb)).

# %% [markdown]
# ## 5 · From tokens to numbers

# %% [markdown]
# ### One-hot vectors and bag of words
# Three captions of our own, small enough to count by hand. Such a collection of texts is called a **corpus**; each text in it is a *document*.

# %%
three = ["a red star above a red circle", "a blue star", "a red circle above a star"]

# %% [markdown]
# All distinct tokens, in a fixed order, are the **vocabulary** $V = \{v_1, \dots, v_n\}$, the list of tokens that a model knows. Every word gets its own position in it. A **one-hot** vector has a 1 at
# the position of one word and 0 everywhere else. The **bag of words** of a text is the sum of its one-hot vectors, so it holds how often each word of the vocabulary occurs.

# %%
V = sorted({word for line in three for word in line.split()})
one_hot = np.array([[int(word == v) for v in V] for word in three[1].split()])
print(V)
print(one_hot)  # (3 words, 6)
print(one_hot.sum(axis=0))  # (6,)

# %% tags=["hide-input"]
second = three[1].split()
flow = draw.column(
    draw.matrix(one_hot, title="one-hot vectors (3, 6)", rows=second, columns=V, form="g", heat=True),
    "↓ add up the columns",
    draw.matrix(one_hot.sum(axis=0), title="bag of words (6,)", columns=V, form="g", color="green"),
    gap=14,
)
draw.show(
    flow,
    alt="The words a, blue and star are one-hot rows over a vocabulary of six words. Their sum has a 1 for a, blue and "
    "star.",
)

# %% [markdown]
# **Your turn (blank 2).** Count the words of one text. A word that is not in the vocabulary is left out.
# <details><summary>Hint 1</summary>
#
# The result has one number per word *of the vocabulary*, whatever the text says. What would you ask of the text, for each of them?
# </details>
# <details><summary>Hint 2</summary>
#
# A list has a method `.count(word)`.
# </details>


# %%
def bag_of_words(tokens, vocabulary):
    """tokens: list of str; vocabulary: list of v words → counts (v,)."""
    # BEGIN SOLUTION
    counts = [tokens.count(word) for word in vocabulary]
    return np.array(counts)
    # END SOLUTION


bag_of_words = check("text.blank.2", bag_of_words)

# %%
counts = np.stack([bag_of_words(line.split(), V) for line in three])  # (3 texts, 6)
print(counts)
swapped = "a star above a red circle".split()
print(bag_of_words(swapped, V), "for “a star above a red circle”")

# %% [markdown]
# The last two rows are equal: *a red circle above a star* and *a star above a red circle* describe different pictures, but have the same bag. **A bag forgets the order.** This is the second fault
# of section 1; no weighting of single words can mend it (pairs keep a little of the order).
#
# ### TF-IDF: rare words say more
# Each of the three captions has an *a*, only one has *blue*. So multiply the count of a word (**term frequency**, how often the word occurs in this text) by a number that is larger
# the fewer texts have it (**inverse document frequency**). Among $N$ texts, $\text{df}_v$ contain the word $v$:
#
# $$\text{idf}_v = \ln\frac{1 + N}{1 + \text{df}_v} + 1, \qquad u_{iv} = \text{tf}_{iv}\cdot\text{idf}_v,
# \qquad w_i = \frac{u_i}{\lVert u_i\rVert}$$
#
# Here $\text{tf}_{iv}$ is the count of word $v$ in text $i$. For *blue*: $N = 3$ and $\text{df} = 1$, so $\text{idf} = \ln(4/2) + 1 = 1.69$. For *a*: $\ln(4/4) + 1 = 1$.
# The product $\text{tf}\cdot\text{idf}$ is called **TF-IDF**, term frequency times inverse document frequency (Spärck Jones 1972; the ones in the formula are scikit-learn's).
# $u_i$ is the row of all products of text $i$, and $\lVert u_i\rVert$ is the length of that row, the root of its sum of squares; so each row $w_i$ has length 1.

# %%
df = (counts > 0).sum(axis=0)  # (6,) in how many texts
idf = np.log((1 + len(three)) / (1 + df)) + 1  # (6,)
u = counts * idf  # (3, 6)
weights = u / np.linalg.norm(u, axis=1, keepdims=True)  # (3, 6)
print("word ", *[f"{v:>7}" for v in V])
print("df   ", *[f"{d:7}" for d in df])
print("idf  ", *[f"{d:7.2f}" for d in idf])

# %% tags=["hide-input"]
names = ["1", "2", "3"]
flow = draw.column(
    draw.matrix(counts, title="counts", rows=names, columns=V, form="g"),
    draw.matrix(idf, title="× idf", columns=V, form=".2f", color="orange"),
    draw.matrix(
        weights,
        title="TF-IDF, each row of length 1",
        rows=names,
        columns=V,
        form=".2f",
        color="green",
        highlight=[(1, 2), (2, 0)],
    ),
    gap=16,
)
draw.show(
    flow,
    alt="Counts of three captions, the idf of each word, and the TF-IDF weights. In the second caption blue has the "
    "largest weight, 0.77; in the third it is a, 0.63.",
)

# %% [markdown]
# In the second caption all counts are 1, and *blue* now weighs most. In the third, *a* still weighs most: it occurs twice, and its idf is 1, not 0. TF-IDF turns frequent words *down*; it does not throw
# them away. Keep that in mind when section 6 measures what throwing them away adds.
#
# **scikit-learn** computes the same. (By default it drops words of one letter, such as *a*; with this `token_pattern` it keeps them.)

# %%
by_library = TfidfVectorizer(token_pattern=r"\w+").fit_transform(three).toarray()
print("largest difference from ours:", np.abs(by_library - weights).max().round(12))
print("by default:", *TfidfVectorizer().fit(three).get_feature_names_out())

# %% [markdown]
# One rule from the start: vocabulary and idf are **learned from the training texts only**, then applied to new ones. `fit_transform` is for training texts, `transform` for all others. Otherwise
# your test texts have helped to build the model that they are to test.
#
# ### Cosine similarity
# How similar is a query to a text? The dot product adds up the products of their weights. But it grows with the number of words in a text, whatever they say. **Cosine similarity** is the dot product
# divided by the lengths of both vectors, which is the cosine of the angle between them (for rows of length 1, cosine and dot product rank alike):
#
# $$\cos(q, w) = \frac{q \cdot w}{\lVert q\rVert\,\lVert w\rVert}$$
#
# Same direction: 1. No word in common: 0. **Turn the knob**: the text repeats itself up to four times. Which of the two numbers would you rather rank by?


# %% tags=["hide-input"]
def draw_two_vectors(query, repeated, dot, cosine_of_both):
    canvas = draw.Canvas()
    scale = 42
    canvas.line((0, 0), (8.6 * scale, 0))
    canvas.line((0, 0), (0, -4.4 * scale))
    canvas.text("count of “red”", 8.6 * scale - 40, 18, size=12)
    canvas.text("count of “blue”", 10, -4.4 * scale - 16, size=12)
    for vector, color, name in ((query, "orange", "query"), (repeated, "blue", "text")):
        tip = (vector[0] * scale, -vector[1] * scale)
        canvas.arrow((0, 0), tip, color=color, width=3)
        canvas.text(f"{name} [{vector[0]:g}, {vector[1]:g}]", tip[0] + 10, tip[1] - 16, size=13)
    shown = draw.column(
        draw.box("dot product", note=f"{dot:.2f}", color="gray", width=150),
        draw.box("cosine similarity", note=f"{cosine_of_both:.2f}", color="green", width=150),
        gap=20,
    )
    canvas.place(shown, x=8.6 * scale + 60, y=-150)
    alt = f"A query and a text as arrows; dot product {dot:.2f}, cosine similarity {cosine_of_both:.2f}."
    draw.show(canvas, alt=alt)


# %%
def show_repeated(times=2):
    """A query and a text of two words, red and blue; the text repeated."""
    query, repeated = np.array([1.0, 1.0]), times * np.array([2.0, 1.0])
    dot = query @ repeated
    cosine_of_both = dot / np.linalg.norm(query) / np.linalg.norm(repeated)
    draw_two_vectors(query, repeated, dot, cosine_of_both)


widgets.slider(show_repeated, times=(1, 4))

# %% [markdown]
# **Your turn (blank 3).** Write the cosine similarity of one query with every text. (No vector is all zeros.)
# <details><summary>Hint 1</summary>
#
# One matrix product gives all dot products at once: (n, v) @ (v,). How many lengths do you need?
# </details>
# <details><summary>Hint 2</summary>
#
# `np.linalg.norm(texts, axis=1)` has one length per text.
# </details>


# %%
def cosine(query, texts):
    """query (v,), texts (n, v) → similarity of the query with each text (n,)."""
    # BEGIN SOLUTION
    dots = texts @ query  # (n,)
    lengths = np.linalg.norm(texts, axis=1) * np.linalg.norm(query)  # (n,)
    return dots / lengths
    # END SOLUTION


cosine = check("text.blank.3", cosine)

# %%
query = bag_of_words("a blue circle".split(), V) * idf  # the idf of the three texts
# `weights` instead of `u` would give the same: the cosine divides by the lengths
for line, similarity in zip(three, cosine(query, u)):
    print(f"{similarity:.2f}  {line}")

# %% [markdown]
# ## 6 · Your search engine, measured

# %% [markdown]
# Put your parts together: `clean`, cut, `bag_of_words`, idf, `cosine`. The captions are prepared once.

# %%
# words only: the three marks of the captions are left out
cut = [[t for t in text.tokenize(clean(c)) if t.isalnum()] for c in captions]
words = sorted({token for tokens in cut for token in tokens})
caption_counts = np.stack([bag_of_words(tokens, words) for tokens in cut])
print("captions and words:", caption_counts.shape)

document_frequency = (caption_counts > 0).sum(axis=0)  # (95,)
caption_idf = np.log((1 + len(captions)) / (1 + document_frequency)) + 1
caption_u = caption_counts * caption_idf  # (6000, 95), rows not of length 1


def search(query, k=4):
    """The k captions most similar to the query."""
    tokens = text.tokenize(clean(query))
    unknown = [token for token in tokens if token not in words]
    if unknown:
        print("not in the vocabulary:", unknown)
    query_counts = bag_of_words(tokens, words)
    if not query_counts.any():
        return np.array([], dtype=int)
    similarity = cosine(query_counts * caption_idf, caption_u)  # (6000,)
    # best first; equal scores keep their order
    return np.argsort(-similarity.round(9), kind="stable")[:k]


# %%
print("yours  ", search("a yellow star on the left"))
print("library", find("a yellow star on the left"))
print(search("crimson heart"))

# %% [markdown]
# The same pictures as in section 1, and now you know every step. The last query shows a limit: *crimson* is not among the 95 words, so it is an **out-of-vocabulary** word, one that the model has no
# position for. Subwords would give it numbers, but no meaning. Nor does the engine know that *scarlet*, which is among them, is a kind of red. For a bag, all words are equally different: the one-hot vectors of *red* and *scarlet* have nothing in common. Lesson
# [word_vectors](word_vectors.ipynb) mends that.
#
# ### How good is it?
# For drawings the truth is known. Ask for every color with every shape ("a yellow star", "a black circle"): 42 of the 48 pairs occur. Of the ten pictures found first, how many show what was asked for? That share is
# called **precision at 10**; in general **precision@k** is the share of relevant results among the first k.
# Precision at 10 does not see what was missed. (The share of *all* relevant pictures that were found is called **recall**.)

# %% tags=["hide-input"]
from mmcourse.datasets.scenes.captions import CHINESE

SHAPES = ["circle", "square", "triangle", "diamond", "star", "cross"]
COLORS = ["red", "orange", "yellow", "green", "blue", "purple", "white", "black"]
queries, chinese_queries, relevant = [], [], []
for color_number, color in enumerate(COLORS):
    for shape_number, shape in enumerate(SHAPES):
        has_it = scenes.meta["shape"] == shape_number
        has_it &= scenes.meta["colour"] == color_number  # (6000, 4 things)
        if has_it.any():
            queries.append(f"a {color} {shape}")
            chinese_queries.append(CHINESE[color][0] + CHINESE[shape][0])
            relevant.append(has_it.any(axis=1))
relevant = np.array(relevant)  # (42 queries, 6000)
absent = [f"{c} {s}" for c in COLORS for s in SHAPES if f"a {c} {s}" not in queries]
print(len(queries), "queries; in no picture:", ", ".join(absent))


# %%
def find_ten(vectorizer, documents, queries):
    """The ten documents found first for each query (42, 10); all are token lists."""
    rows = vectorizer.fit_transform(documents)  # (n, v)
    similarity = (vectorizer.transform(queries) @ rows.T).toarray()  # (42, n)
    # best first; equal scores keep their order
    return np.argsort(-similarity.round(9), axis=1, kind="stable")[:, :10]


def precision_at_10(vectorizer, documents, queries):
    """Precision at 10 of each query (42,)."""
    best = find_ten(vectorizer, documents, queries)  # (42, 10)
    return np.take_along_axis(relevant, best, axis=1).mean(axis=1)


# %% [markdown]
# To mend the first fault (*red* and *star* of different things), count neighbors as well. An **n-gram** is a run of n neighboring tokens; a pair is a *bigram*, a single token a *unigram*.


# %%
def with_pairs(tokens):
    """The tokens, and each pair of neighbors."""
    pairs = [f"{a} {b}" for a, b in zip(tokens, tokens[1:])]
    return tokens + pairs


def without_stop_words(tokens):
    return [token for token in tokens if token not in ENGLISH_STOP_WORDS]


print(with_pairs(["a", "red", "star"]))

# %% [markdown]
# (scikit-learn can do both by itself: `ngram_range=(1, 2)` adds pairs, `stop_words="english"` removes its list.)
#
# Now six recipes. The first four each add a step to the one before; the last two add one to “TF-IDF, cosine”. We try them in collections of 1,000 and of 6,000 pictures. The first recipe only splits at spaces and does not even lower-case. (`analyzer=same` says that our texts are already lists of tokens. A `CountVectorizer` leaves the rows as long as they are, so similarity is the dot product there.)


# %%
def same(tokens):
    return tokens


typed = [caption.split() for caption in captions]
asked = [query.split() for query in queries]
recipes = {
    "split at spaces, counts": (CountVectorizer(analyzer=same), typed),
    "clean tokens, counts": (CountVectorizer(analyzer=same), cut),
    "counts, cosine": (TfidfVectorizer(analyzer=same, use_idf=False), cut),
    "TF-IDF, cosine": (TfidfVectorizer(analyzer=same), cut),
    "TF-IDF, no stop words": (TfidfVectorizer(analyzer=without_stop_words), cut),
    "TF-IDF, words and pairs": (TfidfVectorizer(analyzer=with_pairs), cut),
}
found = {}
for name, (vectorizer, documents) in recipes.items():
    for size in (1000, 6000):
        found[name, size] = precision_at_10(vectorizer, documents[:size], asked)

# %%
print("precision at 10            1,000 pictures   6,000   minus TF-IDF, at 6,000")
for name in recipes:
    small, large = found[name, 1000], found[name, 6000]
    gain, half = mean_and_interval(large - found["TF-IDF, cosine", 6000])
    print(f"{name:26} {small.mean():14.3f} {large.mean():7.3f}", end="   ")
    print("" if name == "TF-IDF, cosine" else f"{gain:+.3f} ± {half:.3f}")
chance = [relevant[:, :1000].mean(), relevant.mean()]
print(f"{'ten pictures at random':26} {chance[0]:14.3f} {chance[1]:7.3f}")

# %% [markdown]
# The intervals are 95 % intervals over the 42 queries, on the differences query by query. A narrow one says that the queries agree.
# It does not say what other captions would give: the collection is fixed, and the 42 queries are all pairs that occur in it, which share their colors and
# shapes and so are not independent. Here is what each step is worth:

# %%
level = {key: value.mean() for key, value in found.items()}
cleaning = level["clean tokens, counts", 6000] - level["split at spaces, counts", 6000]
expect_within("cleaning tokens, at 6,000", cleaning, 0.06, 0.03)
length = level["counts, cosine", 6000] - level["clean tokens, counts", 6000]
expect_within("dividing by the length, at 6,000", length, 0.19, 0.05)
small_idf = level["TF-IDF, cosine", 1000] - level["counts, cosine", 1000]
expect_within("idf, at 1,000", small_idf, 0.07, 0.03)
large_idf = level["TF-IDF, cosine", 6000] - level["counts, cosine", 6000]
expect_within("idf, at 6,000", large_idf, 0.01, 0.02)
no_stop = level["TF-IDF, no stop words", 6000] - level["TF-IDF, cosine", 6000]
expect_within("no stop words, at 6,000", no_stop, 0.04, 0.03)
pairs = level["TF-IDF, words and pairs", 6000] - level["TF-IDF, cosine", 6000]
expect_within("pairs, at 6,000", pairs, 0.10, 0.03)

# %% tags=["target"]
best_precision = level["TF-IDF, words and pairs", 6000]
expect_within("precision at 10, words and pairs", best_precision, 0.995, 0.01)

# %%
for_search.compare("better")

# %% [markdown]
# Dividing by the length is worth most. idf helped in the small collection and hardly in the large one (the small one is a single
# collection, and without an interval). On top of TF-IDF, pairs add more (0.098 at 6,000 pictures) than throwing stop words
# away (0.043): *yellow star* now has a position of its own.
#
# What does dividing by the length do? If a dot product favors texts that are long, the captions that it finds must be longer than those that the cosine finds:

# %%
caption_lengths = np.array([len(tokens) for tokens in cut])
print(f"all captions                {caption_lengths.mean():.1f} words")
for name in ("clean tokens, counts", "counts, cosine"):
    vectorizer, documents = recipes[name]
    best = find_ten(vectorizer, documents, asked)
    print(f"found by {name:20} {caption_lengths[best].mean():.1f} words")

# %% [markdown]
# And throwing stop words away makes this search **better**, for queries of a color and a shape. Why? One explanation is that the *a* of "a yellow star" earns points for captions with many *a*'s. If that is right, leaving just the *a* out of the **query** must help as
# much. The control:

# %%
only_a = [[token for token in query if token != "a"] for query in asked]
for size in (1000, 6000):
    base = found["TF-IDF, cosine", size]
    controlled = precision_at_10(TfidfVectorizer(analyzer=same), cut[:size], only_a)
    gain, half = mean_and_interval(controlled - base)
    no_stop, _ = mean_and_interval(found["TF-IDF, no stop words", size] - base)
    print(f"{size} pictures, queries without “a”:      {gain:+.3f} ± {half:.3f}")
    print(f"{size} pictures, no stop words anywhere:   {no_stop:+.3f}")
expect_within("queries without “a”, at 6,000", gain, 0.04, 0.02)

# %% [markdown]
# At 6,000 pictures one small word in the query was the whole difference, and at 1,000 most of it. So for queries of a color and a shape the captions need no stop-word
# list; it is enough to ask for what you want. And the list would do harm elsewhere: it also drops *above* and *under*, which other queries need.
#
# ### And in Chinese?
# Record a guess, then see how the cuts of section 4 do.

# %%
chinese_guess = widgets.guess(
    "Which cut finds most in Chinese?",
    ["characters", "words", "pairs of characters", "learned pieces", "no clear winner"],
)

# %%
known = chinese_words()


def pairs_of_characters(line):
    return [a + b for a, b in zip(line, line[1:])]


chinese_cuts = {
    "no cut at all": lambda line: line.split(),
    "characters": list,
    "words": lambda line: text.maximum_matching(line, known),
    "pairs of characters": pairs_of_characters,
    "learned pieces": lambda line: library.encode(line).tokens,
}
in_chinese = {}
for name, how in chinese_cuts.items():
    documents, cut_queries = map(how, chinese), map(how, chinese_queries)
    vectorizer = TfidfVectorizer(analyzer=same)
    in_chinese[name] = precision_at_10(vectorizer, list(documents), list(cut_queries))
    print(f"{name:20} {in_chinese[name].mean():.3f}")

# %%
gain, half = mean_and_interval(in_chinese["characters"] - in_chinese["words"])
print(f"characters minus words: {gain:+.3f} ± {half:.3f}")
expect_within("characters minus words", gain, 0.0, 0.04)

# %%
chinese_guess.compare("no clear winner")

# %% [markdown]
# Without a cut nothing is found beyond chance: a whole caption is one "word". Characters and words are equally good here, as far as 42 queries can tell. (In large collections single characters also find what merely shares one: 白 is *white*, 白天 *daytime*.) Learned pieces find a little less, and pairs of
# characters, which are common in Chinese search, much less. (Here the pairs stand alone; the English recipe “words and pairs”
# kept the single tokens too, so the two are not quite the same comparison.) Why are they so much worse? Cut a query and look:

# %%
print(pairs_of_characters("黄色三角形"))  # a yellow triangle
for pair in ("黄色", "色三"):
    print(pair, "is in", sum(pair in line for line in chinese), "captions")

# %% [markdown]
# 黄色 is *yellow*, but 色三 crosses the border of two words. All our colors end in 色, so this pair asks for a triangle of *any* color; and it is rarer than 黄色, so its idf is larger. If that is the reason, the wrong captions must have the right shape in a wrong color, and leaving
# the crossing pair out of the query must help. The control:

# %%
documents = [pairs_of_characters(line) for line in chinese]
vectorizer = TfidfVectorizer(analyzer=same)
whole = [pairs_of_characters(query) for query in chinese_queries]
best = find_ten(vectorizer, documents, whole)  # (42, 10)
right_shape, right_color = [], []
for query, row, is_right in zip(queries, best, relevant):
    _, color, shape = query.split()
    for i in row[~is_right[row]]:  # the wrong ones
        right_shape.append((scenes.meta["shape"][i] == SHAPES.index(shape)).any())
        right_color.append((scenes.meta["colour"][i] == COLORS.index(color)).any())
print(len(right_shape), "wrong captions:")
print(f"{np.mean(right_shape):.0%} have the shape")
print(f"{np.mean(right_color):.0%} have the color")

no_crossing = []
for query in asked:  # such as a, yellow, triangle
    color, shape = CHINESE[query[1]][0], CHINESE[query[2]][0]
    no_crossing.append(pairs_of_characters(color) + pairs_of_characters(shape))
mended = precision_at_10(vectorizer, documents, no_crossing)
gain, half = mean_and_interval(mended - in_chinese["pairs of characters"])
print(f"without the crossing pair: {mended.mean():.3f}, {gain:+.3f} ± {half:.3f}")
expect_within("what the crossing pair costs", gain, 0.17, 0.06)

# %% [markdown]
# Pairs of characters were 0.252 below single characters, and leaving the crossing pair out gives 0.171 of that back. That explains about two thirds; the rest
# we have not explained. In English, the pair *yellow star* was what helped most; in Chinese, a pair that ignores words did much of the harm. Pairs are neither good nor bad in
# themselves; it depends on what a pair means.

# %% [markdown]
# ## 7 · Ids, padding and masks

# %% [markdown]
# A bag is one long row. Neural networks read a text as a *sequence* instead: one **token id**, the token's position in the vocabulary, after the other. Two ids are set aside: 0 for **padding**, the filler that
# makes short sequences as long as the longest of their batch (several texts computed together), and 1 for the unknown token `<unk>`, which stands in for every out-of-vocabulary word. A **padding mask** says which positions are
# real: here True is a real token.

# %%
mood_train, mood_test = load("mood", "train"), load("mood", "test")
said = {}  # each distinct sentence, and what it claims
for data in (mood_train, mood_test):
    claims = zip(data.column("words"), data.meta["words_cue"])
    said[data.split] = dict(claims)


def words_of(sentence):
    """Words in lower case, without punctuation marks."""
    return [token for token in text.tokenize(clean(sentence)) if token[0].isalnum()]


train_words = [words_of(sentence) for sentence in said["train"]]
test_words = [words_of(sentence) for sentence in said["test"]]
vocabulary = text.Vocabulary.build(train_words)  # from training sentences only
shared = len(set(said["train"]) & set(said["test"]))
print(len(train_words), "training,", len(test_words), "test,", shared, "in both")
print(len(vocabulary), "tokens:", vocabulary.tokens[:6], "…")

# %% [markdown]
# These are the sentences of `mood` (lesson [start_here](start_here.ipynb)): each expresses a negative, neutral or positive opinion. No test sentence is among the training sentences. Most frequent words come first, so a
# smaller vocabulary is simply a shorter list. **Turn the knob:** how many words does it take until a sentence can be understood, and how many of *all* words in the test sentences are then known?

# %% tags=["hide-input"]
running = [token for tokens in test_words for token in tokens]
example = max((tokens for tokens in test_words if len(tokens) <= 9), key=len)


def show_vocabulary(size=20):
    """One sentence with a vocabulary of this size; unknown words are orange."""
    kept = set(vocabulary.tokens[:size])
    known_share = np.mean([token in kept for token in running])
    shown = [token if token in kept else "<unk>" for token in example]
    ids = [vocabulary.id(token) if token in kept else 1 for token in example]
    orange = [i for i, token in enumerate(shown) if token == "<unk>"]
    title = f"{size} tokens know {known_share:.0%} of all words"
    alt = f"With {size} tokens, {len(orange)} of {len(example)} words are unknown. {title}."
    draw.show(draw.tokens(shown, ids=ids, highlight=orange, title=title), alt=alt)


widgets.slider(show_vocabulary, size=(4, len(vocabulary), 4))

# %% [markdown]
# A few words make up much of a text, and a long tail of rare words the rest. In texts that people write, the frequency of a word falls roughly like one over its rank, which is known as **Zipf's law**. Is that so? Here are the words of the film reviews of section 9 and
# their pairs. They were counted in a **stored run**: a program was run once, and the notebook reads its numbers from a file. Both axes are logarithmic (each mark is ten times the one
# before), so that “one over the rank” is a straight line.

# %% tags=["hide-input"]
import matplotlib.pyplot as plt

stored = results("text")
fig, ax = plt.subplots(figsize=(6.4, 3.6))
for name, color in (("words", plot.COLORS[0]), ("pairs", plot.COLORS[1])):
    counted = stored["frequencies"][name]
    label = f"{name}, {counted['once']:.0%} occur once"
    ax.loglog(counted["ranks"], counted["counts"], "o-", color=color, label=label, markersize=4)
first = stored["frequencies"]["words"]["counts"][0]
ax.loglog([1, first], [first, 1], "--", color="gray", label="one over the rank")
ax.set(xlabel="rank", ylabel="how often it occurs")
ax.legend()
fig.suptitle("Film reviews: how frequent is the word of each rank?", x=0.01, ha="left", fontweight="bold")
plot.show(
    fig,
    alt="On two logarithmic axes, the counts of words fall in parallel to the line of one over the rank, from "
    "about 8,000 to 1. Pairs start lower, fall more slowly, and most of them occur once.",
)

# %% [markdown]
# The words fall in parallel to the dashed line, a factor of about two above it. Pairs fall more slowly at first and then run out: most pairs occur a single time.
#
# Now batches. Where some texts are very long, they are first cut to a maximum length (**truncation**), and what comes after it is lost. Our sentences are short enough.
#
# **Your turn (blank 4).** Make a batch: pad sequences of ids with 0 on the right, up to the longest, and make the mask.
# <details><summary>Hint 1</summary>
#
# Start from an array that is all padding, and one that is all False. Which part of each row does a sequence of length m fill?
# </details>
# <details><summary>Hint 2</summary>
#
# `np.zeros((b, longest), dtype=int)`, and `ids[row, : len(sequence)] = sequence`.
# </details>


# %%
def pad(sequences):
    """Lists of ids → ids (b, longest), mask (b, longest), True = real."""
    # BEGIN SOLUTION
    # BLANK: ids = ...
    # BLANK: mask = ...
    longest = max(len(sequence) for sequence in sequences)
    shape = (len(sequences), longest)
    ids = np.zeros(shape, dtype=int)
    mask = np.zeros(shape, dtype=bool)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = True
    # END SOLUTION
    return ids, mask


pad = check("text.blank.4", pad)

# %%
# puce, a purplish brown, is in no training sentence
pair = ["the party was great".split(), "the puce party was not great at all".split()]
ids, mask = pad([[vocabulary.id(token) for token in tokens] for tokens in pair])
print(ids)
print(mask)

# %% tags=["hide-input"]
shown = [tokens + ["<pad>"] * (ids.shape[1] - len(tokens)) for tokens in pair]
padding = [(int(i), int(j)) for i, j in np.argwhere(~mask)]
drawing = draw.column(
    draw.matrix(shown, title="tokens, padded", highlight=padding),
    draw.matrix(ids, title="ids (2, 8): puce is unknown, id 1", form="g", highlight=padding),
    draw.matrix(mask.astype(int), title="padding mask (2, 8): 1 is real", form="g", color="green", heat=True),
    gap=14,
)
draw.show(
    drawing,
    alt="Two sentences of four and eight tokens. The first is filled up with pad, id 0, where the mask is 0. "
    "The unknown word puce has id 1.",
)

# %% [markdown]
# ### Average without the padding
# A network looks each id up in a table of vectors, its **embedding**, which is trained with the rest (more in [word_vectors](word_vectors.ipynb)). The lookup *is* a one-hot vector times the table: it picks one row. The simplest network for a sentence averages these vectors. Padding has a row
# in the table too, and it must not count.
#
# **Your turn (blank 5).** Average the vectors of the real tokens, in PyTorch. Its arrays are called tensors; they work like NumPy arrays, and `dim` is its word for `axis`.
# <details><summary>Hint 1</summary>
#
# Make the vectors of padding 0 before you sum. And by which number do you divide: the length of the row, or …?
# </details>
# <details><summary>Hint 2</summary>
#
# `mask[:, :, None]` has the shape (b, n, 1) and can be multiplied with the vectors; `mask.sum(dim=1, keepdim=True)` is (b, 1).
# </details>


# %%
def masked_mean(vectors, mask):
    """vectors (b, n, d), mask (b, n), True = real → mean of the real ones (b, d)."""
    # BEGIN SOLUTION
    real = vectors * mask[:, :, None]  # (b, n, d), padding is 0
    total = real.sum(dim=1)  # (b, d)
    return total / mask.sum(dim=1, keepdim=True)
    # END SOLUTION


masked_mean = check("text.blank.5", masked_mean)

# %% [markdown]
# What happens without the mask? Compute the same sentence alone, and in a batch with a longer one.

# %%
torch.manual_seed(0)
table = nn.Embedding(len(vocabulary), 2)
pair_ids, pair_mask = torch.from_numpy(ids), torch.from_numpy(mask)
with torch.no_grad():
    vectors = table(pair_ids)  # (2, 8, 2)
    alone = table(pair_ids[:1, :4]).mean(dim=1)
    print("alone                 ", alone[0].numpy().round(3))
    print("in the batch, unmasked", vectors.mean(dim=1)[0].numpy().round(3))
    print("in the batch, masked  ", masked_mean(vectors, pair_mask)[0].numpy().round(3))

# %% [markdown]
# Without a mask, the numbers of a sentence depend on how long its neighbors in the batch are. That raises no error. (Libraries disagree about the mask: PyTorch's own layers often want True where a position is *padding*. Read their
# page.)
#
# ### In PyTorch
# A `Dataset` hands out one sample, a `DataLoader` collects samples, and its `collate_fn` makes the batch: your `pad`. How the training loop works is the subject of [neural_networks](neural_networks.ipynb). Here, read it as a recipe: it changes the table and the last layer, a little
# for each batch, so that the scores fit the labels better. (The *loss* is a number that says how wrong the scores are; an *epoch* is one pass over all training sentences; *accuracy* is the
# share of sentences whose highest score is that of the right class.)

# %%
from torch.utils.data import DataLoader

CLAIMS = ["negative", "neutral", "positive"]


def samples_of(split, tokens):
    """A list of (ids, class) is all that a DataLoader needs."""
    labels = [CLAIMS.index(claim) for claim in said[split].values()]
    ids = [[vocabulary.id(token) for token in line] for line in tokens]
    return list(zip(ids, labels))


def collate(samples):
    ids, mask = pad([sequence for sequence, _ in samples])
    labels = [label for _, label in samples]
    return torch.tensor(ids), torch.tensor(mask), torch.tensor(labels)


class MeanClassifier(nn.Module):
    """Embedding → mean of the real tokens → one score per class."""

    def __init__(self, num_tokens, width=16, num_classes=3):
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, width, padding_idx=0)
        self.out = nn.Linear(width, num_classes)

    def forward(self, ids, mask):
        return self.out(masked_mean(self.embedding(ids), mask))


# %% tags=["hide-input"]
canvas = draw.network(
    ("token ids", ("b", "n")),
    ("Embedding", ("b", "n", 16)),
    ("masked mean", ("b", 16)),
    ("Linear", ("b", 3)),
)
draw.show(
    canvas,
    alt="Token ids (b, n) go through an embedding (b, n, 16), a masked mean (b, 16) and a linear layer (b, 3).",
)

# %% tags=["free"]
train_samples = samples_of("train", train_words)
test_ids, test_mask, test_labels = collate(samples_of("test", test_words))
torch.manual_seed(0)
loader = DataLoader(train_samples, batch_size=64, shuffle=True, collate_fn=collate)
model = MeanClassifier(len(vocabulary))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for epoch in range(15):
    losses = []
    for batch_ids, batch_mask, labels in loader:
        loss = nn.functional.cross_entropy(model(batch_ids, batch_mask), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if epoch % 3 == 2:
        print(f"epoch {epoch + 1:2}  loss {np.mean(losses):.3f}")

# %%
with torch.no_grad():
    predicted = model(test_ids, test_mask).argmax(dim=1)
trained = (predicted == test_labels).float().mean().item()
expect_within("test accuracy of averaged word vectors", trained, 0.91, 0.03)

# %% [markdown]
# (That is a single seed; another gives a slightly different figure.) Is that more than a bag of words? Look: the mean of word vectors is the **bag times the table**, divided by the number of words. The order is lost in the same way. PyTorch has the whole step as one layer, `nn.EmbeddingBag`, and it even
# wants no padding: all ids in one row, and where each sentence begins.

# %%
with torch.no_grad():
    averaged = masked_mean(model.embedding(test_ids), test_mask)  # (506, 16)

bags = np.stack([bag_of_words(tokens, vocabulary.tokens) for tokens in test_words])
unknown = np.array([len(tokens) for tokens in test_words]) - bags.sum(axis=1)
bags[:, 1] = unknown  # words that are not in the vocabulary
trained_table = model.embedding.weight.detach()  # (tokens, 16)
by_bag = bags @ trained_table.numpy() / bags.sum(axis=1, keepdims=True)

flat = test_ids[test_mask]  # all real ids in one row
lengths = test_mask.sum(dim=1)
starts = lengths.cumsum(0) - lengths  # where each sentence begins
layer = nn.EmbeddingBag.from_pretrained(trained_table, mode="mean")
by_layer = layer(flat, starts)
for name, other in (("bag times table", by_bag), ("EmbeddingBag", by_layer.numpy())):
    difference = np.abs(other - averaged.numpy()).max()
    print(f"{name:15}  largest difference {difference:.0e}")
    assert difference < 1e-4

# %% [markdown]
# ### In Keras
# `mask_zero=True` makes the mask from ids of 0, and the layers that follow hand it on. (The layer `TextVectorization` makes the ids from strings; it needs TensorFlow.) With the same weights, the same scores:

# %%
import keras
from keras import layers

tokens_in = keras.Input((None,), dtype="int32", name="token_ids")
embedded = layers.Embedding(len(vocabulary), 16, mask_zero=True)(tokens_in)
mean = layers.GlobalAveragePooling1D()(embedded)
keras_model = keras.Model(tokens_in, layers.Dense(3)(mean))
weight, out = model.embedding.weight, model.out
copied = [weight, out.weight.T, out.bias]  # Dense keeps the transposed matrix
keras_model.set_weights([parameter.detach().numpy() for parameter in copied])

# %% tags=["free"]
with torch.no_grad():
    by_torch = model(test_ids, test_mask).numpy()
by_keras = keras.ops.convert_to_numpy(keras_model(test_ids.numpy()))
difference = np.abs(by_keras - by_torch).max()
print(f"scores {by_keras.shape}, largest difference {difference:.0e}")
assert difference < 1e-4

# %% [markdown]
# ## 8 · Take it apart: do stop words matter for feelings?

# %% [markdown]
# Back to the question of section 2. A **logistic regression** (lesson [neural_networks](neural_networks.ipynb)) learns one weight per column and class, positive or negative, and adds up count times weight for each class; the class with the largest sum is its answer. It reads the sentences of `mood` in
# eight ways: single words or with pairs; and each of the two with all words, with the stop words removed, with the stop words removed but *not* kept, and with only *not* removed. And at
# **two training sizes**, 200 and 1,000 training sentences, because the best recipe for few sentences need not be the best for many.

# %%
claimed = np.array(list(said["test"].values()))
has_not = np.array(["not" in tokens for tokens in test_words])
removals = {
    "all words": frozenset(),
    "stop words removed": ENGLISH_STOP_WORDS,
    "stop words removed, “not” kept": ENGLISH_STOP_WORDS - {"not"},
    "only “not” removed": frozenset({"not"}),
}


def is_right(removed, pairs, size, seed):
    """Which test sentences are right (506,), for one training set drawn anew."""

    def analyze(tokens):
        kept = [token for token in tokens if token not in removed]
        return with_pairs(kept) if pairs else kept

    chosen = np.random.default_rng(seed).choice(len(train_words), size, replace=False)
    targets = np.array(list(said["train"].values()))[chosen]
    vectorizer = CountVectorizer(analyzer=analyze)
    x = vectorizer.fit_transform([train_words[i] for i in chosen])
    classifier = LogisticRegression(max_iter=1000).fit(x, targets)
    return classifier.predict(vectorizer.transform(test_words)) == claimed


right = {}
for pairs in (False, True):
    for name, removed in removals.items():
        for size in (200, 1000):
            runs = [is_right(removed, pairs, size, seed) for seed in range(5)]
            right[pairs, name, size] = np.stack(runs)  # (5, 506)

# %% tags=["hide-input"]
names, values, spreads = [], [], []
for pairs in (False, True):
    for name in removals:
        runs = right[pairs, name, 1000].mean(axis=1)
        names.append(f"{'pairs' if pairs else 'words'}, {name}")
        values.append(runs.mean())
        spreads.append(mean_and_interval(runs)[1])
fig = plot.bar_with_ceiling(
    names,
    values,
    [None] * len(names),
    spreads,
    title="1,000 training sentences, 506 test sentences",
    chance=1 / 3,
)
plot.show(
    fig,
    alt="Accuracy with 1,000 training sentences: single words about 0.9 whatever is removed; with pairs 1.0 with all "
    "words, 0.88 without stop words, 0.96 if not is kept, 1.0 if only not is removed.",
)

# %%
print(f"{'accuracy, 5 training sets':37} 200    1,000   1,000, sentences with “not”")
for pairs in (False, True):
    for name in removals:
        small, large = right[pairs, name, 200], right[pairs, name, 1000]
        label = f"{'pairs' if pairs else 'words'}, {name}"
        negated = large[:, has_not].mean()
        print(f"{label:37} {small.mean():.3f}  {large.mean():.3f}   {negated:.3f}")
majority = (claimed == Counter(said["train"].values()).most_common(1)[0][0]).mean()
print(f"{'majority-class baseline':37} {majority:.3f}  {majority:.3f}   {'':5}")

# %%
accuracy = {key: runs.mean() for key, runs in right.items()}
kept, gone = "all words", "stop words removed"
loss_words = accuracy[False, kept, 1000] - accuracy[False, gone, 1000]
expect_within("words: what stop words are worth", loss_words, 0.012, 0.02)
loss_pairs = accuracy[True, kept, 1000] - accuracy[True, gone, 1000]
expect_within("pairs: what stop words are worth", loss_pairs, 0.12, 0.03)
only_not = accuracy[True, "only “not” removed", 1000]
expect_within("pairs, only “not” removed", only_not, 0.99, 0.015)
negated_words = right[False, "all words", 1000][:, has_not].mean()
expect_within("words, on sentences with not", negated_words, 0.51, 0.08)
small_gain = accuracy[True, "all words", 200] - accuracy[False, "all words", 200]
expect_within("what pairs are worth with 200 sentences", small_gain, 0.03, 0.03)

# %% [markdown]
# For *single words*, removing stop words costs about a point with 1,000 sentences; with 200 it costs 4 points. That *not* goes with them hardly matters, because a sum of weights
# cannot use it well: *not* would have to turn another word's weight around. On sentences with *not* such a model is right in about half of the cases. A model
# with *pairs* can use it (*not great* gets its own weight), and then loses its whole lead when all stop words go. With 200 sentences pairs are worth about a third as much. A likely
# reason is that 200 sentences contain fewer of the pairs. How many of the pairs with *not* do they contain?

# %%
for size in (200, 1000):
    chosen = np.random.default_rng(0).choice(len(train_words), size, replace=False)
    seen = {pair for i in chosen for pair in with_pairs(train_words[i])}
    needed = [pair for tokens in test_words for pair in with_pairs(tokens)]
    needed = [pair for pair in needed if pair.startswith("not ")]
    share = np.mean([pair in seen for pair in needed])
    print(f"{size:5} training sentences contain {share:.0%} of the pairs with “not”")

# %% [markdown]
# The last row of the table surprises: if **only** *not* goes, nothing is lost! Something else in these sentences must give the negation away. Which words occur beside *not* and nowhere else? If we remove those as well, and *at* with them, is the negation hidden then?

# %%
beside = Counter(w for tokens in train_words if "not" in tokens for w in set(tokens))
overall = Counter(w for tokens in train_words for w in set(tokens))
companions = [w for w, n in beside.most_common(12) if n == overall[w]]
print("only beside “not”:", *sorted(companions))
removed = frozenset({"at", *companions})
runs = [is_right(removed, True, 1000, seed)[has_not] for seed in range(5)]
still_right = np.mean(runs)
expect_within("all of them removed, sentences with not", still_right, 0.955, 0.03)

kept_words = [[w for w in tokens if w not in removed] for tokens in train_words]
vectorizer = CountVectorizer(analyzer=with_pairs)
x = vectorizer.fit_transform(kept_words)
classifier = LogisticRegression(max_iter=1000).fit(x, list(said["train"].values()))
largest = np.argsort(-classifier.coef_[0])[:8]  # of the class negative
print("largest weights for negative:", vectorizer.get_feature_names_out()[largest])

# %% [markdown]
# Not even then. What is left of *was not great at all* is *was great*, and the weights show that the model has learned to take this for **blame**. How can it? The program that made these sentences writes praise as *was really great*, *what a great party that was*, or *was great and my heart was full*. In praise, *was great* is always followed by *and* and a happy clause, whose words have weights of their own. Without one, *was great* is what a removed *not* leaves behind. Nobody planned that. Sentences made by a program carry more traces of a removed word than you see, and a model finds them. So a word's worth depends on what
# else you keep: measure the whole recipe. And what about people?

# %% [markdown]
# ## 9 · On sentences that people wrote

# %% [markdown]
# The data are 10,662 sentences from film reviews, each with the verdict of its review, positive or negative (Pang and Lee 2005). What follows is another stored run, of `make results text`. The design is a **cross-validation**: the sentences are divided into ten parts, called *folds*. Each
# fold is the test set once, one more chooses the strength of regularization (how small the weights of the logistic regression are kept) for every recipe alike, and the other eight are for training, with 250, 1,000, 4,000 or all of their 8,500 sentences. So every sentence is
# tested, by a model that has not seen it.

# %%
folds = stored["folds"]
SIZES = ["250", "1000", "4000", "all"]


def in_full(name):
    """A recipe's name, spelled out."""
    name = re.sub("no stop words but (.*)", r"stop words removed, \1 kept", name)
    return name.replace("no stop words", "stop words removed")


print(f"run of {stored['date']}, {stored['made_with']}")
print(f"{'mean accuracy over ten folds':43}    250  1,000  4,000  8,500")
for name in folds["all"]:
    row = [np.mean(folds[size][name]["accuracy"]) for size in SIZES]
    print(f"{in_full(name):43} " + " ".join(f"{value:6.3f}" for value in row))

# %% [markdown]
# The differences are small, so they need intervals. For each recipe, subtract the accuracies of plain TF-IDF fold by fold, and take a 95 % interval over the ten differences. Folds share most of their training sentences, so the differences are not independent; the usual
# correction makes the interval $\sqrt{1 + k \cdot n_\text{test} / n_\text{train}}$ times as wide (Nadeau and Bengio 2003). Here $k = 10$ is the number of folds, and
# $n_\text{test}$ is about 1,066. So the factor is 1.5 with all 8,500 training sentences, 1.9 with 4,000, 3.4 with 1,000 and 6.6 with 250. At the small sizes this is
# careful to excess: with 1,000 sentences, two folds share only about a tenth of them, so the differences depend less on each other than the correction assumes. What these
# intervals cannot show may still be there.


# %%
num_test = stored["num_sentences"] / 10  # on average
num_train = {"250": 250, "1000": 1000, "4000": 4000}
num_train["all"] = np.mean(stored["num_train"])  # about 8,500


def gain_over(name, other, size):
    """Mean difference over the ten folds, and half of its 95 % interval."""
    first, second = folds[size][name]["accuracy"], folds[size][other]["accuracy"]
    gain, half = mean_and_interval(np.subtract(first, second))
    factor = np.sqrt(1 + 10 * num_test / num_train[size])
    return gain, factor * half


print(f"{'minus TF-IDF, with':43} 1,000           4,000           8,500")
for name in folds["all"]:
    if name not in ("TF-IDF", "majority class"):
        gains = [gain_over(name, "TF-IDF", size) for size in SIZES[1:]]
        shown = "  ".join(f"{gain:+.3f} ± {half:.3f}" for gain, half in gains)
        print(f"{in_full(name):43} {shown}")

# %% tags=["hide-input"]
shown = ["TF-IDF, no stop words", "TF-IDF, words and pairs", "TF-IDF, punctuation kept"]
shown += ["naive Bayes on counts"]
fig, ax = plt.subplots(figsize=(7, 3.8))
positions = np.arange(len(SIZES))
for shift, (name, color) in enumerate(zip(shown, plot.COLORS)):
    gains, halves = zip(*[gain_over(name, "TF-IDF", size) for size in SIZES])
    ax.errorbar(positions + (shift - 1.5) * 0.12, gains, halves, fmt="o", color=color, label=in_full(name), capsize=3)
ax.axhline(0, color="gray", linewidth=1)
ax.set_xticks(positions, ["250", "1,000", "4,000", "8,500"])
ax.set(xlabel="training sentences", ylabel="accuracy minus that of TF-IDF")
ax.set_ylim(-0.15, 0.09)
ax.legend(fontsize=9, ncol=2, loc="lower center")
fig.suptitle("What is a change of the recipe worth?", x=0.01, ha="left", fontweight="bold")
plot.show(
    fig,
    alt="Differences from TF-IDF at 250, 1,000, 4,000 and 8,500 training sentences, with intervals. Without stop words "
    "always slightly below 0, pairs rise from 0 to 0.013, punctuation stays at 0, naive Bayes rises to 0.012. All "
    "intervals contain 0; they shrink from about 0.07 on either side at 250 to 0.017 or less at 8,500.",
)

# %%
for_reviews.compare("about the same")
no_stop, _ = gain_over("TF-IDF, no stop words", "TF-IDF", "all")
expect_within("8,500: removing stop words", no_stop, -0.008, 0.005)
usual = stored["usual_split"]
on_one_split = usual["TF-IDF, no stop words"] - usual["TF-IDF"]
expect_within("the same, on a single test set of 1,089", on_one_split, -0.017, 0.005)
PAIRS = "TF-IDF, words and pairs"
with_pairs_too, half = gain_over(f"{PAIRS}, no stop words", PAIRS, "all")
expect_within("8,500: removing them where pairs count", with_pairs_too, -0.021, 0.005)
print(f"its interval: ± {half:.3f}")

# %% [markdown]
# Read the table slowly: every interval in it contains 0, and so do those at 250 sentences. That does not mean that no step matters. With all sentences, ten folds can show a difference of one to two
# points; with 1,000 sentences, most of these recipes would have to differ by two to four.
#
# - **Stop words.** Removing them has a mean above plain TF-IDF at no size. The difference is −0.016 ± 0.017 with 4,000 sentences and −0.008 ± 0.017 with 8,500; these data can tell neither from 0. On the usual single test set it comes out as −0.017: there the loss would have looked twice as bad, and had no interval.
# - "Just keep the negations" changes nothing that shows, neither for better nor for worse.
# - **Pairs** differ little up to 4,000 sentences; with 8,500 they gain 0.013 ± 0.015. (A gain that comes late would fit section 7: most pairs occur a single time.) But *if* you count pairs, removing stop words costs 0.021 ± 0.013 with 8,500 sentences, the one difference in this section whose interval is clear of 0. As in section 8, a model that looks at pairs does better with the small words to build them. (It is one of more than forty comparisons, and with 4,000 sentences it is 0.015 ± 0.017; so wait for more data before you are sure.)
# - **TF-IDF** has a higher mean than plain counts, by 0.013 ± 0.022 with 1,000 sentences and 0.004 ± 0.010 with 8,500. The order is that of the two collections of section 6, but here it is not shown.
# - **Stems** and **punctuation** change nothing that we could measure. **Byte-level pieces**, up to 8,000 learned on each fold's training sentences alone, are slightly behind words in the mean at every size, and come closer as sentences are added; each interval reaches 0 (with 8,500, −0.009 ± 0.011).
# - **Naive Bayes**, which takes how often each word occurs in praise and in blame and multiplies, was not tuned (smoothing 1). With 8,500 sentences only the pairs have a higher mean. Put such a plain baseline into every table.
#
# So: three tasks, three answers. For search, throwing stop words away helped queries of a color and a shape, through the query (and it drops *above* and *under*, which other queries need). On the sentences of `mood`, which a program made, it cost single words one point with 1,000 sentences and four with 200, and did great harm to pairs. On reviews it gained nothing that shows, and cost something where pairs were counted. There is no cleaning step that is right *as such*.
# (On tweets, Saif et al. 2014 also found that ready-made stop-word lists harm.)
#
# Which of the 318 small words say something about a film? Here are those to which a model of the training sentences gives the largest weights:

# %%
print(*stored["telling_stop_words"][:16])
telling, half = gain_over("TF-IDF, no stop words but 30", "TF-IDF", "all")
expect_within("8,500: all removed but 30 such words", telling, -0.001, 0.005)
print(f"its interval: ± {half:.3f}")
all_removed, but_30 = "TF-IDF, no stop words", "TF-IDF, no stop words but 30"
keeping, half = gain_over(but_30, all_removed, "all")
expect_within("8,500: keeping the 30, against removing all", keeping, 0.007, 0.005)
print(f"its interval: ± {half:.3f}")

# %% [markdown]
# *Too*, *only*, *no*, *nothing*: to a reader they say something. But keeping the 30 gains only 0.007 ± 0.015 over removing all 318, which is no proof that they carry meaning for the model. (The 30 words were chosen on the training sentences of each fold, so this is no peeking.)
#
# **Your own sentence.** Where the reviews are on this computer (`mmcourse data fetch reviews`, 1.2 MB), the next cell trains on them in seconds.

# %% tags=["real", "free"] needs=["rt-polarity"]
if reviews.available():
    review_train, review_test = reviews.load("train"), reviews.load("test")
    judge = make_pipeline(TfidfVectorizer(analyzer=words_of), LogisticRegression(C=3.0))
    judge.fit(review_train.column("words"), review_train.labels)
    reached = judge.score(review_test.column("words"), review_test.labels)
    print(f"test accuracy {reached:.3f} on {len(review_test)} sentences")
    vectorizer, classifier = judge[0], judge[1]
    order = np.argsort(classifier.coef_[0])
    names = vectorizer.get_feature_names_out()
    print("most negative:", *names[order[:8]])
    print("most positive:", *names[order[:-9:-1]])
    mine = ["a warm and funny film", "not funny, and far too long", "not bad at all"]
    for sentence in mine:
        p = judge.predict_proba([sentence])[0, 1]
        print(f"{p:.2f} positive: {sentence}")
else:
    print("not run: fetch the sentences once with `mmcourse data fetch reviews`")

# %% [markdown]
# Look at the last line. *not bad at all* is praise to you, and two negative words to a bag. Lesson [bert](bert.ipynb) takes these same sentences to a model that has read far more than 8,500 of them.

# %% [markdown]
# ## 10 · What to remember

# %% [markdown]
# - Bytes need an encoding, characters need normalization; every cleaning step forgets something.
# - A bag of words is a sum of one-hot vectors: it keeps how often, and forgets the order. So does an average of word vectors.
# - TF-IDF turns down what is in every text; cosine similarity ignores how long a text is. Vocabulary and idf are fitted on training texts only.
# - Pad to make a rectangle, and mask before you average. The bug of a forgotten mask raises no error.
# - Stop words, stemming, pairs, learned pieces: measure the whole recipe, on your data, at your size, with an interval.

# %% [markdown]
# ## 11 · Check yourself

# %% [markdown]
# <details><summary>1. A word occurs in all of 1,000 texts. What is its idf here? And without the “+ 1” at the end?</summary>
#
# $\ln(1001/1001) + 1 = 1$, the smallest possible, but not zero. Without the “+ 1” it would be 0 and the word would vanish.
# </details>
# <details><summary>2. You write every caption down twice, one copy after the other. What happens to its dot product with a query, and to its cosine?</summary>
#
# The dot product doubles; the cosine stays.
# </details>
# <details><summary>3. You pad with zeros and give the padding the zero vector. Is a plain mean safe then?</summary>
#
# No. The sum is right, but it is divided by the padded length, so short sentences shrink.
# </details>
# <details><summary>4. Two files show the same word, and your search finds only one of them. What do you look at first?</summary>
#
# Their code points: `[hex(ord(c)) for c in word]`. Then normalize both sides, the texts and the query.
# </details>
# <details><summary>5. Why must the idf of test texts come from the training texts?</summary>
#
# Otherwise what you report was computed with knowledge of the test set. And for a single new sentence there would be no idf at all.
# </details>
# <details><summary>6. A colleague finds that pairs help with sentiment. On 200 sentences or on 200,000, and whose sentences?</summary>
#
# Ask exactly that. In section 8 pairs were worth little with 200 sentences and very much with 1,000; on people's sentences nothing that shows, even with 8,500.
# </details>

# %% [markdown]
# ## 12 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/text.ipynb): TF-IDF for any table, stop words that are dangerous for *your* sentences, a weighted average of word vectors as a PyTorch module, and an **open challenge**: a search engine for 1,500 new captions that must understand “a scarlet disc”. A precision at 10 of 0.90 earns one point, 0.96 two, and 0.99 three; TF-IDF with pairs reaches about 0.88.
#
# **A challenge without points.** Beat naive Bayes on the 1,089 test sentences of the reviews, without pretrained vectors. It reaches 0.772 there (0.776 in the table is its mean over ten other test sets). Choose everything on the validation sentences, `reviews.load("validation")`, and look at the test sentences once. Ideas: characters (`analyzer="char_wb"`, `ngram_range=(3, 5)`), naive Bayes ratios as weights, an average of several recipes.
# A difference of less than about 0.02 may be luck of the test sentences.
#
# **Where next:** [word_vectors](word_vectors.ipynb), where a program learns from the company of words which of them go together. (Search engines at work often use BM25, a relative of TF-IDF with a knob for length.) **Back to:** [start_here](start_here.ipynb).
#
# ## Sources
# Spärck Jones 1972, *A statistical interpretation of term specificity* · Porter 1980, *An algorithm for suffix stripping* · Pang and Lee 2005, *Seeing stars* (the reviews) · Saif et al. 2014, *On stopwords, filtering and data
# sparsity for sentiment analysis of Twitter* · Bird, Klein and Loper 2009, *Natural Language Processing with
# Python* (NLTK) · Unicode Standard Annex 15, *Normalization Forms*. Gage 1994, *A new algorithm for data compression*, and Sennrich et al. 2016, *Neural machine translation of rare words with subword units* (BPE) · Wu et al. 2016, *Google's neural machine translation system* (WordPiece) · Petrov et al. 2023,
# *Language model tokenizers introduce unfairness between languages* · Nadeau and Bengio 2003, *Inference for the generalization error*. Widely read explanations: *Dive into Deep Learning*, chapter 9.2; Jurafsky and Martin, *Speech and Language
# Processing*, chapters 2 and 6.

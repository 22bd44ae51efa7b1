"""Text: cleaning that keeps meaning, counts equal to scikit-learn's, subwords equal to the tokenizers library's."""

import json
import re
import sys
import unicodedata
from collections import Counter

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from mmcourse.preprocess import bpe, masking, text, word2vec
from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.text import Vocabulary

TEXTS = [
    "The red circle is above the blue square.",
    "A blue square, a red square and a green circle!",
    "Nothing is green.",
    "红色的圆在蓝色的方块上面。",
]


def test_read_drops_the_mark_and_names_the_bad_byte(tmp_path):
    path = tmp_path / "letter.png"
    path.write_bytes("\ufeffgrüße 你好 🙂 שלום".encode())
    assert text.read(path) == "grüße 你好 🙂 שלום"
    assert text.read("你好".encode("gb18030"), "gb18030") == "你好"
    with pytest.raises(InputError, match=r"byte 3 \(e9 21\) is not utf-8"):
        text.read("café!".encode("latin-1"))
    assert text.read("café!".encode("latin-1"), errors="replace") == "caf\ufffd!"
    with pytest.raises(InputError, match='encoding="utf-16"'):
        text.read("hello".encode("utf-16"))
    with pytest.raises(InputError, match="unknown"):
        text.read(b"x", "klingon")
    with pytest.raises(InputError, match="empty"):
        text.read(b"")
    with pytest.raises(FileNotFoundError, match="no such text file"):
        text.read(tmp_path / "none.txt")


@pytest.mark.parametrize(
    "raw, clean",
    [
        ("Ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("ﬁne\u00ad print\u200b\ufeff", "fine print"),
        ("e\u0301", "é"),
        ("e\u200b\u0301", "é"),
        ("a\t\n  b\x00c", "a bc"),
        ("\u202eabc\u202c", "abc"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("\ud800x", "\ufffdx"),
        ("STRASSE İ", "strasse i̇"),
        ("", ""),
    ],
)
def test_normalize(raw, clean):
    assert text.normalize(raw) == clean == text.normalize(clean)


@pytest.mark.parametrize(
    "raw, tokens",
    [
        ("Don't go, now!", ["Don't", "go", ",", "now", "!"]),
        ("你好 world", ["你", "好", "world"]),
        ("x2 3.5", ["x2", "3", ".", "5"]),
        ("हिन्दी שָׁלוֹם", ["हिन्दी", "שָׁלוֹם"]),
        ("ok🙂🙂", ["ok", "🙂", "🙂"]),
        ("日本語と English", ["日", "本", "語", "と", "English"]),
        ("  ", []),
    ],
)
def test_tokenize(raw, tokens):
    assert text.tokenize(raw) == tokens


CHARACTERS = [chr(code) for code in range(sys.maxunicode + 1)]
LETTERS_AND_FILLERS = [c for c in CHARACTERS if unicodedata.category(c)[0] in "LN"]
LETTERS = [c for c in LETTERS_AND_FILLERS if "FILLER" not in unicodedata.name(c, "")]
MARKS = [c for c in CHARACTERS if unicodedata.category(c)[0] == "M" and c != "\u20e3"]
SPACED = [
    c
    for c in LETTERS
    if not re.search(r"IDEOGRAPH|HIRAGANA|KATAKANA|HENTAIGANA|TANGUT|NUSHU|KHITAN", unicodedata.name(c, ""))
]


def test_every_punctuation_mark_and_currency_sign_of_unicode_is_a_token_of_its_own():
    """The danda, the maqaf, the baht: none is glued to a word, in any script."""
    for category in ("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sc", "Sm", "So"):
        signs = [c for c in CHARACTERS if unicodedata.category(c) == category and c not in "_'’"]
        signs = [c for c in signs if not unicodedata.name(c).startswith("REGIONAL INDICATOR")]
        assert len(signs) > 5
        wrong = [c for c in signs if text.tokenize(f"ab{c}cd 7{c}8") != ["ab", c, "cd", "7", c, "8"]]
        assert not wrong, [f"U+{ord(c):04X}" for c in wrong[:9]]


def test_letters_and_digits_of_every_script_make_words():
    wrong = [c for c in SPACED if text.tokenize(f"a{c}b {c}{c}") != [f"a{c}b", c + c]]
    assert not wrong, [f"U+{ord(c):04X}" for c in wrong[:9]]
    assert len({unicodedata.name(c, "?").split()[0] for c in SPACED}) > 150  # scripts, roughly


def test_every_combining_mark_stays_with_what_it_stands_on():
    wrong = [c for c in MARKS if text.tokenize(f"ab{c}c. x{c}") != [f"ab{c}c", ".", "x" + c]]
    assert not wrong, [f"U+{ord(c):04X}" for c in wrong[:9]]
    assert text.tokenize("!\u0301?") == ["!\u0301", "?"]


def test_every_ideograph_and_kana_is_a_token():
    singles = sorted(set(LETTERS) - set(SPACED))
    assert len(singles) > 90_000 and {"你", "の", "カ", "々", "〇", "\U00030000"} <= set(singles)
    wrong = [c for c in singles if text.tokenize(f"a{c}{c}b") != ["a", c, c, "b"]]
    assert not wrong, [f"U+{ord(c):04X}" for c in wrong[:9]]
    assert text.tokenize("か\u3099葛\U000e0100") == ["か\u3099", "葛\U000e0100"]


@pytest.mark.parametrize(
    "raw, tokens",
    [
        ("यह हिन्दी है।", ["यह", "हिन्दी", "है", "।"]),
        ("বাংলা ভাষা।", ["বাংলা", "ভাষা", "।"]),
        ("தமிழ் மொழி.", ["தமிழ்", "மொழி", "."]),
        ("ಕನ್ನಡ॥", ["ಕನ್ನಡ", "॥"]),
        ("שלום־עולם", ["שלום", "־", "עולם"]),
        ("מה׃", ["מה", "׃"]),
        ("฿100 ราคา", ["฿", "100", "ราคา"]),
        ("₹50 €3 £2", ["₹", "50", "€", "3", "£", "2"]),
        ("مرحبا، كيف؟", ["مرحبا", "،", "كيف", "؟"]),
        ("می‌خواهم", ["می‌خواهم"]),
        ("ሰላም፡ዓለም።", ["ሰላም", "፡", "ዓለም", "።"]),
        ("ភាសាខ្មែរ។", ["ភាសាខ្មែរ", "។"]),
        ("မြန်မာ၊", ["မြန်မာ", "၊"]),
        ("བོད་ཡིག", ["བོད", "་", "ཡིག"]),
        ("Հայերեն՝ բառ։", ["Հայերեն", "՝", "բառ", "։"]),
        ("¿Qué? «Oui»", ["¿", "Qué", "?", "«", "Oui", "»"]),
        ("𞤀𞤣𞤤𞤢𞤥 ߒߞߏ", ["𞤀𞤣𞤤𞤢𞤥", "ߒߞߏ"]),
        ("l’été aujourd'hui", ["l’été", "aujourd'hui"]),
    ],
)
def test_scripts(raw, tokens):
    assert text.tokenize(raw) == tokens == text.tokenize(text.normalize(raw, lower=False))


EMOJI = ["❤️", "👍🏽", "👨‍👩‍👧", "🇩🇪", "1️⃣", "#️⃣", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
         "🏳️‍🌈", "👩🏽‍🚀", "🤷🏽‍♀️", "🧑‍🤝‍🧑", "👁️‍🗨️", "❤️‍🔥", "🐈‍⬛", "🙂‍↔️", "🏃🏽‍♀️‍➡️", "☝🏿", "⌚", "©️",
         "😀", "🫱🏻‍🫲🏿"]  # fmt: skip


@pytest.mark.parametrize("emoji", EMOJI, ids=ascii)
def test_an_emoji_of_several_code_points_is_one_token(emoji):
    assert text.tokenize(emoji) == [emoji]
    assert text.tokenize(f"so{emoji}!{emoji}{emoji}") == ["so", emoji, "!", emoji, emoji]
    if emoji != "©️":
        assert text.tokenize(text.normalize(f"So {emoji} x")) == ["so", emoji, "x"]


def test_flags_come_in_pairs_and_keycaps_one_by_one():
    assert text.tokenize("🇩🇪🇫🇷🇺") == ["🇩🇪", "🇫🇷", "🇺"]
    assert text.tokenize("11️⃣2️⃣") == ["1", "1️⃣", "2️⃣"]


def test_no_token_is_invisible():
    """Format characters, selectors, tags and fillers that print nothing are no words."""
    names = {c: unicodedata.name(c, "") for c in CHARACTERS}
    hidden = [c for c in CHARACTERS if unicodedata.category(c) == "Cf" and not names[c].startswith("EGYPTIAN")]
    hidden += [c for c in LETTERS_AND_FILLERS if "FILLER" in names[c]]
    hidden += [c for c in MARKS if "VARIATION SELECTOR" in names[c]]
    assert len(hidden) > 400
    printed = []
    for c in hidden:
        if text.tokenize(f"ab {c} cd") != ["ab", "cd"]:
            printed.append(names[c])
            continue
        assert text.normalize(f"ab {c} cd") == "ab cd"
        assert text.normalize(f"ab{c}cd") in ("abcd", f"ab{c}cd")
    signs = ("SIGN", "AYAH", "FOOTNOTE", "ABBREVIATION", "ABOVE")
    assert all(any(word in name for word in signs) for name in printed)  # signs around numbers are printed
    assert text.normalize("Wi\u00adFi™️ ℹ️ 1️⃣") == "wifitm i 1️⃣"


def test_every_character_is_normalized_once_and_for_all():
    names = {c: unicodedata.name(c, "CJK UNIFIED") for c in CHARACTERS}  # no name: unassigned, private or a surrogate
    characters = [c for c in CHARACTERS if not names[c].startswith(("CJK UNIFIED", "HANGUL SYLLABLE"))]
    assert len(characters) > 30_000
    for start in range(0, len(characters), 997):
        raw = " x".join(characters[start : start + 997])
        clean = text.normalize(raw)
        assert clean == text.normalize(clean), start
        clean.encode("utf-8")


@pytest.mark.parametrize("sample", ["héllo wörld", "Привет, мир", "你好,世界"])
@pytest.mark.parametrize(
    "encoding",
    ["utf-16", "utf-32", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "gb18030", "cp1251"],
)
def test_the_remedy_for_another_encoding_leads_to_the_text(sample, encoding):
    """Whatever the message names is followed; one of them must give the text."""
    try:
        data = sample.encode(encoding)
    except UnicodeEncodeError:
        pytest.skip(f"{encoding} lacks these letters")
    try:
        read = text.read(data)
    except InputError as error:
        message = str(error)
    else:
        assert read == sample
        return
    named = re.findall(r'encoding="([^"]+)"', message) or re.search(r"possible: ([^)]*)", message)[1].split(", ")
    texts = [text.read(data, name) for name in named]  # none may lead to a second error
    guessed = encoding == "cp1251" or (encoding.startswith("utf-16-") and sample[0] == "你")  # any bytes can be these
    assert sample in texts or guessed
    assert text.read(data, errors="replace")


def test_western_text_in_utf_16_without_a_mark_is_not_taken_for_utf_8():
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        data = "plain words, in order".encode(encoding)
        assert "\0" in data.decode("utf-8")  # legal UTF-8, and no text
        with pytest.raises(InputError, match=f'Pass encoding="{encoding}"'):
            text.read(data)
        assert text.read(data, encoding) == "plain words, in order"
    assert text.read(b"a\0b") == "a\0b"  # a single zero is a control character


def test_remedies_of_text():
    with pytest.raises(InputError, match="ends in the middle of a character: download it again"):
        text.read("naïve 你好".encode()[:-1])
    with pytest.raises(InputError, match="is a gzip archive"):
        text.read(b"\x1f\x8b\x08" + bytes(20) + b"\xff")
    with pytest.raises(InputError, match="is a ZIP archive, a document"):
        text.read(b"PK\3\4\xff\xff")
    for errors in ("nonsense", None, 3):
        with pytest.raises(InputError, match='^errors: expected "strict" or "replace"'):
            text.read(b"plain", errors=errors)
    for encoding in ("klingon", None, 8, "base64", "utf-8\0"):
        with pytest.raises(InputError, match="^encoding: .* is unknown. Utf-8, utf-16"):
            text.read(b"plain", encoding)
    for encoding in ("utf-8", "utf-16", "utf-32", "gb18030", "cp1252", "latin-1"):  # those that the message names
        assert text.read("plain".encode(encoding), encoding) == "plain"


@pytest.mark.parametrize(
    "name, call",
    [
        ("text", lambda: text.normalize(None)),
        ("text", lambda: text.normalize(b"bytes")),
        ("text", lambda: text.tokenize(3)),
        ("words", lambda: text.maximum_matching("abc", "abc")),
        ("min_count", lambda: Vocabulary.build([["a"]], min_count=float("nan"))),
        ("min_count", lambda: Vocabulary.build([["a"]], min_count=True)),
        ("max_size", lambda: Vocabulary.build([["a"]], max_size=-1)),
        ("length", lambda: Vocabulary(["a"]).encode([["a"]], length=-1)),
        ("length", lambda: Vocabulary(["a"]).encode([["a"]], length=2.5)),
        ("sequences", lambda: Vocabulary(["a"]).encode([[1, 2]])),
        ("sequences", lambda: text.bag_of_words(["a string"], Vocabulary(["a"]))),
        ("ids", lambda: Vocabulary(["a"]).decode([1.7])),
        ("ids", lambda: Vocabulary(["a"]).decode([float("nan")])),
        ("ids", lambda: Vocabulary(["a"]).decode([[1]])),
        ("vocabulary", lambda: Vocabulary.from_json(None)),
        ("vocabulary", lambda: Vocabulary.from_json("[" * 100_000)),
        ("texts", lambda: bpe.BPETokenizer.train("one string")),
        ("vocab_size", lambda: bpe.BPETokenizer.train(["a"], vocab_size=float("inf"))),
        ("window", lambda: word2vec.skip_gram_pairs([[1, 2]], window=0)),
        ("num_negatives", lambda: word2vec.train([[0, 1]], 2, np.random.default_rng(0), num_negatives=-1)),
        ("lr", lambda: word2vec.train([[0, 1]], 2, np.random.default_rng(0), lr=float("nan"))),
        ("rng", lambda: word2vec.train([[0, 1]], 2, 0)),
        ("sentences", lambda: word2vec.train([[0, 5]], 2, np.random.default_rng(0))),
        ("mask_prob", lambda: masking.mask_tokens(*[np.ones((1, 2), int)] * 2, 1, 4, np.random.default_rng(0), 1.5)),
    ],
)
def test_odd_arguments_are_the_callers_fault(name, call):
    with pytest.raises(InputError, match=f"^{name}: "):
        call()


def test_maximum_matching_segments_chinese():
    words = ["红色", "红", "圆形", "上面", "在", "的"]
    assert text.maximum_matching("红色的圆形在它上面", words) == ["红色", "的", "圆形", "在", "它", "上面"]
    assert text.maximum_matching("", words) == []


def test_a_line_of_a_megabyte_is_read_whole():
    line = "word 你好 🙂 " * 80_000
    tokens = text.tokenize(text.normalize(line))
    assert len(tokens) == 4 * 80_000
    assert len(bpe.BPETokenizer.train([line], 30).tokenize("word 你好")) == 2
    page = "".join(np.random.default_rng(0).choice(list("红色的圆在蓝方块上面"), 350_000))  # 1 MB without a space
    model = bpe.BPETokenizer.train([page[:20_000]], 60)
    assert model.detokenize(model.tokenize(page)) == page and len(text.tokenize(page)) == len(page)


def test_vocabulary():
    vocabulary = Vocabulary.build([["b", "a", "a"], ["c", "b"]])
    assert vocabulary.tokens == ["<pad>", "<unk>", "a", "b", "c"]
    ids, padding_mask = vocabulary.encode([["a", "zebra"], [], ["c", "b", "a"]])
    assert ids.tolist() == [[2, 1, 0], [0, 0, 0], [4, 3, 2]] and ids.dtype == np.int64
    assert padding_mask.tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert vocabulary.encode([["a", "b", "c"]], length=2)[0].tolist() == [[2, 3]]
    assert vocabulary.encode([])[0].shape == (0, 0)
    assert vocabulary.decode(ids[0]) == ["a", "<unk>"]
    assert Vocabulary.build([["a", "a", "b"]], min_count=2).tokens[2:] == ["a"]
    assert len(Vocabulary.build([list("abcdef")], max_size=4)) == 4
    copy = Vocabulary.from_json(vocabulary.to_json())
    assert copy.tokens == vocabulary.tokens and "c" in copy and "d" not in copy


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Vocabulary(["a", "a"]), "distinct"),
        (lambda: Vocabulary(["<pad>"]), "distinct"),
        (lambda: Vocabulary.build(["a string"]), "Tokenize"),
        (lambda: Vocabulary(["a"]).encode(["a string"]), "Tokenize"),
        (lambda: Vocabulary(["a"]).decode([5]), "expected 0 to 2"),
        (lambda: Vocabulary.from_json("{"), "not JSON"),
        (lambda: Vocabulary.from_json('["a"]'), "starts with"),
        (lambda: Vocabulary.from_json('["<pad>", "<unk>", 3]'), "distinct"),
    ],
)
def test_vocabulary_errors(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_counts_equal_scikit_learn():
    lists = [text.tokenize(text.normalize(line)) for line in TEXTS]
    vocabulary = Vocabulary.build(lists)
    theirs = CountVectorizer(analyzer=lambda tokens: tokens, vocabulary=vocabulary.tokens).fit_transform(lists)
    counts = text.bag_of_words(lists, vocabulary)
    assert (counts == theirs.toarray()).all()
    transformer = TfidfTransformer().fit(theirs)
    np.testing.assert_allclose(text.inverse_document_frequency(counts), transformer.idf_, atol=1e-12)
    np.testing.assert_allclose(text.tf_idf(counts), transformer.transform(theirs).toarray(), atol=1e-12)
    new = text.bag_of_words([["unheard"], []], vocabulary)
    assert new[0, 1] == 1 and np.isfinite(text.tf_idf(new, transformer.idf_)).all()


def library_merges(words, vocab_size, min_count=0):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=min_count, show_progress=False)
    tokenizer.train_from_iterator(words, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(pair) for pair in merges], tokenizer


@pytest.mark.parametrize("seed", range(40))
def test_merges_equal_the_library_even_in_ties(seed):
    """Short words over four letters: nearly every choice is a tie."""
    rng = np.random.default_rng(seed)
    alphabet = list("abcd红")[: rng.integers(1, 6)]
    words = ["".join(rng.choice(alphabet, rng.integers(1, 9))) for _ in range(rng.integers(1, 25))]
    size, min_count = int(rng.integers(2, 50)), int(rng.integers(0, 4))
    _, merges = bpe.train_bpe(Counter(words), size, min_count)
    theirs, tokenizer = library_merges(words, size, min_count)
    assert merges == theirs
    model = bpe.BPETokenizer(_, merges)
    for word in words:
        assert model.tokenize_word(word) == tokenizer.encode(word).tokens


def test_byte_pairs_on_the_course_texts():
    lines = [text.normalize(line) for line in TEXTS] * 3
    model = bpe.BPETokenizer.train(lines, 80)
    words = [bpe.WORD_BOUNDARY + word for line in lines for word in line.split()]
    assert model.merges == library_merges(words, 80)[0] and len(model.tokens) == 80
    for line in lines:
        assert model.detokenize(model.tokenize(line)) == line
    assert model.tokenize("") == [] and "".join(model.tokenize("🙂")) == "▁🙂"
    assert any(len(token) > 1 and "红" in token for token in model.tokenize("红色的圆"))


def test_merges_equal_the_library_on_real_text(real_data):
    lines = (real_data / "rt-polarity.pos").read_text("latin-1").splitlines()[:1000]
    words = Counter(word for line in lines for word in line.split())
    assert bpe.train_bpe(words, 400)[1] == library_merges(list(words.elements()), 400)[0]


def test_skip_gram_pairs_and_noise():
    centers, contexts = word2vec.skip_gram_pairs([[1, 2, 3], [4]], window=1)
    assert list(zip(centers, contexts, strict=True)) == [(1, 2), (2, 1), (2, 3), (3, 2)]
    noise = word2vec.noise_distribution(np.array([0] * 16 + [1]), 3)
    np.testing.assert_allclose(noise, [8 / 9, 1 / 9, 0])


def test_skip_gram_gradients_equal_differences():
    rng = np.random.default_rng(0)
    v, u = rng.standard_normal((3, 4)), rng.standard_normal((3, 6, 4))
    _, dv, du = word2vec.loss_and_gradients(v, u)
    for array, gradient in ((v, dv), (u, du)):
        for place in np.ndindex(array.shape):
            saved = array[place]
            array[place] = saved + 1e-6
            up = word2vec.loss_and_gradients(v, u)[0]
            array[place] = saved - 1e-6
            down = word2vec.loss_and_gradients(v, u)[0]
            array[place] = saved
            assert abs((up - down) / 2e-6 - gradient[place]) < 1e-7
    assert np.isfinite(word2vec.loss_and_gradients(v * 1e4, u)[0])


def test_skip_gram_learns_which_words_keep_the_same_company():
    """Words 0-3 go with 4-5, words 6-9 go with 10-11; words of one kind never meet each other."""
    rng = np.random.default_rng(0)
    sentences = []
    for _ in range(600):
        kind = 6 * int(rng.integers(2))
        sentences.append([kind + int(rng.integers(4)), kind + 4 + int(rng.integers(2))])
    vectors, losses = word2vec.train(sentences, 12, rng, dim=8, epochs=8)
    ignorant = word2vec.train(sentences, 12, rng, dim=8, epochs=1, lr=1e-9)[1][0]
    assert abs(ignorant - 6 * np.log(2)) < 1e-6 and losses[-1] < losses[0] < ignorant
    for word in range(4):
        assert {row for row, _ in word2vec.most_similar(vectors, word, 3)} == {0, 1, 2, 3} - {word}
    with pytest.raises(InputError, match="no word has a neighbor"):
        word2vec.train([[1]], 3, rng)


def test_analogy():
    vectors = np.array([[1.0, 0, 1], [1, 0, -1], [0, 1, 1], [0, 1, -1], [1, 1, 0]])
    assert word2vec.analogy(vectors, 0, 1, 2)[0][0] == 3

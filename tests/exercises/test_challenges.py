"""Open challenges: what learners get, what is scored, and what an author may write."""

import importlib.util
import re

import numpy as np
import pytest

from mmcourse.authoring.catalogue import course_map
from mmcourse.check import CheckFailed, challenge_inputs, challenges, check, save_hand_in
from mmcourse.check.core import judge_challenge
from mmcourse.datasets import lesson_dir, results
from mmcourse.exercise import Array, Drawn, find_challenge, find_lesson
from mmcourse.exercise.challenge import make_challenge
from mmcourse.exercise.notebook import notebook_text

CHALLENGES = [made for entry in course_map() if (made := find_challenge(entry.slug))]
ALL = pytest.mark.parametrize("made", CHALLENGES, ids=lambda made: made.id)
RING = "cnn.challenge"


def test_there_is_one():
    assert RING in [made.id for made in CHALLENGES]


@ALL
def test_draws_are_repeatable_and_hide_what_is_hidden(made):
    one, again = made.public(), made.public()
    other = made.drawn_from(b"another class")
    for name, array in one.inputs.items():
        assert np.array_equal(array, again.inputs[name]) and array.dtype.kind != "O"
        assert not np.array_equal(array, other.inputs[name]), f"{name} is the same in every class"
        assert not np.array_equal(array, np.asarray(one.hidden)), f"{name} is what is hidden"


@ALL
def test_thoughtless_answers_do_not_reach_the_score_to_beat(made):
    """All zeros, all ones, noise: the first point has to be earned."""
    g = np.random.default_rng(0)
    for fill in (lambda shape: np.zeros(shape), lambda shape: np.ones(shape), lambda shape: g.integers(0, 4, shape)):
        kinds = {"integer": int, "float": float, "bool": bool}
        arrays = {name: fill(array.shape).astype(kinds[array.kind]) for name, array in made.hand_in.items()}
        assert made.scored(made.checked(arrays), made.public()) < made.to_beat


def test_right_answers_earn_by_score():
    made = find_challenge(RING)
    labels = made.public().hidden
    for wrong, status, points in ((0, "passed", 3), (100, "passed", 2), (300, "passed", 1), (600, "wrong", 0)):
        predictions = labels.copy()
        predictions[:wrong] = (predictions[:wrong] + 1) % 4
        result = judge_challenge(RING, predictions)
        assert (result.status, result.points, result.max_points) == (status, points, 3)
        assert f"accuracy {1 - wrong / 1000:.3f}; to beat: 0.5." in result.message
    assert (
        "From 0.95 on it is worth 3 points." in judge_challenge(RING, np.r_[labels[:900], labels[:100] * 0 + 9]).message
    )


@pytest.fixture(scope="module")
def make():
    """The script behind the figures in the statement."""
    spec = importlib.util.spec_from_file_location("make_results_cnn", lesson_dir("cnn") / "make_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_statement_says_what_simple_ways_reach(make):
    """The stored figures, which short reruns hold."""
    stored, text = results("cnn")["challenge"], " ".join(find_challenge(RING).statement)
    assert f"one answer for all reaches {stored['guessing']:.2f}" in text
    assert f"a linear model on pixels {stored['linear']:.2f}" in text
    first, second = (f"{scores[-1]:.2f}" for scores in stored["network"])
    weights = sum(array.numel() for array in make.Network().parameters())
    assert f"{weights:,} weights reached {first} and {second} from two starts" in text
    assert f"{make.EPOCHS} epochs or {stored['network_seconds']} seconds" in text
    assert make.guessing() == stored["guessing"] and make.linear() == pytest.approx(stored["linear"], abs=0.02)
    assert make.network(1, seed=0, turned=False) == pytest.approx(stored["network"][0][:1], abs=0.05)


def test_the_steps_fit_what_simple_ways_reach():
    """A linear model gets nothing, a small network trained for seconds two of three points."""
    made, stored = find_challenge(RING), results("cnn")["challenge"]
    assert max(stored["guessing"], stored["linear"]) < made.to_beat - 0.1
    last = [scores[-1] for scores in stored["network"]]
    assert [made.points_of(score) for score in last] == [2, 2]
    assert max(max(scores) for scores in stored["turned"]) > max(made.points_by_score), "the last step can be reached"


def test_a_linear_model_is_not_enough():
    from sklearn.linear_model import LogisticRegression

    task = challenge_inputs(RING, own=True)
    pixels = {name: task[name].reshape(len(task[name]), -1) / 255 - 0.35 for name in ("train", "test")}
    model = LogisticRegression(C=0.01, max_iter=200).fit(pixels["train"], task["train_labels"])
    result = judge_challenge(RING, model.predict(pixels["test"]))
    assert result.status == "wrong" and 0.2 < float(result.message.split()[1].rstrip(";")) < 0.4


def away_from_the_ground(pictures):
    """Where a pixel is far from the color of the border, (n, 24, 24, 1): no color and no brightness is left."""
    border = np.concatenate([pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], axis=1)
    ground = np.median(border.astype(float), axis=1)[:, None, None]  # (n, 1, 1, 3)
    distance = np.linalg.norm(pictures - ground, axis=-1)
    half = np.percentile(distance, 98, axis=(1, 2), keepdims=True) / 2
    return (255 * (distance > half)).astype(np.uint8)[..., None]


def test_shapes_are_found_only_once_their_colors_are_gone():
    """The statement says so: the lesson's network on the pictures as they are, in gray, and without their colors."""
    pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location("make_images", lesson_dir("images") / "make_results.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    drawn = find_challenge("images.challenge").public()
    train, labels, test = drawn.inputs["train"], drawn.inputs["train_labels"], drawn.inputs["test"]
    looks = {"color": make.LOOKS["color"], "gray": make.LOOKS["gray"], "shape": away_from_the_ground}
    reached = {}
    for name, look in looks.items():
        model = make.train((look(train), labels), seed=0, epochs=24)
        reached[name] = make.accuracy_of(model, (look(test), drawn.hidden))
    assert max(reached["color"], reached["gray"]) < 0.35
    assert reached["shape"] > 0.9  # all points


def cut_out(pictures, side=16):
    """The bright thing alone, in one place and of one size: (n, side · side). No stripes are left."""
    from scipy.ndimage import binary_opening

    found = []
    for picture in pictures:
        bright = binary_opening(picture > 157, np.ones((2, 2)))  # noise has single bright pixels
        rows, columns = np.nonzero(bright)
        part = bright[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(float)
        height, width = part.shape
        ys, xs = (np.linspace(0, n - 1, side).round().astype(int) for n in (height, width))
        found.append(part[np.ix_(ys, xs)].ravel())
    return np.array(found)


def test_shapes_on_lying_stripes_are_found_only_once_the_stripes_are_gone():
    """The statement says so: a network and linear classifiers on the pictures as they are, and without stripes."""
    from sklearn.linear_model import LogisticRegression

    torch = pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location("make_vision", lesson_dir("vision") / "make_results.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    made = find_challenge("vision.challenge")
    for drawn in (made.public(), made.drawn_from(b"a class")):
        train, labels, test = (drawn.inputs[name] for name in ("train", "train_labels", "test"))

        def score(predictions, drawn=drawn):
            return made.scored({"predictions": predictions}, drawn)

        def linear(look, train=train, labels=labels, test=test):
            return LogisticRegression(max_iter=500).fit(look(train), labels).predict(look(test))

        assert score(linear(lambda pictures: pictures.reshape(len(pictures), -1) / 255)) < made.to_beat
        assert score(linear(lambda pictures: pictures.reshape(len(pictures), -1) > 157)) < made.to_beat
        assert score(linear(cut_out)) > 0.9  # all points
        torch.manual_seed(0)
        network = make.ResNet(1, 4, width=8)
        x, test_x = (make.to_tensor(pictures[..., None]) for pictures in (train, test))
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
        make.train(network, x, torch.tensor(labels), 20, optimizer, batch_size=16)
        assert make.is_right(network, x, torch.tensor(labels)).mean() > 0.9
        assert make.is_right(network, test_x, torch.tensor(drawn.hidden)).mean() < made.to_beat


def test_symbols_are_counted_by_comparing_patches_and_not_by_pixels():
    """The statement says so: a linear model on pixels, a dot product with a threshold, and symbols found first."""
    from sklearn.cluster import KMeans
    from sklearn.linear_model import LogisticRegression

    made = find_challenge("transformers.challenge")
    for drawn in (made.public(), made.drawn_from(b"a class")):
        train, counts, test = (drawn.inputs[name] for name in ("train", "train_counts", "test"))

        def score(predictions, drawn=drawn):
            return made.scored({"predictions": predictions}, drawn)

        def patches(pictures):
            cells = pictures.astype(float).reshape(len(pictures), 4, 8, 4, 8).swapaxes(2, 3)
            return cells.reshape(len(pictures), 16, 64)

        def match(pictures, patches=patches):
            tokens = patches(pictures) - patches(pictures).mean(axis=-1, keepdims=True)
            return np.einsum("nd,nkd->nk", tokens[:, 0], tokens[:, 1:])

        def counted(found, threshold):
            return (found > threshold).sum(axis=1).clip(0, 3)

        linear = LogisticRegression(C=1e-3, max_iter=200).fit(train.reshape(len(train), -1) / 255, counts)
        assert score(linear.predict(test.reshape(len(test), -1) / 255)) < 0.33
        known, new = match(train), match(test)
        tried = np.quantile(known, np.linspace(0.5, 0.99, 40))
        best = max(tried, key=lambda t, known=known, counts=counts: (counted(known, t) == counts).mean())
        assert made.to_beat < score(counted(new, best)) < 0.7  # one point
        kind = KMeans(8, n_init=3, random_state=0).fit(patches(train).reshape(-1, 64))
        found = kind.predict(patches(test).reshape(-1, 64)).reshape(-1, 16)
        assert score((found[:, 1:] == found[:, :1]).sum(axis=1).clip(0, 3)) > 0.93  # all points


@pytest.mark.parametrize(
    "answer, words",
    [
        (np.zeros(999, int), "expected shape (1000,), got (999,)"),
        (np.zeros(1000), "expected numbers of kind integer, got dtype float64"),
        (np.array([None] * 1000), "expected numbers of kind integer, got dtype object"),
        ({"labels": np.zeros(1000, int)}, "Hand in `predictions` and nothing else, got `labels`."),
        ([[0], [1, 2]], "`predictions` is no array"),
        (None, "The answer is None"),
    ],
)
def test_what_is_wrong_is_named(answer, words):
    result = judge_challenge(RING, answer)
    assert result.status == "wrong" and result.points == 0 and words in result.message


def test_a_blank_and_an_unknown_one():
    assert judge_challenge(RING).status == "not attempted yet"
    assert judge_challenge("start_here.challenge", 1).status == "unknown exercise"
    with pytest.raises(ValueError, match="no challenge 'start_here.challenge'"):
        challenge_inputs("start_here.challenge")


def test_check_shows_the_score(capsys):
    result = check(RING, find_challenge(RING).public().hidden.astype(np.uint8))
    assert result.passed and "accuracy 1.000" in capsys.readouterr().out


def test_a_framework_tensor_is_an_array_too():
    torch = pytest.importorskip("torch")
    assert judge_challenge(RING, torch.from_numpy(find_challenge(RING).public().hidden)).points == 3


def test_the_class_file_comes_before_the_own_draw(tmp_path):
    np.savez(tmp_path / f"{RING}_inputs.npz", test=np.ones(2))
    assert list(challenge_inputs(RING, tmp_path)) == ["test"]
    assert set(challenge_inputs(RING, tmp_path, own=True)) == {"train", "train_labels", "test"}
    (tmp_path / f"{RING}_inputs.npz").write_bytes(b"half")
    with pytest.raises(ValueError, match="copy it anew"):
        challenge_inputs(RING, tmp_path)


def aligned_by(task, exclusive):
    """Canonical correlation analysis: each space whitened, the six directions that agree, the nearest there."""

    def whitening(x):
        values, vectors = np.linalg.eigh(x.T @ x / len(x))
        return vectors / np.sqrt(values)

    a, b = whitening(task["image"]), whitening(task["text"])
    u, _, v = np.linalg.svd((task["image"] @ a).T @ (task["text"] @ b))
    images, texts = task["new_image"] @ a @ u[:, :6], task["new_text"] @ b @ v[:6].T
    distance = ((texts[:, None] - images[None]) ** 2).sum(axis=2)
    if exclusive:  # each image only once
        from scipy.optimize import linear_sum_assignment

        return linear_sum_assignment(distance)[1]
    return distance.argmin(axis=1)


def test_two_spaces_are_aligned_by_what_they_share():
    """The statement's claim of least squares, and ways to each step of the points."""
    made = find_challenge("clip.challenge")
    for drawn in (made.public(), made.drawn_from(b"a class"), made.drawn_from(b"another class")):
        task = drawn.inputs
        weights = np.linalg.lstsq(task["image"], task["text"], rcond=None)[0]
        guessed = task["new_image"] @ weights
        cosines = task["new_text"] @ (guessed / np.linalg.norm(guessed, axis=1, keepdims=True)).T
        assert 0.03 < made.scored({"found": cosines.argmax(axis=1)}, drawn) < 0.2
        assert made.points_of(made.scored({"found": aligned_by(task, False)}, drawn)) >= 1
        assert made.points_of(made.scored({"found": aligned_by(task, True)}, drawn)) >= 2
    assert judge_challenge("clip.challenge", aligned_by(made.public().inputs, True)).status == "passed"


def windows(sentences, num_words, window, one_side=False):
    """How often each word is within `window` of each other: (n, n); with `one_side`, before it only."""
    counts = np.zeros((num_words, num_words))
    for distance in range(1, window + 1):
        left, right = sentences[:, :-distance].ravel(), sentences[:, distance:].ravel()
        np.add.at(counts, (left, right), 1)
        if not one_side:
            np.add.at(counts, (right, left), 1)
    return counts


def ppmi_of(counts):
    """Positive PMI, 0 where nothing was counted."""
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(counts > 0, np.maximum(np.log(counts / expected), 0), 0)


def nearest_of(vectors, queries, among):
    """For each query the word of `among` with the highest cosine."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosines = unit[queries] @ unit[among].T
    cosines[queries[:, None] == among] = -np.inf
    return among[cosines.argmax(axis=1)]


def without_frequent(sentences, num_words, num_removed):
    """Counts (n, n) of what follows what, once the most frequent words are taken out of the sentences."""
    small = np.argsort(-np.bincount(sentences.ravel(), minlength=num_words))[:num_removed]
    counts = np.zeros((num_words, num_words))
    for sentence in sentences:
        kept = sentence[~np.isin(sentence, small)]
        np.add.at(counts, (kept[:-1], kept[1:]), 1)
    return counts


def test_synonyms_are_found_by_better_company():
    """What the statement says that simple ways reach, and ways to the points."""
    made = find_challenge("word_vectors.challenge")
    for drawn in (made.public(), made.drawn_from(b"a class"), made.drawn_from(b"another class")):
        sentences, queries = drawn.inputs["sentences"], drawn.inputs["queries"]
        n = sentences.max() + 1
        every = np.arange(n)

        def score(found, drawn=drawn):
            return made.scored({"synonyms": found}, drawn)

        both = windows(sentences, n, 2)
        assert 0.05 < score(nearest_of(both, queries, every)) < 0.25
        assert 0.35 < score(nearest_of(ppmi_of(both), queries, every)) < made.to_beat - 0.02
        side = windows(sentences, n, 2, one_side=True)
        sides = np.concatenate([ppmi_of(side), ppmi_of(side.T)], axis=1)
        assert score(nearest_of(sides, queries, queries)) > made.to_beat - 0.02
        following = without_frequent(sentences, n, 12)
        best = np.concatenate([ppmi_of(following), ppmi_of(following.T)], axis=1)
        assert made.points_of(score(nearest_of(best, queries, queries))) >= 2


def judge_sides(task):
    """A program without training: the pixels of a color, in pieces; the piece whose area fits shape and size best."""
    from scipy.ndimage import center_of_mass, label

    from mmcourse.datasets import vocabulary
    from mmcourse.datasets.scenes import drawing, truth, world

    palette = np.array([drawing.RGB[name] for name in world.COLORS], dtype=float)
    area = {}  # (shape, size) → pixels of such a thing, by drawing a few
    for shape in range(len(world.SHAPES)):
        for size, (low, high) in enumerate(world.RADII.values()):
            cover = drawing.mask(shape, (low + high) / 2, 0)[0]
            area[shape, size] = (np.asarray(cover) > 127).sum()

    def sides(image, said):
        """Where things of this phrase's color are: (how badly its area fits, x) of each piece."""
        distance = np.abs(image.astype(float)[:, :, None] - palette).sum(axis=-1)
        parts, count = label((distance.argmin(axis=2) == said.color) & (distance.min(axis=2) < 90))
        sizes = [said.size] if said.size is not None else [0, 1]
        pieces = []
        for number in range(1, count + 1):
            pixels = (parts == number).sum()
            if pixels > 15:
                fit = min(abs(np.log(pixels / area[said.shape, size])) for size in sizes)
                pieces.append((fit, center_of_mass(parts == number)[1]))
        return sorted(pieces)

    found = []
    for image, pair in zip(task["images"], task["captions"], strict=True):
        said = truth.parse(vocabulary.decode(pair[0]))
        first, second = (sides(image, phrase) for phrase in said.things[:2])
        ways = [(a[0] + b[0], a[1], b[1]) for a in first for b in second if a[1] != b[1]]
        _, x, y = min(ways, default=(0, 0, 1))
        found.append(int((x < y) != (said.relation == "left")))
    return np.array(found)


def test_left_and_right_can_be_told_by_a_program():
    """The statement's claim of the shipped captioner, and a way to two steps of the points."""
    from mmcourse.datasets import vocabulary
    from mmcourse.datasets.scenes import truth
    from mmcourse.torch.captioner import Captioner

    made = find_challenge("captioning.challenge")
    public = made.public()
    for drawn in (public, made.drawn_from(b"a class")):
        assert made.points_of(made.scored({"true": judge_sides(drawn.inputs)}, drawn)) >= 2
        for one, other in drawn.inputs["captions"]:
            said, turned = (truth.parse(vocabulary.decode(ids)) for ids in (one, other))
            assert {said.relation, turned.relation} == {"left", "right"} and said.things == turned.things
    model = Captioner.from_pretrained("captioning")
    pictures = public.inputs["images"][:100]
    texts = [[vocabulary.decode(ids) for ids in public.inputs["captions"][:100, k]] for k in (0, 1)]
    log_p = [model.log_likelihood(pictures, text) for text in texts]
    by_likelihood = (log_p[1] > log_p[0]).numpy()
    assert 0.35 < (by_likelihood == public.hidden[:100]).mean() < 0.65


def test_what_is_not_there_has_no_color():
    """Truth scores 1; who always names a color, half at most; both kinds of questions occur equally often."""
    from mmcourse.datasets.scenes import world

    made = find_challenge("vlm.challenge")
    for drawn in (made.public(), made.drawn_from(b"a class")):
        truth = drawn.hidden
        assert (truth == len(world.COLORS)).mean() == 0.5
        assert made.points_of(made.scored({"answers": truth}, drawn)) == 3
        named = np.where(truth == len(world.COLORS), 0, truth)
        assert made.scored({"answers": named}, drawn) == 0.5 and not made.points_of(
            made.scored({"answers": named}, drawn)
        )
        silent = np.full_like(truth, len(world.COLORS))
        assert made.scored({"answers": silent}, drawn) == 0.5
        for shape in range(len(world.SHAPES)):  # the shape alone does not tell
            assert 0 < (truth[drawn.inputs["shapes"] == shape] == len(world.COLORS)).mean() < 1


def test_in_the_dark_true_boxes_earn_all_and_the_shipped_detector_too_little():
    """Truth scores 1, also in another order; what needs no training stays below the score to beat."""
    made, stored = find_challenge("detection.challenge"), results("detection")["challenge"]
    text = " ".join(made.statement)
    simple = max(value for name, value in stored.items() if name != "own head")
    assert f"it reaches {simple:.2f}" in text and simple < made.to_beat
    assert min(stored["own head"]) > made.to_beat, "a head trained for seconds is enough"
    drawn = made.public()
    boxes, labels, scores = np.zeros((150, 12, 4)), np.zeros((150, 12), int), np.zeros((150, 12))
    for i, things in enumerate(drawn.hidden):
        things = things[things[:, 4] >= 0][::-1]
        boxes[i, : len(things)], labels[i, : len(things)] = things[:, :4], things[:, 4]
        scores[i, : len(things)] = 1
    right = {"boxes": boxes, "labels": labels, "scores": scores}
    assert made.points_of(made.scored(right, drawn)) == 3 and made.scored(right, drawn) == 1
    assert made.scored({**right, "boxes": boxes + 30}, drawn) < 0.05


def test_a_hand_in_is_written_whole_or_not_at_all(tmp_path):
    np.savez(tmp_path / f"{RING}_inputs.npz", test=np.ones(2))
    path = save_hand_in(RING, np.zeros(1000, int), tmp_path)
    with np.load(path, allow_pickle=False) as file:
        assert file.files == ["predictions"] and file["predictions"].shape == (1000,)
    before = path.read_bytes()
    with pytest.raises(Exception, match="expected shape"):
        save_hand_in(RING, np.zeros(3, int), tmp_path)
    assert path.read_bytes() == before and {file.name for file in tmp_path.iterdir()} == {
        path.name,
        f"{RING}_inputs.npz",
    }


def test_a_hand_in_for_other_inputs_is_not_written(tmp_path):
    """Without the class's inputs, or made from the learner's own draw, it would be worth nothing."""
    own = find_challenge(RING).public().hidden
    with pytest.raises(FileNotFoundError, match="put that file beside the notebook"):
        save_hand_in(RING, own, tmp_path)
    np.savez(tmp_path / f"{RING}_inputs.npz", test=np.ones(2))
    with pytest.raises(CheckFailed, match="made from your own draw"):
        save_hand_in(RING, own, tmp_path)
    assert not (tmp_path / f"{RING}.npz").exists()


def test_a_hand_in_that_would_be_too_large_is_not_written(tmp_path, monkeypatch):
    weights = {"w": Array((1_000_000,), "float")}
    made = make_challenge("cnn.challenge", **{**GOOD, "hand_in": weights, "of_one_draw": False})
    monkeypatch.setattr(challenges, "_found", lambda id: made)
    (tmp_path / f"{RING}_inputs.npz").touch()
    w = np.random.default_rng(0).normal(size=1_000_000)
    with pytest.raises(CheckFailed, match="would take 7.. MB, 4 at most: use a smaller dtype"):
        save_hand_in(RING, w, tmp_path)
    assert save_hand_in(RING, w.astype(np.float32), tmp_path).stat().st_size <= 4 << 20


def test_the_notebook_shows_it_once_and_counts_its_points_apart():
    lesson = find_lesson("cnn")
    text = notebook_text(lesson, "CNN")
    assert text.count("## cnn.challenge · Where is the gap?") == 1 and "up to 3 points, on top of those above" in text
    assert 'check("cnn.challenge", predictions)' in text and f"**{lesson.points} points" in text
    assert text.index("## cnn.3") < text.index("## cnn.challenge") < text.index("## Done?")


GOOD = {
    "title": "T",
    "statement": ["S"],
    "draw": lambda g: Drawn({}, None),
    "score": lambda handed, inputs, hidden: 1.0,
    "hand_in": {"w": Array((3,), "float")},
    "to_beat": 0.5,
    "points_by_score": {0.5: 1, 0.7: 3},
    "minutes": 5,
}


@pytest.mark.parametrize(
    "id, change, words",
    [
        ("cnn.4", {}, "expected an id"),
        ("cnn.challenge", {"hand_in": {}}, "expected arrays to hand in"),
        ("cnn.challenge", {"hand_in": {"w": Array((3,), "object")}}, "expected arrays to hand in"),
        ("cnn.challenge", {"hand_in": {"../w": Array((3,), "float")}}, "names of letters"),
        ("cnn.challenge", {"hand_in": {"w": Array((3_000_000,), "float")}}, "does not fit into 4 MB"),
        ("cnn.challenge", {"points_by_score": {0.4: 1}}, "points that grow"),
        ("cnn.challenge", {"points_by_score": {0.5: 2, 0.7: 1}}, "points that grow"),
        ("cnn.challenge", {"points_by_score": {}}, "points that grow"),
    ],
)
def test_a_malformed_challenge_is_refused(id, change, words):
    with pytest.raises(ValueError, match=words):
        make_challenge(id, **{**GOOD, **change})
    assert make_challenge("cnn.challenge", **GOOD).points_of(0.69) == 1


def test_weights_can_be_handed_in_too():
    """The score function runs the author's own network with the learner's numbers."""
    made = make_challenge(
        "cnn.challenge",
        **{
            **GOOD,
            "draw": lambda g: Drawn({"x": np.eye(3)}, np.array([1.0, 2.0, 3.0])),
            "score": lambda handed, inputs, hidden: -np.abs(inputs["x"] @ handed["w"] - hidden).max(),
            "to_beat": -0.1,
            "points_by_score": {-0.1: 1, 0.0: 2},
        },
    )
    assert made.check(np.array([1.0, 2.0, 3.05]))[:2] == (True, 1) and made.check({"w": np.arange(1.0, 4)})[1] == 2
    assert made.check(np.zeros(3, np.float16))[:2] == (False, 0)


# ---------------------------------------------------------------- text: a search engine
COLOR_NAMES = "red orange yellow green blue purple white black".split()
SHAPE_NAMES = "circle square triangle diamond star cross".split()


def words(sentence):
    """Words in lower case, each synonym replaced by the first name of what it means."""
    from mmcourse.datasets.scenes.captions import ENGLISH

    names = {word: name for name in (*COLOR_NAMES, *SHAPE_NAMES) for word in ENGLISH[name]}
    return [names.get(word, word) for word in sentence.lower().rstrip(".").replace(",", "").split()]


def phrases(sentence):
    """The pairs of color and shape that a caption or a query names, in any of the grammar's ways."""
    colors, shapes, joined = "|".join(COLOR_NAMES), "|".join(SHAPE_NAMES), " ".join(words(sentence))
    found = re.findall(rf"({colors}) ({shapes})", joined)
    return found + [(color, shape) for shape, color in re.findall(rf"({shapes}) (?:that is|in) ({colors})", joined)]


def ranked(analyzer, drawn):
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer=analyzer)
    rows = vectorizer.fit_transform(drawn.inputs["captions"].tolist())
    similarity = (vectorizer.transform(drawn.inputs["queries"].tolist()) @ rows.T).toarray()
    return np.argsort(-similarity.round(9), axis=1, kind="stable")[:, :10]


@pytest.mark.parametrize("key", [None, b"a class", b"another"])
def test_a_search_engine_needs_more_than_words(key):
    """What the statement says: 0.7 with words, and reading the phrases finds all."""
    made = find_challenge("text.challenge")
    drawn = made.public() if key is None else made.drawn_from(key)
    plain = made.scored(made.checked(ranked(lambda s: s.lower().rstrip(".").split(), drawn)), drawn)
    assert 0.55 < plain < 0.8
    whole = made.scored(made.checked(ranked(phrases, drawn)), drawn)
    assert whole > 0.99 and made.points_of(whole) == 3


def test_a_caption_found_twice_counts_once():
    made = find_challenge("text.challenge")
    drawn = made.public()
    first = drawn.hidden.argmax(axis=1)  # one relevant caption per query
    assert made.scored({"found": np.repeat(first[:, None], 10, axis=1)}, drawn) == pytest.approx(0.1)
    assert made.scored({"found": np.full((40, 10), -1)}, drawn) == 0


# ---------------------------------------------------------------- rnn: lamps and buttons
LAMPS = "rnn.challenge"


def test_the_lamps_statement_says_what_simple_ways_reach():
    stored, text = results("rnn")["challenge"], " ".join(find_challenge(LAMPS).statement)
    assert f"one answer for all reaches {stored['guessing']:.2f}" in text
    assert f"a bag of button counts {stored['counts']:.2f}" in text
    for kind, words in (("RNN", "a plain RNN with 64 units"), ("LSTM", "An LSTM of the same width reached")):
        first, second = (f"{score:.2f}" for score in stored[kind])
        assert f"{words} {first} and {second}" in text
    assert f"epochs or {stored['LSTM_seconds']:.0f} seconds" in text


def test_the_lamps_steps_ask_for_a_memory():
    made, stored = find_challenge(LAMPS), results("rnn")["challenge"]
    simple = [stored["guessing"], stored["counts"], *stored["RNN"]]
    assert [made.points_of(score) for score in simple] == [0, 0, 0, 0]
    assert [made.points_of(score) for score in stored["LSTM"]] == [2, 2]
    assert min(stored["LSTM, smaller batches"]) > max(made.points_by_score), "the last step can be reached"


def test_a_machine_of_lamps_can_be_followed_by_hand():
    """What a learner sees is enough: the labels follow from the buttons, and the test sequences are longer."""
    inputs = challenge_inputs(LAMPS, own=True)
    lengths = {name: (inputs[name] > 0).sum(axis=1) for name in ("train", "test")}
    assert lengths["train"].max() <= 20 < 30 <= lengths["test"].min()
    assert set(np.unique(inputs["train"])) == set(range(9)) and set(inputs["train_labels"]) == set(range(6))
    shortest = inputs["train"][lengths["train"] == 2][:, :2]
    labels = inputs["train_labels"][lengths["train"] == 2]
    for pair in np.unique(shortest, axis=0):
        assert len(set(labels[(shortest == pair).all(axis=1)])) == 1, "one sequence, one lamp"


# ---------------------------------------------------------------- bert: an unknown language
UNKNOWN = "bert.challenge"


def test_the_unknown_language_s_statement_says_what_simple_ways_reach():
    stored, text = results("bert")["challenge"], " ".join(find_challenge(UNKNOWN).statement)
    assert f"on the bags of words of `train` reaches {stored['bag of words']:.2f}" in text
    assert f"classifier, reach {stored['counted vectors']:.2f}" in text
    assert f"reaches {stored['turned around']:.2f} here" in text


def test_the_unknown_language_s_steps_ask_for_the_unlabeled_texts():
    made, stored = find_challenge(UNKNOWN), results("bert")["challenge"]
    points = [made.points_of(stored[way]) for way in ("bag of words", "counted vectors", "turned around")]
    assert points == [0, 1, 3], "the last step can be reached"


def test_twenty_texts_of_the_unknown_language_have_labels_of_both_kinds():
    inputs = challenge_inputs(UNKNOWN, own=True)
    assert inputs["train"].shape == (20, 20) and inputs["unlabeled"].shape == (8000, 20)
    assert sorted(np.bincount(inputs["train_labels"])) == [10, 10]
    assert inputs["test"].min() >= 1 and inputs["test"].max() <= 400

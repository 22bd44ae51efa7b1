"""Films of `scenes`: no frame tells an event from its mirror image, and sound is in step exactly when it should be."""

import numpy as np
import pytest

from mmcourse.datasets.scenes import drawing, films, videos, world
from mmcourse.datasets.scenes.captions import EVENTS, tokens


# ---------------------------------------------------------------- order-blind: exactly one half
@pytest.mark.parametrize("t", [8, 9, 11, 12, 13, 16])
def test_without_their_order_frames_tell_nothing(t):
    """By enumeration: the frames as a set are equally probable under an event and under its mirror image."""
    for radius in (5.0, 6.5, 9.5, 11.5):
        for x, y in ((15, 20), (32, 32), (48, 50)):
            thing = world.Thing(shape=3, color=1, size=0, x=x, y=y, radius=radius, turn=2)
            for event in EVENTS:
                one, other = videos.unordered(thing, event, t), videos.unordered(thing, videos.MIRROR[event], t)
                assert one.keys() == other.keys() and sum(one.values()) == pytest.approx(1)
                assert all(one[key] == pytest.approx(other[key]) for key in one)
            assert videos.order_blind_ceiling(thing, t) == pytest.approx(0.5, abs=1e-12)


def test_turns_are_as_many_before_the_middle_as_behind():
    assert list(videos.turns(12)) == [4, 5, 6, 7, 8]
    for t in range(8, 17):
        assert sorted(t - turn for turn in videos.turns(t)) == list(videos.turns(t))


def test_every_event_has_a_mirror_image():
    assert {videos.MIRROR[videos.MIRROR[event]] == event for event in EVENTS} == {True}
    thing = world.Thing(shape=0, color=0, size=1, x=30, y=30, radius=10.0, turn=0)
    for event in ("move left", "move up"):
        assert videos.move(thing, event, 12, 0.3)[::-1] == videos.move(thing, videos.MIRROR[event], 12, 0.3)
    assert videos.resize(thing, "grow", 12)[::-1] == videos.resize(thing, "shrink", 12)
    assert videos.show(thing, "appear", 12, 5)[::-1] == videos.show(thing, "vanish", 12, 7)


def test_who_acts_is_drawn_alike_for_all_events():
    """Shape, size and the number of frames in which it is seen: as often under an event as under its mirror image."""
    n = 1200
    seen = {event: [] for event in EVENTS}
    for index in range(8 * n):
        clip = videos.make(77, index)
        actor = clip.scene.things[-1]
        count = sum(len(things) for things in clip.frames) - (len(clip.scene.things) - 1) * videos.FRAMES
        seen[clip.event].append((actor.shape, actor.size, count))
    for one, other in videos.PAIRS:
        for column, values in ((0, range(6)), (1, range(2)), (2, range(13))):
            for value in values:
                a, b = (np.mean([row[column] == value for row in seen[event]]) for event in (one, other))
                assert abs(a - b) < 0.075, (one, other, column, value)
    shapes = {row[0] for row in seen["grow"]}
    assert shapes == {row[0] for row in seen["shrink"]} == set(range(6))


def test_simulation_agrees_with_the_ceiling():
    """A nearest-neighbor vote on frames as a set (states of the actor), on fresh films: one half, not more."""

    def key(clip):
        still = len(clip.scene.things) - 1
        states = [things[still:] for things in clip.frames]
        return sum(bool(s) for s in states), tuple(
            sorted((s[0].x, s[0].y, s[0].radius) if s else (-1, -1, -1) for s in states)
        )

    def kind(clip):
        count, states = key(clip)
        (x0, y0, _), (x1, y1, _) = states[0], states[-1]
        return "x" if x0 != x1 and x0 >= 0 else "count" if count < 12 else "y" if y0 != y1 else "radius"

    pairs = {frozenset(pair): name for pair, name in zip(videos.PAIRS, ("x", "y", "radius", "count"), strict=True)}
    made = [videos.make(78, index) for index in range(4000)]
    for clip in made:
        assert pairs[frozenset((clip.event, videos.MIRROR[clip.event]))] == kind(clip)  # the pair is always told
    counts = (
        [key(clip)[0] for clip in made if clip.event == "appear"],
        [key(clip)[0] for clip in made if clip.event == "vanish"],
    )
    first = np.bincount(counts[0], minlength=13) / len(counts[0])
    second = np.bincount(counts[1], minlength=13) / len(counts[1])
    assert np.maximum(first, second).sum() / 2 < 0.56  # 0.5 but for sampling


def test_captions_of_what_changes_its_size_name_no_size():
    sizes = {"small", "little", "tiny", "large", "big", "huge"}
    for index in range(400):
        clip = videos.make(79, index)
        if clip.event in ("grow", "shrink"):
            assert not sizes & set(tokens(clip.caption))
            assert "小" not in clip.caption_zh.split("变")[0] and "大" not in clip.caption_zh.split("变")[0]


# ---------------------------------------------------------------- films with sound
def test_what_is_seen_is_heard_an_offset_later():
    for index in range(30):
        film = films.make_film(5, index)
        d, t = film.offset, films.FRAMES
        start, stop = max(0, -d), min(t, t - d)
        assert (film.pattern[start:stop] == film.sounding[start + d : stop + d]).all()
        there = [any(thing == film.thing for thing in things) for things in film.frames]
        assert there == film.pattern.tolist()
    drawn = {films.make_film(5, index).offset for index in range(300)}
    assert drawn == set(range(-films.MOST_OFFSET, films.MOST_OFFSET + 1))


def test_patterns_are_fair_coins():
    made = films.load_films("train", 300)
    every = np.concatenate([film.pattern for film in made])
    assert abs(every.mean() - 0.5) < 0.02
    follows = np.concatenate([film.pattern[1:] == film.pattern[:-1] for film in made])
    assert abs(follows.mean() - 0.5) < 0.02


@pytest.mark.parametrize("window", [0, 1, 2, 3, 4])
def test_the_ceiling_of_in_step_by_listing_all_patterns(window):
    """Of all pairs of patterns: the best judge by Bayes, when half of the pairs belong together."""
    every = [tuple(map(int, np.binary_repr(i, window))) if window else () for i in range(2**window)]
    right = 0.0
    for seen in every:
        for heard in every:
            together = 0.5 * (seen == heard) / len(every)
            unrelated = 0.5 / len(every) ** 2
            right += max(together, unrelated)
    assert right == pytest.approx(films.in_step_ceiling(window))
    assert films.in_step_ceiling(0) == 0.5


def test_shifted_patterns_agree_as_unrelated_ones_do():
    """By listing: a window of W coins equals the window d later with probability 2^−W."""
    window, shift = 4, 2
    coins = np.array([list(map(int, np.binary_repr(i, window + shift))) for i in range(2 ** (window + shift))])
    assert (coins[:, :window] == coins[:, shift:]).all(axis=1).mean() == 2.0**-window


def test_a_hum_sounds_the_same_at_every_offset():
    one, other = films.make_film(6, 3, "hum", offset=-5), films.make_film(6, 3, "hum", offset=5)
    assert (one.wave() == other.wave()).all() and (one.draw() == other.draw()).all()
    one, other = films.make_film(6, 3, "blink", offset=-5), films.make_film(6, 3, "blink", offset=5)
    assert not (one.wave() == other.wave()).all() and (one.draw() == other.draw()).all()


def test_films_are_functions_of_two_numbers():
    film, again = films.make_film(7, 1), films.make_film(7, 1)
    assert (film.draw() == again.draw()).all() and (film.wave() == again.wave()).all()
    assert film.draw().shape == (32, 64, 64, 3) and film.wave().shape == (32 * films.PER_FRAME,)
    assert film.draw().dtype == np.uint8 and film.wave().dtype == np.float32
    assert films.load_films("test", 2)[1].scene != films.load_films("train", 2)[1].scene
    for things in film.frames:
        for thing in things:
            left, top, right, bottom = drawing.box(thing)
            assert min(left, top) >= 0 and max(right, bottom) <= 64
    for bad, message in (
        (lambda: films.make_film(7, 1, "song"), "kind: expected one of"),
        (lambda: films.make_film(7, 1, frames=9), "frames: expected"),
        (lambda: films.make_film(7, 1, offset=20), "offset: expected"),
        (lambda: films.load_films("test", 0), "n: expected"),
        (lambda: films.in_step_ceiling(-1), "window: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            bad()

"""Dialogues about scenes: every reply is true of the scene, the mask trains the assistant, nothing held out leaks."""

import numpy as np
import pytest

from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes import dialogues, questions, world
from mmcourse.datasets.scenes.dialogues import ASSISTANT, CALL, END, PLOTS, TOOL, USER, Turn
from mmcourse.torch.captioner import check_words

MANY = [dialogues.make(7, index, test=index % 2 == 0) for index in range(240)]


def test_the_same_number_gives_the_same_dialogue():
    assert dialogues.make(7, 3) == dialogues.make(7, 3) != dialogues.make(7, 11)


@pytest.mark.parametrize("plot", PLOTS)
def test_three_exchanges_in_known_words(plot):
    made = [one for one in MANY if one.name == plot]
    assert len(made) == 30
    for one in made:
        assert len(one.exchanges) == 3
        check_words("turns", [turn.text for turn in one.turns])
        assert [turn.role for turn in one.turns if turn.role != "tool"][0] == "user"
        for turn in one.turns:
            assert vocabulary.decode(vocabulary.encode(turn.text)) == turn.text


def test_every_sentence_outside_the_picture_has_known_words():
    check_words("sentences", [*dialogues.TRAIN_OUTSIDE, *dialogues.TEST_OUTSIDE])
    assert not set(dialogues.TRAIN_OUTSIDE) & set(dialogues.TEST_OUTSIDE)
    check_words("styles", [text for some in dialogues.TRAIN_STYLES.values() for text in some])
    check_words("styles", [text for some in dialogues.HELD_OUT_STYLES.values() for text in some])
    check_words("orders", [form.format("blue") for form in dialogues.TEST_INJECTIONS + dialogues.TRAIN_INJECTIONS])


def test_plain_replies_are_what_the_scene_says():
    number = 0
    for one in MANY:
        for exchange in one.exchanges:
            if exchange.kind == "plain" and exchange.question is not None:
                assert exchange.reply == questions.solve(exchange.question, one.scene)
                number += 1
    assert number > 100


def test_a_refusal_names_what_is_not_there_and_asking_back_what_is_there_twice():
    for one in MANY:
        for exchange in one.exchanges:
            there = {
                dialogues.name(look)
                for t in one.scene.things
                for look in ((t.shape, t.color), (t.shape, None), (None, t.color))
            }
            if exchange.kind == "refuse":
                assert exchange.reply.removeprefix("There is no ").rstrip(".") not in there
            if exchange.kind == "ask back":
                name = exchange.reply.removeprefix("Which ").removesuffix(" do you mean?")
                fits = [
                    t for t in one.scene.things if name in (world.SHAPES[t.shape], f"{world.COLORS[t.color]} thing")
                ]
                assert len(fits) == 2


def test_it_is_the_thing_that_was_named():
    """Replies about "it" are true of the focus of the exchange before."""
    number = 0
    for one in (dialogues.make(9, index, "memory") for index in range(80)):
        for before, now in zip(one.exchanges, one.exchanges[1:], strict=False):
            focus = before.focus
            if (
                focus is None
                or now.kind != "memory"
                or "of it" in now.asked
                or "above it" in now.asked
                or "below it" in now.asked
            ):
                continue
            values = {
                world.COLORS[focus.color],
                world.SHAPES[focus.shape],
                world.SIZES[focus.size],
                dialogues.place_phrase(focus),
            }
            assert now.reply in values
            number += 1
    assert number > 50


def test_the_mask_is_the_assistants_words_and_their_end():
    turns = [
        Turn("user", "Use the tool."),
        Turn("assistant", "count stars", is_call=True),
        Turn("tool", "two"),
        Turn("assistant", "two"),
    ]
    ids, trained = dialogues.encode(turns)
    star, two = vocabulary.id_of("stars"), vocabulary.id_of("two")
    use = [USER, *vocabulary.encode("Use the tool."), END]
    assert ids == [*use, ASSISTANT, CALL, vocabulary.id_of("count"), star, END, TOOL, two, END, ASSISTANT, two, END]
    assert [i for i, t in zip(ids, trained, strict=True) if t] == [CALL, vocabulary.id_of("count"), star, END, two, END]
    assert not any(trained[: len(use) + 1]) and trained[-2:] == [True, True]


def test_no_wording_or_combination_of_the_test_is_in_training():
    held = [text for some in dialogues.HELD_OUT_STYLES.values() for text in some]
    trained = [text for some in dialogues.TRAIN_STYLES.values() for text in some]
    assert not set(held) & set(trained)
    rng = np.random.default_rng(0)
    scenes = [world.make(8, index) for index in range(60)]
    for plot in PLOTS:
        for scene in scenes:
            made = dialogues.about(scene, plot, rng)
            for exchange in () if made is None else made.exchanges:
                assert not any(text in exchange.asked for text in held)
                kind = None if exchange.question is None else exchange.question.kind
                assert kind is None or not dialogues.kept(exchange.kind, kind)
                assert exchange.kind != "chinese, memory"


def test_held_out_instructions_have_exact_replies():
    labels = set()
    for index in range(72):
        make = dialogues.held_out_instruction if index % 2 else dialogues.unseen_combination
        scene, made, label = make(3, index // 2)
        labels.add(label)
        last = made[-1]
        if last.kind in ("one", "twice") and last.question is not None:
            answer = questions.solve(last.question, scene)
            assert last.reply == (answer if last.kind == "one" else f"{answer} {answer}")
    assert len(labels) == 10


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("two plus three", "five"),
        ("nine minus two", "seven"),
        ("three times four", "twelve"),
        ("two minus three", "nothing"),
        ("nine times nine", "nothing"),
        ("two plus", "nothing"),
        ("", "nothing"),
        ("two plus blue", "nothing"),
    ],
)
def test_the_calculator(call, result):
    assert dialogues.calculate(call) == result


def test_tools_on_a_scene():
    scene = world.make(1, 2)
    for thing in scene.things:
        look = (thing.shape, None)
        assert (
            dialogues.run_tool(f"count {dialogues.name(look, True)}", scene)
            == dialogues.NUMBER_WORDS[dialogues.counted(scene, look)]
        )
        assert dialogues.run_tool(f"find {dialogues.name(dialogues.look_of(thing))}", scene) != "nothing"
    assert dialogues.run_tool("count everything", scene) == "nothing"


def test_lists_may_come_in_any_order_and_nothing_else():
    rng = np.random.default_rng(0)
    scene = next(s for s in (world.make(2, i) for i in range(50)) if len(s.things) == 3)
    one = dialogues.listing(scene, rng)
    parts = one.reply.rstrip(".").split(", ")
    assert dialogues.says(one, ", ".join(parts[::-1]) + ".")
    assert not dialogues.says(one, ", ".join(parts[:2]) + ".")
    assert not dialogues.says(one, ", ".join([*parts, parts[0]]) + ".")

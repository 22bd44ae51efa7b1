"""The shipped chat model: small, as good as its figures say, remembers, calls tools, and talks in the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mmcourse.cli import app
from mmcourse.datasets import data_dir, results, vocabulary
from mmcourse.datasets.scenes import dialogues, world
from mmcourse.datasets.scenes.dialogues import Turn
from mmcourse.datasets.scenes.drawing import draw
from mmcourse.figures import chat as chat_figures
from mmcourse.figures import naming
from mmcourse.torch.chat import ChatModel, Tools, place_of
from mmcourse.torch.vlm import VLM

FOLDER = data_dir() / "models" / "chat"
STORED = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
KEYS = ("instructions", "dialogue", "dpo_total_variation", "grpo_total_variation")


@pytest.fixture(scope="module")
def model() -> ChatModel:
    return ChatModel.from_pretrained("chat")


def test_it_is_small_and_described():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert (FOLDER / "model.safetensors").stat().st_size < 4_000_000
    assert STORED["sha256"] in card and set(KEYS) <= set(STORED["figures"])
    for name in KEYS:
        assert f"**{STORED['figures'][name]:.3f}**" in card


def test_preference_methods_reach_the_optimum():
    found = chat_figures.exact_world(2)
    assert found["dpo_total_variation"] <= 0.05 and found["grpo_total_variation"] <= 0.05
    assert STORED["figures"]["dpo_total_variation"] <= 0.05 and STORED["figures"]["grpo_total_variation"] <= 0.05


def test_the_card_names_the_weights_that_were_tuned():
    """Lesson vlm may get newer ones: what stood before is stored with the chat model."""
    before, card = STORED["vlm before"], (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(before["sha256"]) == 64 and before["sha256"] in card and f"before: {before['accuracy']:.3f}" in card
    assert before["accuracy"] > STORED["figures"]["questions"], "nothing was forgotten: the lesson says otherwise"


def test_the_stored_results_are_whole():
    """Every method has five seeds at both budgets, and the requests of people their shares."""
    stored = results("chat")
    assert set(stored["naming"]["methods"]) == set(naming.METHODS)
    for name, row in stored["naming"]["methods"].items():
        assert set(row) >= {"distance", "distance, four times the steps", "kl", "no size"}, name
        for values in row.values():
            assert len(values) == 5 and np.isfinite(values).all() and min(values) >= 0, name
    people = stored["people"]
    assert len(people["replies"]) == 2 and 0 < people["readable"] < people["requests"]
    for row in people["replies"].values():
        assert 0 <= row["low"] <= row["declined"] <= row["high"] <= 1


def test_figures_of_100_dialogues_are_those_of_the_stored_model(model: ChatModel):
    stored = STORED["figures_100"]
    for found in (chat_figures.instructions(model, 100), chat_figures.remembered(model, 100)):
        for name, value in found.items():
            if isinstance(value, float) and not name.endswith(("_low", "_high")):
                assert value == pytest.approx(stored[name], abs=0.04), name


def test_it_is_far_from_what_it_was():
    """The model of lesson vlm, untuned, has neither ends nor memory."""
    torch.manual_seed(0)
    before = ChatModel.from_vlm(VLM.from_pretrained("vlm"))
    assert chat_figures.remembered(before, 20)["dialogue"] == 0 and STORED["figures"]["dialogue"] > 0.5


def test_padding_changes_no_reply(model: ChatModel):
    """In a batch each says what it says alone."""
    made = [dialogues.make(5, index, plot) for index, plot in enumerate(("memory", "tools", "plain", "styles"))]
    visual = model.look(np.stack([draw(one.scene) for one in made]))
    prompts = [[*dialogues.encode(one.turns[: 2 * k + 1])[0], dialogues.ASSISTANT] for k, one in enumerate(made)]
    together = model.write(visual, prompts)
    alone = [model.write(visual[k : k + 1], prompts[k : k + 1])[0] for k in range(len(made))]
    assert together == alone


def test_it_calls_a_tool_and_reads_its_result(model: ChatModel):
    scene = world.make(20_003, 5)
    asked = [Turn("user", "What is three plus four?")]
    visual = model.look(draw(scene))
    (turns,) = model.replies(visual, [asked], [lambda call: "nine"])
    assert turns[0].is_call and turns[0].text == "three plus four"
    assert turns[1] == Turn("tool", "nine") and turns[-1].text == "nine"


def test_a_long_talk_forgets_the_oldest(model: ChatModel):
    chat = model.start(draw(world.make(20_003, 3)))
    for _ in range(12):
        chat.ask("How many stars are there?")
    assert len(dialogues.encode(chat.turns)[0]) < model.config["max_length"] - 1 - model.num_visual
    assert chat.turns[0].role == "user"


@pytest.mark.parametrize("text", ["", "   ", "What is a zebra?", "star " * 80])
def test_what_it_cannot_read_is_refused_and_not_remembered(model: ChatModel, text: str):
    chat = model.start(draw(world.make(20_003, 3)))
    with pytest.raises(ValueError, match="text"):
        chat.ask(text)
    assert chat.turns == []


def test_the_tools_look_with_the_detector():
    scene = world.make(20_003, 8)
    tools = Tools(draw(scene))
    right = [
        tools(call) == dialogues.run_tool(call, scene) for call in ("count stars", "count circles", "two plus two")
    ]
    assert sum(right) >= 2 and tools("count zebras") == "nothing" and tools("dance") == "nothing"
    assert place_of(5, 5) == "in the top left corner" and place_of(32, 32) == "in the middle"


def test_new_positions_change_no_answer():
    """from_vlm keeps the old model's logits."""
    vlm = VLM.from_pretrained("vlm")
    grown = ChatModel.from_vlm(vlm)
    ids = torch.tensor([[vocabulary.BOS, *[vocabulary.id_of("<image>")] * 64, *vocabulary.encode("a red star")]])
    pixels = torch.from_numpy(draw(world.make(1, 1))).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        assert torch.equal(vlm(pixels, ids), grown.eval()(pixels, ids))


# ---------------------------------------------------------------- the terminal
def talk(*arguments: str, lines: str = "") -> tuple[int, str, str]:
    """mmcourse chat with these lines typed: exit code, stdout, stderr."""
    result = CliRunner().invoke(app, ["chat", *arguments], input=lines)
    return result.exit_code, result.stdout, result.stderr


def test_it_talks_until_the_end_of_input():
    code, out, err = talk("--scene", "3", lines="What is two plus three?\n\nHow many stars are there?\n")
    assert code == 0 and err == ""
    lines = out.splitlines()
    assert lines[0].startswith("About scene 3.") and "[tool] two plus three: five" in out and len(lines) >= 4


def test_an_unknown_word_is_one_line_and_the_talk_goes_on():
    code, out, err = talk(lines="Where is the zebra?\nIs there a red circle?\n")
    assert code == 0 and "zebra" in err and len(err.splitlines()) == 1
    assert out.splitlines()[-1] in ("yes", "no")


def test_a_picture_of_ones_own(tmp_path: Path):
    from PIL import Image

    Image.fromarray(draw(world.make(20_003, 1))).resize((300, 200)).save(tmp_path / "mine.png")
    code, out, _ = talk(
        "--picture", str(tmp_path / "mine.png"), "--save", str(tmp_path / "seen.png"), lines="List all things.\n"
    )
    assert code == 0 and "mine.png" in out and Image.open(tmp_path / "seen.png").size == (512, 512)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--scene", "-1"), "--scene"),
        (("--picture", "/no/such.png"), "such.png"),
        (("--save", "/no/dir/x.png"), "/no/dir"),
    ],
)
def test_what_a_person_can_mend_is_one_line(arguments: tuple[str, ...], words: str):
    code, _, err = talk(*arguments)
    assert code == 2 and words in err and len(err.strip().splitlines()) == 1


def test_a_file_that_is_no_picture(tmp_path: Path):
    (tmp_path / "text.png").write_text("no picture")
    code, _, err = talk("--picture", str(tmp_path / "text.png"))
    assert code == 2 and "text.png" in err and len(err.strip().splitlines()) == 1

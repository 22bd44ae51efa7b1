"""The vision–language model: nothing sees what it should not, decoding is as it says, bad input is named."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes import questions
from mmcourse.datasets.scenes.drawing import draw
from mmcourse.torch.clip import CLIP, prepare_images
from mmcourse.torch.decoding import KVCache
from mmcourse.torch.lora import add_lora
from mmcourse.torch.visual_tokens import answer_cross_entropy
from mmcourse.torch.vlm import (
    ASSISTANT,
    DESCRIBE,
    IMAGE,
    PROJECTORS,
    USER,
    VLM,
    GatedCrossAttention,
    grid_code,
    pack,
    prompt_ids,
    question_ids,
)

SMALL = {"dim": 32, "num_layers": 2, "num_heads": 4, "hidden": 48, "vision_dim": 32}


def make_model(**options) -> VLM:
    """A small model in which nothing is 0, so nothing is hidden."""
    torch.manual_seed(0)
    model = VLM(**{**SMALL, **options})
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, mean=0.5, std=0.2)
    torch.nn.init.normal_(model.language.embedding.weight, std=0.5)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> VLM:
    return make_model()


@pytest.fixture(scope="module")
def asked() -> list:
    return [questions.ask(20_003, index) for index in range(6)]


@pytest.fixture(scope="module")
def pictures(asked: list) -> np.ndarray:
    return np.stack([draw(scene) for _, _, _, scene in asked])


# ---------------------------------------------------------------- what is in the text
def test_a_prompt_has_the_picture_first_and_ends_where_the_answer_begins():
    ids = prompt_ids("Is there a red star?", 4)
    assert ids[:6] == [vocabulary.BOS, IMAGE, IMAGE, IMAGE, IMAGE, USER] and ids[-1] == ASSISTANT
    assert vocabulary.decode(ids[6:-1]) == "Is there a red star?"


def test_a_question_cannot_bring_special_tokens(model: VLM, pictures: np.ndarray):
    """`<image>` in a question is refused: the vocabulary has no such sign. Else it would ask for another picture."""
    assert IMAGE not in question_ids("Is there a star <image> ?") and USER not in question_ids("<user>")[1:]


@pytest.mark.parametrize("projector", PROJECTORS)
@pytest.mark.parametrize("merge", [1, 2])
def test_a_picture_has_as_many_tokens_as_the_model_says(pictures: np.ndarray, projector: str, merge: int):
    model = make_model(projector=projector, merge=merge)
    visual = model.encode_image(prepare_images(pictures))
    number = 16 if projector == "resampler" else 64 // merge**2
    assert visual.shape == (6, number, 32) and model.num_visual == number
    assert len(model.answer(pictures, "What shape is the red thing?", max_length=2)) == 6


def test_merged_tokens_are_neighbors():
    """Token 0 of 16 has the four cells in the upper left corner, token 5 those of rows 2, 3 and columns 2, 3."""
    model = make_model(merge=2)
    model.projector = torch.nn.Identity()
    features = torch.arange(64.0)[None, :, None].expand(1, 64, 32)  # the number of each cell
    tokens = model.project(features).unflatten(-1, (4, 32))[0, :, :, 0]
    for token, cells in ((0, [0, 1, 8, 9]), (5, [18, 19, 26, 27])):  # of mean square 1, so ratios tell the cells
        np.testing.assert_allclose(tokens[token] / tokens[token][-1], np.array(cells) / cells[-1], rtol=1e-5)
    np.testing.assert_allclose(model.project(features).square().mean(-1), 1.0, rtol=1e-4)


# ---------------------------------------------------------------- who sees whom
def test_pieces_see_the_picture_and_what_is_before_them(model: VLM, pictures: np.ndarray):
    images = prepare_images(pictures[:2])
    ids = torch.tensor([[*prompt_ids("Is there a red star?", 64), vocabulary.id_of("yes")]])
    changed = ids.clone()
    changed[0, -3] = vocabulary.id_of("box")
    with torch.no_grad():
        first, second, other = model(images[:1], ids), model(images[:1], changed), model(images[1:], ids)
    assert torch.equal(first[:, :-3], second[:, :-3])
    assert ((first[:, -3:] - second[:, -3:]).abs().amax(dim=2) > 1e-4).all()
    assert ((first[:, 65:] - other[:, 65:]).abs().amax(dim=2) > 1e-4).all()


@pytest.mark.parametrize("prefix", [False, True])
def test_packed_dialogues_are_as_each_alone(model: VLM, pictures: np.ndarray, prefix: bool):
    """Several about one picture, of unequal lengths, padded: to each the others are not there."""
    texts = [("Is there a red star?", "yes"), (DESCRIBE, "A small red star is left of a blue box."), ("Where?", "left")]
    dialogues = [[(question_ids(q), [*vocabulary.encode(a), vocabulary.EOS]) for q, a in texts]]
    dialogues += [dialogues[0][2:], [dialogues[0][1], dialogues[0][0]]]
    images = prepare_images(pictures[:3])
    with torch.no_grad():
        visual = model.encode_image(images)
        ids, labels, segments, position_ids = pack(dialogues, 64)
        together = model.packed_hidden_states(visual, ids, segments, position_ids, prefix)
        for row, group in enumerate(dialogues):
            for number, dialogue in enumerate(group, 1):
                alone = pack([[dialogue]], 64)
                want = model.packed_hidden_states(visual[row : row + 1], alone[0], *alone[2:], prefix=prefix)
                found = together[row, segments[row] == number]
                assert torch.allclose(found, want[0, 65:], atol=1e-4)
                assert labels[row, segments[row] == number].tolist() == alone[1][0, 65:].tolist()
                if not prefix:  # and as the model writes it
                    plain = model.language.hidden_states(model.embed(alone[0], visual[row : row + 1]), KVCache())
                    assert torch.allclose(want, plain, atol=1e-4)


def test_only_answers_and_their_ends_are_labels():
    dialogues = [[(question_ids("Is it red?"), [vocabulary.id_of("yes"), vocabulary.EOS])] * 2, []]
    ids, labels, segments, position_ids = pack(dialogues, 4)
    kept = labels != -100
    assert labels[kept].tolist() == [vocabulary.id_of("yes"), vocabulary.EOS] * 2
    assert torch.equal(ids[kept], labels[kept]) and not (kept & (ids == IMAGE)).any()
    assert position_ids[0, segments[0] == 1].tolist() == position_ids[0, segments[0] == 2].tolist()
    assert segments[1].tolist() == [0] * 5 + [-1] * (ids.shape[1] - 5)


def test_a_prefix_mask_lets_the_picture_see_itself(model: VLM, pictures: np.ndarray):
    dialogues = [[(question_ids("Is it red?"), [vocabulary.id_of("yes"), vocabulary.EOS])]]
    ids, _, segments, position_ids = pack(dialogues, 64)
    with torch.no_grad():
        visual = model.encode_image(prepare_images(pictures[:1]))
        changed = visual.clone()
        changed[0, -1] *= -1  # a constant would be lost in the first layer norm
        for prefix in (False, True):
            first, second = (
                model.packed_hidden_states(v, ids, segments, position_ids, prefix) for v in (visual, changed)
            )
            assert torch.equal(first[0, :64], second[0, :64]) != prefix
            assert not torch.allclose(first[0, 65:], second[0, 65:])


# ---------------------------------------------------------------- decoding
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_logits_with_and_without_the_cache_are_equal(pictures: np.ndarray, dtype: torch.dtype, tolerance: float):
    torch.manual_seed(1)
    model = VLM(**SMALL).to(dtype).eval()
    images = prepare_images(pictures[:2]).to(dtype)
    tail = torch.randint(17, 900, (2, 12), generator=torch.Generator().manual_seed(0))
    ids = torch.cat([torch.tensor([prompt_ids("Is it red?", 64)] * 2), tail], dim=1)
    n = ids.shape[1]
    with torch.no_grad():
        whole = model(images, ids)
        step, cache = model.step(model.encode_image(images)), KVCache()
        for start, end in ((0, n - 12), (n - 12, n - 11), (n - 11, n - 4), (n - 4, n - 3), (n - 3, n)):
            found = step(ids[:, start:end], cache)
            assert (found - whole[:, end - 1]).abs().max() <= tolerance, f"position {end - 1}"


def test_greedy_is_the_most_likely_piece_each_time_whatever_else_is_in_the_batch(model: VLM, asked, pictures):
    texts = [text for _, text, _, _ in asked]
    assert len({len(prompt_ids(text, 64)) for text in texts}) > 2  # several lengths
    written = model.answer(pictures, texts, max_length=5)
    for row in range(6):
        ids = torch.tensor([prompt_ids(texts[row], 64)])
        pieces = []
        for _ in range(5):
            with torch.no_grad():
                best = model(prepare_images(pictures[row]), ids)[:, -1:].argmax(dim=-1)
            pieces.append(best.item())
            if pieces[-1] == vocabulary.EOS:
                break
            ids = torch.cat([ids, best], dim=1)
        assert written[row] == vocabulary.decode(pieces)
    assert model.answer(pictures, texts, max_length=5, batch_size=1) == written
    assert model.answer(pictures, texts, "beam", num_beams=1, max_length=5) == written
    assert model.answer(pictures, texts, "sample", top_k=1, seed=0, max_length=5) == written
    assert len(model.answer(pictures, texts, "beam", num_beams=3, max_length=4)) == 6


def test_log_likelihood_is_the_loss_of_the_answers(model: VLM, asked, pictures):
    texts, answers = [text for _, text, _, _ in asked], [answer for _, _, answer, _ in asked]
    together = model.log_likelihood(pictures, texts, answers)
    alone = torch.cat([model.log_likelihood(pictures[i], texts[i], answers[i]) for i in range(6)])
    assert torch.allclose(together, alone, atol=1e-4) and (together < 0).all()
    dialogues = [
        [(question_ids(text), [*vocabulary.encode(answer), vocabulary.EOS])]
        for text, answer in zip(texts, answers, strict=True)
    ]
    ids, labels, segments, position_ids = pack(dialogues, 64)
    with torch.no_grad():
        hidden = model.packed_hidden_states(model.encode_image(prepare_images(pictures)), ids, segments, position_ids)
        loss = answer_cross_entropy(model.language.to_logits(hidden), labels)
    assert loss.item() == pytest.approx(-together.sum().item() / int((labels != -100).sum()), rel=1e-5)


def test_attention_to_the_picture_is_a_part_of_each_piece_s_attention(model: VLM, pictures: np.ndarray):
    maps = model.picture_attention(pictures[0], "Is there a red star?", "yes")
    assert maps.shape == (2, 4, len(question_ids("Is there a red star?")) + 1, 8, 8)
    total = maps.sum(dim=(3, 4))
    assert (maps >= 0).all() and (total > 0).all() and (total < 1).all()
    assert make_model(merge=2).picture_attention(pictures[0], "Where?").shape[-2:] == (4, 4)


# ---------------------------------------------------------------- parts
def test_a_closed_gate_leaves_the_language_model_as_it_was():
    torch.manual_seed(0)
    gated = GatedCrossAttention(32, 4, 48)
    x, visual = torch.randn(2, 5, 32), torch.randn(2, 7, 32)
    assert torch.equal(gated(x, visual), x)
    gated(x, visual).square().sum().backward()
    assert (gated.gates.grad.abs() > 1e-3).all()  # and yet it can open
    with torch.no_grad():
        gated.gates += 1
        assert not torch.allclose(gated(x, visual), gated(x, visual + 1))


def test_the_tower_is_a_copy_of_the_one_of_clip():
    clip = CLIP.from_pretrained("clip")
    model = VLM(dim=32, num_layers=1, hidden=32)
    model.look_from(clip)
    for name, value in clip.vision.state_dict().items():
        assert torch.equal(model.vision.state_dict()[name], value), name
    with torch.no_grad():
        model.vision.positions += 1
    assert not torch.equal(model.vision.positions, clip.vision.positions)


def test_equal_to_llava_of_the_same_size_with_its_weights():
    """Llava's projector and a GPT-2 as its language model: copied weights give the same logits.

    Ours has one step more, tokens of mean square 1. It is put into Llava, too; the tokens before it are equal as well.
    """
    from transformers import CLIPVisionConfig, GPT2Config, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=2
    )
    text = GPT2Config(
        vocab_size=1280,
        n_positions=160,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_inner=48,
        activation_function="gelu",
        tie_word_embeddings=False,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=IMAGE,
        image_token_id=IMAGE,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    llava = LlavaForConditionalGeneration(config).eval()
    for parameter in llava.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model = VLM(**SMALL).eval()
    _copy_llava(llava, model)
    pixels = torch.randn(2, 3, 16, 16)  # 8 × 8 patches of 2 × 2
    ids = torch.tensor([prompt_ids("Is there a red star?", 64)] * 2)
    ids[1, -3] = vocabulary.id_of("box")
    with torch.no_grad():
        outputs = llava.model.vision_tower(pixels, output_hidden_states=True)
        features = outputs.hidden_states[config.vision_feature_layer][:, 1:]  # (2, 64, 32), without the class token
        projector = llava.model.multi_modal_projector
        torch.testing.assert_close(model.projector(features), projector(features))
        projector.register_forward_hook(lambda _, inputs, tokens: torch.nn.functional.rms_norm(tokens, (32,)))
        want = llava(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids)).logits
        found = model.language.hidden_states(model.embed(ids, model.project(features)), KVCache())
        assert (model.language.to_logits(found) - want).abs().max() < 1e-4 * want.abs().max()


def _copy_llava(llava, model: VLM) -> None:
    """Weights of Llava with GPT-2 into ours."""
    head = llava.lm_head.weight
    gpt = llava.model.language_model
    projector = llava.model.multi_modal_projector
    with torch.no_grad():
        gpt.wte.weight.copy_(head)  # ours are tied
        model.projector[0].load_state_dict(projector.linear_1.state_dict())
        model.projector[2].load_state_dict(projector.linear_2.state_dict())
        model.language.embedding.weight.copy_(gpt.wte.weight)
        model.language.positions.copy_(gpt.wpe.weight)
        for ours, theirs in zip(model.language.blocks, gpt.h, strict=True):
            ours.norm1.load_state_dict(theirs.ln_1.state_dict())
            ours.norm2.load_state_dict(theirs.ln_2.state_dict())
            weights, biases = theirs.attn.c_attn.weight.split(32, dim=1), theirs.attn.c_attn.bias.split(32)
            for name, weight, bias in zip(("q_proj", "k_proj", "v_proj"), weights, biases, strict=True):
                getattr(ours.attention, name).weight.copy_(weight.T)
                getattr(ours.attention, name).bias.copy_(bias)
            for linear, conv in (
                (ours.attention.out_proj, theirs.attn.c_proj),
                (ours.up, theirs.mlp.c_fc),
                (ours.down, theirs.mlp.c_proj),
            ):
                linear.weight.copy_(conv.weight.T)
                linear.bias.copy_(conv.bias)
        model.language.norm.load_state_dict(gpt.ln_f.state_dict())


# ---------------------------------------------------------------- learning
def test_an_untrained_model_knows_nothing_and_a_few_steps_teach_it(asked, pictures):
    torch.manual_seed(0)
    model = VLM(**SMALL)
    dialogues = [[(question_ids(text), [*vocabulary.encode(answer), vocabulary.EOS])] for _, text, answer, _ in asked]
    ids, labels, segments, position_ids = pack(dialogues, 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(30):
        visual = model.encode_image(prepare_images(pictures))
        hidden = model.packed_hidden_states(visual, ids, segments, position_ids)
        loss = answer_cross_entropy(model.language.to_logits(hidden), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert abs(losses[0] - math.log(len(vocabulary.pieces()))) < 0.5
    assert losses[-1] < 1.0


# ---------------------------------------------------------------- files
def test_saved_model_comes_back(model: VLM, tmp_path: Path):
    model.save_pretrained(tmp_path)
    again = VLM.from_pretrained(tmp_path)
    assert again.config == model.config and not again.training
    for name, value in model.state_dict().items():
        assert torch.allclose(value, again.state_dict()[name], rtol=1e-3, atol=1e-4), name
    again.save_pretrained(tmp_path / "second")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_damaged_or_foreign_files_are_named(model: VLM, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"config.json is missing: expected a shipped model's name"):
        VLM.from_pretrained(tmp_path / "nothing")
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**config, "dim": 64}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"(?s)model.safetensors: .*size mismatch"):
        VLM.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="config.json: made for another model than VLM"):
        VLM.from_pretrained("clip")


def test_a_model_with_lora_is_not_saved_as_one_without(tmp_path: Path):
    model = make_model()
    add_lora(model, rank=2)
    with pytest.raises(ValueError, match=r"has LoRA layers; .*fold_lora"):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- input that does not fit
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "best"}, "method: expected one of greedy, beam, sample, got 'best'"),
        ({"max_length": 0}, "max_length: expected 1 or more, got 0"),
        ({"max_length": 140}, "max_length: 73 pieces of prompt and 140 of answer are more than the 160 positions"),
        ({"method": "beam", "num_beams": 0}, "num_beams: expected 1 or more, got 0"),
        ({"method": "sample", "temperature": 0.0}, "temperature: expected above 0"),
        ({"questions": ""}, r"questions\[0\]: expected a sentence with at least one word, got ''"),
        ({"questions": ["Is it red?", " "]}, r"questions\[1\]: expected a sentence with at least one word"),
        ({"questions": ["Is it red?"]}, "questions: expected one for each of 2 pictures, or one string for all; got 1"),
        ({"questions": "Is there a zebra?"}, r"questions\[0\]: the vocabulary has no 'zebra\?'"),
        ({"images": np.zeros((2, 32, 32, 3), np.uint8)}, r"images: expected \(b, 64, 64, 3\), got \(2, 32, 32, 3\)"),
        ({"images": np.full((2, 64, 64, 3), 200.0)}, "divide by 255"),
    ],
)
def test_what_does_not_fit_is_refused(model: VLM, pictures: np.ndarray, options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        model.answer(**{"images": pictures[:2], "questions": "Is there a red?", **options})


@pytest.mark.parametrize(
    ("questions", "answers", "message"),
    [
        ("Is it red?", ["yes"], "answers: expected one for each of 2 pictures, or one string for all; got 1"),
        ("Is it red?", "", r"answers\[0\]: expected a sentence"),
        ("Is it red?", "zebra", r"answers\[0\]: the vocabulary has no 'zebra'"),
        (" ".join(["red"] * 120), "yes", "text: at most 160 positions, got 188; shorten it"),
    ],
    ids=["one answer", "empty", "unknown word", "too long"],
)
def test_answers_that_do_not_fit_are_refused(model: VLM, pictures: np.ndarray, questions, answers, message: str):
    with pytest.raises(ValueError, match=message):
        model.log_likelihood(pictures[:2], questions, answers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"projector": "magic"}, "projector: expected one of linear, mlp, resampler, got 'magic'"),
        ({"merge": 3}, "merge: expected a divisor of the grid's 8 rows, got 3"),
        ({"num_heads": 5}, "heads: 5 does not divide the width 32"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        VLM(**{**SMALL, **options})


def test_places_for_a_picture_need_one_picture(model: VLM):
    with pytest.raises(ValueError, match="ids: have places for a picture, but no picture came"):
        model.embed(torch.tensor([[IMAGE, 5]]))
    with pytest.raises(ValueError, match=r"expected 64 placeholders in each text, .* got \[1\]"):
        model.embed(torch.tensor([[IMAGE, 5]]), torch.zeros(1, 64, 32))
    with pytest.raises(ValueError, match="a resampler's tokens have no place"):
        make_model(projector="resampler").picture_attention(np.zeros((64, 64, 3), np.uint8), "Where?")


def test_no_pictures_give_no_answers(model: VLM):
    assert model.answer(np.zeros((0, 64, 64, 3), np.uint8), "Is it red?") == []
    assert len(model.log_likelihood(np.zeros((0, 64, 64, 3), np.uint8), "Is it red?", "yes")) == 0


def test_code_of_rows_and_columns_tells_cells_apart_and_near_from_far():
    code = grid_code(8, 32)
    assert code.shape == (64, 32) and code.square().mean() == pytest.approx(1.0, abs=1e-5)
    likeness = (code @ code.T) / 32
    assert (likeness - torch.eye(64)).max() < 0.95  # no two cells alike
    assert likeness[0, 1] > likeness[0, 3] > likeness[0, 63]
    grid = code.unflatten(0, (8, 8))
    assert torch.equal(grid[2, :, :16], grid[2, :1, :16].expand(8, 16))  # the first half is the row's
    assert torch.equal(grid[:, 5, 16:], grid[:1, 5, 16:].expand(8, 16))  # the second the column's
    with pytest.raises(ValueError, match="dim: expected a multiple of 4, got 6"):
        grid_code(8, 6)


@pytest.mark.parametrize("merge", [1, 2])
def test_only_positions_of_visual_tokens_get_the_code(merge: int):
    model = VLM(dim=16, num_layers=1, num_heads=2, hidden=16, vision_dim=8, merge=merge, max_length=80)
    before = model.language.positions.detach().clone()
    model.add_grid_positions(2.0)
    change = model.language.positions.detach() - before
    cells = model.num_visual
    assert torch.allclose(change[1 : 1 + cells], 2 * grid_code(8 // merge, 16), atol=1e-5)
    assert not change[0].any() and not change[1 + cells :].any()


def test_a_resampler_gets_no_code_of_rows_and_columns():
    model = VLM(dim=16, num_layers=1, num_heads=2, hidden=16, vision_dim=8, projector="resampler", max_length=80)
    with pytest.raises(ValueError, match="no place in the picture"):
        model.add_grid_positions()

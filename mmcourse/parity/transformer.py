"""Transformer blocks, stacks and ViT in NumPy, PyTorch and Keras."""

import numpy as np

from mmcourse.numpy import transformer

from .case import ParityCase

DIM, HEADS, HIDDEN, MEMORY = 4, 2, 6, 3
MASK = np.array([[True, True, False], [True] * 3])
ATTENTION = 4 * (DIM * DIM + DIM)
FEED_FORWARD = DIM * HIDDEN + HIDDEN + HIDDEN * DIM + DIM
ENCODER_BLOCK = ATTENTION + FEED_FORWARD + 2 * 2 * DIM
CROSS = 2 * (DIM * DIM + DIM) + 2 * (MEMORY * DIM + DIM)
DECODER_BLOCK = ENCODER_BLOCK + CROSS + 2 * DIM
SHAPE = {"dim": DIM, "num_heads": HEADS, "hidden": HIDDEN}
WITH_MEMORY = {"memory_dim": MEMORY}


def _x(rng):
    return {"x": rng.normal(size=(2, 3, DIM)), "padding_mask": MASK}


def _x_memory(rng):
    memory = rng.normal(size=(2, 4, MEMORY))
    return {**_x(rng), "memory": memory, "memory_mask": np.array([[True] * 4, [True, False, False, False]])}


def _backward(name):
    """Backward by name; gradients to x, and to the memory where there is one."""
    forward, back = getattr(transformer, name), getattr(transformer, f"{name}_backward")

    def run(dy, inputs, p, options):
        *dxs, dp = back(dy, forward(**inputs, p=p, **options)[1])
        return dict(zip(("x", "memory"), dxs, strict=False)), dp

    return run


def _formula(name, kind, layer, config, count, inputs, pre_norm):
    return ParityCase(
        f"{name}, {'pre' if pre_norm else 'post'}-norm",
        numpy=f"transformer.{kind}",
        layer=f"transformer.{layer}",
        config={**SHAPE, **config, "pre_norm": pre_norm, "eps": 1e-5},
        options={"num_heads": HEADS, "pre_norm": pre_norm, "eps": 1e-5},
        inputs=inputs,
        count=count,
        numpy_call=lambda f, inputs, p, options: f(**inputs, p=p, **options)[0],
        backward=_backward(kind),
    )


def _vit_backward(dy, inputs, p, options):
    _, cache = transformer.vision_transformer(**inputs, p=p, **options)
    dimage, dp = transformer.vision_transformer_backward(dy, cache)
    return {"image": dimage}, dp


FORMULAS = [
    *(_formula("encoder block", "encoder_block", "EncoderBlock", {}, ENCODER_BLOCK, _x, pre) for pre in (True, False)),
    *(
        _formula(
            "decoder block", "decoder_block", "DecoderBlock", {"memory_dim": MEMORY}, DECODER_BLOCK, _x_memory, pre
        )
        for pre in (True, False)
    ),
    _formula("encoder", "encoder", "Encoder", {"num_layers": 2}, 2 * ENCODER_BLOCK + 2 * DIM, _x, True),
    _formula("decoder", "decoder", "Decoder", {"num_layers": 2, **WITH_MEMORY}, 2 * DECODER_BLOCK, _x_memory, False),
    ParityCase(
        "vision transformer",
        numpy="transformer.vision_transformer",
        layer="transformer.VisionTransformer",
        config={"image_size": 6, "patch_size": 3, "channels": 2, "num_layers": 1, **SHAPE},
        options={"num_heads": HEADS, "size": 3},
        inputs=lambda rng: {"image": rng.normal(size=(2, 6, 6, 2))},
        count=(3 * 3 * 2 * DIM + DIM) + DIM + 5 * DIM + ENCODER_BLOCK + 2 * DIM,
        numpy_call=lambda f, inputs, p, options: f(**inputs, p=p, **options)[0],
        torch_call=lambda layer, inputs: layer(inputs["image"].movedim(-1, 1)),
        backward=_vit_backward,
    ),
]

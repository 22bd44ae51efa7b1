"""What the frameworks do differently, each difference in one small function from our arrays to theirs.

Our parameters p are the flat dicts of the NumPy backend. Functions named ``torch_*`` give a ``state_dict`` of arrays,
``keras_*`` the list for ``set_weights``, ``bert_*`` and ``vit_*`` the ``state_dict`` names of `transformers`.
"""

import numpy as np

# (PyTorch, Keras), of the versions tested; a test reads them from the frameworks themselves.
DEFAULTS = {
    "Adam epsilon": (1e-8, 1e-7),
    "AdamW weight decay": (1e-2, 4e-3),
    "batch norm momentum": (0.1, 0.99),
    "batch norm epsilon": (1e-5, 1e-3),
    "layer norm epsilon": (1e-5, 1e-3),
    "gelu": ("exact", "exact"),
    "first weights": ("Kaiming uniform", "Glorot uniform"),
    "first LSTM forget bias": ("uniform", 1.0),
}


def channels_first(images):
    """(b, h, w, c) → (b, c, h, w)."""
    return np.ascontiguousarray(np.moveaxis(images, -1, 1))


def channels_last(images):
    """(b, c, h, w) → (b, h, w, c)."""
    return np.ascontiguousarray(np.moveaxis(images, 1, -1))


def kernel_to_torch(w):
    """Convolution kernel (kh, kw, in_channels, out_channels), as in Keras, → (out_channels, in_channels, kh, kw)."""
    return w.transpose(3, 2, 0, 1)


def other_momentum(momentum):
    """Batch norm: PyTorch's weighs the new batch, Keras's the old statistics; each is 1 − the other."""
    return 1 - momentum


def key_padding_mask(padding_mask):
    """True = real → True = ignore, as `nn.MultiheadAttention` and `nn.TransformerEncoder` want it."""
    return ~np.asarray(padding_mask)


def additive_mask(padding_mask):
    """True = real → 0 and False → −inf, (b, 1, 1, m), to be added to scores (b, heads, n, m)."""
    return np.where(padding_mask, 0.0, -np.inf)[:, None, None]


def kaiming_bound(fan_in):
    """PyTorch starts Linear and Conv weights and biases uniform within ±1/√fan_in."""
    return fan_in**-0.5


def glorot_bound(fan_in, fan_out):
    """Keras starts Dense and Conv weights uniform within ±√(6/(fan_in + fan_out)), and biases at zero."""
    return (6 / (fan_in + fan_out)) ** 0.5


def swap_gru_gates(w):
    """r, z, n ↔ z, r, h along the last axis: its own inverse."""
    r, z, n = np.split(w, 3, axis=-1)
    return np.concatenate([z, r, n], -1)


def second_bias(p):
    """PyTorch adds b_ih and b_hh. Where we have one, theirs are ours and zero.

    Each of the two learns, so under the same step size their sum moves twice as far: freeze b_hh to compare training.
    """
    return p.get("hidden.b", np.zeros_like(p["input.b"]))


def torch_recurrent(p):
    """`nn.RNN`, `nn.LSTM`, `nn.GRU` of one layer: weights transposed, two biases."""
    return {
        "weight_ih_l0": p["input.w"].T,
        "weight_hh_l0": p["hidden.w"].T,
        "bias_ih_l0": p["input.b"],
        "bias_hh_l0": second_bias(p),
    }


def keras_recurrent(p):
    """`keras.layers.SimpleRNN`, `LSTM`: kernel, recurrent kernel, one bias."""
    return [p["input.w"], p["hidden.w"], p["input.b"]]


def keras_gru(p):
    """`keras.layers.GRU(reset_after=True)`: gates z, r, h; both biases in one array (2, 3·d)."""
    biases = np.stack([p["input.b"], p["hidden.b"]])
    return [swap_gru_gates(w) for w in (p["input.w"], p["hidden.w"], biases)]


def torch_attention(p):
    """`nn.MultiheadAttention`: query, key and value packed in one matrix (3·d, d), in this order."""
    names = ("q_proj", "k_proj", "v_proj")
    return {
        "in_proj_weight": np.concatenate([p[f"{n}.w"].T for n in names]),
        "in_proj_bias": np.concatenate([p[f"{n}.b"] for n in names]),
        "out_proj.weight": p["out_proj.w"].T,
        "out_proj.bias": p["out_proj.b"],
    }


def keras_attention(p, heads):
    """`keras.layers.MultiHeadAttention(heads, key_dim=d // heads)`: kernels (d, heads, key_dim), output the reverse."""
    arrays = []
    for n in ("q_proj", "k_proj", "v_proj"):
        arrays += [p[f"{n}.w"].reshape(len(p[f"{n}.w"]), heads, -1), p[f"{n}.b"].reshape(heads, -1)]
    width = p["out_proj.w"].shape[1]
    return [*arrays, p["out_proj.w"].reshape(heads, -1, width), p["out_proj.b"]]


def _renamed(p, names):
    """Arrays under a library's names: matrices transposed, scale and shift called weight and bias."""
    ends = {"w": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}
    out = {}
    for name, array in p.items():
        stem, end = name.rsplit(".", 1)
        out[f"{names[stem]}.{ends[end]}"] = array.T
    return out


def bert_block(p):
    """One layer of `BertModel`, which is our post-norm block with ε = 1e-12 and exact GELU."""
    names = {f"attention.{n[0]}_proj": f"attention.self.{n}" for n in ("query", "key", "value")}
    names |= {"attention.out_proj": "attention.output.dense", "norm1": "attention.output.LayerNorm"}
    return _renamed(p, names | {"up": "intermediate.dense", "down": "output.dense", "norm2": "output.LayerNorm"})


def vit_block(p):
    """One layer of `ViTModel` (transformers 5), which is our pre-norm block with ε = 1e-12 and exact GELU."""
    names = {f"attention.{n}_proj": f"attention.{n[0]}_proj" for n in ("q", "k", "v", "out")}
    return _renamed(
        p, names | {"norm1": "layernorm_before", "norm2": "layernorm_after", "up": "mlp.fc1", "down": "mlp.fc2"}
    )


def vit(p, size):
    """`ViTModel` without pooler: the patch map becomes a convolution of stride `size` (transformers 5)."""
    from mmcourse.numpy.transformer import num_layers, part

    encoder, width = part(p, "encoder"), len(p["cls"])
    patch = p["patch.w"].reshape(size, size, -1, width)  # our patches are (rows, columns, channels)
    out = {
        "embeddings.cls_token": p["cls"].reshape(1, 1, width),
        "embeddings.position_embeddings": p["positions"][None],
        "embeddings.patch_embeddings.projection.weight": kernel_to_torch(patch),
        "embeddings.patch_embeddings.projection.bias": p["patch.b"],
        "layernorm.weight": encoder["norm.gamma"],
        "layernorm.bias": encoder["norm.beta"],
    }
    for i in range(num_layers(encoder)):
        out |= {f"layers.{i}.{k}": v for k, v in vit_block(part(encoder, f"blocks.{i}")).items()}
    return out

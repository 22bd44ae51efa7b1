"""The three backends hold the same files, and in each file the same concepts under the same names.

A class `MultiHeadAttention` in PyTorch and Keras and a function `multi_head_attention` in NumPy are one name.
"""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "mmcourse"
BACKENDS = ("numpy", "torch", "keras")
ALONE = {  # files of one backend, with the reason
    "numpy": {"weight_conversion.py": "turns NumPy's weights into those of the frameworks' own layers"},
    "torch": {
        "clip.py": "a model of Part 4, which is in PyTorch first",
        "captioner.py": "a model of Part 4, which is in PyTorch first",
        "chat.py": "a model of Part 4, which is in PyTorch first",
        "detection.py": "a model of Part 4, which is in PyTorch first",
        "gan.py": "two players' losses; lesson generation trains them in PyTorch",
        "generation.py": "a model of Part 4, which is in PyTorch first",
        "gpt.py": "a model of Part 4, which is in PyTorch first",
        "helpdesk.py": "models of lesson assistant, which are in PyTorch first",
        "language_model.py": "a model of Part 4, which is in PyTorch first",
        "road.py": "the model of lesson driving, which is in PyTorch first",
        "speech_to_text.py": "a model of Part 4, which is in PyTorch first",
        "video.py": "a model of Part 4, which is in PyTorch first",
        "vlm.py": "a model of Part 4, which is in PyTorch first",
        "model_files.py": "saves and loads the models of Part 4",
        "efficientnet.py": "a network that others trained; its weights are PyTorch's",
        "minilm.py": "a network that others trained; its weights are PyTorch's",
    },
    "keras": {},
}
# Names that one backend has alone. NumPy's `*_backward` need no entry: frameworks differentiate by themselves.
ONLY = {
    "numpy": {
        "attention.py": {"split_heads", "join_heads"},  # methods of the frameworks' class
        "contrastive.py": {"l2_normalize"},  # the frameworks bring it
        "ctc.py": {  # counting and the backward pass, which work on the frameworks' outputs as well
            "backward_variables",
            "forward_variables",
            "log_probability",
            "min_input_length",
            "num_paths",
            "occupancy",
        },
        "convolution.py": {"conv2d_loop", "flip_kernel", "output_size", "receptive_field", "same_padding", "windows"},
        "diffusion.py": {  # tables of numbers, which the frameworks take as they are
            "alpha_bars",
            "cosine_betas",
            "frechet_distance",
            "linear_betas",
            "spaced_timesteps",
        },
        "encoders.py": {"audio_features", "image_features"},  # forward_features() of the class
        "geometry.py": {  # what draws scenes and reads logs, before there is a model
            "ego_speed",
            "in_view",
            "invert_rigid",
            "range_rate",
            "ray_box",
            "rigid",
            "rotation",
        },
        "layers.py": {"sigmoid"},
        "preferences.py": {"kl_divergence", "optimal_policy", "total_variation"},  # where all answers can be listed
        "losses.py": {"log_softmax"},
        "set_prediction.py": {"greedy_matching", "all_permutations_matching"},  # what the lesson compares with
        "space_time.py": {"conv3d_loop"},
        "recurrent.py": {"gru_cell", "lstm_cell", "rnn_cell", "spectral_radius"},  # cell() of the class
        "transformer.py": {"feed_forward", "num_layers", "part", "residual"},
        "fusion/sums.py": {"linear", "shares"},  # shares() of WeightedSum
    },
    "torch": {
        "decoding.py": {  # loops that call a model of Part 4, and what they check
            "KVCache",
            "greedy",
            "sample",
            "beam_search",
            "generate",
            "check_length",
            "check_logits",
            "check_sampling",
            "check_settings",
        },
        "diffusion.py": {"ExponentialAverage", "flow_matching_loss", "sample_flow"},  # training and sampling
        "explain.py": {"layer_gradients"},  # hooks; in Keras, a model with two outputs does it
        "fusion/sums.py": {"linears"},
        "lora.py": {"LoRALinear", "add_lora", "fold_lora", "lora_state_dict"},  # work on a model of Part 4
    },
    "keras": {
        "convolution.py": {"shifted"},
        "encoders.py": {"Encoder"},
        "transformer.py": {"Configured"},
        "fusion/products.py": {"normal"},
    },
    "frameworks": {  # PyTorch and Keras have it, NumPy does not: what carries weights, settings or gradients
        "convolution.py": {"pair"},
        "encoders.py": {"MultimodalClassifier", "read_batch"},
        "explain.py": {"saliency"},
        "transformer.py": {"Block", "Stack"},
        "fusion/products.py": {"elementwise_product"},
        "fusion/sums.py": {"Fusion", "apply"},
        "fusion/training.py": {"modulate_gradients"},
    },
}
SAME = {"bottleneck": "bottleneckfusion", "crossmodal": "crossmodaltransformer"}  # NumPy's name → the classes'


def files(backend: str) -> set[str]:
    folder = PACKAGE / backend
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    return {name for name in found if not name.endswith("__init__.py")}


def names(backend: str, file: str) -> set[str]:
    """Public functions and classes that this file defines."""
    tree = ast.parse((PACKAGE / backend / file).read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return {name for name in defined if not name.startswith("_")}


def concepts(backend: str, file: str) -> set[str]:
    """The names without those that a backend has alone, spelled alike."""
    kept = names(backend, file) - ONLY[backend].get(file, set())
    if backend == "numpy":
        kept = {name for name in kept if not name.endswith("_backward")}
    else:
        kept -= ONLY["frameworks"].get(file, set())
    plain = {name.replace("_", "").lower() for name in kept}
    return {SAME.get(name, name) for name in plain}


SHARED = sorted(files("numpy") - set(ALONE["numpy"]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_same_files(backend: str):
    assert files(backend) - set(ALONE[backend]) == set(SHARED)
    assert set(ALONE[backend]) <= files(backend), "an exception that is none any more"
    assert {"masks.py", "attention.py", "fusion/sequences.py"} <= set(SHARED)


@pytest.mark.parametrize("file", SHARED)
def test_same_concepts(file: str):
    numpy, torch, keras = (concepts(backend, file) for backend in BACKENDS)
    assert torch == keras
    assert numpy == torch


@pytest.mark.parametrize("file", SHARED)
def test_no_exception_is_left_over(file: str):
    for backend in BACKENDS:
        assert ONLY[backend].get(file, set()) <= names(backend, file)
    both = names("torch", file) & names("keras", file)
    assert ONLY["frameworks"].get(file, set()) <= both
    others = names("torch", file) | names("keras", file)
    plain = {name.replace("_", "").lower() for name in others}
    alone = {name.replace("_", "") for name in ONLY["numpy"].get(file, set())}
    assert not alone & plain, "the frameworks have it by now"


def test_masks_are_in_one_file():
    """Nothing that works on masks is defined elsewhere in a backend."""
    for backend in BACKENDS:
        elsewhere = {
            name for file in files(backend) - {"masks.py", "weight_conversion.py"} for name in names(backend, file)
        }
        assert not {name for name in elsewhere if "mask" in name.lower()} - {"sample_modality_mask"}

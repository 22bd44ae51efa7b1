"""Every formula once in each backend, its own backward too, with the annotated shapes and types checked at run time.

Run in a process of its own, since functions are checked only in modules that are imported under the hook: see
`test_shapes.py`. It prints, as JSON, which functions of the backends were called, and what the wrong calls raised.
"""

import functools
import inspect
import json
import pkgutil
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
from jaxtyping import install_import_hook
from typeguard import CollectionCheckStrategy, check_type

BACKENDS = ("numpy", "torch", "keras")

# Calls that run through without checks, since shapes broadcast or another dtype works as well. Each is
# (file, function, arguments by name); the same in all three backends.
WRONG_CALLS = {
    "a mask of one column": ("losses", "cross_entropy", {
        "logits": np.ones((4, 3, 2)), "labels": np.zeros((4, 3), int), "mask": np.ones((4, 1), bool)
    }),
    "a padding mask of one sample": ("masks", "masked_mean", {
        "x": np.ones((4, 3, 2)), "mask": np.ones((1, 3), bool)
    }),
    "keys of one head": ("attention", "scaled_dot_product_attention", {
        "q": np.ones((4, 2, 3, 5)), "k": np.ones((4, 1, 3, 5)), "v": np.ones((4, 2, 3, 5))
    }),
    "a second modality of one sample": ("masks", "masked", {
        "xs": [np.ones((4, 3)), np.ones((1, 3))], "modality_mask": np.ones((4, 2), bool)
    }),
}  # fmt: skip


def check_types(function):
    """Decorator: arguments and result must be what the annotations say, every item of a list included.

    typeguard's own decorator reads "batch dim" as Python and fails; its `check_type` takes jaxtyping's types.
    """
    hints = function.__annotations__
    signature = inspect.signature(function)
    every_item = CollectionCheckStrategy.ALL_ITEMS

    @functools.wraps(function)
    def checked(*args, **kwargs):
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL  # *shape: int
            for item in value if several else [value]:
                if name in hints:
                    check_type(item, hints[name], collection_check_strategy=every_item)
        result = function(*args, **kwargs)
        if "return" in hints:
            check_type(result, hints["return"], collection_check_strategy=every_item)
        return result

    return checked


def check_backends():
    """Import the three backends with every function of theirs checked."""
    with install_import_hook([f"mmcourse.{name}" for name in BACKENDS], "checked_shapes.check_types"):
        for backend in BACKENDS:
            package = import_module(f"mmcourse.{backend}")
            for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                show_signatures(import_module(found.name))


def show_signatures(module):
    """Keras reads the arguments of `__init__` without looking through decorators: write them on the outside."""
    for kind in vars(module).values():
        if inspect.isclass(kind) and kind.__module__ == module.__name__ and "__init__" in vars(kind):
            kind.__init__.__signature__ = inspect.signature(kind.__init__)


def to_tensors(backend, tree):
    """Arrays in dicts and lists as that backend's own."""
    if isinstance(tree, dict):
        return {key: to_tensors(backend, value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [to_tensors(backend, value) for value in tree]
    if backend == "torch":
        return import_module("torch").from_numpy(tree)
    if backend == "keras":
        return import_module("tensorflow").constant(tree)
    return tree


def run_case(formula):
    """Forward in all three backends, and the written-out backward where there is one."""
    from mmcourse.parity import KerasBackend, NumpyBackend, TorchBackend

    rng = np.random.default_rng(0)
    inputs = formula.inputs(rng)
    torch_backend = TorchBackend(formula)
    keras_backend = KerasBackend(formula, torch_backend, inputs)
    numpy_backend = NumpyBackend(formula, torch_backend.weights, torch_backend.trainable)
    torch_backend.forward(inputs)
    keras_backend.forward(inputs)
    output = numpy_backend.forward(inputs)
    if formula.backward is not None:
        numpy_backend.gradients(inputs, {"": rng.normal(size=output[""].shape)})


def run_classifier(backend):
    """Encoders, a fusion method and a head on one batch: vectors with null tokens, then sequences."""
    encoders = import_module(f"mmcourse.{backend}.encoders")
    fusion = import_module(f"mmcourse.{backend}.fusion")
    ids = np.array([[1, 2, 0], [3, 0, 0]])
    batch = {
        "inputs": {"text": ids, "audio": np.ones((2, 5, 4), "float32")},
        "padding_mask": {"text": ids > 0, "audio": np.ones((2, 5), bool)},
        "modality_mask": {"text": np.array([True, True]), "audio": np.array([True, False])},
    }
    batch = to_tensors(backend, batch)
    for method in (fusion.Concatenate, fusion.BottleneckFusion):
        parts = {"text": encoders.TextEncoder(7, 6), "audio": encoders.AudioEncoder(4, 6, 6)}
        dropout = None if method.takes_sequences else fusion.ModalityDropout([6, 6])
        model = encoders.MultimodalClassifier(parts, method([6, 6], 6), 3, dropout)
        model(batch)


def run_detection(backend):
    """What chooses boxes or queries, and so has no gradient."""
    boxes = import_module(f"mmcourse.{backend}.boxes")
    matching = import_module(f"mmcourse.{backend}.set_prediction")
    corners = to_tensors(backend, np.array([[0.0, 0, 2, 2], [0, 0, 2, 1], [5, 5, 6, 6]]))
    scores = to_tensors(backend, np.array([0.9, 0.8, 0.7]))
    boxes.check_xyxy("corners", corners)
    boxes.nms(corners, scores)
    cost = np.array([[1.0, 2], [0, 3], [2, 2]])
    matching.hungarian_matching(to_tensors(backend, cost))
    matching.hungarian_matching(to_tensors(backend, np.stack([cost, cost])), to_tensors(backend, np.array([2, 1])))
    if backend == "numpy":
        matching.greedy_matching(cost)
        matching.all_permutations_matching(cost)


def run_decoding():
    """Each way of writing, by a model that likes each piece as much as the last one written."""
    torch, decoding = import_module("torch"), import_module("mmcourse.torch.decoding")

    def step(new, cache):
        cache.append(0, *torch.zeros(2, len(new), 1, new.shape[1], 2))
        return torch.nn.functional.one_hot(new[:, -1], 6).float()

    for method in decoding.METHODS:
        cache = decoding.KVCache([tuple(torch.zeros(2, 2, 1, 3, 2))])
        prompt = torch.tensor([[5, 4], [4, 5]])
        decoding.generate(step, cache, prompt, max_length=3, method=method, num_beams=2, alpha=0.5, top_k=3, top_p=0.9)
        assert cache.length


def run_lora():
    """A model of two layers: one trained by a correction, which is then folded in."""
    torch, lora = import_module("torch"), import_module("mmcourse.torch.lora")
    model = torch.nn.ModuleDict({"q_proj": torch.nn.Linear(4, 3), "out": torch.nn.Linear(3, 2)})
    lora.add_lora(model, rank=2)
    lora.lora_state_dict(model)
    model["q_proj"](torch.ones(5, 4))
    lora.fold_lora(model)


def run_the_rest():
    """What belongs to no formula."""
    run_decoding()
    run_lora()
    for backend in ("torch", "keras"):
        run_classifier(backend)
    for backend in BACKENDS:
        fusion = import_module(f"mmcourse.{backend}.fusion")
        attention = import_module(f"mmcourse.{backend}.attention")
        attention.sinusoidal_positions(4, 6)
        fusion.confidence(**to_tensors(backend, {"logits": np.ones((3, 4, 2)), "labels": np.array([0, 1, 1, 0])}))
        mask = to_tensors(backend, np.ones((4, 3), bool))
        generator = [np.random.default_rng(0)] if backend == "numpy" else []
        fusion.sample_modality_mask(mask, 0.5, *generator)
        masks = import_module(f"mmcourse.{backend}.masks")
        masks.all_real(mask)
        for prefix in (False, True):
            masks.segment_mask(to_tensors(backend, np.array([[0, 0, 1, 1, 2, -1]])), prefix)
        run_detection(backend)
        ids = {"ids": np.array([[1, 5, 6, 2]]), "prompt_lengths": np.array([2]), "padding_mask": np.ones((1, 4), bool)}
        import_module(f"mmcourse.{backend}.visual_tokens").answer_labels(**to_tensors(backend, ids))
    import_module("mmcourse.numpy.fusion").count_sketch_matrix(3, 5, np.random.default_rng(0))
    convolution = import_module("mmcourse.numpy.convolution")
    convolution.conv2d_loop(np.ones((2, 4, 5, 1)), convolution.flip_kernel(np.ones((3, 2, 1, 2))))
    convolution.same_padding(8, 3)
    convolution.receptive_field([(3, 1, 1)])
    import_module("mmcourse.numpy.recurrent").spectral_radius(np.eye(3))
    preferences = import_module("mmcourse.numpy.preferences")
    p = preferences.optimal_policy(np.log(np.full(4, 0.25)), np.arange(4.0), 1.0)
    preferences.kl_divergence(p, p)
    preferences.total_variation(p, p)
    preferences.clipped_loss_backward(1.0, np.zeros(4), np.zeros(4), np.ones(4))


def errors_of_wrong_calls():
    """Type of the error, or "", of each wrong call, by backend and name."""
    errors = {}
    for backend in BACKENDS:
        for name, (file, function, arguments) in WRONG_CALLS.items():
            call = getattr(import_module(f"mmcourse.{backend}.{file}"), function)
            try:
                call(**to_tensors(backend, arguments))
                errors[f"{backend}, {name}"] = ""
            except Exception as error:
                errors[f"{backend}, {name}"] = type(error).__name__
    return errors


def record_calls(called):
    """Note each function of the three backends that is called from now on, as "numpy/attention.py:split_heads"."""
    folder = f"{Path('mmcourse').resolve()}/"

    def note(frame, event, argument):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(folder):
            called.add(f"{code.co_filename.removeprefix(folder)}:{code.co_qualname}")

    sys.setprofile(note)


def main():
    check_backends()
    from mmcourse.parity import parity_cases

    called: set[str] = set()
    record_calls(called)
    for case in parity_cases():
        try:
            run_case(case)
        except Exception as error:
            sys.setprofile(None)
            raise AssertionError(f"{case.name}: {error}") from error
    run_the_rest()
    sys.setprofile(None)
    print(json.dumps({"called": sorted(called), "errors": errors_of_wrong_calls()}))


if __name__ == "__main__":
    main()

"""Modules, layers and training functions in the sandbox: weights go in, arrays come out, the judge stays outside."""

from __future__ import annotations

import inspect
import subprocess
import sys
import time
from functools import cache

import pytest
from hostile_frameworks import FRAMEWORK_ATTACKS, KERAS, TORCH

from mmcourse.classroom.hidden import grade_parts, parts, score
from mmcourse.classroom.sandbox import OPTIONAL, Limits, spared
from mmcourse.classroom.session import Proxy, Session, answer_of
from mmcourse.exercise import find
from mmcourse.exercise.mutants import source_of

LIMITS = Limits()
PATIENT = Limits(call=60, exercise=240, total=1200, cpu=600)  # of many answers, on a busy machine
SECRET = "a secret for tests"
# An answer with names of its own, as if it were alone in its notebook.
APART = "names = dict(globals())\nexec({code!r}, names)\nANSWER_{k} = names['ANSWER']"
Share = tuple[float, set[str]]  # what an answer earns, and the advice given


def shares(id: str, setup: str, answers: dict[str, str], limits: Limits = LIMITS) -> dict[str, Share]:
    """What each answer (name → code that ends in defining `ANSWER`) earns in a sandbox of its own."""
    earned = {}
    parts(id, SECRET)  # drawn before a student's time begins, as `grade` does
    for name, code in answers.items():
        with Session([setup, code], limits) as session:
            earned[name] = share(session, id, "ANSWER")
            assert session.errors == [], session.errors
    return earned


def shares_together(id: str, setup: str, answers: dict[str, str]) -> dict[str, Share]:
    """What each answer earns, all in one sandbox: for answers that do no harm, since a framework loads for seconds."""
    parts(id, SECRET)
    cells = [APART.format(code=code, k=k) for k, code in enumerate(answers.values())]
    with Session([setup, *cells], PATIENT) as session:
        earned = {name: share(session, id, f"ANSWER_{k}") for k, name in enumerate(answers)}
        assert session.errors == [] and session.starts == 1, session.errors
    return earned


def share(session: Session, id: str, name: str) -> Share:
    outcomes = grade_parts(id, answer_of(session, name), SECRET)
    return score(outcomes), {x.advice for x in outcomes if not x.passed}


def sources(id: str) -> dict[str, str]:
    """The reference and the right answers of an exercise as code, with what they need of their file."""
    exercise = find(id)
    assert exercise is not None
    found = {}
    for answer in [exercise.reference, *exercise.right]:
        module = sys.modules[answer.__module__]
        helpers = [
            source_of(value)
            for value in vars(module).values()
            if inspect.isclass(value) and value.__module__ == module.__name__ and value.__name__ in source_of(answer)
        ]
        found[answer.__name__] = "\n".join([*helpers, source_of(answer), f"ANSWER = {answer.__name__}"])
    return found


def wrong(id: str, *changes: tuple[str, str]) -> str:
    """The reference with pieces replaced, as code."""
    exercise = find(id)
    assert exercise is not None
    code = source_of(exercise.reference)
    for old, new in changes:
        assert old in code, old
        code = code.replace(old, new)
    return f"{code}\nANSWER = {exercise.reference.__name__}"


WRONG = [
    ("neural_networks.3", [("return logits", "return logits.softmax(dim=1)")], "The softmax belongs to the loss"),
    ("neural_networks.3", [("nn.ModuleList(", "list(")], "Layers in a plain list"),
    ("neural_networks.3", [("torch.relu(layer(features))", "layer(features)")], "There is no activation function"),
    ("neural_networks.4", [("    optimizer.zero_grad()\n", "")], "The gradients of earlier mini-batches"),
    ("neural_networks.4", [("model.train()", "model.eval()")], "The model is not in training mode"),
    ("neural_networks.5", [("range(300)", "range(0)")], "The model does hardly better than guessing"),
    ("train_pytorch.4", [("(loss * share)", "(loss)")], "You add up the mean losses"),
    ("train_pytorch.5", [('torch.set_rng_state(state["rng"])', "pass")], "The dropout masks are others"),
    ("attention.4", [("real = context_mask", "real = ~context_mask")], "Your mask is upside down"),
    ("attention.4", [("weights @ v", "weights.detach() @ v")], "No gradient reaches queries and keys"),
    ("attention.5", [("padding_mask[:, None, :]", "padding_mask[:, :, None]")], "Padding is attended to"),
]


@cache
def judged(id: str) -> dict[str, Share]:
    """What every right and every wrong answer to an exercise earns; judged once for all tests that ask."""
    answers = sources(id) | {str(changes): wrong(id, *changes) for which, changes, _ in WRONG if which == id}
    return shares_together(id, KERAS if id == "attention.5" else TORCH, answers)


@pytest.mark.parametrize(("id", "changes", "said"), WRONG)
def test_a_wrong_module_loses_points_and_is_told_its_mistake(sandbox, id, changes, said):
    points, advice = judged(id)[str(changes)]
    assert points < 1
    assert any(text.startswith(said) for text in advice), advice


@pytest.mark.parametrize(
    "id",
    [
        "neural_networks.3",
        "neural_networks.4",
        "neural_networks.5",
        "train_pytorch.4",
        "train_pytorch.5",
        "attention.4",
        "attention.5",
    ],
)
def test_right_modules_of_any_shape_earn_all_points(sandbox, id):
    right = sources(id)
    assert len(right) > 1
    earned = {name: judged(id)[name] for name in right}
    assert {name: points for name, (points, _) in earned.items()} == dict.fromkeys(earned, 1.0), earned


CORE_SECONDS = """
import resource
def core_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
"""


def test_a_keras_answer_costs_few_core_seconds(sandbox):
    """Those of the sandbox and of the judge together; the clock would tell how busy this machine is."""
    parts("attention.5", SECRET)
    start = time.process_time()
    with Session([CORE_SECONDS, KERAS, sources("attention.5")["SentenceEncoder"]], LIMITS) as session:
        outcomes = grade_parts("attention.5", answer_of(session, "ANSWER"), SECRET)
        inside = Proxy(session, "core_seconds")()
    assert score(outcomes) == 1
    assert inside + time.process_time() - start < 9


USES = """
import numpy as np
import keras, sklearn, sklearn.linear_model
import matplotlib.pyplot as plt
from keras.wrappers import SKLearnClassifier
net = keras.Sequential([keras.layers.Dense(1)])
net.compile("sgd", "mse")
net.fit(np.zeros((2, 1)), np.zeros(2), verbose=0)
keras.visualization.plot_image_gallery(sklearn.utils.check_array([[0.0]]).reshape(1, 1, 1, 1), value_range=(0, 1))
SKLearnClassifier(net)
ANSWER = 1
"""


def test_what_keras_is_loaded_without_is_there_where_a_notebook_names_it(sandbox):
    assert spared([KERAS]) == list(OPTIONAL) and spared([USES]) == []
    with Session([USES], LIMITS) as session:
        assert answer_of(session, "ANSWER") == 1, session.errors
    later = (
        "import keras\nimport matplotlib.pyplot as plt, sklearn.linear_model\nANSWER = [plt.plot([0]) is None, keras]"
    )
    with Session([later], LIMITS) as session:
        assert answer_of(session, "ANSWER")[0] is False, session.errors


# ---------------------------------------------------------------- what a hostile answer may try
HELD = """
import gc
def ANSWER(inputs, targets, num_classes):
    # All that is in this process: is there anything of as many labels as there are new points?
    kinds = (list, tuple, np.ndarray)
    found = [o for o in gc.get_objects() if isinstance(o, kinds) and np.ndim(o) == 1 and len(o) == 200]
    assert not found
    model = nn.Linear(2, num_classes)
    return model
"""
LIES = """
class ANSWER(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.same = nn.Linear(1, 1)
    def named_parameters(self, *args, **kwargs):
        return []
    def __eq__(self, other):
        return True
    def forward(self, *args):
        return torch.zeros(2, 2, requires_grad=True)
"""
FORGES = """
import sys
for module in list(sys.modules.values()):
    if getattr(module, "__name__", "") == "wire":
        module.encode = lambda value, depth=12: {"list": [{"dict": []}]}
ANSWER = nn.Linear
"""
ENDS = """
import os
class ANSWER(nn.Module):
    def __init__(self, *sizes):
        os._exit(0)
"""


@pytest.mark.parametrize(("id", "code"), [("neural_networks.5", HELD), ("neural_networks.3", LIES)])
@pytest.mark.parametrize("again", [FORGES, ENDS])
def test_a_hostile_module_earns_nothing(sandbox, id, code, again):
    earned = shares(id, TORCH, {"first": code, "second": again})
    assert [points for points, _ in earned.values()] == [0, 0]


@pytest.mark.parametrize("name", FRAMEWORK_ATTACKS)
def test_an_attack_on_a_framework_exercise_earns_nothing(sandbox, name):
    attack = FRAMEWORK_ATTACKS[name]
    limits = Limits(call=3) if name == "a gradient that never comes" else LIMITS  # it is waited for to its end
    assert shares(attack.exercise, attack.setup, {"hostile": attack.code}, limits)["hostile"][0] == 0


def test_labels_of_held_out_data_never_go_in(sandbox, monkeypatch):
    sent = []
    ask = Session.ask
    monkeypatch.setattr(Session, "ask", lambda self, *args, **more: sent.append(more) or ask(self, *args, **more))
    shares("neural_networks.5", TORCH, {"reference": sources("neural_networks.5")["train"]})
    probed = [more for more in sent if "probe" in more]
    assert probed and all(len(more["args"]["tuple"]) == 4 for more in probed), "inputs, targets, classes, new inputs"


def test_what_an_optimizer_loads_is_loaded_before_any_limit_on_time():
    """The judge's limits cut a slow first step short: every later optimizer of that process then failed."""
    code = "import sys; from mmcourse.exercise import find; find('neural_networks.4').expected\n"
    code += "assert 'torch._dynamo' in sys.modules\n"
    code += "import torch; torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)"
    subprocess.run([sys.executable, "-c", code], check=True)

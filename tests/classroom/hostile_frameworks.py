"""Modules, layers and training functions that cheat: each is the answer to one framework exercise, as code."""

from __future__ import annotations

from dataclasses import dataclass

TORCH = "import math\nimport numpy as np\nimport torch\nfrom torch import nn\n"
KERAS = "import numpy as np\nimport keras\nimport tensorflow as tf\nfrom keras import ops\n"
MLP, STEP, TRAIN, LAYER = "neural_networks.3", "neural_networks.4", "neural_networks.5", "attention.5"


@dataclass(frozen=True)
class FrameworkAttack:
    """Code that ends in defining `ANSWER` to an exercise, what holds it back, and what it did when first tried."""

    exercise: str
    code: str
    contained: str
    before: str = "held"

    @property
    def setup(self) -> str:
        return KERAS if self.exercise == LAYER else TORCH


POOR = """
class ANSWER(nn.Module):
    def __init__(self, num_features, hidden_sizes, num_classes):
        super().__init__()
        sizes = [num_features, *hidden_sizes]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:]))
        self.head = nn.Linear(sizes[-1], num_classes)
    def forward(self, x):
        %s
"""
POOR_STEP = """
def ANSWER(model, optimizer, inputs, targets):
    %s
"""
FRAMEWORK_ATTACKS = {
    "answers by places, not by inputs": FrameworkAttack(
        TRAIN,
        """
class Places(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.num_classes = num_classes
    def forward(self, x):
        return torch.eye(self.num_classes)[torch.arange(len(x)) % self.num_classes]
def ANSWER(inputs, targets, num_classes):
    return Places(num_classes)
""",
        "labels of new data come in no order",
        before="all points",
    ),
    "parameters that lie about shape and copies": FrameworkAttack(
        MLP,
        """
class Liar(nn.Parameter):
    shape = property(lambda self: self.said)
    def copy_(self, value):
        self.said = tuple(value.shape)
        return self
class ANSWER(nn.Module):
    def __init__(self, num_features, hidden_sizes, num_classes):
        super().__init__()
        self.num_classes = num_classes
        self.lying = Liar(torch.zeros(1))
        self.lying.said = (1,)
    def named_parameters(self, *args, **kwargs):
        return {f"hidden.{k}.weight": self.lying for k in range(4)}.items()
    def forward(self, x):
        return torch.zeros(len(x), self.num_classes) + self.lying.sum()
""",
        "only arrays come out; compared outside",
    ),
    "hooks on every module": FrameworkAttack(
        MLP,
        """
torch.nn.modules.module.register_module_forward_hook(lambda module, args, out: torch.ones_like(out) * args[0].mean())
torch.nn.modules.module.register_module_full_backward_hook(lambda module, given, taken: tuple(given))
"""
        + POOR % "return self.head(x.flatten(1)[:, :1].expand(-1, self.head.in_features))",
        "compared outside",
    ),
    "hooks on gradients": FrameworkAttack(
        MLP,
        POOR
        % """out = x.flatten(1)
        for layer in [*self.hidden, self.head]:
            for p in layer.parameters():
                p.register_hook(torch.zeros_like)
            out = layer(out)
        return out""",
        "compared outside",
    ),
    "a tensor that is pickled, copied and equal as it likes": FrameworkAttack(
        MLP,
        """
class Forged(torch.Tensor):
    def __reduce_ex__(self, protocol): return (open, ("/tmp/pickled", "w"))
    def __eq__(self, other): return True
    def detach(self): return self
    def cpu(self): return self
    def numpy(self): return np.zeros((), [("x", object)])
    def __array__(self, *args): return np.zeros(())
"""
        + POOR % "return torch.zeros(len(x), 2, requires_grad=True).as_subclass(Forged)",
        "only bytes, dtype and shape come out; no pickle",
    ),
    "an output of a terabyte that takes no memory": FrameworkAttack(
        MLP, POOR % "return torch.zeros(1, requires_grad=True).expand(1 << 20, 1 << 18)", "memory limit"
    ),
    "an output of a gigabyte": FrameworkAttack(
        MLP, POOR % "return torch.zeros(1 << 14, 1 << 14, requires_grad=True)", "memory limit; limit on size"
    ),
    "a patched framework": FrameworkAttack(
        MLP,
        """
torch.Tensor.copy_ = lambda self, *args: self
torch.Tensor.backward = lambda *args, **kwargs: None
torch.allclose = torch.equal = lambda *args, **kwargs: True
torch.linspace = lambda *args, **kwargs: torch.zeros(args[2])
"""
        + POOR % "return self.head(torch.zeros(len(x), self.head.in_features))",
        "compared outside",
    ),
    "weights after a step that were never learned": FrameworkAttack(
        STEP,
        """
torch.optim.Optimizer.step = torch.optim.SGD.step = torch.optim.Adam.step = lambda *args, **kwargs: None
"""
        + POOR_STEP
        % """model.train()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(0.99)
    return float(nn.functional.cross_entropy(model(inputs), targets))""",
        "the weights that should come out are known outside only",
    ),
    "the helpers of the probe, patched": FrameworkAttack(
        STEP,
        """
import sys
def patch(frame):
    while frame:
        for name, value in list(frame.f_locals.items()):
            if name in ("helpers", "names") and isinstance(value, dict):
                value.update(array=lambda v: 0.0, state=lambda m: np.zeros(9, np.float32))
        probe = frame.f_locals.get("probe")
        if hasattr(probe, "state"):
            probe.state = lambda m: np.zeros(9, np.float32)
        frame = frame.f_back
"""
        + POOR_STEP % "patch(sys._getframe())\n    return 0.0",
        "compared outside",
    ),
    "processes, programs and the network by the framework": FrameworkAttack(
        MLP,
        """
from torch.utils.data import DataLoader, TensorDataset
went = []
def tries(act):
    try:
        went.append(act())
    except BaseException:
        pass
tries(lambda: list(DataLoader(TensorDataset(torch.zeros(4)), num_workers=2)))
tries(lambda: torch.multiprocessing.spawn(print, nprocs=1))
tries(lambda: torch.hub.load_state_dict_from_url("http://127.0.0.1:1/x.pt"))
tries(lambda: torch.from_file("/env/course/mmcourse/__init__.py", shared=True, size=10, dtype=torch.uint8).fill_(0))
tries(lambda: torch.distributed.init_process_group("gloo", init_method="tcp://127.0.0.1:29500", rank=0, world_size=1))
"""
        + POOR
        % """out = x.flatten(1)
        for layer in self.hidden:
            out = torch.relu(layer(out))
        return self.head(out) if went else out""",
        "denied by the filter; no network; read-only",
    ),
    "threads and memory of the framework": FrameworkAttack(
        MLP,
        "torch.set_num_threads(64)\n"
        + POOR % "while True: x = torch.ones(1 << 12, 1 << 12) @ torch.ones(1 << 12, 1 << 12)",
        "time of a call; processor time",
    ),
    "a gradient that never comes": FrameworkAttack(
        MLP,
        """
class Endless(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x.clone()
    @staticmethod
    def backward(ctx, gradient):
        while True: pass
"""
        + POOR % "return Endless.apply(self.head(torch.zeros(len(x), self.head.in_features)))",
        "ended from outside",
    ),
    "a Keras layer that reads, writes and lies": FrameworkAttack(
        LAYER,
        """
seen = []
def tries(act):
    try:
        seen.append(act())
    except BaseException:
        pass
tries(lambda: tf.io.write_file("/env/course/mmcourse/__init__.py", "").numpy())
tries(lambda: [open(p).read() for p in tf.io.gfile.glob("/env/course/mmcourse/*/exercises*.py")][0])
tries(lambda: tf.io.read_file("/etc/shadow").numpy())
tries(lambda: tf.distribute.Server({"local": ["127.0.0.1:2222"]}, job_name="local", task_index=0))
class ANSWER(keras.layers.Layer):
    def __init__(self, *args, **kwargs):
        super().__init__()
    @property
    def trainable_variables(self):
        return []
    def call(self, x, *args, **kwargs):
        return x if not seen else x * 0 + len(seen)
""",
        "read-only; none of them is there; compared outside",
    ),
}

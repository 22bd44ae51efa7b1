"""A cell runs in the sandbox as in a notebook: IPython's syntax, `await`, and every framework of the course."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mmcourse.classroom.sandbox import INSIDE, Limits, frameworks
from mmcourse.classroom.session import Proxy, Session, answer_of

# name: (cells, the value of `answer` after the last one). Each of these runs without an error in JupyterLab.
NOTEBOOK = {
    "a plain cell": (["answer = 3;"], 3),
    "%time": (["def f(): return 1", "%time answer = f()"], 1),
    "%%time": (["%%time\nanswer = 1"], 1),
    "%time's value": (["answer = %time 5"], 5),
    "%timeit's result": (["t = %timeit -o -q 1 + 1\nanswer = t.best < 10"], True),
    "%%timeit of many loops": (["answer = 1", "%%timeit -n 1000000 -r 7\nimport time; time.sleep(0.1)"], 1),
    "%%capture": (["%%capture out\nprint('hi')", "answer = str(out)"], "hi\n"),
    "%matplotlib": (["%matplotlib inline\n%config InlineBackend.figure_format = 'svg'\nanswer = 3"], 3),
    "%env": (["%env COLOR=blue\nimport os\nanswer = os.environ['COLOR']"], "blue"),
    "%cd and %pwd": (["%cd /tmp\nanswer = %pwd"], "/tmp"),
    "%who_ls": (["x = 1\nfound = %who_ls\nanswer = 'x' in found"], True),
    "%prun": (["%prun -q answer = 3"], 3),
    "%run": (["%%writefile part.py\nvalue = 8", "%run part.py", "answer = value"], 8),
    "%%writefile and import": (["%%writefile helper.py\nvalue = 9", "import helper\nanswer = helper.value"], 9),
    "%load_ext and what is not there": (["%load_ext autoreload\n%autoreload 2\n%no_such_magic\nanswer = 2"], 2),
    "%pip and !pip": (["%pip install -q anything\n!pip install anything\nanswer = 2"], 2),
    "!command": (["files = !ls\nanswer = list(files)"], []),
    "!command in a loop": (["for k in range(3):\n    !echo {k}\nanswer = k"], 2),
    "%%bash": (["answer = 1", "%%bash\nls; answer=2"], 1),
    "%sx": (["lines = %sx ls\nanswer = 4"], 4),
    "help": (["len?\nlen??\n?len\nanswer = 8"], 8),
    "a magic below a decorated function": (
        ["def f(): return 2", "@staticmethod\ndef g(): pass\n%time answer = f()"],
        2,
    ),
    "get_ipython()": (["get_ipython().run_line_magic('matplotlib', 'inline')\nanswer = 1"], 1),
    "get_ipython, imported": (
        ["from IPython import get_ipython\nget_ipython().run_line_magic('time', 'answer = 4')"],
        4,
    ),
    "get_ipython().system": (["ip = get_ipython()\nip.system('ls')\nanswer = list(ip.getoutput('ls'))"], []),
    "whether this is a notebook": (["answer = get_ipython() is not None and 'IPython' in str(get_ipython())"], False),
    "display": (["from IPython.display import HTML\ndisplay(HTML('x'))\nanswer = 1"], 1),
    "await": (["import asyncio\nawait asyncio.sleep(0)\nanswer = 1"], 1),
    "a task of an earlier cell": (
        ["import asyncio\nasync def f(): return 5", "task = asyncio.create_task(f())", "answer = await task"],
        5,
    ),
    "async with": (
        [
            "import contextlib\n@contextlib.asynccontextmanager\nasync def f(): yield 4",
            "async with f() as answer:\n    pass",
        ],
        4,
    ),
    "asyncio.run": (["import asyncio\nasync def f(): return 4", "answer = asyncio.run(f())"], 4),
    "a prompt that was copied": ([">>> answer = 7"], 7),
}


@pytest.mark.parametrize("name", NOTEBOOK)
def test_a_cell_runs_as_in_a_notebook(sandbox, name):
    cells, expected = NOTEBOOK[name]
    with Session(cells, Limits(cell=10)) as session:
        assert answer_of(session, "answer") == expected
        assert session.errors == [] and session.starts == 1


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("def (:", "SyntaxError"),
        ("%time 1 / 0", "ZeroDivisionError"),
        ("%time no_such_name", "NameError"),
        ("await no_such_name", "NameError"),
        ("import asyncio\nawait asyncio.sleep(1000)", "TimeoutError"),
        ("%time\nwhile True: pass", "TimeoutError"),
    ],
)
def test_an_error_in_such_a_cell_is_that_cell_s(sandbox, cell, error):
    with Session([cell, "answer = 1"], Limits(cell=1)) as session:
        assert answer_of(session, "answer") == 1 and session.starts == 1
        assert [(place, message.partition(":")[0]) for place, _, message in session.errors] == [(1, error)]


def test_frameworks_are_found_in_imports_alone():
    assert frameworks(["import numpy as np, torch", "  from keras import layers"]) == ["tensorflow", "torch"]
    assert frameworks(["from mmcourse.torch import layers", "import mmcourse.keras as mk"]) == ["tensorflow", "torch"]
    assert frameworks(["# import torch", "torch = 1", "text = 'from keras'", "import torchlike, mytorch"]) == []


KERAS = """
import numpy as np
import keras
import tensorflow as tf

net = keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(2)])
net.compile("adam", "mse")
batches = tf.data.Dataset.from_tensor_slices((np.zeros((16, 8, 8, 3)), np.zeros((16, 2)))).batch(4).prefetch(2)
net.fit(batches, epochs=2, verbose=0)

def answer(x):
    return net(x)
"""
TORCH = """
import torch

net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.LazyLinear(2))
optimizer = torch.optim.Adam(net.parameters())
for _ in range(2):
    loss = net(torch.zeros(16, 3, 8, 8)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

def answer(x):
    return net(torch.tensor(x).permute(0, 3, 1, 2).float())
"""
HOARD = """
def hoard(megabytes):
    return len(bytearray(megabytes << 20)) >> 20
"""


@pytest.mark.parametrize(("framework", "cell"), [("tensorflow", KERAS), ("torch", TORCH)])
def test_a_framework_trains_within_the_usual_limits_and_no_memory_more(sandbox, framework, cell):
    """With less memory than the framework maps when it is loaded: what is loaded before the cells does not count."""
    np = pytest.importorskip("numpy")
    pytest.importorskip(framework)
    limits = Limits(memory_mb=800)
    with Session([cell, HOARD], limits) as session:
        result = Proxy(session, "answer")(np.ones((2, 8, 8, 3)))
        assert session.errors == [] and session.starts == 1
        assert result.shape == (2, 2)
        assert Proxy(session, "hoard")(100) == 100
        with pytest.raises(MemoryError):
            Proxy(session, "hoard")(800)


@pytest.mark.skipif(sys.platform != "linux", reason="compares with /proc, which only Linux has")
def test_the_size_of_the_address_space_is_found_without_proc():
    code = "import sys, json; sys.path.insert(0, sys.argv[1]); import jail, mmap; found = [jail.address_space()]\n"
    code += "held = mmap.mmap(-1, 300 << 20); found.append(jail.address_space())\n"
    code += "print(json.dumps([found, int(open('/proc/self/statm').read().split()[0]) * mmap.PAGESIZE]))"
    done = subprocess.run([sys.executable, "-c", code, str(INSIDE)], capture_output=True, text=True, check=True)
    (before, after), truth = json.loads(done.stdout)
    assert abs(after - truth) < 4 << 20 and abs(after - before - (300 << 20)) < 4 << 20

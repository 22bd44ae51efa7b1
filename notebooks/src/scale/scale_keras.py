"""Lesson scale in Keras: MirroredStrategy on two logical CPUs, against one device.

``python scale_keras.py`` prints one line of JSON. Devices are cut before TensorFlow starts, hence a process of its own.
"""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np
import tensorflow as tf

TWO = ["CPU:0", "CPU:1"]
BATCH, N = 64, 297  # four batches of 64, and an odd one of 41


def make_data():
    """Vectors (n, 32) and labels."""
    g = np.random.default_rng(0)
    return g.normal(size=(N, 32)), g.integers(0, 3, size=N)


def new_model(keras):
    """Two layers, the same weights each time."""
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((32,)), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(3)])


def by_fit(keras, strategy, n):
    """`fit`, one epoch over the first n samples."""
    x, y = make_data()
    with strategy.scope():
        model = new_model(keras)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(tf.data.Dataset.from_tensor_slices((x[:n], y[:n])).batch(BATCH), epochs=1, verbose=0)
    return model.get_weights()


def by_loop(keras, strategy, n, way):
    """One gradient of the last batch, summed over the replicas; "exact" divides by everybody's number."""
    x, y = make_data()
    start = (n - 1) // BATCH * BATCH
    number = n - start
    data = tf.data.Dataset.from_tensor_slices((x[start:n], y[start:n])).batch(BATCH)
    with strategy.scope():
        model = new_model(keras)

    def step(inputs, target):
        with tf.GradientTape() as tape:
            losses = keras.losses.sparse_categorical_crossentropy(target, model(inputs), from_logits=True)
            loss = tf.reduce_sum(losses) / number
        gradients = tape.gradient(loss, model.trainable_variables)
        context = tf.distribute.get_replica_context()
        return context.all_reduce("SUM", gradients), losses

    @tf.function
    def run(inputs, target):
        gradients, losses = strategy.run(step, args=(inputs, target))
        if way == "losses by sample":  # the crash: vectors of 21 and of 20 numbers cannot be added
            return strategy.reduce("SUM", losses, axis=None)
        return [strategy.experimental_local_results(g)[0] for g in gradients]

    (given,) = strategy.experimental_distribute_dataset(data)
    found = run(*given)
    return [np.asarray(part) for part in found] if way == "exact" else np.asarray(found)


def by_accumulation(keras, n, batch, steps):
    """One update of plain SGD from `steps` batches of n samples, by Keras's own `gradient_accumulation_steps`."""
    x, y = make_data()
    model = new_model(keras)
    options = {"gradient_accumulation_steps": steps} if steps > 1 else {}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, **options), loss)
    model.fit(tf.data.Dataset.from_tensor_slices((x[:n], y[:n])).batch(batch), epochs=1, verbose=0)
    return model.get_weights()


def gap(a, b):
    """Largest difference of two lists of arrays."""
    return max(float(np.abs(p - q).max()) for p, q in zip(a, b, strict=True))


def unfinished(path):
    """Functions of a file that do nothing: their body is `pass`."""
    functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    return [f.name for f in functions if isinstance(f.body[-1], ast.Pass)]


def main():
    """Even and odd batches, by `fit` and by a loop."""
    import keras

    keras.backend.set_floatx("float64")
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(TWO)
    report = {"keras": keras.__version__, "tensorflow": tf.__version__}
    for name, n in (("fit, even batches", 296), ("fit, odd last batch", N)):
        report[name] = gap(by_fit(keras, one, n), by_fit(keras, two, n))
    report["loop, odd batch, divided by all"] = gap(by_loop(keras, one, N, "exact"), by_loop(keras, two, N, "exact"))
    for name, n in (("accumulation, 20 + 20", 40), ("accumulation, 21 + 20", 41)):
        report[name] = gap(by_accumulation(keras, n, n, 1), by_accumulation(keras, n, -(-n // 2), 2))
    by_loop(keras, two, 296, "losses by sample")  # an even batch runs, and adds the losses of different samples
    try:
        by_loop(keras, two, N, "losses by sample")
        report["loop, odd batch, losses by sample"] = "no error"
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if "shape" in line.lower()]
        report["loop, odd batch, losses by sample"] = (lines or [f"{type(error).__name__}: {error}"])[0][:160]
    from keras.src.backend.tensorflow import distribution_lib

    report["keras.distribution on TensorFlow"] = (distribution_lib.__doc__ or "").strip().splitlines()[0]
    backends = Path(keras.__file__).parent / "src" / "backend"
    report["keras.distribution has a file for"] = sorted(p.parent.name for p in backends.glob("*/distribution_lib.py"))
    report["of it unfinished on TensorFlow"] = unfinished(backends / "tensorflow" / "distribution_lib.py")
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()

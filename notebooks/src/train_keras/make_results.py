"""Lesson train_keras's long run: the same model on `mood`, five seeds, in both frameworks from equal weights and batches.

About five minutes of processor time; `make results train_keras` runs it.
"""

from __future__ import annotations

import time

import torch

import mmcourse.keras.encoders as keras_encoders
import mmcourse.keras.fusion as keras_fusion
import mmcourse.torch.encoders as torch_encoders
import mmcourse.torch.fusion as torch_fusion
from mmcourse import runtime
from mmcourse.datasets import load, save_results
from mmcourse.parity import copy_weights
from mmcourse.training import keras as keras_train
from mmcourse.training import torch as torch_train


def build(encoders, fusion, vocabulary):
    """The lesson's model in one framework."""
    parts = {"face": encoders.ImageEncoder(32), "voice": encoders.AudioEncoder(40, 32)}
    parts["words"] = encoders.TextEncoder(vocabulary, 32)
    return encoders.MultimodalClassifier(parts, fusion.Concatenate([32] * 3, 128), classes=3)


def both(train, seed):
    """The two models, equal in every number."""
    torch.manual_seed(seed)
    ours = build(torch_encoders, torch_fusion, len(train.vocabulary))
    theirs = build(keras_encoders, keras_fusion, len(train.vocabulary))
    theirs.build(None)
    copy_weights(ours, theirs)
    return ours, theirs


def trial(train, test, seed, epochs=10):
    """Train both; accuracy on the test set and the loss of each epoch, by framework."""
    ours, theirs = both(train, seed)
    options = {"epochs": epochs, "seed": seed, "progress": False}
    histories = {
        "PyTorch": torch_train.fit(ours, train.torch_loader(64, seed), **options),
        "Keras": keras_train.fit(theirs, train.tf_dataset(64, seed), **options),
    }
    logits = {
        "PyTorch": torch_train.predict(ours, test.torch_loader(500)),
        "Keras": keras_train.predict(theirs, test.tf_dataset(500)),
    }
    return {
        name: {
            "accuracy": round(float((logits[name].argmax(1) == test.labels).mean()), 4),
            "loss": [round(epoch["loss"], 5) for epoch in history],
        }
        for name, history in histories.items()
    }


def main():
    """Five seeds, and write them down."""
    start = time.process_time()
    runtime.setup()
    train, test = load("mood", "train"), load("mood", "test")
    trials = [trial(train, test, seed) for seed in range(5)]
    figures = {name: [t[name] for t in trials] for name in ("PyTorch", "Keras")}
    made_with = f"torch {torch.__version__}, keras {keras_train.keras.__version__}, one thread, processor time"
    save_results("train_keras", {**figures, "made_with": made_with, "seconds": round(time.process_time() - start)})


if __name__ == "__main__":
    main()

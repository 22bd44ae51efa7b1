"""Training in Keras: the recipe of `mmcourse.training.torch` by Keras's own `compile` and `fit`, for any task."""

import mmcourse.keras  # chooses the backend, before the first `import keras`  # noqa: F401
from mmcourse.training.keras.optim import AdamW, create_optimizer, warmup_cosine
from mmcourse.training.keras.train import classification, evaluate, fit, predict

__all__ = ["AdamW", "classification", "create_optimizer", "evaluate", "fit", "predict", "warmup_cosine"]

"""The formulas of a training run: learning rate by step, AdamW as PyTorch has it, which variables decay."""

import keras
import numpy as np
from keras import ops


def warmup_cosine(learning_rate, total, warmup=0.3):
    """Learning rate by step: up in a straight line, then down to 0 along a cosine."""
    up = round(warmup * total)
    start, top = np.float64(0.0), np.float64(learning_rate)  # plain numbers would become float32, in float64 runs too
    down = max(total - up, 1)  # Keras divides by it, also where the rate only rises
    return keras.optimizers.schedules.CosineDecay(start, down, warmup_target=top, warmup_steps=up)


@keras.saving.register_keras_serializable("mmcourse")
class AdamW(keras.optimizers.AdamW):
    """Adam (Kingma & Ba 2015, arXiv 1412.6980, algorithm 1) with decoupled decay, as PyTorch has it.

    Keras's own differs twice. It takes the shorter form of their section 2, where ε counts 1/√(1 − β₂ᵗ) times, 32 times
    at step 1. And where a word comes twice in a batch, v gets the sum of the squares of its gradients, and the clipping
    norm too; here it is the square of their sum.
    """

    def apply(self, grads, trainable_variables=None):
        """A gradient that is a list of rows becomes a whole table, in which equal rows have been added up."""
        variables = self._trainable_variables if trainable_variables is None else trainable_variables
        pairs = zip(grads, variables, strict=True)
        super().apply(
            [g if g is None else ops.add(ops.zeros_like(v), ops.cast(g, v.dtype)) for g, v in pairs],
            trainable_variables,
        )

    def update_step(self, gradient, variable, learning_rate):
        """w ← w − rate · m̂ / (√v̂ + ε), m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ). The decay has been applied before."""
        step = ops.cast(self.iterations + 1, variable.dtype)
        at, moments = self._get_variable_index(variable), []
        for kept, beta, new in (
            (self._momentums[at], self.beta_1, gradient),
            (self._velocities[at], self.beta_2, ops.square(gradient)),
        ):
            kept.assign(beta * kept + (1 - beta) * new)
            power = ops.power(ops.convert_to_tensor(beta, variable.dtype), step)
            moments.append(kept / (1 - power))
        mean, square = moments
        variable.assign_sub(ops.cast(learning_rate, variable.dtype) * mean / (ops.sqrt(square) + self.epsilon))


def create_optimizer(model, learning_rate, weight_decay, clip=None, ema=None):
    """AdamW of the recipe: ε = 1e-8, and only matrices, kernels and embeddings decay. The model must be built."""
    averaging = {} if ema is None else {"use_ema": True, "ema_momentum": ema}
    adamw = AdamW(learning_rate, weight_decay, epsilon=1e-8, global_clipnorm=clip, **averaging)
    adamw.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) < 2])
    return adamw

"""The same formulas as `keras.Layer`s, on the TensorFlow backend."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # must stand before the first `import keras`
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

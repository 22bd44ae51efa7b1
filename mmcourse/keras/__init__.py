"""The same formulas as `keras.Layer`s, on the TensorFlow backend."""

import os

from mmcourse.quiet import quiet_tensorflow

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # must stand before the first `import keras`
quiet_tensorflow()

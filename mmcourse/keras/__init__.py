"""The same formulas as `keras.Layer`s, on the TensorFlow backend."""

from mmcourse.environment import require_keras_on_tensorflow
from mmcourse.quiet import quiet_tensorflow

require_keras_on_tensorflow()  # before the first `import keras`
quiet_tensorflow()

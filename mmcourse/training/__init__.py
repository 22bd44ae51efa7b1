"""Training in PyTorch (`mmcourse.training.torch`) and Keras (`mmcourse.training.keras`): one `fit` for every task."""

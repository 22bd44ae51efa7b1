"""Raw files to NumPy arrays: image (with edges and augment), text (with bpe and word2vec), audio, video."""

from mmcourse.preprocess.errors import InputError

__all__ = ["InputError"]

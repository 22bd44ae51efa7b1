"""Masked language modeling: mask some tokens for a model to predict (BERT: Devlin et al. 2019, arXiv 1810.04805)."""

import numpy as np

from mmcourse.preprocess.arguments import check_generator, check_number

IGNORE_INDEX = -100  # no prediction here; PyTorch's cross-entropy skips it


def mask_tokens(ids, maskable, mask_token_id, vocab_size, rng, mask_prob=0.15):
    """Choose `mask_prob` of the maskable tokens; of the chosen, 80 % become [MASK], 10 % any token, 10 % stay.

    Parameters
    ----------
    ids : int64 (b, n)
    maskable : bool (b, n), False at padding and special tokens
    mask_token_id, vocab_size : int
    rng : numpy Generator

    Returns
    -------
    inputs : int64 (b, n), what the model sees
    labels : int64 (b, n), the true token where one was chosen, else IGNORE_INDEX
    """
    rng, mask_prob = check_generator(rng), check_number("mask_prob", mask_prob, 0, 1)
    chosen = maskable & (rng.random(ids.shape) < mask_prob)
    fate = rng.random(ids.shape)
    inputs = np.where(chosen & (fate < 0.8), mask_token_id, ids)
    inputs = np.where(chosen & (fate >= 0.9), rng.integers(vocab_size, size=ids.shape), inputs)
    return inputs, np.where(chosen, ids, IGNORE_INDEX)


class BigramModel:
    """Predictions from counts of adjacent words: the baseline that a language model has to beat.

    Every text starts and ends with a special token, so that each word has two neighbors.

    Parameters
    ----------
    ids : int64 (b, n), texts to count in; 0 pads
    vocab_size : int
    """

    def __init__(self, ids, vocab_size):
        pairs = (ids[:, :-1].ravel(), ids[:, 1:].ravel())
        self.counts = np.zeros((vocab_size, vocab_size))
        np.add.at(self.counts, pairs, 1)
        self.counts[0] = self.counts[:, 0] = 0
        self.unigram = np.bincount(ids[ids > 0], minlength=vocab_size).astype(float)

    def predict(self, ids, where, special, both=True):
        """The most probable token at each True of `where`, (k,), given the token before it and, if `both`, after it.

        A neighbor that is masked itself (`where`) is ignored. Tokens of `special` are never predicted.
        """
        chance = (self.unigram + 1e-9) / self.unigram.sum()  # (vocab_size,)
        joint = self.counts + np.outer(chance, chance)  # a little of independence, so that no logarithm is of 0
        log_next = np.log(joint) - np.log(joint.sum(1, keepdims=True))  # of p(column | row)
        rows, columns = np.nonzero(where)
        hidden = where[rows, columns - 1][:, None]
        score = np.where(hidden, np.log(chance), log_next[ids[rows, columns - 1]])
        if both:
            hidden = where[rows, columns + 1][:, None]
            score = score + np.where(hidden, 0, log_next.T[ids[rows, columns + 1]])
        score[:, special] = -np.inf
        return score.argmax(1)

"""Fusion by products: what one modality means depends on another. See `mmcourse.numpy.fusion` for conventions."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from mmcourse.numpy.fusion.sums import Vectors, Weights, linear
from mmcourse.numpy.masks import ModalityMask, masked


def bilinear(xs: Vectors, p: Weights, modality_mask: ModalityMask = None) -> Float[ndarray, "batch width"]:
    """Full bilinear form, z_k = x₁ᵀ W_k x₂: a weight for every pair of entries, d₁·d₂·width in all.

    It has no term of one modality alone: where one is absent, z is 0.

    Parameters
    ----------
    xs : two float (b, d_m); p : ``w`` (d₁, d₂, width)

    Returns
    -------
    float (b, width)
    """
    x1, x2 = masked(xs, modality_mask)
    return np.einsum("bi,ijk,bj->bk", x1, p["w"], x2)


def low_rank_bilinear(xs: Vectors, p: Weights, modality_mask: ModalityMask = None) -> Float[ndarray, "batch width"]:
    """Pᵀ(tanh(Uᵀx₁) ⊙ tanh(Vᵀx₂)) + b (Kim et al. 2017, arXiv 1610.04325); not a full bilinear form.

    Without the tanh it is one whose matrices have rank ≤ `rank`. More modalities: more factors. Absent: factor 1.

    Parameters
    ----------
    xs : list of float (b, d_m); p : ``maps.m.w`` (d_m, rank), ``out.w`` (rank, width), ``out.b``

    Returns
    -------
    float (b, width)
    """
    factors = masked(
        [np.tanh(linear(x, p, f"maps.{m}")) for m, x in enumerate(masked(xs, modality_mask))], modality_mask, fill=1
    )
    return linear(np.prod(factors, axis=0), p, "out")


def count_sketch_matrix(dim: int, width: int, rng: np.random.Generator) -> Float[ndarray, "{dim} {width}"]:
    """A count sketch Ψ as a matrix (dim, width): every entry of x goes to one random place with a random sign."""
    sketch = np.zeros((dim, width))
    sketch[np.arange(dim), rng.integers(width, size=dim)] = rng.choice([-1.0, 1.0], dim)
    return sketch


def compact_bilinear(xs: Vectors, p: Weights, modality_mask: ModalityMask = None) -> Float[ndarray, "batch width"]:
    """IFFT(FFT(Ψx₁) ⊙ FFT(Ψx₂)), signed square root, unit length (Fukui et al. 2016, arXiv 1606.01847).

    The circular convolution of two sketches is a sketch of the outer product, so it estimates d₁·d₂ products in `width`
    numbers. Ψ is drawn once and never again. Absent: [1, 0, …], which changes nothing under convolution.

    Parameters
    ----------
    xs : list of float (b, d_m); p : ``sketch_m`` (d_m, width), fixed

    Returns
    -------
    float (b, width), rows of length 1 (almost: the roots are softened near 0)
    """
    sketches = [x @ p[f"sketch_{m}"] for m, x in enumerate(masked(xs, modality_mask))]
    width = sketches[0].shape[-1]
    spectra = [np.fft.rfft(s) for s in masked(sketches, modality_mask, fill=np.eye(1, width)[0])]
    z = np.fft.irfft(np.prod(spectra, axis=0), n=width)
    # unit scale first, so that the size of the inputs drops out, as in the paper
    z = z / np.sqrt((z**2).mean(-1, keepdims=True) + 1e-16)
    z = z / np.sqrt(np.abs(z) + 1e-3)  # sign(z)·√|z|, with a finite slope at 0
    return z / np.sqrt((z**2).sum(-1, keepdims=True) + 1e-6)


def tensor_fusion(xs: Vectors, p: Weights, modality_mask: ModalityMask = None) -> Float[ndarray, "batch width"]:
    """W(⊗ₘ [xₘ; 1]) + b (Zadeh et al. 2017, arXiv 1707.07250): Π(dₘ + 1) products.

    The 1s keep the terms of fewer modalities. Absent: zeros, so that only the terms without it remain.

    Parameters
    ----------
    xs : list of float (b, d_m); p : ``out.w`` (Π(d_m + 1), width), ``out.b``

    Returns
    -------
    float (b, width)
    """
    tensor = np.ones((len(xs[0]), 1), xs[0].dtype)
    for x in append_one(masked(xs, modality_mask)):
        tensor = np.einsum("bi,bj->bij", tensor, x).reshape(len(x), -1)  # (b, …·(d_m + 1))
    return linear(tensor, p, "out")


def low_rank_tensor_fusion(
    xs: Vectors, p: Weights, modality_mask: ModalityMask = None
) -> Float[ndarray, "batch width"]:
    """Σ_r ⊙ₘ W⁽ʳ⁾ₘ[xₘ; 1] (Liu et al. 2018, arXiv 1806.00064): tensor fusion with weights of rank R, never formed.

    The sum over r comes last: a product of sums is something else. Absent: zeros, which leaves its row for the 1.

    Parameters
    ----------
    xs : list of float (b, d_m); p : ``factors.m`` (R, d_m + 1, width)

    Returns
    -------
    float (b, width)
    """
    xs = append_one(masked(xs, modality_mask))
    mapped = [np.einsum("bi,rik->brk", x, p[f"factors.{m}"]) for m, x in enumerate(xs)]
    return np.prod(mapped, axis=0).sum(1)


def append_one(xs: Vectors) -> Vectors:
    """Each x (b, d_m) with a 1 behind it, (b, d_m + 1)."""
    return [np.concatenate([x, np.ones((len(x), 1), x.dtype)], -1) for x in xs]

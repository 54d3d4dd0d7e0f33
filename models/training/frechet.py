"""Frechet distance between two sets of features, as FID uses it (Heusel et al. 2017), on any encoder's features."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [d] and unbiased covariance [d, d], float64, of features [n, d], n >= 2."""
    rows = features.double()
    mean = rows.mean(0)
    centred = rows - mean
    return mean, centred.T @ centred / (len(rows) - 1)


def frechet_distance(one: Tensor, other: Tensor) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) of features [n, d] and [m, d].

    The trace of the root is the sum of the singular values of C1^1/2 C2^1/2, which needs no root of a product that is
    not symmetric, and holds for covariances of low rank (fewer features than dimensions) too. Like every FID it grows
    as n falls: compare only numbers of equal n, and against a floor of equal n.
    """
    (mean1, covariance1), (mean2, covariance2) = gaussian(one), gaussian(other)
    roots = torch.linalg.svdvals(_root(covariance1) @ _root(covariance2)).sum()
    return float((mean1 - mean2).square().sum() + covariance1.trace() + covariance2.trace() - 2 * roots)


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root of a positive semidefinite matrix."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T

"""Data sets in canonical order; and a subset for those who train with plain PyTorch."""

from winnow.datasets.kept import KeptExamples, torch_subset, weighted_sampler

__all__ = ["KeptExamples", "torch_subset", "weighted_sampler"]

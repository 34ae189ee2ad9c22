"""Data sets in canonical order; and a subset for those who train with plain PyTorch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

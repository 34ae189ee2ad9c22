"""Several processes that work as one; see group.py. Names are imported when they are first used, torch with some."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

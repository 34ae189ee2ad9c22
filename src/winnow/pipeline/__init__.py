"""The one way through, from a data set to a row: cell.py composes the stages, and each can be had from here too.

A whole experiment needs this one module; names are imported when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

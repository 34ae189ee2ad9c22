"""Data pruning and scaling laws: which part of my training data do I need?

The names that other programs rely on, imported when they are first used: `import winnow` itself takes no time.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""What the server of winnow.parallel.processes imports, for all that are forked from it; nothing else imports this."""

import gc

gc.disable()  # none of it is garbage, and a process that looks through it copies its memory

import importlib  # noqa: E402
import pkgutil  # noqa: E402

import hydra.main  # noqa: E402, F401
import pytorch_lightning  # noqa: E402, F401

import winnow  # noqa: E402


def _import_all() -> None:
    """Every module of this project, those too that are elsewhere imported where they are needed."""
    for module in pkgutil.walk_packages(winnow.__path__, "winnow."):
        if module.name != __name__:
            importlib.import_module(module.name)


_import_all()
gc.freeze()
gc.enable()

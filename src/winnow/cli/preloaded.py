"""What the server of winnow.parallel.processes imports, for all that are forked from it; nothing else imports this.

That is every module of this project, and what it or others import only where they need it.
"""

import gc

gc.disable()  # none of it is garbage, and a process that looks through it copies its memory

import importlib  # noqa: E402
import pkgutil  # noqa: E402

import hydra.main  # noqa: E402, F401
import pyarrow.parquet  # noqa: E402, F401
import pytorch_lightning  # noqa: E402, F401
import safetensors.torch  # noqa: E402, F401
import torch._dynamo  # noqa: E402, F401

import winnow  # noqa: E402

for module in pkgutil.walk_packages(winnow.__path__, "winnow."):
    if module.name != __name__:
        importlib.import_module(module.name)
gc.freeze()
gc.enable()

"""What the server of winnow.parallel.processes imports, for all that are forked from it; nothing else imports this."""

import gc

gc.disable()  # none of it is garbage, and a process that looks through it copies its memory

import hydra.main  # noqa: E402, F401
import pytorch_lightning  # noqa: E402, F401

from winnow.cli import figures, plan, run, score, select  # noqa: E402, F401

gc.freeze()
gc.enable()

"""One thread a test process: the suite runs in as many processes as there are cores, and threads beyond that fight."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for the processes that tests start

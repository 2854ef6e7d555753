"""How long the numeric libraries' idle threads stay awake, decided before the libraries are loaded.

A thread that waits awake for the next task keeps the core from whoever could use it: the threads of the other library,
other processes. With torch's own choice an image took five times as long on a machine with anything else to do; with
OpenBLAS's (numpy), which stays awake for some twenty milliseconds, the merge tree took twice as long on an idle one.
Asleep at once, threads wake too late for small models: some microseconds awake are best. What is set already stays.
"""

import os

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # turns of a loop
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")  # two to this power, cycles of the processor

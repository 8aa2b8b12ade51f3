"""Start mydocker: `python3 -I -S mydocker/__main__.py`, which is what the launcher runs.

The interpreter runs isolated (-I: nothing from PYTHON* variables, the user's site or the current
directory; -S: no site module), so the search path is made here: this checkout, then the packages
of the virtual environment for the commands that need one.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` imports `enum`, which is dear
import gc
import os
import sys

if __name__ == "__main__":
    # Importing makes many objects and no garbage: looking for some after every 700 costs 3 ms.
    gc.set_threshold(20_000)
    # Until main() is there to catch it, a Ctrl-C ends us without a word, not with a traceback.
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    home = __file__.rpartition("/mydocker/")[0]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    environment = sys.executable.rpartition("/bin/")[0]
    sys.path[:0] = [home]
    sys.path.append(f"{environment}/lib/{version}/site-packages")

    work = os.environ.get("MYDOCKER_WORK") or f"{home}/work"
    if os.path.isdir(work):  # a student's own modules (upper.py)
        from mydocker import upper

        upper.install(home, work, sys.argv[1:])

    from mydocker.cli import main

    main(sys.argv[1:])

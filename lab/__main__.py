"""`python3 -m lab ch3`, `lab/mydocker-lab ch3`: the course's console (lab/course)."""

from __future__ import annotations

import sys

from lab.course.console import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

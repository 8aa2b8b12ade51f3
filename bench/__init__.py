"""The benchmark: mydocker beside runc, podman and docker, on the same root filesystem.

    make bench                  every row of the budgets, then build/bench.json
    python -m bench profile     where the time of one `mydocker run` goes

What is measured, and how the table is read, is on the page docs/performance.md. The package
mydocker never imports this one.
"""

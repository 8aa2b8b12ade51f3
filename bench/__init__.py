"""The benchmark: mydocker beside runc, podman and docker, on the same root filesystem.

    make bench                        every row of the table, then build/bench.json
    python -m bench profile           where the time of one `run` goes

What is measured and how it is read is on the page docs/performance.md.
"""

"""`--log-driver` and `--log-opt`: whether a container's output is kept, how much, and with what.

The drivers are json-file (logs.py) and none. The options are Docker's: `max-size` and `max-file`
for rotation, `labels` and `env` for what `logs --details` shows.
"""

from __future__ import annotations

from mydocker.cgroups import sizes
from mydocker.errors import Usage
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.logs import Log

DRIVERS = ("json-file", "none")
OPTIONS = ("max-size", "max-file", "labels", "env")


def check(driver: str, options: dict[str, str]) -> None:
    """Refuse a `--log-driver` or `--log-opt` that is not there, or makes no sense."""
    if driver not in DRIVERS:
        raise Usage("--log-driver", driver, f"not one of {' '.join(DRIVERS)}")
    for name, value in options.items():
        if name not in OPTIONS or driver == "none":
            known = " ".join(OPTIONS) if driver != "none" else "none"
            raise Usage("--log-opt", name, f"the driver {driver} has no such option", hint=known)
        if name == "max-size" and not sizes.parse_size(value, "--log-opt max-size"):
            raise Usage("--log-opt max-size", value, "is no room at all")
        if name == "max-file" and not (
            value.isascii() and value.isdigit() and 0 < int(value[:9]) < 1000
        ):
            raise Usage("--log-opt max-file", value, "not a count of files")
    if options.get("max-file", "1") != "1" and "max-size" not in options:
        raise Usage("--log-opt", "max-file", "means nothing without max-size")


def details(container: Container, env: list[str]) -> dict[str, str]:
    """The labels and variables that stand in each entry: `--log-opt labels=…`, `env=…`."""
    found = {}
    for option, have in (("labels", container.labels), ("env", dict(v.split("=", 1) for v in env))):
        for name in container.log_opts.get(option, "").split(","):
            if name in have:
                found[name] = have[name]
    return found


def open_log(container: Container, env: list[str]) -> Log:
    """The log of a container, as its options want it."""
    options = container.log_opts
    return Log(
        f"{container.directory}/log.json",
        keep=container.log_driver != "none",
        most=sizes.parse_size(options["max-size"]) if "max-size" in options else 0,
        count=int(options.get("max-file", "1")),
        details=details(container, env),
    )

"""`mydocker run`: a new container, in the foreground or (-d) in the background."""

from __future__ import annotations

import os

from mydocker.cgroups import sizes
from mydocker.cli import Globals
from mydocker.cli.flags import Command, Flag
from mydocker.errors import Usage
from mydocker.lifecycle import run as lifecycle
from mydocker.lifecycle.options import Options
from mydocker.spec import Resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

FLAGS = [
    Flag("-d --detach", "bool", "run in the background and print the id"),
    Flag("-i --interactive", "bool", "let the container read from stdin"),
    Flag("-t --tty", "bool", "give the container a terminal"),
    Flag("--rm", "bool", "remove the container when it ends"),
    Flag("--restart", "value", "start it again: no, on-failure[:N], always, …", metavar="POLICY"),
    Flag("--health-cmd", "value", "a command that tells whether it is well", metavar="COMMAND"),
    Flag("--health-interval", "value", "time between two checks, 30s", metavar="TIME"),
    Flag("--health-timeout", "value", "time that a check may take, 30s", metavar="TIME"),
    Flag("--health-retries", "value", "failures until it is unhealthy, 3", metavar="N"),
    Flag("--health-start-period", "value", "time when failures do not count", metavar="TIME"),
    Flag("--no-healthcheck", "bool", "do not run the image's check"),
    Flag("--name -name", "value", "a name for the container"),
    Flag("--image", "value", "the image, when the first word is the command"),
    Flag("--pull", "value", "pull the image: never, missing or always", metavar="WHEN"),
    Flag("-e --env", "list", "set a variable", metavar="NAME[=VALUE]"),
    Flag("--env-file", "list", "set the variables that a file lists", metavar="FILE"),
    Flag("-w --workdir", "value", "the working directory", metavar="DIR"),
    Flag("-u --user", "value", "who the command runs as", metavar="USER[:GROUP]"),
    Flag("-v --volume", "list", "show a volume, or a path of the host", metavar="SRC:DST[:ro]"),
    Flag("--volumes-from", "list", "show another container's volumes", metavar="NAME[:ro]"),
    Flag("--mount", "list", "a mount, in words", metavar="type=bind,source=…,target=…"),
    Flag("--tmpfs", "list", "a directory in memory", metavar="DST[:OPTIONS]"),
    Flag("--shm-size", "value", "the size of /dev/shm", metavar="SIZE"),
    Flag("--read-only", "bool", "make the root filesystem read-only"),
    Flag("-h --hostname -hostname", "value", "the host name inside", metavar="NAME"),
    Flag("--entrypoint", "value", "replace the image's entrypoint", metavar="COMMAND"),
    Flag("--init", "bool", "run a small init that reaps and forwards signals as PID 1"),
    Flag("--stop-signal", "value", "the signal that asks it to end", metavar="SIGNAL"),
    Flag("--stop-timeout", "value", "seconds to wait before it is killed", metavar="SECONDS"),
    Flag("-m --memory -mem", "value", "limit of memory, swap included", metavar="SIZE"),
    Flag("--memory-swap", "value", "limit of memory plus swap, -1 for none", metavar="SIZE"),
    Flag("--memory-reservation", "value", "soft limit of memory", metavar="SIZE"),
    Flag("-c --cpu-shares -cpushare", "value", "relative weight, 1024 by default", metavar="N"),
    Flag("--cpus", "value", "limit of cpu time, in processors", metavar="N"),
    Flag("--cpuset-cpus -cpuset", "value", "the processors it may use", metavar="0-2,4"),
    Flag("--cpuset-mems", "value", "the memory nodes it may use", metavar="0-1"),
    Flag("--pids-limit", "value", "limit of processes, -1 for none", metavar="N"),
    Flag("--blkio-weight", "value", "relative weight of block io, 10 to 1000", metavar="N"),
    Flag("--device-read-bps", "list", "limit of reading", metavar="DEVICE:RATE"),
    Flag("--device-write-bps", "list", "limit of writing", metavar="DEVICE:RATE"),
    Flag("--device-read-iops", "list", "limit of read operations", metavar="DEVICE:RATE"),
    Flag("--device-write-iops", "list", "limit of write operations", metavar="DEVICE:RATE"),
    Flag("--oom-score-adj", "value", "how readily the kernel kills it", metavar="N"),
    Flag("--ulimit", "list", "a limit of getrlimit(2)", metavar="NAME=SOFT[:HARD]"),
    Flag("--sysctl", "list", "set a sysctl of its namespaces", metavar="NAME=VALUE"),
    Flag("--cap-add", "list", "add a capability", metavar="CAP"),
    Flag("--cap-drop", "list", "drop a capability", metavar="CAP"),
    Flag("--privileged", "bool", "all capabilities and devices, nothing covered"),
    Flag("--security-opt", "list", "no-new-privileges", metavar="OPTION"),
    Flag("--userns", "value", "map root to another user: auto or FIRST[:SIZE]", metavar="MAP"),
    Flag("--network --net -net", "value", "NAME, none, host or container:X", metavar="NETWORK"),
    Flag("-p --publish", "list", "lead a port of the host here", metavar="[IP:][HOST:]PORT[/udp]"),
    Flag("-P --publish-all", "bool", "publish every port that the image exposes"),
    Flag("--ip", "value", "the address in the network", metavar="ADDRESS"),
    Flag("--mac-address", "value", "the address on the link", metavar="MAC"),
    Flag("--network-alias --net-alias", "list", "one more name in the network", metavar="NAME"),
    Flag("--dns", "list", "a name server", metavar="ADDRESS"),
    Flag("--dns-search", "list", "a domain to look names up in", metavar="DOMAIN"),
    Flag("--dns-option", "list", "an option of resolv.conf(5)", metavar="OPTION"),
    Flag("--add-host", "list", "a line for /etc/hosts", metavar="NAME:ADDRESS"),
    Flag("-l --label", "list", "a label", metavar="NAME[=VALUE]"),
    Flag("--label-file", "list", "the labels that a file lists", metavar="FILE"),
    Flag("--log-driver", "value", "json-file or none", metavar="DRIVER", default="json-file"),
    Flag("--log-opt", "list", "max-size=10m, max-file=3, labels=…, env=…", metavar="NAME=VALUE"),
    Flag("--cidfile", "value", "write the id to this new file", metavar="FILE"),
    Flag("--cgroup-parent", "value", "the cgroup that holds the container's", metavar="PATH"),
    Flag("--sig-proxy", "bool", "pass signals on (=false to not)", default=True),
]


def run(values: dict[str, Any], words: list[str]) -> int:
    """Parse into Options, run, and return the container's exit code."""
    asked = options(values, words)
    pull(values["pull"], asked)
    return lifecycle.run(Globals.root, asked)


def pull(when: str | None, asked: Options) -> None:
    """Pull the image first, if --pull says so; unless a registry is configured, none is asked."""
    if when is not None and when not in ("never", "missing", "always"):
        raise Usage("--pull", when, "not never, missing or always")
    configured = os.environ.get("MYDOCKER_REGISTRY") or os.path.exists(
        f"{Globals.root}/registries.json"
    )
    if when != "never" and (when or configured):
        from mydocker.cli.pull import provide

        provide(when, asked)


def options(values: dict[str, Any], words: list[str]) -> Options:
    """The flags of `run` and `create` as Options; a value that is wrong is named by its flag."""
    given = {name: values[name] for name in Options.fields() if values.get(name) is not None}
    for name, least, most in (
        ("stop_timeout", -1, 1 << 31),
        ("oom_score_adj", -1000, 1000),
        ("health_retries", 0, 1 << 31),
    ):
        if name in given:
            given[name] = whole_number(_flag(name), given[name], least, most)
    if "shm_size" in given:
        given["shm_size"] = sizes.parse_size(given["shm_size"], "--shm-size")
    if "cidfile" in given:
        if not given["cidfile"]:
            raise Usage("--cidfile", "", "needs a value")
        given["cidfile"] = os.path.abspath(given["cidfile"])
    given["cgroup_parent"] = given.get("cgroup_parent") or Globals.cgroup_parent
    return Options(words=words, resources=resources(values), **given)


def resources(values: dict[str, Any]) -> Resources:
    """The limits that were asked for."""
    readers: dict[str, Callable[[str, str], Any]] = {
        "memory": sizes.parse_memory,
        "memory_swap": lambda text, flag: sizes.parse_size(text, flag, unlimited=True),
        "memory_reservation": sizes.parse_size,
        "cpu_shares": sizes.parse_shares,
        "cpuset_cpus": sizes.parse_cpuset,
        "cpuset_mems": lambda text, flag: sizes.parse_cpuset(text, flag, "mem"),
        "pids_limit": sizes.parse_pids_limit,
        "blkio_weight": sizes.parse_blkio_weight,
    }
    found: dict[str, Any] = {
        name: read(values[name], _flag(name))
        for name, read in readers.items()
        if values.get(name) is not None
    }
    if values["cpus"] is not None:
        found["cpu_quota"], found["cpu_period"] = sizes.parse_cpus(values["cpus"])
    for kind in ("read_bps", "write_bps", "read_iops", "write_iops"):
        name = f"device_{kind}"
        found[kind] = [sizes.parse_device_rate(text, _flag(name)) for text in values.get(name, ())]
    return Resources(**found)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def whole_number(flag: str, text: str, least: int, most: int) -> int:
    """The text as a whole number within these bounds; Usage names the flag."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise Usage(flag, text, "not a whole number")
    if not least <= int(text) <= most:
        raise Usage(flag, text, f"not between {least} and {most}")
    return int(text)


COMMAND = Command(
    run,
    "[OPTIONS] [IMAGE] COMMAND [ARG...]",
    "Run a command in a new container. The first word is the image if there is a local image of\n"
    "that name, else a command in the default image (busybox).",
    FLAGS,
    least=0,
    stop_at_word=True,
)

"""The command line's reference page, from the very tables that the command line is parsed by."""

from __future__ import annotations

import sys

from mydocker import cli
from mydocker.cli import flags

WORDS = {
    "en": ("Option", "Value", "Meaning", "every command"),
    "zh": ("选项", "值", "含义（与 --help 相同）", "所有命令都有"),
}


def commands(language: str) -> str:
    """A section for each command: how it is called, what it does, its options."""
    head = WORDS[language][:3]
    every = WORDS[language][3]
    parts: list[str] = []
    for name in cli.COMMANDS:
        below = subcommands(name)
        parts += _section(2, name, name, cli.load(name), head, bool(below))
        for second, command in below.items():
            parts += _section(3, f"{name} {second}", f"{name}-{second}", command, head)
    parts += [f"## {every} {{#common}}", "", *_table(flags.COMMON, head)]
    return "\n".join(parts)


def _section(
    level: int,
    name: str,
    id: str,
    command: flags.Command,
    head: tuple[str, ...],
    has_commands: bool = False,
) -> list[str]:
    """One command; of one that only has commands below it, its first sentence."""
    parts = [f"{'#' * level} {name} {{#{id}}}", ""]
    if has_commands:
        return [*parts, _text(command.summary.partition("\n\n")[0]), ""]
    parts += ["```text", f"mydocker {name} {command.usage}".rstrip(), "```", ""]
    parts += [_text(command.summary), ""]
    common = {flag.dest for flag in flags.COMMON}
    own = [flag for flag in command.flags if flag.dest not in common]
    return [*parts, *(_table(own, head) if own else []), ""]


def subcommands(name: str) -> dict[str, flags.Command]:
    """The commands below one, such as `network create`; none for most."""
    command = cli.load(name)
    if isinstance(command, flags.Group):
        return command.own
    for value in vars(sys.modules[_module(name)]).values():
        rows = list(value.values()) if isinstance(value, dict) else []
        if rows and all(isinstance(row, flags.Command) for row in rows):
            return value  # type: ignore[no-any-return]  # looked at, just above
    return {}


def _module(name: str) -> str:
    """The module of a command, whatever cli.load imports for it."""
    names = (f"mydocker.cli.{name}", f"mydocker.cli.{name}_")
    return next(each for each in names if each in sys.modules)


def _table(rows: list[flags.Flag], head: tuple[str, ...]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|---|---|---|", *map(_row, rows)]


def _row(flag: flags.Flag) -> str:
    names = " ".join(f"`{name}`" for name in flag.names)
    value = "" if flag.kind == "bool" else f"`{_text(flag.metavar or 'VALUE')}`"
    many = " …" if flag.kind == "list" else ""
    return f"| {names} | {value}{many} | {_text(flag.help)} |"


def _text(words: str) -> str:
    return words.replace("\n", " ").replace("|", "\\|")


DOCKER = {
    "": """run create start restart stop kill pause unpause wait attach exec logs ps inspect top
        stats events port rename update cp diff rm images rmi tag history commit import export save
        load pull push build login search version info""",
    "container": """attach commit cp create diff exec export inspect kill logs ls pause port prune
        rename restart rm run start stats stop top unpause update wait""",
    "image": "build history import inspect load ls prune pull push rm save tag",
    "volume": "create ls inspect rm prune update",
    "network": "create ls inspect connect disconnect rm prune",
    "system": "df events info prune",
}
"""Docker's commands, those for containers on one machine (docker --help, 27)."""

DOCKER_RUN = """--add-host --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop
    --cgroup-parent --cgroupns --cidfile --cpu-period --cpu-quota
    --cpu-rt-period --cpu-rt-runtime --cpu-shares --cpus --cpuset-cpus
    --cpuset-mems --detach --detach-keys --device --device-cgroup-rule
    --device-read-bps --device-read-iops --device-write-bps --device-write-iops
    --dns --dns-option --dns-search --domainname --entrypoint --env --env-file
    --expose --gpus --group-add --health-cmd --health-interval --health-retries
    --health-start-period --health-timeout --hostname --init --interactive --ip
    --ip6 --ipc --isolation --kernel-memory --label --label-file --link
    --link-local-ip --log-driver --log-opt --mac-address --memory
    --memory-reservation --memory-swap --memory-swappiness --mount --name
    --network --network-alias --no-healthcheck --oom-kill-disable
    --oom-score-adj --pid --pids-limit --platform --privileged --publish
    --publish-all --pull --quiet --read-only --restart --rm --runtime
    --security-opt --shm-size --sig-proxy --stop-signal --stop-timeout
    --storage-opt --sysctl --tmpfs --tty --ulimit --user --userns --uts --volume
    --volume-driver --volumes-from --workdir"""
"""The options of `docker run` (docker run --help, 27)."""

HAVE = {"en": ("There", "Absent", "Ours alone"), "zh": ("已有", "没有", "Docker 没有的")}


def compatibility(language: str) -> str:
    """Which of Docker's commands and options of `run` there are, from our own tables."""
    there, absent, ours = HAVE[language]
    rows = [f"| | {there} | {absent} |", "|---|---|---|"]
    for group, words in DOCKER.items():
        names = words.split()
        if group:
            below = subcommands(group) if group in cli.COMMANDS else {}
            have = [name for name in names if name in below]
        else:
            have = [name for name in names if name in cli.COMMANDS]
        rows.append(_compared(f"docker {group}".strip(), names, have))
    run = cli.load("run")
    spellings = {name for flag in run.flags for name in flag.names}
    options = DOCKER_RUN.split()
    rows.append(_compared("docker run", options, [name for name in options if name in spellings]))
    longest = [
        max(flag.names, key=lambda name: (name.startswith("--"), len(name))) for flag in run.flags
    ]
    own = [
        f"`{name}`"
        for name in longest
        if name.startswith("--") and name not in (*options, "--help")
    ]
    rows += ["", f"{ours}: {' '.join(own)}"]
    return "\n".join(rows)


def _compared(what: str, names: list[str], have: list[str]) -> str:
    rest = [f"`{name}`" for name in names if name not in have]
    return f"| `{what}` | {' '.join(f'`{name}`' for name in have)} | {' '.join(rest)} |"

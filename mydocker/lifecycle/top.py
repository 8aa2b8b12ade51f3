"""What runs in a container (`mydocker top`): read from its cgroup and from /proc, now.

The cgroup knows who belongs to the container, also those that have left its pid namespace or that
were brought in by `exec`; the pids are the host's. Of each, /proc/PID/stat and status tell the rest
(proc_pid_stat(5), proc_pid_status(5)). The columns are those of `ps -ef`, as with Docker, which
calls ps(1); that is needed here only when other columns are asked for.
"""

from __future__ import annotations

import os
import time

from mydocker import cgroups
from mydocker.errors import Conflict, Error, KernelError, NotFound, Usage
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.repair import put_right
from mydocker.linux import files

COLUMNS = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
TICKS = os.sysconf("SC_CLK_TCK")
"""Clock ticks a second: the unit of the times in /proc/PID/stat."""


def top(root: str, word: str, options: list[str]) -> tuple[list[str], list[list[str]]]:
    """The header and a row for each process; Conflict if the container does not run."""
    containers = Containers(root)
    container = put_right(containers, containers.find(word))
    if container is None:
        raise NotFound("container", word, "no such container")
    if container.status not in ("running", "paused"):
        raise Conflict("top", word, f"is {container.status}", hint=f"mydocker start {word}")
    pids = cgroups.group(container.cgroup_parent, container.id).processes()
    if options:
        return by_ps(pids, options)
    rows = [row for pid in pids if (row := describe(pid))]
    return COLUMNS, rows


def describe(pid: int) -> list[str]:
    """The columns of `ps -ef` for one process; empty if it has ended."""
    try:
        text, status = files.read(f"/proc/{pid}/stat"), files.read(f"/proc/{pid}/status")
        words = files.read(f"/proc/{pid}/cmdline").rstrip("\0").replace("\0", " ")
    except KernelError:
        return []
    name, fields = (
        text[text.index("(") + 1 : text.rindex(")")],
        text[text.rindex(")") + 2 :].split(),
    )
    uid = next(line.split()[2] for line in status.splitlines() if line.startswith("Uid:"))
    used = (int(fields[11]) + int(fields[12])) / TICKS
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / TICKS
    share = min(99, int(100 * used / age)) if age > 0 else 0
    began = started(time.time() - age)
    columns = [user(int(uid)), str(pid), fields[1], str(share), began, terminal(int(fields[4]))]
    return [*columns, duration(int(used)), words or f"[{name}]"]


def user(uid: int) -> str:
    """The host's name of a user, as ps shows it; the number if there is none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def started(when: float) -> str:
    """The time of day if it was within a day, else the day, else the year."""
    now, then = time.time(), time.localtime(when)
    if now - when < 24 * 3600:
        return time.strftime("%H:%M", then)
    return time.strftime("%b%d" if then.tm_year == time.localtime(now).tm_year else "%Y", then)


def terminal(number: int) -> str:
    """The controlling terminal by its number in /proc/PID/stat: pts/0, or `?` for none."""
    major, minor = os.major(number), os.minor(number)
    if not number:
        return "?"
    return f"pts/{minor}" if 136 <= major <= 143 else f"{major}:{minor}"


def duration(seconds: int) -> str:
    """Processor time as ps writes it: 00:01:02."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def by_ps(pids: list[int], options: list[str]) -> tuple[list[str], list[list[str]]]:
    """What ps(1) prints with these options, of these processes; as Docker, it needs their PID.

    They are asked for by number (-q), and where an option does not go with that, looked for. The
    last column takes the rest of its line: it is the command, with blanks in it.
    """
    import subprocess

    wanted = [str(pid) for pid in pids]
    for more in (["-q", ",".join(wanted)], []):
        command = ["ps", *options, *more]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        except OSError as error:
            raise KernelError.of(error, "top", "ps") from None
        if done.returncode == 0:
            break
    said = f"ps {' '.join(options)}"
    if done.returncode:
        raise Error("top", said, (done.stderr.strip().splitlines() or ["it failed"])[0])
    head, *lines = done.stdout.splitlines() or [""]
    header = head.split()
    if "PID" not in header:
        raise Usage("top", said, "does not show the column PID")
    place = header.index("PID")
    rows = [line.split(None, len(header) - 1) for line in lines]
    return header, [row for row in rows if len(row) == len(header) and row[place] in wanted]

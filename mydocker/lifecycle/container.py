"""The record of a container: one readable JSON file each, and the truth about it.

The book's 5.2 writes a `config.json` for `ps` to read. A file alone lies: the process may have
died with the machine, or its pid may belong to somebody else by now. So a record keeps the pid with
its start time and the boot's id, and repair.py compares it with /proc before anybody sees it.

Where the records are kept is containers.py.

Invariant: a reader sees a record whole, before or after a change (files.write_whole); only `become`
changes its state, along the ways of state.py; and who changes it holds its lock from the reading to
the writing (`Containers.changing`), the monitor no less than a command.
"""

from __future__ import annotations

import os

from mydocker.errors import Corrupt, KernelError, NotFound
from mydocker.lifecycle import state
from mydocker.linux import files, jsontext, process
from mydocker.linux.lock import DirectoryLock, Lock
from mydocker.spec import Spec, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOST = 137
"""The exit code of a container whose end nobody saw: it was killed with its monitor."""

ASIDE = "mydocker system check --repair moves it aside"


class Healthcheck(Struct):
    """How a container's health is asked for. `test` has Docker's form: CMD and words, CMD-SHELL and
    a line for the shell, or nothing; times are in nanoseconds."""

    test: list[str] = []
    interval: int = 30 * 10**9
    timeout: int = 30 * 10**9
    start_period: int = 0
    retries: int = 3


class Answer(Struct):
    """What one health check said: when it began and ended, its exit code, what it wrote."""

    start: str = ""
    end: str = ""
    exit_code: int = 0
    output: str = ""


class Container(Struct):
    """What is known of one container. Times are RFC 3339 in UTC, empty while they have not come.

    `health` is `starting`, `healthy`, `unhealthy`, or empty where nobody asks; `health_streak`
    how many checks have failed in a row; `health_log` holds the last answers.
    """

    id: str
    name: str
    former_name: str = ""
    image: str
    image_id: str = ""
    layers: list[str] = []
    command: list[str] = []
    created: str = ""
    status: str = "created"
    pid: int = 0
    pid_started: int = 0
    monitor_pid: int = 0
    monitor_started: int = 0
    boot_id: str = ""
    started_at: str = ""
    finished_at: str = ""
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    tty: bool = False
    open_stdin: bool = False
    auto_remove: bool = False
    init: bool = False
    stop_signal: str = "SIGTERM"
    stop_timeout: int = 10
    stopped_by_hand: bool = False
    restart_policy: str = "no"
    restart_most: int = 0
    restart_count: int = 0
    restart_asked: bool = False
    healthcheck: Healthcheck = Healthcheck()
    health: str = ""
    health_streak: int = 0
    health_log: list[Answer] = []
    cgroup_parent: str = "/mydocker"
    labels: dict[str, str] = {}
    log_driver: str = "json-file"
    log_opts: dict[str, str] = {}
    volumes: list[str] = []
    anonymous: list[str] = []
    directory: str = ""

    @classmethod
    def nested(cls) -> dict[str, Any]:
        return {"healthcheck": Healthcheck, "health_log": [Answer]}

    @property
    def short_id(self) -> str:
        """The first twelve digits, as Docker shows an id."""
        return self.id[:12]

    @property
    def root_directory(self) -> str:
        """Where the container's mount namespace has its root; empty as the host sees it."""
        return f"{self.directory}/rootfs"

    def alive(self) -> bool:
        """Whether its first process lives, by /proc and not by what was written."""
        return process.alive(self.pid, self.pid_started, self.boot_id)

    def monitored(self) -> bool:
        """Whether its monitor lives; without one nobody would record its end."""
        return process.alive(self.monitor_pid, self.monitor_started, self.boot_id)

    def unfinished(self) -> bool:
        """Whether somebody began to run it and was gone before it ran."""
        return self.status == "created" and self.monitor_pid > 0

    def settled(self) -> bool:
        """Whether the record tells the truth: repair.py puts right what does not."""
        claims = self.status in state.UP or self.unfinished()
        if not claims and not (self.auto_remove and self.status == "exited"):
            return True
        return self.monitored()

    def lose(self) -> None:
        """Its monitor is gone, and with it the container: end a record that claims otherwise."""
        if self.status not in ("exited", "dead"):
            if self.status != "restarting":  # or it has ended before, and that was seen
                self.exit_code, self.finished_at = LOST, now()
            self.pid = 0
            self.error = "its monitor was killed, or the machine went down"
            self.become("exited")

    def watched_by(self, pid: int) -> None:
        """Note the process that answers for the container: its monitor."""
        self.monitor_pid, self.monitor_started = pid, process.start_time(pid)
        self.boot_id = process.boot_id()

    def become(self, status: str) -> None:
        """Change the state, by a way that state.py knows."""
        state.check(self.name, self.status, status)
        self.status = status

    def save(self, directory: str = "") -> None:
        """Write the record, whole; on a full disk, over the old: no exit code may be lost."""
        text = jsontext.dumps(self.to_json(), indent=2) + "\n"
        path = f"{directory or self.directory}/container.json"
        try:
            files.write_whole(path, text, durable=not self.auto_remove)
        except KernelError as error:
            if error.errno not in (28, 122) or not os.path.exists(path):  # ENOSPC, EDQUOT
                raise
            files.overwrite(path, text)

    def spec(self) -> Spec:
        """The OCI spec that the container runs."""
        path = f"{self.directory}/config.json"
        data = load_json(path)
        try:
            return Spec.from_json(data)
        except (TypeError, AttributeError):
            raise Corrupt("container spec", path, "is not an OCI spec") from None

    def lock(self, wait: bool = True) -> Lock:
        """The lock under which others than the monitor read, change and write this record."""
        return DirectoryLock(self.directory, wait=wait)

    def sound(self) -> bool:
        """Whether each field holds what it should; a file can hold anything."""
        for name in self.fields():
            value, kind = getattr(self, name), type(getattr(Container, name, ""))
            if type(value) is not kind:
                return False
            inside: Any = value
            inside = inside.values() if kind is dict else inside if kind is list else ()
            if inside and not all(isinstance(item, (str, Answer)) for item in inside):
                return False
        return self.status in state.STATES


def load_json(path: str) -> dict[str, object]:
    try:
        data = jsontext.loads(files.read(path))
    except KernelError as error:
        if error.errno == 2:
            raise NotFound("container", path, "has no such file") from None
        raise
    except (ValueError, RecursionError):
        raise Corrupt("state file", path, "is not JSON", hint=ASIDE) from None
    if not isinstance(data, dict):
        raise Corrupt("state file", path, "is not a JSON object", hint=ASIDE)
    return data


def now() -> str:
    """The time in UTC as RFC 3339 with nanoseconds, as Docker writes it."""
    import time

    nanoseconds = time.time_ns()
    seconds = time.gmtime(nanoseconds // 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', seconds)}.{nanoseconds % 10**9:09d}Z"

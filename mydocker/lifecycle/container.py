"""The record of a container: one readable JSON file each, and the truth about it.

The book's 5.2 writes a `config.json` for `ps` to read. A file alone lies: the process may have
died with the machine, or its pid may belong to somebody else by now. So a record keeps the pid with
its start time and the boot's id, and `Containers` compares it with /proc before anybody sees it.

Layout, below the state root::

    containers/<id>/container.json    this record
    containers/<id>/config.json       the OCI spec that it runs
    containers/<id>/upper work        what the container changed (rootfs/overlay.py)
    containers/<id>/rootfs            where the container's own mount namespace has its root
    containers/<id>/log.json          what it wrote (logs.py)
    names/<name>                      a link to the id: making it is how a name is taken
"""

from __future__ import annotations

import json
import os

from mydocker.errors import Conflict, Corrupt, KernelError, NotFound, Usage
from mydocker.linux import files, process
from mydocker.linux.lock import Lock
from mydocker.spec import Spec, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TRANSITIONS = {
    "created": ("running", "exited", "dead"),
    "running": ("paused", "restarting", "exited", "dead"),
    "paused": ("running", "exited", "dead"),
    "restarting": ("running", "exited", "dead"),
    "exited": ("running", "restarting", "dead"),
    "dead": (),
}
"""Every state, and the states that may follow it."""


class Container(Struct):
    """What is known of one container. Times are RFC 3339 in UTC, empty while they have not come."""

    id: str
    name: str
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
    cgroup_parent: str = "/mydocker"
    labels: dict[str, str] = {}
    directory: str = ""

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
        if self.monitored() or self.alive():
            return True
        claims = self.status in ("running", "paused", "restarting") or self.unfinished()
        return not claims and not (self.auto_remove and self.status == "exited")

    def watched_by(self, pid: int) -> None:
        """Note the process that answers for the container: its monitor."""
        self.monitor_pid, self.monitor_started = pid, process.start_time(pid)
        self.boot_id = process.boot_id()

    def become(self, status: str) -> None:
        """Change the state: the one place that allows or refuses a transition."""
        if status not in TRANSITIONS[self.status]:
            raise Conflict("container", self.name, f"is {self.status}, cannot become {status}")
        self.status = status

    def save(self) -> None:
        """Write the record, whole."""
        text = json.dumps(self.to_json(), indent=2) + "\n"
        files.write_whole(f"{self.directory}/container.json", text, durable=not self.auto_remove)

    def spec(self) -> Spec:
        """The OCI spec that the container runs."""
        return Spec.from_json(_load(f"{self.directory}/config.json"))

    def lock(self) -> Lock:
        """The lock under which this record is read, changed and written."""
        return Lock(f"{self.directory}/lock")


class Containers:
    """All containers below one state root."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.directory = f"{root}/containers"
        self._names = f"{root}/names"

    def quiet(self) -> Lock:
        """A lock under which no container is half-way through its creation."""
        return Lock(f"{self.root}/containers.lock")

    def add(self, container: Container, spec: Spec) -> None:
        """Take the name and make the directory; a name that is taken is refused.

        The record is written last: a directory without one is a creation that did not finish.
        """
        container.directory = f"{self.directory}/{container.id}"
        with Lock(f"{self.root}/containers.lock", shared=True):
            files.makedirs(self.directory)
            files.makedirs(self._names)
            files.mkdir(container.directory)
            self.take_name(container)
            files.mkdir(container.root_directory, 0o755)
            text = json.dumps(spec.to_json(), indent=2) + "\n"
            files.write_whole(f"{container.directory}/config.json", text, durable=False)
            container.save()

    def take_name(self, container: Container) -> None:
        """Link the name to the id; symlink(2) fails if the name exists, and that is the lock."""
        path = f"{self._names}/{container.name}"
        try:
            files.symlink(container.id, path)
        except KernelError as error:
            if error.errno != 17:  # EEXIST
                raise
            owner = os.readlink(path)
            if not os.path.isdir(f"{self.directory}/{owner}"):
                files.unlink(path, missing_ok=True)  # left by a crash
                self.take_name(container)
                return
            hint = f"mydocker rm {container.name}, or choose another --name"
            raise Conflict("name", container.name, f"is taken by {owner[:12]}", hint=hint) from None

    def discard(self, container: Container) -> None:
        """Remove the container's directory and give its name back; what it does not have is fine."""
        files.remove_tree(container.directory)
        path = f"{self._names}/{container.name}"
        if os.path.islink(path) and os.readlink(path) == container.id:
            files.unlink(path, missing_ok=True)

    def names(self) -> list[tuple[str, str, str]]:
        """Every name that is taken: the name, its link's path, the id it leads to."""
        if not os.path.isdir(self._names):
            return []
        paths = [(name, f"{self._names}/{name}") for name in sorted(os.listdir(self._names))]
        return [(name, path, os.readlink(path)) for name, path in paths if os.path.islink(path)]

    def ids(self) -> list[str]:
        """The ids of all containers, finished creations or not."""
        try:
            return sorted(os.listdir(self.directory))
        except FileNotFoundError:
            return []

    def load(self, container_id: str) -> Container:
        """One record by its full id; Corrupt if the file does not hold one."""
        path = f"{self.directory}/{container_id}/container.json"
        container = Container.from_json(_load(path))
        if container.id != container_id or container.status not in TRANSITIONS:
            raise Corrupt("container record", path, "does not describe this container")
        container.directory = f"{self.directory}/{container_id}"
        return container

    def __iter__(self) -> Iterator[Container]:
        """Every container, newest first; those that do not load are left to `system check`."""
        found = []
        for container_id in self.ids():
            try:
                found.append(self.load(container_id))
            except (NotFound, Corrupt):
                continue
        yield from sorted(found, key=lambda c: c.created, reverse=True)

    def find(self, word: str) -> Container:
        """By name, by id, or by a prefix of an id that only one has."""
        path = f"{self._names}/{word}"
        if "/" not in word and os.path.islink(path):
            return self.load(os.readlink(path))
        hits = [i for i in self.ids() if word and i.startswith(word)]
        if len(hits) > 1:
            raise Usage("container", word, f"fits {len(hits)} containers", hint="give more digits")
        if not hits:
            raise NotFound("container", word, "no such container", hint="mydocker ps -a lists them")
        return self.load(hits[0])


def _load(path: str) -> dict[str, object]:
    try:
        data = json.loads(files.read(path))
    except KernelError as error:
        if error.errno == 2:
            raise NotFound("container", path, "has no such file") from None
        raise
    except ValueError as error:
        raise Corrupt("state file", path, f"is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise Corrupt("state file", path, "is not a JSON object")
    return data


def now() -> str:
    """The time in UTC as RFC 3339 with nanoseconds, as Docker writes it."""
    import time

    nanoseconds = time.time_ns()
    seconds = time.gmtime(nanoseconds // 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', seconds)}.{nanoseconds % 10**9:09d}Z"

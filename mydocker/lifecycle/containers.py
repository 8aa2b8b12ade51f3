"""All containers of a state root: where they are kept, and what they are called.

Layout, below the state root::

    containers/<id>/container.json    the record (container.py)
    containers/<id>/config.json       the OCI spec that it runs
    containers/<id>/network.json      the networks that it wants, if any (network/wish.py)
    containers/<id>/upper work        what the container changed (rootfs/overlay.py)
    containers/<id>/rootfs            where the container's own mount namespace has its root
    containers/<id>/log.json          what it wrote (logs.py)
    containers/<id>.new, .removed     one that is not there yet, or not any more
    names/<name>                      a link to the id: making it is how a name is taken
    containers.lock, names.lock       held by who changes the one or the other

Invariant: a container comes and goes by one rename, so it is found whole or not at all. What is on
its way (.new, .removed) is somebody's work as long as the lock is held; after that it is what a
crash left, and the next creation or removal clears it away. A name that leads to nothing is free.
"""

from __future__ import annotations

import os

from mydocker.errors import Conflict, Corrupt, Error, KernelError, NotFound, Usage
from mydocker.lifecycle import events, state
from mydocker.lifecycle.container import ASIDE, Container, load_json
from mydocker.linux import files, jsontext
from mydocker.linux.cleanup import Cleanup
from mydocker.linux.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mydocker.spec import Spec

NEW, REMOVED = ".new", ".removed"


class Containers:
    """All containers below one state root."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.directory = f"{root}/containers"
        self._names = f"{root}/names"
        self.damaged: list[Error] = []

    # Coming and going

    def quiet(self, wait: bool = True) -> Lock:
        """A lock under which no container is on its way in or out."""
        return Lock(f"{self.root}/containers.lock", wait=wait)

    def _busy(self) -> Lock:
        return Lock(f"{self.root}/containers.lock", shared=True)

    def add(self, container: Container, spec: Spec, more: dict[str, str]) -> None:
        """Make the directory and take the name; Conflict if that is taken. `more` are other files
        to be in it: name and text."""
        self.sweep()
        container.directory = f"{self.directory}/{container.id}"
        new = container.directory + NEW
        with self._busy():
            files.makedirs(self.directory)
            files.makedirs(self._names)
            with Cleanup() as undo:
                undo.push(self._clear, container.id + NEW)
                files.mkdir(new)
                files.mkdir(f"{new}/rootfs", 0o755)
                text = jsontext.dumps(spec.to_json(), indent=2) + "\n"
                files.write_whole(f"{new}/config.json", text, durable=False)
                for name, content in more.items():
                    files.write_whole(f"{new}/{name}", content, durable=False)
                container.save(new)
                self.take_name(container)
                files.rename(new, container.directory)
                undo.keep()
        events.container(self.root, "create", container)

    def discard(self, container: Container) -> None:
        """Remove the container's directory and give its name back; who comes second has no work.

        Of one that is removed by itself (`--rm`), the volumes without a name go first: as long as
        there is a record, a crash in between is put right.
        """
        if container.auto_remove and container.anonymous:
            from mydocker.lifecycle import volumes

            volumes.remove_anonymous(self, container)
        with self._busy():
            aside = container.directory + REMOVED
            files.refuse_mounts(container.directory)
            if files.rename(container.directory, aside, missing_ok=True):
                self._clear(container.id + REMOVED)
                events.container(self.root, "destroy", container)

    def rename(self, container: Container) -> None:
        """Write a record that has a new name, which is taken for it; then free the former one."""
        with self._busy():
            self.take_name(container)
            try:
                container.save()
            except BaseException:
                self.give_back(container.name, container.id)
                raise
            self.give_back(container.former_name, container.id)

    def changing(self, container: Container) -> Change:
        """Read the record anew, change and write it inside a `with`, with nobody in between."""
        return Change(self, container)

    def sweep(self) -> None:
        """Clear away what a crash left half-way, unless others are at work just now."""
        if not self.unfinished():
            return
        try:
            with self.quiet(wait=False):
                for name in self.unfinished():
                    self._clear(name)
        except KernelError as error:
            if error.errno != 11:  # EAGAIN
                raise

    def clear(self, name: str) -> None:
        """Remove what is in the place of a container's directory, and is none."""
        with self.quiet():
            if not os.path.exists(f"{self.directory}/{name}/container.json") or "." in name:
                self._clear(name)

    def _clear(self, name: str) -> None:
        # The name first: the record, which knows it, may be among the first files to go.
        try:
            record = load_json(f"{self.directory}/{name}/container.json")
            for taken in (record.get("name"), record.get("formerName")):
                self.give_back(str(taken or ""), str(record.get("id")))
        except (NotFound, Corrupt):
            pass
        files.remove_tree(f"{self.directory}/{name}")

    # Names

    def take_name(self, container: Container) -> None:
        """Link the name to the id; symlink(2) fails if the name exists, and that is the lock."""
        name, owner = container.name, ""
        for _ in range(10):
            try:
                files.symlink(container.id, f"{self._names}/{name}")
                return
            except KernelError as error:
                if error.errno != 17:  # EEXIST
                    raise
            owner = self.owner(name)
            if owner == container.id:  # a `rename` of it was killed half-way
                return
            if owner and self.exists(owner):
                break
            self.give_back(name, owner)  # left by a crash
        hint = f"mydocker rm {name}, or choose another --name"
        raise Conflict("name", name, f"is taken by {owner[:12] or 'others'}", hint=hint)

    def give_back(self, name: str, owner: str) -> bool:
        """Free a name, if it is (still) that owner's; whether it was.

        Under a lock: between a look and the unlink somebody else could have freed and taken it.
        """
        if not name or not owner:
            return False
        with Lock(f"{self.root}/names.lock"):
            if self.owner(name) != owner:
                return False
            files.unlink(f"{self._names}/{name}", missing_ok=True)
            return True

    def owner(self, name: str) -> str:
        """The id that a name leads to; empty if it is not taken."""
        try:
            return os.readlink(f"{self._names}/{name}")
        except OSError:
            return ""

    def names(self) -> list[tuple[str, str]]:
        """Every name that is taken, and the id that it leads to."""
        found = [(name, self.owner(name)) for name in _listing(self._names)]
        return [(name, owner) for name, owner in found if owner]

    # Reading

    def ids(self) -> list[str]:
        """The ids of all containers."""
        return [name for name in _listing(self.directory) if "." not in name]

    def unfinished(self) -> list[str]:
        """The names of directories on their way in or out."""
        return [name for name in _listing(self.directory) if name.endswith((NEW, REMOVED))]

    def exists(self, container_id: str) -> bool:
        """Whether there is such a container, or will be (looked for in this order) in a moment."""
        path = f"{self.directory}/{container_id}"
        return os.path.isdir(path + NEW) or os.path.isdir(path)

    def load(self, container_id: str) -> Container:
        """One record by its full id; Corrupt if the file does not hold one."""
        path = f"{self.directory}/{container_id}/container.json"
        try:
            data = load_json(path)
        except NotFound:
            raise NotFound("container", container_id[:12], "no such container") from None
        damaged = Corrupt("container record", path, "does not describe it", hint=ASIDE)
        try:
            container = Container.from_json(data)
        except TypeError:  # a field is missing
            raise damaged from None
        if container.id != container_id or not container.sound():
            raise damaged
        container.directory = f"{self.directory}/{container_id}"
        return container

    def __iter__(self) -> Iterator[Container]:
        """Every container, newest first; what is wrong with those that do not load is in `damaged`,
        and left to `system check`."""
        found, self.damaged = [], []
        for container_id in self.ids():
            try:
                found.append(self.load(container_id))
            except NotFound:
                continue
            except Error as error:
                self.damaged.append(error)
        yield from sorted(found, key=lambda c: c.created, reverse=True)

    def find(self, word: str) -> Container:
        """By name, by id, or by a prefix of an id that only one has."""
        try:
            return self._find(word)
        except NotFound:  # also one that goes at this moment
            hint = "mydocker ps -a lists them"
            raise NotFound("container", word, "no such container", hint=hint) from None

    def _find(self, word: str) -> Container:
        owner = self.owner(word) if "/" not in word else ""
        if owner and os.path.isdir(f"{self.directory}/{owner}"):
            return self.load(owner)
        hits = [i for i in self.ids() if word and i.startswith(word)]
        if len(hits) > 1:
            raise Usage("container", word, f"fits {len(hits)} containers", hint="give more digits")
        if not hits:
            raise NotFound("container", word)
        return self.load(hits[0])


class Change:
    """One change of a record under its lock; the event of a change of state is told with it."""

    def __init__(self, containers: Containers, container: Container) -> None:
        self._containers = containers
        self._known = container
        self._lock = container.lock()
        self._before = ""

    def __enter__(self) -> Container:
        """The record as it is now; NotFound if it is gone."""
        try:
            self._lock.__enter__()
        except KernelError as error:
            if error.errno != 2:
                raise
            raise self._gone() from None
        try:
            self._container = self._containers.load(self._known.id)
        except NotFound:
            self._lock.__exit__()
            raise self._gone() from None
        except BaseException:
            self._lock.__exit__()
            raise
        self._before = self._container.status
        return self._container

    def _gone(self) -> NotFound:
        return NotFound("container", self._known.name, "no such container")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if error is None:
                self._container.save()
                self._tell()
        finally:
            self._lock.__exit__()

    def _tell(self) -> None:
        container = self._container
        action = state.TRANSITIONS.get((self._before, container.status))
        if action:
            more = {"exitCode": str(container.exit_code)} if action == "die" else {}
            events.container(self._containers.root, action, container, **more)


def _listing(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []

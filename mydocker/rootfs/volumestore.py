"""The volumes that mydocker keeps by name: directories below `<root>/volumes`.

    volumes/<name>/_data          what containers see
    volumes/<name>/volume.json    labels, and when it was made
    volumes/<name>/fill.new       the image's files, on their way into a new volume
    volumes/<name>/fill           the same, complete: only the moving is left
    volumes/.new-*, .removed-*    one that is not there yet, or not any more
    volumes/.lock                 held by who makes or removes one

At its first use a volume gets what the image has at that place, and never again: only an empty one
is filled. The files are copied beside it, and moved in when they are complete, without replacing
anything; so a crash leaves it empty or full (the next use, or `system check --repair`, goes on),
and of many containers at once one fills it while the others wait.

Invariant: `_data` is never removed while a container's record names the volume, and never written
to by mydocker except by that filling.
"""

from __future__ import annotations

import json
import os

from mydocker.errors import Conflict, Error, KernelError, NotFound
from mydocker.linux import files, syscalls
from mydocker.linux.lock import DirectoryLock, Lock
from mydocker.rootfs.store import now
from mydocker.rootfs.volumes import check_name
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ANONYMOUS = "com.docker.volume.anonymous"
"""The label of a volume that nobody gave a name to."""

_NEW, _REMOVED = ".new-", ".removed-"


class Volume(Struct):
    """One volume: its name, when it was made (RFC 3339, "" if that is lost), its labels."""

    name: str
    created: str = ""
    labels: dict[str, str] = {}

    @property
    def anonymous(self) -> bool:
        """Whether its name was invented."""
        return ANONYMOUS in self.labels


class VolumeStore:
    """The volumes of one state root."""

    def __init__(self, root: str) -> None:
        self.directory = f"{root}/volumes"

    def path(self, name: str) -> str:
        """Where the volume's files are."""
        return f"{self.directory}/{name}/_data"

    def names(self) -> list[str]:
        """The names of all volumes, sorted."""
        return [name for name in _listing(self.directory) if not name.startswith(".")]

    def find(self, name: str) -> Volume:
        """The volume of that name; NotFound if there is none."""
        if "/" in name or name.startswith(".") or not os.path.isdir(self.path(name)):
            raise NotFound("volume", name, "no such volume", hint="mydocker volume ls lists them")
        try:
            data = json.loads(files.read(f"{self.directory}/{name}/volume.json"))
            return Volume(name=name, created=str(data["created"]), labels=dict(data["labels"]))
        except (KernelError, ValueError, KeyError, TypeError):
            return Volume(name=name)  # its data is what counts

    def all(self) -> list[Volume]:
        """All volumes, by name."""
        found = []
        for name in self.names():
            try:
                found.append(self.find(name))
            except NotFound:  # removed meanwhile
                continue
        return found

    # Coming and going

    def create(self, name: str = "", labels: dict[str, str] | None = None) -> Volume:
        """Make the volume if it is not there; without a name one is invented."""
        labels = dict(labels or {})
        if not name:
            name = os.urandom(32).hex()
            labels[ANONYMOUS] = ""
        check_name(name, name)
        with self._change():
            if os.path.isdir(self.path(name)):
                return self.find(name)
            new = f"{self.directory}/{_NEW}{os.urandom(8).hex()}"
            try:
                files.mkdir(new)
                files.mkdir(f"{new}/_data", 0o755)
                record = {"created": now(), "labels": labels}
                text = json.dumps(record, indent=2) + "\n"
                files.write_whole(f"{new}/volume.json", text, durable=False)
                files.rename(new, f"{self.directory}/{name}")
            except Error:
                files.remove_tree(new)
                raise
        return self.find(name)

    def remove(self, name: str, users: Callable[[str], list[str]]) -> None:
        """Remove a volume and all that is in it; Conflict if `users(name)` names containers.

        A container's record is written before its volumes are looked for, so whoever is about to
        use it is seen here, or finds that the volume has to be made.
        """
        aside = f"{self.directory}/{_REMOVED}{os.urandom(8).hex()}"
        with self._change():
            self.find(name)
            if found := users(name):
                why = f"is used by the container{'s' * (len(found) > 1)} {', '.join(found)}"
                raise Conflict("remove volume", name, why, hint=f"mydocker rm {' '.join(found)}")
            files.refuse_mounts(f"{self.directory}/{name}")
            files.rename(f"{self.directory}/{name}", aside)
            held = DirectoryLock(aside)
            held.__enter__()
        try:
            files.remove_tree(aside)
        finally:
            held.__exit__()

    def _change(self) -> Lock:
        return _Change(self)

    def unfinished(self) -> list[str]:
        """The directories of volumes half-made or half-removed by who is gone; under the lock."""
        found = []
        for name in _listing(self.directory):
            path = f"{self.directory}/{name}"
            if name.startswith((_NEW, _REMOVED)) and _free(path):
                found.append(path)
        return found

    def half_filled(self) -> list[str]:
        """The names of volumes whose filling was broken off."""
        found = []
        for name in self.names():
            path = f"{self.directory}/{name}"
            if (os.path.isdir(f"{path}/fill.new") or os.path.isdir(f"{path}/fill")) and _free(path):
                found.append(name)
        return found

    def check(self) -> list[str]:
        """What a crash left of volumes, a line each."""
        if not os.path.isdir(self.directory):
            return []
        with Lock(f"{self.directory}/.lock"):
            found = [f"half a volume: {path}" for path in self.unfinished()]
        return found + [f"half-filled: {name}" for name in self.half_filled()]

    def repair(self) -> None:
        """Remove what is half there, and finish what is half-filled."""
        with self._change():
            pass
        for name in self.half_filled():
            with DirectoryLock(f"{self.directory}/{name}"):
                self._finish(name)

    # The first use

    def fill(self, name: str, copy: Callable[[int], bool]) -> None:
        """Give an empty volume what the image has.

        `copy(fd)` makes `fill.new` in the directory `fd`; False: there is nothing to copy.
        """
        directory = f"{self.directory}/{name}"
        with DirectoryLock(directory):
            self._finish(name)
            if os.listdir(f"{directory}/_data"):
                return
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if copy(fd):
                    syscalls.syncfs(fd, directory)
                    files.rename(f"{directory}/fill.new", f"{directory}/fill")
            except BaseException:
                files.remove_tree(f"{directory}/fill.new")
                raise
            finally:
                os.close(fd)
            self._finish(name)

    def _finish(self, name: str) -> None:
        """Move in what was copied; what was not copied whole is removed. Under its lock."""
        directory = f"{self.directory}/{name}"
        files.remove_tree(f"{directory}/fill.new")
        full, data = f"{directory}/fill", f"{directory}/_data"
        if not os.path.isdir(full):
            return
        found = os.stat(full)  # before its time changes
        for entry in _listing(full):
            try:
                syscalls.renameat2(f"{full}/{entry}", f"{data}/{entry}", syscalls.RENAME_NOREPLACE)
            except KernelError as error:
                if error.errno != 17:  # EEXIST: a container was faster, and its file stays
                    raise
        files.chown(data, found.st_uid, found.st_gid)
        os.chmod(data, found.st_mode & 0o7777)
        os.utime(data, ns=(found.st_atime_ns, found.st_mtime_ns))
        files.remove_tree(full)


class _Change(Lock):
    """The lock of all volumes; what a crash left is cleared away first."""

    def __init__(self, store: VolumeStore) -> None:
        super().__init__(f"{store.directory}/.lock")
        self.store = store

    def __enter__(self) -> _Change:
        super().__enter__()
        try:
            for path in self.store.unfinished():
                files.remove_tree(path)
        except BaseException:
            self.__exit__()
            raise
        return self


def _free(path: str) -> bool:
    """Whether nobody is at work in the directory."""
    try:
        with DirectoryLock(path, wait=False):
            return True
    except KernelError:
        return False


def _listing(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []

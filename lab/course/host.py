"""What a checkpoint works with: a host of its own, a mydocker on it, and the kernel's word.

`Host` is a mount and uts (and, where asked, network) namespace that mydocker is started in. The
checkpoint itself stays outside and looks in through /proc, so code that switches the root of the
wrong namespace cannot pull the floor from under the one who judges it.

A check says `raise Wrong(diagnosis, expected=…, got=…, see=…)`; the sentence that belongs to the
diagnosis is in the chapter's manifest, in both languages.
"""

from __future__ import annotations

import os
import re
import secrets
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mydocker.cgroups import hierarchies, tree
from mydocker.linux import link, mountinfo, syscalls

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

KINDS = ("mnt", "uts", "ipc", "net", "pid", "cgroup")
PATIENCE = 5.0 * float(os.environ.get("LAB_PATIENCE", "1"))
"""Seconds for one command; what takes longer hangs. LAB_PATIENCE: how much slower it is here."""

BIRD = "$(mydocker inspect -f {{.State.Pid}} bird)"
"""In what a student may type: the pid of the container `bird`."""


class Wrong(Exception):
    """What a step's check found: which mistake, and what shows it."""

    def __init__(
        self, diagnosis: str, *, expected: str = "", got: str = "", see: str = "", **facts: object
    ) -> None:
        super().__init__(diagnosis)
        self.diagnosis = diagnosis
        self.expected = expected
        self.got = got
        self.see = see
        self.facts = {name: str(value) for name, value in facts.items()}


@dataclass
class Done:
    """A command that has ended."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def see(self) -> str:
        """The command as it can be typed."""
        return command(*self.words)

    def refuse_as(self, diagnosis: str, expected: str = "exit 0", **facts: str) -> NoReturn:
        """Say that this should not have failed, and by which mistake it did."""
        line = self.err.splitlines()[0] if self.err else ""
        got = f"exit {self.code}: {line}"
        raise Wrong(diagnosis, expected=expected, got=got, see=self.see, **facts)

    def refuse(self, diagnosis: str = "refused", expected: str = "") -> NoReturn:
        """Say that this should not have failed: what mydocker said, and whose fault it is."""
        line = next(
            (text for text in self.err.splitlines() if "mydocker: " in text), self.err[:300]
        )
        facts: dict[str, str] = {}
        if found := re.search(r"this is a bug, in (\S+)", self.err):
            place = re.sub(r"^.*/(work|mydocker)/", r"\1/", found[1])
            late = "ModuleNotFoundError" in line
            facts = {"place": place, "error": line.partition("mydocker: ")[2]}
            diagnosis = "late-import" if late else "crash"
        elif "is not written yet" in self.err:
            diagnosis, facts = "unwritten", {"what": line, "module": ""}
        raise Wrong(
            diagnosis,
            expected=expected or "exit 0",
            got=f"exit {self.code}: {line}",
            see=self.see,
            **facts,
        )


def blame(host: Host, expect: str | Callable[[Host], str], usual: str) -> str:
    """A diagnosis, or what finds one by looking at the host."""
    if callable(expect):
        return expect(host)
    return expect or usual


def command(*words: str) -> str:
    """`mydocker words…`, quoted for a shell."""
    return shlex.join(["mydocker", *words])


class Host:
    """A host for one check. `directory` is its own; `env` what mydocker is started with."""

    def __init__(
        self,
        launcher: str,
        directory: Path,
        stock: Path,
        env: dict[str, str],
        network: bool = False,
        groups: str = "/mydocker-lab-",
    ) -> None:
        self.launcher = launcher
        self.directory = directory
        self.root = directory / "state"
        self.cgroup_parent = f"{groups}{secrets.token_hex(4)}"
        directory.mkdir()
        subprocess.run(["cp", "-al", str(stock), str(self.root)], check=True)
        own = {"MYDOCKER_ROOT": str(self.root), "MYDOCKER_CGROUP_PARENT": self.cgroup_parent}
        own["MYDOCKER_RUN_ROOT"] = str(directory / "run")
        path = os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        self.env = {"PATH": path, "LANG": "C.UTF-8", **own, **env}
        self.holder = self._hold(network)
        names = ["mnt", "uts", *(["net"] if network else [])]
        self._doors = [
            (os.open(f"/proc/{self.holder}/ns/{name}", os.O_RDONLY), name) for name in names
        ]
        self.namespaces = {kind: self.namespace(kind) for kind in KINDS}
        self.before = self.mounts()
        self.hostname = os.uname().nodename
        self.cwd = "/"
        self.procs: list[subprocess.Popen[bytes]] = []

    def _hold(self, network: bool) -> int:
        """A process that keeps the host's namespaces, its mounts shared as systemd has them."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS
                syscalls.unshare(flags | (syscalls.CLONE_NEWNET if network else 0))
                syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_SHARED)
                if network:
                    link.set_up("lo")
                os.close(reading)
                os.write(writing, b"x")
                while True:
                    signal.pause()
            finally:
                os._exit(1)
        os.close(writing)
        os.read(reading, 1)
        os.close(reading)
        return pid

    def enter(self) -> None:
        """Join the host's namespaces (in a child, before it executes)."""
        os.setsid()
        for fd, _ in self._doors:
            syscalls.setns(fd, 0)
        os.chdir(self.cwd)

    # Commands

    def popen(
        self,
        *words: str,
        stdin: int = subprocess.DEVNULL,
        env: dict[str, str] | None = None,
        umask: int = 0o022,
        pass_fds: tuple[int, ...] = (),
    ) -> subprocess.Popen[bytes]:
        """Start `mydocker words…` on this host, with pipes."""
        process = subprocess.Popen(
            [self.launcher, *words],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.env | (env or {}),
            preexec_fn=self.enter,
            umask=umask,
            pass_fds=pass_fds,
        )
        self.procs.append(process)
        return process

    def run(
        self,
        *words: str,
        input: str | None = None,
        seconds: float = PATIENCE,
        env: dict[str, str] | None = None,
        umask: int = 0o022,
    ) -> Done:
        """Run `mydocker words…` to its end; Wrong("hangs") if it does not come to one."""
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        process = self.popen(*words, stdin=stdin, env=env, umask=umask)
        try:
            out, err = process.communicate(
                None if input is None else input.encode(), timeout=seconds
            )
        except subprocess.TimeoutExpired:
            self.hangs(command(*words), seconds)
        return Done(
            words, process.returncode, out.decode(errors="replace"), err.decode(errors="replace")
        )

    def ok(
        self,
        *words: str,
        diagnosis: str = "refused",
        input: str | None = None,
        env: dict[str, str] | None = None,
        umask: int = 0o022,
    ) -> str:
        """Run `mydocker words…`, which must succeed; its stdout."""
        done = self.run(*words, input=input, env=env, umask=umask)
        if done.code:
            done.refuse(diagnosis)
        return done.out

    def terminal(self, *words: str, seconds: float = PATIENCE) -> tuple[int, str]:
        """Run `mydocker words…` at a terminal; its exit code, and what the terminal showed."""
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            [self.launcher, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=self.env | {"TERM": "xterm"},
            preexec_fn=self.enter,
        )
        os.close(theirs)
        self.procs.append(process)
        out, deadline = b"", time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    out += os.read(ours, 1 << 16)
                    continue
                except OSError:  # EIO: nobody holds the other side any more
                    break
            if process.poll() is not None:
                break
        try:
            code = process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.hangs(command(*words), seconds)
        finally:
            os.close(ours)
        return code, out.decode(errors="replace")

    def raw(self, *words: str) -> bytes:
        """Run `mydocker words…`, which must succeed; the very bytes that it writes to stdout."""
        process = self.popen(*words)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.hangs(command(*words), PATIENCE)
        if process.returncode:
            Done(words, process.returncode, "", err.decode(errors="replace")).refuse()
        return out

    def told(self, words: tuple[str, ...], process: subprocess.Popen[bytes]) -> Done:
        """A process that has ended, with what it said."""
        out, err = process.communicate(timeout=PATIENCE)
        text = (out.decode(errors="replace"), err.decode(errors="replace"))
        return Done(words, process.returncode, *text)

    def shell(self, script: str) -> str:
        """What a shell on this host prints: for tools such as ip and iptables-save."""
        done = subprocess.run(
            ["/bin/sh", "-c", script],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=20,
            preexec_fn=self.enter,
            check=False,
        )
        return done.stdout + done.stderr

    def within(self, work: Callable[[], bytes]) -> bytes:
        """What `work()` gives in a process on this host."""
        return forked(work, self.enter)

    def mount_tmpfs(self, path: Path) -> None:
        """Mount a filesystem of its own on this host; the checker sees it by `seen`."""
        path = Path(path)

        def work() -> bytes:
            path.mkdir(parents=True, exist_ok=True)
            syscalls.mount("tmpfs", str(path), "tmpfs", 0, "mode=755")
            return b""

        self.within(work)
        self.before = self.mounts()

    def seen(self, path: Path) -> Path:
        """A path of this host's, as the checker can open it."""
        return Path(f"/proc/{self.holder}/root{path}")

    def import_layer(self, base: str, tar: Path, name: str) -> None:
        """An image: `base` with the tar as its top layer, unpacked by the code under test."""
        home = Path(__file__).resolve().parents[2]
        script = f"""if True:
            import os, sys
            sys.path[:0] = [{str(home)!r}]
            if os.path.isdir(os.environ.get("MYDOCKER_WORK", "")):
                from mydocker import upper
                upper.install({str(home)!r}, os.environ["MYDOCKER_WORK"], [])
            from mydocker.errors import as_error
            from mydocker.rootfs.store import Store
            store, file = Store({str(self.root)!r}), open({str(tar)!r}, "rb")
            try:
                store.add(store.find({base!r}), lambda: file.read(1 << 16), {name!r})
            except Exception as error:
                told = as_error(error, "unpack")
                sys.exit("mydocker: " + str(told) + chr(10) + "hint: " + told.hint)
        """
        command = [sys.executable, "-I", "-S", "-c", script]
        done = subprocess.run(
            command,
            env=self.env,
            capture_output=True,
            text=True,
            preexec_fn=self.enter,
            check=False,
        )
        if done.returncode:
            Done(("import", tar.name, name), done.returncode, done.stdout, done.stderr).refuse()

    def hangs(self, see: str, seconds: float = PATIENCE, diagnosis: str = "hangs") -> NoReturn:
        """Say that something does not end, and what each of its processes waits for."""
        waits = "; ".join(waiting(pid) for pid in self.processes())
        raise Wrong(
            diagnosis,
            expected="an end",
            got=waits or "no process is left",
            see=see,
            waits=waits,
            seconds=f"{seconds:g}",
        )

    def start(
        self,
        *flags: str,
        script: str = "",
        then: str = "sleep 1000; :",
        expect: str | Callable[[Host], str] = "",
        pass_fds: tuple[int, ...] = (),
    ) -> Container:
        """Run `sh -c SCRIPT` in a new container in the foreground, and find its first process.

        The container stays after the script. expect: the diagnosis for when it does not come up,
        or what finds it while the failed processes, if any, are still there.
        """
        token = secrets.token_hex(6)
        name = f"lab-{token}"
        shown = ("run", *flags, "sh", "-c", script or "sleep 1000")
        words = (
            "run",
            *flags,
            "--name",
            name,
            "sh",
            "-c",
            f": {token}; {script or ':'}; echo up-{token}; {then}",
        )
        process = self.popen(*words, pass_fds=pass_fds)
        out = read_until(process, f"up-{token}".encode())
        found = [pid for pid in self.processes() if token in cmdline(pid) and is_shell(pid)]
        if f"up-{token}".encode() not in out or not found:
            if process.poll() is None:
                self.hangs(command(*shown), PATIENCE, blame(self, expect, "hangs"))
            err = process.stderr.read().decode(errors="replace") if process.stderr else ""
            done = Done(shown, process.returncode, out.decode(errors="replace"), err)
            if not err:
                raise Wrong(
                    blame(self, expect, "silent"),
                    expected="a running container",
                    got=f"exit {done.code} without a word",
                    see=done.see,
                )
            done.refuse(blame(self, expect, "refused"), "a running container")
        text = out.decode(errors="replace").partition(f"up-{token}")[0]
        return Container(self, process, found[0], name, text, command(*shown))

    # The kernel's word

    def namespace(self, kind: str) -> str:
        """The host's namespace of this kind, as /proc/PID/ns shows it."""
        return os.readlink(f"/proc/{self.holder}/ns/{kind}")

    def mounts(self) -> list[str]:
        """The host's mounts: where, type."""
        return [f"{m.mountpoint} ({m.fstype})" for m in mountinfo.mounts(self.holder)]

    def new_mounts(self) -> list[str]:
        """Mounts that the host did not have when it began, and that it lost."""
        now = self.mounts()
        more = [f"+ {m}" for m in now if now.count(m) > self.before.count(m)]
        return more + [f"- {m}" for m in self.before if now.count(m) < self.before.count(m)]

    def groups(self) -> list[str]:
        """The control groups of this host's mydocker, the parent among them."""
        found = []
        for hierarchy in hierarchies.mounted():
            top = hierarchy.top + self.cgroup_parent
            if os.path.isdir(top):
                found += [*tree.below(top), top]
        return found

    def processes(self) -> list[int]:
        """All living processes in the box that are not the checker's own."""
        ours = {1, os.getpid(), self.holder}
        found = []
        for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
            if pid not in ours and state(pid) not in ("", "Z", "X"):
                found.append(pid)
        return sorted(found)

    def leftovers(self, see: str, *, groups: bool = True, seconds: float = 3.0) -> None:
        """Wrong("leftover") unless mounts, groups and processes are as before."""
        deadline = time.monotonic() + seconds
        while True:
            left = self.new_mounts() + [f"process {waiting(pid)}" for pid in self.processes()]
            left += self.groups() if groups else []
            if not left:
                return
            if time.monotonic() > deadline:
                raise Wrong(
                    "leftover", expected="nothing new on the host", got=", ".join(left[:4]), see=see
                )
            time.sleep(0.05)

    def close(self) -> None:
        """End everything, and take away what is left in the host's control groups."""
        for _ in range(50):
            pids = self.processes()
            for pid in [*pids, self.holder]:
                try:
                    os.kill(pid, signal.SIGCONT)
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if not pids:
                break
            thaw(self.groups())
            time.sleep(0.02)
        for process in self.procs:
            for stream in (process.stdout, process.stderr, process.stdin):
                if stream:
                    stream.close()
            process.wait()
        os.waitpid(self.holder, 0)
        for fd, _ in self._doors:
            os.close(fd)
        for group in self.groups():
            tree.wait_until(lambda directory=group: removed(directory), 1.0)  # type: ignore[misc]
        shutil.rmtree(self.directory, ignore_errors=True)


class Container:
    """A container that runs in the foreground; its first process is looked at from outside."""

    def __init__(
        self, host: Host, process: subprocess.Popen[bytes], pid: int, name: str, out: str, see: str
    ) -> None:
        self.host = host
        self.process = process
        self.pid = pid
        self.name = name
        self.out = out
        self.see = see

    def namespace(self, kind: str) -> str:
        """The namespace of this kind that it is in."""
        return os.readlink(f"/proc/{self.pid}/ns/{kind}")

    def read(self, name: str) -> str:
        """A file of /proc/PID."""
        return Path(f"/proc/{self.pid}/{name}").read_bytes().decode(errors="replace")

    def status(self, field: str) -> str:
        """A field of /proc/PID/status."""
        found = re.search(rf"^{field}:\s*(.*)$", self.read("status"), re.M)
        return found[1] if found else ""

    @property
    def inner_pid(self) -> int:
        """Its pid in its own pid namespace."""
        return int(self.status("NSpid").split()[-1])

    def mounts(self) -> list[mountinfo.MountEntry]:
        """What is mounted in there."""
        return mountinfo.mounts(self.pid)

    def group(self, controller: str) -> str:
        """The directory of the group that it is in, in the hierarchy of this controller."""
        lines = [line.split(":", 2) for line in self.read("cgroup").splitlines()]
        for hierarchy in hierarchies.in_use():
            if controller not in hierarchy.controllers:
                continue
            for number, names, path in lines:
                if controller in names.split(",") or (hierarchy.version == 2 and number == "0"):
                    return hierarchy.top + path
        return ""

    def limit(self, controller: str, name: str) -> str:
        """The content of a file of its group; empty if there is none."""
        try:
            return Path(f"{self.group(controller)}/{name}").read_text().strip()
        except OSError:
            return ""

    def inside(self, path: str) -> Path:
        """A path in its root, as it can be opened from outside."""
        return Path(f"/proc/{self.pid}/root{path}")

    def signal(self, number: int) -> None:
        """Signal its first process."""
        os.kill(self.pid, number)

    def stop(self) -> int:
        """Kill it, and wait until mydocker has put everything away; mydocker's exit code."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return self.wait()

    def wait(self, seconds: float = PATIENCE) -> int:
        """mydocker's exit code."""
        try:
            out, _ = self.process.communicate(timeout=seconds)
            self.out += out.decode(errors="replace")
        except subprocess.TimeoutExpired:
            self.host.hangs(self.see, seconds)
        return self.process.returncode


def forked(work: Callable[[], bytes], first: Callable[[], None]) -> bytes:
    """What `work()` gives in a child that has done `first()`; an error of its is raised here."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            first()
            os.write(writing, work())
            code = 0
        except BaseException as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    if os.waitpid(pid, 0)[1]:
        raise OSError(data.decode(errors="replace"))
    return data


def listing_of_namespace(pid: int) -> list[str]:
    """What is in `/` for whoever joins the mount namespace of a process."""
    fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)

    def join() -> None:
        syscalls.setns(fd, syscalls.CLONE_NEWNS)

    try:
        return (
            forked(lambda: "\n".join(sorted(os.listdir("/"))).encode(), join).decode().split("\n")
        )
    finally:
        os.close(fd)


def read_until(process: subprocess.Popen[bytes], mark: bytes, seconds: float = PATIENCE) -> bytes:
    """What the process writes, up to the mark, its end, or the end of patience."""
    assert process.stdout
    out, deadline = b"", time.monotonic() + seconds
    while mark not in out:
        ready, _, _ = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))
        data = os.read(process.stdout.fileno(), 1 << 16) if ready else b""
        if not data:
            break
        out += data
    else:
        return out
    try:
        process.wait(max(0.2, min(2.0, deadline - time.monotonic())))
    except subprocess.TimeoutExpired:
        pass
    return out


def until(done: Callable[[], object], seconds: float = 5.0) -> bool:
    """Poll until it holds; where all is slower (LAB_PATIENCE), for longer."""
    return tree.wait_until(lambda: bool(done()), seconds * PATIENCE / 5.0)


def cmdline(pid: int) -> str:
    """The words of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def is_shell(pid: int) -> bool:
    """Whether the process runs the container's shell, and not mydocker any more."""
    try:
        return "python" not in os.readlink(f"/proc/{pid}/exe") and name_of(pid) in ("sh", "busybox")
    except OSError:
        return False


def name_of(pid: int) -> str:
    """The name that ps shows."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def inner(pid: int) -> int:
    """The pid of a process in its innermost namespace."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return pid
    found = re.search(r"^NSpid:\s*(.*)$", text, re.M)
    return int(found[1].split()[-1]) if found else pid


def state(pid: int) -> str:
    """The letter for its state; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


WAITS = {
    "unix": "a message over a socket that nobody sends",
    "skb": "a message over a socket that nobody sends",
    "pipe": "input from a pipe",
    "do_wait": "the end of a child",
    "futex": "a lock",
    "poll": "something to read",
    "nanosleep": "a time to pass",
}


def waiting(pid: int) -> str:
    """A process in words: its name and what it waits for."""
    try:
        where = Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        where = ""
    what = next((text for key, text in WAITS.items() if key in where), "")
    name = name_of(pid) or "a process"
    name = "mydocker" if name.startswith("python") else name
    return f"{name} ({pid})" + (f" waits for {what}" if what else "")


def removed(directory: str) -> bool:
    """Remove a control group, if that can be done now."""
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def thaw(groups: list[str]) -> None:
    """Let frozen processes go on, or they would not die."""
    for group in groups:
        for name, text in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            try:
                Path(f"{group}/{name}").write_text(text)
            except OSError:
                continue

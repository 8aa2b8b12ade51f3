"""What the tests share: a mydocker of their own, on state that is theirs alone.

Nothing here touches the default state or the launcher on PATH: each test has a state root, a cgroup
parent and names of its own, and when it ends the host must look as it did before.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import hypothesis
import pexpect
import pytest

from bench import host
from mydocker.linux import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# How long an example takes says nothing on a machine that others use too.
hypothesis.settings.register_profile("mydocker", deadline=None)
hypothesis.settings.load_profile("mydocker")

T = TypeVar("T")

CHECKOUT = Path(__file__).resolve().parent.parent
LAUNCHER = CHECKOUT / "build" / "mydocker"
IMAGE = CHECKOUT / "build" / "busybox.tar"


def pytest_sessionstart() -> None:
    """Give the tests mounts of their own, shared as systemd has them.

    What others mount on this machine meanwhile is then not seen here, and a mount that a container
    lets through to its host is: it would propagate to our shared ones.

    Who is told to end (timeout(1), a closed terminal) ends as at a Ctrl-C, by way of every fixture.
    """
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        handler = signal.getsignal(number)
        if handler == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
        elif handler == signal.SIG_IGN:  # nohup(1), or a shell's `&`: for us, not for mydocker
            signal.signal(number, lambda *_: None)
    if os.geteuid() == 0:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_SHARED)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Integration tests need root; say so once for each instead of failing in odd ways."""
    if os.geteuid() == 0:
        return
    for item in items:
        if {"integration", "course"} & set(item.path.parts):
            item.add_marker(pytest.mark.skip(reason="needs root: sudo make test"))


class Mydocker:
    """The checkout's own launcher, on a state root and a cgroup parent of its own."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "state"
        self.started: list[subprocess.Popen[str]] = []
        self.cgroup_parent = f"/mydocker-test-{secrets.token_hex(4)}"
        self.environment = {
            **os.environ,
            "MYDOCKER_REFERENCE": "1",
            "MYDOCKER_ROOT": str(self.root),
            "MYDOCKER_CGROUP_PARENT": self.cgroup_parent,
        }

    def start(self, *words: str, **options: object) -> subprocess.Popen[str]:
        """Start `mydocker words…`, its output in pipes."""
        defaults: dict[str, object] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "errors": "surrogateescape",
            "env": self.environment,
        }
        command = [str(LAUNCHER), *words]
        process = subprocess.Popen(command, **(defaults | options))  # type: ignore[call-overload]  # options vary
        self.started.append(process)
        return process  # type: ignore[no-any-return]

    def run(
        self, *words: str, input: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `mydocker words…` to its end; output and exit code are the caller's to judge."""
        return subprocess.run(
            [str(LAUNCHER), *words],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            env=self.environment | environment,
            timeout=100,
            check=False,
        )

    def ok(self, *words: str, input: str | None = None, **environment: str) -> str:
        """Run `mydocker words…`, which must succeed without a word on stderr; its stdout."""
        done = self.run(*words, input=input, **environment)
        assert done.returncode == 0, f"{words}: exit {done.returncode}: {done.stderr}"
        assert not done.stderr, done.stderr
        return done.stdout

    def fails(self, code: int, *words: str, input: str | None = None, **environment: str) -> str:
        """Run `mydocker words…`, which must fail with that code and one line; that line."""
        done = self.run(*words, input=input, **environment)
        assert done.returncode == code, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
        lines = done.stderr.splitlines()
        assert lines, f"{words}: exit {code}, but not a word on stderr"
        assert lines[0].startswith("mydocker: "), done.stderr
        assert all(line.startswith("hint: ") for line in lines[1:]), done.stderr
        return lines[0]

    def terminal(self, *words: str, timeout: float = 20) -> pexpect.spawn[str]:
        """Run `mydocker words…` at a terminal."""
        return at_terminal([str(LAUNCHER), *words], self.environment, timeout)

    def inspect(self, name: str) -> dict[str, Any]:
        """What `inspect` shows of one container or image."""
        (found,) = json.loads(self.ok("inspect", name))
        return dict(found)

    def clean_up(self) -> None:
        """Kill what a failed test has left running, and remove every container."""
        for process in self.started:
            process.kill()
            with contextlib.suppress(BrokenPipeError), process:  # closes its pipes, and waits
                pass
        if identities := [path.name for path in (self.root / "containers").glob("*")]:
            self.run("rm", "-f", *identities)


def at_terminal(
    command: list[str], environment: dict[str, str], timeout: float = 20
) -> pexpect.spawn[str]:
    """Run a command in the checkout, at a terminal of 24 lines by 80 columns."""
    return pexpect.spawn(
        command[0],
        command[1:],
        cwd=str(CHECKOUT),
        env=environment,
        encoding="utf-8",
        timeout=timeout,
        dimensions=(24, 80),
    )


@pytest.fixture(scope="session")
def stocked_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state root that holds the default image; tests get copies of it, never itself."""
    if not IMAGE.exists() or not LAUNCHER.exists():
        pytest.fail("build/ is not set up: run `make setup`")
    directory = tmp_path_factory.mktemp("stock")
    stock = Mydocker(directory)
    stock.ok("import", "-c", 'CMD ["sh"]', str(IMAGE), "busybox:latest")
    return stock.root


@pytest.fixture
def host_unchanged() -> Iterator[None]:
    """After the test the host's mounts are those from before."""
    before = Path("/proc/self/mountinfo").read_text()
    yield
    assert Path("/proc/self/mountinfo").read_text() == before


@pytest.fixture
def mydocker(tmp_path: Path, stocked_root: Path, host_unchanged: None) -> Iterator[Mydocker]:
    """A mydocker with the default image; afterwards nothing of it may be left on the host."""
    instance = Mydocker(tmp_path)
    stock(instance, stocked_root)
    yield instance
    settle(instance)
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, stocked_root: Path) -> Iterator[Mydocker]:
    """One mydocker for the many short runs of a file, all `--rm`; nothing is left in the end."""
    before = Path("/proc/self/mountinfo").read_text()
    instance = Mydocker(tmp_path_factory.mktemp("shared"))
    stock(instance, stocked_root)
    yield instance
    try:
        assert instance.ok("ps", "-aq") == ""
    finally:
        settle(instance)
    assert Path("/proc/self/mountinfo").read_text() == before


def stock(instance: Mydocker, stocked_root: Path) -> None:
    """Give it the default image: as hard links, since the layers are never written to."""
    subprocess.run(["cp", "-al", str(stocked_root), str(instance.root)], check=True)


def settle(instance: Mydocker) -> None:
    """Remove its containers; nothing else of it may be on the host.

    What mydocker itself does not remove fails the test, and is removed all the same. A monitor ends
    with its container.
    """
    try:
        instance.clean_up()
        checked = instance.run("system", "check")
    finally:
        name = instance.cgroup_parent.strip("/")
        left = [*host.CGROUPS.glob(name), *host.CGROUPS.glob(f"*/{name}")]
        if left:
            host.remove_cgroups(name)
    assert checked.returncode == 0, f"left on the host:\n{checked.stdout}{checked.stderr}"
    assert not left, f"left on the host: {left}"


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Poll until the condition holds; fail with its name after the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "still not so after the time given"
        time.sleep(0.02)


def has_open(pid: int, name: str) -> bool:
    """Whether a descriptor of the process leads to what is called so: log.json, or [pidfd]."""
    try:
        names = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:  # one was closed meanwhile, or the process is gone
        return False
    return any(each.endswith(name) for each in names)


def settled(read: Callable[[], T]) -> T:
    """What `read()` gives as soon as it gives the same after 0.2 seconds."""
    found = [read()]

    def same() -> bool:
        time.sleep(0.2)
        found.append(read())
        return found[-1] == found[-2]

    wait_until(same)
    return found[-1]


@pytest.fixture
def eventually() -> Callable[..., None]:
    """`eventually(condition)`: wait for something that another process does."""
    return wait_until


@pytest.fixture
def forked() -> Iterator[Callable[[Callable[[], None]], int]]:
    """`forked(work)`: run `work()` in a child process; it is killed after the test."""
    children: list[int] = []

    def fork(work: Callable[[], None]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                work()
            finally:
                os._exit(0)
        children.append(pid)
        return pid

    yield fork
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue

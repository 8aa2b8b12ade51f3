"""The engines that are compared, each with all that it needs in a directory of its own.

An engine is a context manager: entered, it is ready to run containers of the root filesystem in
build/busybox.tar; left, nothing of it is on the host. Invariant: what the user has of that engine
(its state, configuration, daemon, network rules) is neither read nor changed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from bench import host


class Engine:
    """One engine: how it is set up, told to run a command, and taken away."""

    name: str
    programs: tuple[str, ...] = ()
    package = ""
    command: list[str]
    options: list[str] = []
    """What a `run` needs on top, to stay within this benchmark."""
    keeper: str
    """How the process is called that stays with a container in the background (proc(5), comm)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / self.name
        self.cgroup = f"{directory.name}-{self.name}"
        self.command = [self.name]
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
        self.environment = {"PATH": path, "HOME": str(self.directory)}

    def missing(self) -> str:
        """Why this engine cannot be measured here, and what helps; empty if it can."""
        path = self.environment["PATH"]
        absent = [program for program in self.programs if not shutil.which(program, path=path)]
        return f"no {absent[0]} here: apt-get install {self.package}" if absent else ""

    def __enter__(self) -> Self:
        try:
            self.directory.mkdir()
            self.set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.tear_down()
        finally:
            host.remove_cgroups(self.cgroup)
            host.unmount_below(self.directory)
            shutil.rmtree(self.directory)

    def set_up(self) -> None:
        """Make it ready to run; what it makes is in its directory and its cgroup."""

    def tear_down(self) -> None:
        """End what `set_up` started; called also when that failed half-way."""

    def call(self, *words: str) -> str:
        """Let the engine do something that is not measured; its output."""
        return host.call([*self.command, *words], self.environment)

    def version(self) -> str:
        """The version, as the engine tells it."""
        return self.call("--version").splitlines()[0].split()[2].rstrip(",")

    def run(self, *options: str) -> list[str]:
        """The command line that runs `true` in a new container, and removes that."""
        return [*self.command, "run", "--rm", *self.options, *options, "busybox", "true"]

    def detached(self, name: str) -> list[str]:
        """The command line that starts a container which does nothing, in the background."""
        words = ["run", "-d", *self.options, "--network", "none", "--name", name]
        return [*self.command, *words, "busybox", "sleep", "100000"]

    def exec(self, name: str) -> list[str]:
        """The command line that runs `true` in a container that is there."""
        return [*self.command, "exec", name, "true"]

    def on_host(self) -> list[str]:
        """What stands before a command that is to run in the network of this engine's host."""
        return []

    def remove(self, names: list[str]) -> None:
        """Remove containers, also such as run."""
        self.call("rm", "-f", *names)

    def created(self, count: int) -> None:
        """Leave so many containers behind that do not run."""
        words = [*self.command, "create", *self.options, "--network", "none", "busybox", "true"]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda _: host.call(words, self.environment), range(count)))

    def keepers(self) -> list[int]:
        """The processes that stay with this engine's containers; what they are told names us."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
                ours = str(self.directory).encode() in told
                if ours and (process / "comm").read_text().startswith(self.keeper):
                    found.append(int(process.name))
            except OSError:  # it has ended
                continue
        return found


class Mydocker(Engine):
    """This checkout's own launcher, with a state root of its own."""

    name = "mydocker"
    keeper = "mydocker-mon"

    def set_up(self) -> None:
        self.command = [str(host.LAUNCHER)]
        self.environment |= {
            "MYDOCKER_ROOT": f"{self.directory}/state",
            "MYDOCKER_CGROUP_PARENT": f"/{self.cgroup}",
        }
        self.call("import", "-c", 'CMD ["sh"]', str(host.ROOTFS_TAR), "busybox")

    def tear_down(self) -> None:
        if left := self.call("ps", "-aq").split():
            self.call("rm", "-f", *left)

    def version(self) -> str:
        return self.call("version").split()[1]


class Runc(Engine):
    """runc alone: a bundle on disk, no image, no layers, no record of what has run."""

    name = "runc"
    keeper = ""
    programs = ("runc",)
    package = "runc"

    def set_up(self) -> None:
        rootfs = self.directory / "rootfs"
        rootfs.mkdir()
        host.call(["tar", "-C", str(rootfs), "-xf", str(host.ROOTFS_TAR)])
        self.call("spec", "--bundle", str(self.directory))
        self.spec = json.loads((self.directory / "config.json").read_text())
        self.spec["root"]["path"] = str(rootfs)
        self.bundle("busybox", "true")
        self.state = ["runc", "--root", f"{self.directory}/state"]

    def bundle(self, name: str, *args: str) -> str:
        """The directory of a bundle that runs `args`, made where it is missing."""
        directory = self.directory / f"bundle-{name}"
        directory.mkdir(exist_ok=True)
        spec = dict(self.spec)
        spec["process"] |= {"terminal": False, "args": args, "rlimits": []}
        spec["linux"]["cgroupsPath"] = f"/{self.cgroup}/{name}"
        (directory / "config.json").write_text(json.dumps(spec))
        return str(directory)

    def run(self, *options: str) -> list[str]:
        """The same with runc; a bundle has a network namespace without a network, as `none` is."""
        bundle = f"{self.directory}/bundle-busybox"
        return [*self.state, "run", "--bundle", bundle, "busybox"]

    def detached(self, name: str) -> list[str]:
        bundle = self.bundle(name, "sleep", "100000")
        return [*self.state, "run", "--detach", "--bundle", bundle, name]

    def exec(self, name: str) -> list[str]:
        return [*self.state, "exec", name, "true"]

    def remove(self, names: list[str]) -> None:
        for name in names:
            host.call([*self.state, "delete", "--force", name], self.environment)


class Podman(Engine):
    """podman, told by flags and a file of ours where everything is."""

    name = "podman"
    keeper = "conmon"
    programs = ("podman",)
    package = "podman"

    def set_up(self) -> None:
        config = self.directory / "containers.conf"
        # The default ulimits ask for more than a machine without CAP_SYS_RESOURCE may give; locks
        # are by default in one segment of shared memory that all of a user's podmans use.
        config.write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
            '[engine]\nlock_type = "file"\n'
        )
        self.environment["CONTAINERS_CONF"] = str(config)
        places = {"root": "root", "runroot": "runroot", "tmpdir": "tmp"}
        for flag, place in places.items():
            self.command += [f"--{flag}", f"{self.directory}/{place}"]
        self.command += ["--runtime-flag", f"root={self.directory}/runtime"]
        self.command += ["--cgroup-manager", "cgroupfs"]
        if not host.UNIFIED:
            self.command += ["--runtime", "runc"]  # crun wants v2, or v1 alone
        self.options = ["--cgroup-parent", f"/{self.cgroup}"]
        self.call("import", str(host.ROOTFS_TAR), "busybox")


class Docker(Engine):
    """docker, with a daemon of our own in namespaces of its own.

    It has its own network namespace, and with it its own bridge and iptables rules. What it writes
    to /run, /etc and /opt (keys, sockets, directories) stays in its mount namespace, and it sees
    no other docker's or containerd's socket there. The kernel ends all its processes with the
    first of its pid namespace, which waits for our end of a pipe to close: so also if we crash.
    """

    name = "docker"
    keeper = "containerd-shim"
    programs = ("dockerd", "docker", "unshare")
    package = "docker.io"

    IN_NAMESPACES = """
        set -e
        mount -t tmpfs run /run
        for name in etc opt; do
            mkdir -p "$0/$name/upper" "$0/$name/work"
            layers="lowerdir=/$name,upperdir=$0/$name/upper,workdir=$0/$name/work"
            mount -t overlay -o "$layers" "$name" "/$name"
        done
        exec 3<&0
        dockerd "$@" &
        (read -r _ <&3 || kill "$!") &
        wait "$!"
    """

    daemon: subprocess.Popen[bytes] | None = None

    def set_up(self) -> None:
        socket = f"unix://{self.directory}/socket"
        self.environment |= {"DOCKER_HOST": socket, "DOCKER_CONFIG": f"{self.directory}/client"}
        dockerd = shutil.which("dockerd", path=self.environment["PATH"]) or "dockerd"
        client = Path(dockerd).parent.with_name("bin") / "docker"  # of the same package
        self.command = [str(client) if client.exists() else "docker"]
        places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        words = [f"--{flag}={self.directory}/{place}" for flag, place in places.items()]
        words += ["--host", socket, "--cgroup-parent", f"/{self.cgroup}"]
        apart = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        log = self.directory / "log"
        with log.open("wb") as output:
            self.daemon = subprocess.Popen(
                [*apart, "sh", "-c", self.IN_NAMESPACES, str(self.directory), *words],
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + 30
        while not self.answers():
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise host.Failed(f"dockerd does not start: {log.read_text()[-300:].strip()}")
            time.sleep(0.1)
        self.call("import", str(host.ROOTFS_TAR), "busybox")

    def answers(self) -> bool:
        """Whether the daemon is up."""
        try:
            return bool(self.call("version"))
        except host.Failed:
            return False

    def on_host(self) -> list[str]:
        assert self.daemon
        return ["nsenter", f"--net=/proc/{self.daemon.pid}/ns/net"]

    def tear_down(self) -> None:
        if self.daemon and self.daemon.stdin:
            self.daemon.stdin.close()
            try:
                self.daemon.wait(20)
            except subprocess.TimeoutExpired:
                self.daemon.kill()  # and --kill-child its child
                self.daemon.wait()


PEERS: tuple[type[Engine], ...] = (Runc, Podman, Docker)

"""What is measured, and what it may cost: a class for each work, with its rows of the budgets.

To add one, write a class with `sample`, and add it to WORKS.
"""

from __future__ import annotations

import json
import shutil
import time
from typing import NamedTuple

from bench import host
from bench.engines import Docker, Engine, Podman, Runc


class Budget(NamedTuple):
    """mydocker's median as a multiple of a peer's, of the slowest if there are several."""

    against: tuple[str, ...]
    most: float
    aim: float


class Work:
    """Something that mydocker and its peers can do."""

    name: str
    title: str
    unit = "ms"
    peers: tuple[type[Engine], ...]
    budgets: tuple[Budget, ...] = ()
    most_rounds = 1000
    """For works that take seconds."""

    def missing(self) -> str:
        """Why this work cannot be done here, and what helps; empty if it can."""
        return ""

    def prepare(self, engine: Engine) -> None:
        """Make what the work needs; not measured."""

    def sample(self, engine: Engine) -> float:
        """Do it once, and return what it cost, in `unit`."""
        raise NotImplementedError

    def clear(self, engine: Engine) -> None:
        """Take away what `prepare` made, before the next work begins."""


class Run(Work):
    """From nothing to a container that has run `true`, and away again."""

    name = "run"
    title = "`run --rm busybox true`, no network"
    peers = (Runc, Podman, Docker)
    budgets = (
        Budget(("runc",), 2.5, 1.0),
        Budget(("podman",), 0.4, 0.15),
        Budget(("docker",), 0.4, 0.15),
    )

    def sample(self, engine: Engine) -> float:
        began, ended = host.timed(engine.run("--network", "none"), engine.environment)
        return (ended - began) / 1e6


class Bridge(Work):
    """The same on a bridge: an address, a pair of interfaces, a look at the rules.

    podman is no peer here: it keeps what it gave out in /var/lib/cni, whatever it is told.
    """

    name = "bridge"
    title = "`run --rm busybox true`, on a bridge"
    peers = (Docker,)
    budgets = (Budget(("docker",), 0.7, 0.3),)

    def sample(self, engine: Engine) -> float:
        began, ended = host.timed(engine.run("--network", "bridge"), engine.environment)
        return (ended - began) / 1e6


class Between(Work):
    """What a byte costs from one container to another on the same bridge, by TCP.

    As time for each GiB, so that less is better as in every other row: 8590 by it is Gbit/s. iperf3
    measures itself, for a second.
    """

    name = "between"
    title = "`iperf3` from container to container on a bridge"
    unit = "ms a GiB"
    peers = (Docker,)
    budgets = (Budget(("docker",), 1.25, 1.0),)
    image = "iperf3:bench"

    def missing(self) -> str:
        return "" if shutil.which("iperf3") else "no iperf3 here: apt-get install iperf3"

    def prepare(self, engine: Engine) -> None:
        engine.call("import", str(host.iperf3_tar()), self.image)
        start = ["run", "-d", *engine.options, "--network", "bridge"]
        engine.call(*start, "--name", "server", self.image, "iperf3", "-s")
        engine.call(*start, "--name", "client", self.image, "sleep", "100000")
        for _ in range(100):
            try:
                self.iperf3(engine, "-n", "1K")
                return
            except host.Failed:  # it does not listen yet
                time.sleep(0.05)

    def iperf3(self, engine: Engine, *words: str) -> float:
        """Let iperf3 send something; the bits for each second that came."""
        asked = ["inspect", "--format", "{{.NetworkSettings.IPAddress}}", "server"]
        words = ("iperf3", "-J", "-c", engine.call(*asked).strip(), *words)
        told = host.call([*self.client(engine), *words], engine.environment)
        return float(json.loads(told)["end"]["sum_received"]["bits_per_second"])

    def client(self, engine: Engine) -> list[str]:
        """What stands before a command that is to run where the sender is."""
        return [*engine.command, "exec", "client"]

    def sample(self, engine: Engine) -> float:
        return 8 * 1024**3 / self.iperf3(engine, "-t", "1") * 1000

    def clear(self, engine: Engine) -> None:
        engine.remove(["server", "client"])
        engine.call("rmi", self.image)


class Into(Between):
    """The same from the host itself."""

    name = "into"
    title = "`iperf3` from the host to a container on a bridge"

    def client(self, engine: Engine) -> list[str]:
        return engine.on_host()


class Exec(Work):
    """A second command, in a container that runs."""

    name = "exec"
    title = "`exec CONTAINER true`"
    peers = (Runc, Podman, Docker)
    budgets = (Budget(("docker",), 1.0, 0.6), Budget(("podman",), 0.4, 0.25))

    def prepare(self, engine: Engine) -> None:
        host.timed(engine.detached("bird"), engine.environment)

    def sample(self, engine: Engine) -> float:
        began, ended = host.timed(engine.exec("bird"), engine.environment)
        return (ended - began) / 1e6

    def clear(self, engine: Engine) -> None:
        engine.remove(["bird"])


class Memory(Work):
    """What stays in memory beside a container in the background: its monitor, shim or conmon.

    The proportional set size: a page that n processes share counts 1/n for each (proc_pid_smaps(5),
    Pss). So there are many of them, as on a machine that is in use.
    """

    COUNT = 50

    name = "memory"
    title = f"left running for each of {COUNT} detached containers"
    unit = "MB"
    peers = (Podman, Docker)
    budgets = (Budget(("docker",), 0.6, 0.08),)

    def names(self) -> list[str]:
        """What the containers are called."""
        return [f"bird{number}" for number in range(self.COUNT)]

    def prepare(self, engine: Engine) -> None:
        for name in self.names():
            host.timed(engine.detached(name), engine.environment)

    def sample(self, engine: Engine) -> float:
        pids = engine.keepers()
        if len(pids) != self.COUNT:
            raise host.Failed(f"{engine.name}: {len(pids)} {engine.keeper}, not {self.COUNT}")
        return sum(map(host.proportional_size, pids)) / self.COUNT / 1e6

    def clear(self, engine: Engine) -> None:
        engine.remove(self.names())


class WithDebian(Work):
    """Something with the image of a whole Debian, a quarter of a gigabyte in ten thousand files."""

    peers = (Podman, Docker)
    most_rounds = 5
    image = "debian:bench"

    def missing(self) -> str:
        """Without the tar it has to be made."""
        return host.missing_debian()

    def put(self, engine: Engine) -> None:
        """Let the engine have the image."""
        engine.call("import", str(host.debian_tar()), self.image)

    def timed(self, engine: Engine, *words: str) -> float:
        """What a command of the engine takes, in ms."""
        began, ended = host.timed([*engine.command, *words], engine.environment)
        return (ended - began) / 1e6


class Import(WithDebian):
    """From a tar to an image."""

    name = "import"
    title = "`import` of a Debian root filesystem, 240 MiB"

    def sample(self, engine: Engine) -> float:
        took = self.timed(engine, "import", str(host.debian_tar()), self.image)
        engine.call("rmi", self.image)
        return took


class Save(WithDebian):
    """From an image to an archive."""

    name = "save"
    title = "`save` of that image"

    def prepare(self, engine: Engine) -> None:
        self.put(engine)

    def sample(self, engine: Engine) -> float:
        path = engine.directory / "saved.tar"
        took = self.timed(engine, "save", "-o", str(path), self.image)
        path.unlink()
        return took

    def clear(self, engine: Engine) -> None:
        engine.call("rmi", self.image)


class Load(WithDebian):
    """From the archive that the engine itself saved to an image."""

    name = "load"
    title = "`load` of that image"

    def prepare(self, engine: Engine) -> None:
        self.put(engine)
        engine.call("save", "-o", f"{engine.directory}/load.tar", self.image)
        engine.call("rmi", self.image)

    def sample(self, engine: Engine) -> float:
        took = self.timed(engine, "load", "-i", f"{engine.directory}/load.tar")
        engine.call("rmi", self.image)
        return took


class FirstRun(WithDebian):
    """The first container of an image that has just come."""

    name = "first-run"
    title = "the first `run --rm debian true` of that image, no network"

    def sample(self, engine: Engine) -> float:
        self.put(engine)
        words = ["run", "--rm", *engine.options, "--network", "none", self.image, "true"]
        took = self.timed(engine, *words)
        engine.call("rmi", self.image)
        return took


class Commit(WithDebian):
    """One small file was made in a container of that image; its change becomes a layer."""

    name = "commit"
    title = "`commit` of one small file in a container of that image"

    def prepare(self, engine: Engine) -> None:
        self.put(engine)
        words = ["run", "--name", "committed", *engine.options, "--network", "none"]
        engine.call(*words, self.image, "sh", "-c", "echo hello > /new")

    def sample(self, engine: Engine) -> float:
        took = self.timed(engine, "commit", "committed", "committed:bench")
        engine.call("rmi", "committed:bench")
        return took

    def clear(self, engine: Engine) -> None:
        engine.call("rm", "committed")
        engine.call("rmi", self.image)


class List(Work):
    """All containers there are. It is the last work, for its many containers stay."""

    COUNT = 500

    name = "ps"
    title = f"`ps -a` with {COUNT} containers"
    peers = (Podman, Docker)
    budgets = (Budget(("docker",), 1.5, 1.0),)

    def prepare(self, engine: Engine) -> None:
        engine.created(self.COUNT)

    def sample(self, engine: Engine) -> float:
        began, ended = host.timed([*engine.command, "ps", "-a"], engine.environment)
        return (ended - began) / 1e6


WORKS: tuple[Work, ...] = (
    Run(),
    Bridge(),
    Between(),
    Into(),
    Exec(),
    Memory(),
    Import(),
    Save(),
    Load(),
    FirstRun(),
    Commit(),
    List(),
)

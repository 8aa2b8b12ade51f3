"""The lab's machine under plain QEMU: boot, save, come back in seconds, all in one directory.

The disk is a thin layer over the box's (copy on write: chapter 4 in another place). A snapshot
holds the memory too, so a machine that was put to sleep is back in the time that it takes to read
it. Hardware virtualization is used where the box's own kernel is seen to run with it; else QEMU
emulates the processor, some twelve times slower.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.vm.reach import CHECKOUT, Reach, write_config
from lab.vm.trouble import Trouble, say

if TYPE_CHECKING:
    from collections.abc import Callable

BOX = CHECKOUT / "build" / "box" / "current" / "disk.qcow2"
ARM = platform.machine() in ("arm64", "aarch64")
QEMU = "qemu-system-aarch64" if ARM else "qemu-system-x86_64"
BOOT_SECONDS = 300
FREE_GB = 3


class Machine:
    """One machine, kept in a directory. Not running, there is only its disk."""

    def __init__(self, directory: Path, box: Path = BOX) -> None:
        self.directory = directory
        self.box = box
        self.disk = directory / "disk.qcow2"
        self.log = directory / "serial.log"
        self.memory = number("LAB_MEMORY", 2048)
        self.cpus = number("LAB_CPUS", 2)
        self.offline = os.environ.get("LAB_OFFLINE", "") not in ("", "0", "no")
        self.reach = Reach(directory / "ssh_config", name="the machine")

    # What is known of it

    @property
    def state(self) -> dict[str, Any]:
        """What was written down: pid, port, accel, box, shape, ready."""
        try:
            return dict(json.loads((self.directory / "state.json").read_text()))
        except (OSError, ValueError):
            return {}

    def note(self, **facts: object) -> None:
        """Write facts down, whole or not at all."""
        new = self.directory / "state.json.new"
        new.write_text(json.dumps({**self.state, **facts}, indent=2) + "\n")
        new.replace(self.directory / "state.json")

    def running(self) -> bool:
        """Whether its QEMU is there."""
        return self.pid() != 0

    def pid(self) -> int:
        """Its QEMU's, 0 if there is none. A number may have gone to another program meanwhile."""
        file = self.directory / "pid"
        try:
            pid = int(file.read_text())
        except (OSError, ValueError):
            return 0
        words = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
        command = subprocess.run(words, capture_output=True, text=True, check=False).stdout
        return pid if f"-pidfile {file}" in command else 0

    @property
    def sockets(self) -> Path:
        """A directory for sockets: their paths may not be longer than 107 bytes."""
        digest = hashlib.sha256(str(self.directory).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"mydocker-vm-{os.getuid()}-{digest}"

    # Start

    def up(self, fresh: bool = False, set_up: Callable[[], int] | None = None) -> None:
        """Start it, or leave it as it runs.

        fresh: as it was right after set-up, whatever has happened to it since.
        set_up: called once, when it has booted for the first time; what it has made is kept.
        """
        if self.running():
            return
        for program, package in ((QEMU, "qemu-system-x86"), ("qemu-img", "qemu-utils")):
            if not shutil.which(program):
                hint = f"apt-get install {package}, or brew install qemu"
                raise Trouble(f"{program} is not installed", hint)
        other = self.state.get("box") != box_digest(self.box)
        if not self.state.get("ready") or (fresh and other):  # none, or its set-up was broken off
            self.make_disk()
        elif other:
            say("the box is another by now: make vm-down FRESH=1 makes the machine of the new one")
        accel = accelerator(self.box.parent / "vmlinuz", self.directory.parent)
        shape = digest([QEMU, version(), *self.options(accel)])
        wanted = "clean" if fresh else "asleep"
        same = self.state.get("shape") == shape
        snapshot = wanted if same and wanted in self.snapshots() else ""
        began = time.monotonic()
        try:
            self.start(accel, snapshot)
            self.wait_for_ssh()
            self.note(shape=shape, accel=accel)
            if snapshot:
                self.call(f"date -s @{time.time():.0f} >/dev/null")
            how = f"back from its snapshot ({snapshot})" if snapshot else "up"
            say(f"{how} after {time.monotonic() - began:.0f} s ({accel})")
            if snapshot == "asleep":  # what is on the disk from now on is newer
                self.monitor("delvm asleep")
            if set_up and not self.state.get("ready"):
                if set_up() != 0:
                    raise Trouble("its set-up failed", "the lines above; then make vm again")
                self.monitor("savevm clean")
            self.note(ready=True)
        except BaseException:
            self.kill()
            raise

    def make_disk(self) -> None:
        """A new disk over the box's, and a key that opens only this machine."""
        if not self.box.exists():
            raise Trouble("there is no box yet", "sudo make box (on Debian or Ubuntu)")
        self.remove()
        self.directory.mkdir(parents=True)
        free = shutil.disk_usage(self.directory).free >> 30
        if free < FREE_GB:
            raise Trouble(
                f"{self.directory}: {free} GB free, a machine needs {FREE_GB}", "make room"
            )
        told = json.loads(output("qemu-img", "info", "--output=json", str(self.box)))
        words = ["create", "-q", "-f", "qcow2", "-F", told["format"], "-b", str(self.box.resolve())]
        output("qemu-img", *words, str(self.disk), str(max(told["virtual-size"], 10 << 30)))
        key = str(self.directory / "key")
        output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", key)
        self.note(box=box_digest(self.box), ready=False)

    def options(self, accel: str) -> list[str]:
        """QEMU's, but for what differs from one start to the next."""
        machine = "virt,gic-version=max" if ARM else "q35"
        words = ["-machine", f"{machine},accel={accel}", "-cpu", processor(accel)]
        if ARM:
            words += ["-bios", firmware()]
        words += ["-smp", str(self.cpus), "-m", str(self.memory)]
        words += ["-device", "virtio-rng-pci", "-display", "none", "-monitor", "none"]
        words += ["-device", "virtio-net-pci,netdev=net0"]
        return words

    def start(self, accel: str, snapshot: str) -> None:
        """Start QEMU in the background."""
        self.check_memory()
        private(self.sockets)
        port = free_port()
        key = (self.directory / "key.pub").read_bytes()
        words = [QEMU, "-name", "mydocker-lab", *self.options(accel)]
        words += ["-drive", f"file={escaped(self.disk)},if=virtio,format=qcow2,cache=unsafe"]
        cut_off = ",restrict=on" if self.offline else ""
        words += ["-netdev", f"user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:22{cut_off}"]
        # systemd takes it from there (SMBIOS, OEM strings): no key need be in the box.
        name = "io.systemd.credential.binary:ssh.authorized_keys.root"
        words += ["-smbios", f"type=11,value={name}={base64.b64encode(key).decode()}"]
        words += ["-serial", f"file:{escaped(self.log)}", "-daemonize"]
        words += ["-qmp", f"unix:{escaped(self.sockets / 'qmp')},server=on,wait=off"]
        words += ["-pidfile", str(self.directory / "pid")]
        if snapshot:
            words += ["-loadvm", snapshot]
        known = {
            "HostName": "127.0.0.1",
            "Port": str(port),
            "User": "root",
            "IdentityFile": f'"{self.directory / "key"}"',
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "no",  # often a new machine; reached by 127.0.0.1 only
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "ControlMaster": "auto",
            "ControlPath": f'"{self.sockets}/%C"',
            "ControlPersist": "600",
        }
        write_config(self.reach.config, known)
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
            raise Trouble(f"QEMU did not start: {said[-1]}", "LAB_ACCEL=tcg or less LAB_MEMORY?")
        self.note(port=port, accel=accel)

    def check_memory(self) -> None:
        """Refuse before the host starts to swap."""
        try:
            lines = Path("/proc/meminfo").read_text().splitlines()
        except OSError:
            return
        facts = dict(line.split(":") for line in lines)
        free = int(facts["MemAvailable"].split()[0]) >> 10
        if free < self.memory:
            raise Trouble(
                f"{free} MB of memory are free, the machine wants {self.memory}",
                "LAB_MEMORY=1024, or end something",
            )

    def wait_for_ssh(self) -> None:
        """Wait until it lets us in."""
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            if not self.running():
                raise Trouble(f"QEMU has ended: {self.last_words()}", f"its console: {self.log}")
            if greeted(self.state["port"]) and self.reach.answers():
                return
            time.sleep(0.3)
        raise Trouble(
            f"it did not come up in {BOOT_SECONDS} s: {self.last_words()}",
            f"its console: {self.log}; LAB_ACCEL=tcg if hardware virtualization hangs here",
        )

    def last_words(self) -> str:
        """The end of what it said on its console."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        lines = [line for line in text.splitlines() if line.strip()]
        return lines[-1].strip() if lines else "nothing on its console"

    def call(self, script: str) -> None:
        """Run a script there, which must succeed."""
        code = self.reach.call(script)
        if code:
            raise Trouble(f"it failed in the machine, exit {code}: {script}")

    # Stop

    def down(self, save: bool = True) -> None:
        """Put it to sleep, or just end it."""
        if not self.running():
            return
        if save and self.state.get("ready"):
            self.reach.call("sync")
            self.monitor("savevm asleep")
        self.kill()

    def kill(self) -> None:
        """End its QEMU, and wait until it is gone."""
        self.reach.hang_up()
        deadline = time.monotonic() + 20
        with contextlib.suppress(OSError):
            if self.pid():
                self.ask("quit")
        while pid := self.pid():
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def reboot(self) -> None:
        """Start its system anew, and wait until it lets us in."""
        number_of_boot = "cat /proc/sys/kernel/random/boot_id"
        before = self.reach.output(number_of_boot)
        self.reach.call("systemctl reboot")
        self.reach.hang_up()
        while True:
            self.wait_for_ssh()
            if self.reach.output(number_of_boot) not in ("", before):
                return
            self.reach.hang_up()
            time.sleep(1)

    def wait(self, seconds: float = 120) -> None:
        """Wait until it has powered off by itself."""
        deadline = time.monotonic() + seconds
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.3)
        self.kill()

    def remove(self) -> None:
        """End it, and remove all that there is of it."""
        self.down(save=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    # QEMU's monitor (QMP): lines of JSON over a socket

    def ask(self, command: str, **arguments: object) -> Any:
        """One command of QMP; its return value. OSError if nobody is there."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(300)
            connection.connect(str(self.sockets / "qmp"))
            with connection.makefile("rw") as stream:
                stream.readline()  # the greeting
                for name, values in (("qmp_capabilities", {}), (command, arguments)):
                    stream.write(json.dumps({"execute": name, "arguments": values}) + "\n")
                    stream.flush()
                    reply: dict[str, Any] = {}
                    while not reply.keys() & {"return", "error"}:  # events may come between
                        line = stream.readline()
                        if not line:
                            return None  # `quit`
                        reply = json.loads(line)
                if "error" in reply:
                    raise Trouble(f"QEMU: {command}: {reply['error']['desc']}")
                return reply["return"]

    def monitor(self, line: str) -> None:
        """A command for the human monitor, which says nothing unless it fails."""
        said = str(self.ask("human-monitor-command", **{"command-line": line})).strip()
        if said:
            raise Trouble(f"QEMU: {line}: {said}")

    def snapshots(self) -> list[str]:
        """The names of those in the disk; it must not be running."""
        told = json.loads(output("qemu-img", "info", "--output=json", str(self.disk)))
        return [one["name"] for one in told.get("snapshots", [])]


def private(directory: Path) -> None:
    """Make a directory that is ours alone, in one that everybody writes to."""
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.is_symlink() or directory.stat().st_uid != os.getuid():
        raise Trouble(f"{directory} belongs to somebody else", "TMPDIR=/another/place")


def number(name: str, usual: int) -> int:
    """A number from the environment."""
    text = os.environ.get(name) or str(usual)
    if not text.isdigit() or not int(text):
        raise Trouble(f"{name}={text}: not a number", f"{name}={usual} is the default")
    return int(text)


def output(*words: str) -> str:
    """What a program prints; it must succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Trouble(f"{words[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return done.stdout


def version() -> str:
    """QEMU's version: a snapshot is read by the one that wrote it."""
    return output(QEMU, "--version").splitlines()[0]


def digest(words: list[str]) -> str:
    """A short name for a list of words."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def box_digest(box: Path) -> str:
    """Which box it is: its path with links resolved, and when it was made."""
    path = box.resolve()
    return digest([str(path), str(path.stat().st_mtime_ns if path.exists() else 0)])


def processor(accel: str) -> str:
    """The best one; emulation is quicker without five-level page tables and pointer signatures."""
    if accel != "tcg":
        return "host"
    return "max,pauth-impdef=on" if ARM else "max,la57=off"


def firmware() -> str:
    """EFI for arm64: there is no other way to boot there."""
    places = ["/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"]
    places += ["/usr/share/qemu", "/opt/homebrew/share/qemu", "/usr/local/share/qemu"]
    for place in places:
        path = Path(place) if place.endswith(".fd") else Path(place) / "edk2-aarch64-code.fd"
        if path.exists():
            return str(path)
    raise Trouble("there is no EFI for QEMU here", "apt-get install qemu-efi-aarch64")


def accelerator(kernel: Path, notes: Path) -> str:
    """What runs the guest's instructions: LAB_ACCEL, or what is seen to work here."""
    asked = os.environ.get("LAB_ACCEL") or "auto"
    if asked not in ("auto", "kvm", "hvf", "tcg"):
        raise Trouble(f"LAB_ACCEL={asked}: not known", "auto, kvm, hvf or tcg")
    if asked != "auto":
        return asked
    if platform.system() == "Darwin":
        return "hvf"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        if os.path.exists("/dev/kvm"):
            say("/dev/kvm is not yours to use (group kvm): emulating instead, twelve times slower")
        else:
            say("no hardware virtualization here: emulating, some twelve times slower")
        return "tcg"
    noted = notes / "accel"
    if not noted.exists():
        noted.write_text("kvm" if not kernel.exists() or boots(kernel) else "tcg")
        if noted.read_text() == "tcg":
            say("guests hang with this machine's /dev/kvm: emulating, some twelve times slower")
    return noted.read_text()


def boots(kernel: Path, seconds: float = 20) -> bool:
    """Whether a kernel runs with KVM: without a root it panics, reboots, and QEMU ends.

    The device alone says little: within another virtual machine it may be there and guests hang.
    """
    words = [QEMU, "-machine", "virt" if ARM else "q35", "-accel", "kvm", "-cpu", "host"]
    words += ["-m", "512", "-display", "none", "-no-reboot", "-kernel", str(kernel)]
    words += ["-append", "panic=-1 quiet"]
    try:
        done = subprocess.run(words, capture_output=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def greeted(port: int) -> bool:
    """Whether an ssh server greets at a port of ours. QEMU accepts before there is one."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=3) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def escaped(path: Path) -> str:
    """A path within one of QEMU's options, where a comma ends a value."""
    return str(path).replace(",", ",,")

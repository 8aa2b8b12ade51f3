"""Play the book's commands, section by section, at a real terminal, and show what they do.

    make demo                            every section
    sudo .venv/bin/python3 lab/demo.py 4.1 4.4      some of them

TRANSCRIPT is the table. A section starts with its number and a title; below it stand

    $ COMMAND    typed at the first terminal
    2$ COMMAND   typed at a second terminal, while the first one's command goes on
    # COMMAND    typed at the prompt of the container's shell
    ...          the first terminal's command runs on for three seconds
    ^C           Ctrl-C at the first terminal
    = TEXT       a regular expression that the last command's output must contain
    ≠ TEXT       … must not contain
    ? STATUS     the exit status of the last `$` command, when it is not to be 0

All of it happens in a state directory, under a cgroup and in a network namespace of its own,
removed afterwards: a reader's own containers and network are never touched. The world outside is
one more network namespace, {outside} being a process in it. The sections of chapter 7 need images
that `make demo-images` makes (lab/apps/build.py).
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time

TRANSCRIPT = r"""
3.2 Limits: cpu.shares is a weight among busy cgroups, the memory limit is a ceiling
$ build/mydocker run -ti -cpushare 256 -m 100m stress --vm-bytes 20m --vm-keep --vm 1
...
= dispatching hogs
2$ grep -r {limits} . /sys/fs/cgroup | grep {parent}/.*/
= 104857600
^C
? 1
$ build/mydocker run -ti -cpushare 256 -m 100m stress --vm-bytes 200m --vm-keep --vm 1
= worker \d+ got signal 9
? 1

4.1 A root of its own: an image below, PID 1, its own host name, its own mounts
$ build/mydocker run -ti sh
# ps
# hostname
# mount | cut -c 1-72 | head -n 5
# exit
= \b1 root .*\bsh\b

4.3 A volume: a directory of the host inside the container, and still there after it
$ build/mydocker run -ti -v /root/volume:/containerVolume sh
# echo "written in a container" > /containerVolume/mydocker-demo
# ls -l /containerVolume
# exit
$ cat /root/volume/mydocker-demo
= ^written in a container

4.4 Commit: what the container changed becomes a layer of a new image
$ build/mydocker run -ti sh
# echo "a layer of changes" > /note
2$ build/mydocker commit myimage
# exit
$ build/mydocker images
= myimage
$ build/mydocker run -ti myimage cat /note
= ^a layer of changes

5.4 Exec: a second command in a container that runs, in all its namespaces and its cgroup
$ build/mydocker run -d --name bird top
$ build/mydocker ps
= \bUp\b.*\bbird$
$ build/mydocker exec bird sh
# ps
# hostname
# env
# exit
= \b1 root +top$
≠ MYDOCKER_ROOT
$ build/mydocker exec bird sh -c 'exit 42'
? 42
$ build/mydocker top bird
= \btop$
$ build/mydocker rm -f bird

5.7 Isolated file systems: two containers of one image do not see each other's files
$ build/mydocker run -ti sh
# echo mine > /tmp/of-the-first; ls /tmp
# exit
$ build/mydocker run -ti sh
# ls -a /tmp
# exit
≠ of-the-first

5.8 Environment: what -e says, and nothing of the host's
$ build/mydocker run -ti -e bird=123 -e luck=bird sh
# env
# exit
= \bbird=123
= \bluck=bird
≠ MYDOCKER_ROOT

6.5 A network: a bridge, addresses, the way out, and a port that leads in
$ build/mydocker network create --driver bridge --subnet 192.168.10.1/24 testbridge
$ build/mydocker run -ti -net testbridge sh
# ip addr show eth0 | grep inet
2$ build/mydocker run -ti -net testbridge ping -c 1 192.168.10.2
= 1 packets received
# ping -c 1 110.242.68.66
= bytes from 110\.242\.68\.66
# exit
= inet 192\.168\.10\.2/24
$ build/mydocker run -ti -p 80:80 -net testbridge sh
# nc -lp 80 > /heard &
2$ build/mydocker network inspect --graph testbridge
= 0\.0\.0\.0:80->80/tcp
2$ nsenter --net=/proc/{outside}/ns/net sh -c 'echo hello | busybox nc -w 1 198.51.100.1 80'
# wait; cat /heard
= ^hello
# exit
$ build/mydocker network rm testbridge

7.1 nginx: a server as it is, reached from outside by a port of the host
$ build/mydocker network create demonet
$ build/mydocker run -d --name web -p 8080:80 -net demonet nginx
$ until nsenter --net=/proc/{outside}/ns/net busybox wget -qO- 198.51.100.1:8080; do sleep 1; done
= Welcome to nginx
$ build/mydocker logs web
= ^198\.51\.100\.2 .* "GET / HTTP/1.1" 200
$ build/mydocker rm -f web
$ build/mydocker network rm demonet

7.2 Flask and Redis: two containers that find each other by name, and a count that outlives both
$ build/mydocker network create demonet
$ build/mydocker run -d --name redis -v counted:/data -net demonet redis
$ build/mydocker run -d --name app -p 8080:5000 -net demonet counter
$ until busybox wget -qO- 127.0.0.1:8080; do sleep 1; done
= ^Hello. You are visitor 1\.
$ busybox wget -qO- 127.0.0.1:8080
= ^Hello. You are visitor 2\.
$ build/mydocker stop redis
$ build/mydocker rm redis
$ build/mydocker run -d --name redis -v counted:/data -net demonet redis
$ until busybox wget -qO- 127.0.0.1:8080; do sleep 1; done
= ^Hello. You are visitor 3\.
$ build/mydocker rm -f app redis
$ build/mydocker volume rm counted
$ build/mydocker network rm demonet

And nothing is left on the host
$ build/mydocker ps -aq | xargs -r build/mydocker rm
$ build/mydocker system check
"""

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VOLUME = "/root/volume"  # the seed's own path, so the demo's own only if it was not there before
APPS = ("nginx", "redis", "counter")
PROMPT = re.compile(r"(?:^|\n)/\S* # \Z")
PATIENCE = 60  # seconds for a command to come to where it is waited for
STEP = re.compile(r"(2?\$|#|\.\.\.|\^C|[=≠?]) ?(.*)")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # a shell asks where the cursor is: hush


class Failed(Exception):
    """A command of the transcript did not do what the transcript says."""


class Terminal:
    """A command on a pty of its own; what it prints is shown as it comes, and kept in `text`."""

    def __init__(self, command: str, prompt: str) -> None:
        self.command, self.text, self.wanted_status, self.ended = command, "", 0, False
        show(bold(f"{prompt}{command}") + "\n")
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv("/bin/sh", ["sh", "-c", command])
        columns, lines = shutil.get_terminal_size()
        termios.tcsetwinsize(self.fd, (lines, columns))

    def follow(self, until: re.Pattern[str] | None = None, seconds: float = PATIENCE) -> None:
        """Show the output until it matches `until`, or ends, or the time is over."""
        deadline = time.monotonic() + seconds
        while not self.ended and not (until and until.search(self.text)):
            if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
                return
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # EIO: nobody holds the other end any more
                data = b""
            self.ended = not data
            text = ESCAPES.sub("", data.decode(errors="replace").replace("\r\n", "\n"))
            self.text += text
            show(text)

    def line(self) -> str:
        """What stands on the last line: a prompt, or nothing."""
        return self.text.rpartition("\n")[2]

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def type(self, line: str) -> None:
        """Type a line at the container's prompt and follow until the next prompt."""
        self.expect(PROMPT, "the prompt")
        self.text += "\n"  # or else this prompt would be taken for the next one
        self.press(line + "\n")
        self.follow(PROMPT)

    def expect(self, pattern: re.Pattern[str], name: str) -> None:
        self.follow(pattern)
        if not pattern.search(self.text):
            raise Failed(f"{self.command}: {name} did not appear")

    def finish(self) -> None:
        """Follow the command to its end and check its exit status (128+n for a signal)."""
        if self.fd < 0:
            return
        self.follow()
        if not self.ended:
            raise Failed(f"{self.command}: still running after {PATIENCE} s")
        status = self.close()
        if status != self.wanted_status:
            raise Failed(f"{self.command}: exit status {status}, not {self.wanted_status}")

    def close(self) -> int:
        """Hang up, as closing a terminal's window does, and return the exit status."""
        os.close(self.fd)
        self.fd = -1
        deadline = time.monotonic() + PATIENCE
        while (ended := os.waitpid(self.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.01)
        status = os.waitstatus_to_exitcode(ended[1])
        return status if status >= 0 else 128 - status


def show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if sys.stdout.isatty() else text


def sections(transcript: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """The transcript as [(title, [(kind, text)])], with what depends on the machine filled in."""
    is_v2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    names = ("cpu.weight", "memory.max") if is_v2 else ("cpu.shares", "memory.limit_in_bytes")
    transcript = transcript.replace("{parent}", os.environ["MYDOCKER_CGROUP_PARENT"].strip("/"))
    transcript = transcript.replace("{outside}", os.environ.get("LAB_OUTSIDE", ""))
    transcript = transcript.replace("{limits}", " ".join(f"--include={name}" for name in names))
    found = []
    for block in transcript.strip().split("\n\n"):
        title, *lines = block.split("\n")
        steps = [(step[1], step[2]) for line in lines if (step := STEP.fullmatch(line))]
        if len(steps) < len(lines):
            raise ValueError(f"{title}: a line that is no step")
        found.append((title, steps))
    return found


def play(steps: list[tuple[str, str]]) -> None:
    """Play one section; raises Failed with the command that went wrong."""
    terminals: list[Terminal] = []  # every command so far; only the last of "$" may be running
    try:
        for kind, text in steps:
            match kind:
                case "$":
                    for terminal in terminals:
                        terminal.finish()
                    show("" if not terminals or terminals[-1].line() == "" else "\n")
                    first = last = Terminal(text, "$ ")
                    terminals.append(first)
                case "2$":
                    show("\n")
                    last = Terminal(text, "(another terminal) $ ")
                    terminals.append(last)
                    last.finish()
                    show(f"\n{first.line()}")
                case "#":
                    last = first
                    first.type(text)
                case "...":
                    first.follow(seconds=3)
                case "^C":
                    first.press("\x03")
                case "=":
                    last.expect(re.compile(text, re.MULTILINE), text)
                case "≠":
                    last.finish()
                    if re.search(text, last.text, re.MULTILINE):
                        raise Failed(f"{last.command}: {text} should not appear")
                case "?":
                    first.wanted_status = int(text)
        for terminal in terminals:
            terminal.finish()
    finally:
        for terminal in terminals:
            if terminal.fd >= 0:
                terminal.close()


def quietly(command: str) -> None:
    subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)


def clean_up(state: str, volume_is_ours: bool) -> None:
    """Remove all that the demo made, and say what could not be removed."""
    subprocess.run("build/mydocker rm -f $(build/mydocker ps -aq)", shell=True, capture_output=True)
    quietly("build/mydocker system check --repair")
    if volume_is_ours:
        shutil.rmtree(VOLUME, ignore_errors=True)
    elif os.path.exists(f"{VOLUME}/mydocker-demo"):
        os.remove(f"{VOLUME}/mydocker-demo")
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        if state in mounts.read():
            raise Failed(f"{state}: something is still mounted below it")
    shutil.rmtree(state)


def go_apart() -> None:
    """Go on in a network namespace of our own, by executing ourselves there."""
    if "LAB_OUTSIDE" not in os.environ:
        os.environ["LAB_OUTSIDE"] = "0"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])


def make_outside() -> subprocess.Popen[bytes]:
    """A host outside, which has the seed's address of a server on the Internet; it is kept by the
    process that is returned."""
    process = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    os.environ["LAB_OUTSIDE"] = str(process.pid)
    theirs = f"/proc/{process.pid}/ns/net"
    while os.readlink(theirs) == os.readlink("/proc/self/ns/net"):
        time.sleep(0.01)
    inside = f"nsenter --net={theirs} ip"
    quietly(
        f"ip link set lo up; ip link add uplink type veth peer name eth0 netns {process.pid} &&"
        "ip addr add 198.51.100.1/24 dev uplink && ip link set uplink up &&"
        f"{inside} addr add 198.51.100.2/24 dev eth0 && {inside} link set eth0 up &&"
        f"{inside} addr add 110.242.68.66/32 dev eth0 && ip route add default via 198.51.100.2"
    )
    return process


def main(wanted: list[str]) -> int:
    os.chdir(CHECKOUT)
    go_apart()
    state = tempfile.mkdtemp(prefix="mydocker-demo-")
    os.environ["MYDOCKER_ROOT"] = f"{state}/root"
    os.environ["MYDOCKER_CGROUP_PARENT"] = f"/mydocker-demo-{os.getpid()}"
    volume_is_ours = not os.path.exists(VOLUME)
    outside = make_outside()
    try:
        try:
            quietly("build/mydocker import -c 'CMD [\"sh\"]' build/busybox.tar busybox:latest")
            have_apps = all(os.path.exists(f"build/apps/{name}.tar") for name in APPS)
            if have_apps and (not wanted or {"7.1", "7.2"} & {*wanted}):
                quietly(f"{sys.executable} -m lab.apps.build --load")
            for title, steps in sections(TRANSCRIPT):
                if wanted and title[0].isdigit() and title.split()[0] not in wanted:
                    continue
                show(bold(f"\n── {title}") + "\n\n")
                if title.startswith("7.") and not have_apps:
                    if wanted:
                        raise Failed(f"{title[:3]}: its images are missing: sudo make demo-images")
                    show("Left out: its images are not there; sudo make demo-images makes them.\n")
                    continue
                play(steps)
        finally:
            clean_up(state, volume_is_ours)
    except (Failed, subprocess.CalledProcessError) as error:
        print(f"\ndemo: failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        outside.kill()
        outside.wait()
    show("\n── Every command did what it should.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

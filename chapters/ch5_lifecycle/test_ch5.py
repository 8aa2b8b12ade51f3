"""Chapter 5: what the kernel and the records show of a container in the background."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
from pathlib import Path
from typing import Any

import pytest

from lab.course.host import Host, Wrong, cmdline, inner, name_of, state, until
from mydocker.linux import process

step = pytest.mark.step


def unique(word: str) -> str:
    """A name that nobody has used before."""
    return f"{word}-{secrets.token_hex(4)}"


def record_path(host: Host, name: str) -> Path:
    """The file of a container's record."""
    for path in host.root.glob("containers/*/container.json"):
        if json.loads(path.read_text())["name"] == name:
            return path
    raise Wrong("no-record", expected=f"a record of {name}", got="none", see="mydocker ps -a")


def record(host: Host, name: str) -> dict[str, Any]:
    """What is written down of a container."""
    found: dict[str, Any] = json.loads(record_path(host, name).read_text())
    return found


def change(host: Host, name: str, **fields: object) -> None:
    """Write something else in a record, as a crash or a reboot leaves it."""
    path = record_path(host, name)
    path.write_text(json.dumps(record(host, name) | fields))


def monitors(host: Host) -> list[int]:
    """The processes that stay with containers in the background."""
    return [pid for pid in host.processes() if name_of(pid) == "mydocker-mon"]


def detached(host: Host, script: str, *flags: str, diagnosis: str = "") -> str:
    """Start a container in the background; its name."""
    name = unique("bird")
    done = host.run("run", "-d", "--name", name, *flags, "sh", "-c", script)
    if done.code:
        done.refuse(diagnosis or "refused")
    return name


def status(host: Host, name: str) -> str:
    """What ps says of it."""
    words = ("ps", "-a", "--no-trunc", "--filter", f"name={name}", "--format", "{{.Status}}")
    return host.ok(*words).strip()


def first(host: Host, name: str) -> int:
    """The first process of a container, by its record."""
    return int(record(host, name)["pid"])


# 5.1 Detach


@step("5.1")
def test_an_error_at_the_start_is_told(host: Host) -> None:
    word = unique("nosuch")
    done = host.run("run", "-d", "--image", "busybox", word)
    if done.code == 0:
        raise Wrong("too-early", expected="exit 127", got="exit 0", see=done.see)
    if done.code != 127 or word not in done.err:
        if "not written" in done.err or "this is a bug" in done.err:
            done.refuse()
        got = f"exit {done.code}: {done.err.strip()}"
        raise Wrong(
            "error-lost", expected=f"exit 127: {word}: command not found", got=got, see=done.see
        )


@step("5.1")
def test_the_monitor_has_let_go_of_everything(host: Host) -> None:
    reading, writing = os.pipe()
    name = unique("bird")
    words = ("run", "-d", "--name", name, "sleep", "1000")
    started = host.popen(*words, pass_fds=(writing,))
    os.close(writing)
    see = "mydocker run -d sleep 1000 | cat"
    if not until(lambda: started.poll() is not None, 5.0):
        leads = [pid for pid in monitors(host) if os.getsid(pid) == pid]
        host.hangs(see, diagnosis="session-leader" if leads else "hangs")
    if started.returncode:
        assert started.stderr
        host.told(words, started).refuse()
    found = monitors(host)
    if len(found) != 1:
        raise Wrong("no-monitor", expected="one mydocker-mon", got=str(len(found)), see="ps -e")
    monitor = found[0]
    streams = [os.readlink(f"/proc/{monitor}/fd/{fd}") for fd in (0, 1, 2)]
    if any(stream != "/dev/null" for stream in streams):
        got = " ".join(streams)
        raise Wrong("holds-terminal", expected="/dev/null three times", got=got, see=see)
    fields = Path(f"/proc/{monitor}/stat").read_text().rpartition(")")[2].split()
    session = int(fields[3])
    see = "mydocker run -d sleep 1000; ps -o pid,sid,args -C mydocker-mon"
    if session == os.getsid(0) or session == started.pid:
        raise Wrong("same-session", expected="a session of its own", got=f"{session}", see=see)
    if session == monitor:
        raise Wrong(
            "session-leader", expected="a session without a leader", got=f"{session}", see=see
        )
    where = os.readlink(f"/proc/{monitor}/cwd")
    if where != "/":
        raise Wrong("holds-directory", expected="/", got=where, see="ls -l /proc/PID/cwd")
    os.set_blocking(reading, False)
    try:
        open_still = os.read(reading, 1) != b""
    except BlockingIOError:
        open_still = True
    os.close(reading)
    if open_still:
        raise Wrong(
            "holds-descriptor", expected="the pipe closed", got="open", see="ls -l /proc/PID/fd"
        )


@step("5.1")
def test_the_monitor_stands_in_no_directory_of_the_callers(host: Host) -> None:
    host.directory.joinpath("elsewhere").mkdir()
    host.cwd = str(host.directory / "elsewhere")
    name = detached(host, "sleep 1000")
    where = os.readlink(f"/proc/{monitors(host)[0]}/cwd")
    if where != "/":
        raise Wrong("holds-directory", expected="/", got=where, see="ls -l /proc/PID/cwd")
    host.ok("rm", "-f", name)


# 5.2 The record


@step("5.2")
def test_the_record_names_processes_that_can_be_told_again(host: Host) -> None:
    name = detached(host, "sleep 1000")
    told, monitor = record(host, name), monitors(host)[0]
    see = f"cat /var/lib/mydocker/containers/*/container.json  # of {name}"
    expected = {"monitorPid": monitor, "monitorStarted": process.start_time(monitor)}
    for field, value in expected.items():
        if told.get(field) != value:
            got = f"{field}: {told.get(field)}"
            raise Wrong("no-start-time", expected=f"{field}: {value}", got=got, see=see)
    if told.get("bootId") != process.boot_id():
        raise Wrong("no-boot-id", expected=process.boot_id(), got=str(told.get("bootId")), see=see)


@step("5.2")
def test_a_reader_never_sees_half_a_record(host: Host) -> None:
    name = detached(host, "sleep 1000")
    path = record_path(host, name)
    with path.open() as file:
        before = os.fstat(file.fileno()).st_ino
        os.kill(first(host, name), signal.SIGKILL)
        if not until(lambda: record(host, name)["status"] == "exited"):
            raise Wrong(
                "no-record", expected="status exited", got=path.read_text(), see="mydocker ps -a"
            )
        if os.stat(path).st_ino == before or json.loads(file.read())["status"] != "running":
            raise Wrong(
                "in-place",
                expected="a new file in the place of the old",
                got="the same file, changed",
                see="ls -i container.json, before and after",
            )


# 5.3 A truthful ps


def end(pids: list[int]) -> None:
    """Kill them, and wait until they are dead: one may die of another's end."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not any(state(pid) not in ("", "Z", "X") for pid in pids))


@step("5.3")
def test_a_container_that_runs_is_up(host: Host) -> None:
    name = detached(host, "sleep 1000")
    if not status(host, name).startswith("Up"):
        raise Wrong("not-shown", expected="Up", got=status(host, name), see="mydocker ps -a")


@step("5.3")
def test_whose_monitor_was_killed_has_ended(host: Host) -> None:
    name = detached(host, "sleep 1000")
    pids = [*monitors(host), first(host, name)]
    end(pids)
    got = status(host, name)
    if not got.startswith("Exited"):
        raise Wrong("believes-file", expected="Exited (137)", got=got, see="mydocker ps -a")
    if "137" not in got:
        raise Wrong("exit-code", expected="Exited (137)", got=got, see="mydocker ps -a")


@step("5.3")
def test_a_reused_pid_is_not_the_container(host: Host) -> None:
    name = detached(host, "sleep 1000")
    told = record(host, name)
    pids = [*monitors(host), first(host, name)]
    end(pids)
    path = record_path(host, name)
    mine = os.getpid()  # somebody who lives, and has that number now
    path.write_text(json.dumps(told | {"pid": mine, "monitorPid": mine}))
    got = status(host, name)
    if not got.startswith("Exited"):
        raise Wrong("reused-pid", expected="Exited (137)", got=got, see="mydocker ps -a")


@step("5.3")
def test_an_earlier_boot_is_over(host: Host) -> None:
    name = detached(host, "sleep 1000")
    change(host, name, bootId="00000000-0000-0000-0000-000000000000")
    got = status(host, name)
    if not got.startswith("Exited"):
        raise Wrong("other-boot", expected="Exited (137)", got=got, see="mydocker ps -a")


# 5.4 Logs


def finished(host: Host, script: str) -> str:
    """A container in the background that has come to its end."""
    name = detached(host, script)
    if not until(lambda: record(host, name)["status"] == "exited", 5.0):
        raise Wrong(
            "blocked",
            expected="an end",
            got="it is still running",
            see=f"mydocker run -d sh -c '{script}'",
        )
    return name


def entries(host: Host, name: str) -> list[dict[str, str]]:
    """The log, as it is written."""
    path = record_path(host, name).with_name("log.json")
    return [json.loads(line) for line in path.read_text().splitlines()]


@step("5.4")
def test_both_streams_and_the_last_line(host: Host) -> None:
    script = "echo out; echo err >&2; printf 'half, '; sleep 0.2; echo whole; printf 'the end'"
    name = finished(host, script)
    done = host.run("logs", name)
    see = f'mydocker run -d --name bird sh -c "{script}"; mydocker logs bird'
    for stream, text, word in (("stdout", done.out, "out"), ("stderr", done.err, "err")):
        if word not in text.split():
            raise Wrong(
                "stream-lost",
                expected=f"{word} on {stream}",
                got=text.strip() or "nothing",
                see=see,
                name=stream,
            )
    if not done.out.endswith("the end"):
        raise Wrong("tail-lost", expected="the end", got=done.out.splitlines()[-1], see=see)
    lines = [entry["log"] for entry in entries(host, name) if entry["stream"] == "stdout"]
    if "half, whole\n" not in lines:
        raise Wrong(
            "torn", expected="half, whole", got=" | ".join(lines).replace("\n", "\\n"), see=see
        )


@step("5.4")
def test_the_streams_do_not_run_into_each_other(host: Host) -> None:
    name = finished(host, "printf out; sleep 0.2; printf err >&2; sleep 0.2; echo .; echo , >&2")
    done = host.run("logs", name)
    if (done.out, done.err) != ("out.\n", "err,\n"):
        got = f"{done.out!r} and {done.err!r}"
        raise Wrong(
            "mixed", expected="out. and err,", got=got, see="mydocker logs bird 2>/dev/null"
        )


@step("5.4")
def test_bytes_come_back_as_they_were(host: Host) -> None:
    name = finished(host, r"printf 'a\377\200b\n\n\303\251\n'")
    got = host.raw("logs", name)
    if got != b"a\xff\x80b\n\n\xc3\xa9\n":
        raise Wrong(
            "bytes-lost",
            expected=r"a\xff\x80b",
            got=repr(got),
            see=r"mydocker run -d printf 'a\377b'",
        )


@step("5.4")
def test_a_chatty_container_is_not_held_up(host: Host) -> None:
    name = finished(host, "yes | head -c 500000")
    got = len(host.raw("logs", name))
    if got != 500000:
        raise Wrong(
            "blocked", expected="500000 bytes", got=str(got), see="mydocker logs bird | wc -c"
        )


# 5.5 exec


def half_joined(pid: int) -> bool:
    """Whether its children would be in another pid namespace than itself."""
    try:
        mine, theirs = (os.readlink(f"/proc/{pid}/ns/{n}") for n in ("pid", "pid_for_children"))
    except OSError:
        return False
    return mine != theirs


@step("5.5")
def test_the_command_is_where_the_container_is(host: Host) -> None:
    name = detached(host, "sleep 1000; :", "--cap-drop", "CHOWN")
    token = secrets.token_hex(6)
    try:
        done = host.run("exec", "-d", name, "sh", "-c", f": {token}; sleep 1000; :")
    except Wrong as wrong:
        if any(half_joined(pid) for pid in host.processes()):
            wrong.diagnosis = "pid-outside"
        raise
    see = "mydocker exec -d bird sleep 1000; ls -l /proc/$(pgrep -n sleep)/ns"
    if done.code:
        done.refuse("pid-outside" if "died before" in done.err else "refused")
    inside = [pid for pid in host.processes() if token in cmdline(pid) and name_of(pid) == "sh"]
    if not inside:
        raise Wrong("output-lost", expected="the command runs", got="no such process", see=see)
    pid, container = inside[0], first(host, name)
    if (
        os.readlink(f"/proc/{pid}/ns/pid") != os.readlink(f"/proc/{container}/ns/pid")
        or inner(pid) == pid
    ):
        raise Wrong(
            "pid-outside", expected="the container's pid namespace", got="the host's", see=see
        )
    for kind in ("mnt", "uts", "ipc", "net", "cgroup"):
        if os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/{container}/ns/{kind}"):
            raise Wrong(
                "namespace-skipped",
                expected=f"the container's {kind} namespace",
                got=os.readlink(f"/proc/{pid}/ns/{kind}"),
                see=see,
                kind=kind,
            )
    groups = [Path(f"/proc/{one}/cgroup").read_text() for one in (pid, container)]
    if groups[0] != groups[1]:
        raise Wrong(
            "cgroup-skipped",
            expected=groups[1].splitlines()[0],
            got=groups[0].splitlines()[0],
            see="cat /proc/PID/cgroup",
        )
    rights = [
        Path(f"/proc/{one}/status").read_text().partition("CapEff:")[2].split()[0]
        for one in (pid, container)
    ]
    if rights[0] != rights[1]:
        raise Wrong(
            "rights-kept",
            expected=f"CapEff {rights[1]}",
            got=f"CapEff {rights[0]}",
            see="mydocker exec bird grep Cap /proc/self/status",
        )


@step("5.5")
def test_output_and_exit_code_arrive(host: Host) -> None:
    name = detached(host, "sleep 1000; :")
    done = host.run("exec", name, "sh", "-c", "echo hello; echo oops >&2; exit 7")
    if "hello" not in done.out or "oops" not in done.err:
        if "mydocker: " in done.err:
            done.refuse()
        raise Wrong(
            "output-lost",
            expected="hello, and oops on stderr",
            got=done.out + done.err,
            see=done.see,
        )
    if done.code != 7:
        raise Wrong("exit-code", expected="exit 7", got=f"exit {done.code}", see=done.see)


# 5.6 stop


@step("5.6")
def test_who_listens_may_end_in_order(host: Host) -> None:
    name = detached(
        host, "trap 'sleep 0.3; echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done"
    )
    until(lambda: "up" in host.ok("logs", name))
    host.ok("stop", "-t", "4", name)
    if record(host, name)["exitCode"] != 5 or "bye" not in host.ok("logs", name):
        got = f"exit {record(host, name)['exitCode']}"
        raise Wrong(
            "killed-at-once",
            expected="bye, exit 5",
            got=got,
            see="mydocker stop bird; mydocker logs bird",
        )


@step("5.6")
def test_who_does_not_is_killed(host: Host) -> None:
    name = detached(host, "sleep 1000; :")
    pid = first(host, name)
    stopping = host.popen("stop", "-t", "0", name)
    if not until(lambda: stopping.poll() is not None, 5.0):
        raise Wrong(
            "never-killed", expected="an end", got="stop still waits", see="mydocker stop -t 0 bird"
        )
    if state(pid) not in ("", "Z", "X"):
        raise Wrong(
            "still-alive",
            expected="no process",
            got=f"{name_of(pid)} ({pid})",
            see="mydocker stop -t 0 bird; mydocker top bird",
        )
    if record(host, name)["exitCode"] != 137:
        raise Wrong(
            "never-killed",
            expected="exit 137",
            got=str(record(host, name)["exitCode"]),
            see="mydocker ps -a",
        )


@step("5.6")
def test_the_stop_signal_is_the_containers_own(host: Host) -> None:
    script = "trap 'exit 6' USR1; trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"
    name = detached(host, script, "--stop-signal", "USR1")
    until(lambda: "up" in host.ok("logs", name))
    host.ok("stop", "-t", "4", name)
    code = record(host, name)["exitCode"]
    if code != 6:
        raise Wrong(
            "wrong-signal",
            expected="SIGUSR1, exit 6",
            got=f"exit {code}",
            see="mydocker run -d --stop-signal USR1 …; mydocker stop bird",
        )


# 5.7 rm


@step("5.7")
def test_what_runs_is_refused_and_what_is_removed_is_gone(host: Host) -> None:
    volume = host.directory / unique("volume")
    volume.mkdir()
    (volume / "kept").write_text("x")
    name = detached(host, "sleep 1000; :", "-v", f"{volume}:/data")
    pid, directory = first(host, name), record_path(host, name).parent
    done = host.run("rm", name)
    if done.code == 0 or not directory.exists():
        raise Wrong(
            "removed-running", expected="an error: it is running", got="exit 0", see=done.see
        )
    if "not written" in done.err or "this is a bug" in done.err:
        done.refuse()
    forced = host.run("rm", "-f", name)
    if forced.code:
        forced.refuse("not-forced")
    if state(pid) not in ("", "Z", "X"):
        raise Wrong(
            "removed-running", expected="no process", got=f"{name_of(pid)} ({pid})", see=forced.see
        )
    if directory.exists() or host.run("rm", name).code == 0:
        raise Wrong(
            "still-there", expected="nothing of it", got=str(directory), see="mydocker ps -a"
        )
    if not (volume / "kept").exists():
        raise Wrong("data-lost", expected=f"{volume}/kept", got="gone", see=f"ls {volume}")
    again = host.run("run", "--rm", "--name", name, "true")
    if again.code:
        again.refuse_as("still-there", "the name can be used again")


# 5.8 Environment


@step("5.8")
def test_the_last_word_counts(host: Host) -> None:
    file = host.directory / "variables"
    file.write_text("# a comment\nA=file\nB=file\n\nC=a=b\n")
    flags = ("--env-file", str(file), "-e", "B=flag", "-e", "CALLER", "-e", "MISSING", "-e", "D=")
    done = host.run("run", "--rm", *flags, "env", env={"CALLER": "x y", "STRAY": "1"})
    if done.code:
        done.refuse()
    got = dict(line.split("=", 1) for line in done.out.splitlines())
    wrong = {
        "value-cut": ("C", "a=b"),
        "order": ("B", "flag"),
        "not-from-caller": ("CALLER", "x y"),
    }
    if "STRAY" in got:
        raise Wrong("env-leak", expected="no STRAY", got="STRAY=1", see=done.see)
    for diagnosis, (name, value) in wrong.items():
        if got.get(name) != value:
            raise Wrong(
                diagnosis, expected=f"{name}={value}", got=f"{name}={got.get(name)}", see=done.see
            )
    if "MISSING" in got:
        raise Wrong("not-removed", expected="no MISSING", got="MISSING=", see=done.see)
    if (got.get("A"), got.get("D")) != ("file", ""):
        raise Wrong("order", expected="A=file, D=", got=done.out, see=done.see)

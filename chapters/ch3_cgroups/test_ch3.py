"""Chapter 3: what the kernel shows of a container's namespaces, first process and control group."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lab.course.host import (
    BIRD,
    KINDS,
    PATIENCE,
    Container,
    Host,
    Wrong,
    command,
    inner,
    is_shell,
    name_of,
    state,
    until,
)
from mydocker.cgroups import hierarchies
from mydocker.linux import process

M = 1 << 20
VERSION = hierarchies.in_use()[0].version
step = pytest.mark.step


# 3.1 New namespaces, and the fork that makes PID 1


def nobody_forked(host: Host) -> str:
    """While it hangs: is there any process in a pid namespace that is not ours?"""
    living = host.processes()
    inside = [pid for pid in living if inner(pid) != pid]
    if not inside:
        return "no-fork" if living else "refused"
    return "not-first" if any(is_shell(pid) and inner(pid) > 1 for pid in inside) else "hangs"


@step("3.1")
def test_the_command_is_pid_1_in_namespaces_of_its_own(host: Host) -> None:
    container = host.start(script="id -u", expect=nobody_forked)
    for kind in KINDS:
        if container.namespace(kind) == host.namespaces[kind]:
            raise Wrong(
                "no-fork" if kind == "pid" and has_new_pid_namespace(host) else "ns-shared",
                expected=f"another {kind} namespace than the host's, {host.namespaces[kind]}",
                got=container.namespace(kind),
                see=f"readlink /proc/self/ns/{kind}; mydocker run readlink /proc/self/ns/{kind}",
                kind=kind,
            )
    if container.inner_pid != 1:
        raise Wrong(
            "not-first",
            expected="NSpid … 1",
            got=f"NSpid {container.status('NSpid')}",
            see="mydocker run sh -c 'echo $$'",
            pid=container.inner_pid,
        )
    container.stop()


def has_new_pid_namespace(host: Host) -> bool:
    """Whether a process has unshared the pid namespace without being in the new one."""
    return any(
        os.readlink(f"/proc/{pid}/ns/pid") != os.readlink(f"/proc/{pid}/ns/pid_for_children")
        for pid in host.processes()
    )


@step("3.1")
def test_a_loopback_answers(host: Host) -> None:
    done = host.run("run", "--rm", "cat", "/sys/class/net/lo/flags")
    if done.code:
        done.refuse()
    if not int(done.out, 16) & 1:
        raise Wrong("loopback-down", expected="flags with IFF_UP (0x9)", got=done.out, see=done.see)


@step("3.1")
def test_a_host_name_set_inside_is_not_the_hosts(host: Host) -> None:
    name = f"inner-{secrets.token_hex(4)}"
    container = host.start("--hostname", name)
    got = host.shell("hostname").strip()
    if got != host.hostname:
        raise Wrong("ns-shared", expected=host.hostname, got=got, see="hostname", kind="uts")
    container.stop()


# 3.2 Mounts cut off from the host's


@step("3.2")
def test_nothing_that_is_mounted_inside_appears_on_the_host(host: Host) -> None:
    def while_it_fails(host: Host) -> str:
        return "shared-mounts" if host.new_mounts() else "refused"

    container = host.start(expect=while_it_fails)
    more = host.new_mounts()
    if more:
        raise Wrong(
            "shared-mounts", expected="the mounts of before", got=", ".join(more[:3]), see="findmnt"
        )
    shared = [
        m.mountpoint for m in container.mounts() if any("shared:" in w for w in m.propagation)
    ]
    if shared:
        raise Wrong(
            "shared-mounts",
            expected="no mount of the container's is shared",
            got=" ".join(shared[:4]),
            see="mydocker run grep shared /proc/self/mountinfo",
        )
    container.stop()
    if lost := host.new_mounts():
        raise Wrong(
            "host-changed", expected="the mounts of before", got=", ".join(lost), see="findmnt"
        )


# 3.3 Parent and child talk


@step("3.3")
def test_the_end_of_the_talk_is_no_message(host: Host) -> None:
    done = host.run("run", "--rm", "echo", "works")
    if done.code or done.out != "works\n":
        if "not JSON" in done.err or "JSONDecodeError" in done.err:
            done.refuse_as("eof", "works")
        done.refuse(expected="works")


@step("3.3")
def test_an_error_of_the_first_process_is_told_with_its_code(host: Host) -> None:
    word = f"nosuch-{secrets.token_hex(3)}"
    done = host.run("run", "--rm", "--image", "busybox", word)
    lines = done.err.splitlines() or [""]
    expected = f"exit 127, mydocker: exec: {word}: command not found in the container's PATH"
    facts = {"expected": expected, "got": f"exit {done.code}, {lines[0]}", "see": done.see}
    if "not written yet" in done.err:
        done.refuse()
    if not lines[0].startswith(f"mydocker: exec: {word}: "):
        raise Wrong("error-lost", **facts)
    if done.code != 127:
        raise Wrong("code-lost", **facts)


@step("3.3")
def test_the_terminal_arrives(host: Host) -> None:
    code, out = host.terminal("run", "--rm", "-ti", "sh", "-c", "tty")
    if code or "/dev/pts/0" not in out:
        raise Wrong(
            "fd-lost", expected="/dev/pts/0", got=out.strip()[-300:], see="mydocker run -ti tty"
        )


# 3.4 What the first process does, in order


@step("3.4")
def test_name_session_streams_and_seal(host: Host) -> None:
    name = f"inner-{secrets.token_hex(4)}"
    probe = host.run("run", "--rm", "--hostname", name, "-w", "/some/where", "true")
    if probe.code and "operation not permitted" in probe.err:
        line = probe.err.splitlines()[0].removeprefix("mydocker: ")
        raise Wrong("too-early", expected="exit 0", got=line, see=probe.see)
    container = host.start("--hostname", name, "-w", "/some/where", script="hostname; pwd")
    if container.out != f"{name}\n/some/where\n":
        diagnosis = "hostname" if name not in container.out else "refused"
        got = container.out.replace("\n", " ")
        raise Wrong(diagnosis, expected=f"{name} /some/where", got=got, see=container.see)
    fields = container.read("stat").rpartition(")")[2].split()
    if int(fields[3]) != container.pid:
        raise Wrong(
            "session",
            expected=f"session {container.pid}, its own",
            got=f"session {fields[3]}",
            see="mydocker run -d top; ps -o pid,sid,comm -C top",
        )
    inner = os.readlink(f"/proc/{container.pid}/fd/1")
    if inner == os.readlink(f"/proc/{container.process.pid}/fd/1"):
        raise Wrong(
            "stdio",
            expected="a pipe of the container's own",
            got=f"fd 1 is mydocker's, {inner}",
            see="mydocker run -d --name bird echo hello; mydocker logs bird",
        )
    sealed = [m for m in container.mounts() if m.mountpoint == "/proc/sys"]
    if not sealed or "ro" not in sealed[-1].options:
        raise Wrong(
            "not-sealed",
            expected="/proc/sys mounted read-only",
            got="a writable /proc/sys",
            see="mydocker run sh -c 'echo 1 > /proc/sys/vm/drop_caches'",
        )
    container.stop()


@step("3.4")
def test_the_callers_umask_stays_outside(host: Host) -> None:
    out = host.ok("run", "--rm", "sh", "-c", "umask", umask=0o077)
    if out != "0022\n":
        raise Wrong("umask", expected="0022", got=out, see="(umask 077; mydocker run sh -c umask)")


# 3.5 execve


@step("3.5")
def test_words_and_environment_arrive_as_they_are(host: Host) -> None:
    words = ["a b", "", "$HOME", "it's", "*", "\n", "两"]
    leak = f"LEAK_{secrets.token_hex(4)}"
    shown = ("run", "--rm", "-e", "A=1 2", "sh", "-c", 'printf "<%s>" "$@"', "x", *words)
    done = host.run(*shown, env={leak: "of the host"})
    expected = "".join(f"<{word}>" for word in words)
    if done.code:
        done.refuse("argv-joined", expected)
    if done.out != expected:
        raise Wrong("argv-joined", expected=expected, got=done.out, see=done.see)
    got = host.ok("run", "--rm", "-e", "A=1 2", "env", env={leak: "of the host"}).splitlines()
    names = {line.partition("=")[0] for line in got}
    see = f"{leak}=x mydocker run -e 'A=1 2' env"
    if leak in names or names - {"PATH", "HOSTNAME", "HOME", "A", "SHLVL", "PWD"}:
        extra = ", ".join(sorted(names - {"PATH", "HOSTNAME", "HOME", "A"})[:5])
        raise Wrong("env-leak", expected="PATH HOSTNAME HOME A", got=f"also {extra}", see=see)
    if "A=1 2" not in got:
        raise Wrong("env-lost", expected="A=1 2", got=" ".join(got), see=see)


@step("3.5")
def test_nothing_of_ours_is_left_open_or_ignored(host: Host) -> None:
    secret = os.open(
        "/etc/hostname" if os.path.exists("/etc/hostname") else "/etc/passwd", os.O_RDONLY
    )
    try:
        container = host.start("--rm", pass_fds=(secret,))
    finally:
        os.close(secret)
    open_ones = sorted(int(name) for name in os.listdir(f"/proc/{container.pid}/fd"))
    # the shell keeps a copy of one that it was given, at 10 or above
    leaked = [fd for fd in open_ones if 2 < fd < 10 or fd == secret]
    if leaked:
        raise Wrong(
            "fd-leak",
            expected="descriptors 0 1 2",
            got=" ".join(map(str, open_ones)),
            see="mydocker run ls -l /proc/self/fd 7</etc/passwd",
        )
    container.stop()
    done = host.run("run", "--rm", "grep", "^Sig[IB]", "/proc/self/status")
    lines = [line.partition(":") for line in done.out.splitlines()]
    # 32 and 33 are the C library's own: it lets nobody change them
    kept = {name: int(mask, 16) & ~(3 << 31) for name, _, mask in lines}
    if not kept:
        done.refuse()
    if any(kept.values()):
        got = ", ".join(f"{name} {mask:x}" for name, mask in kept.items())
        raise Wrong("signals", expected="SigBlk 0, SigIgn 0", got=got, see=done.see)


@step("3.5")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -TERM $$; sleep 5"), 143),
        (("--image", "busybox", "/etc/passwd"), 126),
        (("--image", "busybox", "/nosuch/file"), 127),
    ],
)
def test_exit_codes(host: Host, words: tuple[str, ...], code: int) -> None:
    words = ("--init", *words) if code == 143 else words
    done = host.run("run", "--rm", *words)
    if done.code != code:
        if "this is a bug" in done.err or "not written" in done.err:
            done.refuse()
        got = f"{done.code} {done.err.splitlines()[0] if done.err else ''}"
        raise Wrong("exit-code", expected=str(code), got=got, see=f"{done.see}; echo $?")


@step("3.5")
def test_the_path_is_the_containers(host: Host) -> None:
    script = (
        "mkdir /a /b; printf x > /a/tool; "
        "printf '#!/bin/sh\\necho right\\n' > /b/tool; chmod +x /b/tool"
    )
    path = "PATH=/a:/b:/bin"
    name = f"lab-{secrets.token_hex(4)}"
    host.ok("run", "--name", name, "sh", "-c", script)
    host.ok("commit", name, "tools")
    done = host.run("run", "--rm", "-e", path, "tools", "tool")
    if done.out != "right\n":
        got = done.out or done.err.splitlines()[0]
        raise Wrong(
            "path", expected="right, from /b (in /a it is not executable)", got=got, see=done.see
        )


# 3.6 The duties of PID 1


@step("3.6")
def test_orphans_are_reaped(host: Host) -> None:
    script = "(sleep 0.01 & sleep 0.02 &) ; sleep 0.3"
    container = host.start("--init", script=script, expect="first-death")

    def zombies() -> list[str]:
        space = container.namespace("pid")
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        dead = [pid for pid in pids if state(pid) == "Z" and in_space(process.parent(pid), space)]
        return [f"{name_of(pid)} ({pid})" for pid in dead]

    if not until(lambda: not zombies(), 3.0):
        raise Wrong(
            "zombies",
            expected="no zombie in the container",
            got=", ".join(zombies()),
            see="mydocker run --init sh -c '(sleep 0.1 &); sleep 1; ps -o pid,stat,args'",
        )
    if container.process.poll() is not None:
        raise Wrong(
            "first-death",
            expected="a container that runs",
            got=f"exit {container.process.returncode}",
            see=container.see,
        )


def in_space(pid: int, space: str) -> bool:
    """Whether a living process is in that pid namespace."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == space
    except OSError:
        return False


@step("3.6")
def test_the_command_ends_the_container_with_its_own_status(host: Host) -> None:
    for script, code in (("exit 9", 9), ("kill -9 $$", 137)):
        done = host.run("run", "--rm", "--init", "sh", "-c", f"(sleep 0.05 &); sleep 0.3; {script}")
        if done.code != code:
            if "this is a bug" in done.err or "not written" in done.err:
                done.refuse()
            diagnosis = "status-lost"
            raise Wrong(diagnosis, expected=f"exit {code}", got=f"exit {done.code}", see=done.see)


@step("3.6")
def test_a_signal_to_pid_1_reaches_the_command(host: Host) -> None:
    container = host.start(
        "--init", script="trap 'echo heard; exit 5' TERM", then="sleep 30 & wait"
    )
    first = next(
        (
            pid
            for pid in host.processes()
            if in_space(pid, container.namespace("pid")) and inner(pid) == 1
        ),
        container.pid,
    )
    os.kill(first, signal.SIGTERM)
    if not until(lambda: container.process.poll() is not None, 4.0):
        raise Wrong(
            "signals-ignored",
            expected="the command hears SIGTERM and ends with 5",
            got="it goes on",
            see="mydocker run -d --init --name bird top; mydocker stop bird",
        )
    if container.wait() != 5:
        got = f"exit {container.process.returncode}"
        raise Wrong("status-lost", expected="exit 5", got=got, see=container.see)


# 3.7 A control group, made and joined


@step("3.7")
def test_the_container_is_in_its_group_in_every_hierarchy(host: Host) -> None:
    probe = host.run("run", "--rm", "true")
    if "no space left" in probe.err:
        probe.refuse_as("cpuset-empty")
    if "this kernel has no such limit" in probe.err or "there is no" in probe.err:
        raise Wrong(
            "no-controllers",
            expected="exit 0",
            got=probe.err.splitlines()[0],
            see=probe.see,
            controller="memory",
        )
    if probe.code:
        probe.refuse()
    container = host.start(script="cat /proc/self/cgroup")
    above = Path(f"/proc/{container.process.pid}/cgroup").read_text()
    if host.cgroup_parent in above:
        raise Wrong(
            "wrong-pid",
            expected="mydocker outside of the group",
            got=above.split()[0],
            see="cat /proc/$(pgrep -f 'mydocker run')/cgroup",
        )
    for hierarchy in hierarchies.in_use():
        for controller in hierarchy.controllers[:1]:
            group = container.group(controller)
            if f"{host.cgroup_parent}/" not in group:
                raise Wrong(
                    "not-joined",
                    expected=f"{hierarchy.top}{host.cgroup_parent}/<id>",
                    got=group,
                    see=f"mydocker run -d --name bird top; cat /proc/{BIRD}/cgroup",
                    controller=controller,
                )
    outside = [line for line in container.out.splitlines() if ".." in line.rpartition(":")[2]]
    if outside:
        raise Wrong(
            "not-joined",
            expected="/ in the new cgroup namespace",
            got=outside[0],
            see=container.see,
            controller=outside[0].split(":")[1] or "v2",
        )
    container.stop()


@step("3.7")
def test_limits_are_there_before_the_command_is(host: Host) -> None:
    container = host.start("--pids-limit", "23")
    got = container.limit("pids", "pids.max")
    if got != "23":
        diagnosis = "limits-not-written" if got else "no-controllers"
        raise Wrong(
            diagnosis,
            expected="pids.max 23",
            got=got or "no such file",
            see=container.see,
            controller="pids",
        )
    container.stop()


@step("3.7")
def test_a_refused_limit_leaves_no_group(host: Host) -> None:
    done = host.run("run", "-cpuset", "4000", "true")
    if done.code == 0:
        raise Wrong(
            "limits-not-written",
            expected="an error: there is no processor 4000",
            got="exit 0",
            see=done.see,
        )
    if left := host.groups():
        raise Wrong(
            "half-made",
            expected="no group",
            got=left[0],
            see=f"{done.see}; find /sys/fs/cgroup -name '*mydocker*'",
        )


# 3.8 Memory, with swap bounded

MEMORY = {1: "memory.limit_in_bytes", 2: "memory.max"}[VERSION]


def swap_of(container: Container) -> int | None:
    """The bytes of swap that the group may use; -1 for no limit, None if the kernel keeps none."""
    if VERSION == 2:
        text = container.limit("memory", "memory.swap.max")
        return None if not text else -1 if text == "max" else int(text)
    total = container.limit("memory", "memory.memsw.limit_in_bytes")
    if not total:
        return None
    return -1 if int(total) > 1 << 60 else int(total) - int(container.limit("memory", MEMORY))


@step("3.8")
@pytest.mark.parametrize(
    ("flags", "swap"),
    [
        (("-m", "50m"), 0),
        (("-m", "50m", "--memory-swap", "80m"), 30 * M),
        (("-m", "50m", "--memory-swap", "-1"), -1),
    ],
)
def test_the_limits_in_the_kernel_are_those_asked_for(
    host: Host, flags: tuple[str, ...], swap: int
) -> None:
    probe = host.run("run", "--rm", *flags, "true")
    if probe.code and "invalid argument" in probe.err:
        probe.refuse_as("order")
    if probe.code:
        probe.refuse()
    container = host.start(*flags)
    got = container.limit("memory", MEMORY)
    if got != str(50 * M):
        raise Wrong(
            "not-limited", expected=f"{MEMORY} {50 * M}", got=got, see=container.see, file=MEMORY
        )
    found = swap_of(container)
    if found is not None and found != swap:
        diagnosis = "swap-unbounded" if found == -1 else "swap-is-total"
        raise Wrong(diagnosis, expected=f"{swap} bytes of swap", got=str(found), see=container.see)
    container.stop()


@step("3.8")
def test_who_takes_more_is_killed(host: Host) -> None:
    words = (
        "run",
        "--rm",
        "-m",
        "20m",
        "stress",
        "--vm-bytes",
        "60m",
        "--vm-keep",
        "--vm",
        "1",
        "-t",
        "3",
    )
    done = host.run(*words, seconds=2 * PATIENCE)
    if done.code == 0 or "signal 9" not in done.out + done.err:
        got = f"exit {done.code}: {(done.out + done.err)[-200:]}"
        raise Wrong("not-killed", expected="stress: FAIL … got signal 9", got=got, see=done.see)


# 3.9 Processor


@step("3.9")
def test_shares_quota_and_cpuset(host: Host) -> None:
    has_cpuset = any("cpuset" in h.controllers for h in hierarchies.in_use())
    flags = ("-cpushare", "256", "--cpus", "0.5", *(("-cpuset", "0") if has_cpuset else ()))
    probe = host.run("run", "--rm", *flags, "true")
    if probe.code:
        invalid = "invalid argument" in probe.err
        probe.refuse_as(
            "quota"
        ) if invalid and "cpu.max" in probe.err + probe.out else probe.refuse()
    container = host.start(*flags)
    if VERSION == 1:
        shares, wanted = container.limit("cpu", "cpu.shares"), "256"
        quota = " ".join(
            container.limit("cpu", f"cpu.cfs_{name}_us") for name in ("quota", "period")
        )
    else:
        shares, wanted = container.limit("cpu", "cpu.weight"), "35"
        quota = container.limit("cpu", "cpu.max")
    if shares != wanted:
        raise Wrong("shares", expected=wanted, got=shares, see="mydocker run -cpushare 256 top")
    if quota != "50000 100000":
        raise Wrong(
            "quota", expected="50000 of 100000 µs", got=quota, see="mydocker run --cpus 0.5 top"
        )
    if has_cpuset and container.status("Cpus_allowed_list") != "0":
        raise Wrong(
            "cpuset",
            expected="0",
            got=container.status("Cpus_allowed_list"),
            see="mydocker run -cpuset 0 grep Cpus_allowed_list /proc/self/status",
        )
    container.stop()


@step("3.9")
def test_what_nobody_asked_for_stays_as_it_is(host: Host) -> None:
    container = host.start()
    if VERSION == 1:
        found = container.limit("cpu", "cpu.shares"), container.limit("cpu", "cpu.cfs_quota_us")
        usual = ("1024", "-1")
    else:
        found = container.limit("cpu", "cpu.weight"), container.limit("cpu", "cpu.max")
        usual = ("100", "max 100000")
    if found != usual:
        raise Wrong("unasked", expected=" ".join(usual), got=" ".join(found), see=container.see)
    container.stop()


# 3.10 Removed when it is empty


@step("3.10")
def test_the_group_and_its_parent_are_gone(host: Host) -> None:
    first, second = host.start(), host.start()
    first.stop()
    groups = [path for path in host.groups() if not path.endswith(host.cgroup_parent)]
    mine = [second.group(h.controllers[0]) for h in hierarchies.in_use()]
    if set(groups) - set(mine):
        left = (set(groups) - set(mine)).pop()
        raise Wrong(
            "group-left",
            expected="the group of the one that ended is gone",
            got=left,
            see=first.see,
        )
    second.stop()
    if left_ones := host.groups():
        which = (
            "parent-left"
            if all(p.endswith(host.cgroup_parent) for p in left_ones)
            else "group-left"
        )
        raise Wrong(
            which,
            expected="no group of mydocker's",
            got=left_ones[0],
            see="mydocker run true; find /sys/fs/cgroup -name '*mydocker*'",
        )


@step("3.10")
def test_a_group_inside_goes_first(host: Host) -> None:
    container = host.start()
    group = container.group(hierarchies.in_use()[0].controllers[0])
    os.makedirs(f"{group}/inner/most")
    container.stop()
    if os.path.isdir(group):
        raise Wrong(
            "inner-left",
            expected=f"no {group}",
            got="it is still there",
            see=f"find {group} -type d",
        )


@step("3.10")
def test_it_waits_for_the_last_process(host: Host) -> None:
    container = host.start()
    groups = [container.group(h.controllers[0]) for h in hierarchies.in_use()]
    late = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE)
    assert late.stdin is not None
    for group in groups:
        Path(f"{group}/cgroup.procs").write_text(str(late.pid))
    os.kill(container.pid, signal.SIGKILL)
    time.sleep(0.4)
    late.stdin.close()
    late.wait()
    code = container.wait()
    if host.groups() or code != 137:
        raise Wrong(
            "busy",
            expected="exit 137, and no group",
            got=f"exit {code}, {' '.join(host.groups()[:1])}",
            see=container.see,
        )


@step("3.10")
def test_a_parent_of_somebody_elses_stays(host: Host) -> None:
    made = [h.top + host.cgroup_parent for h in hierarchies.in_use()]
    for directory in made:
        os.mkdir(directory)
    host.ok("run", "--rm", "true")
    gone = [directory for directory in made if not os.path.isdir(directory)]
    for directory in set(made) - set(gone):
        os.rmdir(directory)
    if gone:
        raise Wrong(
            "not-ours",
            expected=f"{gone[0]} as before",
            got="it is gone",
            see=command("run", "true"),
        )

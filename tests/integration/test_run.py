"""What a container is on the inside, asked of the kernel through the command line."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mydocker.linux.capabilities import DEFAULT, NAMES
from tests.conftest import IMAGE, LAUNCHER, Mydocker

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ("mnt", "uts", "ipc", "pid", "net", "cgroup", "user")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def inside(mydocker: Mydocker, *words: str) -> str:
    """What the script, the last of the words, prints in a container that is removed afterwards."""
    return mydocker.ok("run", "--rm", *words[:-1], "sh", "-c", words[-1])


def status(pid: object) -> dict[str, str]:
    """/proc/PID/status as the host sees it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


# Namespaces


@pytest.mark.parametrize(
    ("words", "of_the_host"),
    [
        pytest.param((), {"user"}, marks=pytest.mark.v2),
        (("--network", "none"), {"user"}),
        (("--network", "host"), {"user", "net"}),
        (("--userns", "auto"), set()),
        (("--userns", "host"), {"user"}),
    ],
)
def test_every_namespace_is_a_new_one_but_those_asked_of_the_host(
    shared: Mydocker, words: tuple[str, ...], of_the_host: set[str]
) -> None:
    script = f"for kind in {' '.join(KINDS)}; do readlink /proc/self/ns/$kind; done"
    found = dict(zip(KINDS, inside(shared, *words, script).split(), strict=True))
    same = {kind for kind in KINDS if found[kind] == os.readlink(f"/proc/self/ns/{kind}")}
    assert same == of_the_host


@pytest.mark.v2
def test_the_command_is_pid_1_and_sees_only_its_own(shared: Mydocker) -> None:
    out = inside(shared, "echo $$; echo /proc/[0-9]*; cat /proc/1/comm; readlink /proc/1/cwd")
    assert out.split() == ["1", "/proc/1", "sh", "/"]


def test_the_host_name_is_the_short_id_or_what_was_asked(shared: Mydocker, tmp_path: Path) -> None:
    script = 'hostname; echo "$HOSTNAME"'
    name, variable = inside(shared, "--cidfile", f"{tmp_path}/id", script).split()
    assert name == variable == (tmp_path / "id").read_text()[:12]
    for flag in ("-h", "--hostname", "-hostname"):
        assert inside(shared, flag, "bird", script).split() == ["bird", "bird"]
    # With the host's network it has the host's name, as with Docker, but may not change that.
    ours = os.uname().nodename
    assert inside(shared, "--network", "host", script).split() == [ours, ours]
    assert os.uname().nodename == ours


def test_without_a_network_there_is_a_loopback_that_works(shared: Mydocker) -> None:
    script = "ls /sys/class/net; ping -c 1 127.0.0.1 > /dev/null && echo works"
    assert inside(shared, script).split() == ["lo", "works"]
    assert inside(shared, "--userns", "auto", "--net", "none", script).split() == ["lo", "works"]


def test_the_hosts_network_has_the_hosts_interfaces(shared: Mydocker) -> None:
    out = inside(shared, "-net", "host", "ls /sys/class/net").split()
    assert sorted(out) == sorted(os.listdir("/sys/class/net"))


# Words: what belongs to mydocker, what to the container


WORDS = ["", " ", "a b", "'", '"', "$HOME", "a\nb", "\t", "\\", "héllo 世界", "\udcff\udcfe", "*"]
DASHES = ["--rm", "-ti", "--", "-e"]


@pytest.mark.parametrize("word", [*WORDS, *DASHES, "x" * 100_000], ids=lambda word: repr(word[:12]))
def test_a_word_arrives_as_it_was_given(shared: Mydocker, word: str) -> None:
    script = 'printf "%s|" "$#" "$@"'
    out = shared.ok("run", "--rm", "sh", "-c", script, "name", "first", word, "", "last")
    assert out == f"4|first|{word}||last|"


def test_many_words_arrive(shared: Mydocker) -> None:
    words = [str(number) for number in range(5000)]
    assert shared.ok("run", "--rm", "sh", "-c", "shift 4999; echo $1", "name", *words) == "4999\n"


@pytest.mark.parametrize(
    "words",
    [
        ("echo", "-ti", "--name", "x", "--help", "-v"),
        ("--", "echo", "-ti", "--name", "x", "--help", "-v"),
        ("busybox", "echo", "-ti", "--name", "x", "--help", "-v"),
        ("--image", "busybox", "echo", "-ti", "--name", "x", "--help", "-v"),
        ("busybox:latest", "echo", "-ti", "--name", "x", "--help", "-v"),
        ("--entrypoint", "echo", "busybox", "-ti", "--name", "x", "--help", "-v"),
    ],
)
def test_options_end_at_the_first_word(shared: Mydocker, words: tuple[str, ...]) -> None:
    assert shared.ok("run", "--rm", *words) == "-ti --name x --help -v\n"


def test_the_first_word_is_the_image_if_there_is_one(mydocker: Mydocker) -> None:
    identity = mydocker.ok("images", "-q", "--no-trunc").strip()
    assert mydocker.ok("run", "--rm", identity, "echo", "by id") == "by id\n"
    assert mydocker.ok("run", "--rm", identity.removeprefix("sha256:")[:12], "echo", "x") == "x\n"
    assert mydocker.ok("run", "--rm", "sh", "-c", "echo command") == "command\n"
    mydocker.ok("tag", "busybox", "sh")
    assert mydocker.ok("run", "--rm", "sh", "echo", "image") == "image\n"
    assert mydocker.ok("run", "--rm", "--image", "sh", "sh", "-c", "echo both") == "both\n"


def test_an_image_alone_runs_its_own_command(mydocker: Mydocker) -> None:
    assert mydocker.ok("run", "--rm", "-i", "busybox", input="echo typed") == "typed\n"
    changes = ('ENTRYPOINT ["echo", "entry"]', 'CMD ["cmd", "a b"]')
    words = [word for change in changes for word in ("-c", change)]
    mydocker.ok("import", *words, str(IMAGE), "speaking")
    assert mydocker.ok("run", "--rm", "speaking") == "entry cmd a b\n"
    assert mydocker.ok("run", "--rm", "speaking", "given") == "entry given\n"
    assert mydocker.ok("run", "--rm", "--entrypoint", "printf", "speaking", "x") == "x"
    assert mydocker.ok("run", "--rm", "--entrypoint", "", "speaking", "echo", "x") == "x\n"
    assert "no command given" in mydocker.fails(125, "run", "--entrypoint", "", "speaking")


# How it ends


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("false", 1),
        # PID 1 cannot kill itself from inside: the kernel ignores it (pid_namespaces(7)).
        ("kill -9 $$; exit 5", 5),
        # A child of PID 1 can be killed, and the shell says so.
        ("sh -c 'kill -9 $$'; exit $?", 137),
    ],
)
def test_the_exit_code_is_the_commands(shared: Mydocker, script: str, code: int) -> None:
    done = shared.run("run", "--rm", "sh", "-c", script)
    assert (done.returncode, done.stderr.replace("Killed\n", "")) == (code, "")


@pytest.mark.parametrize("name", ["HUP", "INT", "KILL", "SEGV", "TERM"])
def test_a_killed_command_gives_128_and_the_signal(shared: Mydocker, name: str) -> None:
    done = shared.run("run", "--rm", "--init", "sh", "-c", f"kill -{name} $$")
    assert (done.returncode, done.stderr) == (128 + getattr(signal, f"SIG{name}"), "")


def test_pid_1_killed_from_the_host_is_137(
    mydocker: Mydocker, eventually: Callable[..., None]
) -> None:
    process = mydocker.start("run", "--name", "bird", "sh", "-c", "echo up; exec sleep 1000")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    pid = mydocker.inspect("bird")["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=20)
    assert process.returncode == 137
    assert (mydocker.inspect("bird")["exitCode"], mydocker.inspect("bird")["oomKilled"]) == (
        137,
        False,
    )


def test_what_pid_1_leaves_behind_ends_with_it(mydocker: Mydocker) -> None:
    script = "sleep 1000 & echo $(readlink /proc/self/ns/pid)"
    namespace = mydocker.ok("run", "--rm", "sh", "-c", script).strip()
    links = [readlink(f"/proc/{pid}/ns/pid") for pid in os.listdir("/proc") if pid.isdigit()]
    assert namespace not in links


def readlink(path: str) -> str:
    """Where the link leads; empty when it is gone."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


# The environment


def test_the_environment_is_never_the_hosts(shared: Mydocker, tmp_path: Path) -> None:
    lines = ["# a comment", "", "FROM_FILE=1", "  INDENTED= x  ", "BOTH=file", "PASSED"]
    (tmp_path / "vars").write_text("\n".join(lines))
    given = ["GIVEN=a b", "EMPTY=", "EQUAL=a=b", "ABSENT", "LINES=a\nb", "BOTH=flag"]
    words = [word for item in given for word in ("-e", item)] + ["--env-file", f"{tmp_path}/vars"]
    out = shared.ok("run", "--rm", *words, "env", "-0", SECRET="host", PASSED="through")
    variables = dict(item.split("=", 1) for item in out.split("\0") if item)
    assert len(variables.pop("HOSTNAME")) == 12
    assert variables == {
        "PATH": PATH,
        "HOME": "/root",
        "GIVEN": "a b",
        "EMPTY": "",
        "EQUAL": "a=b",
        "LINES": "a\nb",
        "FROM_FILE": "1",
        "INDENTED": " x  ",
        "BOTH": "flag",
        "PASSED": "through",
    }


def test_the_images_variables_come_first_and_can_be_unset(mydocker: Mydocker) -> None:
    words = ("-c", "ENV KEPT=image", "-c", "ENV CHANGED=image", "-c", "ENV UNSET=image")
    mydocker.ok("import", *words, str(IMAGE), "stocked")
    out = mydocker.ok("run", "--rm", "-e", "CHANGED=flag", "-e", "UNSET", "stocked", "env")
    assert {"KEPT=image", "CHANGED=flag"} <= set(out.splitlines())
    assert "UNSET" not in out


def test_home_is_that_of_the_user_unless_it_is_given(shared: Mydocker) -> None:
    assert inside(shared, "-u", "www-data", 'echo "$HOME"') == "/var/www\n"
    assert inside(shared, "-u", "4321", 'echo "$HOME"') == "/\n"
    assert inside(shared, "-e", "HOME=/mine", 'echo "$HOME"') == "/mine\n"


def test_no_variable_of_the_container_reaches_the_runtime(shared: Mydocker) -> None:
    # glibc complains of an LD_PRELOAD that is not there, Python of such a PYTHONHOME; `ok` takes
    # no word on stderr. (The first program of the container to be run is a static one.)
    words = ("-e", "LD_PRELOAD=/nope.so", "-e", "PYTHONHOME=/nope", "-e", "PYTHONPATH=/evil")
    out = shared.ok("run", "--rm", "--init", *words, "env").splitlines()
    assert {"LD_PRELOAD=/nope.so", "PYTHONHOME=/nope", "PYTHONPATH=/evil"} <= set(out)


def test_no_python_variable_of_the_caller_changes_the_runtime(
    shared: Mydocker, tmp_path: Path
) -> None:
    for name in ("json", "os", "sitecustomize", "usercustomize", "encodings"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    evil = {
        "PYTHONPATH": str(tmp_path),
        "PYTHONHOME": "/nope",
        "PYTHONSTARTUP": f"{tmp_path}/json.py",
        "PYTHONINSPECT": "1",
        "PYTHONWARNINGS": "error",
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONIOENCODING": "utf-16",
    }
    done = subprocess.run(
        [str(LAUNCHER), "run", "--rm", "echo", "fine"],
        cwd=tmp_path,
        env=shared.environment | evil,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")
    assert not (tmp_path / "imported").exists()


def test_nothing_of_the_callers_process_is_inherited(shared: Mydocker) -> None:
    script = "umask; ulimit -n; grep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd"
    shell = (
        "umask 077; trap '' HUP INT QUIT USR1 TERM PIPE; exec 7</ 8</etc/passwd;"
        f'exec {LAUNCHER} run --rm sh -c "{script}"'
    )
    command = ["sh", "-c", shell]
    out = subprocess.check_output(command, env=shared.environment, text=True, cwd="/tmp")
    umask, _, blocked, ignored, *descriptors = out.replace("\t", " ").splitlines()
    assert umask == "0022"
    assert blocked == f"SigBlk: {0:016x}"
    assert ignored == f"SigIgn: {0:016x}"
    assert descriptors == ["0", "1", "2", "3"]  # 3 is the directory that ls reads


def test_signals_that_glibc_keeps_for_itself_are_not_inherited_either(shared: Mydocker) -> None:
    def ignore() -> None:
        kernel = ctypes.CDLL(None)
        number = {"x86_64": 13, "aarch64": 134}[os.uname().machine]  # of rt_sigaction(2)
        ignored = (ctypes.c_uint64 * 4)(signal.SIG_IGN)
        for kept in (32, 33):
            assert kernel.syscall(number, kept, ignored, None, 8) == 0

    command = [str(LAUNCHER), "run", "--rm", "grep", "SigIgn", "/proc/self/status"]
    out = subprocess.check_output(command, env=shared.environment, text=True, preexec_fn=ignore)
    assert out.split() == ["SigIgn:", f"{0:016x}"]


# Where and who


def test_the_working_directory_is_made_when_it_is_missing(shared: Mydocker) -> None:
    script = "pwd; stat -c '%a %u' ."
    assert inside(shared, "-w", "/made/here", script) == "/made/here\n755 0\n"
    assert inside(shared, "-w", "/tmp", script).split() == ["/tmp", "1777", "0"]
    assert inside(shared, script).splitlines()[0] == "/"
    line = shared.fails(125, "run", "--rm", "-u", "daemon", "-w", "/root", "true")
    assert line == "mydocker: working directory: /root: permission denied"


@pytest.mark.parametrize("flags", ["", "-u daemon", "-t -u daemon", "--userns auto"])
@pytest.mark.parametrize("more", ["", "--init"])
def test_the_user_can_open_the_standard_streams_by_name(
    shared: Mydocker, flags: str, more: str
) -> None:
    script = "echo out > /dev/stdout; echo err > /dev/stderr; tty > /dev/null < /dev/stdin; true"
    done = shared.run("run", "--rm", *flags.split(), *more.split(), "sh", "-c", script)
    assert done.stdout + done.stderr == "out\nerr\n"
    assert os.stat("/dev/null").st_uid == 0


PASSWD = "root:x:0:0:root:/root:/bin/sh\nbird:x:1000:1000::/home/bird:/bin/sh\nodd:x:٣:3::/:\n"
GROUP = "root:x:0:\nwheel:x:10:root,bird\nbird:x:1000:\naudio:x:29:bird\nodd:x:²:bird\nshort\n"


@pytest.fixture
def accounts(tmp_path: Path) -> list[str]:
    """Flags that give a container these users and groups."""
    for name, text in (("passwd", PASSWD), ("group", GROUP)):
        (tmp_path / name).write_text(text)
    return [f"-v{tmp_path}/{name}:/etc/{name}:ro" for name in ("passwd", "group")]


@pytest.mark.parametrize(
    ("word", "ids"),
    [
        ("", "0 0 0 10"),
        ("0", "0 0 0 10"),
        ("root", "0 0 0 10"),
        ("bird", "1000 1000 1000 10 29"),
        ("1000", "1000 1000 1000 10 29"),
        ("bird:audio", "1000 29 29"),
        ("bird:77", "1000 77 77"),
        ("77", "77 0 0"),
        ("77:88", "77 88 88"),
        (":audio", "0 29 29"),
        ("2147483647", "2147483647 0 0"),
    ],
)
def test_a_user_is_looked_up_in_the_containers_files(
    shared: Mydocker, accounts: list[str], word: str, ids: str
) -> None:
    script = "awk '/^(Uid|Gid|Groups)/' /proc/self/status"
    lines = inside(shared, *accounts, "-u", word, script).splitlines()
    uids, gids, groups = (line.split()[1:] for line in lines)
    assert len(set(uids)) == len(set(gids)) == 1
    # The kernel sorts them.
    assert [uids[0], gids[0], *sorted(ids.split()[2:], key=int)] == [*ids.split()[:2], *groups]


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("nobody-here", "user: nobody-here: not in the container's /etc/passwd"),
        ("odd", "user: odd: not in the container's /etc/passwd"),
        ("bird:odd", "group: odd: not in the container's /etc/group"),
        ("2147483648", "user: 2147483648: larger than 2147483647"),
        ("4294967296", "user: 4294967296: larger than 2147483647"),
        ("1:4294967295", "group: 4294967295: larger than 2147483647"),
    ],
)
def test_a_user_that_is_none_is_refused(
    shared: Mydocker, accounts: list[str], word: str, why: str
) -> None:
    assert shared.fails(125, "run", "--rm", *accounts, "-u", word, "true") == f"mydocker: {why}"


def test_a_user_with_an_id_that_overflows_is_refused(shared: Mydocker, tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root:x:4294967296:0:root:/root:/bin/sh\n")
    words = ("-v", f"{tmp_path}/passwd:/etc/passwd", "-u", "root")
    line = shared.fails(125, "run", "--rm", *words, "true")
    assert line == "mydocker: user: 4294967296: larger than 2147483647"


# Init


def test_init_is_pid_1_and_shows_nothing_of_the_host(shared: Mydocker) -> None:
    script = "echo $$; cat /proc/1/comm; tr '\\0' ' ' < /proc/1/cmdline; cat /proc/1/environ"
    done = shared.run("run", "--rm", "--init", "-e", "A=secret", "sh", "-c", script, B="secret")
    pid, name, *line = done.stdout.split()
    assert pid != "1"
    assert name == "mydocker-init"
    assert line == ["mydocker-init"]
    assert "Permission denied" in done.stderr
    # Even who may look at any process finds nothing there.
    words = ("--init", "--privileged", "-e", "A=secret")
    out = shared.ok("run", "--rm", *words, "cat", "/proc/1/environ", "/proc/1/cmdline", B="secret")
    assert out.strip("\0") == "mydocker-init"


def test_init_reaps_the_orphans_of_others(shared: Mydocker) -> None:
    script = """
        sh -c 'true & true & exit'
        tries=0
        while grep -q '^State:.Z' /proc/[0-9]*/status 2> /dev/null && [ $tries -lt 200 ]
        do tries=$((tries + 1)); sleep 0.05; done
        grep -c '^State:.Z' /proc/[0-9]*/status | grep -vc ':0$'
        """
    assert shared.run("run", "--rm", "--init", "sh", "-c", script).stdout == "0\n"


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1"])
def test_init_forwards_signals_and_returns_the_code(shared: Mydocker, name: str) -> None:
    script = f"trap 'exit 7' {name}; echo up; while :; do sleep 0.1; done"
    process = shared.start("run", "--rm", "--init", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(getattr(signal, f"SIG{name}"))
    process.communicate(timeout=20)
    assert process.returncode == 7


def test_init_works_for_any_user_and_reports_a_missing_command(shared: Mydocker) -> None:
    assert shared.ok("run", "--rm", "--init", "-u", "daemon", "id", "-u") == "1\n"
    assert "nope" in shared.fails(127, "run", "--rm", "--init", "busybox", "nope")
    assert "/etc/passwd" in shared.fails(126, "run", "--rm", "--init", "busybox", "/etc/passwd")


# Limits and rights of the process


def test_a_read_only_root_leaves_volumes_and_memory_writable(
    shared: Mydocker, tmp_path: Path
) -> None:
    script = "touch /x; touch /data/x /run/x /dev/shm/x && echo others"
    words = ("--read-only", "-v", f"{tmp_path}:/data", "--tmpfs", "/run")
    done = shared.run("run", "--rm", *words, "sh", "-c", script)
    assert done.stdout == "others\n"
    assert done.stderr == "touch: /x: Read-only file system\n"


def test_ulimits_are_those_of_getrlimit(shared: Mydocker) -> None:
    words = ("--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "cpu=-1")
    out = inside(shared, *words, "cat /proc/self/limits")
    limits = {line[:26].strip(): line[26:].split()[:2] for line in out.splitlines()}
    assert limits["Max open files"] == ["100", "200"]
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max cpu time"] == ["unlimited", "unlimited"]


def test_a_sysctl_is_the_containers_own(shared: Mydocker) -> None:
    name = Path("/proc/sys/kernel/msgmax")
    before, forward = name.read_text(), Path("/proc/sys/net/ipv4/ip_forward").read_text()
    words = ["--sysctl", "kernel.msgmax=4321", "--sysctl", "net.ipv4.ip_forward=1"]
    out = inside(shared, *words, "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward")
    assert out == "4321\n1\n"
    assert name.read_text() == before
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == forward
    line = shared.fails(125, "run", "--rm", "--network", "host", *words, "true")
    assert line == "mydocker: --sysctl: net.ipv4.ip_forward: is the host's own with --network host"


def capabilities(mydocker: Mydocker, *words: str) -> dict[str, set[str]]:
    """Each of the five sets of a container's process, as names."""
    out = mydocker.ok("run", "--rm", *words, "grep", "^Cap", "/proc/self/status")
    masks = {line.split()[0]: int(line.split()[1], 16) for line in out.splitlines()}
    return {
        name.strip(":").removeprefix("Cap"): {n for i, n in enumerate(NAMES) if mask >> i & 1}
        for name, mask in masks.items()
    }


def of_the_host() -> set[str]:
    """The capabilities that there are at all for us to give."""
    mask = int(status("self")["CapBnd"], 16)
    return {name for number, name in enumerate(NAMES) if mask >> number & 1}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", set(DEFAULT)),
        ("--cap-add NET_ADMIN", {*DEFAULT, "NET_ADMIN"}),
        ("--cap-add cap_net_admin --cap-drop Chown", {*DEFAULT, "NET_ADMIN"} - {"CHOWN"}),
        ("--cap-drop ALL", set()),
        ("--cap-drop all --cap-add CHOWN", {"CHOWN"}),
        ("--cap-add ALL --cap-drop NET_RAW", {*NAMES} - {"NET_RAW"}),
        ("--cap-add ALL", {*NAMES}),
        ("--privileged", {*NAMES}),
        ("--userns auto", set(DEFAULT)),
        ("--init", set(DEFAULT)),
    ],
)
def test_root_has_exactly_these_capabilities_and_none_to_inherit(
    shared: Mydocker, words: str, expected: set[str]
) -> None:
    expected = expected & of_the_host()
    assert capabilities(shared, *words.split()) == {
        "Inh": set(),
        "Prm": expected,
        "Eff": expected,
        "Bnd": expected,
        "Amb": set(),
    }


def test_another_user_has_no_capability_but_could_gain_those_by_a_file(shared: Mydocker) -> None:
    found = capabilities(shared, "-u", "daemon")
    assert found.pop("Bnd") == set(DEFAULT)
    assert found == {"Inh": set(), "Prm": set(), "Eff": set(), "Amb": set()}


def test_a_dropped_capability_is_missed(shared: Mydocker) -> None:
    script = "touch /x && chown 7 /x"
    assert shared.run("run", "--rm", "sh", "-c", script).returncode == 0
    done = shared.run("run", "--rm", "--cap-drop", "CHOWN", "sh", "-c", script)
    assert "Operation not permitted" in done.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (None, "0"),
        ("no-new-privileges", "1"),
        ("no-new-privileges:true", "1"),
        ("no-new-privileges=true", "1"),
        ("no-new-privileges:false", "0"),
    ],
)
def test_no_new_privileges_only_when_asked(
    shared: Mydocker, option: str | None, value: str
) -> None:
    words = ["--security-opt", option] if option else []
    assert inside(shared, *words, "grep NoNewPrivs /proc/self/status").split()[1] == value


def test_memory_file_systems_have_the_size_that_was_asked(shared: Mydocker) -> None:
    words = ("--shm-size", "1m", "--tmpfs", "/scratch:size=2m,mode=700,exec", "--tmpfs", "/plain")
    out = inside(shared, *words, "cat /proc/mounts; stat -c '%a' /scratch /dev/shm")
    mounts = {line.split()[1]: line.split()[3].split(",") for line in out.splitlines()[:-2]}
    assert "size=1024k" in mounts["/dev/shm"]
    assert {"size=2048k", "nosuid", "nodev"} <= set(mounts["/scratch"])
    assert "noexec" not in mounts["/scratch"]
    assert {"noexec", "nosuid", "nodev"} <= set(mounts["/plain"])
    assert out.splitlines()[-2:] == ["700", "1777"]


# Names and files on the host


def test_rm_name_cidfile_and_a_taken_name(mydocker: Mydocker, tmp_path: Path) -> None:
    cidfile = tmp_path / "id"
    mydocker.ok("run", "--name", "bird", "--cidfile", str(cidfile), "true")
    identity = cidfile.read_text()
    assert len(identity) == 64
    assert identity[:12] in mydocker.ok("ps", "-a")
    assert "bird" in mydocker.fails(125, "run", "--name", "bird", "true")
    assert str(cidfile) in mydocker.fails(125, "run", "--cidfile", str(cidfile), "true")
    mydocker.ok("rm", identity[:6])
    mydocker.ok("run", "--rm", "--name", "bird", "true")
    assert mydocker.ok("ps", "-aq") == ""


def test_labels_are_in_the_record(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "-l", "a=b=c", "--label", "alone", "true")
    assert mydocker.inspect("bird")["labels"] == {"a": "b=c", "alone": ""}


def test_detached_it_runs_on_and_its_log_can_be_read(
    mydocker: Mydocker, eventually: Callable[..., None]
) -> None:
    identity = mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", "echo out; exec top").strip()
    assert len(identity) == 64
    assert "Up" in mydocker.ok("ps")
    eventually(lambda: mydocker.ok("logs", "bird") == "out\n")
    assert "is running" in mydocker.fails(1, "rm", "bird")
    mydocker.ok("rm", "-f", "bird")
    assert mydocker.ok("ps", "-aq") == ""


# The user namespace


def test_the_mapped_root_is_nobody_outside_and_its_files_are_not_shifted(
    mydocker: Mydocker, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    for name, uid in (("shared", 100_000), ("private", 0)):
        (tmp_path / name).mkdir(mode=0o755)
        os.chown(tmp_path / name, uid, uid)
    script = """
        id -u; cat /proc/self/uid_map /proc/self/gid_map; stat -c %u /bin/busybox
        echo x > /file; echo y >> /etc/passwd; mkdir /directory; chown 7:8 /directory
        echo z > /shared/file; touch /private/file || echo refused
        echo up; read end; exit $end
        """
    volumes = (f"-v{tmp_path}/shared:/shared", f"-v{tmp_path}/private:/private")
    words = ("run", "-i", "--userns", "auto", "--name", "bird", *volumes, "sh", "-c", script)
    process = mydocker.start(*words, stdin=subprocess.PIPE)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        if line == "up\n":
            break
        lines.append(line.split())
    mapping = ["0", "100000", "65536"]
    assert lines == [["0"], mapping, mapping, ["0"], ["refused"]]
    outside = status(mydocker.inspect("bird")["pid"])
    assert set(outside["Uid"].split()) == set(outside["Gid"].split()) == {"100000"}
    process.communicate("5\n", timeout=60)
    assert process.returncode == 5
    (upper,) = mydocker.root.glob("containers/*/upper")
    assert owner(upper / "file") == owner(upper / "etc/passwd") == (0, 0)
    assert owner(upper / "directory") == (7, 8)
    assert owner(tmp_path / "shared/file") == (100_000, 100_000)


def owner(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_gid


def test_another_range_of_ids_can_be_chosen(shared: Mydocker) -> None:
    assert inside(shared, "--userns", "200000:1000", "cat /proc/self/uid_map").split() == [
        "0",
        "200000",
        "1000",
    ]
    line = shared.fails(125, "run", "--rm", "--userns", "200000:10", "-u", "11:3", "true")
    assert line == "mydocker: user: 11:3: is not in the container's id mapping"


def test_a_user_namespace_has_the_same_devices_and_covers(shared: Mydocker) -> None:
    script = "head -c 3 /dev/zero | wc -c; echo x > /dev/null; wc -c < /proc/keys; ls /proc/acpi"
    assert inside(shared, "--userns", "auto", script).split() == ["3", "0"]


# Limits, in short; test_cgroups.py has the rest


@pytest.mark.v2
def test_a_process_over_its_memory_limit_is_killed_and_that_is_recorded(mydocker: Mydocker) -> None:
    stress = ("stress", "--vm-bytes", "64m", "--vm-keep", "--vm", "1")
    done = mydocker.run("run", "--name", "hog", "-m", "20m", *stress)
    assert done.returncode == 1
    assert "got signal 9" in done.stderr
    assert mydocker.inspect("hog")["oomKilled"] is True


@pytest.mark.v2
def test_what_a_container_changed_can_be_committed_and_run(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "sh", "-c", "echo new > /file; rm /etc/group")
    mydocker.ok("commit", "bird", "changed")
    assert mydocker.ok("run", "--rm", "changed", "sh", "-c", "cat /file; ls /etc") == (
        "new\npasswd\n"
    )

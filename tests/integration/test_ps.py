"""What `ps` shows, in which words, and which containers it picks; that it is true, too.

More about the truth (zombies, reused pids, another boot) is in test_containers.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Mydocker, settle, stock, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, stocked_root: Path) -> Iterator[Mydocker]:
    """Three containers that the tests only look at: bird runs, fish and ant have ended."""
    directory = tmp_path_factory.mktemp("zoo")
    instance = Mydocker(directory)
    stock(instance, stocked_root)
    (directory / "data").mkdir()
    data = f"{directory}/data:/data"
    flags = ("-l", "kind=fish", "-l", "wet", "--network", "host")
    swim = ("sh", "-c", "echo blub; exit 3")
    assert instance.run("run", "--name", "fish", *flags, *swim).returncode == 3
    instance.ok("commit", "-c", "LABEL kind=fish wet=", "fish", "aquarium")
    instance.ok("run", "-d", "--name", "bird", "-l", "kind=bird", "-v", data, "top", "-d", "7")
    instance.ok("run", "--name", "ant", "aquarium", "true")
    yield instance
    settle(instance)


def names(zoo: Mydocker, *words: str) -> list[str]:
    """The names that `ps words…` lists, in its order."""
    return zoo.ok("ps", "--format", "{{.Names}}", *words).split()


# Columns


def test_the_columns_are_dockers(zoo: Mydocker) -> None:
    header, line = zoo.ok("ps").splitlines()
    assert header.split("  ")[0] == "CONTAINER ID"
    heads = header.replace("CONTAINER ID", "ID").split()
    assert heads == "ID IMAGE COMMAND CREATED STATUS PORTS NAMES".split()
    cell = {w: line[header.index(w) :].split("  ")[0] for w in ("IMAGE", "COMMAND", "NAMES")}
    assert cell == {"IMAGE": "busybox", "COMMAND": '"top -d 7"', "NAMES": "bird"}
    assert len(line.split()[0]) == 12


def test_without_containers_there_is_the_head_alone(mydocker: Mydocker) -> None:
    head = "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"
    assert mydocker.ok("ps", "-a") == head  # to the letter as Docker's
    assert mydocker.ok("ps", "-aq") == ""
    assert mydocker.ok("ps", "-a", "--format", "{{.ID}}") == ""


def test_a_long_command_is_cut_unless_it_is_wanted_whole(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "echo", "a word after another")
    assert '"echo a word after a…"' in mydocker.ok("ps", "-a")
    whole = mydocker.ok("ps", "-a", "--no-trunc")
    assert '"echo a word after another"' in whole
    assert len(whole.splitlines()[1].split()[0]) == 64


def test_size_is_what_it_wrote(mydocker: Mydocker) -> None:
    script = "head -c 50000 /dev/zero > /a; ln /a /b; mkdir /d; head -c 2000 /dev/zero > /d/c"
    mydocker.ok("run", "--name", "bird", "sh", "-c", script)
    assert "52kB (virtual " in mydocker.ok("ps", "-as")
    assert mydocker.ok("ps", "-a", "--format", "{{.Size}}").startswith("52kB (virtual 5")
    assert mydocker.ok("inspect", "-s", "-f", "{{.SizeRw}}", "bird") == "52000\n"


# Which


def test_the_last_ones_in_whatever_state(zoo: Mydocker) -> None:
    assert names(zoo) == ["bird"]
    assert names(zoo, "-a") == ["ant", "bird", "fish"]
    assert names(zoo, "-l") == ["ant"]
    assert names(zoo, "-n", "2") == ["ant", "bird"]
    assert names(zoo, "-n", "0") == []
    assert names(zoo, "-n", "-1") == ["ant", "bird", "fish"]
    assert names(zoo, "-n", "2", "-f", "status=exited") == ["ant", "fish"]


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ("name=bird", "bird"),
        ("name=i", "bird fish"),
        ("name=^i", ""),
        ("name=^/bird$", "bird"),
        ("name=bird name=ant", "ant bird"),
        ("label=wet", "ant fish"),  # ant has it from its image
        ("label=kind=bird", "bird"),
        ("label=kind label=wet", "ant fish"),
        ("label!=wet", "bird"),
        ("status=running", "bird"),
        ("status=exited", "ant fish"),
        ("status=running status=exited", "ant bird fish"),
        ("status=paused", ""),
        ("exited=3", "fish"),
        ("exited=0", "ant"),
        ("exited=3 exited=0", "ant fish"),
        ("exited=3 name=ant", ""),
        ("ancestor=aquarium", "ant"),
        ("ancestor=busybox", "ant bird fish"),
        ("ancestor=busybox:latest", "ant bird fish"),
        ("ancestor=nope", ""),
        ("before=bird", "fish"),
        ("since=bird", "ant"),
        ("since=fish before=ant", "bird"),
        ("volume=/data", "bird"),
        ("volume=/nope", ""),
        ("network=host", "fish"),
        ("network=none", "ant bird"),
        ("health=none", "ant bird fish"),
        ("health=healthy", ""),
    ],
)
def test_a_filter_picks_containers(zoo: Mydocker, filters: str, shown: str) -> None:
    words = [word for text in filters.split() for word in ("--filter", text)]
    assert names(zoo, "-a", *words) == shown.split()


def test_who_asks_for_a_state_need_not_ask_for_all(zoo: Mydocker) -> None:
    assert names(zoo, "-f", "status=exited") == ["ant", "fish"]
    assert names(zoo, "-f", "exited=3") == ["fish"]
    assert names(zoo, "-f", "name=fish") == []


def test_an_id_is_a_filter_too(zoo: Mydocker) -> None:
    identity = zoo.ok("ps", "-q", "--no-trunc").strip()
    assert names(zoo, "-a", "--filter", f"id={identity[:20]}") == ["bird"]


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("nope=1", "no such filter: nope"),
        ("name", "not KEY=VALUE"),
        ("name!=x", "no such filter"),
        ("status=up", "not one of created running"),
        ("exited=x", "not an exit code"),
        ("health=ill", "not one of starting healthy"),
        ("name=(", "not a pattern"),
        ("before=nope", "no such container"),
    ],
)
def test_a_wrong_filter_is_named(zoo: Mydocker, word: str, why: str) -> None:
    assert why in zoo.fails(125, "ps", "--filter", word)


# Format


def test_a_template_has_dockers_fields(zoo: Mydocker) -> None:
    form = r"{{.Names}}\t{{.Image}}\t{{.State}}\t{{.Label "
    form += r'"kind"}}\t{{.Networks}}\t{{.LocalVolumes}}\t{{.ExitCode}}'
    assert zoo.ok("ps", "-a", "--format", form).splitlines() == [
        "ant\taquarium\texited\tfish\tnone\t0\t0",
        "bird\tbusybox\trunning\tbird\tnone\t0\t0",
        "fish\tbusybox\texited\tfish\thost\t0\t3",
    ]
    assert zoo.ok("ps", "--format", "{{.CreatedAt}}").endswith(" +0000 UTC\n")
    assert zoo.ok("ps", "--format", "{{.Mounts}}", "--no-trunc").endswith("/data\n")


def test_the_books_columns_are_a_format(zoo: Mydocker) -> None:
    """5.2: ID, NAME, PID, STATUS, COMMAND, CREATED; the pid is one of the host's."""
    form = r"table {{.ID}}\t{{.Names}}\t{{.Pid}}\t{{.State}}\t{{.Command}}\t{{.Created}}"
    header, line = zoo.ok("ps", "--format", form).splitlines()
    assert header.split() == "CONTAINER ID NAMES PID STATE COMMAND CREATED".split()
    pid = int(line.split()[2])
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"top\0-d\x007\0"
    (created,) = json.loads(zoo.ok("inspect", "bird"))
    assert line.split()[-1] == created["created"]


def test_json_is_an_object_a_line(zoo: Mydocker) -> None:
    def told(form: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in zoo.ok("ps", "-a", "--format", form).splitlines()]

    lines = told("json")
    assert [line["Names"] for line in lines] == ["ant", "bird", "fish"]
    assert {"ID", "Image", "Command", "CreatedAt", "Status", "Labels"} <= lines[0].keys()
    again = told("{{json .}}")
    for line in lines + again:
        del line["RunningFor"], line["Status"]  # a second may have passed between the two
    assert lines == again


def test_an_unknown_field_is_named_with_those_that_are_known(zoo: Mydocker) -> None:
    done = zoo.run("ps", "--format", "{{.Nope}}")
    assert done.returncode == 125
    assert done.stderr.startswith("mydocker: --format: {{.Nope}}: no such field: .Nope\nhint: ")
    assert "Names" in done.stderr


def test_no_label_or_command_writes_to_the_terminal(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "-l", "a=\033[31mred", "echo", "\033[2J")
    for words in (("ps", "-a"), ("ps", "-a", "--format", "{{.Labels}} {{.Command}}")):
        child = mydocker.terminal(*words)
        text = child.read()
        child.wait()
        assert "\033" not in text
        assert "x1b" in text
    for form in ("{{json .Config.Labels}}", "{{.Config.Labels.a}}"):
        child = mydocker.terminal("inspect", "-f", form, "bird")
        assert "\033" not in child.read()
        child.wait()
    assert mydocker.ok("inspect", "-f", "{{.Config.Labels.a}}", "bird") == "\033[31mred\n"


# The truth


def test_the_pid_is_the_kernels_and_gone_when_it_is(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    form = ("ps", "-a", "--format", "{{.State}} {{.Pid}}")
    state, pid = mydocker.ok(*form).split()
    assert state == "running"
    assert Path(f"/proc/{pid}/comm").read_text() == "top\n"
    os.kill(int(pid), signal.SIGKILL)
    wait_until(lambda: mydocker.ok(*form) == "exited 0\n")
    assert mydocker.ok("ps", "-q", "--filter", "status=running") == ""


def test_a_paused_and_a_new_container_show_so(mydocker: Mydocker) -> None:
    mydocker.ok("create", "--name", "egg", "true")
    mydocker.ok("run", "-d", "--name", "bird", "top")
    mydocker.ok("pause", "bird")
    form = ("--format", "{{.Names}} {{.State}} {{.Status}}")
    assert mydocker.ok("ps", "-a", *form).splitlines()[1] == "egg created Created"
    assert mydocker.ok("ps", *form).startswith("bird paused Up ")
    assert mydocker.ok("ps", *form).endswith(" (Paused)\n")
    assert mydocker.ok("ps", "-a", "-f", "status=created", *form) == "egg created Created\n"
    state = "{{.State.Status}} {{.State.Paused}} {{.State.Running}} {{.State.StartedAt}}"
    assert mydocker.ok("inspect", "-f", state, "egg").split()[:3] == ["created", "false", "false"]
    assert mydocker.ok("inspect", "-f", state, "egg").endswith(" 0001-01-01T00:00:00Z\n")
    assert mydocker.ok("inspect", "-f", state, "bird").split()[:3] == ["paused", "true", "true"]
    mydocker.ok("unpause", "bird")


def test_a_damaged_spec_does_not_spoil_the_list(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    (path,) = mydocker.root.glob("containers/*/config.json")
    path.write_text("{")
    assert mydocker.ok("ps", "-a", "--format", "{{.Names}} {{.Mounts}}") == "bird \n"
    assert mydocker.ok("ps", "-aq", "--filter", "volume=/x") == ""
    subprocess.run(["rm", str(path)], check=True)


# Labels from a file, and Docker's other spellings


def test_labels_come_from_a_file_and_the_flag_wins(mydocker: Mydocker, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("# mine\na=1\n\nb=2 3\nbare\n")
    flags = ("--label-file", f"{tmp_path}/labels", "--label", "a=9")
    mydocker.ok("run", "--name", "bird", *flags, "true")
    told = mydocker.ok("inspect", "-f", "{{json .Config.Labels}}", "bird")
    assert json.loads(told) == {"a": "9", "b": "2 3", "bare": ""}
    assert "/nope" in mydocker.fails(125, "run", "--label-file", "/nope", "true")


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("container ls -aq", "ps -aq"),
        ("container list -aq", "ps -aq"),
        ("container inspect bird", "inspect bird"),
        ("container logs fish", "logs fish"),
        ("image ls -q --no-trunc", "images -q --no-trunc"),
        ("image inspect busybox", "inspect busybox"),
        ("help container ls", "ps --help"),
        ("container rm --help", "rm --help"),
    ],
)
def test_dockers_other_spellings_are_the_same_commands(
    zoo: Mydocker, spelled: str, meant: str
) -> None:
    assert zoo.ok(*spelled.split()) == zoo.ok(*meant.split())


def test_a_spelling_that_enters_a_container_does_so_as_safely(mydocker: Mydocker) -> None:
    assert mydocker.ok("container", "run", "--rm", "echo", "hello") == "hello\n"
    assert "no such container" in mydocker.fails(125, "container", "inspect", "busybox")
    assert "no such image" in mydocker.fails(125, "image", "inspect", "nope")
    assert "no such subcommand" in mydocker.fails(125, "container", "nope")


def test_prune_removes_what_does_not_run_after_asking(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    for name, label in (("fish", "a=1"), ("ant", "b=2")):
        mydocker.ok("run", "--name", name, "-l", label, "sh", "-c", "echo 1234 > /x")
    refused = mydocker.run("container", "prune")
    assert refused.returncode == 1
    assert "Are you sure" in refused.stdout
    assert len(mydocker.ok("ps", "-aq").split()) == 3
    assert mydocker.ok("container", "prune", "-f", "--filter", "until=1h").endswith(": 0B\n")
    told = mydocker.ok("container", "prune", "-f", "--filter", "label=a")
    assert told.startswith("Deleted Containers:\n")
    assert told.endswith("Total reclaimed space: 5B\n")
    assert mydocker.ok("ps", "-a", "--format", "{{.Names}}") == "ant\nbird\n"
    assert "no such filter" in mydocker.fails(125, "container", "prune", "-f", "--filter", "x=1")


def test_prune_of_everything_takes_what_nobody_needs(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "-v", "kept:/v", "top")
    mydocker.ok("run", "--name", "fish", "-v", "/w", "sh", "-c", "echo 12 > /x; echo 1 > /w/x")
    mydocker.ok("commit", "fish")
    mydocker.ok("tag", "busybox", "other")
    mydocker.ok("volume", "create", "mine")
    images, volumes = ("images", "-q"), ("volume", "ls", "-q")
    asked = mydocker.run("system", "prune", "--volumes", input="n\n")
    assert asked.returncode == 1
    assert "all stopped containers\n  - all networks" in asked.stdout
    assert (len(mydocker.ok(*images).split()), len(mydocker.ok(*volumes).split())) == (2, 3)
    told = mydocker.ok("system", "prune", "--volumes", "-f")
    assert [line for line in told.splitlines() if line.startswith("Deleted")] == [
        f"Deleted {kind}:" for kind in ("Containers", "Volumes", "Images")
    ]
    assert told.endswith("Total reclaimed space: 8B\n")  # 3 in the container and in the image
    assert mydocker.ok("ps", "-a", "--format", "{{.Names}}") == "bird\n"
    assert len(mydocker.ok(*images).split()) == 1
    assert sorted(mydocker.ok(*volumes).split()) == ["kept", "mine"]
    assert "no such filter" in mydocker.fails(125, "system", "prune", "-f", "--filter", "x=1")


def test_other_lists_have_formats_too(zoo: Mydocker) -> None:
    assert zoo.ok("images", "--format", "{{.Repository}}:{{.Tag}}") == (
        "aquarium:latest\nbusybox:latest\n"
    )
    head, *lines = zoo.ok("images", "--format", r"table {{.ID}}\t{{.Size}}").splitlines()
    assert head.split() == ["IMAGE", "ID", "SIZE"]
    assert len(lines) == 2
    told = [json.loads(line) for line in zoo.ok("image", "ls", "--format", "json").splitlines()]
    assert [line["Repository"] for line in told] == ["aquarium", "busybox"]
    assert zoo.ok("network", "ls", "--format", "{{.Name}}/{{.Driver}}") == "host/host\nnone/null\n"
    assert "no such field" in zoo.fails(125, "network", "ls", "--format", "{{.Nope}}")
    assert zoo.ok("volume", "ls", "--format", "{{.Name}}") == ""


def test_a_volume_is_known_by_its_name(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "-v", "nest:/v", "true")
    assert mydocker.ok("volume", "ls", "--format", "{{.Driver}} {{.Name}}") == "local nest\n"
    mount = "{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}}{{end}}"
    assert mydocker.ok("inspect", "-f", mount, "bird") == "volume nest /v true\n"
    assert mydocker.ok("inspect", "-f", "{{.Mountpoint}}", "nest").endswith("/nest/_data\n")
    assert mydocker.ok("volume", "inspect", "-f", "{{.Name}}", "nest") == "nest\n"
    form = ("--format", "{{.Names}} {{.Mounts}} {{.LocalVolumes}}")
    assert mydocker.ok("ps", "-a", "-f", "volume=nest", *form) == "bird nest 1\n"

"""`inspect`: our record, the same in Docker's words, and templates over both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Mydocker, settle, stock

if TYPE_CHECKING:
    from collections.abc import Iterator

FLAGS = (
    *("--name", "bird", "-h", "nest", "-e", "A=b c", "-w", "/tmp", "-u", "daemon", "-l", "x.y=z"),
    *("-m", "64m", "--cpus", "0.5", "--cpu-shares", "512", "--pids-limit", "50", "--read-only"),
    *("--tmpfs", "/scratch", "--ulimit", "nofile=100:200", "--stop-signal", "INT"),
    *("--log-opt", "max-size=1m", "--init", "-i"),
)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, stocked_root: Path) -> Iterator[Mydocker]:
    """A container with many flags that the tests only look at, and one that has ended."""
    directory = tmp_path_factory.mktemp("zoo")
    instance = Mydocker(directory)
    stock(instance, stocked_root)
    (directory / "data").mkdir()
    instance.ok("run", "-d", *FLAGS, "-v", f"{directory}/data:/data:ro", "top", "-d", "9")
    assert instance.run("run", "--name", "fish", "sh", "-c", "exit 3").returncode == 3
    yield instance
    settle(instance)


def ask(zoo: Mydocker, template: str, *words: str) -> str:
    """What `inspect -f template words…` says, without the end of the line."""
    return zoo.ok("inspect", "-f", template, *(words or ("bird",))).removesuffix("\n")


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{.Name}}", "/bird"),
        ("{{.Path}} {{.Args}}", "top [-d 9]"),
        ("{{.State.Status}} {{.State.Running}} {{.State.Paused}}", "running true false"),
        ("{{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}}", "0 false "),
        ("{{.State.FinishedAt}}", "0001-01-01T00:00:00Z"),
        ("{{.Config.Image}} {{.Config.Hostname}} {{.Config.User}}", "busybox nest daemon"),
        ("{{.Config.WorkingDir}} {{.Config.Tty}} {{.Config.OpenStdin}}", "/tmp false true"),
        ("{{json .Config.Cmd}}", '["top","-d","9"]'),
        ('{{index .Config.Labels "x.y"}}', "z"),
        ("{{range .Config.Env}}{{if eq . `A=b c`}}there{{end}}{{end}}", "there"),
        ("{{.Config.StopSignal}}", "SIGINT"),
        ("{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", "67108864 500000000"),
        ("{{.HostConfig.CpuShares}} {{.HostConfig.PidsLimit}}", "512 50"),
        ("{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Init}}", "true true"),
        ("{{.HostConfig.NetworkMode}} {{.HostConfig.AutoRemove}}", "none false"),
        ("{{.HostConfig.LogConfig.Type}} {{.HostConfig.LogConfig.Config}}", None),
        ("{{json .HostConfig.Ulimits}}", '[{"Name":"nofile","Soft":100,"Hard":200}]'),
        ("{{(index .Mounts 0).Destination}} {{(index .Mounts 0).RW}}", None),
        ("{{range .Mounts}}{{.Type}}{{end}} {{len .Mounts}}", None),
        ("{{.NetworkSettings.IPAddress}}", ""),
        ("{{range $name, $net := .NetworkSettings.Networks}}{{$name}}{{end}}", "none"),
        ("{{json .NetworkSettings.Ports}}", "{}"),
        ("{{.name}} {{.status}} {{.exitCode}}", "bird running 0"),
        ("{{.spec.hostname}} {{.spec.process.terminal}}", "nest false"),
    ],
)
def test_dockers_paths_lead_to_the_facts(zoo: Mydocker, template: str, told: str | None) -> None:
    said = ask(zoo, template)
    if "LogConfig" in template:
        told = "json-file map[max-size:1m]"
    elif "(index .Mounts" in template:
        told = said if said in ("/data false", "/scratch true") else "not so"
    elif "range .Mounts" in template:
        told = said if said in ("bindtmpfs 2", "tmpfsbind 2") else "not so"
    assert said == told


def test_the_pid_is_the_kernels_and_zero_when_it_has_ended(zoo: Mydocker) -> None:
    pid = ask(zoo, "{{.State.Pid}}")
    assert Path(f"/proc/{pid}/cgroup").read_text().count(ask(zoo, "{{.Id}}")) > 1
    assert ask(zoo, "{{.NetworkSettings.SandboxKey}}") == f"/proc/{pid}/ns/net"
    assert ask(zoo, "{{.State.Pid}} {{.State.ExitCode}} {{.State.Running}}", "fish") == "0 3 false"


def test_each_object_is_a_line_and_one_that_is_missing_an_error(zoo: Mydocker) -> None:
    assert ask(zoo, "{{.Name}}", "bird", "fish") == "/bird\n/fish"
    done = zoo.run("inspect", "-f", "{{.Name}}", "nope", "fish")
    assert (done.returncode, done.stdout) == (125, "/fish\n")
    assert (
        done.stderr == "mydocker: inspect: nope: no such container or image or volume or network\n"
    )
    whole = zoo.run("inspect", "nope", "fish")
    assert [found["name"] for found in json.loads(whole.stdout)] == ["fish"]
    assert whole.returncode == 125


def test_the_record_comes_first_as_it_is_on_the_disk(zoo: Mydocker) -> None:
    (shown,) = json.loads(zoo.ok("inspect", "bird"))
    directory = zoo.root / "containers" / shown["id"]
    record: dict[str, Any] = json.loads((directory / "container.json").read_text())
    spec: dict[str, Any] = json.loads((directory / "config.json").read_text())
    assert {name: shown[name] for name in record} == record
    assert [*shown][: len(record)] == [*record]
    assert shown["spec"] == spec
    facts = (shown["Id"], shown["State"]["Pid"], shown["Created"], shown["Config"]["Env"])
    assert facts == (record["id"], record["pid"], record["created"], spec["process"]["env"])


def test_an_image_has_dockers_paths_too(zoo: Mydocker) -> None:
    template = (
        "{{.RepoTags}} {{json .Config.Cmd}} {{.Os}} {{len .RootFS.Layers}} {{.Config.Labels}}"
    )
    assert ask(zoo, template, "busybox") == '[busybox:latest] ["sh"] linux 1 map[]'
    assert ask(zoo, "{{.Id}}", "busybox") == ask(zoo, "{{.Image}}", "bird")
    assert int(ask(zoo, "{{.Size}}", "busybox")) > 1_000_000


def test_a_type_says_what_is_meant(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "busybox", "true")
    assert ask(mydocker, "{{.Name}}", "busybox") == "/busybox"
    assert ask(mydocker, "{{.Name}}", "--type=container", "busybox") == "/busybox"
    assert ask(mydocker, "{{.RepoTags}}", "--type", "image", "busybox") == "[busybox:latest]"
    assert "not one of container image" in mydocker.fails(125, "inspect", "--type=x", "busybox")
    assert "no such image" in mydocker.fails(125, "inspect", "--type=image", "nope")


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{.State.Nope}}", "no such field: .State.Nope"),
        ("{{.Config.Labels.nope.nope}}", "no such field: .Config.Labels.nope.nope"),
        ("{{range", "not closed"),
        ("{{nope .}}", "no such function: nope"),
        ("{{index .Mounts 7}}", "there is no 7"),
    ],
)
def test_what_is_wrong_with_a_template_is_one_line(zoo: Mydocker, template: str, why: str) -> None:
    assert why in zoo.fails(125, "inspect", "-f", template, "bird")


def test_json_is_one_object_in_one_line(zoo: Mydocker) -> None:
    (whole,) = json.loads(zoo.ok("inspect", "bird"))
    assert json.loads(zoo.ok("inspect", "-f", "json", "bird")) == whole
    assert json.loads(ask(zoo, "{{json .State}}")) == whole["State"]
    assert json.loads(ask(zoo, "{{json .}}", "bird")) == whole


def test_version_and_info_have_fields(zoo: Mydocker) -> None:
    version = zoo.ok("version").split()[1]
    assert zoo.ok("version", "-f", "{{.Server.Version}} {{.Client.Version}}").split() == [
        version,
        version,
    ]
    info = "{{.Containers}} {{.ContainersRunning}} {{.ContainersStopped}} {{.Images}}"
    assert zoo.ok("system", "info", "--format", info) == "2 1 1 1\n"
    assert json.loads(zoo.ok("system", "info", "--format", "json"))["DockerRootDir"] == str(
        zoo.root
    )
    assert "CgroupVersion: " in zoo.ok("system", "info")


def test_the_disk_is_counted_and_a_layer_once(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", "head -c 7000 /dev/zero > /x; exec top")
    mydocker.ok("run", "--name", "fish", "sh", "-c", "head -c 2000 /dev/zero > /x")
    mydocker.ok("tag", "busybox", "other")
    mydocker.ok("commit", "fish", "third")
    form = "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}|{{.Reclaimable}}"
    images, containers, _ = mydocker.ok("system", "df", "--format", form).splitlines()
    assert images.startswith("Images|2|1|5.0")
    assert images.endswith("|2kB (0%)")
    assert containers == "Containers|2|1|9kB|2kB (22%)"
    assert mydocker.ok("system", "df").split()[:5] == "TYPE TOTAL ACTIVE SIZE RECLAIMABLE".split()

"""Image configurations: OCI's JSON both ways, and the changes of `-c`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mydocker.errors import Corrupt, Usage
from mydocker.rootfs.imagechanges import apply
from mydocker.rootfs.imageconfig import History, ImageConfig, RootFS, RunConfig

# As docker build writes it, with fields that mydocker has no use for.
DOCKERS: dict[str, Any] = {
    "architecture": "amd64",
    "config": {
        "User": "1000:1000",
        "ExposedPorts": {"80/tcp": {}},
        "Env": ["PATH=/bin", "A=b=c"],
        "Entrypoint": ["/entry"],
        "Cmd": ["sh", "-c", "a b"],
        "Volumes": {"/data": {}},
        "WorkingDir": "/srv",
        "Labels": {"a": "b"},
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30},
        "OnBuild": None,
        "ArgsEscaped": True,
    },
    "created": "2024-05-06T07:08:09.123456789Z",
    "history": [
        {"created": "2024-05-06T07:08:09Z", "created_by": "ADD", "comment": "x"},
        {"created": "2024-05-06T07:08:09Z", "created_by": "CMD", "empty_layer": True},
    ],
    "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "a" * 64]},
    "moby.buildkit.buildinfo.v1": "e30=",
}


def test_what_another_tool_wrote_is_kept() -> None:
    config = ImageConfig.from_json(DOCKERS)
    assert config.config.cmd == ["sh", "-c", "a b"]
    assert config.config.working_dir == "/srv"
    assert config.rootfs.diff_ids == ["sha256:" + "a" * 64]
    assert config.history[1].empty_layer
    written = config.to_json()
    assert (
        written.pop("config").items()
        >= {key: value for key, value in DOCKERS["config"].items() if value}.items()
    )
    assert written == {key: value for key, value in DOCKERS.items() if key != "config"}


def test_the_json_has_the_names_of_the_specification() -> None:
    config = ImageConfig(
        created="2024-01-01T00:00:00Z",
        architecture="amd64",
        config=RunConfig(cmd=["sh"], working_dir="/", exposed_ports={"1/tcp": {}}, stop_signal="9"),
        rootfs=RootFS(diff_ids=["sha256:1"]),
        history=[History(created_by="x", empty_layer=True)],
    )
    assert json.loads(json.dumps(config.to_json())) == {
        "created": "2024-01-01T00:00:00Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "ExposedPorts": {"1/tcp": {}},
            "Cmd": ["sh"],
            "WorkingDir": "/",
            "StopSignal": "9",
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:1"]},
        "history": [{"created_by": "x", "empty_layer": True}],
    }
    assert ImageConfig.from_json(config.to_json()) == config


def test_null_means_empty() -> None:
    data = {"config": {"Cmd": None, "Env": None, "Volumes": None}, "history": None}
    config = ImageConfig.from_json(data)
    assert (config.config.cmd, config.config.env, config.history) == ([], [], [])
    assert ImageConfig.from_json({"config": None}).config == RunConfig()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], "imageconfig"),
        ({"config": []}, "runconfig"),
        ({"config": {"Cmd": "sh"}}, "Cmd"),
        ({"config": {"Env": [1]}}, "Env"),
        ({"config": {"Volumes": ["/data"]}}, "Volumes"),
        ({"config": {"Labels": {"a": 1}}}, "Labels"),
        ({"config": {"User": 0}}, "User"),
        ({"rootfs": {"diff_ids": {}}}, "diff_ids"),
        ({"history": {}}, "history"),
        ({"history": [{"empty_layer": "yes"}]}, "empty_layer"),
        ({"os": 7}, "os"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(data: Any, field: str) -> None:
    with pytest.raises(Corrupt) as caught:
        ImageConfig.from_json(data)
    assert caught.value.obj == field


def changed(*changes: str, **before: Any) -> RunConfig:
    config = RunConfig(**before)
    apply(config, list(changes))
    return config


def test_a_command_is_an_array_or_for_the_shell() -> None:
    assert changed('CMD ["a b", "c"]').cmd == ["a b", "c"]
    assert changed("CMD echo $HOME 'x y'").cmd == ["/bin/sh", "-c", "echo $HOME 'x y'"]
    assert changed('ENTRYPOINT ["/x"]').entrypoint == ["/x"]
    assert changed("CMD", cmd=["sh"]).cmd == []
    assert changed("cmd []", cmd=["sh"]).cmd == []


def test_a_new_entrypoint_forgets_the_old_command_but_not_a_new_one() -> None:
    assert changed('ENTRYPOINT ["/x"]', cmd=["old"]).cmd == []
    assert changed('CMD ["new"]', 'ENTRYPOINT ["/x"]', cmd=["old"]).cmd == ["new"]
    assert changed('ENTRYPOINT ["/x"]', 'CMD ["new"]', cmd=["old"]).cmd == ["new"]


@pytest.mark.parametrize(
    ("change", "env"),
    [
        ("ENV A=1", ["PATH=/bin", "A=1"]),
        ("ENV A=1 B=2", ["PATH=/bin", "A=1", "B=2"]),
        ("ENV A=\"x y\" B='$PATH'", ["PATH=/bin", "A=x y", "B=$PATH"]),
        ("ENV A all of it", ["PATH=/bin", "A=all of it"]),
        ("ENV PATH=/usr/bin:$PATH", ["PATH=/usr/bin:/bin"]),
        ('ENV A="${PATH}x"', ["PATH=/bin", "A=/binx"]),
        ("ENV A=${NO:-word}${PATH:+set}${NO:+gone}", ["PATH=/bin", "A=wordset"]),
        ("ENV A=$NO", ["PATH=/bin", "A="]),
        (r"ENV A=\$PATH\ x", ["PATH=/bin", "A=$PATH x"]),
        (r'ENV A="a\nb\"c"', ["PATH=/bin", r'A=a\nb"c']),
        ("ENV A=", ["PATH=/bin", "A="]),
        ("ENV A=1$", ["PATH=/bin", "A=1$"]),
        ("ENV A=a=b", ["PATH=/bin", "A=a=b"]),
    ],
)
def test_environment_is_set_as_a_dockerfile_sets_it(change: str, env: list[str]) -> None:
    assert changed(change, env=["PATH=/bin"]).env == env


def test_the_other_instructions() -> None:
    config = changed(
        "WORKDIR /srv",
        "WORKDIR app/../www",
        "USER 1000:100",
        "EXPOSE 80 53/udp 8000-8002",
        "VOLUME /a /b",
        'VOLUME ["/c d"]',
        'LABEL a=1 "b c"="d e"',
        "LABEL old way",
        "STOPSIGNAL SIGQUIT",
    )
    assert config.working_dir == "/srv/www"
    assert config.user == "1000:100"
    ports = ["80/tcp", "53/udp", "8000/tcp", "8001/tcp", "8002/tcp"]
    assert list(config.exposed_ports) == ports
    assert list(config.volumes) == ["/a", "/b", "/c d"]
    assert config.labels == {"a": "1", "b c": "d e", "old": "way"}
    assert config.stop_signal == "SIGQUIT"


def test_one_text_may_hold_several_lines() -> None:
    assert changed("ENV A=1\n\nUSER me").user == "me"


@pytest.mark.parametrize(
    "change",
    [
        "RUN date",
        "FROM x",
        "nonsense",
        "CMD [1]",
        'CMD ["a"',
        "ENV",
        "ENV A",
        "ENV =1",
        'ENV A="1',
        "ENV A=${B",
        "ENV A=${B:?x}",
        "EXPOSE",
        "EXPOSE 0",
        "EXPOSE 65536",
        "EXPOSE 9-8",
        "EXPOSE 9-",
        "EXPOSE x",
        "EXPOSE 80/icmp",
        "VOLUME",
        "VOLUME []",
        "USER",
        "USER a b",
        "WORKDIR",
        "LABEL",
        "STOPSIGNAL",
        "STOPSIGNAL SIGNONE",
        "STOPSIGNAL 65",
    ],
)
def test_a_wrong_change_is_named_and_none_is_made(change: str) -> None:
    config = RunConfig(volumes={"/kept": {}})
    with pytest.raises(Usage) as caught:
        apply(config, ["VOLUME /v", "USER me", change])
    assert caught.value.obj == change
    assert config == RunConfig(volumes={"/kept": {}})


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ("HEALTHCHECK NONE", {"Test": ["NONE"]}),
        ("HEALTHCHECK CMD wget -q localhost", {"Test": ["CMD-SHELL", "wget -q localhost"]}),
        ('HEALTHCHECK CMD ["a", "b c"]', {"Test": ["CMD", "a", "b c"]}),
        (
            "healthcheck --interval=1m30s --timeout=500ms --retries=3 --start-period=1.5h CMD x",
            {
                "Test": ["CMD-SHELL", "x"],
                "Interval": 90 * 10**9,
                "Timeout": 5 * 10**8,
                "Retries": 3,
                "StartPeriod": 5400 * 10**9,
            },
        ),
    ],
)
def test_a_health_check_is_written_as_docker_writes_it(change: str, check: dict[str, Any]) -> None:
    config = RunConfig()
    apply(config, [change])
    assert config.to_json() == {"Healthcheck": check}
    assert RunConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    "change",
    [
        "HEALTHCHECK",
        "HEALTHCHECK CMD",
        "HEALTHCHECK NONE x",
        "HEALTHCHECK wget",
        "HEALTHCHECK --interval=5 CMD x",
        "HEALTHCHECK --interval= CMD x",
        "HEALTHCHECK --interval=1..2s CMD x",
        "HEALTHCHECK --retries=x CMD x",
        "HEALTHCHECK --nope=1s CMD x",
        'HEALTHCHECK CMD ["a"',
        "ONBUILD",
        "ONBUILD FROM x",
        "ONBUILD ONBUILD RUN x",
    ],
)
def test_a_wrong_health_check_or_trigger_is_named(change: str) -> None:
    with pytest.raises(Usage, match=change.split()[0]):
        apply(RunConfig(), [change])


def test_triggers_are_kept_for_whoever_builds_on_the_image() -> None:
    config = RunConfig()
    apply(config, ["ONBUILD RUN make", "ONBUILD COPY . /src"])
    assert config.to_json() == {"OnBuild": ["RUN make", "COPY . /src"]}

"""Records with fields, and the JSON of the OCI specification that they become."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mydocker.spec import IdMapping, Linux, Mount, Process, Resources, Rlimit, Spec, Struct, User


def test_fields_are_given_by_name_and_have_defaults() -> None:
    user = User(uid=7)
    assert (user.uid, user.gid, user.username) == (7, 0, "")
    with pytest.raises(TypeError, match="User has no name"):
        User(name="x")  # type: ignore[call-arg]  # what is tested
    with pytest.raises(TypeError, match="Rlimit needs hard"):
        Rlimit(type="RLIMIT_CORE", soft=0)  # type: ignore[call-arg]  # what is tested


def test_no_two_records_share_a_default() -> None:
    first, second = Spec(), Spec()
    first.process.args.append("x")
    first.mounts.append(Mount(destination="/x"))
    first.linux.sysctl["a"] = "b"
    first.linux.resources.memory = 1
    assert second == Spec()
    assert (second.process.args, second.mounts, second.linux.sysctl) == ([], [], {})
    assert Process().user is not Process().user


def test_records_are_compared_and_shown_by_their_fields() -> None:
    assert User(uid=1) == User(uid=1) != User(uid=2)
    assert User() != Process()
    assert repr(IdMapping(host_id=5, size=1)) == "IdMapping(container_id=0, host_id=5, size=1)"


def test_a_subclass_has_its_parents_fields_first() -> None:
    class More(User):
        shell: str = "/bin/sh"
        _hidden: int = 0

    assert More.fields() == [*User.fields(), "shell"]
    assert More(uid=3).to_json()["shell"] == "/bin/sh"


def test_json_has_ocis_names_and_leaves_out_what_is_not_set() -> None:
    spec = Spec(process=Process(no_new_privileges=True), hostname="bird")
    data: dict[str, Any] = spec.to_json()
    assert data["ociVersion"] == "1.1.0"
    assert data["process"]["noNewPrivileges"] is True
    assert "oomScoreAdj" not in data["process"]
    assert "memory" not in data["linux"]["resources"]
    assert data["linux"]["maskedPaths"] == []


def test_what_was_written_is_read_back() -> None:
    spec = Spec(
        process=Process(
            args=["a b", "\udcff"], rlimits=[Rlimit(type="RLIMIT_CORE", soft=0, hard=-1)]
        ),
        mounts=[Mount(destination="/x", options=["ro"])],
        linux=Linux(
            uid_mappings=[IdMapping(host_id=100_000, size=65_536)],
            resources=Resources(memory=1 << 20, pids_limit=-1),
            sysctl={"net.ipv4.ip_forward": "1"},
        ),
    )
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_names_that_it_does_not_know_are_ignored() -> None:
    assert User.from_json({"uid": 7, "umask": 18}) == User(uid=7)
    assert Struct.fields() == []

"""`mydocker events`: what happened, in order, filtered and formatted, and what is to come."""

from __future__ import annotations

import json
import re
import time

from tests.conftest import Mydocker, has_open, wait_until

PAST = ("--since", "1h", "--until", "0s")


def test_a_life_is_told_in_order_and_in_dockers_words(mydocker: Mydocker) -> None:
    words = ("--name", "bird", "--label", "app=web", "sh", "-c", "exit 3")
    assert mydocker.run("run", "--rm", *words).returncode == 3
    told = mydocker.ok("events", *PAST).splitlines()
    form = r"[-0-9]{10}T[:0-9]{8}\.\d{9}Z container (\w+) [0-9a-f]{64} \((.*)\)"
    matches = [re.fullmatch(form, line) for line in told]
    assert [m and m[1] for m in matches] == ["create", "start", "die", "destroy"]
    assert [m and m[2] for m in matches][2] == "app=web, exitCode=3, image=busybox, name=bird"
    assert told == sorted(told)


def test_filters_and_formats(mydocker: Mydocker) -> None:
    for name in ("bird", "fish"):
        mydocker.ok("run", "--name", name, "--label", f"of={name}", "true")
    form = "{{.Action}} {{.Actor.Attributes.name}}"

    def told(*filters: str) -> list[str]:
        words = [word for text in filters for word in ("--filter", text)]
        return mydocker.ok("events", *PAST, "--format", form, *words).splitlines()

    assert told("container=bird") == ["create bird", "start bird", "die bird"]
    assert told("event=die", "event=create", "label=of=fish") == ["create fish", "die fish"]
    assert told("type=container", "image=busybox:latest", "event=start") == [
        "start bird",
        "start fish",
    ]
    assert told("label=nope") == []
    assert "no such filter" in mydocker.fails(125, "events", *PAST, "--filter", "colour=red")
    event = json.loads(mydocker.ok("events", *PAST, "--format", "json").splitlines()[0])
    assert (event["Type"], event["Action"], event["status"]) == ("container", "create", "create")
    assert event["Actor"]["Attributes"]["name"] == "bird"
    assert event["timeNano"] // 10**9 == event["time"]
    assert "not a time" in mydocker.fails(125, "events", "--since", "soon")


def test_what_is_to_come_is_told_as_it_comes(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "before", "true")
    following = mydocker.start("events", "--format", "{{.Action}} {{.Actor.Attributes.name}}")
    assert following.stdout
    # It listens: what happened before is not told.
    wait_until(lambda: has_open(following.pid, "events.jsonl"))
    mydocker.ok("run", "-d", "--name", "bird", "top")
    mydocker.ok("pause", "bird")
    mydocker.ok("rm", "-f", "bird")
    expected = ["create", "start", "pause", "kill", "unpause", "die", "destroy"]
    seen = [following.stdout.readline() for _ in expected]
    assert sorted(seen) == sorted(f"{action} bird\n" for action in expected)
    assert seen[:3] == ["create bird\n", "start bird\n", "pause bird\n"]
    following.terminate()
    following.communicate(timeout=20)


def test_the_file_that_is_put_aside_meanwhile_is_read_to_its_end(mydocker: Mydocker) -> None:
    mydocker.ok("create", "--name", "bird", "true")
    path = mydocker.root / "events.jsonl"
    following = mydocker.start("events", "--since", "1h", "--format", "{{.Action}}")
    assert following.stdout
    assert following.stdout.readline() == "create\n"
    path.rename(f"{path}.1")
    mydocker.ok("rm", "bird")
    assert following.stdout.readline() == "destroy\n"
    following.terminate()
    following.communicate(timeout=20)
    assert mydocker.ok("events", *PAST, "--format", "{{.Action}}") == "create\ndestroy\n"


def test_until_ends_it(mydocker: Mydocker) -> None:
    mydocker.ok("create", "--name", "bird", "true")
    until = f"{time.time() + 1:.3f}"
    following = mydocker.start("events", "--since", "1h", "--until", until)
    told, _ = following.communicate(timeout=20)
    assert following.returncode == 0
    assert " create " in told
    wait_until(lambda: time.time() > float(until))


def test_control_characters_do_not_reach_the_terminal(mydocker: Mydocker) -> None:
    mydocker.ok("create", "--name", "bird", "--label", "x=\x1b[31m", "true")
    assert "\x1b" not in mydocker.ok("events", *PAST)

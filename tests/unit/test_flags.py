"""The grammar of the command line: the book's spelling and Docker's, to the letter."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from mydocker import cli
from mydocker.cli import flags
from mydocker.cli.flags import Command, Flag
from mydocker.cli.run import FLAGS
from mydocker.errors import Usage

RUN = Command(lambda values, words: 0, "", "", FLAGS, stop_at_word=True)


def parse(line: str) -> tuple[dict[str, Any], list[str]]:
    """A command line of `run` as (the flags that were given, the container's words)."""
    unset, _ = flags.parse("run", RUN, [])
    values, words = flags.parse("run", RUN, shlex.split(line))
    return {name: value for name, value in values.items() if value != unset[name]}, words


@pytest.mark.parametrize(
    ("line", "given", "words"),
    [
        # The book's, from the seed
        (
            "-ti -cpushare 256 -m 100m stress --vm-bytes 20m --vm-keep --vm 1",
            {"tty": True, "interactive": True, "cpu_shares": "256", "memory": "100m"},
            "stress --vm-bytes 20m --vm-keep --vm 1",
        ),
        ("-ti sh", {"tty": True, "interactive": True}, "sh"),
        (
            "-ti -v /root/volume:/containerVolume sh",
            {"tty": True, "interactive": True, "volume": ["/root/volume:/containerVolume"]},
            "sh",
        ),
        ("-d top", {"detach": True}, "top"),
        ("-d --name bird top", {"detach": True, "name": "bird"}, "top"),
        ("-d -name bird top", {"detach": True, "name": "bird"}, "top"),
        (
            "-ti -net testbridge sh",
            {"tty": True, "interactive": True, "network": "testbridge"},
            "sh",
        ),
        (
            "-it -mem 1g -cpuset 0-1 sh",
            {"tty": True, "interactive": True} | {"memory": "1g"} | {"cpuset_cpus": "0-1"},
            "sh",
        ),
        # Docker's
        ("--cpu-shares=256 --memory=1g x", {"cpu_shares": "256", "memory": "1g"}, "x"),
        ("-m1g -c=256 -uroot x", {"memory": "1g", "cpu_shares": "256", "user": "root"}, "x"),
        ("-itm 1g x", {"tty": True, "interactive": True, "memory": "1g"}, "x"),
        ("-itm1g x", {"tty": True, "interactive": True, "memory": "1g"}, "x"),
        ("-e A=1 -eB=2 --env=C -e= x", {"env": ["A=1", "B=2", "C", ""]}, "x"),
        ("--network host --net none x", {"network": "none"}, "x"),
        ("-h name x", {"hostname": "name"}, "x"),
        ("--rm=true -t=false --sig-proxy=false x", {"rm": True, "sig_proxy": False}, "x"),
        ("--memory-swap -1 x", {"memory_swap": "-1"}, "x"),
        ("--name= x", {"name": ""}, "x"),
        ("--entrypoint '' x", {"entrypoint": ""}, "x"),
        ("--explain x", {"explain": ""}, "x"),
        ("--explain=FILE x", {"explain": "FILE"}, "x"),
        ("-m 1g -m 2g x", {"memory": "2g"}, "x"),
        # Where the options end
        ("sh -c 'a b' -ti --rm -- -", {}, "sh -c 'a b' -ti --rm -- -"),
        ("--rm -- --name x", {"rm": True}, "--name x"),
        ("-- -ti", {}, "-ti"),
        ("- x", {}, "- x"),
        ("'' x", {}, "'' x"),
        ("", {}, ""),
    ],
)
def test_a_line_of_run_is_read_as_meant(line: str, given: dict[str, Any], words: str) -> None:
    assert parse(line) == (given, shlex.split(words))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("--nope x", "run: --nope: no such option"),
        ("--nope=1 x", "run: --nope: no such option"),
        ("-z x", "run: -z: no such option"),
        ("-tiz x", "run: -tiz: no such option"),
        ("--m 1g x", "run: --m: no such option"),
        ("--memor 1g x", "run: --memor: no such option"),
        ("-m", "run: -m: needs a value"),
        ("-ti -cpushare", "run: -cpushare: needs a value"),
        ("--rm=maybe x", "--rm: maybe: not true or false"),
    ],
)
def test_what_is_wrong_is_named_with_the_way_to_help(line: str, why: str) -> None:
    with pytest.raises(Usage) as caught:
        parse(line)
    assert str(caught.value) == why
    assert caught.value.code == 125
    if why.startswith("run"):
        assert caught.value.hint == "mydocker run --help"


def test_operands_are_counted_unless_help_is_asked_for() -> None:
    command = Command(lambda values, words: 0, "A [B]", "", least=1, most=2)
    assert flags.parse("x", command, ["a", "--debug", "b"])[1] == ["a", "b"]
    with pytest.raises(Usage, match="x: too few arguments: A"):
        flags.parse("x", command, [])
    with pytest.raises(Usage, match="x: c: one argument too many"):
        flags.parse("x", command, ["a", "b", "c"])
    assert flags.parse("x", command, ["--help"])[0]["help"]


def test_a_value_that_does_not_convert_is_named_by_the_flag_as_written() -> None:
    command = Command(lambda v, w: 0, "", "", [Flag("-n --number", "value", "", convert=int)])
    assert flags.parse("x", command, ["-n", "7"])[0]["number"] == 7
    with pytest.raises(Usage, match="--number: seven: not a valid value"):
        flags.parse("x", command, ["--number=seven"])


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_has_help_made_from_its_table(name: str) -> None:
    command = cli.load(name)
    page = flags.help_text(name, command)
    assert page.startswith(f"Usage: mydocker {name}")
    spellings = [spelling for flag in command.flags for spelling in flag.names]
    assert len(spellings) == len(set(spellings))
    assert all(spelling in page for spelling in spellings)
    assert all(len(line) <= 100 for line in page.splitlines())
    assert all(flag.help for flag in command.flags)


def test_an_unknown_command_suggests_the_nearest() -> None:
    with pytest.raises(Usage) as caught:
        cli.load("imges")
    assert caught.value.hint == "did you mean images?"

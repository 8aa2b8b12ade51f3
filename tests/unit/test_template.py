"""`--format`: Go's template language, as far as it is spoken, and what is wrong named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.cli.format import Format
from mydocker.cli.template import Map, Record, Template, text_of
from mydocker.errors import Usage

LABELS = {"app": "web", "tier": "front"}
BIRD = Record(
    {
        "ID": "abc",
        "Name": "bird",
        "State": {"Pid": 7, "Running": True, "Error": "", "Health": None},
        "Labels": Map(LABELS),
        "Mounts": [{"Source": "/x", "RW": True}, {"Source": "/y", "RW": False}],
        "Args": ["a", "b c"],
        "None": [],
        "Share": 0.5,
        "Networks": Map({"red": {"IP": "10.0.0.2"}, "blue": {"IP": "10.1.0.2"}}),
    },
    Label=lambda name: LABELS.get(name, ""),
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plain", "plain"),
        ("", ""),
        # Fields
        ("{{.ID}}\t{{.Name}}", "abc\tbird"),
        ("{{ .State.Pid }}", "7"),
        ("{{.State.Running}} {{.State.Health}} {{.Share}}", "true <no value> 0.5"),
        ("{{.Labels.app}} {{.Labels.nope}}", "web <no value>"),
        ('{{.Label "app"}}|{{.Label "nope"}}|', "web||"),
        # Values as Go prints them
        ("{{.Args}} {{.Labels}} {{.None}}", "[a b c] map[app:web tier:front] []"),
        ("{{json .Labels}}", '{"app":"web","tier":"front"}'),
        ("{{json .State.Error}} {{json .State.Health}}", '"" null'),
        # Functions and pipes
        ('{{join .Args ", "}}', "a, b c"),
        ('{{.Args | len}} {{len .Name}} {{len "äö"}}', "2 4 4"),
        ('{{index .Args 1}} {{index .Labels "app"}} {{index .Labels "no"}}.', "b c web ."),
        ("{{(index .Mounts 1).Source}}", "/y"),
        ('{{index .Networks "red" "IP"}}', "10.0.0.2"),
        ("{{slice .ID 1}}{{slice .ID 0 1}}", "bca"),
        ('{{upper .Name}} {{"LOW" | lower}} {{title "two words"}}', "BIRD low Two Words"),
        ('{{printf "%s|%5d|%-5s|%q|%v|%%" .ID 7 "a" "b" .Args}}', 'abc|    7|a    |"b"|[a b c]|%'),
        ('{{.ID | printf "%s-%s" "x"}}', "x-abc"),
        ("{{print .ID .Name}}{{println .ID 1}}", "abcbirdabc 1\n"),
        ('{{print 1 2 "a" "b" true 3}}', "1 2abtrue 3"),
        ('{{split "a,b" ","}} {{pad "x" 1 2}}.{{truncate .Name 2}}', "[a b]  x  .bi"),
        ("{{and .ID .Name}} {{or .State.Error .Name}} {{not .ID}}", "bird bird false"),
        ('{{eq .ID "abc"}} {{eq .ID "x" "abc"}} {{ne .ID "abc"}}', "true true false"),
        ("{{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 1 2}}", "true true false false"),
        # Blocks
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .None}}a{{else if .State.Error}}b{{else}}c{{end}}", "c"),
        ("{{if not .None}}a{{end}}{{if .State.Health}}b{{end}}", "a"),
        ("{{with .Labels}}{{.app}}{{end}}{{with .None}}x{{else}}y{{end}}", "weby"),
        ("{{range .Mounts}}{{.Source}} {{end}}", "/x /y "),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{range $i, $m := .Mounts}}{{$i}}{{$m.Source}}{{end}}", "0/x1/y"),
        ("{{range $m := .Mounts}}{{$m.Source}}{{$.ID}}{{end}}", "/xabc/yabc"),
        ("{{range $k, $v := .Networks}}{{$k}}={{$v.IP}} {{end}}", "blue=10.1.0.2 red=10.0.0.2 "),
        (
            "{{range .Mounts}}{{range $k, $v := .}}{{$k}}{{end}}{{end}}{{.ID}}",
            "RWSourceRWSourceabc",
        ),
        ("{{range .Mounts}}{{if .RW}}{{.Source}}{{end}}{{end}}", "/x"),
        ("{{$x := .Name}}{{$x}} {{$x | len}}", "bird 4"),
        # Text, blanks and comments
        ('{{"a\\tb"}} {{`a\\tb`}} {{"}}"}}', "a\tb a\\tb }}"),
        ("a  {{- .ID -}}  b", "aabcb"),
        ("a{{/* a comment */}}b", "ab"),
        ("{{-1}}", "-1"),
    ],
)
def test_a_template_makes_this_text(text: str, told: str) -> None:
    assert Template(text).render(BIRD) == told


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{.Nope}}", "no such field: .Nope"),
        ("{{.State.Nope}}", "no such field: .State.Nope"),
        ("{{.ID.Nope}}", "no such field: .ID.Nope"),
        ("{{range .Mounts}}{{.ID}}{{end}}", "no such field: .ID"),
        ("{{nope .ID}}", "no such function: nope"),
        ("{{$nope}}", "no such variable: $nope"),
        ("{{.ID", "not closed"),
        ('{{"a}}', "not closed"),
        ("{{(.ID}}", "a bracket is not closed"),
        ("{{)}}", "without a value"),
        ("{{}}", "without a value"),
        ("{{.ID |}}", "without a value"),
        ("{{if .ID}}x", "{{if}} without {{end}}"),
        ("{{if .ID}}x{{else}}y", "{{if}} without {{end}}"),
        ("{{end}}", "{{end}} without"),
        ("{{else}}", "{{else}} without"),
        ("{{'x'}}", "cannot be read at"),
        ('{{"\\q"}}', "not a string"),
        ("{{.ID 1}}", "is no function"),
        ("{{index .Args 2}}", "there is no 2"),
        ('{{index .State "x"}}', "there is no 'x'"),
        ("{{range .ID}}{{end}}", "which is no list"),
        ("{{len 3}}", "len: does not take these arguments"),
        ("{{lt 1 .ID}}", "lt: does not take these arguments"),
        ("{{.Label}}", "Label: does not take these arguments"),
        ('{{printf "%99999999999999999999d" 1}}', "printf: does not take these arguments"),
        ("{{" + "(" * 5000 + "}}", "in each other"),
    ],
)
def test_what_is_wrong_with_a_template_is_named(text: str, why: str) -> None:
    with pytest.raises(Usage) as caught:
        Template(text).render(BIRD)
    assert caught.value.what == "--format"
    assert why in str(caught.value)


def test_a_field_that_is_not_there_comes_with_those_that_are() -> None:
    with pytest.raises(Usage) as caught:
        Template("{{.State.Nope}}").render(BIRD)
    assert caught.value.hint == "there are Pid Running Error Health"


@given(st.text(alphabet='{}.()|" $:=-aID/*\\`', max_size=40))
def test_any_text_is_a_template_or_a_usage_error(text: str) -> None:
    try:
        Template("{{" + text + "}}").render(BIRD)
    except Usage:
        pass


@given(st.text())
def test_text_without_braces_is_itself(text: str) -> None:
    if "{{" not in text:
        assert Template(text).render(BIRD) == text


def test_it_knows_what_it_asks_for() -> None:
    assert Template("{{.Size}}").mentions("Size")
    assert Template("{{if .Size}}x{{end}}").mentions("Size")
    assert Template("{{json .}}").mentions("")
    assert not Template("{{.Size}}").mentions("")
    assert not Template("{{.Names}} .Size").mentions("Size")
    assert text_of([True, None, {"b": 1, "a": 2}]) == "[true <no value> map[a:2 b:1]]"


# Lists


HEADINGS = {"ID": "CONTAINER ID", "Name": "NAMES"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{.ID}}:{{.Name}}", "abc:bird\nabc:bird\n"),
        (r"{{.ID}}\t{{.Name}}", "abc\tbird\nabc\tbird\n"),
        (
            r"table {{.ID}}\t{{.Name}}",
            "CONTAINER ID   NAMES\nabc            bird\nabc            bird\n",
        ),
        (r"table {{upper .Name}}", "NAMES\nBIRD\nBIRD\n"),
        (r'table {{.Label "app"}}\t{{json .Name}}', 'app       NAMES\nweb       "bird"\n'),
        ("table", "CONTAINER ID   NAMES\nabc            bird\nabc            bird\n"),
    ],
)
def test_a_list_is_lines_or_a_table(
    text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Format(text, HEADINGS, Label=lambda name: name).show([BIRD, BIRD])
    assert capsys.readouterr().out.startswith(told)


def test_json_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Format("json", HEADINGS).show([Record({"ID": "ä", "Name": '"'})])
    assert capsys.readouterr().out == '{"ID":"ä","Name":"\\""}\n'


def test_a_cell_of_a_table_cannot_write_to_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Format("table {{.ID}}", HEADINGS).show([Record({"ID": "\033[31m\n"})])
    assert capsys.readouterr().out == "CONTAINER ID\n\\x1b[31m\\x0a\n"

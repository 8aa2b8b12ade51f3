"""The command line's reference page, from the very tables that the command line is parsed by."""

from __future__ import annotations

from mydocker import cli
from mydocker.cli import flags

WORDS = {
    "en": ("Option", "Value", "Meaning", "every command"),
    "zh": ("选项", "值", "含义（与 --help 相同）", "所有命令都有"),
}


def commands(language: str) -> str:
    """A section for each command: how it is called, what it does, its options."""
    option, value, meaning, every = WORDS[language]
    parts = []
    common = {flag.dest for flag in flags.COMMON}
    for name in cli.COMMANDS:
        command = cli.load(name)
        parts += [f"## {name} {{#{name}}}", "", "```text"]
        parts += [f"mydocker {name} {command.usage}".rstrip(), "```", "", _text(command.summary)]
        own = [flag for flag in command.flags if flag.dest not in common]
        if own:
            parts += ["", f"| {option} | {value} | {meaning} |", "|---|---|---|"]
            parts += [_row(flag) for flag in own]
        parts.append("")
    parts += [f"## {every} {{#common}}", "", f"| {option} | {value} | {meaning} |", "|---|---|---|"]
    parts += [_row(flag) for flag in flags.COMMON]
    return "\n".join(parts)


def _row(flag: flags.Flag) -> str:
    names = " ".join(f"`{name}`" for name in flag.names)
    value = "" if flag.kind == "bool" else f"`{_text(flag.metavar or 'VALUE')}`"
    many = " …" if flag.kind == "list" else ""
    return f"| {names} | {value}{many} | {_text(flag.help)} |"


def _text(words: str) -> str:
    return words.replace("\n", " ").replace("|", "\\|")

"""The command line: parse, call one function, print. Everything that decides is on lower floors.

Each command lives in a module of its own that is imported only when it is called, because what a
plain `run` does not import it does not pay for.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` imports `enum`, which is dear
import os
import sys

from mydocker.cli import flags
from mydocker.errors import Error, Usage, as_error, interrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

COMMANDS = {
    "run": "run a command in a new container",
    "create": "make a new container and do not start it",
    "start": "start containers that were created or have ended",
    "restart": "stop containers and start them again",
    "stop": "ask containers to end, and kill those that do not",
    "kill": "send containers a signal",
    "pause": "stop all processes of containers where they are",
    "unpause": "let the processes of paused containers go on",
    "attach": "watch a container that runs, and type to it",
    "events": "tell what happens to containers",
    "wait": "wait for the end of containers, and print their exit codes",
    "rename": "give a container another name",
    "update": "change limits of containers",
    "exec": "run another command in a container that runs",
    "ps": "list containers",
    "top": "list the processes of a container",
    "logs": "show what a container wrote",
    "stats": "show what containers use, live",
    "rm": "remove containers",
    "commit": "make an image from a container's changes",
    "images": "list images",
    "image": "work with images: inspect, prune and the commands around",
    "history": "show how an image was made",
    "pull": "bring an image from a registry",
    "save": "write images to an archive",
    "load": "read images from an archive",
    "import": "make an image from the tar of a root filesystem",
    "tag": "give an image another name",
    "rmi": "remove images",
    "inspect": "show all that is known of a container, an image, …, as JSON",
    "container": "all about containers: container ls, container prune, …",
    "volume": "keep files that outlive containers",
    "network": "make, list, look at and remove networks",
    "port": "list the ports of the host that lead to a container",
    "diff": "list what a container changed in its files",
    "cp": "copy files into a container, or out of one",
    "export": "write a container's files as a tar",
    "system": "what mydocker uses of the machine, and what it left there",
    "completion": "write the completion for a shell: bash, zsh or fish",
    "version": "show the version",
}
"""Every command and its one line in the help; the module is cli/<name>.py, or what MODULES says."""

MODULES = {"import": "import_", "load": "load_"}
"""`import` is a word of Python's, and `load` a function of this module."""

SPELLINGS = {
    "container": {
        **{
            name: name
            for name in "attach commit cp create diff exec export kill logs pause port rename "
            "restart rm run start stats stop top unpause update wait".split()
        },
        "ls": "ps",
        "list": "ps",
        "ps": "ps",
        "inspect": "inspect --type=container",
    },
    "image": {
        **{name: name for name in "history import load pull save tag".split()},
        "ls": "images",
        "list": "images",
        "rm": "rmi",
        "remove": "rmi",
        "inspect": "inspect --type=image",
    },
    "network": {"list": "network ls", "remove": "network rm"},
    "volume": {"list": "volume ls", "remove": "volume rm"},
}
"""Docker's other names for commands: `container ls` is `ps`."""

ENTERS_CONTAINER = ("run", "start", "restart", "exec")
"""Commands with a process that enters a container: they run from a protected executable."""

HELP = """\
Usage: mydocker [--root DIR] [--cgroup-parent PATH] COMMAND ...

A container runtime that is also a course.

Options:
  --root DIR            where images and containers live (MYDOCKER_ROOT, /var/lib/mydocker)
  --cgroup-parent PATH  the cgroup that holds the containers' (MYDOCKER_CGROUP_PARENT, /mydocker)
  --explain[=FILE]      tell each thing that is asked of the kernel
  --debug               show where in the code an error came from
  --reference           leave out the modules in work/, which a student of the course has written
  --version             show the version

Commands:
"""


class Globals:
    """Where this call of mydocker keeps its state; from flags, else the environment."""

    root = os.path.abspath(os.environ.get("MYDOCKER_ROOT") or "/var/lib/mydocker")
    cgroup_parent = os.environ.get("MYDOCKER_CGROUP_PARENT") or "/mydocker"
    debug = False


def main(words: list[str]) -> NoReturn:
    """Run one command line and exit with its code; the one place that prints errors.

    os._exit instead of a return: taking the interpreter apart costs more than a container's end.
    """
    try:
        if _signal.getsignal(_signal.SIGINT) == _signal.SIG_DFL:
            _signal.signal(_signal.SIGINT, interrupt)
        open_standard_streams()
        code = dispatch(words) or 0
        sys.stdout.flush()
    except Error as error:
        code = report(error)
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # the reader of our output is gone (`mydocker ps | head -1`)
        code = 141
    except Exception as error:
        code = report(as_error(error, "mydocker"))
    os._exit(code)


def open_standard_streams() -> None:
    """Started without one of descriptors 0 to 2 (`mydocker … >&-`), take /dev/null for it.

    Else the next file that is opened would get its number, and the container's output with it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            fd = os.open("/dev/null", os.O_RDWR)  # the lowest that is free
            os.set_inheritable(fd, True)
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115  # for good


def report(error: Error) -> int:
    """One line that says what failed, one that says what to do, the traceback only on --debug."""
    if Globals.debug:
        import traceback

        traceback.print_exc()
    lines = ["; ".join([f"mydocker: {error}", *getattr(error, "__notes__", ())])]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    try:
        print("\n".join(printable(line) for line in lines), file=sys.stderr, flush=True)
    except OSError:
        pass
    return error.code


def printable(text: str) -> str:
    """Names and paths come from anywhere: no control character of theirs reaches the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def dispatch(words: list[str]) -> int | None:
    """Read the options before the command's name, then hand over to the command's module."""
    queue = list(words)
    explain: str | None = None
    while queue and queue[0].startswith("-"):
        word, equals, text = queue.pop(0).partition("=")
        if word in ("--root", "--cgroup-parent"):
            if not equals:
                if not queue:
                    raise Usage("mydocker", word, "needs a value")
                text = queue.pop(0)
            if not text:
                raise Usage("mydocker", word, "needs a value")
            text = os.path.abspath(text) if word == "--root" else text
            setattr(Globals, word[2:].replace("-", "_"), text)
        elif word == "--debug":
            Globals.debug = True
        elif word == "--reference":
            continue  # done: upper.py has looked for it
        elif word == "--explain":
            explain = text
        elif word in ("-h", "--help"):
            print_help()
            return 0
        elif word in ("-v", "--version"):
            queue = ["version"]
        else:
            raise Usage("mydocker", word, "no such option", hint="mydocker --help")
    if not queue:
        print_help()
        return 0
    name = queue.pop(0)
    if name == "help":
        if not queue:
            print_help()
            return 0
        name, queue = queue[0], [*queue[1:2], "--help"]
    if queue and queue[0] in SPELLINGS.get(name, ()):
        name, *words = SPELLINGS[name][queue[0]].split()
        queue[:1] = words
    return run_command(name, queue, explain)


def run_command(name: str, words: list[str], explain: str | None) -> int | None:
    """Parse a command's own words, and run it."""
    enters = name in ENTERS_CONTAINER and os.geteuid() == 0
    told = explain is not None or any(word.startswith("--explain") for word in words)
    if enters and not told:
        protect()  # first of all, since what was imported until then is imported again
    command = load(name)
    if isinstance(command, flags.Group):
        name, command, words = command.choose(name, words)
    values, operands = flags.parse(name, command, words)
    if values["help"]:
        print(flags.help_text(name, command))
        return 0
    if values["debug"]:
        Globals.debug = True
    if os.geteuid() != 0 and name not in ("version", "completion"):
        raise Error(name, "", "needs root", hint=f"sudo mydocker {name} …")
    if os.path.exists(Globals.root) and not os.path.isdir(Globals.root):
        raise Error(name, Globals.root, "the state root is not a directory")
    watch(explain if values["explain"] is None else values["explain"])
    if enters and told:
        protect()
    return command.run(values, operands)


def protect() -> None:
    """Go on from an executable that a container cannot reach (linux/selfexe.py).

    A Ctrl-C meanwhile waits: the mask, and what it holds back, outlive execve(2).
    """
    from mydocker.linux import selfexe

    _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGINT])
    selfexe.protect()
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGINT])


def load(name: str) -> flags.Command:
    """The command of that name; Usage with the nearest names if there is none."""
    if name not in COMMANDS:
        import difflib

        close = difflib.get_close_matches(name, COMMANDS)
        hint = f"did you mean {close[0]}?" if close else "mydocker --help lists them"
        raise Usage("mydocker", name, "no such command", hint=hint)
    module = f"mydocker.cli.{MODULES.get(name, name)}"
    __import__(module)
    command: Any = sys.modules[module].COMMAND
    return command  # type: ignore[no-any-return]


def watch(explain: str | None) -> None:
    """Put the watchers on the funnel that were asked for."""
    fault = os.environ.get("MYDOCKER_FAULT")
    if fault:
        from mydocker.linux import trace

        trace.watch(trace.Fault(fault))
    if explain is not None:
        from mydocker.linux import explain as explainer

        explainer.start(explain)


def print_help() -> None:
    """The first page of help."""
    width = max(len(name) for name in COMMANDS)
    print(HELP + "\n".join(f"  {name:{width}}  {text}" for name, text in COMMANDS.items()))

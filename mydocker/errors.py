"""One family of errors, so that one place can print them all.

Whatever goes wrong is told to the user as one line::

    mydocker: <what failed>: <object>: <why>

and, where it helps, a second line that says what to do. The exit code is part of the error:
Docker keeps 125 for "the runtime itself failed", 126 for "the command cannot be executed" and
127 for "the command was not found" (docker-run(1), EXIT STATUS).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` imports `enum`, which is dear
import os

RUNTIME_FAILED = 125
CANNOT_EXECUTE = 126
NOT_FOUND = 127


class Error(Exception):
    """What failed, on which object, and why; with the exit code that the command line returns."""

    def __init__(
        self, what: str, obj: str = "", why: str = "", *, hint: str = "", code: int = RUNTIME_FAILED
    ) -> None:
        super().__init__(what, obj, why)
        self.what = what
        self.obj = obj
        self.why = why
        self.hint = hint
        self.code = code

    def __str__(self) -> str:
        return ": ".join(part for part in (self.what, self.obj, self.why) if part)


class Usage(Error):
    """The command line itself is wrong: an unknown flag, a value that does not parse."""


class NotFound(Error):
    """A container, image, volume or network of that name does not exist."""


class Conflict(Error):
    """The object exists, but its state forbids it: a name that is taken, a container that runs."""


class Corrupt(Error):
    """A file of mydocker's own state does not hold what it should."""


class KernelError(Error):
    """The kernel refused a call: which one, on what, and the errno it gave (errno(3))."""

    def __init__(self, what: str, obj: str, errno: int, *, hint: str = "") -> None:
        super().__init__(what, obj, os.strerror(errno).lower(), hint=hint)
        self.errno = errno

    @classmethod
    def of(cls, error: OSError, what: str, obj: str = "") -> KernelError:
        """The same refusal, from the OSError that one of Python's own wrappers raised."""
        return cls(what, obj or str(error.filename or ""), error.errno or 0)


def interrupt(_number: int, _frame: object) -> None:
    """Make the first Ctrl-C (SIGINT) a KeyboardInterrupt, and those after it nothing.

    They would else end the undoing of what the first one ended. Programs that we start for that
    inherit what is ignored (signal(7)). SIGTERM and SIGQUIT (Ctrl-\\) end us still.
    """
    _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGINT])  # so that none comes in between
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    raise KeyboardInterrupt


def as_error(error: BaseException, what: str) -> Error:
    """Any exception as one of ours: the kernel's refusals with their reason, the rest as a bug."""
    if isinstance(error, Error):
        return error
    if isinstance(error, OSError):
        told: Error = KernelError.of(error, what)
    elif isinstance(error, MemoryError):
        told = Error(what, "", "out of memory")
    elif isinstance(error, NotImplementedError):  # a function of the course (upper.py)
        step, _, name = str(error).partition(": ")
        told = Error(step, name, "is not written yet")
    else:
        hint = f"this is a bug, in {place(error)}"
        told = Error(what, type(error).__name__, str(error), hint=hint)
    for note in getattr(error, "__notes__", ()):
        told.add_note(note)
    told.__cause__ = error
    return told


def place(error: BaseException) -> str:
    """Where in the code an exception was raised, file:line, a student's own before ours."""
    frame, ours, theirs = error.__traceback__, "an unknown place", ""
    package, library = os.path.dirname(__file__), os.path.dirname(os.__file__)
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if file.startswith(package):
            ours = f"{file}:{frame.tb_lineno}"
        elif file.startswith("/") and not file.startswith(library):
            theirs = f"{file}:{frame.tb_lineno}"
        frame = frame.tb_next
    return theirs or ours

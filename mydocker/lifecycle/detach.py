"""`run -d`: a monitor that outlives the command, its terminal and its session (the book's 5.1).

What the kernel offers for it are two forks and setsid(2), see daemon(7); what is left to do is to
let go of everything that the caller would otherwise wait for: the terminal, the directory it stands
in, and every descriptor that it had open.

Invariant: the command returns when the user's program runs, or with the error that kept it from
running; and from then on neither needs the other.
"""

from __future__ import annotations

import os
import sys

from mydocker.errors import Error
from mydocker.lifecycle.monitor import ENDING
from mydocker.linux import process, signals, syscalls, trace
from mydocker.sandbox.channel import Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def detach(work: Callable[[Callable[[], None]], int]) -> None:
    """Run `work(started)` in a process of its own that outlives this one and its terminal.

    Two forks and a setsid(2): the first gives a child that is no group leader, setsid takes it out
    of the session, the second makes sure that it can never get a terminal again (daemon(7)).
    Returns when the container has started; an error until then is raised here.
    """
    ours, theirs = Channel.pair()
    sys.stdout.flush()
    first = syscalls.fork()
    if first == 0:
        trace.act_as("between")
        try:
            ours.close()
            syscalls.setsid()
            if syscalls.fork() == 0:
                trace.act_as("monitor")
                _monitor(work, theirs)
        finally:
            os._exit(0)
    theirs.close()
    os.waitpid(first, 0)
    signals.pthread_sigmask(
        signals.SIG_UNBLOCK, ENDING
    )  # nothing here that could be left half done
    ours.expect("started")
    ours.close()


def _monitor(work: Callable[[Callable[[], None]], int], channel: Channel) -> None:
    def started() -> None:
        null = os.open("/dev/null", os.O_RDWR)
        for target in (0, 1, 2):  # until now errors could still be explained on the terminal
            os.dup2(null, target)
        os.close(null)
        _tell(channel.send, "started")

    code = 0
    try:
        syscalls.chdir("/")
        syscalls.set_name("mydocker-mon")
        process.close_inherited()
        work(started)
    except Error as error:
        code = error.code
        _tell(channel.send_error, error)
    finally:
        os._exit(code)


def _tell(send: Callable[..., None], *words: object) -> None:
    """Tell the command that waits for us, if it still does: the container runs without it too."""
    try:
        send(*words)
    except Error:
        pass

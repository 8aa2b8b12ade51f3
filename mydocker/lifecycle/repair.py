"""What a crash leaves of a container, and how the next command puts it right.

A record may say `running` although nobody is: the machine was switched off, or the monitor was
killed before it could write. The kernel has by then ended the container's processes and with them
its mount namespace, so what can be left are a wrong record, a cgroup, a name, and the files of a
container that was to be removed. What is left besides is found by `system check` (leftovers.py).

Invariant: what is looked at may change while we look, so it is read again under the lock before
anything is done about it.
"""

from __future__ import annotations

import os

from mydocker import cgroups
from mydocker.errors import Error, KernelError, NotFound
from mydocker.lifecycle import events
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers


def put_right(containers: Containers, container: Container) -> Container | None:
    """The container as it really is; None if it was to be removed at its end, and now has been.

    A record that claims more life than there is gets corrected. One whose monitor still lives is
    left to it: the end is being written at this very moment.
    """
    if container.settled():
        return container
    try:
        with container.lock(wait=False):
            # Read again: another may have put it right since we looked.
            return _put_right(containers, containers.load(container.id))
    except NotFound:
        return None
    except KernelError as error:
        if not os.path.isdir(container.directory):  # another has removed it meanwhile
            return None
        if error.errno != 11:  # EAGAIN
            raise
        container.lose()  # another is at it
        return container


def _put_right(containers: Containers, container: Container) -> Container | None:
    if container.settled():
        return container
    # The kernel has killed it with its monitor, except for a set-user-id program: its execve(2)
    # takes the death signal away. It has nobody now to carry its output and to note its end.
    remove_group(container.cgroup_parent, container.id)
    if os.path.exists(f"{container.directory}/network.json"):
        from mydocker.lifecycle import networking

        networking.release(containers.root, container)
    if container.auto_remove:
        containers.discard(container)
        return None
    seen = container.status == "restarting"
    container.lose()
    container.save()
    if not seen:
        events.container(containers.root, "die", container, exitCode=str(container.exit_code))
    return container


def real(containers: Containers, word: str) -> Container:
    """The container of that name or id as it really is; NotFound if there is none."""
    container = put_right(containers, containers.find(word))
    if container is None:
        raise NotFound("container", word, "no such container", hint="mydocker ps -a lists them")
    return container


def everything(containers: Containers) -> list[Container]:
    """All containers as they really are, newest first.

    Where the truth cannot be written down (a read-only disk), it is told all the same.
    """
    found = []
    for container in containers:
        try:
            right = put_right(containers, container)
        except Error:
            container.lose()
            right = container
        if right:
            found.append(right)
    return found


def remove_group(parent: str, name: str) -> None:
    """Kill what is in a group, and remove it."""
    group = cgroups.group(parent, name)
    group.kill()
    group.remove()

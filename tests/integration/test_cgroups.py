"""Control groups on this machine's real hierarchies: the promises of the face, on v1 and on v2.

Each test has a cgroup parent of its own, and a process in a group is a forked child. What only one
of the versions has is skipped on the other, by looking at what is mounted.
"""

from __future__ import annotations

import errno
import os
import secrets
import signal
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mydocker import cgroups
from mydocker.cgroups import convert, hierarchies, tree
from mydocker.errors import Error, KernelError, NotFound, Usage
from mydocker.linux import syscalls, trace
from mydocker.spec import Resources, Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mydocker.cgroups import Cgroup

M = 1 << 20
EVERYWHERE = [h.top for h in hierarchies.mounted()]
USED = hierarchies.in_use()
VERSION = USED[0].version
CONTROLLERS = [name for hierarchy in USED for name in hierarchy.controllers]

only_v1 = pytest.mark.skipif(VERSION != 1, reason="this machine has cgroup v2")
only_v2 = pytest.mark.skipif(VERSION != 2, reason="this machine has cgroup v1")


def needs(controller: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        controller not in CONTROLLERS, reason=f"no {controller} controller on this machine"
    )


@pytest.fixture
def parent() -> Iterator[str]:
    """A cgroup parent of the test's own; when the test ends, nothing of it may be left."""
    path = f"/mydocker-test-{secrets.token_hex(4)}"
    yield path
    left = [top + path for top in EVERYWHERE if os.path.isdir(top + path)]
    for directory in left:
        for pid in tree.processes(directory):
            os.kill(pid, signal.SIGKILL)
    for directory in left:
        for group in [*tree.below(directory), directory]:
            tree.wait_until(partial(_rmdir, group))
    assert not left, "the test left groups behind"


def _rmdir(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


class Inside:
    """Starts children inside of a group, and reaps them all in the end."""

    def __init__(self) -> None:
        self.pids: list[int] = []

    def start(self, group: Cgroup, work: Callable[[], object]) -> int:
        """Fork a child that does `work()` in the group; returns when it has joined the group.

        Its exit code is 0, or 1 if the work failed.
        """
        ours, theirs = os.pipe()
        pid = group.fork()
        if pid == 0:
            code = 1
            try:
                group.add(0)
                os.write(theirs, b"in")
                os.close(theirs)
                work()
                code = 0
            finally:
                os._exit(code)
        os.close(theirs)
        self.pids.append(pid)
        with open(ours, "rb") as pipe:
            assert pipe.read() == b"in", "the child could not join the group"
        return pid

    def asleep(self, group: Cgroup) -> int:
        """A child that only sleeps in the group."""
        return self.start(group, lambda: time.sleep(600))

    def wait(self, pid: int) -> int:
        """The child's exit code, or the negative number of the signal that ended it."""
        self.pids.remove(pid)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def ask(self, group: Cgroup, question: Callable[[], str]) -> str:
        """What `question()` answers when it is asked inside of the group."""
        ours, theirs = os.pipe()
        pid = self.start(group, lambda: os.write(theirs, question().encode()))
        os.close(theirs)
        with open(ours, encoding="utf-8") as pipe:
            answer = pipe.read()
        assert self.wait(pid) == 0, "the child failed"
        return answer

    def end(self, pid: int) -> None:
        """Kill one child and reap it."""
        os.kill(pid, signal.SIGKILL)
        self.wait(pid)


@pytest.fixture
def inside() -> Iterator[Inside]:
    children = Inside()
    yield children
    for pid in list(children.pids):
        children.end(pid)


@pytest.fixture
def group(parent: str, inside: Inside) -> Iterator[Cgroup]:
    """A group that is not made yet; removed after the test."""
    it = cgroups.group(parent, "one")
    yield it
    if it.processes():
        it.kill()
        for pid in list(inside.pids):
            inside.wait(pid)
    it.remove()


def content(group: Cgroup, name: str) -> str:
    return Path(group.file(name)).read_text().strip()


def limit_of(group: Cgroup) -> int:
    return int(content(group, "memory.limit_in_bytes" if VERSION == 1 else "memory.max"))


def spin() -> None:
    while True:
        pass


def hold(size: int) -> None:
    """Hold so much memory, every page of it touched."""
    kept = [b"\1" * M for _ in range(size // M)]
    assert len(kept) * M == size


# A group begins and ends


@pytest.mark.v2
def test_a_group_is_in_every_hierarchy_and_in_none_after_its_removal(parent: str) -> None:
    group = cgroups.group(parent, "one")
    assert group.path == f"{parent}/one"
    group.create(Resources())
    assert all(os.path.isdir(hierarchy.top + group.path) for hierarchy in USED)
    group.remove()
    assert not [top for top in EVERYWHERE if os.path.exists(top + parent)]


@pytest.mark.v2
def test_a_child_is_in_all_hierarchies_before_its_first_own_instruction(
    group: Cgroup, inside: Inside
) -> None:
    group.create(Resources())
    lines = inside.ask(group, lambda: Path("/proc/self/cgroup").read_text()).splitlines()
    joined = {
        name
        for line in lines
        if line.endswith(group.path)
        for name in line.split(":")[1].split(",")
    }
    assert joined == (set(CONTROLLERS) if VERSION == 1 else {""})


@pytest.mark.v2
def test_a_process_can_be_moved_in_from_outside(group: Cgroup, inside: Inside) -> None:
    group.create(Resources())
    elsewhere = cgroups.group(os.path.dirname(group.path), "elsewhere")
    elsewhere.create(Resources())
    pid = inside.asleep(elsewhere)
    group.add(pid)
    assert group.processes() == [pid]
    assert elsewhere.processes() == []
    elsewhere.remove()


@pytest.mark.v2
def test_adding_a_process_that_is_gone_is_an_error_that_names_the_file(group: Cgroup) -> None:
    group.create(Resources())
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    with pytest.raises(KernelError, match=r"cgroup\.procs.*no such process"):
        group.add(pid)


@pytest.mark.v2
def test_children_of_a_process_are_born_into_its_group(group: Cgroup, inside: Inside) -> None:
    group.create(Resources())

    def fork_and_sleep() -> None:
        os.fork()
        time.sleep(600)

    inside.start(group, fork_and_sleep)
    assert tree.wait_until(lambda: len(group.processes()) == 2)
    group.kill()


@pytest.mark.v2
def test_a_parent_may_be_deep_and_goes_with_its_last_group(parent: str) -> None:
    first, second = cgroups.group(f"{parent}/a/b", "one"), cgroups.group(f"{parent}/a/b", "two")
    first.create(Resources(memory=64 * M))
    second.create(Resources(memory=64 * M))
    assert limit_of(first) == 64 * M
    first.remove()
    assert all(os.path.isdir(hierarchy.top + second.path) for hierarchy in USED)
    second.remove()
    assert not [top for top in EVERYWHERE if os.path.exists(top + parent)]


@pytest.mark.v2
def test_a_parent_that_was_there_before_stays(parent: str) -> None:
    made = [hierarchy.top + parent for hierarchy in USED]
    for directory in made:
        os.mkdir(directory)
    try:
        group = cgroups.group(f"{parent}/ours", "one")
        group.create(Resources())
        group.remove()
        assert all(os.path.isdir(directory) for directory in made)
        assert not [directory for directory in made if os.path.exists(f"{directory}/ours")]
    finally:
        for directory in made:
            os.rmdir(directory)


@pytest.mark.v2
def test_removing_twice_and_removing_what_never_was_is_fine(parent: str) -> None:
    group = cgroups.group(parent, "one")
    group.remove()
    group.create(Resources())
    group.remove()
    group.remove()


@pytest.mark.v2
def test_removal_waits_for_the_last_process(group: Cgroup, inside: Inside) -> None:
    group.create(Resources())
    pid = inside.start(group, lambda: time.sleep(1))
    assert tree.wait_until(lambda: group.processes() == [pid])
    group.remove()
    assert not [hierarchy for hierarchy in USED if os.path.exists(hierarchy.top + group.path)]
    assert inside.wait(pid) == 0


@pytest.mark.v2
def test_removal_that_waited_in_vain_names_the_process(group: Cgroup, inside: Inside) -> None:
    group.create(Resources())
    pid = inside.asleep(group)
    with pytest.raises(KernelError, match="busy") as caught:
        group.remove()
    assert caught.value.hint == f"processes in it: {pid}"
    inside.end(pid)
    group.remove()


@pytest.mark.v2
def test_groups_that_the_container_made_inside_are_removed_with_it(
    group: Cgroup, inside: Inside
) -> None:
    group.create(Resources())
    for directory in group.directories():
        os.makedirs(f"{directory}/inner/most")
    pid = inside.asleep(group)
    Path(f"{group.directories()[0]}/inner/most/cgroup.procs").write_text(str(pid))
    assert group.processes() == [pid]
    inside.end(pid)
    group.remove()
    assert not [hierarchy for hierarchy in USED if os.path.exists(hierarchy.top + group.path)]


@pytest.mark.v2
def test_twenty_processes_at_once_under_one_fresh_parent_do_not_disturb_each_other(
    parent: str,
) -> None:
    def come_and_go(number: int) -> None:
        for round_ in range(5):
            group = cgroups.group(f"{parent}/deep", f"{number}-{round_}")
            group.create(Resources(memory=64 * M, pids_limit=10))
            pid = group.fork()
            if pid == 0:
                group.add(0)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            group.remove()

    children = []
    for number in range(20):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                come_and_go(number)
                code = 0
            except Exception as error:
                print(f"{number}: {error}", flush=True)
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 20
    assert not [top for top in EVERYWHERE if os.path.exists(top + parent)]


class Meanwhile:
    """Does something once, right before a kernel action on a path is taken: what others might."""

    def __init__(self, action: str, path: str, work: Callable[[], None]) -> None:
        self.awaited = (action, path)
        self.work = work

    def before(self, name: str, args: tuple[object, ...]) -> None:
        if (name, *args[:1]) == self.awaited:
            self.awaited = ("", "")
            self.work()

    def after(self, *_: object) -> None:
        pass


@contextmanager
def just_before(action: str, path: str, work: Callable[[], None]) -> Iterator[None]:
    watcher = Meanwhile(action, path, work)
    trace.watch(watcher)
    try:
        yield
    finally:
        trace._watchers.remove(watcher)
    assert watcher.awaited == ("", ""), "that action was never taken"


@pytest.mark.v2
def test_a_parent_that_another_removes_meanwhile_is_made_again(group: Cgroup, parent: str) -> None:
    for hierarchy in USED:
        directory = hierarchy.top + parent
        with just_before("mkdir", f"{directory}/one", partial(os.rmdir, directory)):
            group.create(Resources(memory=64 * M))
        assert os.path.isdir(f"{directory}/one")
        group.remove()


@pytest.mark.v2
def test_a_parent_that_another_uses_meanwhile_stays(group: Cgroup, parent: str) -> None:
    group.create(Resources())
    directory = USED[0].top + parent
    with just_before("rmdir", directory, partial(os.mkdir, f"{directory}/other")):
        group.remove()
    assert cgroups.leftovers(parent) == ["other"]
    cgroups.group(parent, "other").remove()


@pytest.mark.v2
def test_what_is_left_is_listed_and_an_empty_parent_is_pruned(parent: str) -> None:
    assert cgroups.leftovers(parent) == []
    group = cgroups.group(parent, "one")
    group.create(Resources())
    assert cgroups.leftovers(parent) == ["one"]
    for directory in group.directories():
        os.rmdir(directory)  # as if a mydocker had been killed between two steps of the removal
    assert cgroups.leftovers(parent) == []
    assert cgroups.idle_parents(parent) == [hierarchy.top + parent for hierarchy in USED]
    cgroups.prune(parent)
    assert not [top for top in EVERYWHERE if os.path.exists(top + parent)]


@pytest.mark.v2
def test_a_step_of_the_removal_that_fails_is_reported_and_the_others_are_taken(parent: str) -> None:
    group = cgroups.group(parent, "one")
    group.create(Resources())

    def refuse() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with (
        just_before("rmdir", USED[0].top + parent, refuse),
        pytest.raises(KernelError, match="input/output error"),
    ):
        group.remove()
    assert [top for top in EVERYWHERE if os.path.exists(top + parent)] == [USED[0].top]
    group.remove()
    assert not [top for top in EVERYWHERE if os.path.exists(top + parent)]


@pytest.mark.v2
def test_a_group_that_is_left_in_some_hierarchies_only_is_removed_there(parent: str) -> None:
    group = cgroups.group(parent, "one")
    group.create(Resources())
    os.rmdir(group.directories()[-1])
    group.remove()
    assert not [top for top in EVERYWHERE if os.path.exists(top + parent)]


@pytest.mark.v2
@pytest.mark.parametrize(
    ("parent", "name"), [("/p", ""), ("/p", ".."), ("/p", "a/b"), ("/../p", "a")]
)
def test_a_name_that_leads_elsewhere_is_refused(parent: str, name: str) -> None:
    with pytest.raises(Usage):
        cgroups.group(parent, name)


# When it cannot be made


@pytest.mark.v2
@pytest.mark.parametrize(
    "resources",
    [
        Resources(memory=1 * M),
        Resources(memory_swap=64 * M),
        Resources(memory=64 * M, memory_swap=32 * M),
        Resources(memory=64 * M, cpuset_cpus="4000"),
        Resources(memory=64 * M, cpu_quota=1),
        Resources(memory=64 * M, pids_limit=1 << 40),
        Resources(memory=64 * M, read_bps=[Throttle(major=4095, minor=1, rate=M)]),
    ],
    ids=str,
)
def test_a_limit_that_is_refused_leaves_nothing(parent: str, resources: Resources) -> None:
    group = cgroups.group(parent, "one")
    with pytest.raises(Error) as caught:
        group.create(resources)
    assert "\n" not in str(caught.value)
    assert not [top for top in EVERYWHERE if os.path.exists(top + parent)]


@pytest.mark.v2
@pytest.mark.parametrize(
    ("resources", "controller"),
    [
        (Resources(cpuset_cpus="0"), "cpuset"),
        (Resources(blkio_weight=100), "blkio" if VERSION == 1 else "io"),
        (Resources(cpu_shares=2), "cpu"),
        (Resources(pids_limit=1), "pids"),
    ],
    ids=["cpuset", "block io", "cpu", "pids"],
)
def test_a_limit_holds_or_its_controller_is_named(
    group: Cgroup, resources: Resources, controller: str
) -> None:
    try:
        group.create(resources)
    except Error as error:
        assert controller in str(error)  # noqa: PT017  # either outcome is right, silence is not
        assert not [top for top in EVERYWHERE if os.path.exists(top + group.path)]
    else:
        assert [path for path in group.limit_files() if f"/{controller}." in path]


@only_v2
@pytest.mark.v2
@pytest.mark.skipif("cpuset" in CONTROLLERS, reason="this kernel has the cpuset controller")
def test_a_missing_controller_is_named_beside_those_there_are(group: Cgroup) -> None:
    with pytest.raises(Error, match="there is no cpuset controller") as caught:
        group.create(Resources(cpuset_cpus="0"))
    assert caught.value.hint.endswith(" ".join(sorted(CONTROLLERS)))


@pytest.mark.v2
def test_a_group_that_exists_is_refused_and_left_alone(group: Cgroup, inside: Inside) -> None:
    group.create(Resources(memory=64 * M))
    pid = inside.asleep(group)
    with pytest.raises(KernelError, match="file exists"):
        cgroups.group(os.path.dirname(group.path), "one").create(Resources())
    assert group.processes() == [pid]
    assert limit_of(group) == 64 * M


# Memory


@pytest.mark.v2
def test_more_memory_than_the_limit_is_killed_and_counted(group: Cgroup, inside: Inside) -> None:
    group.create(Resources(memory=32 * M))
    assert group.oom_kills() == 0
    assert inside.wait(inside.start(group, lambda: hold(64 * M))) == -signal.SIGKILL
    assert group.oom_kills() == 1
    group.remove()
    assert group.oom_kills() == 0


@pytest.mark.v2
def test_less_memory_than_the_limit_is_not(group: Cgroup, inside: Inside) -> None:
    group.create(Resources(memory=64 * M))
    assert inside.wait(inside.start(group, lambda: hold(16 * M))) == 0
    assert group.oom_kills() == 0


@pytest.mark.v2
@pytest.mark.parametrize(
    ("memory_swap", "allowed"), [(None, 0), (64 * M, 0), (96 * M, 32 * M), (-1, None)]
)
def test_swap_is_bounded_together_with_the_memory(
    group: Cgroup, memory_swap: int | None, allowed: int | None
) -> None:
    group.create(Resources(memory=64 * M, memory_swap=memory_swap))
    assert limit_of(group) == 64 * M
    if VERSION == 2:
        expected = "max" if allowed is None else str(allowed)
        assert not group.has("memory.swap.max") or content(group, "memory.swap.max") == expected
    elif group.has("memory.memsw.limit_in_bytes"):
        total = int(content(group, "memory.memsw.limit_in_bytes"))
        assert total > 1 << 62 if allowed is None else total == 64 * M + allowed


@pytest.mark.v2
@pytest.mark.skipif(
    len(Path("/proc/swaps").read_text().splitlines()) < 2, reason="this machine has no swap"
)
def test_with_swap_at_hand_the_limit_kills_all_the_same(group: Cgroup, inside: Inside) -> None:
    group.create(Resources(memory=32 * M))
    assert inside.wait(inside.start(group, lambda: hold(48 * M))) == -signal.SIGKILL
    group.remove()
    group.create(Resources(memory=32 * M, memory_swap=128 * M))
    assert inside.wait(inside.start(group, lambda: hold(48 * M))) == 0


@pytest.mark.v2
def test_a_limit_is_raised_and_lowered_while_processes_run(group: Cgroup, inside: Inside) -> None:
    group.create(Resources(memory=64 * M, memory_swap=80 * M, pids_limit=10, cpu_shares=512))
    pid = inside.asleep(group)
    for size in (128 * M, 16 * M, 256 * M, 64 * M):
        group.update(Resources(memory=size))
        assert limit_of(group) == size
        if VERSION == 1 and group.has("memory.memsw.limit_in_bytes"):
            assert int(content(group, "memory.memsw.limit_in_bytes")) == size + 16 * M
        elif group.has("memory.swap.max"):
            assert int(content(group, "memory.swap.max")) == 16 * M
    group.update(Resources(memory=100 * M, memory_swap=100 * M))
    group.update(Resources(memory_swap=150 * M))
    group.update(Resources(memory=-1))
    assert group.statistics().memory_limit == -1
    group.update(Resources(pids_limit=20, cpu_shares=1024))
    assert group.statistics().pids_limit == 20
    assert group.processes() == [pid]


@pytest.mark.v2
def test_a_limit_below_what_is_held_is_refused_and_all_stays_as_it_was(
    group: Cgroup, inside: Inside
) -> None:
    group.create(Resources(memory=128 * M, pids_limit=10))

    def hold_on() -> None:
        kept = b"\1" * (48 * M)
        time.sleep(600 if kept else 0)

    pid = inside.start(group, hold_on)
    assert tree.wait_until(lambda: group.statistics().memory_usage > 48 * M, seconds=30)
    before = {path: Path(path).read_text() for path in group.limit_files()}
    with pytest.raises(KernelError, match="limit: memory") as caught:
        group.update(Resources(memory=16 * M))
    assert caught.value.hint == "the processes in it hold more memory than that"
    assert {path: Path(path).read_text() for path in group.limit_files()} == before
    assert group.processes() == [pid]
    assert group.oom_kills() == 0


@pytest.mark.v2
def test_an_update_that_fails_half_way_puts_the_first_half_back(group: Cgroup) -> None:
    group.create(Resources(memory=64 * M, cpu_shares=512, pids_limit=10))
    before = {path: Path(path).read_text() for path in group.limit_files()}
    with pytest.raises(KernelError, match=r"limit: pids\.max="):
        group.update(Resources(memory=32 * M, cpu_shares=256, cpu_quota=50_000, pids_limit=1 << 40))
    assert {path: Path(path).read_text() for path in group.limit_files()} == before


# Processors


@pytest.mark.v2
def test_256_against_512_shares_on_one_processor_are_one_to_two(
    parent: str, inside: Inside
) -> None:
    """The book's 3.2. On v2 the shares become weights of 35 and 59 (convert.shares_to_weight)."""
    small, large = cgroups.group(parent, "small"), cgroups.group(parent, "large")
    processor = {min(os.sched_getaffinity(0))}

    def spin_there() -> None:
        os.sched_setaffinity(0, processor)
        spin()

    for group, shares in ((small, 256), (large, 512)):
        group.create(Resources(cpu_shares=shares))
        inside.start(group, spin_there)
    assert tree.wait_until(
        lambda: all(g.statistics().cpu_nanoseconds > 10**7 for g in (small, large)), 60
    )
    before = [group.statistics().cpu_nanoseconds for group in (small, large)]
    # As much work as it takes, not as much time: other processes may want this processor too.
    assert tree.wait_until(lambda: large.statistics().cpu_nanoseconds - before[1] > 15 * 10**8, 60)
    after = [group.statistics().cpu_nanoseconds for group in (small, large)]
    ratio = (after[1] - before[1]) / (after[0] - before[0])
    weights = [convert.shares_to_weight(shares) for shares in (256, 512)]
    expected = 2 if VERSION == 1 else weights[1] / weights[0]
    assert expected * 0.8 < ratio < expected * 1.25
    for group in (small, large):
        group.kill()
    for pid in list(inside.pids):
        inside.wait(pid)
    small.remove()
    large.remove()


@pytest.mark.v2
def test_a_quota_throttles(group: Cgroup, inside: Inside) -> None:
    group.create(Resources(cpu_quota=20_000, cpu_period=100_000))
    inside.start(group, spin)
    assert tree.wait_until(lambda: group.fields("cpu.stat").get("nr_throttled", 0) > 2, seconds=30)
    group.update(Resources(cpu_quota=-1))
    if VERSION == 1:
        assert content(group, "cpu.cfs_quota_us") == "-1"
    else:
        assert content(group, "cpu.max") == "max 100000"


@needs("cpuset")
@pytest.mark.v2
def test_a_cpuset_is_where_its_processes_run(group: Cgroup, inside: Inside) -> None:
    last = str(max(os.sched_getaffinity(0)))
    group.create(Resources(cpuset_cpus=last, cpuset_mems="0"))
    assert inside.ask(group, lambda: ",".join(map(str, os.sched_getaffinity(0)))) == last


@needs("cpuset")
@only_v1
def test_a_cpuset_is_never_empty_on_the_way_down(parent: str) -> None:
    group = cgroups.group(f"{parent}/deep", "one")
    group.create(Resources())
    directory = Path(group.file("cpuset.cpus")).parent
    for level in (directory, directory.parent, directory.parent.parent):
        for name in ("cpuset.cpus", "cpuset.mems"):
            assert (level / name).read_text().strip()
    group.remove()


# Processes


@pytest.mark.v2
def test_a_fork_beyond_the_pids_limit_is_refused(group: Cgroup, inside: Inside) -> None:
    group.create(Resources(pids_limit=3))

    def forks_allowed() -> str:
        children: list[int] = []
        try:
            while len(children) < 10:
                pid = os.fork()
                if pid == 0:
                    time.sleep(600)
                children.append(pid)
        except BlockingIOError:
            pass
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        return str(len(children))

    assert inside.ask(group, forks_allowed) == "2"


@pytest.mark.v2
def test_frozen_processes_do_nothing_until_they_are_thawed(group: Cgroup, inside: Inside) -> None:
    group.create(Resources())
    ours, theirs = os.pipe()
    os.set_blocking(theirs, True)

    def tick() -> None:
        while True:
            os.write(theirs, b".")

    inside.start(group, tick)
    os.close(theirs)
    assert os.read(ours, 1) == b"."
    assert not group.frozen()
    group.freeze()
    assert group.frozen()
    os.set_blocking(ours, False)
    try:
        while os.read(ours, 1 << 16):  # what is in the pipe still
            pass
    except BlockingIOError:
        pass
    time.sleep(0.3)
    with pytest.raises(BlockingIOError):
        os.read(ours, 1)
    group.thaw()
    os.set_blocking(ours, True)
    assert os.read(ours, 1) == b"."
    os.close(ours)


@pytest.mark.v2
def test_a_kill_reaches_every_process_even_those_that_fork(group: Cgroup, inside: Inside) -> None:
    group.create(Resources(pids_limit=30))

    def multiply() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            try:
                if os.fork() == 0:
                    time.sleep(0.01)
            except BlockingIOError:
                time.sleep(0.001)

    pid = inside.start(group, multiply)
    assert tree.wait_until(lambda: len(group.processes()) > 10, seconds=30)
    group.kill()
    assert inside.wait(pid) == -signal.SIGKILL
    assert tree.wait_until(lambda: group.processes() == [])


@pytest.mark.v2
def test_a_kill_reaches_frozen_processes(group: Cgroup, inside: Inside) -> None:
    group.create(Resources())
    pid = inside.asleep(group)
    group.freeze()
    group.kill()
    assert inside.wait(pid) == -signal.SIGKILL


@only_v2
@pytest.mark.v2
def test_without_cgroup_kill_the_freezer_does_it(
    group: Cgroup, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    has = type(group).has
    monkeypatch.setattr(
        type(group), "has", lambda it, name: name != "cgroup.kill" and has(it, name)
    )
    group.create(Resources())
    pid = inside.asleep(group)
    group.kill()
    assert inside.wait(pid) == -signal.SIGKILL


@pytest.mark.v2
def test_a_group_that_is_gone_is_empty_and_has_no_statistics(parent: str) -> None:
    group = cgroups.group(parent, "never")
    assert group.processes() == []
    assert group.statistics() == cgroups.Statistics()
    assert group.limit_files() == []
    assert not group.frozen()
    with pytest.raises(NotFound, match="there is no such group"):
        group.freeze()


@pytest.mark.v2
def test_a_group_that_another_removes_while_it_is_killed(
    parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = cgroups.group(parent, "short")
    group.create(Resources())

    def gone() -> list[int]:
        group.remove()
        return []

    monkeypatch.setattr(group, "processes", gone)
    group.kill()
    group.remove()
    group.kill()


# What is counted, and the rest of the limits


@pytest.mark.v2
def test_statistics_count_memory_processors_and_processes(group: Cgroup, inside: Inside) -> None:
    group.create(Resources(memory=128 * M, pids_limit=5))

    def hold_and_spin() -> None:
        kept = b"\1" * (24 * M)
        while kept:
            pass

    inside.start(group, hold_and_spin)
    assert tree.wait_until(lambda: group.statistics().memory_usage > 24 * M, seconds=30)
    assert tree.wait_until(lambda: group.statistics().cpu_nanoseconds > 10**8, seconds=30)
    now = group.statistics()
    assert now.memory_usage < now.memory_limit == 128 * M
    assert (now.pids, now.pids_limit) == (1, 5)
    group.update(Resources(memory=-1, pids_limit=-1))
    now = group.statistics()
    assert (now.memory_limit, now.pids_limit) == (-1, -1)


@pytest.mark.v2
def test_limit_files_hold_what_was_asked(group: Cgroup, parent: str) -> None:
    group.create(Resources(memory=100 * M, cpu_shares=256, memory_reservation=50 * M))
    held = {Path(path).name: Path(path).read_text().strip() for path in group.limit_files()}
    assert cgroups.limit_files(parent, "one") == group.limit_files()
    if VERSION == 1:
        assert held["memory.limit_in_bytes"] == str(100 * M)
        assert held["memory.soft_limit_in_bytes"] == str(50 * M)
        assert held["cpu.shares"] == "256"
    else:
        assert held["memory.max"] == str(100 * M)
        assert held["memory.low"] == str(50 * M)
        assert held["cpu.weight"] == "35"


def whole_disk() -> tuple[int, int] | None:
    """A block device's numbers: one with a queue, so that it can be limited."""
    for name in sorted(os.listdir("/sys/block")) if os.path.isdir("/sys/block") else []:
        if os.path.isdir(f"/sys/block/{name}/queue") and not name.startswith(("zram", "ram")):
            major, minor = Path(f"/sys/block/{name}/dev").read_text().split(":")
            return int(major), int(minor)
    return None


@pytest.mark.v2
@pytest.mark.skipif(whole_disk() is None, reason="this machine has no disk")
@needs("blkio" if VERSION == 1 else "io")
def test_a_disks_rates_are_limited(group: Cgroup) -> None:
    major, minor = whole_disk() or (0, 0)
    disk = Throttle(major=major, minor=minor, rate=2 * M)
    if not has_throttling(os.path.dirname(group.path)):
        pytest.skip("this kernel cannot throttle block io")
    group.create(Resources(read_bps=[disk], write_iops=[disk]))
    if VERSION == 1:
        held = content(group, "blkio.throttle.read_bps_device")
        assert held == f"{major}:{minor} {2 * M}"
        assert content(group, "blkio.throttle.write_iops_device") == held
    else:
        held = content(group, "io.max")
        assert held == f"{major}:{minor} rbps={2 * M} wbps=max riops=max wiops={2 * M}"


def has_throttling(parent: str) -> bool:
    probe = cgroups.group(parent, "probe")
    probe.create(Resources())
    found = probe.has("blkio.throttle.read_bps_device" if VERSION == 1 else "io.max")
    probe.remove()
    return found


@needs("devices")
@only_v1
def test_only_devices_on_the_list_can_be_opened(group: Cgroup, inside: Inside) -> None:
    group.create(Resources(devices=["c 1:3 rwm", "c 5:0 rwm"]))

    def opened() -> str:
        words = []
        for path in ("/dev/null", "/dev/zero"):
            try:
                os.close(os.open(path, os.O_RDONLY))
                words.append("yes")
            except PermissionError:
                words.append("no")
        return " ".join(words)

    assert inside.ask(group, opened) == "yes no"
    assert content(group, "devices.list").splitlines() == ["c 1:3 rwm", "c 5:0 rwm"]


@needs("devices")
@only_v1
def test_all_devices_are_allowed_to_who_is_privileged(group: Cgroup) -> None:
    group.create(Resources(devices=["a *:* rwm"]))
    assert content(group, "devices.list") == "a *:* rwm"


# Where the hierarchies are


def in_a_mount_namespace(work: Callable[[], None]) -> None:
    """Do it in a child whose mounts are its own, so that the host does not see them."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNS)
            syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
            work()
        except BaseException as error:
            os.write(theirs, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, encoding="utf-8") as pipe:
        failure = pipe.read()
    os.waitpid(pid, 0)
    assert not failure, failure


@pytest.mark.v2
def test_a_hierarchy_that_is_hidden_by_another_mount_is_not_used() -> None:
    hidden = USED[0].top

    def look() -> None:
        syscalls.mount("tmpfs", hidden, "tmpfs")
        assert hidden not in [h.top for h in hierarchies.mounted()]

    in_a_mount_namespace(look)


@pytest.mark.v2
def test_a_hierarchy_that_is_mounted_twice_is_used_once(tmp_path: Path) -> None:
    def look() -> None:
        syscalls.mount(USED[0].top, str(tmp_path), "", syscalls.MS_BIND)
        assert [h.top for h in hierarchies.in_use()] == [h.top for h in USED]

    in_a_mount_namespace(look)


@pytest.mark.v2
def test_without_any_hierarchy_the_error_says_so() -> None:
    def look() -> None:
        for top in EVERYWHERE:
            syscalls.mount("tmpfs", top, "tmpfs")
        with pytest.raises(Error, match="no cgroup hierarchy is mounted"):
            cgroups.group("/p", "one")

    in_a_mount_namespace(look)


def enter_a_container_of_our_own(outer: str) -> None:
    """Be in a group of our own in every hierarchy, and see it as the top of each."""
    for hierarchy in USED:
        os.mkdir(hierarchy.top + outer)
        if VERSION == 1 and os.path.exists(f"{hierarchy.top}{outer}/cpuset.mems"):
            from mydocker.cgroups.v1 import inherit_cpuset

            inherit_cpuset(hierarchy.top + outer)
        Path(f"{hierarchy.top}{outer}/cgroup.procs").write_text("0")
    syscalls.unshare(syscalls.CLONE_NEWCGROUP)
    for hierarchy in USED:
        fstype = "cgroup" if VERSION == 1 else "cgroup2"
        options = ",".join(hierarchy.controllers) if VERSION == 1 else ""
        syscalls.umount2(hierarchy.top, syscalls.MNT_DETACH)
        syscalls.mount("cgroup", hierarchy.top, fstype, 0, options)


@pytest.mark.v2
def test_a_mydocker_in_a_container_makes_its_groups_below_that(parent: str) -> None:
    """Only the root of a v2 hierarchy may have processes and hand controllers down: we move."""
    outer = parent

    def work() -> None:
        enter_a_container_of_our_own(outer)
        group = cgroups.group("/mydocker", "one")
        group.create(Resources(memory=64 * M, pids_limit=10))
        assert limit_of(group) == 64 * M
        pid = group.fork()
        if pid == 0:
            try:
                group.add(0)
                lines = Path("/proc/self/cgroup").read_text().splitlines()
                os._exit(0 if any(line.endswith(":/mydocker/one") for line in lines) else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        group.remove()
        if VERSION == 2:
            assert Path("/proc/self/cgroup").read_text().strip() == "0::/init"

    try:
        in_a_mount_namespace(work)
    finally:
        for hierarchy in USED:
            tree.remove(hierarchy.top, outer, time.monotonic() + 2)

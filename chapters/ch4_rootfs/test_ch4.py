"""Chapter 4: what the kernel shows of a container's root, its layers and its volumes."""

from __future__ import annotations

import io
import json
import os
import secrets
import stat
import tarfile
from pathlib import Path

import pytest

from lab.course.host import BIRD, Done, Host, Wrong, listing_of_namespace
from mydocker.linux.mountinfo import MountEntry

step = pytest.mark.step


def unique(word: str) -> str:
    """A name that nobody has used before."""
    return f"{word}-{secrets.token_hex(4)}"


def image(host: Host, name: str, script: str, base: str = "busybox") -> None:
    """A new image: `base` with what the script changes."""
    container = unique("lab")
    host.ok("run", "--name", container, base, "sh", "-c", script)
    host.ok("commit", container, name)
    host.ok("rm", container)


def upper(host: Host, container: str) -> Path:
    """The upper directory of a container, by the reference's record."""
    for path in host.root.glob("containers/*/container.json"):
        record = json.loads(path.read_text())
        if container in (record["name"], record["id"]):
            return path.parent / "upper"
    raise Wrong("silent", expected=f"a container {container}", got="no record of it")


# 4.1 pivot_root, and the old root is gone


@step("4.1")
def test_the_root_is_the_containers_and_nothing_else(host: Host) -> None:
    probe = host.run("run", "--rm", "ls", "/")
    if "pivot_root" in probe.err and "invalid argument" in probe.err:
        probe.refuse_as("einval")
    container = host.start()
    see = f"mydocker run -d --name bird top; nsenter -t {BIRD} -m ls /"
    root = os.stat(container.inside("/"))
    if (root.st_dev, root.st_ino) == (os.stat("/").st_dev, os.stat("/").st_ino):
        names = " ".join(sorted(os.listdir(container.inside("/")))[:8])
        raise Wrong("host-root", expected="the image's root", got=names, see="mydocker run ls /")
    mine = {m.device for m in container.mounts()}
    stacked = [m for m in container.mounts() if m.mountpoint == "/"]
    if len(stacked) > 1 or host_devices() & mine:
        extra = [
            f"{m.fstype} at {m.mountpoint}"
            for m in container.mounts()
            if m.device in host_devices()
        ]
        got = ", ".join(extra[:3]) or f"{len(stacked)} mounts at /"
        raise Wrong(
            "old-root-left",
            expected="no mount of the host's",
            got=got,
            see="mydocker run cat /proc/self/mountinfo",
        )
    inside = listing_of_namespace(container.pid)
    if inside != sorted(os.listdir(container.inside("/"))):
        raise Wrong("chroot", expected="the container's root", got=" ".join(inside[:8]), see=see)
    container.stop()


def host_devices() -> set[str]:
    """The filesystem that is the host's root."""
    return {
        m.device
        for m in map(MountEntry, Path("/proc/self/mountinfo").read_text().splitlines())
        if m.mountpoint == "/"
    }


@step("4.1")
def test_nothing_was_made_for_the_old_root(host: Host) -> None:
    name = unique("bird")
    host.ok("run", "--name", name, "true")
    known = {"dev", "proc", "sys", "etc", "run"}
    extra = sorted(set(os.listdir(upper(host, name))) - known)
    if extra:
        see = "mydocker run --name bird true; mydocker diff bird"
        raise Wrong("dir-left", expected="nothing new in /", got=" ".join(extra), see=see)


# 4.2 What a root needs, in order

NEEDED = {
    "/proc": "proc",
    "/dev": "tmpfs",
    "/dev/pts": "devpts",
    "/dev/shm": "tmpfs",
    "/dev/mqueue": "mqueue",
    "/sys": "sysfs",
}


@step("4.2")
def test_the_usual_filesystems_are_there(host: Host) -> None:
    probe = host.run("run", "--rm", "true")
    if "/dev/null: no such file" in probe.err:
        probe.refuse_as("hidden", "/dev/null", where="/dev/null")
    container = host.start(script="ls -d /proc/[0-9]* | wc -l")
    visible = {m.mountpoint: m for m in container.mounts()}
    see = "mydocker run mount"
    for where, kind in NEEDED.items():
        found = visible.get(where)
        if found is None or found.fstype != kind:
            got = found.fstype if found else "not mounted"
            raise Wrong(
                "not-mounted",
                expected=f"{kind} at {where}",
                got=got,
                see=see,
                where=where,
                kind=kind,
            )
        try:
            device = os.stat(container.inside(where)).st_dev
        except OSError:
            device = 0
        if device != os.makedev(*map(int, found.device.split(":"))):
            raise Wrong(
                "hidden",
                expected=f"{kind} at {where}",
                got="another filesystem above it",
                see=see,
                where=where,
            )
    if not container.inside("/dev/null").exists():
        raise Wrong(
            "hidden",
            expected="/dev/null",
            got="no such file",
            see="mydocker run ls /dev",
            where="/dev/null",
        )
    if int(container.out.strip() or 99) > 6:
        raise Wrong(
            "host-proc",
            expected="a few processes",
            got=f"{container.out.strip()} processes",
            see="mydocker run ps",
        )
    container.stop()


# 4.3 /dev

NODES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}


@step("4.3")
def test_the_nodes_are_what_they_are_called(host: Host) -> None:
    probe = host.run("run", "--rm", "true")
    if "/dev/null" in probe.err:
        missing = "no such file" in probe.err
        probe.refuse_as("no-device" if missing else "wrong-device", "c 1, 3", name="/dev/null")
    container = host.start()
    see = "mydocker run ls -l /dev"
    for name, numbers in NODES.items():
        path = container.inside(f"/dev/{name}")
        try:
            found = path.lstat()
        except OSError:
            raise Wrong(
                "no-device", expected=f"/dev/{name}", got="missing", see=see, name=f"/dev/{name}"
            ) from None
        if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(*numbers):
            pair = os.major(found.st_rdev), os.minor(found.st_rdev)
            got = f"{stat.filemode(found.st_mode)} {pair[0]}, {pair[1]}"
            expected = f"c {numbers[0]}, {numbers[1]}"
            raise Wrong("wrong-device", expected=expected, got=got, see=see, name=f"/dev/{name}")
        if stat.S_IMODE(found.st_mode) != 0o666:
            raise Wrong(
                "mode",
                expected="crw-rw-rw-",
                got=stat.filemode(found.st_mode),
                see=see,
                name=f"/dev/{name}",
            )
    for name in ("fd", "stdin", "stdout", "stderr", "ptmx"):
        if not container.inside(f"/dev/{name}").is_symlink():
            raise Wrong(
                "no-link", expected=f"/dev/{name}", got="missing", see=see, name=f"/dev/{name}"
            )
    container.stop()


# 4.4 Overlay


@step("4.4")
def test_writes_land_in_the_containers_own_upper_directory(host: Host) -> None:
    mark = unique("mark")
    name = unique("bird")
    done = host.run("run", "--name", name, "sh", "-c", f"echo x > /{mark} && rm /etc/passwd")
    if "read-only file system" in done.err.lower():
        done.refuse_as("read-only")
    if done.code and ("no such file" in done.err or "invalid argument" in done.err):
        done.refuse_as("no-directories")
    if done.code:
        done.refuse()
    see = f"mydocker run --name bird sh -c 'echo x > /{mark}'; mydocker diff bird"
    layers = [
        path for path in host.root.glob(f"images/**/{mark}") if "containers" not in path.parts
    ]
    if layers:
        raise Wrong("image-written", expected="the image as it was", got=str(layers[0]), see=see)
    own = upper(host, name)
    if not (own / mark).is_file():
        places = [str(path) for path in host.root.rglob(mark)]
        other = [place for place in places if name not in place]
        second = host.run("run", "--rm", "cat", f"/{mark}")
        diagnosis = "shared-upper" if second.code == 0 else "upper-elsewhere"
        raise Wrong(diagnosis, expected=f"{own}/{mark}", got=", ".join(other) or "nowhere", see=see)
    gone = own / "etc/passwd"
    if not gone.is_char_device() or gone.lstat().st_rdev != 0:
        raise Wrong("upper-elsewhere", expected="a whiteout etc/passwd, c 0 0", got="none", see=see)
    second = host.run("run", "--rm", "sh", "-c", f"cat /{mark}; cat /etc/passwd")
    if second.out.startswith("x"):
        raise Wrong("shared-upper", expected=f"no /{mark} in a second container", got="x", see=see)
    if second.code:
        raise Wrong("image-written", expected="/etc/passwd of the image", got=second.err, see=see)


@step("4.4")
def test_the_topmost_layer_counts(host: Host) -> None:
    name = unique("image")
    image(host, name, "echo old > /version; echo 1 > /one")
    image(host, f"{name}-2", "echo new > /version; rm /one", name)
    done = host.run("run", "--rm", f"{name}-2", "sh", "-c", "cat /version; ls /one")
    if not done.out.startswith("new") or "/one\n" in done.out:
        got = (done.out + done.err).replace("\n", " ")
        raise Wrong("layer-order", expected="new, and no /one", got=got, see=done.see)


@step("4.4")
def test_a_path_with_a_colon(host: Host) -> None:
    root = host.directory / "a:b,c"
    os.rename(host.root, root)
    done = host.run("--root", str(root), "run", "--rm", "echo", "works")
    os.rename(root, host.root)
    if done.out != "works\n":
        if "mount" not in done.err and "overlay" not in done.err and "layer" not in done.err:
            done.refuse()
        done.refuse_as("not-escaped", "works")


# 4.5 A volume


def source(host: Host) -> Path:
    """A directory of the host with a filesystem of its own, and another one below it."""
    path = host.directory / unique("volume")
    host.mount_tmpfs(path)
    host.mount_tmpfs(path / "deep")
    host.seen(path / "kept").write_text("the host's\n")
    host.seen(path / "deep/kept").write_text("the host's\n")
    return path


def started(done: Done) -> str:
    """What a run printed that must have gone well."""
    if done.code:
        done.refuse()
    return done.out


@step("4.5")
def test_both_sides_see_the_same_files(host: Host) -> None:
    path = source(host)
    container = host.start("-v", f"{path}:/data", script="cat /data/kept; echo inside > /data/new")
    see = f"mydocker run -v {path}:/data sh -c 'echo inside > /data/new'; cat {path}/new"
    if container.out != "the host's\n" or not host.seen(path / "new").exists():
        raise Wrong(
            "copied", expected="new on the host", got=" ".join(os.listdir(host.seen(path))), see=see
        )
    host.seen(path / "later").write_text("x")
    if not container.inside("/data/later").exists():
        raise Wrong("copied", expected="later in the container", got="not there", see=see)
    if not container.inside("/data/deep/kept").exists():
        raise Wrong(
            "not-recursive",
            expected="/data/deep/kept",
            got="an empty /data/deep",
            see="mydocker run -v /:/host ls /host/proc",
        )
    host.mount_tmpfs(path / "afterwards")
    if [m for m in container.mounts() if m.mountpoint == "/data/afterwards"]:
        raise Wrong(
            "propagates",
            expected="no new mount in the container",
            got="/data/afterwards",
            see="mydocker run cat /proc/self/mountinfo",
        )
    container.stop()
    host.ok("rm", container.name)
    if not host.seen(path / "kept").exists():
        raise Wrong("data-lost", expected=f"{path}/kept", got="gone", see=see)


@step("4.5")
def test_read_only_is_for_the_container_only(host: Host) -> None:
    path = source(host)
    done = host.run(
        "run", "--rm", "-v", f"{path}:/data:ro", "sh", "-c", "cat /data/kept; echo x > /data/new"
    )
    if "the host's" not in done.out:
        done.refuse()
    if host.seen(path / "new").exists() or done.code == 0:
        raise Wrong(
            "ro-ignored", expected="read-only file system", got="it was written", see=done.see
        )
    try:
        host.seen(path / "mine").write_text("x")
    except OSError as error:
        raise Wrong(
            "host-readonly", expected="the host can write", got=str(error), see=f"touch {path}/mine"
        ) from None


@step("4.5")
def test_a_file_is_a_volume_too(host: Host) -> None:
    path = source(host)
    done = host.run(
        "run",
        "--rm",
        "-v",
        f"{path}/kept:/etc/note",
        "sh",
        "-c",
        "cat /etc/note; echo more >> /etc/note",
    )
    if started(done) != "the host's\n" or "more" not in host.seen(path / "kept").read_text():
        raise Wrong("copied", expected="the host's, and more", got=done.out, see=done.see)


# 4.6 The target is resolved inside the root


@step("4.6")
def test_a_link_in_the_image_does_not_lead_out(host: Host) -> None:
    probe = host.run("run", "--rm", "true")
    if "no such file" in probe.err:
        probe.refuse_as("not-made")
    path = source(host)
    victim = host.directory / unique("victim")
    victim.mkdir()
    name = unique("evil")
    image(host, name, f"mkdir -p {victim}; ln -s {victim} /data")
    done = host.run("run", "--rm", "-v", f"{path}:/data/in", name, "ls", f"{victim}/in")
    if os.listdir(victim):
        got = f"{victim}/{os.listdir(victim)[0]} on the host"
        raise Wrong("escaped", expected="nothing on the host", got=got, see=done.see)
    if "kept" not in done.out:
        if "this is a bug" not in done.err and "not written" not in done.err:
            done.refuse_as("not-made", f"the volume at {victim}/in in the container")
        done.refuse()


@step("4.6")
def test_proc_as_a_link_is_refused(host: Host) -> None:
    name = unique("evil")
    tar = host.directory / "evil.tar"
    with tarfile.open(tar, "w") as file:
        link = tarfile.TarInfo("proc")
        link.type, link.linkname = tarfile.SYMTYPE, "/tmp"
        file.addfile(link)
        file.addfile(directory("tmp"))
        file.addfile(directory("bin"))
        busybox = next(host.root.glob("images/**/bin/busybox"))
        for word in ("busybox", "sh", "true"):
            file.add(busybox, f"bin/{word}")
    host.ok("import", str(tar), name)
    done = host.run("run", "--rm", name, "/bin/true")
    if done.code == 0:
        raise Wrong(
            "proc-link",
            expected="mydocker: mount: /proc: is a symbolic link",
            got="exit 0",
            see=done.see,
        )
    if "this is a bug" in done.err or "not written" in done.err:
        done.refuse()


def directory(name: str) -> tarfile.TarInfo:
    """A directory for a tar."""
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    return member


@step("4.6")
def test_missing_targets_are_made_of_the_right_kind(host: Host) -> None:
    path = source(host)
    flags = ("-v", f"{path}/kept:/new/file", "-v", f"{path}:/other/directory")
    done = host.run("run", "--rm", *flags, "sh", "-c", "cat /new/file /other/directory/kept")
    if done.out != "the host's\nthe host's\n":
        if "this is a bug" in done.err or "not written" in done.err:
            done.refuse()
        wrong = (
            "not a directory" in done.err or "is a directory" in done.err or "not alike" in done.err
        )
        done.refuse_as("kind" if wrong else "not-made", "both volumes")


# 4.7 Covered


@step("4.7")
def test_what_is_not_namespaced_is_covered(host: Host) -> None:
    container = host.start()
    mounts = {m.mountpoint: m for m in container.mounts()}
    for where in ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq"):
        if os.path.exists(where) and "ro" not in (mounts[where].options if where in mounts else []):
            raise Wrong(
                "not-readonly",
                expected=f"{where} read-only",
                got="writable",
                see=f"mydocker run grep {where} /proc/self/mountinfo",
                where=where,
            )
    for where in ("/proc/kcore", "/proc/keys", "/proc/timer_list"):
        path = container.inside(where)
        if os.path.exists(where) and path.exists() and path.stat().st_rdev != os.makedev(1, 3):
            raise Wrong(
                "not-masked",
                expected="/dev/null",
                got="the kernel's own file",
                see=f"mydocker run ls -l {where}",
                where=where,
            )
    where = "/sys/firmware"
    if os.path.exists(where) and os.listdir(container.inside(where)):
        raise Wrong(
            "not-masked",
            expected="an empty directory",
            got="the kernel's own",
            see=f"mydocker run ls {where}",
            where=where,
        )
    container.stop()


@step("4.7")
def test_a_read_only_root(host: Host) -> None:
    done = host.run(
        "run", "--rm", "--read-only", "sh", "-c", "echo x > /new; test -e /new && echo written"
    )
    if "written" in done.out:
        raise Wrong(
            "root-writable", expected="read-only file system", got="it was written", see=done.see
        )
    if "read-only" not in done.err.lower():
        done.refuse()


# 4.8, 4.9 commit


@step("4.8")
def test_what_was_deleted_stays_deleted(host: Host) -> None:
    name = unique("image")
    image(
        host, name, "rm /etc/passwd; echo new > /etc/new; mkdir -p /deep/er; echo x > /deep/er/file"
    )
    done = host.run("run", "--rm", name, "sh", "-c", "ls -a /etc /deep/er; cat /etc/new")
    names = (started(done) if done.code > 2 else done.out).split()
    if "passwd" in names:
        raise Wrong(
            "whiteout-lost",
            expected="no /etc/passwd",
            got="it is back",
            see="mydocker commit bird image; mydocker run image ls /etc",
        )
    if "file" not in names or "new" not in names:
        raise Wrong(
            "changes-lost", expected="/etc/new /deep/er/file", got=" ".join(names), see=done.see
        )


@step("4.8")
def test_a_directory_made_anew_has_only_what_is_new(host: Host) -> None:
    name = unique("image")
    image(host, name, "rm -r /etc && mkdir /etc && echo x > /etc/only")
    names = started(host.run("run", "--rm", name, "ls", "/etc")).split()
    if set(names) - {"only", "hosts", "hostname", "resolv.conf"}:
        raise Wrong(
            "opaque-lost", expected="only", got=" ".join(names), see="mydocker run image ls /etc"
        )


@step("4.8")
def test_a_name_of_the_layers_own_is_refused(host: Host) -> None:
    name = unique("bird")
    host.ok("run", "--name", name, "sh", "-c", "touch /etc/.wh.passwd")
    done = host.run("commit", name, unique("image"))
    if done.code == 0:
        raise Wrong(
            "reserved",
            expected="an error",
            got="exit 0",
            see="mydocker run --name bird touch /.wh.etc; mydocker commit bird x",
        )
    if "this is a bug" in done.err or "not written" in done.err:
        done.refuse()


@step("4.9")
def test_volumes_stay_out_and_the_base_stays_below(host: Host) -> None:
    path = source(host)
    container, name, author = unique("bird"), unique("image"), unique("me")
    flags = ("-v", f"{path}:/volume/deep", "-v", f"{path}/kept:/etc/note")
    host.ok("run", "--name", container, *flags, "sh", "-c", "echo x > /volume/deep/x; echo x > /x")
    host.ok("commit", "-a", author, container, name)
    done = host.run("run", "--rm", name, "sh", "-c", "ls /bin/sh /x; ls -d /volume/deep /etc/note")
    if "command not found" in done.err or "/bin/sh" not in done.out:
        raise Wrong(
            "base-lost",
            expected="/bin/sh of the image below",
            got=done.err or done.out,
            see=done.see,
        )
    for what in ("/volume/deep", "/etc/note"):
        if what in done.out.split():
            raise Wrong("volume-in-image", expected=f"no {what}", got=what, see=done.see, what=what)
    if author not in host.ok("inspect", name):
        raise Wrong(
            "words-lost",
            expected=f"author {author}",
            got="not in the image",
            see=f"mydocker inspect {name}",
        )


# 4.10 From layer to overlayfs


@step("4.10")
def test_a_layers_whiteouts_are_done(host: Host) -> None:
    base, name, tar = unique("base"), unique("image"), host.directory / "layer.tar"
    with tarfile.open(tar, "w") as file:
        file.addfile(directory("a"))
        for member in ("a/.wh.gone", "a/own", "a/.wh.own"):
            add(file, member)
        file.addfile(directory("b"))
        add(file, "b/.wh..wh..opq")
        add(file, "b/new")
    container = unique("lab")
    image(host, base, "mkdir /a /b; echo x > /a/gone; echo x > /a/own; echo x > /b/old")
    # The layer comes in as a container's changes would: as the top of an image of two.
    host.import_layer(base, tar, name)
    done = host.run("run", "--name", container, name, "sh", "-c", "ls -A /a /b")
    names = started(done).split()
    see = f"mydocker run {name} ls -A /a /b"
    if any(word.startswith(".wh.") for word in names):
        raise Wrong("wh-files", expected="/a: own /b: new", got=" ".join(names), see=see)
    if "gone" in names:
        raise Wrong("still-there", expected="no /a/gone", got=" ".join(names), see=see)
    if "old" in names:
        raise Wrong("old-shows", expected="/b: new", got=" ".join(names), see=see)
    if "own" not in names:
        raise Wrong("deletes-own", expected="/a: own", got=" ".join(names), see=see)


def add(file: tarfile.TarFile, name: str, data: bytes = b"") -> None:
    """A regular file in a tar."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    file.addfile(member, io.BytesIO(data))

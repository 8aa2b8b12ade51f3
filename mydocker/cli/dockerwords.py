"""Containers and images in Docker's words: the paths that scripts ask `docker inspect` for.

What Docker would show of things that are not here (security labels, drivers, swarm) is left out
rather than made up. Maps whose keys the user chose are `Map`s, for `--format`.
"""

from __future__ import annotations

from mydocker.cli.template import Map
from mydocker.lifecycle import images, reach, select
from mydocker.lifecycle.container import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.rootfs.store import Image, Store
    from mydocker.spec import Mount, Spec

NEVER = "0001-01-01T00:00:00Z"
"""How Docker writes a time that has not come."""


def container(record: Container, spec: Spec) -> dict[str, Any]:
    """A container as `docker inspect` shows it."""
    words = record.command or [""]
    layers = [*reversed(record.layers)]
    return {
        "Id": record.id,
        "Created": record.created,
        "Path": words[0],
        "Args": words[1:],
        "State": state(record),
        "Image": record.image_id,
        "LogPath": f"{record.directory}/log.json",
        "Name": f"/{record.name}",
        "RestartCount": record.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "HostConfig": host_config(record, spec),
        "GraphDriver": {
            "Name": "overlay2",
            "Data": {
                "LowerDir": ":".join(layers),
                "UpperDir": f"{record.directory}/upper",
                "WorkDir": f"{record.directory}/work",
                "MergedDir": record.root_directory,
            },
        },
        "Mounts": [mount(m, record) for m in select.mounts(record)],
        "Config": {
            "Hostname": spec.hostname,
            "User": spec.process.user.username,
            "Tty": record.tty,
            "OpenStdin": record.open_stdin,
            "Env": spec.process.env,
            "Cmd": record.command,
            "Image": record.image,
            "WorkingDir": spec.process.cwd,
            "Labels": Map(record.labels),
            "StopSignal": record.stop_signal,
            "StopTimeout": record.stop_timeout,
            **({"Healthcheck": healthcheck(record)} if record.healthcheck.test else {}),
        },
        "NetworkSettings": networks(record),
    }


def state(record: Container) -> dict[str, Any]:
    """Its state; Docker says in a truth value for each what it says in `Status` too."""
    return {
        "Status": record.status,
        "Running": record.status in select.UP,
        "Paused": record.status == "paused",
        "Restarting": record.status == "restarting",
        "OOMKilled": record.oom_killed,
        "Dead": record.status == "dead",
        "Pid": record.pid,
        "ExitCode": record.exit_code,
        "Error": record.error,
        "StartedAt": record.started_at or NEVER,
        "FinishedAt": record.finished_at or NEVER,
        **({"Health": health(record)} if record.health else {}),
    }


def healthcheck(record: Container) -> dict[str, Any]:
    """How its health is asked for; times are in nanoseconds."""
    check = record.healthcheck
    return {
        "Test": check.test,
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "Retries": check.retries,
    }


def health(record: Container) -> dict[str, Any]:
    """What the last checks said."""
    answers = [
        {"Start": a.start, "End": a.end, "ExitCode": a.exit_code, "Output": a.output}
        for a in record.health_log
    ]
    return {"Status": record.health, "FailingStreak": record.health_streak, "Log": answers}


def host_config(record: Container, spec: Spec) -> dict[str, Any]:
    """How the host holds it: limits (0 where there is none), mounts, what happens at its end."""
    limits = spec.linux.resources
    quota, period = limits.cpu_quota or 0, limits.cpu_period or 100_000
    return {
        "Binds": [
            ":".join(
                [
                    select.volume_name(m, record) or m.source,
                    m.destination,
                    *(["ro"] if "ro" in m.options else []),
                ]
            )
            for m in select.mounts(record)
            if m.type != "tmpfs"
        ],
        "LogConfig": {"Type": record.log_driver, "Config": Map(record.log_opts)},
        "NetworkMode": select.network_names(record)[0],
        "RestartPolicy": {
            "Name": record.restart_policy,
            "MaximumRetryCount": record.restart_most,
        },
        "AutoRemove": record.auto_remove,
        "Init": record.init,
        "CgroupParent": record.cgroup_parent,
        "ReadonlyRootfs": spec.root.readonly,
        "Memory": limits.memory or 0,
        "MemorySwap": limits.memory_swap or limits.memory or 0,
        "MemoryReservation": limits.memory_reservation or 0,
        "NanoCpus": quota * 1_000_000_000 // period if quota > 0 else 0,
        "CpuShares": limits.cpu_shares or 0,
        "CpuPeriod": limits.cpu_period or 0,
        "CpuQuota": quota,
        "CpusetCpus": limits.cpuset_cpus or "",
        "CpusetMems": limits.cpuset_mems or "",
        "PidsLimit": limits.pids_limit,
        "BlkioWeight": limits.blkio_weight or 0,
        "OomScoreAdj": spec.process.oom_score_adj or 0,
        "Ulimits": [
            {"Name": r.type.removeprefix("RLIMIT_").lower(), "Soft": r.soft, "Hard": r.hard}
            for r in spec.process.rlimits
        ],
        "Sysctls": Map(spec.linux.sysctl),
        "MaskedPaths": spec.linux.masked_paths,
        "ReadonlyPaths": spec.linux.readonly_paths,
    }


def mount(m: Mount, record: Container) -> dict[str, Any]:
    """One mount; a volume is the bind mount of a directory that mydocker keeps."""
    propagation = [word for word in m.options if word.endswith(("private", "slave", "shared"))]
    name = select.volume_name(m, record)
    return {
        "Type": "volume" if name else m.type,
        **({"Name": name, "Driver": "local"} if name else {}),
        "Source": "" if m.type == "tmpfs" else m.source,
        "Destination": m.destination,
        "Mode": "ro" if "ro" in m.options else "",
        "RW": "ro" not in m.options,
        "Propagation": propagation[-1] if propagation else "",
    }


def networks(record: Container) -> dict[str, Any]:
    """Its addresses: those of the first network at the top, and of each under its name."""
    empty = {"IPAddress": "", "IPPrefixLen": 0, "Gateway": "", "MacAddress": ""}
    empty["GlobalIPv6Address"] = ""
    sandbox = f"/proc/{record.pid}/ns/net" if record.pid else ""
    names = select.network_names(record)
    found = reach.addresses(record)
    each = Map({name: empty | found.get(name, {}) for name in names})
    ports = Map(reach.bindings(record))
    return {**each[names[0]], "SandboxKey": sandbox, "Ports": ports, "Networks": each}


def image(store: Store, found: Image) -> dict[str, Any]:
    """An image as `docker image inspect` shows it, with what its configuration does not say."""
    told = images.describe(store, found)
    nothing = {"Env": [], "Cmd": [], "Entrypoint": [], "WorkingDir": "", "User": ""}
    told["Config"] = {**nothing, **told["Config"]}
    told["Config"]["Labels"] = Map(told["Config"].get("Labels") or {})
    return told

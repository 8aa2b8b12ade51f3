#!/bin/bash
# The cgroup v2 lane: runs one command on a kernel with cgroup v2, whatever this machine has.
#
#   lab/uml/run.sh [-t] COMMAND [ARGUMENT...]
#
# User-Mode Linux is a Linux kernel built as an ordinary program. Here it takes this machine's own
# root filesystem as its root, read-only, with /tmp, /run and /var/lib empty and in memory; so
# COMMAND sees this checkout, the same tools and .venv, and can change nothing outside. What it
# prints goes to stdout as it comes. One CPU, and programs start 10 to 20 times slower.
#
#   -t             give COMMAND the terminal: `lab/uml/run.sh -t bash` is a shell in there
#   UML_TIMEOUT    seconds that COMMAND may take (900)
#   UML_MEMORY     the memory of that kernel (1G); only what is used is taken
#
# COMMAND's environment is a small fresh one (`run.sh env NAME=VALUE COMMAND` adds to it).
# Exit: COMMAND's own code, or 3: user-mode-linux is not installed, 4: the lane itself failed (the
# kernel's last words are on stderr), 124: out of time, 130: interrupted.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

die() { # CODE WHAT
    printf 'lab/uml: %s\n' "$2" >&2
    exit "$1"
}

stop() {
    kill -KILL "$uml" 2>/dev/null || true
    cat <&"$control" >/dev/null # ends when the last process of the lane is gone
    exec {output}>&- {log}>&-
    wait $printer $logger || true
    uml=
}

died() { # CODE WHAT, after what the kernel said last
    stop
    if [ -s "$scratch/log" ]; then
        printf '%s\n' "--- the end of the kernel's log" "$(tail -n 40 "$scratch/log")" --- >&2
    fi
    die "$1" "$2"
}

# shellcheck disable=SC2317,SC2329  # called by the trap
finish() {
    [ -z "$uml" ] || stop
    [ -z "$saved" ] || stty "$saved" </dev/tty
    rm -rf "$scratch"
}

terminal=
if [ "${1:-}" = -t ]; then
    terminal=yes
    shift
fi
[ $# -gt 0 ] || die 4 'usage: lab/uml/run.sh [-t] COMMAND [ARGUMENT...]'
command -v linux.uml >/dev/null || die 3 'no cgroup v2 lane: the package user-mode-linux is not installed'
[ "$EUID" = 0 ] || die 4 'this needs root'

uml='' printer='' saved='' size=''
scratch=$(mktemp -d /tmp/mydocker-uml.XXXXXX) # no blank in it: it stands on a kernel command line
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$scratch/memory"
ln -s "$here/init.sh" "$scratch/init"
ln -s "$here/fstab" "$scratch/fstab"

if [ -n "$terminal" ]; then
    saved=$(stty -g </dev/tty) size=$(stty size </dev/tty)
    exec {output}<>/dev/tty
    console="fd:$output"
else
    exec {output}> >(exec cat) # UML makes its files non-blocking, so it gets none that others share
    printer=$!
    console="null,fd:$output"
fi
exec {log}> >(exec {output}>&- cat >"$scratch/log")
logger=$!
{
    declare -p terminal
    printf '%s=%q\n' checkout "${here%/lab/uml}" directory "$PWD" \
        TERM "${TERM:-dumb}" LANG "${LANG:-C.UTF-8}" size "$size"
    printf 'command=(%s)\n' "${*@Q}"
} >"$scratch/command"

# Three consoles: COMMAND's (tty0), the lane's word to us (tty1), and the kernel's (ttyS0), for its log.
# Killing `unshare` kills the pid namespace, which is everything; so does our own death. UML must not
# be PID 1 there, whose signals have no default action, nor in our process group: when it panics it
# sends SIGTERM to its own. A private tmpfs holds its memory, as /dev/shm may be small or noexec.
# shellcheck disable=SC2016  # the inner shell expands these
exec {control}< <(
    exec {word}>&1 >&"$log" 2>&1 </dev/null
    TMPDIR=$scratch/memory exec setpriv --pdeathsig KILL \
        unshare --mount --pid --fork --kill-child bash -c '
            mount -t tmpfs -o size=100% tmpfs "$TMPDIR" &&
                truncate -s 256M "$TMPDIR/swap" "$TMPDIR/disk" &&
                setsid --fork --wait linux.uml "$@"' lane \
        mem="${UML_MEMORY:-1G}" uml_dir="$scratch" root=/dev/root rootfstype=hostfs rootflags=/ ro \
        init="$scratch/init" ubd0="$scratch/memory/swap" ubd1="$scratch/memory/disk" \
        con=null con0="$console" con1="null,fd:$word" \
        ssl=null ssl0=null,fd:1 console=ttyS0 loglevel=5
)
uml=$!

read -rt 120 -u "$control" _ || died 4 'User-Mode Linux did not boot'
code='' late=0
read -rt "${UML_TIMEOUT:-900}" -u "$control" code || late=$?
[ "$late" -le 128 ] || died 124 "out of time after ${UML_TIMEOUT:-900} seconds (UML_TIMEOUT)"
[ -n "$code" ] || died 4 'User-Mode Linux died while the command ran'
exit "$code"

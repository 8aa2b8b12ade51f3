#!/bin/bash
# PID 1 of the cgroup v2 lane: makes a machine out of a read-only root, then runs one command.
#
# run.sh boots it, and left what to do in the file `command` beside the link it is started by. What
# fails here is told in the kernel's log, which run.sh shows when the lane ends without a result.
set -euo pipefail
trap 'echo "init.sh failed in line $LINENO"; power_off' ERR
power_off() {
    echo o >/proc/sysrq-trigger
    exec sleep infinity
}

exec </dev/null {console}<>/dev/tty0 {word}<>/dev/tty1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

terminal='' checkout='' directory='' size='' command=()
# shellcheck source=/dev/null
. "${0%/*}/command"
mkdir /dev/pts /dev/shm /dev/mqueue
mount -aT "${0%/*}/fstab"
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
if [ ! -e "$checkout/lab/uml" ]; then # one of the new directories hides it
    mkdir -p "$checkout"
    mount -t hostfs -o "ro,$checkout" hostfs "$checkout"
fi
stty -opost <&"$word"
hostname lane
ip link set lo up
mkswap /dev/ubda >/dev/null # with no swap at all a limit that forgets swap would look right
swapon /dev/ubda

# The kernel's modules are not where modprobe looks, and / is read-only: tell both it and the kernel
# (which starts it for a filesystem, a link type or an iptables table it does not know) where.
mkdir -p /run/lane/usr/lib /run/lane/bin
ln -s usr/lib /run/lane/lib
ln -s /usr/lib/uml/modules /run/lane/lib/modules
printf '#!/bin/sh\nexec %s -d /run/lane "$@"\n' "$(command -v modprobe)" >/run/lane/bin/modprobe
chmod 755 /run/lane/bin/modprobe
echo /run/lane/bin/modprobe >/proc/sys/kernel/modprobe
PATH=/run/lane/bin:$PATH
modprobe -a overlay bridge veth iptable_nat iptable_filter
for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -s "$(command -v "${name/tables/tables-legacy}")" "/run/lane/bin/$name" # it has no nft nat
done

environment=(
    PATH="$checkout/.venv/bin:$PATH" HOME=/tmp TMPDIR=/tmp TERM="$TERM" LANG="$LANG"
    PYTHONDONTWRITEBYTECODE=1 PYTEST_ADDOPTS='-p no:cacheprovider' PYTEST_TIMEOUT=600
    HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis
)
cd "$directory"
code=0
echo up >&"$word"
if [ -n "$terminal" ]; then
    # shellcheck disable=SC2086  # rows and columns are two words
    [ -z "$size" ] || stty rows ${size% *} cols ${size#* } <&"$console"
    env -i "${environment[@]}" setsid --ctty --wait "${command[@]}" \
        <&"$console" >&"$console" 2>&1 {console}>&- {word}>&- || code=$?
else
    stty -opost <&"$console"
    exec {output}> >(exec cat >&"$console")
    printer=$!
    env -i "${environment[@]}" setsid "${command[@]}" \
        >&"$output" 2>&1 {output}>&- {console}>&- {word}>&- || code=$?
    for process in /proc/[0-9]*; do # what it left running would keep the pipe open
        [[ ${process#/proc/} == @(1|"$printer") ]] || kill -KILL "${process#/proc/}" || true
    done
    exec {output}>&-
    wait "$printer"
    stty -opost <&"$console" # returns when everything is written
fi
echo "$code" >&"$word"
power_off

#!/bin/bash
# The acceptance test: a student's whole way with Vagrant, for real: `vagrant up`, `make ch5`, a chapter
# begun, `vagrant ssh`, `vagrant destroy`, from a fresh clone whose path has a blank in it.
#
# Emulated and without a network: libvirtd and virtlogd run in mount, network and process namespaces of
# their own, with a configuration of their own, so that nothing of them is left when this ends, however
# it ends. Packages: lab/provision.sh install vagrant. The box: lab/make-box.sh.
# shellcheck disable=SC2016,SC2317,SC2329  # commands are handed to step() and to bash
set -euo pipefail
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

die() { # WHAT HINT
    printf 'lab: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

if [ "${1:-}" != inside ]; then
    [ "$(id -u)" = 0 ] || die "this needs root" "sudo make test-vagrant"
    [ -e "$checkout/build/box/current/libvirt.box" ] || die "there is no box yet" "make box"
    for program in vagrant virsh libvirtd virtlogd dnsmasq qemu-system-x86_64 rsync; do
        command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] ||
            die "$program is not installed" "lab/provision.sh install vagrant"
    done
    scratch=$(mktemp -d "${LAB_TMP:-/var/tmp}/mydocker-vagrant.XXXXXX")
    trap 'rm -rf --one-file-system "$scratch"' EXIT
    free=$(df --output=avail -BG "$scratch" | tail -n 1 | tr -dc 0-9)
    [ "$free" -ge 5 ] || die "$scratch: $free GB free, this needs 5" "LAB_TMP=/another/place, or make room"
    code=0
    unshare --mount --net --pid --fork --kill-child --mount-proc "$0" inside "$scratch" || code=$?
    exit "$code"
fi

# --- In there

scratch=$2
clone="$scratch/a clone"
export HOME=$scratch/home VAGRANT_HOME=$scratch/home/.vagrant.d LAB_ACCEL=tcg
export VAGRANT_CHECKPOINT_DISABLE=1 VAGRANT_DEFAULT_PROVIDER=libvirt LANG=C.UTF-8
unset LAB_BOX LAB_BOX_URL LAB_WHERE LAB_BIN MAKEFLAGS MAKELEVEL

start_libvirt() {
    ip link set lo up
    cp -a /etc/libvirt "$scratch/etc"
    # Root is who may read the disks; no namespaces, no control groups: those would be made anew for each
    # machine outside, and libvirt would ask QEMU for KVM again and again.
    cat >>"$scratch/etc/qemu.conf" <<'CONF'
user = "root"
group = "root"
namespaces = []
cgroup_controllers = []
CONF
    rm -f "$scratch/etc/qemu/networks/autostart/"*
    mount --bind "$scratch/etc" /etc/libvirt
    local place
    for place in /run /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
        mount -t tmpfs tmpfs "$place"
    done
    export TMPDIR=/run/tmp
    mkdir -p /run/tmp /run/lock /run/libvirt /var/lib/libvirt/{qemu,dnsmasq,network,boot} /var/log/libvirt/qemu "$HOME" "$scratch/pool"
    virtlogd --daemon
    libvirtd --daemon
    local try
    for try in {1..100}; do
        if virsh list >/dev/null 2>&1; then break; fi
        [ "$try" -lt 100 ] || die "libvirtd does not answer" "its last words: $(tail -n 1 /var/log/libvirt/*.log)"
        sleep 0.1
    done
    virsh -q pool-define-as default dir --target "$scratch/pool" >/dev/null
    virsh -q pool-start default >/dev/null
}

step() { # NAME COMMAND...: with its output; fails with it
    local name=$1 began=$SECONDS code=0
    shift
    printf '\n--- %s\n' "$name"
    "$@" </dev/null | sed -u 's/\r.*\r//; /Progress: .*%/d' || code=$?
    summary+=("$(printf '%-8s %4d s  %s' "$([ $code = 0 ] && echo ok || echo "exit $code")" $((SECONDS - began)) "$name")")
    [ $code = 0 ] || end 1
}

end() { # CODE
    printf '\n--- in all\n'
    printf '%s\n' "${summary[@]}"
    exit "$1"
}

begins_a_chapter() {
    make start CH=3
    [ -e work/sandbox ] || [ -n "$(ls work)" ]
}

an_unwritten_step_fails() { # the exit code of what ran in the machine is make's
    local code=0
    make ch3 STEP=3.1 || code=$?
    [ "$code" -ne 0 ] && rm -rf work
}

broken_off() { # the next step goes on from whatever this has left
    local code=0
    timeout --signal=INT --kill-after=60 25 vagrant up --provider=libvirt || code=$?
    [ "$code" -ne 0 ] && echo "exit $code"
}

neighbours() { # the book's 6.6: one network, two machines
    local wide='sudo mydocker network create --driver vxlan --subnet 10.9.0.0/24 wide --peer'
    vagrant ssh default -c "$wide 192.168.56.12 && sudo mydocker run -d --name here -net wide top" &&
        vagrant ssh node2 -c "$wide 192.168.56.11 && sudo mydocker run --rm -net wide ping -c 2 10.9.0.2"
}

nothing_is_left() { # but for the box's own disk, which the next machine would be made of
    local left
    left=$(virsh list --all --name && find "$scratch/pool" -type f ! -name '*box*.img')
    [ -z "${left//$'\n'/}" ] || { echo "$left" && false; }
}

summary=()
start_libvirt
mkdir "$clone" "$clone.build"
tar -C "$checkout" --exclude=./.git --exclude=./.venv --exclude=./build --exclude=./work --exclude=./.vagrant \
    --exclude=__pycache__ --exclude='./.*_cache' -cf - . | tar -C "$clone" -xf -
mkdir "$clone/build"
ln -s "$checkout/build/box" "$clone/build/box"
cd "$clone"

vagrant --version
step "make ch3, before there is a machine, says how to get one" bash -c \
    'said=$(make ch3 2>&1) && exit 1; echo "$said"; grep -q "^hint: .*vagrant up" <<<"$said"'
step "vagrant validate" vagrant validate
step "vagrant up, broken off after 25 s" broken_off
step "vagrant up --provider=libvirt" vagrant up --provider=libvirt
step "make ch5" make ch5
step "make start CH=3: the files are here" begins_a_chapter
step "make ch3 STEP=3.1: not written, and make says so" an_unwritten_step_fails
step "vagrant ssh" vagrant ssh -c 'cd /vagrant && sudo mydocker run --rm --network bridge echo from a container'
step "make ch5 STEP=5.4, typed in there" vagrant ssh -c 'cd /vagrant && make ch5 STEP=5.4'
step "vagrant up, again" vagrant up
step "vagrant up node2" vagrant up node2
step "a container there reaches one here" neighbours
step "vagrant destroy" vagrant destroy --force
step "nothing is left" nothing_is_left
end 0

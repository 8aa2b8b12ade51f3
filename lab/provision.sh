#!/bin/bash
# The lab: turns a Debian 12/13 or Ubuntu 24.04 machine and this checkout into a working mydocker.
#
#   lab/provision.sh                   set up this machine, and try it
#   lab/provision.sh install GROUP...  only install packages: tests, box, vm, vagrant (see below)
#   lab/provision.sh list              name the packages of the lab itself (make-box.sh asks)
#   lab/provision.sh image             set up all but what needs a running kernel (make-box.sh, chroot)
#   lab/provision.sh undo              take back what was made to outlive a reboot
#
# Every step looks for its own result first, so running it again is cheap and repairs what is
# missing, also after it was broken off. The environment may say otherwise:
#   LAB_PYTHON   the interpreter to use (default: /usr/bin/python3, then python3 on PATH; >= 3.11)
#   LAB_BIN      where the launcher is installed (default: /usr/local/bin/mydocker)
#   LAB_WITH     groups of packages to install as well: what the tests need is `tests`
#   LAB_MACHINE  yes: this machine is the lab's own, so make what outlives a reboot (modules, routing,
#                networks at boot, completion, a login banner). Implied in a VM made from the lab's box.
set -euo pipefail
umask 022
export DEBIAN_FRONTEND=noninteractive MYDOCKER_REFERENCE=1 # a student's work/ may not stop the set-up

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
launcher=${LAB_BIN:-/usr/local/bin/mydocker}
store=/opt/lab # in the lab's box: the environment and the wheels that were made with it
marker=/etc/mydocker-lab
cd "$checkout"

packages=(
    busybox-static bzip2 hostname iproute2 iptables kmod mount procps python3-venv strace stress
    util-linux xz-utils zstd
)
optional=(user-mode-linux) # the cgroup v2 lane; not built for every architecture
if [ -e "$marker" ]; then optional=(); fi # cgroup v2 is what such a machine has

group() { # the packages of a group; a name after `?` may be absent
    case $1 in
    tests) echo '?docker-registry ?fish ?openssl ?skopeo ?umoci ?zsh' ;;
    box) echo "mmdebstrap debian-archive-keyring fdisk grub-common mtools qemu-utils $(grub)" ;;
    vm) echo "openssh-client qemu-utils rsync $(emulator)" ;;
    vagrant)
        echo "vagrant vagrant-libvirt libvirt-clients libvirt-daemon-system dnsmasq-base $(group vm)"
        ;;
    *) die "no such group of packages: $1" "tests, box, vm or vagrant" ;;
    esac
}

emulator() {
    case $(dpkg --print-architecture) in
    arm64) echo qemu-system-arm qemu-efi-aarch64 ;;
    *) echo qemu-system-x86 ;;
    esac
}

grub() {
    case $(dpkg --print-architecture) in
    arm64) echo grub-efi-arm64-bin ;;
    *) echo grub-efi-amd64-bin grub-pc-bin ;;
    esac
}

say() { printf 'lab: %s\n' "$*"; }

die() { # WHAT HINT
    printf 'lab: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

check_machine() {
    [ "$(id -u)" = 0 ] || die "set-up installs packages and needs root" "run sudo make setup"
    # shellcheck source=/dev/null
    case "$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${ID_LIKE:-}")" in
    *debian*) ;;
    *) die "this is not Debian or Ubuntu" "use a Debian 12/13 or Ubuntu 24.04 machine or VM" ;;
    esac
}

# --- Debian packages

installed() { # of the packages named, those that are installed
    dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p'
}

missing() { # of the packages named, those that are not installed
    [ $# = 0 ] || comm -23 <(printf '%s\n' "$@" | sort) <(installed "$@" | sort -u)
}

available() { [[ $(apt-cache policy "$1") =~ Candidate:\ [^\(] ]]; }

install_packages() { # NAME... ?NAME...: those with a ? where found is such a package
    local need=() extra=() name
    for name in "$@"; do
        if [[ $name == \?* ]]; then extra+=("${name#\?}"); else need+=("$name"); fi
    done
    mapfile -t need < <(missing "${need[@]}")
    mapfile -t extra < <(missing "${extra[@]}")
    [ $((${#need[@]} + ${#extra[@]})) -gt 0 ] || return 0
    if [ -n "$(dpkg --audit)" ]; then # an earlier set-up was broken off
        quietly dpkg --configure -a
    fi
    if [ ${#need[@]} -gt 0 ]; then
        apt_get update
    elif [ -z "$(ls /var/lib/apt/lists/*_Packages* 2>/dev/null)" ]; then
        (apt_get update) || say "going on without ${extra[*]}"
    fi
    if [ ${#need[@]} -gt 0 ]; then
        say "installing ${need[*]}"
        apt_get install --yes --no-install-recommends "${need[@]}"
    fi
    local found=()
    for name in "${extra[@]}"; do
        if available "$name"; then found+=("$name"); else say "no package $name here: going on without it"; fi
    done
    [ ${#found[@]} -gt 0 ] || return 0
    say "installing ${found[*]}"
    (apt_get install --yes --no-install-recommends "${found[@]}") || say "going on without ${found[*]}"
    if [[ " ${found[*]} " == *" docker-registry "* ]]; then # the tests start their own
        systemctl disable --quiet --now docker-registry.service 2>/dev/null || true
    fi
}

apt_get() {
    quietly apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@"
}

quietly() { # a command's output is shown only when it fails
    "$@" </dev/null >build/setup.log 2>&1 || {
        tail -n 20 build/setup.log >&2
        die "failed: $*" "the whole output is in build/setup.log; is there a network?"
    }
}

# --- Where .venv and build are: in the lab's box they were made beforehand, on its own disk. A folder
# that is shared with the host may not even be able to hold links.

own_disk() {
    [ -e "$marker" ] && [ -d "$store" ] || return 0
    local name
    for name in .venv:venv build:build; do
        local here=${name%:*} there=$store/${name#*:}
        mkdir -p "$there"
        if mountpoint -q "$here" || [ "$(readlink "$here")" = "$there" ]; then continue; fi
        rm -rf "$here"
        ln -s "$there" "$here" 2>/dev/null || { mkdir "$here" && mount --bind "$there" "$here"; }
    done
}

# --- Python

is_fit() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; }

choose_python() {
    local candidate
    if [ -n "${LAB_PYTHON:-}" ]; then
        is_fit "$LAB_PYTHON" || die "LAB_PYTHON=$LAB_PYTHON is not Python 3.11 to 3.14" "name another one"
        echo "$LAB_PYTHON"
        return
    fi
    for candidate in /usr/bin/python3 python3; do
        if is_fit "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    die "no Python 3.11 to 3.14 found" "LAB_PYTHON=/path/to/python3 names one"
}

requirements() { # what pyproject.toml asks for: the code itself always runs from this checkout
    "$1" - <<'PY'
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
extras = project["optional-dependencies"]
print(*project["dependencies"], *extras["test"], *extras["dev"], sep="\n")
PY
}

make_venv() {
    local python key
    python=$(choose_python)
    key=$({ requirements "$python" && "$python" -VV && echo "$python" "$checkout"; } | sha256sum)
    [ "$(cat .venv/stamp 2>/dev/null)" = "$key" ] && .venv/bin/python3 -c '' 2>/dev/null &&
        [ -x .venv/bin/pytest ] && [ -x .venv/bin/ruff ] && return
    say "making .venv with $("$python" -V)"
    rm -f .venv/stamp
    "$python" -m venv --clear "$(readlink -m .venv)" # not a link, for venv
    requirements "$python" >.venv/requirements.txt
    if ! { [ -d "$store/wheels" ] && pip_install --no-index --find-links "$store/wheels" >/dev/null 2>&1; }; then
        quietly pip_install
    fi
    echo "$key" >.venv/stamp
}

pip_install() {
    .venv/bin/python3 -m pip install --disable-pip-version-check --root-user-action=ignore \
        --requirement .venv/requirements.txt "$@"
}

# --- The launcher: an isolated interpreter (-I), no site-packages (-S), this checkout's code

quoted() { printf '%s' "$1" | sed -e "s/'/'\\\\''/g" -e "1s/^/'/" -e "\$s/\$/'/"; }

write_whole() { # PATH MODE, the content on stdin: whole or not at all, and only if it differs
    local new
    mkdir -p "$(dirname "$1")"
    new=$(mktemp "$1.XXXXXX")
    cat >"$new"
    chmod "$2" "$new"
    if cmp -s "$new" "$1"; then rm "$new"; else mv -f "$new" "$1"; fi
}

write_launcher() { # PATH
    printf '#!/bin/sh\nexec %s -I -S %s "$@"\n' \
        "$(quoted "$checkout/.venv/bin/python3")" "$(quoted "$checkout/mydocker/__main__.py")" |
        write_whole "$1" 755
}

# --- The default image

build_image() { # build/busybox.tar, of the packages that build/busybox.key names
    local key
    key=$(cat lab/build_image.py <(dpkg-query -W busybox-static stress libc6) | sha256sum)
    [ -e build/busybox.tar ] && [ "$(cat build/busybox.key 2>/dev/null)" = "$key" ] && return
    rm -f build/busybox.key
    .venv/bin/python3 lab/build_image.py build/busybox.tar
    echo "$key" >build/busybox.key
}

load_image() {
    build_image
    cmp -s build/busybox.key build/busybox.loaded &&
        build/mydocker inspect busybox:latest >/dev/null 2>&1 && return
    say "loading the image busybox:latest"
    build/mydocker import -c 'CMD ["sh"]' build/busybox.tar busybox:latest >/dev/null
    cp build/busybox.key build/busybox.loaded
}

self_test() {
    [ "$("$launcher" run --rm echo works)" = works ] ||
        die "the first container did not run" "see the line above; $launcher --explain run --rm echo works tells more"
}

# --- What outlives a reboot

modules=/etc/modules-load.d/mydocker.conf
sysctl=/etc/sysctl.d/60-mydocker.conf
unit=/etc/systemd/system/mydocker-lab.service
banner=/etc/update-motd.d/60-mydocker
profile=/etc/profile.d/mydocker-lab.sh
completions=(
    /usr/share/bash-completion/completions/mydocker
    /usr/share/zsh/vendor-completions/_mydocker
    /usr/share/fish/vendor_completions.d/mydocker.fish
)

systemd_runs() { [ -d /run/systemd/system ]; }

settle() {
    local path
    printf '%s\n' overlay bridge veth vxlan iptable_nat br_netfilter | write_whole "$modules" 644
    modprobe -a overlay bridge veth vxlan 2>/dev/null || say "some modules of $modules are not there"
    echo 'net.ipv4.ip_forward = 1' | write_whole "$sysctl" 644
    sysctl -q -p "$sysctl" || say "this machine may not route: containers will not reach the outside"
    write_whole "$unit" 644 <<UNIT
[Unit]
Description=mydocker: the default network's bridge and rules, and what a crash has left
After=network.target
ConditionPathIsExecutable=$launcher

[Service]
Type=oneshot
ExecStart=$launcher --reference system check --repair
ExecStart=$launcher --reference run --rm --network bridge true

[Install]
WantedBy=multi-user.target
UNIT
    if systemd_runs && ! systemctl -q is-enabled mydocker-lab.service 2>/dev/null; then
        quietly systemctl enable mydocker-lab.service
    fi
    [ "$("$launcher" run --rm --network bridge echo works)" = works ] ||
        die "a container on the default network did not run" "see the line above, and make doctor"
    for path in "${completions[@]}"; do
        case $path in
        *bash*) "$launcher" completion bash ;;
        *zsh*) "$launcher" completion zsh ;;
        *) "$launcher" completion fish ;;
        esac | write_whole "$path" 644
    done
    write_whole "$banner" 755 <<BANNER
#!/bin/sh
cat <<'TEXT'

  This is the lab of mydocker. The course is in $checkout.
    make ch3              check a chapter          make start CH=3   begin one
    sudo mydocker run -ti sh                       your first container
    make doctor           is this machine fit?     make              what else there is

TEXT
BANNER
    # shellcheck disable=SC2016  # for the shell that logs in
    printf '[ "$PWD" != "$HOME" ] || cd %s 2>/dev/null || :\n' "$(quoted "$checkout")" |
        write_whole "$profile" 644
}

unsettle() {
    if systemd_runs && [ -e "$unit" ]; then quietly systemctl disable mydocker-lab.service; fi
    rm -f "$modules" "$sysctl" "$unit" "$banner" "$profile" "${completions[@]}"
}

main() {
    check_machine
    mkdir -p "$(readlink -m build)"
    exec 9>build/.lock # one set-up at a time
    flock 9
    local name with=''
    for name in ${LAB_WITH:-}; do with+=" $(group "$name")"; done
    # shellcheck disable=SC2086  # names of packages
    install_packages "${packages[@]}" "${optional[@]/#/?}" $with
    make_venv
    write_launcher "$checkout/build/mydocker"
    write_launcher "$launcher"
    load_image
    self_test
    if [ -e "$marker" ] || [ "${LAB_MACHINE:-}" = yes ]; then
        settle
        lab/mydocker-lab doctor || die "the lab is not fit yet" "each line with a ✗ says what to do"
    fi
    say "ready: try $launcher run -ti sh"
}

case ${1:-} in
'')
    own_disk
    main
    ;;
install)
    shift
    check_machine
    mkdir -p "$(readlink -m build)"
    names=''
    for name in "$@"; do names+=" $(group "$name")"; done
    # shellcheck disable=SC2086
    install_packages $names
    ;;
list) echo "${packages[*]} $(group tests | tr -d '?')" ;;
image)
    own_disk
    check_machine
    make_venv
    build_image
    ;;
undo)
    [ "$(id -u)" = 0 ] || die "this needs root" "sudo make uninstall"
    mkdir -p "$(readlink -m build)"
    unsettle
    ;;
*) die "$1: no such word" "without a word: set up; or install, list, undo" ;;
esac

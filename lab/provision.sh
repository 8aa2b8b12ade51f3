#!/bin/bash
# The lab: turns a Debian 12/13 or Ubuntu 24.04 machine and this checkout into a working mydocker.
#
# Every step looks for its own result first, so running it again is cheap and repairs what is
# missing. The environment may say otherwise:
#   LAB_PYTHON   the interpreter to use (default: /usr/bin/python3, then python3 on PATH; >= 3.11)
#   LAB_BIN      where the launcher is installed (default: /usr/local/bin/mydocker)
set -euo pipefail
umask 022
export DEBIAN_FRONTEND=noninteractive

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
launcher=${LAB_BIN:-/usr/local/bin/mydocker}
packages=(
    busybox-static bzip2 hostname iproute2 iptables kmod mount procps python3-venv strace stress
    util-linux xz-utils zstd
)
optional=(user-mode-linux) # the cgroup v2 lane; not built for every architecture
cd "$checkout"

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

missing() { comm -23 <(printf '%s\n' "$@" | sort) <(installed "$@" | sort -u); }

available() { [[ $(apt-cache policy "$1") =~ Candidate:\ [^\(] ]]; }

install_packages() {
    local need extra name
    mapfile -t need < <(missing "${packages[@]}")
    mapfile -t extra < <(missing "${optional[@]}")
    [ $((${#need[@]} + ${#extra[@]})) -gt 0 ] || return 0
    if [ ${#need[@]} -gt 0 ] || [ -z "$(ls /var/lib/apt/lists/*_Packages* 2>/dev/null)" ]; then
        apt_get update
    fi
    for name in "${extra[@]}"; do
        if available "$name"; then need+=("$name"); else say "no package $name here: going on without it"; fi
    done
    [ ${#need[@]} -gt 0 ] || return 0
    say "installing ${need[*]}"
    apt_get install --yes --no-install-recommends "${need[@]}"
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
    "$python" -m venv --clear .venv
    requirements "$python" >.venv/requirements.txt
    quietly .venv/bin/python3 -m pip install --disable-pip-version-check --root-user-action=ignore \
        --requirement .venv/requirements.txt
    echo "$key" >.venv/stamp
}

# --- The launcher: an isolated interpreter (-I), no site-packages (-S), this checkout's code

quoted() { printf '%s' "$1" | sed -e "s/'/'\\\\''/g" -e "1s/^/'/" -e "\$s/\$/'/"; }

write_launcher() { # PATH, whole or not at all
    local new
    mkdir -p "$(dirname "$1")"
    new=$(mktemp "$1.XXXXXX")
    printf '#!/bin/sh\nexec %s -I -S %s "$@"\n' \
        "$(quoted "$checkout/.venv/bin/python3")" "$(quoted "$checkout/mydocker/__main__.py")" >"$new"
    chmod 755 "$new"
    if cmp -s "$new" "$1"; then rm "$new"; else mv -f "$new" "$1"; fi
}

# --- The default image

load_image() {
    local key
    key=$(cat lab/build_image.py <(dpkg-query -W busybox-static stress libc6) | sha256sum)
    if [ ! -e build/busybox.tar ] || [ "$(cat build/busybox.key 2>/dev/null)" != "$key" ]; then
        rm -f build/busybox.key
        .venv/bin/python3 lab/build_image.py build/busybox.tar
    elif build/mydocker inspect busybox:latest >/dev/null 2>&1; then
        return
    fi
    say "loading the image busybox:latest"
    build/mydocker import -c 'CMD ["sh"]' build/busybox.tar busybox:latest >/dev/null
    echo "$key" >build/busybox.key
}

self_test() {
    [ "$("$launcher" run --rm echo works)" = works ] ||
        die "the first container did not run" "see the line above; $launcher --explain run --rm echo works tells more"
}

check_machine
mkdir -p build
exec 9>build/.lock # one set-up at a time
flock 9
install_packages
make_venv
write_launcher "$checkout/build/mydocker"
write_launcher "$launcher"
load_image
self_test
say "ready: try $launcher run -ti sh"

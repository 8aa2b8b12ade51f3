#!/bin/bash
# What make-box.sh does to the new root file system ($1) while it is a chroot that mmdebstrap keeps:
# network, users, the Python environment. Nothing here is downloaded from inside.
set -euo pipefail
root=$1
checkout=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd -P)

echo lab >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 lab\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
printf 'LABEL=lab-root / ext4 errors=remount-ro 0 1\nLABEL=lab-swap none swap sw 0 0\n' >"$root/etc/fstab"
cat >"$root/etc/systemd/network/80-dhcp.network" <<'CONF'
[Match]
Name=en* eth*

[Network]
DHCP=yes
CONF
chroot "$root" systemctl enable -q systemd-networkd systemd-resolved ssh
install -D -m 644 "$checkout/lab/box/grub.cfg" "$root/boot/grub/grub.cfg"

mkdir -p "$root/vagrant" "$root/opt/lab/wheels"
cp -a "$checkout/lab" "$checkout/mydocker" "$checkout/pyproject.toml" "$root/vagrant"
chroot "$root" /vagrant/lab/box/inside.sh

version=$(chroot "$root" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
wheels=(--python-version "$version" --only-binary=:all:)
for glibc in 2014 _2_{5..36}; do wheels+=(--platform "manylinux${glibc}_$(uname -m)"); done
"$checkout/.venv/bin/python3" -m pip download --quiet --quiet --disable-pip-version-check \
    "${wheels[@]}" --dest "$root/opt/lab/wheels" --requirement "$checkout/.venv/requirements.txt"
chroot "$root" /vagrant/lab/provision.sh image
rm -rf "$root/vagrant/lab" "$root/vagrant/mydocker" "$root/vagrant/pyproject.toml"

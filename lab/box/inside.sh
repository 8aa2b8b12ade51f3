#!/bin/bash
# Makes the lab's box of the Debian that this runs in: the chroot of make-box.sh, or a cloud image that
# has just booted. Vagrant's customs: a user `vagrant` with the password and the public key that
# everybody knows (Vagrant replaces the key on first use) and sudo without a password.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

id vagrant >/dev/null 2>&1 || useradd --create-home --shell /bin/bash vagrant
echo vagrant:vagrant | chpasswd
install -d -m 700 -o vagrant -g vagrant ~vagrant/.ssh
install -m 600 -o vagrant -g vagrant "$here/vagrant.pub" ~vagrant/.ssh/authorized_keys
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/vagrant
chmod 440 /etc/sudoers.d/vagrant

# Every machine makes host keys of its own at its first boot; an RSA key would take long in emulation.
cat >/etc/ssh/sshd_config.d/lab.conf <<'CONF'
HostKey /etc/ssh/ssh_host_ecdsa_key
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
UseDNS no
CONF
mkdir -p /etc/systemd/system/ssh.service.d
cat >/etc/systemd/system/ssh.service.d/lab.conf <<'CONF'
[Service]
ExecStartPre=
ExecStartPre=/bin/sh -c 'for kind in ecdsa ed25519; do key=/etc/ssh/ssh_host_$${kind}_key; [ -s $$key ] || ssh-keygen -q -t $$kind -N "" -f $$key; done'
ExecStartPre=/usr/sbin/sshd -t
CONF
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub

# A lab is not to change, or be busy, by itself.
for timer in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim man-db; do
    ln -sf /dev/null "/etc/systemd/system/$timer.timer"
done
ln -sf /dev/null /etc/systemd/system/e2scrub_reap.service
systemctl disable --quiet docker-registry.service 2>/dev/null || true # the tests start their own
install -d -o vagrant -g vagrant /vagrant /opt/lab
echo 'a machine made from the box of the lab of mydocker' >/etc/mydocker-lab

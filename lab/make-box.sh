#!/bin/bash
# The lab's box: a Debian with everything that the lab needs inside, so that a machine made from it
# wants no network. Made from Debian's packages, or from a Debian cloud image; on Debian or Ubuntu, as
# root, for the architecture it runs on, without starting VirtualBox or any other virtual machine.
#
#   lab/make-box.sh          build/box/KEY, and build/box/current, which points there
#
# KEY is a hash of all that goes in, so a second call is over at once. What is there afterwards:
#   disk.qcow2               for plain QEMU (make vm); boots by BIOS and by EFI
#   vmlinuz                  its kernel, to try what the host's virtualization is good for
#   libvirt.box              for Vagrant with libvirt or QEMU
#   virtualbox.box           for Vagrant with VirtualBox
#   SHA256SUMS
#
# The environment may say otherwise:
#   LAB_FORMATS   which boxes for Vagrant to make (default: libvirt virtualbox; may be empty)
#   LAB_SUITE     the Debian to make it of: bookworm (default) or trixie
#   LAB_MIRROR    where its packages come from (default: where this machine's Debian gets them)
#   LAB_IMAGE     path or URL of a Debian cloud image (qcow2, raw) to begin with instead
#   LAB_TMP       where to work; about 5 GB (default: /var/tmp)
set -euo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
checkout=${here%/*}
boxes=$checkout/build/box
suite=${LAB_SUITE:-bookworm}
formats=${LAB_FORMATS-libvirt virtualbox}
disk_size=$((20 << 30))
room=5 # GB

say() { printf 'lab: %s\n' "$*"; }

die() { # WHAT HINT
    printf 'lab: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

source_of() { # LABEL: where this machine's apt gets that part of Debian; nothing if it does not
    local found
    # shellcheck disable=SC2016  # apt's own words
    found=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Label: $1" 2>/dev/null | head -n 1)
    if [[ $found == http*:* ]]; then echo "${found%/}"; fi
}

inputs() {
    echo "$arch $suite $disk_size ${LAB_IMAGE:-}"
    if [ -f "${LAB_IMAGE:-}" ]; then sha256sum <"$LAB_IMAGE"; fi
    cd "$checkout"
    cat lab/make-box.sh lab/box/* lab/provision.sh lab/build_image.py pyproject.toml
}

# --- The root file system

packages=(
    bash-completion ca-certificates curl dbus git initramfs-tools iputils-ping less
    make nano netcat-openbsd openssh-server rsync sudo systemd-resolved
    systemd-sysv tcpdump udev
)
left_out=( # of the kernel's modules and of everything else: what a lab never uses
    '*/lib/modules/*/kernel/sound/*' '*/lib/modules/*/kernel/net/wireless/*'
    '*/lib/modules/*/kernel/drivers/'{gpu,infiniband,media,net/wireless,staging,isdn,iio}'/*'
    '/usr/share/doc/*' '/usr/share/info/*' '/usr/share/locale/*' '/usr/share/man/*'
)
initrd_modules=( # the disks of QEMU, VirtualBox, VMware, Parallels, Hyper-V
    ahci ata_piix ext4 hv_storvsc mptspi nvme sd_mod virtio_blk virtio_pci virtio_scsi vmw_pvscsi
)

make_root() { # into $work/root
    local options=() path
    for path in "${left_out[@]}"; do options+=(--dpkgopt="path-exclude=$path"); done
    printf '%s\n' "${initrd_modules[@]}" >"$work/modules"
    # shellcheck disable=SC2046,SC2016  # names of packages; the hook's own $1
    quietly mmdebstrap --mode=root --variant=minbase --components=main "${options[@]}" \
        --include="$(tr ' ' , <<<"${packages[*]} linux-image-$arch $("$here/provision.sh" list)")" \
        --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"' \
        --essential-hook='echo MODULES=list >"$1/etc/initramfs-tools/conf.d/lab"' \
        --essential-hook="upload $work/modules /usr/share/initramfs-tools/modules.d/lab" \
        --customize-hook="$work/customize.sh" \
        "$suite" "$work/root" \
        "deb $mirror $suite main" "deb $mirror $suite-updates main" \
        "deb $security $suite-security main"
}

quietly() { # a command's output is shown only when it fails
    "$@" </dev/null >"$work/log" 2>&1 || {
        tail -n 30 "$work/log" >&2
        die "failed: $1 (its last words are above)" "is there a network? does $mirror have $suite?"
    }
}

# --- The disk: EFI, swap and root behind a gap of 1 MB, where the BIOS's GRUB is. All is written into
# a file: no loop device, no mount.

make_disk() {
    local disk=$work/disk.raw sectors=$((disk_size / 512)) efi=(2048 131072) swap=(133120 1048576)
    local root=$((swap[0] + swap[1]))
    truncate -s "$disk_size" "$disk"
    sfdisk --quiet "$disk" <<TABLE
label: dos
start=${efi[0]}, size=${efi[1]}, type=ef
start=${swap[0]}, size=${swap[1]}, type=82
start=$root, type=83, bootable
TABLE
    cat >"$work/early.cfg" <<'CFG'
search --no-floppy --label lab-root --set=root
configfile /boot/grub/grub.cfg
CFG
    local modules=(part_msdos ext2 search search_label normal configfile linux boot echo test)
    mkdir -p "$work/efi/EFI/BOOT"
    case $arch in
    amd64)
        grub-mkimage -O i386-pc -o "$work/core.img" -p /boot/grub -c "$work/early.cfg" \
            biosdisk "${modules[@]}"
        # boot.img loads the sector after it, which is where core.img begins, unless told otherwise.
        write_at 0 head -c 440 /usr/lib/grub/i386-pc/boot.img
        write_at 1 cat "$work/core.img"
        grub-mkimage -O x86_64-efi -o "$work/efi/EFI/BOOT/BOOTX64.EFI" -p /boot/grub \
            -c "$work/early.cfg" fat "${modules[@]}"
        ;;
    arm64)
        grub-mkimage -O arm64-efi -o "$work/efi/EFI/BOOT/BOOTAA64.EFI" -p /boot/grub \
            -c "$work/early.cfg" fat "${modules[@]}"
        ;;
    esac
    truncate -s $((efi[1] * 512)) "$work/efi.img"
    mformat -i "$work/efi.img" -v LAB-EFI -F ::
    mcopy -i "$work/efi.img" -s "$work/efi/EFI" ::
    write_at "${efi[0]}" cat "$work/efi.img"
    truncate -s $((swap[1] * 512)) "$work/swap.img"
    mkswap -q -L lab-swap "$work/swap.img"
    write_at "${swap[0]}" head -c 4096 "$work/swap.img"
    # Not the two features that GRUB 2.06 cannot read.
    mke2fs -q -F -t ext4 -L lab-root -d "$work/root" -O ^metadata_csum_seed,^orphan_file \
        -E "offset=$((root * 512)),lazy_itable_init=1" "$disk" $(((sectors - root) / 2))k
    cp --dereference "$work/root/vmlinuz" "$work/box/vmlinuz"
    pack "$disk"
}

write_at() { # SECTOR COMMAND...: its output
    local sector=$1
    shift
    "$@" | dd of="$work/disk.raw" bs=512 seek="$sector" conv=notrunc,sparse iflag=fullblock status=none
}

pack() { # DISK into disk.qcow2
    say "packing"
    qemu-img convert -W -c -O qcow2 -o compression_type=zstd "$1" "$work/box/disk.qcow2"
}

# --- A Debian cloud image instead: booted once, and made the lab's inside

from_image() {
    local image=$work/image
    case $LAB_IMAGE in
    http://* | https://*)
        say "fetching $LAB_IMAGE"
        curl --fail --silent --show-error --location --output "$image" "$LAB_IMAGE" ||
            die "$LAB_IMAGE: cannot be fetched" "download it yourself: LAB_IMAGE=path"
        if curl --fail --silent --location --output "$work/sums" "${LAB_IMAGE%/*}/SHA512SUMS"; then
            grep -F "$(sha512sum <"$image" | cut -d' ' -f1)  ${LAB_IMAGE##*/}" "$work/sums" >/dev/null ||
                die "$LAB_IMAGE: not what SHA512SUMS beside it says" "try again later"
        else
            say "no SHA512SUMS beside it: its content is not checked"
        fi
        ;;
    *)
        ln -s "$(realpath "$LAB_IMAGE")" "$image"
        ;;
    esac
    say "setting up a box in $LAB_IMAGE ($key): it is booted for that"
    export LAB_VM_DIR=$work/vm
    LAB_VM_DISK=$image "$here/vm/lab-vm" up >/dev/null
    ssh -F "$work/vm/ssh_config" lab 'mkdir -p /vagrant
        command -v rsync >/dev/null || { apt-get -qq update && apt-get -qqy install make rsync sudo; }' >"$work/log" 2>&1
    # shellcheck disable=SC2016  # for the shell in there
    "$here/vm/lab-vm" run 'bash lab/box/inside.sh && LAB_WITH=tests bash lab/provision.sh &&
        cp "$(ls /boot/vmlinuz-* | tail -n 1)" /vmlinuz.lab'
    "$here/vm/lab-vm" fetch /vmlinuz.lab "$work/box/vmlinuz"
    "$here/vm/lab-vm" ssh 'find /vagrant -mindepth 1 -maxdepth 1 ! -name .venv ! -name build -exec rm -rf {} +
        ! command -v cloud-init >/dev/null || cloud-init clean --logs
        rm -rf /vmlinuz.lab /root/.ssh /etc/ssh/ssh_host_*_key* && sync && systemctl poweroff'
    "$here/vm/lab-vm" wait
    pack "$work/vm/disk.qcow2"
}

# --- Boxes for Vagrant: a tar of the disk and what is to be known about it

size_of() { # DISK, as the guest sees it, in bytes
    qemu-img info --output=json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["virtual-size"])'
}

wrap() { # PROVIDER, into $1.box
    local inside=$work/$1
    rm -rf "$inside" && mkdir "$inside"
    cp "$here/box/Vagrantfile" "$inside"
    case $1 in
    libvirt)
        ln "$box/disk.qcow2" "$inside/box.img" 2>/dev/null || cp "$box/disk.qcow2" "$inside/box.img"
        printf '{"provider": "libvirt", "format": "qcow2", "virtual_size": %d, "architecture": "%s"}\n' \
            $(($(size_of "$box/disk.qcow2") >> 30)) "$arch" >"$inside/metadata.json"
        ;;
    virtualbox)
        qemu-img convert -O vmdk -o subformat=streamOptimized "$box/disk.qcow2" "$inside/box-disk.vmdk"
        "$checkout/.venv/bin/python3" "$here/box/make_ovf.py" "$inside/box-disk.vmdk" "$arch" >"$inside/box.ovf"
        printf '{"provider": "virtualbox", "architecture": "%s"}\n' "$arch" >"$inside/metadata.json"
        ;;
    esac
    tar -C "$inside" -cf "$box/$1.box.partial" . # the disk in it is compressed
    mv "$box/$1.box.partial" "$box/$1.box"
    rm -rf "$inside"
}

main() {
    [ "$(uname -s)" = Linux ] || die "a box is made on Linux" "LAB_BOX_URL names one that is made already"
    [ "$(id -u)" = 0 ] || die "making a box needs root" "sudo make box"
    arch=$(dpkg --print-architecture)
    mirror=${LAB_MIRROR:-$(source_of Debian)}
    [ -n "$mirror" ] || die "this machine's apt knows no Debian" "LAB_MIRROR=URL names a mirror of it"
    security=$(source_of Debian-Security)
    security=${security:-${mirror%/}-security}
    case $arch in amd64 | arm64) ;; *) die "no box for $arch" "amd64 and arm64 there are" ;; esac
    [ -x "$checkout/.venv/bin/python3" ] || die "no .venv yet" "sudo make setup"
    local format
    for format in $formats; do
        case $format in libvirt | virtualbox) ;; *) die "LAB_FORMATS: $format: no such format" "libvirt, virtualbox" ;; esac
    done
    case ${LAB_IMAGE:-} in
    '' | http://* | https://*) ;;
    *) [ -f "$LAB_IMAGE" ] || die "$LAB_IMAGE: no such file" "LAB_IMAGE is the path or URL of a disk image" ;;
    esac
    mkdir -p "$boxes"
    key=$(inputs | sha256sum | cut -c1-16)
    box=$boxes/$key
    work=$(mktemp -d "${LAB_TMP:-/var/tmp}/mydocker-box.XXXXXX")
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    [ -e "$box/disk.qcow2" ] || check_room
    exec 9>"$boxes/.lock"
    flock -n 9 || { say "waiting for another that makes a box" && flock 9; }
    rm -rf "$boxes"/.new-* # half made by one that was killed
    if [ ! -e "$box/disk.qcow2" ]; then
        "$here/provision.sh" install box
        ln -s "$here/box/customize.sh" "$work/customize.sh"
        mkdir "$work/box"
        if [ -n "${LAB_IMAGE:-}" ]; then
            from_image
        else
            say "making a box of Debian $suite, $arch ($key): one to three minutes"
            make_root
            make_disk
        fi
        rm -rf "$work/root" "$work/disk.raw"
        mv "$work/box" "$boxes/.new-$key"
        mv "$boxes/.new-$key" "$box"
    fi
    for format in $formats; do
        [ -e "$box/$format.box" ] || { say "wrapping it for $format" && wrap "$format"; }
    done
    (cd "$box" && shopt -s nullglob && sha256sum disk.qcow2 -- *.box >SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS)
    ln -sfn "$key" "$boxes/current"
    prune
    say "build/box/current: $(cd "$box" && du -sh ./*.box disk.qcow2 2>/dev/null | awk '{print $2, $1}' | paste -sd' ')"
}

# shellcheck disable=SC2317,SC2329  # called by the trap
finish() {
    if [ -d "$work/vm" ]; then FRESH=1 LAB_VM_DIR=$work/vm "$here/vm/lab-vm" down; fi
    rm -rf --one-file-system "$work"
}

prune() { # older boxes, unless a machine's disk lies over one
    local old
    for old in "$boxes"/*/; do
        old=${old%/}
        if [ "$old" = "$box" ] || [ -L "$old" ]; then continue; fi
        grep -aqsF "$old/" <(head -qc 4096 "$checkout"/build/vm/*/disk.qcow2 2>/dev/null) || rm -rf "$old"
    done
}

check_room() {
    [[ $work != *[[:space:]]* ]] || die "$work: mmdebstrap can not work there" "LAB_TMP=/a/place/without/blanks"
    local place free
    for place in "$work" "$boxes"; do
        free=$(df --output=avail -BG "$place" | tail -n 1 | tr -dc 0-9)
        [ "$free" -ge $room ] ||
            die "$place: $free GB free, a box needs $room to be made" "LAB_TMP=/another/place, or make room"
    done
}

main

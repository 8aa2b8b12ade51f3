#!/bin/sh
# Put the boxes that were built here into a directory, under the names they are published by.
#
#   lab/box/collect.sh DIRECTORY ARCHITECTURE
set -eu
cd "$(dirname "$0")/../.."
built=build/box/current
mkdir -p "$1"
(cd "$built" && sha256sum --check --quiet SHA256SUMS)
for format in libvirt virtualbox; do
    cp "$built/$format.box" "$1/mydocker-lab.$format.$2.box"
done
cp "$built/disk.qcow2" "$1/mydocker-lab.$2.qcow2"

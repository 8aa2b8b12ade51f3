"""Chapter 4: images and layers, the overlay, volumes, and the container's `/`.

A map of the room:

* the container's `/`: overlay, pivot, mounts, devices, cgroupfs, cover, propagation, idmap
* volumes: volumes (any mount of the user's), volumestore (those with a name), mountflag (in words)
* the image store: store, layer, reference (names), imageconfig, imagechanges, commit, diff, verify
* tar, in and out: tar, whiteout, unpack, place (among files that change meanwhile), skeleton,
  compression
* images that come and go: oci (their documents), incoming, load, save, archive, pull, registry,
  registries
"""

"""Chapter 5: the life of a container, from its record to its last trace.

A map of the room. Most modules are the command of that name; the others, by what they serve:

* the record: container (one), containers (all of them), state (the machine), names, select, moments
* being made: options (flags become an OCI spec), defaults, run, provide (pull first), detach
* the monitor: monitor, monitors (who watches whom), stdio, health, restart, keeper (exec's parent)
* what it wrote: logs, logoptions, readlog; who listens: audience (the monitor's side of attach)
* what happened: events (written), happenings (read)
* looking in: inside (its root, as a descriptor), top, stats, reach (its addresses), check
* with the other rooms: images, volumes, networking
* the end, and after a crash: stop, remove, tidy and prune and usage (what nobody needs), repair
  (by the next command), leftovers (by `system check`)
"""

"""The inventory: which devices there are, what is known of each, from whom and since when.

Owns the record of a device (`record` ◇), its stores behind one contract (`store`: `memory`, `sqlite`), what a worker
holds in memory (`inventory` ◇), the merging of what several sources say (`merge` ◇), what the gateway asks on the way
of a request (`view`), how a device becomes known (`enrolment` ◇), how its TPM vouches for its key (`attestation`,
`endorsement` ◇, `tpm` ◇, `makers`), what it may tell about itself (`jws` ◇, `reports` ◇, `single_use`), what management
systems tell (`observing`, `management/`) and tell again when they are asked (`polling`, `confirming` ◇), and the one
service over all this (`service`).

Must not know: HTTP of our own pages, routes, rules.

Where to add: another attribute → `model/device.py`, and its sentence in `mending`; another way a certificate names a
device → `view`; another store → a module like `sqlite.py`, a row in `store.open_device_store`, and its name in
`tests/devices/device_people.py`.

What counts
-----------
* A device that is revoked is nobody: its key, its certificate and its reports count for nothing, in every worker.
* What a device says of itself counts once it is approved; until then only what others say about it does.
* What an agent says is attested while a TPM of a maker that is trusted now vouches for its key, and only in sessions
  that the agent's proof of that key ties to the device.
* What a system tells whenever it is asked is as old as its last complete answer; what a webhook or an agent tells is as
  old as that message.
* The serial number a device enrols with is its own word. Management systems and certificates find a device by its
  serial only after an administrator approved that very device, or the management system told us of it.
"""

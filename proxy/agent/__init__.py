"""What runs on an employee's machine: makes the device's key, collects posture, reports it, proves the key to browsers.

Owns the device's key (TPM 2.0 or a file), what it remembers between starts, the collectors, and the answerer on
loopback. Meets the proxy over the network only, and shares with it nothing but the words of `model`: it must not know
how posture is judged, nor whether the device is managed, which is not for the device to say.

To add a fact: a function in `collect/linux.py`, `macos.py` or `windows.py` and its name in that file's `PARTS`; what
cannot be found out is left out, never guessed. A recorded machine under tests/agent/recorded/ shows that it works.
"""

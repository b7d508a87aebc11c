"""What goes wrong with a device for good; a store that does not answer is `sessions.store.StoreUnavailable`."""

from __future__ import annotations


class DeviceRefused(Exception):
    """What a device, or somebody about a device, asked for is refused, and will be again. The text says why, and holds
    nothing that the asker did not send."""

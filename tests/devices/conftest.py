"""The fixtures of this folder; see `device_people`."""

from device_people import store, world

__all__ = ["store", "world"]

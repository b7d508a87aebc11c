"""What a worker remembers beyond a request: sessions, devices, second factors, their stores, and the key that seals."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from proxy.authn.factors import Factors, open_factor_store
from proxy.devices.makers import trusted_makers
from proxy.devices.management.service import Management
from proxy.devices.service import Devices
from proxy.devices.store import open_device_store
from proxy.sessions.bus import Bus
from proxy.sessions.keyfile import load_or_create_key
from proxy.sessions.seal import Sealer
from proxy.sessions.service import Sessions
from proxy.sessions.store import bus_folder, open_store
from proxy.settings.schema import Configuration
from proxy.settings.secrets import read_secret


class State:
    """Opened from a configuration; `start`, then `reconfigure` after each reload, then `close`.

    Raises KeyFileUnusable and SecretUnavailable when the sealing key cannot be had.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.sealer = Sealer(_sealing_key(configuration))
        self.store = open_store(configuration.state)
        bus = Bus(self.store, bus_folder(configuration.state))
        self.sessions = Sessions(self.store, bus, self.sealer, configuration.sessions, time.time)
        self._device_store = open_device_store(configuration.state)
        self.devices = Devices(
            self._device_store,
            configuration.devices,
            self.sealer,
            time.time,
            announce=self.sessions.announce_device,
            consume=self.store.consume,
            end_sessions=self.sessions.end_of_device,
            audience=configuration.login.url,
        )
        self.devices.trust(trusted_makers(configuration.devices))
        self.management = Management(self.devices, self.store.consume, time.time)
        factors = open_factor_store(configuration.state)
        self.factors = Factors(factors, self.sealer, configuration.login, time.time, self.store.consume)

    async def start(self) -> None:
        """Begin to follow what other workers do. Does not fail when a store is down."""
        self.sessions.device_changed = self.devices.changed  # before the bus begins: no news is missed
        await self.sessions.start()
        await self.devices.start()

    def reconfigure(self, configuration: Configuration) -> None:
        """New settings, in force at once."""
        self.sessions.reconfigure(configuration.sessions)
        self.devices.reconfigure(configuration.devices, configuration.login.url)
        self.devices.trust(trusted_makers(configuration.devices))
        self.factors.reconfigure(configuration.login)

    async def close(self) -> None:
        """Write what is unwritten, then close the stores. Raises what the first failure raised, after trying all."""
        first: Exception | None = None
        services = (self.management, self.devices, self.sessions, self.factors, self._device_store, self.store)
        for end in [service.close for service in services]:
            try:
                await end()
            except Exception as error:  # noqa: BLE001  # the others must be closed all the same
                first = first or error
        if first is not None:
            raise first


def _sealing_key(configuration: Configuration) -> bytes:
    kind, _, place = configuration.state.partition(":")
    if configuration.sessions.key is not None:
        return read_secret(configuration.sessions.key)
    return load_or_create_key(Path(place + ".key")) if kind == "sqlite" else secrets.token_bytes(32)

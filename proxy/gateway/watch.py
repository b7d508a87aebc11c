"""What is open is held to what is true now: rules, rights, sessions, certificates, devices, and the time.

Everything that is being forwarded is looked at twice a second, and at once what comes from a device of which there is
news. What has changed is decided again, and ended when it may not go on. Many are looked at in slices of a few
milliseconds, between which everybody else has a turn.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import deque
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING

from proxy.gateway.admission import Moment, certificate_of, service_of
from proxy.model.identity import Certificate, Identity
from proxy.model.reasons import Reason

if TYPE_CHECKING:
    from proxy.gateway.door import House
    from proxy.gateway.http import HttpExchange

_SLICE = 0.004  # seconds
_MANY = 1000  # exchanges
# A device's proof may be this much too old (seconds) before what is open ends: browsers prove with their next request.
_PROOF_GRACE = 60.0
_log = logging.getLogger("ostiary.gateway")


class Watch:
    """Decides again what is open in one worker."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._news: deque[tuple[HttpExchange, float]] = deque()  # with when what happened to them came about
        self._round: deque[HttpExchange] = deque()  # what is left of the present look at everything
        self._since = 0.0  # when everything was looked at before that, seconds since the epoch
        self._looked = 0.0
        self._running = False
        self._most = 0  # open at once, when the collector was last told about it
        self._of_device: dict[str, set[HttpExchange]] = {}

    # --- who follows which device

    def follow(self, exchange: HttpExchange) -> None:
        """This exchange depends on a device."""
        device = exchange.device
        name = device.id if device is not None else ""
        if name and name != exchange.device_id:
            self.lose(exchange)
            exchange.device_id = name
            self._of_device.setdefault(name, set()).add(exchange)

    def lose(self, exchange: HttpExchange) -> None:
        """It does not any more."""
        name, exchange.device_id = exchange.device_id, ""
        others = self._of_device.get(name)
        if others is not None:
            others.discard(exchange)
            if not others:
                del self._of_device[name]

    # --- what happens

    def look(self, now: float) -> None:
        """To be called twice a second and after a reload: look at everything that is open."""
        self._settle(len(self.house.open))
        if self._round:
            return  # the look before is still going on, and sees what is true now
        self._since, self._looked = self._looked or now, now
        self._round.extend(self.house.open)
        self._run()

    def _settle(self, open_now: int) -> None:
        """Tell the collector that what thousands of streams are made of is no garbage: a look for cycles among it holds
        the loop for a tenth of a second, whenever it happens. What ends is freed all the same.

        Only when there are more than ever before, so a few times in the life of a process: what is in a cycle by then
        and dies later stays, which is bounded thereby."""
        if open_now >= self._most + _MANY:
            self._most = open_now
            gc.collect(1)
            gc.freeze()

    def device_news(self, device: str, at: float) -> None:
        """Something is known anew of a device ("" is any); `at` is when that was decided, seconds since the epoch."""
        affected = self.house.open if not device else self._of_device.get(device, ())
        self._news.extend((exchange, at) for exchange in affected)
        self._run()

    def _run(self) -> None:
        if not self._running and (self._news or self._round):
            self._running = True
            self._slice()

    def review(self, exchange: HttpExchange, token: bytes, since: float) -> None:
        """Have the token that began this judged again, which may wait for keys. When it is refused now, this ends; when
        its issuer cannot be asked, this goes on."""
        exchange.review_at = inf  # one at a time
        task = asyncio.get_running_loop().create_task(self._reviewed(exchange, token, since))
        self.house.tasks.add(task)
        task.add_done_callback(self.house.tasks.discard)

    async def _reviewed(self, exchange: HttpExchange, token: bytes, since: float) -> None:
        house = self.house
        workloads, now = house.workloads, house.clock()
        try:
            audience = exchange.judged_by.audience_at(exchange.host)
            found, again_at = await workloads.review(token, audience, now)
            if exchange.over or exchange.vouched_by is not workloads:
                return  # in the latter case another review is under way
            exchange.review_at = again_at
            if isinstance(found, Identity):
                if found != exchange.identity:
                    exchange.decide_again(found, "identity", since, Moment(now))
            elif found is not Reason.PROVIDER_UNAVAILABLE:
                exchange.cut(found, "token", since)
        except Exception:  # noqa: BLE001  # as in _look_at
            _log.exception("request %s could not be decided again", exchange.reference)
            exchange.cut(Reason.INTERNAL_ERROR, "token", since)

    def _slice(self) -> None:
        moment = Moment(self.house.clock())
        until = perf_counter() + _SLICE
        while perf_counter() < until:
            if self._news:
                exchange, since = self._news.popleft()
            elif self._round:
                exchange, since = self._round.popleft(), self._since
            else:
                self._running = False
                return
            self._look_at(exchange, since, moment)
        asyncio.get_running_loop().call_soon(self._slice)

    def _look_at(self, exchange: HttpExchange, since: float, moment: Moment) -> None:
        try:
            if not exchange.over:
                _Look(self, exchange, since, moment).take()
        except Exception:  # noqa: BLE001  # whatever cannot be decided again must not go on
            _log.exception("request %s could not be decided again", exchange.reference)
            exchange.cut(Reason.INTERNAL_ERROR, "policy", since)


class _Look:
    """One look at one exchange."""

    __slots__ = ("exchange", "house", "moment", "now", "since", "watch")

    def __init__(self, watch: Watch, exchange: HttpExchange, since: float, moment: Moment) -> None:
        self.watch = watch
        self.exchange = exchange
        self.since = since
        self.moment = moment
        self.now = moment.now
        self.house = watch.house

    def take(self) -> None:
        exchange = self.exchange
        cause = "clock" if exchange.judged_by.timed else ""
        if exchange.certificate is not None:
            self._certified(exchange.certificate)
        if not exchange.over and self._device_changed():
            cause = "device"
        if exchange.over:
            return
        identity = self._identity()
        if identity is not exchange.identity:
            cause = "identity"
        if exchange.snapshot is not self.house.snapshot:
            cause = "policy"
        if cause:
            exchange.decide_again(identity, cause, self.since, self.moment)

    def _certified(self, certificate: Certificate) -> None:
        """Hold it to its client certificate, as that is judged now."""
        exchange, house = self.exchange, self.house
        verifier = house.snapshot.verifiers.get(exchange.listener)
        if self.now < certificate.good_until and exchange.notes.verifier is verifier:
            return
        fresh = certificate_of(exchange.notes, verifier, self.now)
        if fresh is None:
            since = certificate.good_until if self.now >= certificate.good_until else self.since
            exchange.cut(exchange.notes.problem or Reason.CERTIFICATE_UNTRUSTED, "certificate", since)
        else:
            exchange.certificate = fresh

    def _device_changed(self) -> bool:
        """Whether the device is another or something else is known of it. Ends what may not be used from here."""
        exchange, devices = self.exchange, self.house.devices
        session = exchange.session
        bound = None if session is None else session.record.device
        if bound is None and exchange.certificate is None and exchange.device is None:
            return False
        if bound is not None:
            at = max(self.now - _PROOF_GRACE, bound.proved_at)
            missing = devices.standing(bound, exchange.certificate, exchange.notes.address, at)
            if missing is not None:
                exchange.cut(missing, "device", self.since)
                return False
        device = devices.facts(bound, exchange.certificate)
        if device is exchange.device:
            return False
        exchange.device = device
        self.watch.follow(exchange)
        return True

    def _identity(self) -> Identity | None:
        """Who asks, as far as is known now."""
        exchange = self.exchange
        if exchange.session is not None:
            return exchange.session.identity
        if exchange.known is not None and exchange.known.token is not None:
            return self._of_token(exchange.known.token)
        certificate = exchange.certificate
        if certificate is None or exchange.withheld:  # whose session does not count here is nobody
            return None
        if self.house.devices.of_certificate(certificate):
            return None
        return service_of(exchange.notes, certificate)

    def _of_token(self, token: bytes) -> Identity | None:
        exchange, workloads = self.exchange, self.house.workloads
        if exchange.vouched_by is not workloads:
            exchange.vouched_by = workloads
            exchange.until = workloads.ends(token)
            exchange.review_at = 0.0
        if self.now >= exchange.until:
            exchange.cut(Reason.TOKEN_INVALID, "token", exchange.until or self.since)
        elif self.now >= exchange.review_at:
            self.watch.review(exchange, token, self.since)
        return exchange.identity

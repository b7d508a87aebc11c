"""Settings → everything that a reload replaces, built completely before anything is replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import aiohttp
from cryptography import x509

from proxy.app.errors import Unusable
from proxy.app.providers import Built, build_providers
from proxy.app.saml_providers import BuiltSaml, build_saml_providers
from proxy.assertion import Signer, SigningError
from proxy.authn.mtls import CertificateVerifier
from proxy.authn.oidc import OidcProvider
from proxy.authn.saml import SamlProvider
from proxy.authn.workload.issuer import FirstSeen
from proxy.authn.workload.service import Bundles, Workloads, WorkloadsUnusable, read_bundles
from proxy.devices.management.build import ManagementUnusable, Systems, build_systems
from proxy.gateway.plan import RoutePlan
from proxy.gateway.snapshot import Snapshot
from proxy.net.tls import TlsListener, TlsUnusable
from proxy.policy import compile_policy
from proxy.settings.baselines import baselines_for
from proxy.settings.schema import HeaderEdits, Route, Settings, Size, Timeouts, Tls, WeightedUpstream
from proxy.upstream.origin import Origin, OriginUnusable, parse_origin
from proxy.upstream.pool import Pool
from proxy.upstream.target import Target

CONTROL_ROUTE = "ostiary"
_CONTROL_BODY = Size(512 * 1024)  # a SAML response in a form; each page has a limit of its own below this


class Plan(NamedTuple):
    """One configuration, built. Nothing in it changes; a reload makes another."""

    settings: Settings
    snapshot: Snapshot
    signer: Signer
    providers: Mapping[str, OidcProvider]
    built: Mapping[str, Built]  # the same providers, with what they were made of
    saml: Mapping[str, SamlProvider]
    built_saml: Mapping[str, BuiltSaml]
    workloads: Workloads
    management: Systems
    tls: Mapping[str, TlsListener]  # by listener address
    pools: Mapping[tuple[object, ...], Pool]


class Composer:
    """Builds plans for one worker. Pools, providers and issuers that stay the same are carried over from plan to plan.

    `first_seen`: the session store's; not called before the first request.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        control_socket: str,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        first_seen: FirstSeen,
    ) -> None:
        self._http = http
        self._control = f"unix:{control_socket}"
        self._clock = clock
        self._monotonic = monotonic
        self._first_seen = first_seen

    def build(self, settings: Settings, before: Plan | None = None) -> Plan:
        """Raises Unusable, and then nothing about what is in force has changed."""
        try:
            return self._build(settings, before)
        except (TlsUnusable, OriginUnusable, WorkloadsUnusable, ManagementUnusable, ValueError) as error:
            raise Unusable(str(error)) from None

    def _build(self, settings: Settings, before: Plan | None) -> Plan:
        configuration = settings.configuration
        pools: dict[tuple[object, ...], Pool] = {}
        known = {} if before is None else before.pools
        bundles = read_bundles(configuration.workloads)
        plans = [self._route_plan(route, settings, bundles, pools, known) for route in settings.routes]
        control = self._control_plan(settings, pools, known)
        secure = [(one.address, one.tls) for one in configuration.listeners if one.tls is not None]
        vouching = b"".join(bundle.pem for bundle in bundles.values())
        tls = {address: TlsListener(one, vouching) for address, one in secure}
        verifiers = {address: verifier_of(one, bundles) for address, one in secure if tls[address].asks}
        built = build_providers(
            configuration.login.providers, {} if before is None else before.built, self._http, self._clock
        )
        built_saml = build_saml_providers(
            configuration, {} if before is None else before.built_saml, self._http, self._clock
        )
        return Plan(
            settings=settings,
            snapshot=Snapshot(settings, plans, control, verifiers),
            signer=signer_of(settings),
            providers={name: one.provider for name, one in built.items()},
            built=built,
            saml={name: one.provider for name, one in built_saml.items()},
            built_saml=built_saml,
            workloads=Workloads(
                configuration.workloads,
                self._http,
                self._clock,
                self._first_seen,
                bundles=bundles,
                before=None if before is None else before.workloads,
            ),
            management=build_systems(configuration.devices, self._http, self._clock),
            tls=tls,
            pools=pools,
        )

    def _route_plan(
        self,
        route: Route,
        settings: Settings,
        bundles: Bundles,
        pools: dict[tuple[object, ...], Pool],
        known: Mapping[tuple[object, ...], Pool],
    ) -> RoutePlan:
        baselines = baselines_for(route.labels, settings.configuration.baselines)
        policy = compile_policy(allow=route.allow, deny=route.deny, public=route.public, baselines=baselines)
        target = None if route.to is None else self._target(route, bundles, pools, known)
        return RoutePlan(route, policy, target, body_limit=settings.configuration.limits.body_bytes)

    def _target(
        self,
        route: Route,
        bundles: Bundles,
        pools: dict[tuple[object, ...], Pool],
        known: Mapping[tuple[object, ...], Pool],
    ) -> Target:
        to = (route.to,) if isinstance(route.to, str) else route.to or ()
        weighted = [WeightedUpstream(url=one) if isinstance(one, str) else one for one in to]
        members = []
        domain = (route.upstream_tls.spiffe_id or "").removeprefix("spiffe://").partition("/")[0]
        authorities = bundles[domain].pem.decode() if domain in bundles else ""
        for one in weighted:
            origin = parse_origin(one.url, route.upstream_tls, authorities)
            members.append((self._pool(origin, route.upstream_connections, pools, known), one.weight))
        return Target(members, self._monotonic)

    def _pool(
        self,
        origin: Origin,
        limit: int,
        pools: dict[tuple[object, ...], Pool],
        known: Mapping[tuple[object, ...], Pool],
    ) -> Pool:
        key = (*origin.key, limit)
        pool = pools.get(key)
        if pool is None:
            # A pool with TLS is made anew: its certificate files may be what changed.
            kept = known.get(key) if origin.tls is None else None
            pool = pools[key] = kept or Pool(origin, limit, self._monotonic)
        return pool

    def _control_plan(
        self,
        settings: Settings,
        pools: dict[tuple[object, ...], Pool],
        known: Mapping[tuple[object, ...], Pool],
    ) -> RoutePlan:
        route = Route(
            name=CONTROL_ROUTE,
            source=settings.configuration.login.url,
            to=self._control,
            public=True,
            timeouts=Timeouts(),
            upgrades=(),
            response_headers=HeaderEdits(remove=("Server",)),  # what they are served with is nobody's business
        )
        policy = compile_policy(allow=(), deny=(), public=True)
        # An interrupted form arrives whole, and comes back sealed: encrypted and in base64, half as long again.
        limit = Size(max(_CONTROL_BODY, 64 * 1024 + 2 * settings.configuration.login.interrupted_post))
        return RoutePlan(route, policy, self._target(route, {}, pools, known), control=True, body_limit=limit)


def verifier_of(tls: Tls, bundles: Bundles) -> CertificateVerifier:
    """The judge of client certificates for one listener. Raises Unusable naming the file."""
    authorities: list[x509.Certificate] = []
    domains = {name: bundle.authorities for name, bundle in bundles.items()}
    lists: list[x509.CertificateRevocationList] = []
    file = tls.client_ca or ""
    try:
        if file:
            authorities = x509.load_pem_x509_certificates(Path(file).read_bytes())
        for file in tls.client_crl:
            lists.append(_revocation_list(Path(file).read_bytes()))
        return CertificateVerifier(authorities, lists, domains)
    except OSError as error:
        raise Unusable(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise Unusable(f"{file}: {error}") from None


def _revocation_list(data: bytes) -> x509.CertificateRevocationList:
    if data.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_crl(data)
    return x509.load_der_x509_crl(data)


def signer_of(settings: Settings) -> Signer:
    """The signer of assertions. Raises Unusable naming the file, or what is wrong with it."""
    assertion = settings.configuration.assertion
    keys = []
    for file in (assertion.key, *assertion.previous):
        try:
            keys.append(Path(file).read_bytes())
        except OSError as error:
            raise Unusable(f"{file}: {error.strerror}; `ostiary certs --help` shows how to make a key") from None
    try:
        return Signer(keys, settings.configuration.login.url, assertion.lifetime)
    except SigningError as error:
        files = ", ".join((assertion.key, *assertion.previous))
        raise Unusable(f"assertion ({files}): {error}") from None

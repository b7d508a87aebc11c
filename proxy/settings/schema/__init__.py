"""The shape of the configuration: every key an admin can write, with its default.

Pure: no file is read here. `parse` turns YAML nodes into these Structs and reports mistakes by file, line and column;
`load` reads files; the JSON Schema that editors use is generated from these same Structs, its help texts from their
docstrings and trailing comments.

    configuration.py   the files as a whole        login.py       where people log in, and how strongly
    listeners.py       where the proxy listens     devices.py     how devices become known
    routes.py          routes, rules, baselines    workloads.py   who vouches for services
    operation.py       sessions, assertions, state, record, admin address, bounds
"""

from __future__ import annotations

from proxy.settings.schema.base import Duration, NonEmpty, SecretRef, Size, Strict
from proxy.settings.schema.configuration import Configuration, RouteFile, Settings
from proxy.settings.schema.devices import (
    CrowdStrike,
    DeviceCertificates,
    Devices,
    Fleet,
    Intune,
    Management,
    Webhook,
)
from proxy.settings.schema.listeners import CertificatePair, Listener, Tls
from proxy.settings.schema.login import (
    AnyProvider,
    ClaimsMapping,
    Login,
    Mfa,
    Provider,
    SamlAttributes,
    SamlProvider,
    SecondFactor,
)
from proxy.settings.schema.operation import Admin, Assertion, Audit, Limits, Sessions
from proxy.settings.schema.routes import (
    Baseline,
    Conditions,
    HeaderEdits,
    Hours,
    Redirect,
    Refusal,
    Route,
    Rule,
    Timeouts,
    UpstreamTls,
    WeightedUpstream,
)
from proxy.settings.schema.workloads import TokenIssuer, TrustDomain, Workloads

__all__ = [
    "Admin",
    "AnyProvider",
    "Assertion",
    "Audit",
    "Baseline",
    "CertificatePair",
    "ClaimsMapping",
    "Conditions",
    "Configuration",
    "CrowdStrike",
    "DeviceCertificates",
    "Devices",
    "Duration",
    "Fleet",
    "HeaderEdits",
    "Hours",
    "Intune",
    "Limits",
    "Listener",
    "Login",
    "Management",
    "Mfa",
    "NonEmpty",
    "Provider",
    "Redirect",
    "Refusal",
    "Route",
    "RouteFile",
    "Rule",
    "SamlAttributes",
    "SamlProvider",
    "SecondFactor",
    "SecretRef",
    "Sessions",
    "Settings",
    "Size",
    "Strict",
    "Timeouts",
    "Tls",
    "TokenIssuer",
    "TrustDomain",
    "UpstreamTls",
    "Webhook",
    "WeightedUpstream",
    "Workloads",
]

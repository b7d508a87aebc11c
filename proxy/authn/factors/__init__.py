"""Our own second factor, for people whose identity provider has none: passkeys, one-time codes, recovery codes.

Owns what a factor is (`factor`), the stores behind one contract (`store`: `memory`, `sqlite`), how each kind is
enrolled and checked (`passkeys` with `public_keys`, `codes`, `recovery`), the limit on wrong tries (`limits`), and the
one object our pages talk to (`service`).

Must not know: HTTP, pages, policy, how a session came about. Who may enrol, and when, is decided by the pages.

Where to add: another kind → a module like `codes.py`, a literal in `factor.Kind`, two methods in `service.Factors`;
another store → a module like `sqlite.py`, a row in `store.open_factor_store`, its name in the parameters of
`tests/authn/test_factor_store_contract.py`.
"""

from proxy.authn.factors.errors import FactorRefused, TooManyAttempts
from proxy.authn.factors.factor import Factor, person_of
from proxy.authn.factors.service import Begun, Factors, NewCode, Used
from proxy.authn.factors.store import FactorStore, open_factor_store

__all__ = [
    "Begun",
    "Factor",
    "FactorRefused",
    "FactorStore",
    "Factors",
    "NewCode",
    "TooManyAttempts",
    "Used",
    "open_factor_store",
    "person_of",
]

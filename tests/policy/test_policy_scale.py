"""Many rules, many people: the right verdict from the index and the memory, and a bound on what is remembered."""

from __future__ import annotations

import copy

import msgspec
import pytest

from proxy.model.facts import Facts
from proxy.model.identity import Certificate, Identity
from proxy.model.reasons import Reason
from proxy.policy import compile_policy, decide
from proxy.policy.memo import Memo
from proxy.settings.schema import Rule

ANN = Identity(kind="person", subject="1", provider="corp", email="ann@a.example", groups=frozenset({"sre"}))


def ask(path: str = "/", method: str = "GET", identity: Identity | None = ANN, **fields: object) -> Facts:
    return Facts(route="r", host="h.example", method=method, path=path, time=0.0, identity=identity, **fields)


def test_a_thousand_rules_by_path() -> None:
    rules = [Rule(name=f"r{n}", groups=("sre",), paths=(f"/team/{n}/**", f"/old-{n}")) for n in range(1000)]
    policy = compile_policy(
        allow=rules, deny=[Rule(name=f"d{n}", anyone=True, paths=(f"/team/{n}/no",)) for n in range(1000)]
    )
    assert decide(policy, ask("/team/777/x/y")).rule == "r777"
    assert decide(policy, ask("/team/777")).rule == "r777"
    assert decide(policy, ask("/old-778")).rule == "r778"
    assert decide(policy, ask("/team/777/no")).reason is Reason.DENIED_BY_RULE
    assert decide(policy, ask("/team/777/no")).rule == "d777"
    assert decide(policy, ask("/team/1000/x")).reason is Reason.NO_RULE_ALLOWS
    assert decide(policy, ask("/team/7", identity=None)).reason is Reason.LOGIN_REQUIRED


def test_the_first_of_several_rules_that_hold_is_named_wherever_the_index_found_it() -> None:
    filler = [Rule(name=f"f{n}", anyone=True, paths=(f"/f/{n}",)) for n in range(20)]
    deep = Rule(name="deep", anyone=True, paths=("/a/b/**",))
    shallow = Rule(name="shallow", anyone=True, paths=("/a/**",))
    anywhere = Rule(name="anywhere", anyone=True, paths=("/**/c",))
    everywhere = Rule(name="everywhere", anyone=True)
    for order in (
        [deep, shallow, anywhere, everywhere],
        [everywhere, anywhere, shallow, deep],
        [anywhere, deep, shallow],
    ):
        policy = compile_policy(allow=[*filler, *order], deny=[])
        assert decide(policy, ask("/a/b/c")).rule == order[0].name


def test_a_thousand_rules_for_a_thousand_people() -> None:
    policy = compile_policy(allow=[Rule(name=f"r{n}", users=(f"corp:{n}",)) for n in range(1000)], deny=[])
    for subject in ("0", "500", "999", "0"):
        assert decide(policy, ask(identity=msgspec.structs.replace(ANN, subject=subject))).rule == f"r{subject}"
    assert decide(policy, ask(identity=msgspec.structs.replace(ANN, subject="1000"))).reason is Reason.NO_RULE_ALLOWS


def test_methods_no_rule_names_share_one_table() -> None:
    policy = compile_policy(
        allow=[Rule(name="get", anyone=True, methods=("GET",)), Rule(name="x", anyone=True, paths=("/x",))], deny=[]
    )
    for number in range(100):
        assert decide(policy, ask("/x", method=f"M{number}")).rule == "x"
        assert decide(policy, ask("/", method=f"M{number}")).reason is Reason.NO_RULE_ALLOWS
    assert decide(policy, ask("/x", method="")).rule == "x"
    assert len(policy.nobody._tables) < 15
    assert len(policy.for_facts(ask())._tables) < 15


def test_equal_identities_are_remembered_apart() -> None:
    """Equality does not see what an app of another type would: True == 1 to Python."""
    policy = compile_policy(allow=[Rule(name="r", claims={"admin": True})], deny=[])
    honest = msgspec.structs.replace(ANN, claims={"admin": True})
    odd = msgspec.structs.replace(ANN, claims={"admin": 1})
    assert honest == odd
    for _ in range(2):
        assert decide(policy, ask(identity=honest)).reason is Reason.RULE_ALLOWS
        assert decide(policy, ask(identity=odd)).reason is Reason.NO_RULE_ALLOWS


def test_a_new_identity_at_an_old_address_is_a_stranger() -> None:
    policy = compile_policy(allow=[Rule(name="r", groups=("sre",))], deny=[])
    for number in range(5000):
        identity = msgspec.structs.replace(ANN, groups=frozenset({"sre"} if number % 2 else {"other"}))
        assert decide(policy, ask(identity=identity)).reason is (
            Reason.RULE_ALLOWS if number % 2 else Reason.NO_RULE_ALLOWS
        )


def test_a_service_is_remembered_with_its_certificate() -> None:
    policy = compile_policy(allow=[Rule(name="r", services=("a.example",))], deny=[])
    service = Identity(kind="service", subject="spiffe://td/a")
    good = Certificate(sha256="0", serial="1", names=("spiffe://td/a", "a.example"), not_after=1.0, good_until=1.0)
    other = msgspec.structs.replace(good, names=("spiffe://td/a",))
    for _ in range(2):
        assert decide(policy, ask(identity=service, certificate=good)).reason is Reason.RULE_ALLOWS
        assert decide(policy, ask(identity=service, certificate=other)).reason is Reason.NO_RULE_ALLOWS
        assert decide(policy, ask(identity=service)).reason is Reason.NO_RULE_ALLOWS
        assert (
            decide(policy, ask(identity=service, certificate=good, certificate_problem="certificate-revoked")).reason
            is Reason.CERTIFICATE_REVOKED
        )


def test_what_a_policy_remembers_is_bounded() -> None:
    policy = compile_policy(allow=[Rule(name="r", claims={"n": 1, "m": 2}, networks=("10.0.0.0/8",))], deny=[])
    for number in range(3000):
        identity = msgspec.structs.replace(ANN, claims={"n": number % 3, "m": number})
        decide(policy, ask(identity=identity, address=f"10.0.{number % 256}.{number // 256}"))
    assert len(policy._by_identity) <= 1024
    assert len(policy._by_answers) <= 1024


def test_allow_verdicts_are_built_once() -> None:
    policy = compile_policy(allow=[Rule(name="r", groups=("sre",))], deny=[])
    assert decide(policy, ask()) is decide(policy, ask(path="/x", identity=copy.copy(ANN)))


def test_memo_forgets_the_oldest_and_keeps_what_is_asked_for() -> None:
    memo: Memo[int, str] = Memo(3)
    memo.put(0, "kept")
    for number in range(1, 50):
        memo.put(number, "x")
        assert memo.get(0) == "kept"
        assert len(memo) <= 6
    assert memo.get(1) is None
    assert memo.get(49) == "x"


def test_a_policy_says_what_it_is() -> None:
    policy = compile_policy(allow=[Rule(name="r", anyone=True)], deny=[], public=True)
    assert repr(policy) == "<Policy 2 allow, 0 deny>"
    with pytest.raises(AttributeError):
        policy.rules = ()

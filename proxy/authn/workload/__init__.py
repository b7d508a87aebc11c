"""Programs that prove who they are without a secret of ours: SPIFFE identities, and tokens of OIDC issuers.

Owns: trust bundles (`bundle` ◇), what a token claims before anything about it is believed (`claimed` ◇), JWT-SVIDs and
federated tokens held against what is configured (`svid` ◇, `federated` ◇ on `required` ◇ and `service_name` ◇), an
issuer's keys and its replay window (`issuer`), and `service`, which the gateway asks. ◇ is pure.
Must not know: routes, policy, sessions, headers. X.509-SVIDs are judged in `authn.mtls`, with the authorities of a
bundle from here.
To add: a check on tokens goes into `svid` or `federated`, with a row in tests/authn/workload_lies.yaml; another kind of
proof is a judge beside `issuer`, chosen in `service`.
"""

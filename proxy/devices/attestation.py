"""How sure we are that a device's key is in hardware. Pure.

Not sure at all, today, whatever the device says. To believe that a key cannot be copied out of a TPM 2.0 takes three
proofs: that the endorsement key's certificate chains to a manufacturer's authority; that the attestation key is in the
TPM with that endorsement key, which only a challenge answered by `TPM2_ActivateCredential` shows; and that this
attestation key certified ours as fixed to it (`TPM2_Certify`). The enrolment is one message and has no place for the
challenge, and a quote without it may be made with a key in a file. So the quote is accepted as an argument and proves
nothing: everything that a device reports is SELF_REPORTED, and rules that ask for `assurance: attested` are not
satisfied by it. `storage` is kept with the record and shown to administrators as what it is, the device's own word.
"""

from __future__ import annotations

from proxy.model.device import Assurance
from proxy.model.report import Enrolment


def key_assurance(enrolment: Enrolment) -> Assurance:
    """What the key of this enrolment is worth: see above."""
    del enrolment
    return Assurance.SELF_REPORTED

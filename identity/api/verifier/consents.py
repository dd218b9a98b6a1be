# SPDX-License-Identifier: Apache-2.0
"""Whether a citizen's consent stands on the ledger at the moment of an answer, for purposes that need one.

Wallets show it in the key binding of the person's own credential. It is read from the newest block each time and never
remembered: one that was withdrawn or narrowed in a block counts for no answer after it. The relying party gets what
opens the consent, which is as much its own as the person's, and the receipt that it stood.

It is to one version of the relying party's registered terms. Who changes those asks people anew: what somebody agreed
to is not stretched to what they have not seen.

Source: docs/identity.md, "Consents".
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from chain.strict_json import Json
from identity.api.verifier.findings import Finding, Step, failed
from identity.api.verifier.ledger import States
from identity.api.verifier.registered import Purpose
from identity.consent_showing import CLAIM, read_claim, refusal, subject_of
from identity.consents import consent_key, load_consent
from identity.credential_check import Outcome
from identity.jose import InvalidToken, JsonObject

MISSING: Final = "verifier.consent-missing"
REFUSED: Final = "verifier.consent-refused"
OTHER_TERMS: Final = "verifier.consent-terms"


@dataclass(frozen=True, slots=True)
class Consented:
    """What came of it.

    Attributes:
        finding: How the step ended.
        receipt: Proves the consent's record; empty unless it counts.
        facts: What opens it, for the relying party; likewise.
    """

    finding: Finding
    receipt: bytes
    facts: JsonObject


async def check_consent(
    states: States, purpose: Purpose, binding: JsonObject | None, attributes: Collection[str], pseudonym: str
) -> Consented:
    """Check the consent that a purpose needs.

    Args:
        states: Reads the ledger.
        purpose: For what, and whose.
        binding: Claims of the key binding of the person's own credential, checked; None: nobody showed one.
        attributes: What the answer would disclose, as registrations name it.
        pseudonym: The person's, at this relying party.

    Raises:
        TransportError: Nobody answers for the ledger.
        LedgerError: What was answered is not proven.
    """
    claim: Json = None if binding is None else binding.get(CLAIM)
    if claim is None:
        reason = "the purpose needs the citizen's consent on the ledger, and their wallet shows none"
        return Consented(Finding(Step.CONSENT, Outcome.FAILED, "", MISSING, reason), b"", {})
    try:
        shown = read_claim(claim)
    except InvalidToken as error:
        return Consented(failed(Step.CONSENT, error), b"", {})
    where = consent_key(shown.commitment)
    proven = await states.read([where])
    reason = refusal(
        shown,
        load_consent(proven.values.get, shown.commitment),
        organisation=purpose.relying_party,
        purpose=purpose.id,
        attributes=attributes,
        subject=subject_of(pseudonym),
        time_ms=proven.time_ms,
    )
    if reason:
        return Consented(Finding(Step.CONSENT, Outcome.FAILED, "", REFUSED, reason), b"", {})
    if shown.content.version != purpose.version:
        reason = (
            f"the consent is to version {shown.content.version} of the relying party's terms, and the ledger has "
            f"version {purpose.version}: the citizen is to be asked anew"
        )
        return Consented(Finding(Step.CONSENT, Outcome.FAILED, "", OTHER_TERMS, reason), b"", {})
    return Consented(Finding(Step.CONSENT, Outcome.HELD), proven.receipts[where], {"consent": claim})

# SPDX-License-Identifier: Apache-2.0
"""An authority of cards with fresh keys in memory, for tests."""

import time
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding

from identity.cards.authority import CardAuthority
from identity.cards.ocsp import Responder
from identity.cards.profile import Places, make_issuing, make_responder, make_root, seconds
from identity.jose import MemorySigner

DAY_S = 86_400
NOW_S = int(time.time()) // DAY_S * DAY_S
"""Today's beginning: openssl looks at its own clock."""
PLACES = Places("http://cards.example/issuing.cer", "http://cards.example/cards.crl", "http://ocsp.example/")


def new_signer() -> MemorySigner:
    return MemorySigner(generate_private_key(SECP256R1()))


@dataclass(frozen=True)
class Keys:
    """Everything that an authority consists of."""

    root: x509.Certificate
    issuing: x509.Certificate
    issuing_signer: MemorySigner
    authority: CardAuthority
    responder: Responder
    responder_certificate: x509.Certificate

    @property
    def chain_pem(self) -> bytes:
        return self.issuing.public_bytes(Encoding.PEM) + self.root.public_bytes(Encoding.PEM)


def new_authority(*, allows_emulated: bool = True, now_s: int = NOW_S) -> Keys:
    root_signer, issuing_signer, responder_signer = new_signer(), new_signer(), new_signer()
    today = seconds(now_s)
    root = make_root(root_signer, "Chancheng District", today)
    issuing = make_issuing(root, root_signer, issuing_signer.public_key, today, PLACES)
    responder = make_responder(issuing, issuing_signer, responder_signer.public_key, today)
    return Keys(
        root,
        issuing,
        issuing_signer,
        CardAuthority(issuing, issuing_signer, PLACES, allows_emulated=allows_emulated),
        Responder(issuing, responder, responder_signer),
        responder,
    )

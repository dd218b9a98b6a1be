# SPDX-License-Identifier: Apache-2.0
"""What membership verifies itself: validators' keys and evidence. Networks use BLS, simulations a cheap stand-in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from chain import bls
from chain.certificate import BlsScheme, SignatureScheme
from chain.types import Network

VerifyPossession: TypeAlias = Callable[[bytes, Network, str, bytes], None]
"""Checks (public key, network, organisation, proof) or raises `InvalidSignature`."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The signature scheme of a network's validators.

    Attributes:
        scheme: Of votes and checkpoints.
        possession: Of new keys' proofs.
    """

    scheme: SignatureScheme
    possession: VerifyPossession


BLS = Verification(BlsScheme(), bls.verify_possession)
"""Of every real network."""

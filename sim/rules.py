# SPDX-License-Identifier: Apache-2.0
"""The simulated network's own module: it writes keys, and names the next validators outright.

Real membership needs real BLS keys and three approvals for each change; what the simulator asks of a module is that
its writes and its validator set come from execution alone.
"""

from collections.abc import Mapping

from google.protobuf.message import Message

from chain.checkpoint import Validator, ValidatorSet
from chain.errors import InvalidMessage, Refused
from chain.genesis import Genesis
from chain.module import Context
from chain.overlay import ReadState
from chain.pb import ledger_pb2 as pb
from chain.signing import Scheme, Signer
from chain.types import FIRST_EPOCH, sha256

SET_KEY = b"sim/validators/current"
PUT = "sim.Put"
SET_VALIDATORS = "sim.SetValidators"
CLIENT = Signer(Scheme.ED25519, sha256(b"simulated client"))


class SimSigner:
    """Signs for the simulated client; `is_signed` checks it. Real signatures have tests of their own."""

    @property
    def signer(self) -> Signer:
        """The simulated client."""
        return CLIENT

    def sign(self, message: bytes) -> bytes:
        """64 bytes that depend on the message."""
        return sha256(b"signed" + message) * 2


class SimModule:
    """Module and authority in one."""

    name = "sim"
    grants: tuple[str, ...] = ()
    operations: Mapping[str, type[Message]] = {PUT: pb.StateProof, SET_VALIDATORS: pb.ValidatorSet}

    def genesis(self, genesis: Genesis, context: Context) -> None:
        """Write the first validators."""
        context.write(SET_KEY, genesis.validators.encode())

    def execute(self, context: Context, message: Message) -> None:
        """Put a key, or set the validators of the epoch after the one that the operation names."""
        if isinstance(message, pb.StateProof):
            if message.value == b"refuse":
                raise Refused("asked to refuse", "sim.refused")
            context.write(b"sim/key/" + message.key, message.value)
            return
        assert isinstance(message, pb.ValidatorSet)
        if message.epoch != context.block.validators.epoch:
            raise Refused("the set change is of another epoch", "sim.other-epoch")
        if context.read(SET_KEY) != self._at_start(context):
            raise Refused("the set has changed in this block", "sim.set-changed")
        try:
            ValidatorSet.decode(message.SerializeToString(deterministic=True))
        except InvalidMessage as error:
            raise Refused(error.reason, "sim.invalid-set") from None
        message.epoch += 1
        context.write(SET_KEY, message.SerializeToString(deterministic=True))

    @staticmethod
    def _at_start(context: Context) -> bytes:
        return context.block.validators.encode()

    def is_known(self, read: ReadState, signer: Signer, time_ms: int) -> bool:
        """Only the simulated client is."""
        del read, time_ms
        return signer == CLIENT

    def validator_set(self, read: ReadState) -> tuple[Validator, ...]:
        """Who serves the epoch that state names."""
        raw = read(SET_KEY)
        assert raw is not None
        validators = ValidatorSet.decode(raw)
        assert validators.epoch >= FIRST_EPOCH
        return validators.validators

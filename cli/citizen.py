# SPDX-License-Identifier: Apache-2.0
"""Puts a citizen's service together from a process's settings: the wallet, and whose anchor stands behind its program.

It keeps nothing of anybody.  With `signing.submit_key` it anchors the digest of the wallet's program when it starts;
without, it shows a founding organisation's anchor of the same program where there is one.
"""

from collections.abc import Sequence

from cli.staffing import signer_of
from identity.api.issuer.own_accesses import LedgerReceipts
from identity.api.wallet.part import SITE, wallet_part
from identity.api.wallet.program import KIND, STREAM, Program
from service.anchors import organisation_of, put_anchor, read_anchor
from service.app import Part
from service.nodes import read_network
from service.serve import Ground
from service.settings import Address
from service.shell import shell_part
from service.sign_in.door import Door


def citizen_parts(ground: Ground, address: Address) -> Sequence[Part]:
    """The citizen's parts.

    Raises:
        ConfigError: No network is named, or its genesis file can't be read.
        KeyFileError: The service's key can't be read or opened.
        PagesNotBuilt: There is no build.
    """
    settings = ground.settings
    network = read_network(settings.ledger)
    door = Door(network.genesis, network.endpoints)
    own = signer_of(settings.signing, "signing.submit_key", settings.signing.submit_key)

    async def anchor(program: Program) -> str:
        assert own is not None, "asked for with a key alone"
        organisation = await organisation_of(door.session, own.signer)
        newest = await read_anchor(door.session, organisation, KIND, STREAM)
        if newest is None or newest.digest != program.digest:
            await put_anchor(door.session, own, KIND, STREAM, program.digest, program.size)
        return organisation

    part = wallet_part(
        network.raw,
        network.genesis.network,
        address.public_origin,
        organisations=[founder.organisation for founder in network.genesis.founders],
        card_agent=settings.staff.card_agent,
        prove=LedgerReceipts(lambda: door.session).prove,
        anchor=None if own is None else anchor,
        start=door.start,
        stop=door.stop,
    )
    return [shell_part(SITE), part]

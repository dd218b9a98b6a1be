# SPDX-License-Identifier: Apache-2.0
"""Puts a citizen's service together from a process's settings: the wallet, which needs the network's genesis alone."""

from collections.abc import Sequence

from identity.api.wallet.part import SITE, wallet_part
from service.app import Part
from service.nodes import read_network
from service.serve import Ground
from service.settings import Address
from service.shell import shell_part


def citizen_parts(ground: Ground, address: Address) -> Sequence[Part]:
    """The citizen's parts.

    Raises:
        ConfigError: No network is named, or its genesis file can't be read.
        PagesNotBuilt: There is no build.
    """
    network = read_network(ground.settings.ledger)
    return [shell_part(SITE), wallet_part(network.raw, network.genesis.network, address.public_origin)]

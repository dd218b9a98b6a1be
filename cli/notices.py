# SPDX-License-Identifier: Apache-2.0
"""The gateway of notices from a process's settings, for each service that tells people something."""

from collections.abc import Sequence

from service.app import Part
from service.notices import notices_part
from service.notices.setup import providers_of
from service.serve import Ground


def notice_parts(ground: Ground) -> Sequence[Part]:
    """Delivers what waits in the store's outbox; nothing where no provider is set up.

    Raises:
        ConfigError: A setting that nobody can send by.
    """
    assert ground.store is not None, "who tells people something keeps them in a store"
    settings = ground.settings.notices
    providers = providers_of(settings)
    return [notices_part(ground.store, providers, settings)] if providers else []

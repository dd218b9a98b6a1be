# SPDX-License-Identifier: Apache-2.0
"""The private store of the services: personal data that can be found, kept, backed up, and really erased.

What parts need stands here; docs/services.md explains it and docs/adr/0012 says why it is built so.
"""

from service.store.audit import Act, Publisher
from service.store.models import Base, PersonalRow, new_id, sealed
from service.store.normal import Normal
from service.store.opening import open_store
from service.store.people import People
from service.store.store import Store

__all__ = ["Act", "Base", "Normal", "People", "PersonalRow", "Publisher", "Store", "new_id", "open_store", "sealed"]

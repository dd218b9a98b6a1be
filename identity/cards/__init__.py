# SPDX-License-Identifier: Apache-2.0
"""Smart cards of the PIV standard: speaking to them, emulating one, certifying their keys, personalising them.

Nothing here knows a person: a card is a GUID, four keys and their certificates. Who holds it is the desk's record.
"""

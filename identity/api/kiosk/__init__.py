# SPDX-License-Identifier: Apache-2.0
"""A kiosk: card, screen and printer for citizens, with a device key; and the registrar's office behind it."""

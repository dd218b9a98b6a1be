# SPDX-License-Identifier: Apache-2.0
"""The card's agent: on an officer's own machine it has the staff card sign for pages of the services that it was told.

docs/staff-cards.md explains it, and why it is built so.
"""

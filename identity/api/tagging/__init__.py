# SPDX-License-Identifier: Apache-2.0
"""The uniqueness service: makes keyed tags of people's numbers for registrars, and registers them on the ledger."""

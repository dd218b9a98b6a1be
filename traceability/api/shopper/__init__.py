# SPDX-License-Identifier: Apache-2.0
"""The shopper's page: what an item is and where it came from, with the proof that a phone checks alone."""

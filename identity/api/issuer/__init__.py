# SPDX-License-Identifier: Apache-2.0
"""The credential issuer: offers from the desk, credentials for wallets, lists that say what still counts."""

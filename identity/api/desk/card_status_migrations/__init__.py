# SPDX-License-Identifier: Apache-2.0
"""Migrations of the desk's table of cards' certificates."""

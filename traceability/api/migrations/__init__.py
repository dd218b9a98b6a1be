# SPDX-License-Identifier: Apache-2.0
"""Migrations of the tables of captured food events."""

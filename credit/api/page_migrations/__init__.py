# SPDX-License-Identifier: Apache-2.0
"""Migrations of the monitor's and the statutory lists' tables."""

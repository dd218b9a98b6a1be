# SPDX-License-Identifier: Apache-2.0
"""The commands by noun; each module is imported only when its noun is used."""

# SPDX-License-Identifier: Apache-2.0
"""Pages of traders: what they do with goods, recorded with few taps and signed with their own passkey."""

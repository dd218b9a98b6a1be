# SPDX-License-Identifier: Apache-2.0
"""The explorer as the command runs it: with the words of the domains that `service` does not know."""

# SPDX-License-Identifier: Apache-2.0
"""The private store's migrations, one module each."""

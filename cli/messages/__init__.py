# SPDX-License-Identifier: Apache-2.0
"""The message catalogues; read by `cli.language`."""

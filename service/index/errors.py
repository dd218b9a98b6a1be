# SPDX-License-Identifier: Apache-2.0
"""Why an index can't be written."""


class IndexForeignError(Exception):
    """The database holds the index of another network: use a database of its own for each."""


class IndexBusyError(Exception):
    """Another process has moved this index meanwhile: one process writes an index, any number may read it."""

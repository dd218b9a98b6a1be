# SPDX-License-Identifier: Apache-2.0
"""The private store's own migrations, in Alembic's form."""

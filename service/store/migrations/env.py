# SPDX-License-Identifier: Apache-2.0
"""Runs migrations on the connection that `service.store.migrate` hands over."""

from alembic import context

from service.store.models import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, transactional_ddl=True
)
context.run_migrations()

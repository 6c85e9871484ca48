"""Read by alembic: the steps run on the connection that `gateway.users.database` has opened, in its transaction."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="gateway_users_version",
    transaction_per_migration=False,
)
context.run_migrations()

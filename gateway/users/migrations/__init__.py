"""How the gateway's own table of users came to be, step by step; run by `gateway.users.database` with alembic."""

"""The table of users."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "gateway_users",
        sa.Column("sub", sa.String(255), primary_key=True),
        sa.Column("name", sa.String(1024), nullable=False, unique=True),
        sa.Column("username", sa.String(255), nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False, server_default="[]"),
        sa.Column("permissions", sa.Text, nullable=False, server_default="[]"),
        sa.Column("scopes", sa.Text, nullable=False, server_default="[]"),
        sa.Column("tenant", sa.String(255)),
        sa.Column("claims", sa.Text, nullable=False, server_default="{}"),
        sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("second_factor", sa.Text),
    )

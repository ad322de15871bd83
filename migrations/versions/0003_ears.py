"""Ears: how sure an instrument is, and what is true of the whole song (tempo, time signature, key)"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("instrument_notes", sa.Column("confidence", sa.Double(), nullable=True))
    op.add_column("tasks", sa.Column("music", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("tasks", "music")
    op.drop_column("instrument_notes", "confidence")

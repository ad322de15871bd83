"""The whole wire: limits, credits, idempotency, cancelling, other dialects' callbacks, notes as stored JSON"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # Plain ADD COLUMN throughout: SQLite would otherwise copy the table, and dropping the old one deletes its children.
    op.add_column("api_keys", sa.Column("previous_digest", sa.String(), nullable=True))
    op.add_column("api_keys", sa.Column("previous_until_ms", sa.BigInteger(), nullable=True))
    op.add_column("api_keys", sa.Column("rate_limit", sa.BigInteger(), nullable=True))
    op.add_column("api_keys", sa.Column("in_flight_limit", sa.BigInteger(), nullable=True))
    op.add_column("api_keys", sa.Column("credit_limit", sa.BigInteger(), nullable=True))
    op.add_column("api_keys", sa.Column("credits_spent", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("api_keys", sa.Column("bucket_full_us", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index(op.f("ix_api_keys_previous_digest"), "api_keys", ["previous_digest"], unique=True)
    op.add_column("tasks", sa.Column("dialect", sa.String(), nullable=False, server_default="kie"))
    op.add_column("tasks", sa.Column("audio_s", sa.Double(), nullable=True))
    op.add_column("tasks", sa.Column("credits", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("tasks", sa.Column("error_name", sa.String(), nullable=True))
    op.add_column("tasks", sa.Column("started_ms", sa.BigInteger(), nullable=True))
    _name_errors()
    op.create_index("ix_tasks_list", "tasks", ["key_id", "created_ms", "id"])
    op.add_column("outbox", sa.Column("retries_from", sa.BigInteger(), nullable=False, server_default="0"))
    _notes_to_bytes()
    op.create_table(
        "credit_entries",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_credit_entries_key_id_api_keys")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_entries")),
    )
    op.create_index(op.f("ix_credit_entries_key_id"), "credit_entries", ["key_id"])
    op.create_index(op.f("ix_credit_entries_task_id"), "credit_entries", ["task_id"])
    op.create_table(
        "idempotency",
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=True),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.String(), nullable=False),
        sa.Column("locked_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("status_code", sa.BigInteger(), nullable=True),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_idempotency_key_id_api_keys")),
        sa.PrimaryKeyConstraint("key_id", "key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_expires_ms"), "idempotency", ["expires_ms"])
    op.create_table(
        "speeds",
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("seconds_per_audio_s", sa.Double(), nullable=False),
        sa.Column("measured_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stage", name=op.f("pk_speeds")),
    )


def _name_errors() -> None:
    """Give what failed before errors had names the one that its code tells, so that it still shows why it failed."""
    names = {404: "not_found", 413: "audio_limit_exceeded", 422: "audio_error", 451: "source_not_fetched"}
    tasks = sa.table("tasks", sa.column("status"), sa.column("error_code"), sa.column("error_name"))
    named = sa.case(names, value=tasks.c.error_code, else_="internal_error")
    op.execute(tasks.update().where(tasks.c.status == "failed").values(error_name=named))


def _notes_to_bytes() -> None:
    """The note lists, from a JSON column to the bytes of the same text."""
    with op.batch_alter_table("instrument_notes") as table:
        table.add_column(sa.Column("notes_bytes", sa.LargeBinary(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        op.execute("UPDATE instrument_notes SET notes_bytes = convert_to(notes::text, 'UTF8')")
    else:
        op.execute("UPDATE instrument_notes SET notes_bytes = CAST(notes AS BLOB)")
    with op.batch_alter_table("instrument_notes") as table:
        table.drop_column("notes")
        table.alter_column("notes_bytes", new_column_name="notes", nullable=False, existing_type=sa.LargeBinary())


def downgrade() -> None:
    op.drop_table("speeds")
    op.drop_table("idempotency")
    op.drop_table("credit_entries")
    with op.batch_alter_table("instrument_notes") as table:
        table.add_column(sa.Column("notes_json", sa.JSON(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        op.execute("UPDATE instrument_notes SET notes_json = convert_from(notes, 'UTF8')::json")
    else:
        op.execute("UPDATE instrument_notes SET notes_json = CAST(notes AS TEXT)")
    with op.batch_alter_table("instrument_notes") as table:
        table.drop_column("notes")
        table.alter_column("notes_json", new_column_name="notes", nullable=False, existing_type=sa.JSON())
    op.drop_column("outbox", "retries_from")
    op.drop_index("ix_tasks_list", "tasks")
    for name in ("started_ms", "error_name", "credits", "audio_s", "dialect"):
        op.drop_column("tasks", name)
    op.drop_index(op.f("ix_api_keys_previous_digest"), "api_keys")
    for name in (
        "bucket_full_us", "credits_spent", "credit_limit", "in_flight_limit", "rate_limit",
        "previous_until_ms", "previous_digest",
    ):  # fmt: skip
        op.drop_column("api_keys", name)

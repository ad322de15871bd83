"""A fleet: queues with turns, durable stages, files by their content, and the promises to store them"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    # Defaults in the database, so that processes of the version before can go on making tasks while it is replaced.
    # A worker that finds one on the wrong queue passes it on.
    op.add_column("tasks", sa.Column("queue", sa.String(), nullable=False, server_default="separation"))
    op.add_column("tasks", sa.Column("turn", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("tasks", sa.Column("priority", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("tasks", sa.Column("request_id", sa.String(), nullable=True))
    _give_turns()
    op.drop_index("ix_tasks_claim", "tasks")
    waits = sa.text("status = 'queued'")
    for name, columns in (
        ("ix_tasks_claim", ["queue", "turn", "created_ms", "id"]),
        ("ix_tasks_waiting", ["queue", "key_id", "priority", "turn"]),
    ):
        op.create_index(name, "tasks", columns, postgresql_where=waits, sqlite_where=waits)
    op.create_index("ix_tasks_turn", "tasks", ["queue", "key_id", "turn"])
    taken = sa.text("status <> 'queued'")
    op.create_index("ix_tasks_taken", "tasks", ["queue", "turn"], postgresql_where=taken, sqlite_where=taken)
    op.create_index("ix_tasks_lease", "tasks", ["status", "lease_until_ms"])
    op.create_index(op.f("ix_files_storage_key"), "files", ["storage_key"])
    op.create_table(
        "pending_files",
        sa.Column("storage_key", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("storage_key", "task_id", "fence", name=op.f("pk_pending_files")),
    )
    op.create_index(op.f("ix_pending_files_created_ms"), "pending_files", ["created_ms"])
    op.create_index("ix_pending_files_task", "pending_files", ["task_id", "fence"])
    op.create_table(
        "stages",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("completed_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_stages_task_id_tasks"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stages")),
        sa.UniqueConstraint("task_id", "name", name=op.f("uq_stages_task_id_name")),
    )
    op.create_index("ix_stages_digest", "stages", ["digest", "completed_ms"])
    op.create_index("ix_stages_turn", "stages", ["queue", "turn"])
    op.create_table(
        "stage_files",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("stage_id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("stem", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("mime_type", sa.String(), nullable=False),
        sa.Column("storage_key", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["stage_id"], ["stages.id"], name=op.f("fk_stage_files_stage_id_stages"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stage_files")),
    )
    op.create_index(op.f("ix_stage_files_stage_id"), "stage_files", ["stage_id"])
    op.create_index(op.f("ix_stage_files_storage_key"), "stage_files", ["storage_key"])


def _give_turns() -> None:
    """Tasks that wait get the queue of their kind, and turns by key and age."""
    op.execute("UPDATE tasks SET queue = 'midi' WHERE kind = 'midi'")
    op.execute("UPDATE tasks SET queue = 'io' WHERE kind IN ('wav', 'upload')")
    op.execute(
        """
        UPDATE tasks SET turn = (
            SELECT count(*) FROM tasks AS earlier
            WHERE earlier.queue = tasks.queue AND earlier.key_id = tasks.key_id AND earlier.status = 'queued'
            AND (earlier.created_ms < tasks.created_ms
                OR (earlier.created_ms = tasks.created_ms AND earlier.id < tasks.id))
        ) WHERE status = 'queued'
        """
    )


def downgrade() -> None:
    op.drop_table("stage_files")
    op.drop_table("stages")
    op.drop_table("pending_files")
    op.drop_index(op.f("ix_files_storage_key"), "files")
    for index in ("ix_tasks_claim", "ix_tasks_waiting", "ix_tasks_turn", "ix_tasks_taken", "ix_tasks_lease"):
        op.drop_index(index, "tasks")
    op.create_index("ix_tasks_claim", "tasks", ["status", "due_ms", "created_ms"])
    for column in ("request_id", "priority", "turn", "queue"):
        op.drop_column("tasks", column)

"""The tables of a store; docs/store.md says what is in them."""

import sqlalchemy as sa

SCHEMA_VERSION = 2

# What each version added to a store of the version before; texts, empty in the rows that are there.
ADDED = {2: {"runs": ("sweep", "configuration")}}

tables = sa.MetaData()

meta = sa.Table(
    "meta",
    tables,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

runs = sa.Table(
    "runs",
    tables,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("env", sa.Text, nullable=False),
    sa.Column("env_version", sa.Integer),
    sa.Column("env_arguments", sa.Text, nullable=False),
    sa.Column("space", sa.Text, nullable=False),
    sa.Column("objectives", sa.Text, nullable=False),
    sa.Column("constraints", sa.Text, nullable=False),
    sa.Column("backend", sa.Text, nullable=False),
    sa.Column("hyperparameters", sa.Text, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("budget", sa.BigInteger),
    sa.Column("batch", sa.BigInteger),
    sa.Column("seconds", sa.Double),
    sa.Column("workers", sa.Integer, nullable=False),
    sa.Column("executor", sa.Text, nullable=False),
    sa.Column("limits", sa.Text, nullable=False),
    sa.Column("versions", sa.Text, nullable=False),
    sa.Column("git", sa.Text, nullable=False),
    sa.Column("command", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("started", sa.Text, nullable=False),
    sa.Column("ended", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False, default=""),
    sa.Column("search_seconds", sa.Double, nullable=False, default=0.0),
    sa.Column("sweep", sa.Text, nullable=False, server_default=""),
    sa.Column("configuration", sa.Text, nullable=False, server_default=""),
)

# The evaluations are kept in the tree of their primary key: no second index that repeats run id and order.
asks = sa.Table(
    "asks",
    tables,
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("told_before", sa.BigInteger, nullable=False),
    sa.Column("wanted", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

evaluations = sa.Table(
    "evaluations",
    tables,
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("order", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("design", sa.Text, nullable=False),
    sa.Column("objectives", sa.Text, nullable=False),
    sa.Column("constraints", sa.Text, nullable=False),
    sa.Column("metrics", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Double),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("finished", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

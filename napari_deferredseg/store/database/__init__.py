"""What is particular to the database: SQLite, its locks, its failures, its migrations."""

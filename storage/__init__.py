"""Everything that speaks to PostgreSQL or Redis; SQL lies in storage/sql/."""

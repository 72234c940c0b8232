"""A role's metadata in memory, kept true by a watch."""

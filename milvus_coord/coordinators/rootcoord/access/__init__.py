"""Users, roles and grants."""

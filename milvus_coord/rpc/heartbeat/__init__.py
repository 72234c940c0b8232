"""Beats from the active to its standbys."""

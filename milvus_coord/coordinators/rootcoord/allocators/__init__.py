"""Timestamps and ids."""

"""Timestamps and ids on persisted windows."""

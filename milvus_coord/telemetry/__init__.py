"""Logs, metrics and the management port."""

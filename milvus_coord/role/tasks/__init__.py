"""Loops, jobs, task tables and executors as data."""

"""Loops, jobs, backlogs, task tables and executors as data."""

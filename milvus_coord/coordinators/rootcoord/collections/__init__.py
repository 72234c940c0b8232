"""Databases, collections, partitions and aliases."""

"""Fenced metadata in etcd, for any role."""

"""The in-memory twin of etcd."""

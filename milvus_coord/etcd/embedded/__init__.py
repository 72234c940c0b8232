"""An etcd of our own, for one machine."""

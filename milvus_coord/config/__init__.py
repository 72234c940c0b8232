"""Settings: YAML, environment and etcd overlay, checked as a whole."""

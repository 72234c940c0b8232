"""The proxies and their caches."""

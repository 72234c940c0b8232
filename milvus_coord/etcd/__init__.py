"""etcd v3: client, transactions, watch with resume, leases."""

"""The other processes of the cluster: sessions, pools of clients, active coordinators."""

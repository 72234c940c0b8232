"""Clients of the other processes of a Milvus cluster."""

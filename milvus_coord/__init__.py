"""The coordinators of Milvus 2.2 as asyncio daemons in active-standby pairs on etcd."""

__version__ = "0.1.0"

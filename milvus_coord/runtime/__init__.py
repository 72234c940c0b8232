"""The daemon underneath: clock, retry, loops, signals, supervision. No Milvus word in it."""

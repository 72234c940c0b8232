"""The `milvus` command: parses, prints, calls."""

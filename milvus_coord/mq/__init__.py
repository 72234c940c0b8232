"""The message queue: Kafka, Pulsar or memory, and what RootCoord puts into it."""

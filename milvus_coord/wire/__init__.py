"""The protobuf edge: statuses, codec, descriptors."""

"""gRPC servers and clients on grpclib."""

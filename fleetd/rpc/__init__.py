"""The gRPC port: server, streams, status details. The only room that knows grpc."""

"""The Cluster Manager as a gRPC server on this machine, in front of a `gke.project.Project`.

The unmodified google-cloud-container client connects to it: requests and replies are the package's own
messages, errors carry Google's ErrorInfo. Without TLS and without credentials.
"""

import contextlib
from concurrent import futures

import grpc
from google.cloud import container_v1
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from gke.project import RefusedError

SERVICE = "google.container.v1.ClusterManager"
METHODS = {
    "GetNodePool": container_v1.NodePool,
    "ListNodePools": container_v1.ListNodePoolsResponse,
    "CreateNodePool": container_v1.Operation,
    "SetNodePoolAutoscaling": container_v1.Operation,
    "UpdateNodePool": container_v1.Operation,
    "DeleteNodePool": container_v1.Operation,
    "GetOperation": container_v1.Operation,
    "ListOperations": container_v1.ListOperationsResponse,
}


@contextlib.contextmanager
def serving(project):
    """Its address, for as long as the `with` lasts."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    handlers = {method: _handler(project, method, reply) for method, reply in METHODS.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()


def _handler(project, method, reply):
    def answer(request, context):
        try:
            return project.answer(method, request)
        except RefusedError as refusal:
            context.abort_with_status(rpc_status.to_status(_status(refusal)))

    request = getattr(container_v1, f"{method}Request")
    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=request.deserialize, response_serializer=reply.serialize
    )


def _status(refusal):
    status = status_pb2.Status(code=code_pb2.Code.Value(refusal.code), message=refusal.message)
    if refusal.reason is not None:
        detail = any_pb2.Any()
        detail.Pack(error_details_pb2.ErrorInfo(reason=refusal.reason, domain="container.googleapis.com"))
        status.details.append(detail)
    return status

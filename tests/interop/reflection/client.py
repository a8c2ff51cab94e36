"""Asks a key distribution centre what it offers, with nothing but grpcio and its reflection.

The stubs are not generated: every message is built from the descriptors that the server itself sends, as a
tool that has never seen the schema would do. Writes one JSON object with what it found.

usage: client.py ADDRESS SERVER_NAME CA CERTIFICATE KEY
"""

import json
import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PATIENCE = 20


def read(path):
    with open(path, "rb") as file:
        return file.read()


def call(channel, pool, service, method, fields):
    """The replies to one call of a method that the server described, or its status."""
    described = pool.FindServiceByName(service).FindMethodByName(method)
    request = GetMessageClass(described.input_type)(**fields)
    reply = GetMessageClass(described.output_type)
    make = channel.unary_stream if described.server_streaming else channel.unary_unary
    stub = make(
        f"/{service}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=reply.FromString,
    )
    try:
        answer = stub(request, timeout=PATIENCE)
        answers = list(answer) if described.server_streaming else [answer]
        return {"replies": [MessageToDict(one, preserving_proto_field_name=True) for one in answers]}
    except grpc.RpcError as error:
        return {"code": error.code().name, "message": error.details()}


def main():
    address, server_name, ca, certificate, key = sys.argv[1:]
    credentials = grpc.ssl_channel_credentials(read(ca), read(key), read(certificate))
    options = [("grpc.ssl_target_name_override", server_name)]
    with grpc.secure_channel(address, credentials, options=options) as channel:
        grpc.channel_ready_future(channel).result(timeout=PATIENCE)
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        services = sorted(database.get_services())
        methods = {}
        for service in services:
            if service.startswith("sojourn."):
                methods[service] = [method.name for method in pool.FindServiceByName(service).methods]
        admin = "sojourn.kdc.v1.KdcAdmin"
        found = {
            "services": services,
            "methods": methods,
            "home_agents": call(channel, pool, admin, "ListHomeAgents", {}),
            "registered": call(
                channel, pool, admin, "RegisterHomeAgent", {"name": "ha-two@home.example"}
            ),
            "health": call(channel, pool, "grpc.health.v1.Health", "Check", {"service": admin}),
        }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()

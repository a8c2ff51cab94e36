//! The gRPC schema and its generated code, for operators and for the road between home agent and key
//! distribution centre. Cores never use it: messages are converted at the edge.

/// What every agent answers on its Unix socket: `sojourn.agent.v1`.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::use_self)]
pub mod agent {
    tonic::include_proto!("sojourn.agent.v1");
}

/// The key distribution centre: `sojourn.kdc.v1`.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::use_self)]
pub mod kdc {
    tonic::include_proto!("sojourn.kdc.v1");
}

mod redacted;

/// Every schema as an encoded `google.protobuf.FileDescriptorSet`, for the reflection service.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

//! Real binaries in network namespaces.

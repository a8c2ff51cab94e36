//! Bytes and values: IPv4, UDP, ICMP and Mobile IPv4 messages.

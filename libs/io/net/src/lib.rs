//! Sockets, TUN devices, netlink, clock and the loop.

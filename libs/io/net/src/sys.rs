//! The system calls that no crate of ours wraps, each behind a safe function.

use std::{
    ffi::c_int,
    io, mem,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
    time::Duration,
};

use sansio::LinkAddress;
use tokio::io::{Interest, unix::AsyncFd};

/// Takes the result of a C function that returns -1 on failure.
fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Sets an integer socket option.
pub(crate) fn set_option(socket: impl AsFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    set_struct_option(socket, level, name, &value)
}

/// Sets a socket option that takes a C structure.
pub(crate) fn set_struct_option<T>(
    socket: impl AsFd,
    level: c_int,
    name: c_int,
    value: &T,
) -> io::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the pointer and the length describe `value`, which outlives the call; the kernel only reads it.
    let result = unsafe { libc::setsockopt(fd, level, name, ptr::from_ref(value).cast(), length_of::<T>()) };
    check(result).map(drop)
}

const fn length_of<T>() -> libc::socklen_t {
    // Socket addresses and options are far below 4 GiB.
    size_of::<T>() as libc::socklen_t
}

/// The time of one of the kernel's clocks.
pub(crate) fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result. The call fails only for clocks that do not exist; ours do.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

/// A timer on the clock that goes on while the host sleeps.
pub(crate) fn boot_timer() -> io::Result<OwnedFd> {
    // SAFETY: no pointers are involved.
    let fd =
        check(unsafe { libc::timerfd_create(libc::CLOCK_BOOTTIME, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) })?;
    // SAFETY: the descriptor is new and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets the timer to an instant of its clock; an instant in the past fires at once.
pub(crate) fn arm_timer(timer: BorrowedFd<'_>, at: Duration) -> io::Result<()> {
    // A value of zero would disarm it.
    let at = at.max(Duration::from_nanos(1));
    let value = libc::timespec {
        tv_sec: libc::time_t::try_from(at.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: at.subsec_nanos().into(),
    };
    let setting = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
    // SAFETY: `setting` outlives the call and the kernel only reads it; the old setting is not asked for.
    let result = unsafe {
        libc::timerfd_settime(timer.as_raw_fd(), libc::TFD_TIMER_ABSTIME, &raw const setting, ptr::null_mut())
    };
    check(result).map(drop)
}

/// An interface request with the name filled in.
fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is plain data for which all zeros is valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // One octet stays free for the terminating zero.
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an interface name has 1 to 15 octets"));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// Makes the open file of `/dev/net/tun` the device `name`, with or without making it new; `headers` says whether
/// packets have a virtio-net header.
pub(crate) fn attach_tun(file: BorrowedFd<'_>, name: &str, headers: bool) -> io::Result<()> {
    let mut request = interface_request(name)?;
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | if headers { libc::IFF_VNET_HDR } else { 0 };
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: TUNSETIFF takes a pointer to an `ifreq`, which outlives the call.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) }).map(drop)
}

/// Sets the length of virtio-net headers, in octets.
pub(crate) fn set_tun_header(file: BorrowedFd<'_>, length: c_int) -> io::Result<()> {
    // SAFETY: TUNSETVNETHDRSZ takes a pointer to an integer, which outlives the call; the kernel only reads it.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const length) }).map(drop)
}

/// Says what the host may leave to us: checksums and segments, as `TUN_F_` has them.
pub(crate) fn set_tun_offload(file: BorrowedFd<'_>, features: libc::c_uint) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes an integer by value.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(features)) })
        .map(drop)
}

/// Says whether the device outlives the process.
pub(crate) fn persist_tun(file: BorrowedFd<'_>, persistent: bool) -> io::Result<()> {
    // SAFETY: TUNSETPERSIST takes an integer by value.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETPERSIST, c_int::from(persistent)) }).map(drop)
}

/// Sets MTU and transmit queue length of an interface and brings it up.
pub(crate) fn configure_interface(name: &str, mtu: u16, queue: u16) -> io::Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    let fd = socket.as_raw_fd();
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_mtu = mtu.into();
    // SAFETY: all these requests take a pointer to an `ifreq`, which outlives the calls.
    check(unsafe { libc::ioctl(fd, libc::SIOCSIFMTU, &raw mut request) })?;
    // The queue length shares the place of the metric, an integer as well.
    request.ifr_ifru.ifru_metric = queue.into();
    // SAFETY: as above.
    match check(unsafe { libc::ioctl(fd, libc::SIOCSIFTXQLEN, &raw mut request) }) {
        // Root of a user namespace may not use this call; the default queue works, with less room for bursts.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        result => drop(result?),
    }
    // SAFETY: as above.
    check(unsafe { libc::ioctl(fd, libc::SIOCGIFFLAGS, &raw mut request) })?;
    // SAFETY: SIOCGIFFLAGS has just written this member.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as libc::c_short;
    // SAFETY: as above.
    check(unsafe { libc::ioctl(fd, libc::SIOCSIFFLAGS, &raw mut request) }).map(drop)
}

/// The address of packet sockets: an interface, a protocol (host order), a link address.
fn link_level(index: u32, protocol: u16, address: LinkAddress) -> libc::sockaddr_ll {
    // SAFETY: `sockaddr_ll` is plain data for which all zeros is valid.
    let mut out: libc::sockaddr_ll = unsafe { mem::zeroed() };
    out.sll_family = libc::AF_PACKET as u16;
    out.sll_protocol = protocol.to_be();
    out.sll_ifindex = index.cast_signed();
    out.sll_halen = 6;
    out.sll_addr[..6].copy_from_slice(&address);
    out
}

/// Binds a packet socket to one interface and protocol.
pub(crate) fn bind_link(socket: impl AsFd, index: u32, protocol: u16) -> io::Result<()> {
    let address = link_level(index, protocol, [0; 6]);
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: pointer and length describe `address`, which outlives the call.
    let result = unsafe { libc::bind(fd, (&raw const address).cast(), length_of::<libc::sockaddr_ll>()) };
    check(result).map(drop)
}

/// Makes the interface receive frames to a multicast link address while the socket is open.
pub(crate) fn join_link(socket: impl AsFd, index: u32, group: LinkAddress) -> io::Result<()> {
    let mut request = libc::packet_mreq {
        mr_ifindex: index.cast_signed(),
        mr_type: libc::PACKET_MR_MULTICAST as u16,
        mr_alen: 6,
        mr_address: [0; 8],
    };
    request.mr_address[..6].copy_from_slice(&group);
    set_struct_option(socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
}

/// Makes the interface receive frames to all multicast link addresses while the socket is open.
pub(crate) fn join_all_groups(socket: impl AsFd, index: u32) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: index.cast_signed(),
        mr_type: libc::PACKET_MR_ALLMULTI as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_struct_option(socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
}

/// Sends the payload of one frame.
pub(crate) fn send_link(
    socket: impl AsFd,
    index: u32,
    protocol: u16,
    to: LinkAddress,
    payload: &[u8],
) -> io::Result<()> {
    let address = link_level(index, protocol, to);
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: both pointers and lengths describe values that outlive the call; the kernel only reads them.
    let sent = unsafe {
        libc::sendto(
            fd,
            payload.as_ptr().cast(),
            payload.len(),
            libc::MSG_NOSIGNAL,
            (&raw const address).cast(),
            length_of::<libc::sockaddr_ll>(),
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives the payload of one frame: its whole length, which may exceed `buffer`, and its sender; none if it
/// was for another link address.
pub(crate) fn receive_link(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<(usize, LinkAddress)>> {
    let mut address = link_level(0, 0, [0; 6]);
    let mut length = length_of::<libc::sockaddr_ll>();
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the pointers and lengths describe `buffer` and `address`, which the kernel may write within.
    let received = unsafe {
        libc::recvfrom(
            fd,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_TRUNC,
            (&raw mut address).cast(),
            &raw mut length,
        )
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let [a, b, c, d, e, f, ..] = address.sll_addr;
    let for_us = address.sll_pkttype != libc::PACKET_OTHERHOST;
    Ok(for_us.then_some((received, [a, b, c, d, e, f])))
}

/// What is known of a frame beside its payload.
pub(crate) struct FrameInfo {
    /// Octets of the payload, which may exceed the buffer.
    pub(crate) length: usize,
    /// Link address of the sender.
    pub(crate) from: LinkAddress,
    /// The checksum of the transport protocol was left to a network card that never had it.
    pub(crate) without_checksum: bool,
}

/// Receives the payload of one frame at a packet socket with `PACKET_AUXDATA`.
pub(crate) fn receive_frame(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<FrameInfo> {
    let mut address = link_level(0, 0, [0; 6]);
    let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // Words, so that the headers of control messages are aligned; 64 octets hold ours.
    let mut control = [0_u64; 8];
    // SAFETY: `msghdr` is plain data for which all zeros is valid.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_name = (&raw mut address).cast();
    message.msg_namelen = length_of::<libc::sockaddr_ll>();
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: all pointers and lengths describe values that outlive the call and that nobody else refers to.
    let received = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, libc::MSG_TRUNC) };
    let length = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let [a, b, c, d, e, f, ..] = address.sll_addr;
    let without_checksum = auxiliary(&message) & libc::TP_STATUS_CSUMNOTREADY != 0;
    Ok(FrameInfo { length, from: [a, b, c, d, e, f], without_checksum })
}

/// The header of a message of nothing to nobody.
pub(crate) const fn empty_message() -> libc::mmsghdr {
    // SAFETY: it is plain data for which all zeros is valid: null pointers with length zero.
    unsafe { mem::zeroed() }
}

/// The length of the datagrams that the kernel has put together in a message that was received; none if it tells none.
pub(crate) fn datagram_size(message: &libc::msghdr) -> Option<usize> {
    // SAFETY: the kernel has filled the control buffer of `message`, which the caller keeps, and set its length; the
    // returned pointer is null or points to a whole header inside it.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, hence as above.
        let found = unsafe { header.read_unaligned() };
        // SAFETY: CMSG_LEN only computes.
        let least = unsafe { libc::CMSG_LEN(size_of::<c_int>() as libc::c_uint) } as usize;
        if (found.cmsg_level, found.cmsg_type) == (libc::SOL_UDP, libc::UDP_GRO) && found.cmsg_len >= least {
            // SAFETY: the message is of this type and long enough, which was just checked.
            let size = unsafe { libc::CMSG_DATA(header).cast::<c_int>().read_unaligned() };
            return usize::try_from(size).ok();
        }
        // SAFETY: as for the first.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

/// The status that the kernel tells of a frame; 0 if it tells none.
fn auxiliary(message: &libc::msghdr) -> u32 {
    // SAFETY: the kernel has filled the control buffer of `message`, which the caller keeps, and set its length; the
    // returned pointer is null or points to a whole header inside it.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    if header.is_null() {
        return 0;
    }
    // SAFETY: not null, hence as above.
    let found = unsafe { header.read_unaligned() };
    // SAFETY: CMSG_LEN only computes.
    let least = unsafe { libc::CMSG_LEN(size_of::<libc::tpacket_auxdata>() as libc::c_uint) };
    let ours = (found.cmsg_level, found.cmsg_type) == (libc::SOL_PACKET, libc::PACKET_AUXDATA);
    if !ours || found.cmsg_len < least as usize {
        return 0;
    }
    // SAFETY: the message is of this type and long enough, which was just checked.
    unsafe { libc::CMSG_DATA(header).cast::<libc::tpacket_auxdata>().read_unaligned().tp_status }
}

/// An IPv4 socket address for the kernel.
pub(crate) fn to_kernel(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

/// An IPv4 socket address from the kernel.
pub(crate) fn from_kernel(address: &libc::sockaddr_in) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)), u16::from_be(address.sin_port))
}

/// Registers something readable with the runtime of the calling task.
pub(crate) fn events<T: AsFd + AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the types of this crate that come here own their descriptor, or share its ownership, and never
    // close or exchange it before they are dropped.
    let registered = unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE) };
    registered.map_err(io::Error::from)
}

//! Interfaces, addresses, routes, neighbours and rules of the host, by rtnetlink.
//!
//! All changes can be repeated: what is there already, or gone already, is no error. Routes that we make
//! carry a protocol number of ours (see [`Owner`]), by which they are found again after a crash.

mod address;
mod link;
mod neighbour;
mod route;
mod rule;
mod watch;

use std::io;

use futures_util::StreamExt as _;
use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
        NetlinkPayload,
    },
    packet_route::RouteNetlinkMessage,
};

pub use address::Address;
pub use link::Link;
pub use neighbour::Neighbour;
pub use route::{Owner, Route, RouteKind, TABLE_MAIN};
pub use rule::{Rule, Selector};
pub use watch::{Change, Watch};

use crate::error::{Attempt, Error};

/// A connection to the kernel's routing tables; clones share it.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: rtnetlink::Handle,
}

/// What to do when the thing to make is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existing {
    /// An error.
    Refuse,
    /// The new one takes its place.
    Replace,
    /// The new one goes before it (routes only).
    Precede,
}

impl Netlink {
    /// Connects, in the network namespace of the calling thread. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// Netlink sockets are not permitted.
    pub fn connect() -> Result<Self, Error> {
        let (connection, handle, _) = rtnetlink::new_connection().attempt(|| "open a netlink socket")?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Sends a request and waits for the kernel's acknowledgement.
    async fn order(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut answers = self.handle.clone().request(request).map_err(|_| ended())?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload
                && error.code.is_some()
            {
                return Err(error.to_io());
            }
        }
        Ok(())
    }

    async fn make(&self, message: RouteNetlinkMessage, existing: Existing) -> io::Result<()> {
        let flags = match existing {
            Existing::Refuse => NLM_F_CREATE | NLM_F_EXCL,
            Existing::Replace => NLM_F_CREATE | NLM_F_REPLACE,
            Existing::Precede => NLM_F_CREATE,
        };
        self.order(message, flags).await
    }

    /// Asks for all of a kind.
    async fn dump(&self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut answers = self.handle.clone().request(request).map_err(|_| ended())?;
        let mut found = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => found.push(message),
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                _ => {}
            }
        }
        Ok(found)
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the netlink connection has ended")
}

/// Takes the errors for success that say: it is as you want it already.
fn unless(result: io::Result<()>, already: &[i32]) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error().is_some_and(|number| already.contains(&number)) => Ok(()),
        result => result,
    }
}

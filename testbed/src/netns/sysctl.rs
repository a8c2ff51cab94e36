//! Kernel settings of a namespace. `/proc/sys/net` shows those of the thread that opens it.

use std::{fs, io::ErrorKind, path::PathBuf};

use anyhow::{Context, Result};

use super::Inside;

impl Inside {
    /// Sets one value below `/proc/sys/net`, for example `ipv4/ip_forward`.
    pub(crate) fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = PathBuf::from("/proc/sys/net").join(key);
        fs::write(&path, value).with_context(|| format!("cannot set {} to {value}", path.display()))
    }

    /// Sets a value that this kernel may not have.
    pub(crate) fn sysctl_if_there(&self, key: &str, value: &str) -> Result<()> {
        match self.sysctl(key, value) {
            Err(error)
                if error
                    .downcast_ref::<std::io::Error>()
                    .is_some_and(|error| error.kind() == ErrorKind::NotFound) =>
            {
                Ok(())
            }
            result => result,
        }
    }

    /// Sets a value for the interfaces that exist and for those to come.
    pub(crate) fn sysctl_ipv4(&self, key: &str, value: &str) -> Result<()> {
        for scope in ["all", "default"] {
            self.sysctl(&format!("ipv4/conf/{scope}/{key}"), value)?;
        }
        Ok(())
    }

    /// What every namespace of the testbed gets: `lo` up, no IPv6, no reverse path filter.
    /// A new namespace copies `all` and `default` from the host, so nothing may be left to chance.
    pub(super) fn prepare(&self) -> Result<()> {
        for scope in ["all", "default", "lo"] {
            self.sysctl_if_there(&format!("ipv6/conf/{scope}/disable_ipv6"), "1")?;
        }
        self.sysctl_ipv4("rp_filter", "0")?;
        self.sysctl_if_there("bridge/bridge-nf-call-iptables", "0")?;
        let lo = self.index("lo")?;
        self.up(lo)
    }

    /// A router: forwards, and never tells a host of a shorter way.
    pub(crate) fn forwarding(&self) -> Result<()> {
        self.sysctl("ipv4/ip_forward", "1")?;
        self.sysctl_ipv4("send_redirects", "0")
    }
}

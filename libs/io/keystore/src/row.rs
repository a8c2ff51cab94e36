//! Between values and columns.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
};

use record::{Nai, Tunnel};
use sqlx::{Column as _, Decode, Row, Sqlite, Type, sqlite::SqliteRow};

use crate::ReadError;

/// All 64 bits of a number in a column that is signed.
pub(crate) const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// Columns of a tunnel: name, address, port.
pub(crate) fn tunnel_columns(tunnel: Tunnel) -> (&'static str, String, Option<u16>) {
    match tunnel {
        Tunnel::IpInIp(address) | Tunnel::Minimal(address) | Tunnel::Gre(address) => {
            (tunnel.name(), address.to_string(), None)
        }
        Tunnel::Udp(peer) => (tunnel.name(), peer.ip().to_string(), Some(peer.port())),
    }
}

/// One row being read, which knows where it stands so that an error can say so. Its first column is the
/// rowid.
pub(crate) struct Reading<'a> {
    table: &'static str,
    row: &'a SqliteRow,
}

impl<'a> Reading<'a> {
    pub(crate) const fn new(table: &'static str, row: &'a SqliteRow) -> Self {
        Self { table, row }
    }

    /// The error that this row is damaged.
    pub(crate) fn damaged(&self, what: impl Into<String>) -> ReadError {
        let row = self.row.try_get(0).unwrap_or_default();
        ReadError::Damaged { table: self.table, row, what: what.into() }
    }

    /// A column as it stands.
    pub(crate) fn column<T>(&self, name: &str) -> Result<T, ReadError>
    where
        T: Decode<'a, Sqlite> + Type<Sqlite>,
    {
        self.row.try_get(name).map_err(|error| self.damaged(error.to_string()))
    }

    /// A column by its place, where many rows are read.
    pub(crate) fn at<T>(&self, at: usize) -> Result<T, ReadError>
    where
        T: Decode<'a, Sqlite> + Type<Sqlite>,
    {
        self.row.try_get(at).map_err(|error| self.damaged(error.to_string()))
    }

    /// A column that only some tables have.
    pub(crate) fn optional_column<T>(&self, name: &str) -> Result<Option<T>, ReadError>
    where
        T: Decode<'a, Sqlite> + Type<Sqlite>,
    {
        let there = self.row.columns().iter().any(|column| column.name() == name);
        there.then(|| self.column(name)).transpose()
    }

    /// A text that is kept.
    pub(crate) fn shared(&self, name: &str) -> Result<Arc<str>, ReadError> {
        self.column::<&str>(name).map(Arc::from)
    }

    /// A number of all 64 bits.
    pub(crate) fn u64(&self, name: &str) -> Result<u64, ReadError> {
        self.column::<i64>(name).map(i64::cast_unsigned)
    }

    /// A number of all 64 bits, or none.
    pub(crate) fn optional_u64(&self, name: &str) -> Result<Option<u64>, ReadError> {
        self.column::<Option<i64>>(name).map(|number| number.map(i64::cast_unsigned))
    }

    /// A smaller number.
    pub(crate) fn number<T: TryFrom<i64>>(&self, name: &str) -> Result<T, ReadError> {
        let number: i64 = self.column(name)?;
        T::try_from(number).map_err(|_| self.damaged(format!("{name} cannot be {number}")))
    }

    /// A smaller number, or none.
    pub(crate) fn optional_number<T: TryFrom<i64>>(&self, name: &str) -> Result<Option<T>, ReadError> {
        match self.column::<Option<i64>>(name)? {
            None => Ok(None),
            Some(_) => self.number(name).map(Some),
        }
    }

    /// A network access identifier.
    pub(crate) fn nai(&self, name: &str) -> Result<Nai, ReadError> {
        Nai::parse(self.column(name)?).map_err(|error| self.damaged(format!("{name}: {error}")))
    }

    /// An address.
    pub(crate) fn address(&self, name: &str) -> Result<Ipv4Addr, ReadError> {
        let text: &str = self.column(name)?;
        text.parse().map_err(|_| self.damaged(format!("{name} is no IPv4 address")))
    }

    /// An address, or none.
    pub(crate) fn optional_address(&self, name: &str) -> Result<Option<Ipv4Addr>, ReadError> {
        match self.column::<Option<&str>>(name)? {
            None => Ok(None),
            Some(_) => self.address(name).map(Some),
        }
    }

    /// Bytes of fixed length.
    pub(crate) fn bytes<const N: usize>(&self, name: &str) -> Result<[u8; N], ReadError> {
        let bytes: &[u8] = self.column(name)?;
        bytes.try_into().map_err(|_| self.damaged(format!("{name} must have {N} bytes")))
    }

    /// The columns of [`tunnel_columns`].
    pub(crate) fn tunnel(&self) -> Result<Tunnel, ReadError> {
        let address = self.address("tunnel_address")?;
        match self.column("tunnel")? {
            "ipip" => Ok(Tunnel::IpInIp(address)),
            "minimal" => Ok(Tunnel::Minimal(address)),
            "gre" => Ok(Tunnel::Gre(address)),
            "udp" => Ok(Tunnel::Udp(SocketAddrV4::new(address, self.number("tunnel_port")?))),
            _ => Err(self.damaged("the tunnel is of unknown kind")),
        }
    }
}

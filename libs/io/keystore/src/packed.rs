//! Bindings in one row each.
//!
//! What a binding is found by stands in columns; all else is packed into one value and sealed as a whole, bound to
//! its row. The key that seals belongs to the 256 home addresses around it, so that reading many bindings derives few
//! keys, and random nonces still meet under one key only for these.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    net::{Ipv4Addr, SocketAddrV4},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use crypto::{Key, Rng};
use futures_util::TryStreamExt as _;
use record::{Association, AssociationKind, Binding, Nai, RevocationSupport, Suite, Tunnel};
use sqlx::{SqliteConnection, sqlite::SqliteRow};
use wire::{Reader, Writer, mip::Spi};
use zeroize::Zeroizing;

use crate::{
    ReadError,
    load::{self, Associations, BindingId},
    row::Reading,
    seal::{Place, Vault},
    write::ADD_BINDING,
};

const TABLE: &str = "bindings";
/// How it is packed: since associations have suites, and before.
const FORM: u8 = 2;
const WITHOUT_SUITES: u8 = 1;
/// Octets of a packed association at most, and of what stands in front of the names and associations.
const ASSOCIATION: usize = 80;
const FRONT: usize = 64;

const REVERSE_TUNNEL: u8 = 1;
const BROADCASTS: u8 = 2;
const REVOCATION: u8 = 4;
const INFORM: u8 = 8;
const AGENT: u8 = 16;

const CONFIRMED: u8 = 1;
const RETIRES: u8 = 2;

/// Names that stand in one binding, each once; the first is its NAI, which the row has.
struct Names<'a>(Vec<&'a str>);

impl<'a> Names<'a> {
    fn of(binding: &'a Binding) -> Self {
        let mut names = Self(vec![binding.nai.as_str()]);
        let associations = binding.associations.iter().flat_map(|a| [&*a.own, &*a.peer]);
        for name in binding.foreign_agent.as_deref().into_iter().chain(associations) {
            if !names.0.contains(&name) {
                names.0.push(name);
            }
        }
        names
    }

    fn index(&self, name: &str) -> u8 {
        self.0
            .iter()
            .position(|there| *there == name)
            .and_then(|at| u8::try_from(at).ok())
            .unwrap_or_default()
    }
}

/// The packed form. It holds keys: seal it, then wipe it.
fn pack(of: &Binding) -> Zeroizing<Vec<u8>> {
    let names = Names::of(of);
    // Enough for all of it: where it grew, an unwiped copy of the keys would stay behind.
    let of_names: usize = names.0.iter().map(|name| 1 + name.len()).sum();
    let mut w = Writer::with_capacity(FRONT + of_names + of.associations.len() * ASSOCIATION);
    w.u8(FORM).u8(u8::try_from(names.0.len() - 1).unwrap_or(u8::MAX));
    for name in &names.0[1..] {
        // Names of agents have at most 64 octets, NAIs 253.
        w.u8(u8::try_from(name.len()).unwrap_or(u8::MAX)).put(name.as_bytes());
    }
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    w.u8(flag(of.reverse_tunnel, REVERSE_TUNNEL)
        | flag(of.broadcasts, BROADCASTS)
        | flag(of.revocation.is_some(), REVOCATION)
        | flag(of.revocation.is_some_and(|support| support.inform), INFORM)
        | flag(of.foreign_agent.is_some(), AGENT));
    if let Some(support) = of.revocation {
        w.u32(support.timestamp);
    }
    if let Some(agent) = &of.foreign_agent {
        w.u8(names.index(agent));
    }
    match of.tunnel {
        Tunnel::IpInIp(to) => w.u8(0).ipv4(to),
        Tunnel::Minimal(to) => w.u8(1).ipv4(to),
        Tunnel::Gre(to) => w.u8(2).ipv4(to),
        Tunnel::Udp(to) => w.u8(3).ipv4(*to.ip()).u16(to.port()),
    };
    w.u16(of.lifetime).u64(of.granted);
    w.u8(u8::try_from(of.associations.len()).unwrap_or(u8::MAX));
    for a in &of.associations {
        w.u8(a.kind.number()).put(&a.suite.octets());
        w.u32(a.inbound.0).u32(a.outbound.0).put(a.key.expose());
        w.u8(names.index(&a.own)).u8(names.index(&a.peer)).u64(a.made).u64(a.ends);
        w.u8(flag(a.confirmed, CONFIRMED) | flag(a.retires.is_some(), RETIRES));
        if let Some(retires) = a.retires {
            w.u64(retires);
        }
    }
    Zeroizing::new(w.into_bytes())
}

/// Names as they were read, each kept once however many bindings have it.
#[derive(Default)]
pub(crate) struct Shared(HashSet<Arc<str>>);

impl Shared {
    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(there) = self.0.get(name) {
            return Arc::clone(there);
        }
        let new: Arc<str> = name.into();
        self.0.insert(Arc::clone(&new));
        new
    }
}

/// `None` if it is not what [`pack`] makes.
fn unpack(
    nai: Nai,
    (home_address, care_of): BindingId,
    packed: &[u8],
    shared: &mut Shared,
) -> Option<Binding> {
    let mut r = Reader::new(packed);
    let form = r.u8().ok()?;
    if !matches!(form, FORM | WITHOUT_SUITES) {
        return None;
    }
    let mut names = vec![nai.shared()];
    for _ in 0..r.u8().ok()? {
        let length = r.u8().ok()?;
        names.push(shared.name(std::str::from_utf8(r.take(length.into()).ok()?).ok()?));
    }
    let name = |index: u8| names.get(usize::from(index)).cloned();
    let flags = r.u8().ok()?;
    let revocation = match flags & REVOCATION {
        0 => None,
        _ => Some(RevocationSupport { timestamp: r.u32().ok()?, inform: flags & INFORM != 0 }),
    };
    let foreign_agent = match flags & AGENT {
        0 => None,
        _ => Some(name(r.u8().ok()?)?),
    };
    let (kind, to) = (r.u8().ok()?, r.ipv4().ok()?);
    let tunnel = match kind {
        0 => Tunnel::IpInIp(to),
        1 => Tunnel::Minimal(to),
        2 => Tunnel::Gre(to),
        3 => Tunnel::Udp(SocketAddrV4::new(to, r.u16().ok()?)),
        _ => return None,
    };
    let (lifetime, granted) = (r.u16().ok()?, r.u64().ok()?);
    let count = r.u8().ok()?;
    let mut associations = Vec::with_capacity(count.into());
    for _ in 0..count {
        let kind = AssociationKind::from_number(r.u8().ok()?)?;
        let suite = match form {
            WITHOUT_SUITES => Suite::default(),
            _ => Suite::from_octets(r.array().ok()?)?,
        };
        let (inbound, outbound) = (Spi(r.u32().ok()?), Spi(r.u32().ok()?));
        let key = Key::from_slice(r.take(Key::LEN).ok()?)?;
        let (own, peer) = (name(r.u8().ok()?)?, name(r.u8().ok()?)?);
        let (made, ends, flags) = (r.u64().ok()?, r.u64().ok()?, r.u8().ok()?);
        let retires = if flags & RETIRES == 0 { None } else { Some(r.u64().ok()?) };
        let confirmed = flags & CONFIRMED != 0;
        associations.push(Association {
            kind,
            inbound,
            outbound,
            suite,
            key,
            own,
            peer,
            made,
            ends,
            confirmed,
            retires,
        });
    }
    r.finish().ok()?;
    Some(Binding {
        nai,
        home_address,
        care_of,
        tunnel,
        reverse_tunnel: flags & REVERSE_TUNNEL != 0,
        broadcasts: flags & BROADCASTS != 0,
        revocation,
        foreign_agent,
        lifetime,
        granted,
        associations,
    })
}

/// The keys of groups of home addresses that were derived already.
#[derive(Default)]
pub(crate) struct GroupKeys(BTreeMap<u32, Key>);

impl GroupKeys {
    /// So many are kept; with one more all are wiped and derived anew.
    const MOST: usize = 4096;

    fn of(&mut self, vault: &Vault, home_address: Ipv4Addr) -> &Key {
        let group = home_address.to_bits() >> 8;
        if self.0.len() >= Self::MOST && !self.0.contains_key(&group) {
            self.0.clear();
        }
        self.0.entry(group).or_insert_with(|| vault.group_key(TABLE, "sealed_record", group))
    }
}

/// The columns of a binding.
pub(crate) struct Row<'a> {
    pub(crate) home_address: u32,
    pub(crate) care_of: u32,
    pub(crate) nai: &'a str,
    pub(crate) sealed_record: Vec<u8>,
}

impl<'a> Row<'a> {
    /// Seals a binding.
    pub(crate) fn of(binding: &'a Binding, vault: &Vault, keys: &mut GroupKeys, rng: &mut Rng) -> Self {
        let place = Place::binding(binding.home_address, binding.care_of, binding.nai.as_str());
        let key = keys.of(vault, binding.home_address);
        Self {
            home_address: binding.home_address.to_bits(),
            care_of: binding.care_of.to_bits(),
            nai: binding.nai.as_str(),
            sealed_record: place.seal(key, rng, &pack(binding)),
        }
    }
}

/// Reads bindings, sharing the names in them.
pub(crate) struct Bindings<'a> {
    vault: &'a Arc<Vault>,
    keys: GroupKeys,
    shared: Arc<Mutex<Shared>>,
}

impl<'a> Bindings<'a> {
    pub(crate) fn new(vault: &'a Arc<Vault>) -> Self {
        Self { vault, keys: GroupKeys::default(), shared: Arc::default() }
    }

    /// All, in order of home address and care-of address.
    pub(crate) async fn all(&mut self, connection: &mut SqliteConnection) -> Result<Vec<Binding>, ReadError> {
        match self.in_pages(connection).await? {
            Some(found) => Ok(found),
            // One of them is damaged. Read one by one, the error says which.
            None => self.one_by_one(connection).await,
        }
    }

    /// All, a thousand in one row of one column: to hand over a row costs more than to make it. Pages are opened on
    /// other threads while the next is read. `None` if anything in them is not as it should be.
    async fn in_pages(&self, connection: &mut SqliteConnection) -> Result<Option<Vec<Binding>>, ReadError> {
        let most = thread::available_parallelism().map_or(1, usize::from) * 2;
        let (mut found, mut opening, mut above) = (Vec::new(), VecDeque::new(), i64::MIN);
        loop {
            let page: (i64, Option<String>) =
                sqlx::query_as(PAGE).bind(above).fetch_one(&mut *connection).await?;
            let end = page.1.is_none();
            if let (upto, Some(text)) = page {
                let (vault, shared) = (Arc::clone(self.vault), Arc::clone(&self.shared));
                opening.push_back(tokio::task::spawn_blocking(move || opened(&text, &vault, &shared)));
                above = upto;
            }
            while opening.len() > if end { 0 } else { most } {
                let Some(page) = opening.pop_front() else { break };
                match page.await {
                    Ok(Some(page)) => found.extend(page),
                    Ok(None) | Err(_) => return Ok(None),
                }
            }
            if end {
                return Ok(Some(found));
            }
        }
    }

    async fn one_by_one(&mut self, connection: &mut SqliteConnection) -> Result<Vec<Binding>, ReadError> {
        let mut found = Vec::new();
        let mut rows = sqlx::query(ALL).fetch(connection);
        while let Some(row) = rows.try_next().await? {
            found.push(self.binding(&row)?);
        }
        Ok(found)
    }

    /// Those of one subscriber.
    pub(crate) async fn of(
        &mut self,
        connection: &mut SqliteConnection,
        nai: &Nai,
    ) -> Result<Vec<Binding>, ReadError> {
        let rows = sqlx::query(OF_SUBSCRIBER).bind(nai.as_str()).fetch_all(connection).await?;
        rows.iter().map(|row| self.binding(row)).collect()
    }

    fn binding(&mut self, row: &SqliteRow) -> Result<Binding, ReadError> {
        let row = Reading::new(TABLE, row);
        let address = |at| {
            row.at::<i64>(at).and_then(|number| {
                let bits =
                    u32::try_from(number).map_err(|_| row.damaged("an address has more than 32 bits"))?;
                Ok(Ipv4Addr::from_bits(bits))
            })
        };
        let id = (address(0)?, address(1)?);
        let nai = Nai::parse(row.at(2)?).map_err(|error| row.damaged(format!("nai: {error}")))?;
        let place = Place::binding(id.0, id.1, nai.as_str());
        let opened = place.open(self.keys.of(self.vault, id.0), row.at(3)?);
        let packed = opened.ok_or_else(|| {
            row.damaged("sealed_record does not open; the row was changed or its key moved")
        })?;
        let damaged = || row.damaged("sealed_record has an unknown form");
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        unpack(nai, id, &packed, &mut shared).ok_or_else(damaged)
    }
}

/// The bindings of a page, in order; `None` if one of them is not as it should be.
fn opened(page: &str, vault: &Vault, shared: &Mutex<Shared>) -> Option<Vec<Binding>> {
    let (mut keys, mut sealed) = (GroupKeys::default(), Vec::new());
    let read = |line: &str| {
        let mut fields = line.splitn(4, ' ');
        let mut address = || fields.next()?.parse().ok().map(Ipv4Addr::from_bits);
        let id = (address()?, address()?);
        unhex(fields.next()?, &mut sealed)?;
        let nai = Nai::parse(fields.next()?).ok()?;
        let place = Place::binding(id.0, id.1, nai.as_str());
        let packed = place.open(keys.of(vault, id.0), &sealed)?;
        unpack(nai, id, &packed, &mut shared.lock().unwrap_or_else(PoisonError::into_inner))
    };
    let mut bindings: Vec<Binding> = page.split('\n').map(read).collect::<Option<_>>()?;
    bindings.sort_by_key(|binding| (binding.home_address, binding.care_of));
    Some(bindings)
}

/// Octets of hexadecimal digits, as SQLite writes them; they take the place of what was in `octets`.
fn unhex(digits: &str, octets: &mut Vec<u8>) -> Option<()> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    octets.clear();
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    for [high, low] in pairs {
        octets.push(digit(*high)? << 4 | digit(*low)?);
    }
    rest.is_empty().then_some(())
}

/// The home addresses above `?1`, a thousand bindings or a few more, as one text: a line for each.
const PAGE: &str = "WITH page(upto) AS (SELECT coalesce(
        (SELECT home_address FROM bindings WHERE home_address > ?1 ORDER BY home_address LIMIT 1 OFFSET 999),
        9223372036854775807))
    SELECT upto, (SELECT group_concat(
            home_address || ' ' || care_of || ' ' || hex(sealed_record) || ' ' || nai, char(10))
        FROM bindings WHERE home_address > ?1 AND home_address <= upto)
    FROM page";

const ALL: &str =
    "SELECT home_address, care_of, nai, sealed_record FROM bindings ORDER BY home_address, care_of";
const OF_SUBSCRIBER: &str = "SELECT home_address, care_of, nai, sealed_record FROM bindings WHERE nai = ?1
    ORDER BY home_address, care_of";

/// Moves the bindings of an older schema into their new rows. Called on every open: a start that was cut off before
/// has left them where they were.
pub(crate) async fn move_old(
    connection: &mut SqliteConnection,
    vault: &Vault,
    rng: &mut Rng,
) -> Result<(), ReadError> {
    const OLD: &str = "SELECT count(*) FROM sqlite_schema WHERE name = 'old_bindings'";
    if sqlx::query_scalar::<_, i64>(OLD).fetch_one(&mut *connection).await? == 0 {
        return Ok(());
    }
    let mut moving = sqlx::Connection::begin(connection).await?;
    let mut bindings = old(&mut moving, vault).await?;
    bindings.sort_by_key(|binding| (binding.home_address, binding.care_of));
    let mut keys = GroupKeys::default();
    for binding in &bindings {
        let row = Row::of(binding, vault, &mut keys, rng);
        sqlx::query(ADD_BINDING)
            .bind(row.home_address)
            .bind(row.care_of)
            .bind(row.nai)
            .bind(row.sealed_record)
            .execute(&mut *moving)
            .await?;
    }
    for gone in ["DROP TABLE old_binding_associations", "DROP TABLE old_bindings"] {
        sqlx::query(gone).execute(&mut *moving).await?;
    }
    moving.commit().await?;
    Ok(())
}

async fn old(connection: &mut SqliteConnection, vault: &Vault) -> Result<Vec<Binding>, ReadError> {
    const ASSOCIATIONS: &str =
        "SELECT rowid, * FROM old_binding_associations ORDER BY home_address, care_of, position";
    let id = |row: &Reading<'_>| Ok((row.address("home_address")?, row.address("care_of")?));
    let rows = sqlx::query(ASSOCIATIONS).fetch_all(&mut *connection).await?;
    let mut associations: Associations<BindingId> = load::grouped("binding_associations", &rows, id, vault)?;
    let rows = sqlx::query("SELECT rowid, * FROM old_bindings").fetch_all(&mut *connection).await?;
    let read = |row| old_binding(&Reading::new("old_bindings", row), &mut associations);
    rows.iter().map(read).collect()
}

fn old_binding(row: &Reading<'_>, associations: &mut Associations<BindingId>) -> Result<Binding, ReadError> {
    let (home_address, care_of) = (row.address("home_address")?, row.address("care_of")?);
    Ok(Binding {
        nai: row.nai("nai")?,
        home_address,
        care_of,
        tunnel: row.tunnel()?,
        reverse_tunnel: row.column("reverse_tunnel")?,
        broadcasts: row.column("broadcasts")?,
        revocation: crate::revocation::support(row)?,
        foreign_agent: row.column::<Option<&str>>("foreign_agent")?.map(Into::into),
        lifetime: row.number("lifetime")?,
        granted: row.u64("granted")?,
        associations: associations.remove(&(home_address, care_of)).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use record::Mode;
    use wire::mip::share::Group;

    use super::*;

    fn association(kind: AssociationKind, inbound: u32, peer: &str, retires: Option<u64>) -> Association {
        Association {
            kind,
            inbound: Spi(inbound),
            outbound: Spi(inbound + 1),
            suite: Suite { mode: Mode::Stateless, group: Group::X25519, ..Suite::default() },
            key: Key::new([7; 32]),
            own: "ha@home.example".into(),
            peer: peer.into(),
            made: 1000,
            ends: u64::MAX,
            confirmed: retires.is_some(),
            retires,
        }
    }

    fn binding(tunnel: Tunnel, agent: Option<&str>) -> Binding {
        let nai = Nai::parse("traveller-one@home.example").unwrap();
        Binding {
            home_address: Ipv4Addr::new(10, 11, 1, 50),
            care_of: Ipv4Addr::new(10, 51, 1, 2),
            tunnel,
            reverse_tunnel: agent.is_some(),
            broadcasts: agent.is_none(),
            revocation: agent.map(|_| RevocationSupport { timestamp: 77, inform: true }),
            foreign_agent: agent.map(Into::into),
            lifetime: 600,
            granted: 1000,
            associations: vec![
                association(AssociationKind::Key1, 600, nai.as_str(), Some(5)),
                association(AssociationKind::Key1, 700, nai.as_str(), None),
                association(AssociationKind::Key2, 800, "fa@visited.example", None),
            ],
            nai,
        }
    }

    fn unpacked(of: &Binding, packed: &[u8]) -> Option<Binding> {
        unpack(of.nai.clone(), (of.home_address, of.care_of), packed, &mut Shared::default())
    }

    #[test]
    fn what_is_packed_comes_out_and_nothing_else_does() {
        let to = Ipv4Addr::new(10, 51, 1, 2);
        let udp = Tunnel::Udp(SocketAddrV4::new(to, 40_000));
        for (tunnel, agent) in [
            (Tunnel::IpInIp(to), Some("fa@visited.example")),
            (Tunnel::Minimal(to), None),
            (Tunnel::Gre(to), Some("other@visited.example")),
            (udp, None),
        ] {
            let of = binding(tunnel, agent);
            let packed = pack(&of);
            let back = unpacked(&of, &packed).unwrap();
            assert_eq!((back.tunnel, back.foreign_agent.as_deref()), (tunnel, agent));
            assert_eq!((back.revocation, back.lifetime, back.granted), (of.revocation, 600, 1000));
            assert_eq!((back.reverse_tunnel, back.broadcasts), (of.reverse_tunnel, of.broadcasts));
            assert_eq!(*pack(&back), *packed, "the same once more");
            let names: usize = Names::of(&of).0.iter().map(|name| 1 + name.len()).sum();
            assert!(packed.len() <= FRONT + names + of.associations.len() * ASSOCIATION);
            for (there, here) in back.associations.iter().zip(&of.associations) {
                assert!(there.key == here.key && there.retires == here.retires && there.own == here.own);
                assert_eq!(
                    (there.confirmed, there.ends, &there.peer),
                    (here.confirmed, here.ends, &here.peer)
                );
            }
            for length in 0..packed.len() {
                assert!(unpacked(&of, &packed[..length]).is_none(), "{length} octets");
            }
            let longer = [&packed[..], &[0]].concat();
            assert!(unpacked(&of, &longer).is_none());
            for at in 0..packed.len() {
                let mut other = packed.clone();
                other[at] ^= 0xff;
                // Whatever it says: it must not panic.
                let _ = unpacked(&of, &other);
            }
        }
    }

    #[test]
    fn only_whole_octets_are_read_from_digits() {
        let mut octets = vec![9];
        assert_eq!((unhex("00Ff5a", &mut octets), &octets), (Some(()), &vec![0, 0xff, 0x5a]));
        assert_eq!((unhex("", &mut octets), octets.len()), (Some(()), 0));
        for wrong in ["0", "0g", "+1", "001"] {
            assert_eq!(unhex(wrong, &mut octets), None, "{wrong}");
        }
    }

    #[test]
    fn names_are_shared_by_the_bindings_that_have_them() {
        let (of, mut shared) =
            (binding(Tunnel::IpInIp(Ipv4Addr::LOCALHOST), Some("fa@visited.example")), Shared::default());
        let mut read =
            || unpack(of.nai.clone(), (of.home_address, of.care_of), &pack(&of), &mut shared).unwrap();
        let (one, two) = (read(), read());
        let agent = |b: &Binding| b.foreign_agent.clone().unwrap();
        assert!(Arc::ptr_eq(&agent(&one), &agent(&two)));
        assert!(Arc::ptr_eq(&one.associations[0].own, &two.associations[2].own));
        assert!(Arc::ptr_eq(&one.associations[0].peer, &one.nai.shared()));
    }
}

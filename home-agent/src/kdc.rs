//! The line to the key distribution centre: subscribers come over it, keys are asked through it.

pub(crate) mod line;

use std::{collections::BTreeSet, net::Ipv4Addr, ops::RangeInclusive, time::Duration};

use admin::client::Profile;
use anyhow::{Context as _, anyhow};
use crypto::{Cipher, Key};
use mobility::home_agent::Request;
use proto::kdc::{
    AcknowledgeChangesRequest, RealmKeyRecord, State, SubscriberRecord, WatchSubscribersRequest,
    key_distribution_client::KeyDistributionClient, subscriber_change::What,
};
use record::{Nai, Plain, RealmKey, RetiringKey, Subscriber, SubscriberState};
use tokio::sync::{mpsc, watch};
use tonic::transport::Channel;
use wire::mip::Spi;

/// Indices of the realm's keys.
const REALM_KEYS: RangeInclusive<u32> = 256..=511;
/// Between two attempts to reach it.
const RETRY: Duration = Duration::from_millis(500);

/// The client, cheap to clone.
#[derive(Clone)]
pub(crate) struct Kdc {
    channel: Channel,
}

impl Kdc {
    /// Does not connect yet.
    pub(crate) fn new(profile: &Profile) -> anyhow::Result<Self> {
        Ok(Self { channel: admin::client::channel(profile)? })
    }

    fn client(&self) -> KeyDistributionClient<Channel> {
        KeyDistributionClient::new(self.channel.clone())
    }

    /// Takes over subscribers for ever, from change number `cursor` on. `acknowledged` brings the numbers that
    /// are durable here; `state` tells the operator how the line is.
    pub(crate) async fn follow(
        self,
        mut cursor: u64,
        to_core: mpsc::Sender<Request>,
        mut acknowledged: mpsc::UnboundedReceiver<u64>,
        state: watch::Sender<String>,
    ) {
        loop {
            let end = self.follow_once(&mut cursor, &to_core, &mut acknowledged, &state).await;
            let why =
                end.err().map_or_else(|| "it ended the stream".to_owned(), |error| format!("{error:#}"));
            // Every attempt fails for the same reason until somebody does something about it.
            if *state.borrow() == why {
                tracing::debug!("key distribution centre: {why}; trying again");
            } else {
                tracing::warn!(
                    "the key distribution centre is not there: {why}. Bindings stand, but nobody can register until it \
                     is back; trying again every {} ms",
                    RETRY.as_millis()
                );
            }
            state.send_replace(why);
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn follow_once(
        &self,
        cursor: &mut u64,
        to_core: &mpsc::Sender<Request>,
        acknowledged: &mut mpsc::UnboundedReceiver<u64>,
        state: &watch::Sender<String>,
    ) -> anyhow::Result<()> {
        let mut client = self.client();
        let request = WatchSubscribersRequest { since: *cursor };
        let mut changes = client.watch_subscribers(request).await.map_err(said)?.into_inner();
        let mut backlog = Some((Vec::new(), Vec::new()));
        loop {
            let change = tokio::select! {
                change = changes.message() => match change.map_err(said)? {
                    Some(change) => change,
                    None => return Ok(()),
                },
                Some(number) = acknowledged.recv() => {
                    *cursor = (*cursor).max(number);
                    client.acknowledge_changes(AcknowledgeChangesRequest { change: number }).await.map_err(said)?;
                    continue;
                }
            };
            let request = match change.what {
                Some(What::Subscriber(record)) => {
                    let subscriber = subscriber(record, change.change)?;
                    match &mut backlog {
                        Some((subscribers, _)) => {
                            subscribers.push(subscriber);
                            continue;
                        }
                        None => Request::Subscribers {
                            changed: vec![subscriber],
                            realm_keys: Vec::new(),
                            cursor: change.change,
                            complete: false,
                        },
                    }
                }
                Some(What::CaughtUp(caught_up)) => {
                    tracing::info!("key distribution centre connected");
                    state.send_replace("connected".to_owned());
                    let (changed, mut realm_keys) = backlog.take().unwrap_or_default();
                    if !caught_up.complete {
                        // Every backlog has all keys of the realm: others ended while nobody could tell us.
                        let named: BTreeSet<u32> = realm_keys.iter().map(|key: &RealmKey| key.id.0).collect();
                        let others = REALM_KEYS.filter(|id| !named.contains(id));
                        realm_keys.extend(others.map(|id| ended(Spi(id), change.change)));
                    }
                    let (cursor, complete) = (change.change, caught_up.complete);
                    Request::Subscribers { changed, realm_keys, cursor, complete }
                }
                Some(What::AssociationRevoked(revoked)) => {
                    let inbound = [revoked.key1, revoked.key2].into_iter().flatten().map(|s| Spi(s.second));
                    let inbound: Vec<_> = inbound.collect();
                    // A key distribution centre of before names no care-of address.
                    let care_of = revoked.care_of.parse().ok().filter(|_| inbound.is_empty());
                    match care_of.zip(Nai::parse(&revoked.subscriber).ok()) {
                        Some((care_of, nai)) => Request::VisitRevoked { nai, care_of },
                        None => Request::AssociationsRevoked(inbound),
                    }
                }
                Some(What::RealmKey(record)) => {
                    let key = match record.ended {
                        true => ended(Spi(record.id), change.change),
                        false => realm_key(&record, change.change)?,
                    };
                    match &mut backlog {
                        Some((_, keys)) => {
                            keys.push(key);
                            continue;
                        }
                        None => Request::Subscribers {
                            changed: Vec::new(),
                            realm_keys: vec![key],
                            cursor: change.change,
                            complete: false,
                        },
                    }
                }
                None => continue,
            };
            to_core.send(request).await.context("the home agent is stopping")?;
        }
    }
}

/// What went wrong, down to what the operating system said.
fn said(status: tonic::Status) -> anyhow::Error {
    let mut words = status.message().to_owned();
    let mut cause = std::error::Error::source(&status);
    while let Some(error) = cause {
        let error_words = error.to_string();
        if !words.contains(&error_words) {
            words = format!("{words}: {error_words}");
        }
        cause = error.source();
    }
    anyhow!(words)
}

fn subscriber(record: SubscriberRecord, change: u64) -> anyhow::Result<Subscriber> {
    let revoked = record.state() == State::Revoked;
    let cipher = match record.cipher() {
        proto::kdc::Cipher::Aes128Gcm => Cipher::Aes128Gcm,
        proto::kdc::Cipher::Chacha20Poly1305 => Cipher::ChaCha20Poly1305,
        proto::kdc::Cipher::Aes256Gcm | proto::kdc::Cipher::Unspecified => Cipher::Aes256Gcm,
    };
    let key0 = if revoked { Some(Key::new([0; 32])) } else { Key::from_slice(&record.key0) };
    let address = |text: &str| text.parse::<Ipv4Addr>().with_context(|| format!("address {text:?}"));
    let retiring = record.retiring.map(|old| {
        let key0 = Key::from_slice(&old.key0).context("a KEY 0 before that has not 32 bytes")?;
        let (spi, generation, ends) = (Spi(old.spi), old.generation, old.ends_unix_s);
        anyhow::Ok(RetiringKey { key0, spi, generation, ends })
    });
    Ok(Subscriber {
        nai: Nai::parse(&record.nai)?,
        key0: key0.context("a subscriber whose KEY 0 has not 32 bytes")?,
        spi: Spi(record.spi),
        one_time: record.one_time,
        generation: record.generation,
        retiring: retiring.transpose()?,
        plain: record.plain.map(|plain| Plain { nonces: plain.nonces, md5: plain.md5 }),
        cipher,
        home_address: match record.home_address.as_str() {
            "" => Ipv4Addr::UNSPECIFIED,
            text => address(text)?,
        },
        home_prefix_length: u8::try_from(record.home_prefix_length)?,
        home_agent: address(&record.home_agent)?,
        home_gateway: None,
        no_fs: record.no_fs,
        state: if revoked { SubscriberState::Revoked } else { SubscriberState::Active },
        max_lifetime: u16::try_from(record.max_lifetime_s).ok().filter(|s| *s > 0),
        change,
    })
}

fn realm_key(record: &RealmKeyRecord, change: u64) -> anyhow::Result<RealmKey> {
    Ok(RealmKey {
        id: Spi(record.id),
        secret: Key::from_slice(&record.secret).context("a key of the realm that has not 32 bytes")?,
        made: record.made_unix_s,
        ends: Some(record.ends_unix_s).filter(|ends| *ends > 0),
        change,
    })
}

/// A key of the realm that is accepted no longer.
const fn ended(id: Spi, change: u64) -> RealmKey {
    RealmKey { id, secret: Key::new([0; Key::LEN]), made: 0, ends: Some(0), change }
}

#[cfg(test)]
mod tests;

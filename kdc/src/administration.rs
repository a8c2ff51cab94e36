//! `KdcAdmin`: what administrators change and auditors read.

use std::{
    net::Ipv4Addr,
    time::{SystemTime, UNIX_EPOCH},
};

use admin::Role;
use authority::{Answer, Ask, Caller, Enrol, RealmKeyView};
use keystore::Store;
use proto::kdc::{
    Association, AuditEntry, AuditTrailRequest, BackupPart, BackupRequest, EnrolSubscriberReply,
    EnrolSubscriberRequest, Event, HomeAgent, ListAssociationsRequest, ListHomeAgentsRequest,
    ListRealmKeysReply, ListRealmKeysRequest, ListSubscribersRequest, RegisterHomeAgentReply,
    RegisterHomeAgentRequest, ReloadReply, ReloadRequest, RevokeAssociationReply, RevokeAssociationRequest,
    RevokeSubscriberReply, RevokeSubscriberRequest, RotateRealmKeyReply, RotateRealmKeyRequest,
    RotateSubscriberReply, RotateSubscriberRequest, ShowSubscriberReply, ShowSubscriberRequest, Subscriber,
    WatchEventsRequest, kdc_admin_server::KdcAdmin,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{convert, desk::Desk, permit::permit, watchers::Watchers};

/// Items asked of the machine or the store at a time.
const PAGE: usize = 256;
const AUDIT_PAGE: u32 = 256;
/// Octets in one part of a backup.
const PART: usize = 64 * 1024;
/// Messages that wait for a slow receiver.
const READY: usize = 64;

const CHANGE: [Role; 1] = [Role::Administrator];
const READ: [Role; 2] = [Role::Administrator, Role::Auditor];

/// The service; cheap to clone.
#[derive(Clone)]
pub(crate) struct Administration {
    desk: Desk,
    store: Store,
    watchers: Watchers,
    vendor: watch::Receiver<u32>,
    reloads: Option<mpsc::Sender<admin::Reload>>,
}

type Items<T> = ReceiverStream<Result<T, Status>>;
type To<T> = mpsc::Sender<Result<T, Status>>;

impl Administration {
    /// `vendor` is the enterprise number that enrolments name.
    pub(crate) const fn new(
        desk: Desk,
        store: Store,
        watchers: Watchers,
        vendor: watch::Receiver<u32>,
    ) -> Self {
        Self { desk, store, watchers, vendor, reloads: None }
    }

    /// The configuration can be read again.
    pub(crate) fn with_reloads(mut self, reloads: mpsc::Sender<admin::Reload>) -> Self {
        self.reloads = Some(reloads);
        self
    }

    fn vendor(&self) -> u32 {
        *self.vendor.borrow()
    }

    async fn permit<T>(
        &self,
        request: &Request<T>,
        method: &str,
        allowed: &[Role],
    ) -> Result<Caller, Status> {
        permit(&self.desk, request, method, allowed).await
    }

    async fn home_agents(&self, caller: Caller) -> Result<Vec<record::HomeAgent>, Status> {
        match self.desk.ask(caller, Ask::HomeAgents).await? {
            Answer::HomeAgents(agents) => Ok(agents),
            _ => Err(unexpected()),
        }
    }

    async fn realm_keys(&self, caller: Caller) -> Result<Vec<RealmKeyView>, Status> {
        match self.desk.ask(caller, Ask::RealmKeys).await? {
            Answer::RealmKeys(keys) => Ok(keys),
            _ => Err(unexpected()),
        }
    }

    /// Waits for connected home agents: who of those that serve the subscribers of the home agent at `address`
    /// has the change, and who not yet.
    async fn taken_over(
        &self,
        caller: Caller,
        address: Ipv4Addr,
        change: u64,
    ) -> Result<(Vec<String>, Vec<String>), Status> {
        let mut agents = self.home_agents(caller).await?;
        agents.retain(|agent| agent.address.is_none_or(|own| own == address));
        Ok(self.watchers.taken_over(&agents, change).await)
    }
}

#[tonic::async_trait]
impl KdcAdmin for Administration {
    type ListSubscribersStream = Items<Subscriber>;
    type ListAssociationsStream = Items<Association>;
    type ListHomeAgentsStream = Items<HomeAgent>;
    type AuditTrailStream = Items<AuditEntry>;
    type WatchEventsStream = Items<Event>;
    type BackupStream = Items<BackupPart>;

    async fn enrol_subscriber(
        &self,
        request: Request<EnrolSubscriberRequest>,
    ) -> Result<Response<EnrolSubscriberReply>, Status> {
        let caller = self.permit(&request, "EnrolSubscriber", &CHANGE).await?;
        let asked = request.into_inner();
        let enrol = Enrol {
            nai: asked.nai,
            home_address: asked.home_address,
            home_prefix_length: asked.home_prefix_length,
            home_gateway: asked.home_gateway,
            home_agent: asked.home_agent,
            cipher: convert::cipher_from(asked.cipher),
            max_lifetime: asked.max_lifetime_s,
            static_spi: asked.static_spi,
            no_fs: asked.no_fs,
            plain: asked.plain.map(convert::plain_from),
            dry_run: asked.dry_run,
        };
        let subscriber = match self.desk.ask(caller.clone(), Ask::Enrol(enrol)).await? {
            Answer::Enrolled(subscriber) => subscriber,
            Answer::WouldDo => return Ok(Response::new(EnrolSubscriberReply::default())),
            _ => return Err(unexpected()),
        };
        let change = subscriber.change;
        let keys = self.realm_keys(caller.clone()).await?;
        let (taken_over_by, not_yet_at) = self.taken_over(caller, subscriber.home_agent, change).await?;
        let enrolment = Some(convert::enrolment(&subscriber, &keys, self.vendor()));
        Ok(Response::new(EnrolSubscriberReply { enrolment, change, taken_over_by, not_yet_at }))
    }

    async fn rotate_subscriber(
        &self,
        request: Request<RotateSubscriberRequest>,
    ) -> Result<Response<RotateSubscriberReply>, Status> {
        let caller = self.permit(&request, "RotateSubscriber", &CHANGE).await?;
        let RotateSubscriberRequest { nai, overlap_s, dry_run } = request.into_inner();
        let ask = Ask::Rotate { nai, overlap: overlap_s, dry_run };
        let subscriber = match self.desk.ask(caller.clone(), ask).await? {
            Answer::Rotated(subscriber) => subscriber,
            Answer::WouldDo => return Ok(Response::new(RotateSubscriberReply::default())),
            _ => return Err(unexpected()),
        };
        let change = subscriber.change;
        let keys = self.realm_keys(caller.clone()).await?;
        let (taken_over_by, not_yet_at) = self.taken_over(caller, subscriber.home_agent, change).await?;
        let enrolment = Some(convert::enrolment(&subscriber, &keys, self.vendor()));
        let ends_unix_s = subscriber.retiring.as_ref().map_or_else(unix_s, |old| old.ends);
        let reply = RotateSubscriberReply { enrolment, change, taken_over_by, not_yet_at, ends_unix_s };
        Ok(Response::new(reply))
    }

    async fn list_realm_keys(
        &self,
        request: Request<ListRealmKeysRequest>,
    ) -> Result<Response<ListRealmKeysReply>, Status> {
        let caller = self.permit(&request, "ListRealmKeys", &READ).await?;
        let keys = self.realm_keys(caller).await?.iter().map(convert::realm_key).collect();
        Ok(Response::new(ListRealmKeysReply { keys }))
    }

    async fn rotate_realm_key(
        &self,
        request: Request<RotateRealmKeyRequest>,
    ) -> Result<Response<RotateRealmKeyReply>, Status> {
        let caller = self.permit(&request, "RotateRealmKey", &CHANGE).await?;
        let RotateRealmKeyRequest { overlap_s, dry_run } = request.into_inner();
        let ask = Ask::RotateRealmKey { overlap: overlap_s, dry_run };
        let key = match self.desk.ask(caller.clone(), ask).await? {
            Answer::RealmKey(key) => key,
            Answer::WouldDo => return Ok(Response::new(RotateRealmKeyReply::default())),
            _ => return Err(unexpected()),
        };
        let agents = self.home_agents(caller).await?;
        let (taken_over_by, not_yet_at) = self.watchers.taken_over(&agents, key.change).await;
        let key = Some(convert::realm_key(&key));
        Ok(Response::new(RotateRealmKeyReply { key, taken_over_by, not_yet_at }))
    }

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        self.permit(&request, "WatchEvents", &READ).await?;
        let WatchEventsRequest { mut since, follow } = request.into_inner();
        let events = self.desk.events().clone();
        Ok(streamed(async move |to: To<Event>| {
            let mut last = events.last();
            loop {
                // Marked as seen before reading, so that none in between is missed.
                last.borrow_and_update();
                let page = events.after(since, PAGE);
                let full = page.len() == PAGE;
                since = page.last().map_or(since.min(*last.borrow()), |event| event.number);
                if !send_all(&to, page.into_iter()).await || !(full || follow) {
                    return Ok(());
                }
                if full {
                    continue;
                }
                tokio::select! {
                    () = to.closed() => return Ok(()),
                    changed = last.changed() => if changed.is_err() { return Ok(()) },
                }
            }
        }))
    }

    async fn backup(&self, request: Request<BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        let caller = self.permit(&request, "Backup", &CHANGE).await?;
        // Recorded before anything leaves: a copy that nobody knows of must not exist.
        self.desk.ask(caller.clone(), Ask::Backup).await?;
        let mut snapshot = self.store.snapshot().await.map_err(|e| Status::unavailable(e.to_string()))?;
        let events = self.desk.events().clone();
        Ok(streamed(async move |to: To<BackupPart>| {
            let size = snapshot.size();
            loop {
                let data =
                    snapshot.read(PART).await.map_err(|error| Status::unavailable(error.to_string()))?;
                if data.is_empty() {
                    events.push("backup-made", &caller.name, &format!("{size} octets"));
                    return Ok(());
                }
                if to.send(Ok(BackupPart { size, data })).await.is_err() {
                    return Ok(());
                }
            }
        }))
    }

    async fn reload(&self, request: Request<ReloadRequest>) -> Result<Response<ReloadReply>, Status> {
        let caller = self.permit(&request, "Reload", &CHANGE).await?;
        let reloads = self.reloads.as_ref().ok_or_else(unexpected)?;
        let changes = admin::reload(reloads).await?;
        self.desk.events().push("reloaded", &caller.name, &changes.join("; "));
        Ok(Response::new(ReloadReply { changes }))
    }

    async fn list_subscribers(
        &self,
        request: Request<ListSubscribersRequest>,
    ) -> Result<Response<Self::ListSubscribersStream>, Status> {
        let caller = self.permit(&request, "ListSubscribers", &READ).await?;
        let include_revoked = request.into_inner().include_revoked;
        let desk = self.desk.clone();
        Ok(streamed(async move |to: To<Subscriber>| {
            let mut after = String::new();
            loop {
                let ask = Ask::Subscribers { after, limit: PAGE, include_revoked };
                let Answer::Subscribers(page) = desk.ask(caller.clone(), ask).await? else {
                    return Err(unexpected());
                };
                after = page.items.last().map_or(String::new(), |last| last.nai.clone());
                if !send_all(&to, page.items.into_iter().map(convert::subscriber)).await || !page.more {
                    return Ok(());
                }
            }
        }))
    }

    async fn show_subscriber(
        &self,
        request: Request<ShowSubscriberRequest>,
    ) -> Result<Response<ShowSubscriberReply>, Status> {
        let caller = self.permit(&request, "ShowSubscriber", &READ).await?;
        let ask = Ask::Subscriber { nai: request.into_inner().nai };
        let Answer::Subscriber { subscriber, grants } = self.desk.ask(caller, ask).await? else {
            return Err(unexpected());
        };
        let now = unix_s();
        Ok(Response::new(ShowSubscriberReply {
            subscriber: Some(convert::subscriber(subscriber)),
            associations: grants.into_iter().map(|grant| convert::association(grant, now)).collect(),
        }))
    }

    async fn revoke_subscriber(
        &self,
        request: Request<RevokeSubscriberRequest>,
    ) -> Result<Response<RevokeSubscriberReply>, Status> {
        let caller = self.permit(&request, "RevokeSubscriber", &CHANGE).await?;
        let RevokeSubscriberRequest { nai, reason, dry_run } = request.into_inner();
        let ask = Ask::RevokeSubscriber { nai, reason, dry_run };
        let (change, associations, home_agent) = match self.desk.ask(caller.clone(), ask).await? {
            Answer::Revoked { change, associations, home_agent, .. } => (change, associations, home_agent),
            Answer::WouldDo => return Ok(Response::new(RevokeSubscriberReply::default())),
            _ => return Err(unexpected()),
        };
        let (taken_over_by, not_yet_at) = self.taken_over(caller, home_agent, change).await?;
        Ok(Response::new(RevokeSubscriberReply { change, associations, taken_over_by, not_yet_at }))
    }

    async fn list_associations(
        &self,
        request: Request<ListAssociationsRequest>,
    ) -> Result<Response<Self::ListAssociationsStream>, Status> {
        let caller = self.permit(&request, "ListAssociations", &READ).await?;
        let ListAssociationsRequest { subscriber, include_ended } = request.into_inner();
        let desk = self.desk.clone();
        Ok(streamed(async move |to: To<Association>| {
            let mut after = 0;
            loop {
                let ask = Ask::Grants { after, limit: PAGE, nai: subscriber.clone(), include_ended };
                let Answer::Grants(page) = desk.ask(caller.clone(), ask).await? else {
                    return Err(unexpected());
                };
                after = page.items.last().map_or(0, |last| last.id);
                let now = unix_s();
                let items = page.items.into_iter().map(|grant| convert::association(grant, now));
                if !send_all(&to, items).await || !page.more {
                    return Ok(());
                }
            }
        }))
    }

    async fn revoke_association(
        &self,
        request: Request<RevokeAssociationRequest>,
    ) -> Result<Response<RevokeAssociationReply>, Status> {
        let caller = self.permit(&request, "RevokeAssociation", &CHANGE).await?;
        let RevokeAssociationRequest { id, reason, dry_run } = request.into_inner();
        let ask = Ask::RevokeAssociation { id, reason, dry_run };
        let (change, home_agent) = match self.desk.ask(caller.clone(), ask).await? {
            Answer::Revoked { change, home_agent, .. } => (change, home_agent),
            Answer::WouldDo => return Ok(Response::new(RevokeAssociationReply::default())),
            _ => return Err(unexpected()),
        };
        let (taken_over_by, not_yet_at) = self.taken_over(caller, home_agent, change).await?;
        Ok(Response::new(RevokeAssociationReply { change, taken_over_by, not_yet_at }))
    }

    async fn register_home_agent(
        &self,
        request: Request<RegisterHomeAgentRequest>,
    ) -> Result<Response<RegisterHomeAgentReply>, Status> {
        let caller = self.permit(&request, "RegisterHomeAgent", &CHANGE).await?;
        let RegisterHomeAgentRequest { name, address, dry_run } = request.into_inner();
        self.desk.ask(caller, Ask::RegisterHomeAgent { name, address, dry_run }).await?;
        Ok(Response::new(RegisterHomeAgentReply {}))
    }

    async fn list_home_agents(
        &self,
        request: Request<ListHomeAgentsRequest>,
    ) -> Result<Response<Self::ListHomeAgentsStream>, Status> {
        let caller = self.permit(&request, "ListHomeAgents", &READ).await?;
        let agents = self.home_agents(caller).await?;
        let watchers = self.watchers.clone();
        Ok(streamed(async move |to: To<HomeAgent>| {
            let items = agents.into_iter().map(|agent| {
                let progress = watchers.progress(&agent.name);
                HomeAgent {
                    name: agent.name,
                    address: agent.address.map_or(String::new(), |it| it.to_string()),
                    registered_unix_s: agent.registered,
                    connected: progress.connected(),
                    acknowledged: progress.acknowledged,
                }
            });
            send_all(&to, items).await;
            Ok(())
        }))
    }

    async fn audit_trail(
        &self,
        request: Request<AuditTrailRequest>,
    ) -> Result<Response<Self::AuditTrailStream>, Status> {
        self.permit(&request, "AuditTrail", &READ).await?;
        let AuditTrailRequest { mut since, follow } = request.into_inner();
        let (store, mut audited) = (self.store.clone(), self.desk.audited());
        Ok(streamed(async move |to: To<AuditEntry>| {
            loop {
                // Marked as seen before reading, so that no entry in between is missed.
                audited.borrow_and_update();
                let read = store.audit(since, AUDIT_PAGE).await;
                let entries = read.map_err(|error| Status::unavailable(error.to_string()))?;
                let full = entries.len() == AUDIT_PAGE as usize;
                since = entries.last().map_or(since, |last| last.number);
                if !send_all(&to, entries.into_iter().map(convert::audit_entry)).await {
                    return Ok(());
                }
                if full {
                    continue;
                }
                if !follow {
                    return Ok(());
                }
                tokio::select! {
                    () = to.closed() => return Ok(()),
                    changed = audited.changed() => if changed.is_err() { return Ok(()) },
                }
            }
        }))
    }
}

/// A reply whose items a task of its own produces; an error of the task ends the stream with that status.
fn streamed<T, F, R>(produce: F) -> Response<Items<T>>
where
    T: Send + 'static,
    F: FnOnce(To<T>) -> R + Send + 'static,
    R: Future<Output = Result<(), Status>> + Send,
{
    let (to, items) = mpsc::channel(READY);
    tokio::spawn(async move {
        if let Err(status) = produce(to.clone()).await {
            let _ = to.send(Err(status)).await;
        }
    });
    Response::new(ReceiverStream::new(items))
}

/// False if the receiver is gone.
async fn send_all<T>(to: &To<T>, items: impl Iterator<Item = T>) -> bool {
    for item in items {
        if to.send(Ok(item)).await.is_err() {
            return false;
        }
    }
    true
}

fn unexpected() -> Status {
    Status::internal("the machine answered something else")
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

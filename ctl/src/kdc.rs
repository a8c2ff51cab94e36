//! What is asked of the key distribution centre, over TLS with the certificate of a client profile.
//!
//! A key is never shown: KEY 0 goes from the answer into the enrolment file and nowhere else.

mod backup;
mod enrol;
mod export;
mod json;
mod realm;
mod rotate;
mod show;

use std::{path::PathBuf, time::Duration};

use admin::client::Profile;
use clap::{Args, Subcommand};
use daemon::config::{self, Check, Config};
use proto::kdc::{
    AuditTrailRequest, ListAssociationsRequest, ListHomeAgentsRequest, ListSubscribersRequest,
    RegisterHomeAgentRequest, ReloadRequest, RevokeAssociationRequest, RevokeSubscriberRequest,
    ShowSubscriberRequest, WatchEventsRequest, kdc_admin_client::KdcAdminClient,
};
use serde_json::Value;
use tonic::{Request, Streaming, transport::Channel};

use crate::{
    failure::Failure,
    output::{json_value, line},
};

/// How long an answer may take: a change waits for the disk and a little for connected home agents.
const ANSWER: Duration = Duration::from_secs(15);
/// How long a whole list may take.
const LIST: Duration = Duration::from_secs(120);

/// What a key distribution centre can be asked.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Makes a mobile node known, and writes the file that it needs, readable by you alone.
    #[command(
        after_help = "Example:\n  sojourn kdc enrol traveller-one@home.example --home-address 10.11.1.50 --home-prefix 24 \\\n    --home-agent 10.11.1.2 --home-gateway 10.11.1.1 --out traveller-one.toml"
    )]
    Enrol(enrol::Enrol),

    /// Gives a mobile node a new KEY 0 and writes its new file; the old key is accepted a while longer.
    #[command(
        after_help = "Example:\n  sojourn kdc rotate traveller-one@home.example --overlap 7d --out traveller-one.toml"
    )]
    Rotate(rotate::Rotate),

    /// The keys of the realm, by which a mobile node is known that has lost its place.
    #[command(subcommand, arg_required_else_help = true)]
    RealmKey(realm::Command),

    /// The subscribers, in order of name.
    List {
        /// Revoked ones too.
        #[arg(long)]
        all: bool,
    },

    /// One subscriber and its associations.
    Show {
        /// Which, as user@realm.
        nai: String,
    },

    /// Ends a subscriber: no more keys, its binding is removed, its key is forgotten.
    Revoke {
        /// Which, as user@realm.
        nai: String,
        #[command(flatten)]
        how: How,
    },

    /// Whose keys were issued, for whom, until when; the keys by fingerprint.
    Associations {
        /// Only of this subscriber.
        #[arg(long, value_name = "NAI")]
        subscriber: Option<String>,
        /// Ended and revoked ones too, as long as they are kept.
        #[arg(long)]
        all: bool,
    },

    /// Ends one association before its time; the home agent removes what was bound with it.
    RevokeAssociation {
        /// Its number, from `sojourn kdc associations`.
        id: u64,
        #[command(flatten)]
        how: How,
    },

    /// Lets a home agent take over subscribers and ask for keys.
    RegisterHomeAgent {
        /// Its NAI, which is also the name in its certificate.
        name: String,
        /// Only for the subscribers whose home agent has this address; without it for every subscriber.
        #[arg(long)]
        address: Option<std::net::Ipv4Addr>,
        /// Checks everything and changes nothing.
        #[arg(long)]
        dry_run: bool,
    },

    /// The registered home agents, and whether each is connected.
    HomeAgents,

    /// What happens, as it happens: subscribers, keys, home agents coming and going.
    Events {
        /// Go on with events as they happen, until interrupted.
        #[arg(long, short)]
        follow: bool,
        /// Only events with a higher number.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        since: u64,
    },

    /// Copies the store, while it is in use, into a file for you alone; keys in it stay sealed.
    #[command(
        after_help = "Example:\n  sojourn kdc backup kdc-2026-11-21.backup\n\nIt is restored with `kdc restore`, and only under the same key-encryption key:\nback that up too, and somewhere else."
    )]
    Backup(backup::Backup),

    /// Reads its configuration file and certificates again, all or nothing, and says what is different.
    Reload,

    /// What was done and what was refused, oldest first.
    #[command(args_conflicts_with_subcommands = true)]
    Audit {
        #[command(subcommand)]
        export: Option<export::Command>,
        /// Go on with entries as they are made, until interrupted.
        #[arg(long, short)]
        follow: bool,
        /// Only entries with a higher number.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        since: u64,
    },
}

/// How to revoke.
#[derive(Args)]
pub(crate) struct How {
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Checks everything and changes nothing.
    #[arg(long)]
    dry_run: bool,
}

/// A client profile as a file: `admin.toml`.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct ProfileFile(Profile);

impl Config for ProfileFile {
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        self.0.paths()
    }

    fn validate(&self, check: &mut Check) {
        for (key, message) in self.0.problems() {
            check.problem(key, message);
        }
    }
}

type Client = KdcAdminClient<Channel>;

/// A client, and where it connects to.
fn connect(profile: Option<PathBuf>) -> Result<(Client, String), Failure> {
    let path = profile.ok_or_else(|| {
        Failure::Unreachable(
            "which key distribution centre? Give --profile FILE, or set SOJOURN_KDC, to the admin.toml that `kdc init` made"
                .to_owned(),
        )
    })?;
    let profile: ProfileFile =
        config::load(&path).map_err(|error| Failure::Unreachable(error.to_string()))?;
    Ok((Client::new(admin::client::channel(&profile.0)?), profile.0.endpoint))
}

/// Asks the key distribution centre of `profile` and writes its answer.
pub(crate) async fn run(command: Command, profile: Option<PathBuf>, json: bool) -> Result<(), Failure> {
    let (mut client, endpoint) = connect(profile)?;
    ask(command, &mut client, json).await.map_err(|failure| match failure {
        Failure::Unreachable(why) => {
            Failure::Unreachable(format!("the key distribution centre at {endpoint}: {why}"))
        }
        refused @ Failure::Refused(_) => refused,
    })
}

async fn ask(command: Command, client: &mut Client, json: bool) -> Result<(), Failure> {
    match command {
        Command::Enrol(enrol) => enrol.run(client, json).await?,
        Command::Rotate(rotate) => rotate.run(client, json).await?,
        Command::RealmKey(command) => command.run(client, json).await?,
        Command::Events { follow, since } => {
            events(client, WatchEventsRequest { since, follow }, json).await?;
        }
        Command::Backup(backup) => backup.run(client, json).await?,
        Command::Reload => {
            let reply = client.reload(within(ANSWER, ReloadRequest {})).await?.into_inner();
            crate::agents::show_changes(&reply.changes, json);
        }
        Command::List { all } => {
            let request = ListSubscribersRequest { include_revoked: all };
            let reply = client.list_subscribers(within(LIST, request)).await?;
            answer(reply.into_inner(), json, json::subscriber, show::subscribers).await?;
        }
        Command::Show { nai } => {
            let reply =
                client.show_subscriber(within(ANSWER, ShowSubscriberRequest { nai })).await?.into_inner();
            if json {
                json_value(&json::shown(&reply));
            } else {
                show::shown(&reply);
            }
        }
        Command::Revoke { nai, how } => revoke(client, nai, how, json).await?,
        Command::Associations { subscriber, all } => {
            let subscriber = subscriber.unwrap_or_default();
            let request = ListAssociationsRequest { subscriber, include_ended: all };
            let reply = client.list_associations(within(LIST, request)).await?;
            answer(reply.into_inner(), json, json::association, show::associations).await?;
        }
        Command::RevokeAssociation { id, how } => revoke_association(client, id, how, json).await?,
        Command::RegisterHomeAgent { name, address, dry_run } => {
            let address = address.map_or(String::new(), |it| it.to_string());
            let request = RegisterHomeAgentRequest { name: name.clone(), address, dry_run };
            client.register_home_agent(within(ANSWER, request)).await?;
            done(json, dry_run, &format!("{name} is registered."), serde_json::json!({ "name": name }));
        }
        Command::HomeAgents => {
            let reply = client.list_home_agents(within(ANSWER, ListHomeAgentsRequest {})).await?;
            answer(reply.into_inner(), json, json::home_agent, show::home_agents).await?;
        }
        Command::Audit { export: Some(command), .. } => command.run(client, json).await?,
        Command::Audit { export: None, follow, since } => {
            audit(client, AuditTrailRequest { since, follow }, json).await?;
        }
    }
    Ok(())
}

async fn revoke(client: &mut Client, nai: String, how: How, json: bool) -> Result<(), Failure> {
    let How { reason, dry_run } = how;
    let request = RevokeSubscriberRequest { nai: nai.clone(), reason, dry_run };
    let reply = client.revoke_subscriber(within(ANSWER, request)).await?.into_inner();
    let sentence = format!(
        "{nai} is revoked; associations that ended with it: {}.\n{}",
        reply.associations,
        show::taken_over(&reply.taken_over_by, &reply.not_yet_at)
    );
    done(json, dry_run, &sentence, json::revoked(&reply));
    Ok(())
}

async fn revoke_association(client: &mut Client, id: u64, how: How, json: bool) -> Result<(), Failure> {
    let How { reason, dry_run } = how;
    let request = RevokeAssociationRequest { id, reason, dry_run };
    let reply = client.revoke_association(within(ANSWER, request)).await?.into_inner();
    let who = show::taken_over(&reply.taken_over_by, &reply.not_yet_at);
    done(json, dry_run, &format!("Association {id} is revoked. {who}"), json::association_revoked(&reply));
    Ok(())
}

/// Says what was done, or that it could be.
fn done(json: bool, dry_run: bool, sentence: &str, mut value: Value) {
    if json {
        value["dry_run"] = dry_run.into();
        json_value(&value);
    } else if dry_run {
        line("It could be done; nothing was changed.");
    } else {
        line(sentence.trim_end());
    }
}

fn within<T>(time: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(time);
    request
}

/// Takes all rows of `reply`, so that the table's columns fit all of them.
async fn answer<T>(
    mut reply: Streaming<T>,
    json: bool,
    to_json: fn(&T) -> Value,
    show: fn(&[T]),
) -> Result<(), Failure> {
    let mut rows = Vec::new();
    while let Some(row) = reply.message().await? {
        rows.push(row);
    }
    if json {
        json_value(&rows.iter().map(to_json).collect());
    } else {
        show(&rows);
    }
    Ok(())
}

/// Event by event, as they happen.
async fn events(client: &mut Client, which: WatchEventsRequest, json: bool) -> Result<(), Failure> {
    let mut request = Request::new(which);
    if !which.follow {
        request.set_timeout(LIST);
    }
    let mut events = client.watch_events(request).await?.into_inner();
    while let Some(event) = events.message().await? {
        line(&if json { json::event(&event).to_string() } else { show::event(&event) });
    }
    Ok(())
}

/// Seconds from a text as in 7d, 12h, 30m or 90 (seconds).
fn seconds(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.strip_suffix(['d', 'h', 'm', 's']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let factor = match unit {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        _ => 1,
    };
    let count = number.parse::<u32>().ok().and_then(|count| count.checked_mul(factor));
    count.ok_or_else(|| "a time as in 7d, 12h, 30m or 90s is expected; 0 is at once".to_owned())
}

/// Entry by entry, because nobody knows how many there are; without a deadline when following.
async fn audit(client: &mut Client, which: AuditTrailRequest, json: bool) -> Result<(), Failure> {
    let mut request = Request::new(which);
    if !which.follow {
        request.set_timeout(LIST);
    }
    let mut entries = client.audit_trail(request).await?.into_inner();
    while let Some(entry) = entries.message().await? {
        line(&if json { json::audit_entry(&entry).to_string() } else { show::audit_entry(&entry) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_their_unit() {
        assert_eq!(seconds("7d"), Ok(604_800));
        assert_eq!(seconds("12h"), Ok(43_200));
        assert_eq!(seconds("30m"), Ok(1_800));
        assert_eq!((seconds("90s"), seconds("90"), seconds("0")), (Ok(90), Ok(90), Ok(0)));
        for wrong in ["", "d", "-1d", "1.5h", "7 d", "99999d", "1dd", "1w", "é"] {
            assert!(seconds(wrong).is_err(), "{wrong:?}");
        }
    }
}

//! `sojourn kdc realm-key`: the keys of the realm.

use clap::Subcommand;
use daemon::enrolment::realm_keys_toml;
use proto::kdc::{ListRealmKeysRequest, RotateRealmKeyRequest};
use serde_json::{Value, json};

use super::{ANSWER, Client, done, enrol, json, seconds, show, within};
use crate::{
    failure::Failure,
    output::{json_value, line},
};

/// What to do with them.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// The valid ones, newest first; only public halves.
    List {
        /// As they stand in enrolment files: to put into those of mobile nodes already enrolled, in place of what
        /// stands there.
        #[arg(long)]
        toml: bool,
    },
    /// Makes a new one; those before it are accepted a while longer.
    #[command(
        after_help = "Mobile nodes enrolled before know the old keys only: bring them the output of\n`sojourn kdc realm-key list --toml`, or a rotation's file, before the overlap ends."
    )]
    Rotate {
        /// For how long the old ones are accepted too, as in 90d or 12h; at most 730d. 0 ends them at once.
        #[arg(long, value_name = "TIME", default_value = "90d", value_parser = seconds)]
        overlap: u32,
        /// Checks everything and changes nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

impl Command {
    pub(super) async fn run(self, client: &mut Client, json: bool) -> Result<(), Failure> {
        match self {
            Self::List { toml } => list(client, toml, json).await,
            Self::Rotate { overlap, dry_run } => rotate(client, overlap, dry_run, json).await,
        }
    }
}

async fn list(client: &mut Client, toml: bool, json: bool) -> Result<(), Failure> {
    let reply = client.list_realm_keys(within(ANSWER, ListRealmKeysRequest {})).await?.into_inner();
    if json {
        json_value(&reply.keys.iter().map(json::realm_key).collect::<Vec<Value>>().into());
    } else if toml {
        let keys = reply.keys.iter().filter_map(|it| it.key.as_ref());
        let keys = keys.map(enrol::realm_key).collect::<Result<Vec<_>, _>>().map_err(Failure::Refused)?;
        line(realm_keys_toml(&keys).trim());
    } else {
        show::realm_keys(&reply.keys);
    }
    Ok(())
}

async fn rotate(client: &mut Client, overlap: u32, dry_run: bool, json: bool) -> Result<(), Failure> {
    let request = RotateRealmKeyRequest { overlap_s: overlap, dry_run };
    let reply = client.rotate_realm_key(within(ANSWER, request)).await?.into_inner();
    let id = reply.key.as_ref().and_then(|it| it.key.as_ref()).map_or(0, |key| key.id);
    let who = show::taken_over(&reply.taken_over_by, &reply.not_yet_at);
    let value = json!({
        "key": reply.key.as_ref().map(json::realm_key),
        "taken_over_by": reply.taken_over_by, "not_yet_at": reply.not_yet_at,
    });
    done(json, dry_run, &format!("The realm has a new key, {id}. {who}"), value);
    Ok(())
}

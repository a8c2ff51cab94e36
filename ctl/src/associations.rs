//! `sojourn sa`: the security associations of any agent, over its Unix socket.

pub(crate) mod show;

use std::{collections::BTreeSet, net::Ipv4Addr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use futures_util::{StreamExt as _, stream};
use proto::agent::{
    Association, DeleteAssociationRequest, ListAssociationsRequest, RenewAssociationRequest,
    agent_client::AgentClient,
};
use serde_json::json;
use tonic::{Status, transport::Channel};

use crate::{
    agents::{self, ANSWER, within},
    failure::Failure,
    output::{counting, json_value, line, warn},
};

/// How long a renewal may take: the mobile node is told four times, two seconds apart.
const RENEWAL: Duration = Duration::from_secs(30);
/// Renewals that are waited for at a time.
const AT_A_TIME: usize = 64;

/// What can be done with security associations.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// All of them, a line each.
    #[command(after_help = "\
STATE is \"in use\"; \"new\" until something came under it, when the one before still sends; or
\"retiring\" once a newer one is in use: it only receives, for ten seconds.

Examples:
  sojourn sa list --socket /run/ha.sock
  sojourn sa list --peer fa-a@visited-a.example --socket /run/ha.sock
  sojourn sa list --mode stateless --json --socket /run/mn.sock")]
    List(List),
    /// Everything about one of them but its key.
    #[command(after_help = "Example:\n  sojourn sa show 2764505361 --socket /run/fa.sock")]
    Show(Which),
    /// Makes new ones in their place before their time; not a packet is lost.
    #[command(after_help = "\
All associations of a registration are renewed together, by a registration of the mobile node: a
home agent or foreign agent tells it to register, under an association with it. Algorithms,
lifetimes and ways to make keys are negotiated anew, so what was changed in [negotiation] and read
again by `reload` counts from then on. Done when the new associations stand; if nobody renewed,
the old ones stand as before, and the exit code is 1.

Examples:
  sojourn sa renew 2764505361 --socket /run/fa.sock
  sojourn sa renew --all --socket /run/ha.sock             every registration of this home agent")]
    Renew(Renew),
    /// Ends a registration with all its associations, at everybody who holds one.
    #[command(after_help = "\
An association does not end alone: the registration that it belongs to ends, durably, and with it
the other associations of that registration. The other agent is told until it acknowledges, the
mobile node as configured; at a mobile node it is a deregistration. The mobile node may register
again at once: to keep it away for good use `sojourn kdc revoke`.

Example:
  sojourn sa delete 2764505361 --socket /run/ha.sock")]
    Delete(Which),
}

/// Which ones to list.
#[derive(Args)]
pub(crate) struct List {
    /// Only those with this peer, by its name.
    #[arg(long, value_name = "NAME")]
    peer: Option<String>,
    /// Only those of the mobile node with this home address.
    #[arg(long, value_name = "ADDRESS")]
    home_address: Option<Ipv4Addr>,
    /// Only those whose key was made so.
    #[arg(long, value_parser = ["stateful", "semi-stateful", "stateless"])]
    mode: Option<String>,
}

impl List {
    fn wants(&self, association: &Association) -> bool {
        let address = self.home_address.map(|address| address.to_string());
        self.peer.as_ref().is_none_or(|peer| *peer == association.peer_name)
            && address.is_none_or(|address| address == association.home_address)
            && self.mode.as_ref().is_none_or(|mode| *mode == association.mode)
    }
}

/// One of them.
#[derive(Args)]
pub(crate) struct Which {
    /// The index that it receives under here: SPI IN of `sa list`.
    #[arg(value_name = "SPI")]
    spi: u32,
}

/// Which ones to renew.
#[derive(Args)]
pub(crate) struct Renew {
    /// The index that one of the registration's associations receives under here: SPI IN of `sa list`.
    #[arg(value_name = "SPI", required_unless_present = "all", conflicts_with = "all")]
    spi: Vec<u32>,
    /// Every registration that has associations here.
    #[arg(long)]
    all: bool,
}

type Client = AgentClient<Channel>;

/// Asks the agent behind `socket`, whichever it is, and writes its answer.
pub(crate) async fn run(command: Command, socket: Option<PathBuf>, json: bool) -> Result<(), Failure> {
    let mut client = agents::connect(socket).await?;
    match command {
        Command::List(which) => {
            let mut rows = all(&mut client).await?;
            rows.retain(|row| which.wants(row));
            if json {
                json_value(&rows.iter().map(agents::json::association).collect());
            } else {
                show::list(&rows);
            }
        }
        Command::Show(Which { spi }) => {
            let rows = all(&mut client).await?;
            let found = rows.iter().find(|row| row.inbound_spi == spi).ok_or_else(|| none(spi))?;
            if json {
                json_value(&agents::json::association(found));
            } else {
                show::one(found);
            }
        }
        Command::Renew(Renew { spi, all: false }) => {
            for spi in spi {
                client
                    .renew_association(within(RENEWAL, RenewAssociationRequest { inbound_spi: spi }))
                    .await?;
                renewed(&mut client, spi, json).await?;
            }
        }
        Command::Renew(Renew { all: true, .. }) => renew_all(&mut client, json).await?,
        Command::Delete(Which { spi }) => {
            client.delete_association(within(ANSWER, DeleteAssociationRequest { inbound_spi: spi })).await?;
            agents::done(json, &format!("The registration of {spi} is gone, with all its associations."));
        }
    }
    Ok(())
}

fn none(spi: u32) -> Failure {
    Failure::Refused(format!("no association receives under index {spi} here; `sojourn sa list` shows them"))
}

async fn all(client: &mut Client) -> Result<Vec<Association>, Failure> {
    let mut reply = client.list_associations(within(ANSWER, ListAssociationsRequest {})).await?.into_inner();
    let mut rows = Vec::new();
    while let Some(row) = reply.message().await? {
        rows.push(row);
    }
    Ok(rows)
}

/// Says what took the place of an association.
async fn renewed(client: &mut Client, spi: u32, json: bool) -> Result<(), Failure> {
    let rows = all(client).await?;
    let before = rows.iter().find(|row| row.inbound_spi == spi);
    let same = |row: &&Association| {
        before.is_none_or(|of| (&row.kind, &row.home_address) == (&of.kind, &of.home_address))
    };
    let after: Vec<_> = rows.iter().filter(|row| row.inbound_spi != spi).filter(same).collect();
    let youngest = after.into_iter().min_by_key(|row| row.age_s).filter(|_| before.is_some());
    match youngest {
        Some(new) if json => json_value(&agents::json::association(new)),
        Some(new) => line(&format!(
            "{} of {} was renewed: it receives under {} now, {}.",
            new.kind,
            new.home_address,
            new.inbound_spi,
            show::algorithms(new)
        )),
        None => {
            agents::done(json, &format!("The registration of {spi} was renewed, with all its associations."));
        }
    }
    Ok(())
}

/// One association a registration is enough.
fn one_each(rows: &[Association]) -> Vec<u32> {
    let mut seen = BTreeSet::new();
    let standing = rows.iter().filter(|row| row.state != "retiring");
    standing.filter(|row| seen.insert(&row.home_address)).map(|row| row.inbound_spi).collect()
}

async fn renew_all(client: &mut Client, json: bool) -> Result<(), Failure> {
    let rows = all(client).await?;
    let wanted = one_each(&rows);
    let bar = counting(wanted.len());
    let renewals = wanted.iter().map(|spi| {
        let (mut client, spi) = (client.clone(), *spi);
        async move {
            let request = within(RENEWAL, RenewAssociationRequest { inbound_spi: spi });
            (spi, client.renew_association(request).await.map(drop))
        }
    });
    let answers = stream::iter(renewals).buffer_unordered(AT_A_TIME);
    let answers: Vec<(u32, Result<(), Status>)> = answers.inspect(|_| bar.inc(1)).collect().await;
    bar.finish_and_clear();
    let failed: Vec<_> =
        answers.iter().filter_map(|(spi, result)| Some((spi, result.as_ref().err()?))).collect();
    for (spi, why) in &failed {
        let address = rows.iter().find(|row| row.inbound_spi == **spi).map_or("", |row| &row.home_address);
        warn(&format!("{address} (index {spi}) was not renewed: {}", why.message()));
    }
    let done = answers.len() - failed.len();
    if json {
        json_value(&json!({ "renewed": done, "not_renewed": failed.len() }));
    } else {
        line(&format!("{done} of {} registrations were renewed.", answers.len()));
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Refused(format!("{} registrations stand as before", failed.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(spi: u32, address: &str, state: &str) -> Association {
        Association {
            inbound_spi: spi,
            home_address: address.to_owned(),
            state: state.to_owned(),
            ..Association::default()
        }
    }

    #[test]
    fn one_association_of_each_registration_is_renewed_and_none_that_retires() {
        let rows = [
            row(1, "10.11.1.50", "retiring"),
            row(2, "10.11.1.50", "in use"),
            row(3, "10.11.1.50", "in use"),
            row(4, "10.11.1.51", "new"),
        ];
        assert_eq!(one_each(&rows), [2, 4]);
    }
}

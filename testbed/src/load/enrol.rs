//! Makes all nodes known to the key distribution centre, over its own gRPC with many requests on their way, and waits
//! until the home agent has taken them over.

use std::time::{Duration, Instant};

use admin::client::{Profile, channel};
use anyhow::{Context, Result, bail};
use crypto::Key;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use proto::kdc::{EnrolSubscriberRequest, ListHomeAgentsRequest, kdc_admin_client::KdcAdminClient};
use tonic::transport::Channel;

use super::lab::{HOME_ADDRESS, HOME_AGENT, HOME_PREFIX, Lab, home_address, nai};

/// Enrolments on their way at a time.
const IN_FLIGHT: usize = 256;
/// How long one of them may take.
const ANSWER: Duration = Duration::from_secs(60);
/// How long the home agent may take to make all of them its own.
const TAKEOVER: Duration = Duration::from_secs(300);
/// Between two questions how far it is.
const AGAIN: Duration = Duration::from_millis(50);

/// One enrolled node: its KEY 0 and the number of the change that made it known.
pub(super) struct Enrolled {
    pub(super) key0: Key,
    change: u64,
}

/// Enrols nodes 0 to `nodes`, all with or all without key shares.
pub(super) fn enrol(lab: &Lab, nodes: u32, shares: bool) -> Result<Vec<Enrolled>> {
    let profile = profile(lab)?;
    lab.home.run(move |inside| {
        inside.wait(async {
            let client = KdcAdminClient::new(channel(&profile)?);
            let all = stream::iter(0..nodes).map(|node| one(client.clone(), node, shares));
            all.buffered(IN_FLIGHT).try_collect().await
        })
    })
}

async fn one(mut client: KdcAdminClient<Channel>, node: u32, shares: bool) -> Result<Enrolled> {
    let name = nai(node);
    let mut request = tonic::Request::new(EnrolSubscriberRequest {
        nai: name.clone(),
        home_address: home_address(node).to_string(),
        home_prefix_length: HOME_PREFIX.into(),
        home_agent: HOME_ADDRESS.to_string(),
        no_fs: !shares,
        ..EnrolSubscriberRequest::default()
    });
    request.set_timeout(ANSWER);
    let answer = client.enrol_subscriber(request).await;
    let answer = answer.map_err(|status| anyhow::anyhow!("cannot enrol {name}: {}", status.message()))?;
    let answer = answer.into_inner();
    let mut enrolment = answer.enrolment.context("an enrolment without its file")?;
    let key0 = Key::from_slice(&enrolment.key0).context("a KEY 0 that has not 32 octets")?;
    crypto::wipe(&mut enrolment.key0);
    if !enrolment.one_time {
        bail!("{name} was enrolled without one-time indices");
    }
    Ok(Enrolled { key0, change: answer.change })
}

/// Waits until the home agent has all of them in its own store.
pub(super) fn await_takeover(lab: &Lab, enrolled: &[Enrolled]) -> Result<()> {
    let profile = profile(lab)?;
    let wanted = enrolled.iter().map(|enrolled| enrolled.change).max().unwrap_or(0);
    lab.home.run(move |inside| {
        inside.wait(async {
            let mut client = KdcAdminClient::new(channel(&profile)?);
            let limit = Instant::now() + TAKEOVER;
            loop {
                let agents = client.list_home_agents(ListHomeAgentsRequest {}).await;
                let agents = agents.context("the key distribution centre does not answer")?.into_inner();
                let agents: Vec<_> = agents.try_collect().await?;
                if agents.iter().any(|agent| agent.name == HOME_AGENT && agent.acknowledged >= wanted) {
                    return Ok(());
                }
                if Instant::now() > limit {
                    bail!("the home agent has not taken all subscribers over after {} s", TAKEOVER.as_secs());
                }
                tokio::time::sleep(AGAIN).await;
            }
        })
    })
}

/// The administrator's profile, its paths made absolute.
pub(super) fn profile(lab: &Lab) -> Result<Profile> {
    let folder = lab.administration()?;
    let text = std::fs::read_to_string(folder.join("admin.toml"))?;
    let mut profile: Profile = toml::from_str(&text).context("admin.toml of the key distribution centre")?;
    for path in profile.paths() {
        *path = folder.join(&*path);
    }
    Ok(profile)
}

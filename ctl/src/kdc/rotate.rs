//! `sojourn kdc rotate`: a new KEY 0, in a new file for its owner alone.

use std::path::PathBuf;

use clap::Args;
use daemon::config::Nai;
use proto::kdc::RotateSubscriberRequest;
use serde_json::json;

use super::{ANSWER, Client, done, enrol, seconds, show, within};
use crate::{failure::Failure, time::utc};

/// Whose key to rotate.
#[derive(Args)]
pub(crate) struct Rotate {
    /// Name of the mobile node, as user@realm.
    nai: Nai,

    /// For how long the old key is accepted too, as in 7d, 12h or 30m; at most 90d. 0 ends it at once, with what
    /// is bound by it: for a key that is known to others.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = seconds)]
    overlap: u32,

    /// Checks everything and changes nothing.
    #[arg(long)]
    dry_run: bool,

    /// The new enrolment file to write; it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Rotate {
    pub(super) async fn run(self, client: &mut Client, json: bool) -> Result<(), Failure> {
        enrol::check_place(&self.out)?;
        let Self { nai, overlap, dry_run, out } = self;
        let request = RotateSubscriberRequest { nai: nai.to_string(), overlap_s: overlap, dry_run };
        let reply = client.rotate_subscriber(within(ANSWER, request)).await;
        let reply = reply.map_err(|status| explain(&nai, status))?.into_inner();
        let Some(enrolment) = reply.enrolment else {
            done(json, true, "", json!({ "nai": nai.to_string() }));
            return Ok(());
        };
        let generation = enrolment.generation;
        let spi = enrol::write(enrolment, &out).map_err(|why| {
            Failure::Refused(format!(
                "{nai} has a new key, but its file could not be written ({why}): rotate again, and bring that file \
                 to it at once, for the key that it has ends with the second rotation"
            ))
        })?;
        let file = out.display().to_string();
        let until = match overlap {
            0 => "The old key has ended.".to_owned(),
            _ => format!("The old key is accepted until {}.", utc(reply.ends_unix_s)),
        };
        let who = show::taken_over(&reply.taken_over_by, &reply.not_yet_at);
        let sentence = format!(
            "{nai} has a new key, SPI {spi}, generation {generation}. Bring {file} to it, and leave no copy \
             behind.\n{until}\n{who}"
        );
        let value = json!({
            "nai": nai.to_string(), "spi": spi, "generation": generation, "file": file,
            "change": reply.change, "old_key_ends_unix_s": reply.ends_unix_s,
            "taken_over_by": reply.taken_over_by, "not_yet_at": reply.not_yet_at,
        });
        done(json, false, &sentence, value);
        Ok(())
    }
}

/// A lost answer leaves it open whether it was done.
fn explain(nai: &Nai, status: tonic::Status) -> Failure {
    let lost = matches!(status.code(), tonic::Code::DeadlineExceeded | tonic::Code::Cancelled);
    match Failure::from(status) {
        Failure::Unreachable(why) if lost => Failure::Unreachable(format!(
            "{why}; the generation in `sojourn kdc show {nai}` tells whether it was done; if so, rotate again, and \
             bring that file to it at once, for the key that it has ends with the second rotation"
        )),
        other => other,
    }
}

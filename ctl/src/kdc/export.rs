//! `sojourn kdc audit export`: the audit trail in a file.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use proto::kdc::{AuditEntry, AuditTrailRequest};
use serde_json::json;
use tonic::Request;

use super::{Client, backup::Whole, done, json};
use crate::{failure::Failure, output::progress};

/// What else to do with the audit trail.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Writes it into a file for you alone, whole and in order.
    #[command(
        after_help = "Example:\n  sojourn kdc audit export audit-1.jsonl                 all of it; says the last number\n  sojourn kdc audit export audit-2.jsonl --since 4711    what has come since"
    )]
    Export {
        /// The file to write; it must not exist.
        #[arg(value_name = "FILE")]
        out: PathBuf,
        /// Only entries with a higher number: the last one of the export before.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        since: u64,
        /// How to write it.
        #[arg(long, value_enum, default_value_t = Format::JsonLines)]
        format: Format,
    },
}

/// How an export looks.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line.
    JsonLines,
    /// Comma-separated values (RFC 4180) under a line of headings.
    Csv,
}

impl Command {
    pub(super) async fn run(self, client: &mut Client, json: bool) -> Result<(), Failure> {
        let Self::Export { out, since, format } = self;
        let mut file = Whole::create(&out)?;
        if matches!(format, Format::Csv) {
            file.write(b"number,unix_ms,actor,role,action,subject,outcome\r\n")?;
        }
        // Without a deadline: nobody knows how long it is.
        let request = Request::new(AuditTrailRequest { since, follow: false });
        let mut entries = client.audit_trail(request).await?.into_inner();
        let (mut last, mut count) = (since, 0_u64);
        let bar = progress(None);
        while let Some(entry) = entries.message().await? {
            // A gap would be an entry that is missing, and nobody could tell from the file.
            if count > 0 && entry.number != last + 1 || entry.number <= last {
                let why = format!("entry {} came after {last}; nothing was kept", entry.number);
                return Err(Failure::Refused(why));
            }
            (last, count) = (entry.number, count + 1);
            let line = match format {
                Format::JsonLines => format!("{}\n", json::audit_entry(&entry)),
                Format::Csv => csv(&entry),
            };
            file.write(line.as_bytes())?;
            bar.set_position(count);
        }
        bar.finish_and_clear();
        file.finish()?;
        let name = out.display().to_string();
        let sentence = format!("{name} has {count} entries, the last of them number {last}.");
        done(json, false, &sentence, json!({ "file": name, "entries": count, "last": last }));
        Ok(())
    }
}

fn csv(entry: &AuditEntry) -> String {
    let texts = [&entry.actor, &entry.role, &entry.action, &entry.subject, &entry.outcome];
    let quoted = texts.map(|text| format!("\"{}\"", text.replace('"', "\"\"")));
    format!("{},{},{}\r\n", entry.number, entry.unix_ms, quoted.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_quotes_stay_in_their_field() {
        let entry = AuditEntry {
            number: 7,
            unix_ms: 9,
            actor: "al,ice".to_owned(),
            subject: "said \"no\"".to_owned(),
            ..AuditEntry::default()
        };
        assert_eq!(csv(&entry), "7,9,\"al,ice\",\"\",\"\",\"said \"\"no\"\"\",\"\"\r\n");
    }
}

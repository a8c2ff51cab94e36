//! `Debug` for the messages that carry keys: it names the message and shows no key.

use std::fmt;

use crate::kdc::{Enrolment, IssueKeysReply, RealmKeyRecord, RetiringKey, SubscriberRecord};

impl fmt::Debug for SubscriberRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriberRecord")
            .field("nai", &self.nai)
            .field("spi", &self.spi)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RetiringKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetiringKey").field("spi", &self.spi).finish_non_exhaustive()
    }
}

impl fmt::Debug for RealmKeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealmKeyRecord").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for IssueKeysReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssueKeysReply").field("association_id", &self.association_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrolment").field("nai", &self.nai).field("spi", &self.spi).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_line_shows_no_key() {
        let key = vec![0xAB; 32];
        let lines = [
            format!("{:?}", SubscriberRecord { key0: key.clone(), ..Default::default() }),
            format!(
                "{:?}",
                IssueKeysReply {
                    key1: key.clone(),
                    key2: key.clone(),
                    key3: key.clone(),
                    ..Default::default()
                }
            ),
            format!("{:?}", RetiringKey { key0: key.clone(), ..Default::default() }),
            format!("{:?}", RealmKeyRecord { secret: key.clone(), ..Default::default() }),
            format!("{:?}", Enrolment { key0: key, ..Default::default() }),
        ];
        for line in lines {
            assert!(
                !line.contains("171") && !line.to_lowercase().contains("ab, ab") && !line.contains("\\xab"),
                "{line}"
            );
        }
    }

    #[test]
    fn the_descriptor_set_names_every_service() {
        let text = String::from_utf8_lossy(crate::FILE_DESCRIPTOR_SET);
        for service in ["KeyDistribution", "KdcAdmin", "Agent"] {
            assert!(text.contains(service), "{service}");
        }
    }
}

//! Compiles the schema with protox, so that no protoc is needed, and keeps the descriptors for reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const SCHEMAS: [&str; 2] = ["agent.proto", "kdc.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for schema in SCHEMAS {
        println!("cargo::rerun-if-changed={schema}");
    }
    let descriptors = protox::compile(SCHEMAS, ["."])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .skip_debug([
            ".sojourn.kdc.v1.SubscriberRecord",
            ".sojourn.kdc.v1.RetiringKey",
            ".sojourn.kdc.v1.RealmKeyRecord",
            ".sojourn.kdc.v1.IssueKeysReply",
            ".sojourn.kdc.v1.Enrolment",
        ])
        .compile_fds(descriptors)?;
    Ok(())
}

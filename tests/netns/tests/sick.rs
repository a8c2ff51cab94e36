//! A home agent that cannot write: its disk is full, or another program holds its database. Nothing is
//! acknowledged meanwhile, nothing is lost, and it goes on by itself afterwards.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    thread,
};

use netns_tests::{Testbed, text, told::Told};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::Uid,
};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

fn up() -> Testbed {
    let testbed = Testbed::new().unwrap();
    testbed.run(&["up".as_ref(), Testbed::scenarios().join("10-walk.toml").as_os_str()]).unwrap();
    testbed
}

fn bindings(testbed: &Testbed) -> Vec<String> {
    testbed.bindings("ha").unwrap()
}

/// Moves the mobile node while the home agent cannot write, sees that nothing is acknowledged, lets `mend` put
/// an end to it, and waits until the node is registered without anybody's help.
fn nothing_is_acknowledged_until(testbed: &Testbed, to: &str, trouble: &str, mend: impl FnOnce()) {
    let before = bindings(testbed);
    let registrations = testbed.node("mn").unwrap()["registrations"].clone();
    let mut told = Told::by(testbed, "ha", "ha");
    thread::scope(|scope| {
        let arrived = scope.spawn(|| testbed.run(&["move", "mn", "--to", to]));
        told.wait_for(trouble);
        // Twice, so that the node's own retry met it too.
        told.wait_for(trouble);
        assert_eq!(bindings(testbed), before, "what is not durable is not there");
        assert!(!arrived.is_finished(), "nothing was acknowledged");
        mend();
        arrived.join().unwrap().unwrap();
    });
    let node = testbed.node("mn").unwrap();
    assert_eq!(node["link"], to);
    assert_ne!(node["registrations"], registrations);
    assert_eq!(bindings(testbed), [text(&node["care_of"])]);
}

#[test]
fn a_locked_database_is_silence_until_it_is_free() {
    let testbed = up();
    testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let other = runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(testbed.folder("ha").join("ha.db"));
        let mut other = options.connect().await.unwrap();
        sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
        other
    });
    nothing_is_acknowledged_until(&testbed, "visited-b", "locked", || {
        runtime.block_on(other.close()).unwrap();
    });
}

/// A small disk of memory at a place, for as long as this lives.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// Puts it in the place of a folder, with the files of that folder on it.
    fn in_place_of(folder: &'a Path) -> Self {
        let kept = tempfile::tempdir().unwrap();
        copy(folder, kept.path());
        mount(Some("none"), folder, Some("tmpfs"), MsFlags::empty(), Some("size=2m,mode=0700")).unwrap();
        copy(kept.path(), folder);
        Self(folder)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

/// Files only, with their permissions.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Fills the disk of a folder with one file, to the last byte.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut filler = File::create(&path).unwrap();
    for size in [4096, 1] {
        while filler.write_all(&vec![0; size]).is_ok() {}
    }
    path
}

#[test]
fn a_full_disk_is_silence_until_there_is_room() {
    if !Uid::effective().is_root() {
        eprintln!("SKIPPED: a full disk under the home agent (a small file system takes root to mount)");
        return;
    }
    let testbed = up();
    testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
    testbed.run(&["kill", "ha"]).unwrap();
    let folder = testbed.folder("ha");
    let disk = SmallDisk::in_place_of(&folder);
    testbed.run(&["start", "ha"]).unwrap();
    let filler = fill(&folder);
    nothing_is_acknowledged_until(&testbed, "visited-b", "full", || fs::remove_file(filler).unwrap());
    drop(disk);
    testbed.run(&["down"]).unwrap();
}

//! Keeps the memory of a daemon, which holds keys, off the disk and away from other processes.

use std::io;

use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
};

/// Forbids core dumps and reading by a debugger of the same user.
///
/// # Errors
/// If the kernel refuses.
pub fn no_core_dumps() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_not_dumpable_afterwards() {
        no_core_dumps().unwrap();
        assert!(!prctl::get_dumpable().unwrap());
        let (soft, hard) = nix::sys::resource::getrlimit(Resource::RLIMIT_CORE).unwrap();
        assert_eq!((soft, hard), (0, 0));
    }
}

//! Network namespaces, each held by a thread of its own.
//!
//! The thread unshares its network and then works through closures that are sent to it. Sockets opened by such
//! a closure belong to the namespace for good, whoever uses them later; processes started by one live in it.
//! Nothing is bound into the file system: when the testbed ends, however it ends, the namespace is gone.

mod carrier;
mod links;
mod sysctl;

use std::{
    fs::File,
    future::Future,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Mutex,
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, unshare};
use tokio::runtime::Runtime;

pub(crate) use self::links::{Mac, raw};

type Job = Box<dyn FnOnce(&Inside) + Send>;

/// One network namespace and the thread that keeps it.
pub(crate) struct Namespace {
    name: String,
    fd: OwnedFd,
    thread_id: i32,
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Option<JoinHandle<()>>,
}

/// What a closure finds inside a namespace: its netlink socket and a way to wait for it.
pub(crate) struct Inside {
    runtime: Runtime,
    netlink: rtnetlink::Handle,
}

impl Namespace {
    /// Makes a namespace with `lo` up, IPv6 off and reverse path filtering off.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, started) = mpsc::channel();
        let thread = thread::Builder::new().name(format!("ns {name}")).spawn(move || {
            let inside = match Inside::enter() {
                Ok((inside, fd)) => {
                    let _ = ready.send(Ok((fd, nix::unistd::gettid().as_raw())));
                    inside
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            for job in inbox {
                job(&inside);
            }
        })?;
        let (fd, thread_id) = started
            .recv()
            .context("the thread of a namespace ended early")?
            .with_context(|| format!("cannot make the network namespace of {name}"))?;
        let namespace =
            Self { name: name.to_owned(), fd, thread_id, jobs: Mutex::new(Some(jobs)), thread: Some(thread) };
        namespace.run(Inside::prepare)?;
        Ok(namespace)
    }

    /// Runs a closure on the namespace's thread and hands back what it returns.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Inside) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, result) = mpsc::channel();
        {
            let jobs = self.jobs.lock().map_err(|_| anyhow!("a thread panicked"))?;
            let Some(jobs) = jobs.as_ref() else { bail!("the namespace of {} is gone", self.name) };
            jobs.send(Box::new(move |inside| {
                let _ = answer.send(job(inside));
            }))
            .map_err(|_| anyhow!("the thread of {} has ended", self.name))?;
        }
        result
            .recv()
            .map_err(|_| anyhow!("the thread of {} panicked", self.name))?
            .with_context(|| format!("in the namespace of {}", self.name))
    }

    /// The namespace's file descriptor, for netlink.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The kernel's number of the thread, through which other processes find the namespace in /proc.
    pub(crate) fn thread_id(&self) -> i32 {
        self.thread_id
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Ok(mut jobs) = self.jobs.lock() {
            jobs.take();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Inside {
    fn enter() -> Result<(Self, OwnedFd)> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let fd = File::open("/proc/thread-self/ns/net")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        let (connection, netlink, _) = rtnetlink::new_connection()?;
        drop(guard);
        runtime.spawn(connection);
        Ok((Self { runtime, netlink }, fd.into()))
    }

    /// Waits for a future on this thread.
    pub(crate) fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// Where the kernel refuses namespaces there is nothing to test.
    fn namespace(name: &str) -> Option<Namespace> {
        match Namespace::new(name) {
            Ok(namespace) => Some(namespace),
            Err(error) => {
                eprintln!("skipped: {error:#}");
                None
            }
        }
    }

    #[test]
    fn sockets_of_two_namespaces_do_not_meet() {
        let (Some(one), Some(two)) = (namespace("one"), namespace("two")) else {
            return;
        };
        let bind = |inside: &Inside| {
            let _ = inside;
            Ok(UdpSocket::bind("127.0.0.1:434")?)
        };
        let first = one.run(bind).unwrap();
        let second = two.run(bind).unwrap();
        first.send_to(b"x", "127.0.0.1:434").unwrap();
        let mut buffer = [0; 4];
        assert_eq!(first.recv(&mut buffer).unwrap(), 1);
        second.set_nonblocking(true).unwrap();
        assert!(second.recv(&mut buffer).is_err());
    }

    #[test]
    fn a_failed_job_names_its_namespace() {
        let Some(one) = namespace("one") else { return };
        let error = one.run(|_| -> Result<()> { bail!("no such thing") }).unwrap_err();
        assert_eq!(format!("{error:#}"), "in the namespace of one: no such thing");
    }
}

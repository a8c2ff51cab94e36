//! `netns-proxy LISTEN TARGET`: passes TCP connections on, and makes them bad as lines on standard input say; each is
//! answered with the same line once it counts, and the end of input ends the program.
//!
//! `pass`: as it should be, and what was held goes on. `refuse`: new connections are refused, and those that stand are
//! reset. `hold`: what the target says waits, new connections are taken. `slow MS`: so many milliseconds before each
//! part of what the target says. `cut OCTETS`: a connection is reset after so many more octets from the target; then `pass`.

use std::{
    io::{self, BufRead as _, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    libc::linger,
    sys::socket::{setsockopt, sockopt::Linger},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    Refuse,
    Hold,
    Slow(Duration),
    /// Octets that still go through.
    Cut(usize),
}

#[derive(Default)]
struct State {
    mode: Mutex<Option<Mode>>,
    changed: Condvar,
    /// Both ends of each connection.
    open: Mutex<Vec<[TcpStream; 2]>>,
}

impl State {
    fn mode(&self) -> MutexGuard<'_, Option<Mode>> {
        self.mode.lock().expect("no thread panics")
    }

    /// All that stand end with a reset.
    fn reset(&self) {
        for pair in self.open.lock().expect("no thread panics").drain(..) {
            for end in pair {
                let _ = setsockopt(&end, Linger, &linger { l_onoff: 1, l_linger: 0 });
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }
}

fn parse(line: &str) -> Result<Mode> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(match words.as_slice() {
        ["pass"] => Mode::Pass,
        ["refuse"] => Mode::Refuse,
        ["hold"] => Mode::Hold,
        ["slow", ms] => Mode::Slow(Duration::from_millis(ms.parse()?)),
        ["cut", octets] => Mode::Cut(octets.parse()?),
        _ => bail!("{line}: pass, refuse, hold, slow MS or cut OCTETS"),
    })
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, target] = words.as_slice() else { bail!("netns-proxy LISTEN TARGET") };
    let (listen, target): (SocketAddr, SocketAddr) = (listen.parse()?, target.parse()?);
    let state: &'static State = Box::leak(Box::default());
    *state.mode() = Some(Mode::Pass);
    let mut listener = Some(accept(listen, target, state)?);
    say("ready")?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mode = parse(&line)?;
        *state.mode() = Some(mode);
        state.changed.notify_all();
        if mode == Mode::Refuse {
            // The listening socket goes with its thread, which one connection wakes.
            let ended = listener.take();
            if let Some(thread) = ended {
                let _ = TcpStream::connect(listen);
                let _ = thread.join();
            }
            state.reset();
        } else if listener.is_none() {
            listener = Some(accept(listen, target, state)?);
        }
        say(&line)?;
    }
    Ok(())
}

fn say(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush().context("nobody listens")
}

fn accept(listen: SocketAddr, target: SocketAddr, state: &'static State) -> Result<thread::JoinHandle<()>> {
    let listener = TcpListener::bind(listen)?;
    Ok(thread::spawn(move || {
        for near in listener.incoming().flatten() {
            if *state.mode() == Some(Mode::Refuse) {
                return;
            }
            let _ = connect(near, target, state);
        }
    }))
}

fn connect(near: TcpStream, target: SocketAddr, state: &'static State) -> Result<()> {
    let far = TcpStream::connect(target)?;
    state.open.lock().expect("no thread panics").push([near.try_clone()?, far.try_clone()?]);
    let (mut near_in, mut far_out) = (near.try_clone()?, far.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut near_in, &mut far_out);
        let _ = far_out.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let _ = answer(&far, &near, state);
        let _ = near.shutdown(Shutdown::Both);
        let _ = far.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// What the target says, as the mode has it.
fn answer(mut far: &TcpStream, mut near: &TcpStream, state: &State) -> Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = far.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        let part = buffer.get(..length).unwrap_or_default();
        let held = state.changed.wait_while(state.mode(), |mode| *mode == Some(Mode::Hold));
        let mut mode = held.expect("no thread panics");
        match &mut *mode {
            Some(Mode::Cut(left)) => {
                let through = length.min(*left);
                *left -= through;
                let over = *left == 0;
                if over {
                    *mode = Some(Mode::Pass);
                }
                drop(mode);
                near.write_all(part.get(..through).unwrap_or_default())?;
                if over {
                    state.reset();
                    return Ok(());
                }
                continue;
            }
            Some(Mode::Slow(time)) => {
                let time = *time;
                drop(mode);
                thread::sleep(time);
            }
            _ => drop(mode),
        }
        near.write_all(part)?;
    }
}

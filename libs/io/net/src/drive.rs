//! The loop that runs a core: one input, then its outputs in order, then wait.

use std::{collections::VecDeque, future::Future};

use futures_util::FutureExt as _;
use sansio::{Datagram, Input, Instant, LinkId, Machine, Output, Transmit};

use crate::{
    clock::{Alarm, Clock},
    error::Error,
    link::Frame,
    udp::Received,
};

/// Events that are taken without a look at the deadline and at what else the thread has to do.
const TOGETHER: usize = 64;

/// Something that a shell has for its machine.
#[derive(Debug)]
pub enum Event<R> {
    /// A packet arrived on a link.
    Link {
        /// Which link.
        link: LinkId,
        /// The packet.
        frame: Frame,
    },
    /// A datagram arrived.
    Udp(Received),
    /// Somebody asks or answers.
    Request(R),
    /// Somebody looks at what is published: nothing for the machine, but [`Shell::settled`] comes.
    Look,
    /// The process shall end.
    Stop,
}

/// How an effect went.
#[derive(Debug)]
pub enum Applied<R> {
    /// Done, or begun, with the answer to come as an [`Event::Request`].
    Done,
    /// Done; the machine gets this answer when its present outputs are carried out.
    Answer(R),
    /// Not done: the present outputs that are left are dropped, and the machine gets this answer.
    Refused(R),
}

/// The world around a machine.
pub trait Shell<M: Machine> {
    /// What ends the loop.
    type Error: From<Error>;

    /// Waits for the next event. The loop drops and repeats the call whenever a deadline comes first: no event
    /// may be lost by that.
    fn next(&mut self) -> impl Future<Output = Result<Event<M::Request>, Self::Error>>;

    /// Sends a datagram. What a retransmission heals is logged and no error.
    fn send(&mut self, transmit: Transmit) -> impl Future<Output = Result<(), Self::Error>>;

    /// Carries out an effect. No later output is carried out before it returns.
    fn apply(&mut self, effect: M::Effect) -> impl Future<Output = Result<Applied<M::Request>, Self::Error>>;

    /// All that happened so far is handled: the moment to publish the machine's state. Under load that is once for many
    /// events.
    fn settled(&mut self, machine: &M) {
        let _ = machine;
    }
}

/// Runs `machine` until its shell says [`Event::Stop`]; begins with a tick.
///
/// # Errors
/// The first error of the shell.
pub async fn drive<M, S>(machine: &mut M, shell: &mut S) -> Result<(), S::Error>
where
    M: Machine,
    S: Shell<M>,
{
    let mut alarm = Alarm::new()?;
    machine.handle(Input::Tick, Clock.now());
    loop {
        let mut deadline = settle(machine, shell).await?;
        // What is there already is taken before anything is waited for.
        for _ in 0..TOGETHER {
            let Some(event) = shell.next().now_or_never() else {
                break;
            };
            if !hand_over(machine, event?) {
                shell.settled(machine);
                return Ok(());
            }
            deadline = settle(machine, shell).await?;
        }
        shell.settled(machine);
        let event = tokio::select! {
            biased;
            () = alarm.until(deadline) => None,
            event = shell.next() => Some(event?),
        };
        match event {
            None => machine.handle(Input::Tick, Clock.now()),
            Some(event) => {
                if !hand_over(machine, event) {
                    return Ok(());
                }
            }
        }
    }
}

/// Carries out outputs, and hands over the answers that they bring, until the machine waits.
async fn settle<M, S>(machine: &mut M, shell: &mut S) -> Result<Option<Instant>, S::Error>
where
    M: Machine,
    S: Shell<M>,
{
    let mut answers = VecDeque::new();
    loop {
        let mut refused = false;
        let deadline = loop {
            match machine.poll() {
                Output::Wait(deadline) => break deadline,
                Output::Send(_) | Output::Effect(_) if refused => {}
                Output::Send(transmit) => shell.send(transmit).await?,
                Output::Effect(effect) => match shell.apply(effect).await? {
                    Applied::Done => {}
                    Applied::Answer(answer) => answers.push_back(answer),
                    Applied::Refused(answer) => {
                        refused = true;
                        answers.push_back(answer);
                    }
                },
            }
        };
        match answers.pop_front() {
            Some(answer) => machine.handle(Input::Request(answer), Clock.now()),
            None => return Ok(deadline),
        }
    }
}

/// False if the process shall end.
fn hand_over<M: Machine>(machine: &mut M, event: Event<M::Request>) -> bool {
    let now = Clock.now();
    match event {
        Event::Link { link, frame } => {
            let datagram = Datagram::Link { link, from: frame.from, packet: &frame.packet };
            machine.handle(Input::Datagram(datagram), now);
        }
        Event::Udp(Received { source, destination, payload }) => {
            let datagram = Datagram::Udp { source, destination, payload: &payload };
            machine.handle(Input::Datagram(datagram), now);
        }
        Event::Request(request) => machine.handle(Input::Request(request), now),
        Event::Look => {}
        Event::Stop => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddrV4, time::Duration};

    use sansio::{Now, Outbox};

    use super::*;

    /// Answers every request `n` with effect `n`, then a datagram of `n`, then a second effect.
    #[derive(Default)]
    struct Echo {
        outbox: Outbox<(&'static str, u8)>,
        deadline: Option<Instant>,
        heard: Vec<String>,
    }

    impl Machine for Echo {
        type Request = (&'static str, u8);
        type Effect = (&'static str, u8);

        fn handle(&mut self, input: Input<'_, Self::Request>, now: Now) {
            match input {
                Input::Tick => {
                    self.heard.push("tick".to_owned());
                    if self.deadline.take().is_some() {
                        self.outbox.effect(("rung", 0));
                    }
                }
                Input::Datagram(datagram) => {
                    self.heard.push(format!("{datagram:?}"));
                    self.deadline = Some(now.mono + Duration::from_millis(1));
                }
                Input::Request(("ask", n)) => {
                    self.outbox.effect(("persist", n));
                    self.outbox.send(transmit(n));
                    self.outbox.effect(("tunnel", n));
                }
                Input::Request((answer, n)) => self.heard.push(format!("{answer} {n}")),
            }
        }

        fn poll(&mut self) -> Output<Self::Effect> {
            self.outbox.poll(self.deadline)
        }
    }

    fn local() -> SocketAddrV4 {
        "127.0.0.1:434".parse().unwrap()
    }

    fn transmit(n: u8) -> Transmit {
        Transmit::Udp { source: local(), destination: local(), payload: vec![n] }
    }

    /// Plays a script and writes down what happens.
    struct Script {
        events: VecDeque<Event<(&'static str, u8)>>,
        done: Vec<String>,
        /// Waits for the effect "rung" before it goes on.
        patient: bool,
    }

    impl Script {
        fn new(events: impl IntoIterator<Item = Event<(&'static str, u8)>>) -> Self {
            Self { events: events.into_iter().collect(), done: Vec::new(), patient: false }
        }
    }

    impl Shell<Echo> for Script {
        type Error = Error;

        async fn next(&mut self) -> Result<Event<(&'static str, u8)>, Error> {
            if self.patient {
                return std::future::pending().await;
            }
            Ok(self.events.pop_front().unwrap_or(Event::Stop))
        }

        async fn send(&mut self, transmit: Transmit) -> Result<(), Error> {
            let Transmit::Udp { payload, .. } = transmit else { unreachable!("only UDP is sent") };
            self.done.push(format!("send {}", payload[0]));
            Ok(())
        }

        async fn apply(
            &mut self,
            (what, n): (&'static str, u8),
        ) -> Result<Applied<(&'static str, u8)>, Error> {
            self.done.push(format!("{what} {n}"));
            self.patient = false;
            Ok(match (what, n) {
                ("persist", 1) => Applied::Answer(("persisted", n)),
                ("persist", 2) => Applied::Refused(("disk full", n)),
                ("persist", 3) => return Err(Error::Closed),
                _ => Applied::Done,
            })
        }

        fn settled(&mut self, _: &Echo) {
            self.done.push("settled".to_owned());
        }
    }

    #[tokio::test]
    async fn outputs_are_carried_out_in_order() {
        let (mut machine, mut shell) = (Echo::default(), Script::new([Event::Request(("ask", 7))]));
        drive(&mut machine, &mut shell).await.unwrap();
        assert_eq!(shell.done, ["persist 7", "send 7", "tunnel 7", "settled"]);
        assert_eq!(machine.heard, ["tick"]);
    }

    #[tokio::test]
    async fn a_look_has_everything_published_and_the_machine_hears_nothing() {
        let (mut machine, mut shell) = (Echo::default(), Script::new([Event::Look]));
        drive(&mut machine, &mut shell).await.unwrap();
        assert_eq!(shell.done, ["settled"]);
        assert_eq!(machine.heard, ["tick"]);
    }

    #[tokio::test]
    async fn an_answer_comes_after_the_outputs() {
        let (mut machine, mut shell) = (Echo::default(), Script::new([Event::Request(("ask", 1))]));
        drive(&mut machine, &mut shell).await.unwrap();
        assert_eq!(shell.done, ["persist 1", "send 1", "tunnel 1", "settled"]);
        assert_eq!(machine.heard, ["tick", "persisted 1"]);
    }

    #[tokio::test]
    async fn a_refused_effect_takes_the_later_outputs_with_it() {
        let (mut machine, mut shell) = (Echo::default(), Script::new([Event::Request(("ask", 2))]));
        drive(&mut machine, &mut shell).await.unwrap();
        assert_eq!(shell.done, ["persist 2", "settled"]);
        assert_eq!(machine.heard, ["tick", "disk full 2"]);
    }

    #[tokio::test]
    async fn an_error_of_the_shell_ends_it() {
        let events = [Event::Request(("ask", 3)), Event::Request(("ask", 7))];
        let (mut machine, mut shell) = (Echo::default(), Script::new(events));
        assert!(matches!(drive(&mut machine, &mut shell).await, Err(Error::Closed)));
        assert_eq!(shell.done, ["persist 3"]);
    }

    #[tokio::test]
    async fn a_deadline_is_a_tick() {
        let received = Received { source: local(), destination: local(), payload: vec![9] };
        let (mut machine, mut shell) = (Echo::default(), Script::new([Event::Udp(received)]));
        // `next` never returns after the first event until the alarm has rung.
        let mut waiting = Waiting(&mut shell);
        drive(&mut machine, &mut waiting).await.unwrap();
        assert_eq!(shell.done, ["settled", "rung 0", "settled"]);
        assert_eq!(machine.heard.len(), 3);
        assert_eq!(machine.heard[2], "tick");
    }

    /// A script that becomes patient after each event.
    struct Waiting<'a>(&'a mut Script);

    impl Shell<Echo> for Waiting<'_> {
        type Error = Error;

        async fn next(&mut self) -> Result<Event<(&'static str, u8)>, Error> {
            let event = self.0.next().await?;
            self.0.patient = true;
            Ok(event)
        }

        async fn send(&mut self, transmit: Transmit) -> Result<(), Error> {
            self.0.send(transmit).await
        }

        async fn apply(&mut self, effect: (&'static str, u8)) -> Result<Applied<(&'static str, u8)>, Error> {
            self.0.apply(effect).await
        }

        fn settled(&mut self, machine: &Echo) {
            self.0.settled(machine);
        }
    }
}

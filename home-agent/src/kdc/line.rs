//! Questions for keys: all on one stream, many in one message, many messages in flight.
//!
//! A question is asked once more if the stream broke before its answer came: its number makes that safe. After
//! [`DEADLINE`] the core is told that there is no answer; one that comes later is dropped.

use record::AssociationKind;
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use admin::client::Profile;
use anyhow::Context as _;
use crypto::Key;
use mobility::{
    Ticket,
    home_agent::{KdcError, KeyRequest, Keys, Request, Unfinished},
};
use proto::kdc::{
    IssueKeysBatch, IssueKeysBatchReply, IssueKeysReply, IssueKeysRequest, IssueKeysStreamReply, Spis,
    issue_keys_stream_reply::Result as Answered,
};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use wire::mip::Spi;

use super::Kdc;

/// How long one question may take.
const DEADLINE: Duration = Duration::from_secs(3);
/// Questions in one message: fewer than the key distribution centre takes.
const BATCH: usize = 256;
/// Hand-overs of questions that are taken at a time.
const TOGETHER: usize = 64;
/// Messages that wait for the connection.
const READY: usize = 4;

type Number = [u8; 16];
/// A question with the exchange that is to be finished until it is answered.
type Asked = (Ticket, KeyRequest, Option<Unfinished>);

/// Both ends that the home agent holds. Questions and answers cross to the other thread many at a time: to wake it costs
/// more than most of what it does.
pub(crate) struct Line {
    questions: UnboundedSender<Vec<Asked>>,
    unsent: Vec<Asked>,
    answers: UnboundedReceiver<Vec<Request>>,
    answered: std::vec::IntoIter<Request>,
}

impl Line {
    /// Starts the thread that keeps the stream: encryption and framing leave the core's thread to the core. It ends
    /// with the line.
    pub(crate) fn open(profile: &Profile) -> anyhow::Result<Self> {
        let (questions, asked) = mpsc::unbounded_channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let asking = Asking { asked, open: Open::default(), answer, told: Vec::new() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // A channel belongs to the runtime that it is made in.
        let kdc = {
            let _inside = runtime.enter();
            Kdc::new(profile)?
        };
        let keep = move || runtime.block_on(asking.run(kdc));
        std::thread::Builder::new().name("keys".to_owned()).spawn(keep)?;
        Ok(Self { questions, unsent: Vec::new(), answers, answered: Vec::new().into_iter() })
    }

    /// Asks with the next [`Self::flush`]; the answer comes out of [`Self::answer`]. The core bounds how many it waits
    /// for.
    pub(crate) fn ask(&mut self, ticket: Ticket, question: KeyRequest, share: Option<Unfinished>) {
        self.unsent.push((ticket, question, share));
    }

    /// Sends off what was asked.
    pub(crate) fn flush(&mut self) {
        if !self.unsent.is_empty() {
            // The task lives as long as this end does.
            let _ = self.questions.send(std::mem::take(&mut self.unsent));
        }
    }

    /// The next answer; may be dropped at any time.
    pub(crate) async fn answer(&mut self) -> Option<Request> {
        loop {
            if let Some(next) = self.answered.next() {
                return Some(next);
            }
            self.answered = self.answers.recv().await?.into_iter();
        }
    }
}

/// A question without its answer.
struct Question {
    ticket: Ticket,
    request: KeyRequest,
    share: Option<Unfinished>,
    /// It was asked on a stream that broke.
    again: bool,
}

/// Questions without their answers.
#[derive(Default)]
struct Open {
    questions: HashMap<Number, Question>,
    /// All wait equally long, so they stand here in the order of their ends.
    ends: VecDeque<(Instant, Number)>,
    /// To be asked.
    unasked: Vec<Number>,
}

impl Open {
    fn take(&mut self, asked: Vec<Asked>) {
        let end = Instant::now() + DEADLINE;
        for (ticket, request, share) in asked {
            let number = request.request;
            self.ends.push_back((end, number));
            self.unasked.push(number);
            self.questions.insert(number, Question { ticket, request, share, again: false });
        }
    }

    /// What is asked next, at most one message.
    fn batch(&mut self) -> IssueKeysBatch {
        let count = self.unasked.len().min(BATCH);
        let numbers = self.unasked.drain(..count);
        let requests = numbers.filter_map(|number| Some(request_of(&self.questions.get(&number)?.request)));
        IssueKeysBatch { requests: requests.collect() }
    }

    fn end(&self) -> Option<Instant> {
        self.ends.front().map(|(end, _)| *end)
    }

    /// Those whose time is over at `now`.
    fn take_late(&mut self, now: Instant) -> Vec<Ticket> {
        let mut late = Vec::new();
        while let Some((_, number)) = self.ends.pop_front_if(|(end, _)| *end <= now) {
            late.extend(self.questions.remove(&number).map(|question| question.ticket));
        }
        late
    }

    /// The stream broke: what was not asked twice yet is asked once more, the others are handed back.
    fn broken(&mut self) -> Vec<Ticket> {
        let mut given_up = Vec::new();
        self.unasked.clear();
        for (_, number) in &self.ends {
            match self.questions.get_mut(number) {
                Some(question) if question.again => given_up.push(*number),
                Some(question) => {
                    question.again = true;
                    self.unasked.push(*number);
                }
                None => {}
            }
        }
        given_up.iter().filter_map(|number| self.questions.remove(number)).map(|q| q.ticket).collect()
    }
}

struct Asking {
    asked: UnboundedReceiver<Vec<Asked>>,
    open: Open,
    answer: UnboundedSender<Vec<Request>>,
    /// Answers that were not handed over yet.
    told: Vec<Request>,
}

/// The home agent is ending.
struct Ended;

impl Asking {
    async fn run(mut self, kdc: Kdc) {
        while self.wait().await.is_ok() {
            let why = match self.stream(&kdc).await {
                Ok(Ended) => return,
                Err(status) => status,
            };
            tracing::debug!("the stream of questions for keys broke: {}", why.message());
            for ticket in self.open.broken() {
                self.tell(ticket, Err(refusal(why.code(), why.message())));
            }
            self.hand_over();
        }
    }

    /// Until there is something to ask.
    async fn wait(&mut self) -> Result<(), Ended> {
        while self.open.unasked.is_empty() {
            let end = self.open.end();
            tokio::select! {
                asked = self.asked.recv() => match asked {
                    Some(asked) => self.open.take(asked),
                    None => return Err(Ended),
                },
                () = until(end) => self.give_up_late(),
            }
        }
        Ok(())
    }

    /// Asks and answers on one stream until it breaks.
    async fn stream(&mut self, kdc: &Kdc) -> Result<Ended, Status> {
        let (to, batches) = mpsc::channel::<IssueKeysBatch>(READY);
        let mut client = kdc.client();
        let connected = client.issue_keys_stream(ReceiverStream::new(batches));
        let connected = tokio::time::timeout(DEADLINE, connected).await;
        let connected = connected.map_err(|_| Status::unavailable("no connection within 3 s"))?;
        let mut replies: Streaming<IssueKeysBatchReply> = connected?.into_inner();
        let mut asked = Vec::with_capacity(TOGETHER);
        loop {
            let end = self.open.end();
            tokio::select! {
                biased;
                batch = replies.message() => {
                    let batch = batch?.ok_or_else(|| Status::unavailable("it ended the stream"))?;
                    batch.replies.into_iter().for_each(|reply| self.take_reply(reply));
                    self.hand_over();
                }
                permit = to.reserve(), if !self.open.unasked.is_empty() => {
                    let permit = permit.map_err(|_| Status::unavailable("the stream is closed"))?;
                    permit.send(self.open.batch());
                }
                count = self.asked.recv_many(&mut asked, TOGETHER) => {
                    if count == 0 {
                        return Ok(Ended);
                    }
                    asked.drain(..).for_each(|asked| self.open.take(asked));
                }
                () = until(end) => self.give_up_late(),
            }
        }
    }

    fn take_reply(&mut self, reply: IssueKeysStreamReply) {
        let number = Number::try_from(reply.request_id.as_slice()).ok();
        // One that came too late is nobody's any more.
        let Some(question) = number.and_then(|number| self.open.questions.remove(&number)) else {
            return;
        };
        // The ends of answered ones leave with those before them.
        while self.open.ends.front().is_some_and(|(_, number)| !self.open.questions.contains_key(number)) {
            self.open.ends.pop_front();
        }
        let result = match reply.result {
            // The exchange is finished here: this thread has more time than the core's.
            Some(Answered::Issued(issued)) => keys(&issued, &question.request)
                .map(|keys| Keys { exchange: question.share.and_then(|share| share.finish().ok()), ..keys })
                .map_err(|error| KdcError::Unavailable(format!("{error:#}"))),
            Some(Answered::Refusal(refused)) => {
                Err(refusal(i32::try_from(refused.code).unwrap_or_default().into(), &refused.message))
            }
            None => Err(KdcError::Unavailable("an answer without content".to_owned())),
        };
        self.tell(question.ticket, result);
    }

    fn give_up_late(&mut self) {
        for ticket in self.open.take_late(Instant::now()) {
            self.tell(ticket, Err(KdcError::Unavailable("no answer within 3 s".to_owned())));
        }
        self.hand_over();
    }

    /// An answer for the next [`Self::hand_over`].
    fn tell(&mut self, ticket: Ticket, result: Result<Keys, KdcError>) {
        self.told.push(Request::Keys { ticket, result });
    }

    fn hand_over(&mut self) {
        if !self.told.is_empty() {
            // Nobody listens any more when the home agent ends.
            let _ = self.answer.send(std::mem::take(&mut self.told));
        }
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn request_of(question: &KeyRequest) -> IssueKeysRequest {
    let spis = |(first, second): (Spi, Spi)| Some(Spis { first: first.0, second: second.0 });
    IssueKeysRequest {
        request_id: question.request.to_vec(),
        trace: question.trace.0.to_vec(),
        subscriber: question.nai.to_string(),
        foreign_agent: question.foreign_agent.as_deref().unwrap_or_default().to_owned(),
        care_of: question.care_of.to_string(),
        lifetime_s: u32::from(question.lifetime),
        key1: question.key1.and_then(spis),
        key2: question.key2.and_then(spis),
        key3: question.key3.and_then(spis),
        seeded: question.seeded.iter().map(|kind| kind.number().into()).collect(),
    }
}

/// Every key that was asked for, and the seed if one was.
fn keys(answer: &IssueKeysReply, question: &KeyRequest) -> anyhow::Result<Keys> {
    let key = |bytes: &[u8]| Key::from_slice(bytes).context("a key that has not 32 bytes");
    let asked = |kind, spis: Option<_>, bytes| {
        (spis.is_some() && !question.seeded.contains(&kind)).then(|| key(bytes)).transpose()
    };
    Ok(Keys {
        key1: asked(AssociationKind::Key1, question.key1, &answer.key1)?,
        key2: asked(AssociationKind::Key2, question.key2, &answer.key2)?,
        key3: asked(AssociationKind::Key3, question.key3, &answer.key3)?,
        seed: (!question.seeded.is_empty()).then(|| key(&answer.seed)).transpose()?,
        exchange: None,
    })
}

/// What the core is told of a status. Only what a key distribution centre says for itself is a refusal; the rest is
/// trouble on the way to it, after which the mobile node asks again.
fn refusal(code: Code, message: &str) -> KdcError {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::PermissionDenied
        | Code::Unauthenticated => KdcError::Refused(message.to_owned()),
        _ => KdcError::Unavailable(message.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn trouble_on_the_way_is_no_refusal() {
        for code in [Code::Unavailable, Code::Internal, Code::ResourceExhausted, Code::Unknown] {
            assert!(matches!(refusal(code, "broken"), KdcError::Unavailable(_)), "{code:?}");
        }
        for code in [Code::PermissionDenied, Code::NotFound, Code::FailedPrecondition] {
            assert!(matches!(refusal(code, "no"), KdcError::Refused(_)), "{code:?}");
        }
    }

    fn question(number: u8) -> KeyRequest {
        KeyRequest {
            request: [number; 16],
            trace: mobility::Trace([number; 16]),
            nai: "mn@home.example".parse().unwrap(),
            foreign_agent: None,
            care_of: "10.51.1.77".parse().unwrap(),
            lifetime: 600,
            key1: Some((Spi(256), Spi(257))),
            key2: None,
            key3: None,
            seeded: vec![],
        }
    }

    fn reply(number: &[u8], key: u8) -> IssueKeysStreamReply {
        let issued = IssueKeysReply { key1: vec![key; 32], ..IssueKeysReply::default() };
        IssueKeysStreamReply { request_id: number.to_vec(), result: Some(Answered::Issued(issued)) }
    }

    /// The key distribution centre, or who is on the way to it, may say what it likes how often it likes.
    #[tokio::test]
    async fn what_is_said_twice_late_or_to_no_question_of_ours_changes_nothing() {
        let (asked, questions) = mpsc::unbounded_channel();
        let (answer, _answers) = mpsc::unbounded_channel();
        let mut asking = Asking { asked: questions, open: Open::default(), answer, told: Vec::new() };
        asking.open.take(vec![(Ticket(1), question(1), None), (Ticket(2), question(2), None)]);
        assert_eq!(asking.open.batch().requests.len(), 2);
        // To nobody's question, under no number, the right one, and that again with other keys.
        for said in [reply(&[9; 16], 1), reply(&[], 2), reply(&[1; 16], 3), reply(&[1; 16], 4)] {
            asking.take_reply(said);
        }
        let refused = proto::kdc::Refusal { code: Code::NotFound as u32, message: "gone".to_owned() };
        let refused = Some(Answered::Refusal(refused));
        asking.take_reply(IssueKeysStreamReply { request_id: vec![1; 16], result: refused });
        let told = std::mem::take(&mut asking.told);
        let [Request::Keys { ticket: Ticket(1), result: Ok(keys) }] = &told[..] else {
            panic!("the first answer is the answer, and there is no other");
        };
        assert!(keys.key1 == Key::from_slice(&[3; 32]));
        // The second is given up, and answered then.
        let late = asking.open.take_late(Instant::now() + DEADLINE);
        assert_eq!(late, [Ticket(2)]);
        asking.take_reply(reply(&[2; 16], 5));
        assert!(asking.told.is_empty(), "too late");
        assert!(asking.open.questions.is_empty() && asking.open.ends.is_empty());
        drop(asked);
    }

    #[tokio::test]
    async fn questions_leave_together_and_answers_come_one_by_one() {
        let (questions, mut asked) = mpsc::unbounded_channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let mut line = Line { questions, unsent: Vec::new(), answers, answered: Vec::new().into_iter() };
        line.ask(Ticket(1), question(1), None);
        line.ask(Ticket(2), question(2), None);
        assert!(asked.try_recv().is_err(), "nothing leaves before all is carried out");
        line.flush();
        line.flush();
        let tickets: Vec<Ticket> = asked.try_recv().unwrap().iter().map(|(ticket, ..)| *ticket).collect();
        assert!(tickets == [Ticket(1), Ticket(2)] && asked.try_recv().is_err());
        assert!(line.answer().now_or_never().is_none());
        let told = |ticket| Request::Keys { ticket, result: Err(KdcError::Refused(String::new())) };
        answer.send(vec![told(Ticket(1)), told(Ticket(2))]).unwrap();
        answer.send(vec![told(Ticket(3))]).unwrap();
        drop(answer);
        for expected in [1, 2, 3] {
            let answered = line.answer().now_or_never().unwrap();
            assert!(matches!(answered, Some(Request::Keys { ticket: Ticket(it), .. }) if it == expected));
        }
        assert!(line.answer().await.is_none());
    }
}

//! Questions to one server over TLS: several under way on one connection, answered in any
//! order (RFC 7858 section 3.3, RFC 7766 sections 6.2.1 and 7).
//!
//! Always true: an answer counts only with the id and the question that were sent on this
//! connection; a connection that goes silent while it owes answers is given up, so that
//! nobody waits behind it; questions under way and connections have limits.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::Message;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use super::exchange::{belongs, framed};
use super::remote::Upstream;

/// Questions under way on one connection: servers read no further beyond some hundred, and
/// one that is lost takes so many along.
const UNDER_WAY_MAX: usize = 64;
/// Connections to one server: with them as many questions as one client may have waiting.
const CONNECTIONS_MAX: usize = 4;
/// How long a connection may take to be made, and how long a server that owes answers may
/// say nothing. Less than a question waits for a server: it is asked once more, over a new
/// connection, when a line was cut without a word.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// How long a connection is kept without a question: servers close theirs after some ten
/// seconds.
const IDLE_MAX: Duration = Duration::from_secs(8);
/// How often a question is asked anew whose connection had answered others and broke: a
/// server may close one at any time.
const TRIES_MAX: usize = 3;

/// The connections to one server.
#[derive(Debug, Default)]
pub(crate) struct Pipelines {
    open: Mutex<Vec<Pipeline>>,
}

/// One connection, as those see it who ask.
#[derive(Clone, Debug)]
struct Pipeline {
    /// Bounded by the turns.
    questions: mpsc::UnboundedSender<Asked>,
    turns: Arc<Semaphore>,
    /// Whether it has answered anything yet.
    proven: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Asked {
    question: Message,
    answer: oneshot::Sender<io::Result<Message>>,
}

/// What a connection owes.
#[derive(Debug)]
struct Owed {
    /// By the id on this connection.
    questions: BTreeMap<u16, Asked>,
    /// When it was heard of last, or began to owe.
    since: Instant,
}

impl Pipelines {
    /// Asks over the connection with the fewest questions under way, or a new one; the
    /// caller sets the limit of time.
    pub(crate) async fn ask(&self, server: &Upstream, tls: &TlsConnector, question: &Message) -> io::Result<Message> {
        let mut tries = 1;
        loop {
            let pipeline = self.choose(server, tls);
            let answer = pipeline.ask(question).await;
            // One that never answered, its certificate perhaps, is no better the next time.
            let broke = answer.is_err() && pipeline.questions.is_closed() && pipeline.proven.load(Ordering::Relaxed);
            if !broke || tries == TRIES_MAX {
                return answer;
            }
            tries += 1;
        }
    }

    fn choose(&self, server: &Upstream, tls: &TlsConnector) -> Pipeline {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|pipeline| !pipeline.questions.is_closed());
        let freest = open.iter().max_by_key(|pipeline| pipeline.turns.available_permits());
        let full = open.len() == CONNECTIONS_MAX;
        match freest.filter(|pipeline| full || pipeline.turns.available_permits() > 0) {
            Some(pipeline) => pipeline.clone(),
            None => {
                let pipeline = Pipeline::open(server.clone(), tls.clone());
                open.push(pipeline.clone());
                pipeline
            }
        }
    }
}

impl Pipeline {
    /// Begins a connection; questions wait until it is made.
    fn open(server: Upstream, tls: TlsConnector) -> Pipeline {
        let (questions, asked) = mpsc::unbounded_channel();
        let proven = Arc::new(AtomicBool::new(false));
        let pipeline = Pipeline { questions, turns: Arc::new(Semaphore::new(UNDER_WAY_MAX)), proven };
        let proven = Arc::clone(&pipeline.proven);
        tokio::spawn(async move { serve(&server, &tls, asked, &proven).await });
        pipeline
    }

    async fn ask(&self, question: &Message) -> io::Result<Message> {
        // Held while it waits, also in vain: what is never answered takes no turn for ever.
        let _turn = self.turns.acquire().await.map_err(io::Error::other)?;
        let (answer, answered) = oneshot::channel();
        let closed = || io::Error::from(io::ErrorKind::ConnectionAborted);
        self.questions.send(Asked { question: question.clone(), answer }).map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }
}

/// Carries questions and answers until the connection ends, and tells whoever waits yet.
async fn serve(server: &Upstream, tls: &TlsConnector, mut asked: mpsc::UnboundedReceiver<Asked>, proven: &AtomicBool) {
    let owed = Mutex::new(Owed { questions: BTreeMap::new(), since: Instant::now() });
    let ended = match timeout(SILENCE_MAX, connect(server, tls)).await {
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
        Ok(Err(error)) => Err(error),
        Ok(Ok(stream)) => {
            let (reader, writer) = tokio::io::split(stream);
            tokio::select! {
                ended = read(reader, &owed, proven) => ended,
                ended = write(writer, &mut asked, &owed) => ended,
                ended = silence(&owed) => ended,
            }
        }
    };
    // Before anybody is told: whoever asks anew must not find it open.
    asked.close();
    let Err(error) = ended else { return };
    tracing::debug!(%server, %error, "a connection to an upstream DNS server ended");
    let left = std::mem::take(&mut locked(&owed).questions).into_values();
    for Asked { answer, .. } in left.chain(std::iter::from_fn(|| asked.try_recv().ok())) {
        // Whoever gave up is not told.
        drop(answer.send(Err(io::Error::new(error.kind(), error.to_string()))));
    }
}

async fn connect(server: &Upstream, tls: &TlsConnector) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = server.tls.clone().unwrap_or_default();
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let stream = TcpStream::connect(server.addr).await?;
    stream.set_nodelay(true)?;
    tls.connect(name, stream).await
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    asked: &mut mpsc::UnboundedReceiver<Asked>,
    owed: &Mutex<Owed>,
) -> io::Result<()> {
    while let Some(asked) = asked.recv().await {
        if asked.answer.is_closed() {
            continue;
        }
        let mut question = asked.question.clone();
        question.metadata.id = owed_now(owed, asked);
        writer.write_all(&framed(&question)?).await?;
        writer.flush().await?;
    }
    // Nobody can ask any more.
    Ok(())
}

/// Notes a question, and answers its id here: its own, unless that is taken.
fn owed_now(owed: &Mutex<Owed>, asked: Asked) -> u16 {
    let mut owed = locked(owed);
    if owed.questions.is_empty() {
        owed.since = Instant::now();
    }
    // What nobody waits for any more may yet be answered; it is known by its question.
    if owed.questions.len() >= UNDER_WAY_MAX {
        owed.questions.retain(|_, asked| !asked.answer.is_closed());
    }
    let mut id = asked.question.metadata.id;
    while owed.questions.contains_key(&id) {
        id = id.wrapping_add(1);
    }
    owed.questions.insert(id, asked);
    id
}

async fn read(mut reader: impl AsyncRead + Unpin, owed: &Mutex<Owed>, proven: &AtomicBool) -> io::Result<()> {
    loop {
        let length = reader.read_u16().await?;
        let mut bytes = vec![0; length.into()];
        reader.read_exact(&mut bytes).await?;
        let mut owed = locked(owed);
        owed.since = Instant::now();
        let Some(id) = bytes.first_chunk().map(|id| u16::from_be_bytes(*id)) else { continue };
        let Some(asked) = owed.questions.get(&id) else { continue };
        let answer = match Message::from_vec(&bytes) {
            Ok(mut reply) => {
                reply.metadata.id = asked.question.metadata.id;
                if !belongs(&reply, &asked.question) {
                    tracing::debug!(id, "an answer to nothing that was asked under its id");
                    continue;
                }
                Ok(reply)
            }
            // The next packet may be whole.
            Err(error) => Err(io::Error::other(error)),
        };
        proven.store(true, Ordering::Relaxed);
        if let Some(asked) = owed.questions.remove(&id) {
            drop(asked.answer.send(answer));
        }
    }
}

/// Ends when nothing was heard for too long.
async fn silence(owed: &Mutex<Owed>) -> io::Result<()> {
    loop {
        let (idle, until) = {
            let owed = locked(owed);
            let idle = owed.questions.is_empty();
            (idle, owed.since + if idle { IDLE_MAX } else { SILENCE_MAX })
        };
        let now = Instant::now();
        if now >= until {
            return if idle { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) };
        }
        // A question that comes meanwhile is waited for no longer than others.
        sleep_until(until.min(now + SILENCE_MAX)).await;
    }
}

/// Nothing that holds this lock can leave the map half changed.
fn locked(owed: &Mutex<Owed>) -> MutexGuard<'_, Owed> {
    owed.lock().unwrap_or_else(PoisonError::into_inner)
}

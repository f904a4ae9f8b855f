//! Runs the dispatcher, each script, each D1 database and the local API's storage in a process of its own. A process is
//! started when a client connects to its socket.
//!
//! ```text
//! dispatcher, hub         -> run/scripts/<name>  -> the script's current process
//! scripts, storage Worker -> run/databases/<id>  -> the database's current process
//! local API               -> run/storage         -> the storage Worker's current process
//! ```
//!
//! The supervisor listens on the sockets and forwards the bytes, so it knows the connections of each process. A process
//! that is replaced gets no new connections. It is ended after its last connection is closed; see [`DRAIN`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::lock::locked;
use super::process::{Connection, HangLimit, LogSink, Process};
use super::run_folder::RunFolder;
use super::workerd::{Config, Failure, SCRIPTS, Worker, Workerd};

/// The number of processes that start at the same time. Starting more at once would only make each start slower.
const STARTS: usize = 3;

/// The time after which a start no longer counts among [`STARTS`], so that slow scripts do not hold up others.
const SLOW_START: Duration = Duration::from_millis(500);

/// The time that requests have to finish after their process was replaced, and the time that `waitUntil` has after the
/// last of these requests: <https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil>.
const DRAIN: Duration = Duration::from_secs(30);

/// The time that requests have to finish before a process with Durable Objects is replaced. Such a process must end
/// before the next one starts.
const DRAIN_OBJECTS: Duration = Duration::from_secs(2);

/// The number of replaced processes without requests that are kept for their `waitUntil`: of one script, and of all. One
/// script alone cannot take the places of the others.
const MAX_LINGERING_OF_ONE: usize = 2;
const MAX_LINGERING: usize = 16;

/// The minimum of the CPU time that a process may use without a sign of life.
const MIN_CPU: Duration = Duration::from_secs(2);

/// The CPU time that a process may use without a sign of life if its customer's record has no `limits.cpuMs`.
const DEFAULT_CPU: Duration = Duration::from_secs(30);

/// The time for which a database may be busy without a sign of life. Its client must get a reply within 30 seconds.
const DATABASE_TIME: Duration = Duration::from_secs(15);

/// The pause before a process that crashed twice in a row is started again. It doubles with each further crash, up to
/// [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// The time that a process must have run for its crash to count as the first one.
const STABLE: Duration = Duration::from_secs(10);

/// The time for which the reason of a failure is kept for the clients whose requests have failed.
const REMEMBERED: Duration = Duration::from_secs(5);

/// The size of a buffer between two sockets, in bytes.
const BUFFER: usize = 64 << 10;

/// Identifies a process and its socket. The process behind a socket may be replaced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A script of the dispatch namespace.
    Script(String),
    /// A D1 database, by its id.
    Database(String),
    /// The Worker that has all storage. The local API uses it.
    Storage,
    /// The dispatcher.
    Dispatcher,
}

impl Name {
    /// The folders that contain sockets, relative to the run folder.
    pub const FOLDERS: [&str; 2] = [SCRIPTS, "databases"];

    /// Returns the socket's path relative to the run folder.
    pub fn socket(&self) -> String {
        match self {
            Self::Script(name) => format!("{SCRIPTS}/{name}"),
            Self::Database(id) => super::workerd::database_socket(id),
            Self::Storage => "storage".to_owned(),
            Self::Dispatcher => "dispatcher".to_owned(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script(name) => formatter.write_str(name),
            Self::Database(id) => write!(formatter, "database {id}"),
            Self::Storage => formatter.write_str("storage"),
            Self::Dispatcher => formatter.write_str("the dispatcher"),
        }
    }
}

/// The parameters of the outbound Worker for a script, as last set by the dispatcher.
pub type Parameters = Map<String, Value>;

/// Returns the current configuration of the process with this name.
pub type Source = Box<dyn Fn(&Name, &Parameters) -> Result<Config> + Send + Sync>;

/// Receives what Workers log: the name of the process, the level and the message.
pub type ScriptLog = Arc<dyn Fn(&Name, &str, &str) + Send + Sync>;

/// Listens on the sockets and runs the processes.
pub struct Supervisor {
    workerd: Workerd,
    folder: RunFolder,
    source: Source,
    log: ScriptLog,
    /// The time after which a process without connections is ended, unless it has Durable Objects.
    idle: Duration,
    starts: Semaphore,
    services: Mutex<BTreeMap<Name, Listening>>,
    /// The settings from the dispatcher. It sends a script's settings only when they change, so they are kept when the
    /// script is deleted: a script with the same name may be uploaded later.
    settings: Mutex<BTreeMap<Name, Settings>>,
    lingering: Mutex<Lingering>,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Supervisor").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// A service and the task that listens on its socket.
type Listening = (Arc<Service>, JoinHandle<()>);

/// A socket and its processes.
#[derive(Debug)]
struct Service {
    name: Name,
    /// The process that gets new connections. It is locked while the process starts and while it is replaced or ended.
    current: AsyncMutex<Option<Arc<Process>>>,
    /// All processes that have not ended: the current one and those that it has replaced.
    processes: Mutex<Vec<Arc<Process>>>,
    failures: Mutex<Failures>,
    /// Held while the outbound Worker's parameters change.
    parameters: AsyncMutex<()>,
}

/// The dispatcher's settings for a script.
#[derive(Clone, Debug, Default)]
struct Settings {
    /// The CPU time that the script may use without a sign of life.
    cpu: Option<Duration>,
    /// The parameters of the script's outbound Worker.
    parameters: Parameters,
}

/// A connection to a process. The process counts it until it is dropped.
#[derive(Debug)]
pub struct Stream {
    stream: UnixStream,
    _connection: Connection,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The recent failures of a service.
#[derive(Debug, Default)]
struct Failures {
    last: Option<(Instant, Failure)>,
    in_a_row: u32,
}

impl Failures {
    fn add(&mut self, failure: Failure, lived: Duration) {
        self.in_a_row = if lived >= STABLE { 1 } else { self.in_a_row.saturating_add(1) };
        self.last = Some((Instant::now(), failure));
    }

    /// Returns the last failure if the process must not be started again yet.
    fn pause(&self) -> Option<Failure> {
        let (when, failure) = self.last.as_ref()?;
        let doublings = self.in_a_row.checked_sub(2)?;
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(MAX_PAUSE);
        (when.elapsed() < pause).then(|| failure.clone())
    }
}

/// The replaced processes without requests whose `waitUntil` may still run, oldest first.
#[derive(Debug, Default)]
struct Lingering(VecDeque<(Name, Arc<Process>)>);

impl Lingering {
    /// Adds a process. Returns the process that must end for it, if there are too many.
    fn add(&mut self, name: Name, process: Arc<Process>) -> Option<Arc<Process>> {
        let of_same = self.0.iter().filter(|(other, _)| *other == name).count();
        let oldest_of_same = self.0.iter().position(|(other, _)| *other == name);
        self.0.push_back((name, process));
        let evicted =
            if of_same >= MAX_LINGERING_OF_ONE { oldest_of_same } else { (self.0.len() > MAX_LINGERING).then_some(0) };
        evicted.and_then(|at| self.0.remove(at)).map(|(_, process)| process)
    }

    fn remove(&mut self, process: &Arc<Process>) {
        self.0.retain(|(_, other)| !Arc::ptr_eq(other, process));
    }
}

impl Supervisor {
    /// Creates a supervisor whose sockets are in `folder`. It ends processes that have no connections for `idle`.
    pub fn new(workerd: Workerd, folder: RunFolder, source: Source, log: ScriptLog, idle: Duration) -> Arc<Self> {
        Arc::new(Self {
            workerd,
            folder,
            source,
            log,
            idle,
            starts: Semaphore::new(STARTS),
            services: Mutex::default(),
            settings: Mutex::default(),
            lingering: Mutex::default(),
        })
    }

    /// Returns the folder of the sockets.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Listens on the socket of this name, unless it already does.
    pub fn listen(self: &Arc<Self>, name: Name) -> Result<()> {
        let mut services = locked(&self.services);
        if services.contains_key(&name) {
            return Ok(());
        }
        let socket = self.folder.socket(&name.socket());
        let listener = UnixListener::bind(&socket).with_context(|| format!("cannot listen on the socket of {name}"))?;
        let service = Arc::new(Service {
            name: name.clone(),
            current: AsyncMutex::default(),
            processes: Mutex::default(),
            failures: Mutex::default(),
            parameters: AsyncMutex::default(),
        });
        let task = tokio::spawn(serve(Arc::downgrade(self), service.clone(), listener));
        services.insert(name, (service, task));
        Ok(())
    }

    /// Returns the names of the sockets that the supervisor listens on.
    pub fn names(&self) -> BTreeSet<Name> {
        locked(&self.services).keys().cloned().collect()
    }

    /// Connects to the process of this name. Starts the process if it is not running.
    pub async fn connect(self: &Arc<Self>, name: &Name) -> io::Result<Stream> {
        let gone = || io::Error::new(ErrorKind::NotConnected, format!("{name} does not run"));
        let service = self.service(name).ok_or_else(gone)?;
        let connection = self.connection(&service).await.ok_or_else(gone)?;
        let stream = connection.open().await?;
        Ok(Stream { stream, _connection: connection })
    }

    /// Starts the process of this name if it is not running.
    pub async fn start(self: &Arc<Self>, name: &Name) {
        if let Some(service) = self.service(name) {
            drop(self.connection(&service).await);
        }
    }

    fn service(&self, name: &Name) -> Option<Arc<Service>> {
        locked(&self.services).get(name).map(|(service, _)| service.clone())
    }

    /// Starts a process that may become the current one of this name. Returns the process, or why it does not start.
    pub async fn prepare(&self, name: &Name, config: &Config) -> Result<Result<Arc<Process>, Failure>> {
        self.in_turn(Process::start(&self.workerd, &self.folder, config, self.log_of(name))).await
    }

    /// Starts a Worker with its Durable Objects in memory, and ends it. Returns how long the start took, or why it does
    /// not start.
    pub async fn check(&self, worker: &Worker) -> Result<Result<Duration, Failure>> {
        self.in_turn(Process::check(&self.workerd, &self.folder, worker)).await
    }

    /// Starts a process when fewer than [`STARTS`] others are being started.
    async fn in_turn<T>(&self, start: impl Future<Output = Result<T>>) -> Result<T> {
        let permit = self.starts.acquire().await.context("the semaphore is never closed")?;
        let mut start = pin!(start);
        if let Ok(result) = timeout(SLOW_START, &mut start).await {
            return result;
        }
        drop(permit);
        start.await
    }

    /// Makes a process the current one. New connections go to it. The previous process keeps its connections until they
    /// end.
    pub async fn replace(self: &Arc<Self>, name: Name, process: Arc<Process>) -> Result<()> {
        self.listen(name.clone())?;
        let service = self.service(&name).context("it listens")?;
        let mut current = service.current.lock().await;
        *locked(&service.failures) = Failures::default();
        self.watch(&service, &process);
        if let Some(old) = current.replace(process) {
            self.retire(name, old);
        }
        Ok(())
    }

    /// Replaces the current process after a change. The next connection starts a process with the change. The old
    /// process keeps its connections until they end. If it has Durable Objects, it is ended before this returns.
    pub async fn reload(self: &Arc<Self>, name: &Name) {
        let Some(service) = self.service(name) else { return };
        let mut current = service.current.lock().await;
        *locked(&service.failures) = Failures::default();
        let Some(old) = current.clone() else { return };
        if !old.has_objects() {
            current.take();
            return self.retire(name.clone(), old);
        }
        // Connections that are still open are closed after that.
        let _ = timeout(DRAIN_OBJECTS, old.without_connections()).await;
        old.kill(Failure::Stopped);
        old.ended().await;
        current.take();
        self.start_later(service.name.clone(), Duration::ZERO);
    }

    /// Starts the process of a name after a pause, because its Durable Objects may have alarms.
    fn start_later(self: &Arc<Self>, name: Name, pause: Duration) {
        let supervisor = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(pause).await;
            if let Some(supervisor) = supervisor.upgrade() {
                supervisor.start(&name).await;
            }
        });
    }

    /// Stops listening on the socket of this name, and ends its processes.
    pub async fn remove(&self, name: &Name) {
        let Some((service, task)) = locked(&self.services).remove(name) else { return };
        task.abort();
        // The file does not exist if the run folder was deleted.
        let _ = fs::remove_file(self.folder.socket(&name.socket()));
        service.current.lock().await.take();
        let processes = locked(&service.processes).clone();
        for process in processes {
            process.kill(Failure::Stopped);
            process.ended().await;
        }
    }

    /// Ends all processes.
    pub async fn stop(&self) {
        let names: Vec<Name> = locked(&self.services).keys().cloned().collect();
        for name in names {
            self.remove(&name).await;
        }
    }

    /// Limits the CPU time that a script may use without a sign of life. `None` is [`DEFAULT_CPU`].
    pub fn set_cpu_limit(&self, name: &Name, limit: Option<Duration>) {
        locked(&self.settings).entry(name.clone()).or_default().cpu = limit;
    }

    /// Returns the outbound Worker's parameters for a script.
    pub fn parameters(&self, name: &Name) -> Parameters {
        locked(&self.settings).get(name).map(|settings| settings.parameters.clone()).unwrap_or_default()
    }

    /// Changes the outbound Worker's parameters for a script. The script's next process has them.
    pub async fn set_parameters(self: &Arc<Self>, name: &Name, parameters: Parameters) {
        let Some(service) = self.service(name) else { return };
        // Other requests to the same script wait until the change has been made.
        let _changing = service.parameters.lock().await;
        let old = {
            let mut settings = locked(&self.settings);
            std::mem::replace(&mut settings.entry(name.clone()).or_default().parameters, parameters.clone())
        };
        if old != parameters {
            self.reload(name).await;
        }
    }

    /// Returns how long the process of this name may be busy without a sign of life.
    fn hang_limit(&self, name: &Name) -> HangLimit {
        let wanted = locked(&self.settings).get(name).and_then(|settings| settings.cpu);
        HangLimit {
            cpu: wanted.map_or(DEFAULT_CPU, |limit| limit.max(MIN_CPU)),
            time: matches!(name, Name::Database(_)).then_some(DATABASE_TIME),
        }
    }

    /// Returns why requests to a script have just failed, or `None` if none of its processes has failed.
    pub async fn failure(&self, name: &Name) -> Option<Failure> {
        /// The time that may pass until the end of a process is noticed.
        const PATIENCE: Duration = Duration::from_millis(300);

        let service = self.service(name)?;
        let asked = Instant::now();
        loop {
            let last = locked(&service.failures).last.clone();
            match last.filter(|(when, _)| when.elapsed() < REMEMBERED) {
                Some((_, failure)) => return Some(failure),
                None if asked.elapsed() > PATIENCE => return None,
                None => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Whether the supervisor listens on the socket of this name.
    pub fn knows(&self, name: &Name) -> bool {
        locked(&self.services).contains_key(name)
    }

    /// Returns a connection to the current process of a service, which is started if it is not running. Returns `None`
    /// if it does not start or has crashed too recently.
    async fn connection(self: &Arc<Self>, service: &Arc<Service>) -> Option<Connection> {
        let mut current = service.current.lock().await;
        if let Some(process) = current.as_ref().filter(|process| process.is_running()) {
            return Some(process.connection());
        }
        if locked(&service.failures).pause().is_some() {
            return None;
        }
        let parameters = self.parameters(&service.name);
        let started = match (self.source)(&service.name, &parameters) {
            Ok(config) => {
                service.end_objects().await;
                self.prepare(&service.name, &config).await
            }
            Err(error) => Err(error),
        };
        let failure = match started {
            Ok(Ok(process)) => {
                self.watch(service, &process);
                return Some(current.insert(process).connection());
            }
            Ok(Err(failure)) => failure,
            Err(error) => Failure::Crash(format!("{error:#}")),
        };
        (self.log)(&service.name, "error", &failure.to_string());
        locked(&service.failures).add(failure, Duration::ZERO);
        None
    }

    /// Ends a process that hangs or is idle, and records why a process has failed.
    fn watch(self: &Arc<Self>, service: &Arc<Service>, process: &Arc<Process>) {
        locked(&service.processes).push(process.clone());
        let (supervisor, service, process) = (self.clone(), service.clone(), process.clone());
        tokio::spawn(async move {
            let started = Instant::now();
            let failure = tokio::select! {
                failure = process.ended() => failure,
                () = process.hangs(|| supervisor.hang_limit(&service.name)) => {
                    process.kill(Failure::Cpu);
                    process.ended().await
                }
                () = service.idle(&process, supervisor.idle) => process.ended().await,
            };
            locked(&service.processes).retain(|other| !Arc::ptr_eq(other, &process));
            if failure != Failure::Stopped {
                (supervisor.log)(&service.name, "error", &failure.to_string());
                locked(&service.failures).add(failure, started.elapsed());
                if process.has_objects() {
                    supervisor.start_later(service.name.clone(), MAX_PAUSE);
                }
            }
        });
    }

    /// Ends a replaced process. Its connections have [`DRAIN`] to end. Then its `waitUntil` has the same time, unless
    /// too many other processes are replaced meanwhile.
    fn retire(self: &Arc<Self>, name: Name, process: Arc<Process>) {
        let supervisor = self.clone();
        tokio::spawn(async move {
            if timeout(DRAIN, process.without_connections()).await.is_err() {
                return process.kill(Failure::Stopped);
            }
            if let Some(evicted) = locked(&supervisor.lingering).add(name, process.clone()) {
                evicted.kill(Failure::Stopped);
            }
            tokio::select! {
                () = sleep(DRAIN) => process.kill(Failure::Stopped),
                _ = process.ended() => {}
            }
            locked(&supervisor.lingering).remove(&process);
        });
    }

    fn log_of(&self, name: &Name) -> LogSink {
        let (log, name) = (self.log.clone(), name.clone());
        Arc::new(move |level, message| log(&name, level, message))
    }
}

impl Service {
    /// Ends the processes that have Durable Objects: no other process may have their files.
    async fn end_objects(&self) {
        let processes = locked(&self.processes).clone();
        for process in processes.iter().filter(|process| process.has_objects()) {
            process.kill(Failure::Stopped);
            process.ended().await;
        }
    }

    /// Returns when a process has been ended because nobody used it for this time.
    async fn idle(&self, process: &Arc<Process>, time: Duration) {
        loop {
            sleep(time / 4).await;
            if !process.is_idle(time) || process.has_objects() {
                continue;
            }
            // New connections wait for this lock and then start another process.
            let mut current = self.current.lock().await;
            if process.is_idle(time) && current.as_ref().is_some_and(|current| Arc::ptr_eq(current, process)) {
                process.kill(Failure::Stopped);
                // Another one must not have the same files.
                process.ended().await;
                current.take();
                return;
            }
        }
    }
}

async fn serve(supervisor: Weak<Supervisor>, service: Arc<Service>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let Some(supervisor) = supervisor.upgrade() else { return };
                tokio::spawn(forward(supervisor, service.clone(), client));
            }
            Err(error) => {
                eprintln!("{}: cannot accept a connection: {error}", service.name);
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Forwards a connection to the current process. If there is none, the connection is closed, and the client asks for
/// the reason; see `control`.
async fn forward(supervisor: Arc<Supervisor>, service: Arc<Service>, mut client: UnixStream) {
    // The process may end before it is connected to, so there is a second attempt.
    for _ in 0..2 {
        let Some(connection) = supervisor.connection(&service).await else { return };
        if let Ok(mut process) = connection.open().await {
            // The outcome is ignored: both sides see how the connection ends.
            let _ = copy_bidirectional_with_sizes(&mut client, &mut process, BUFFER, BUFFER).await;
            return;
        }
    }
}

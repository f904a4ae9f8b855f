//! Who may go to the runtime, and when: it restarts to take up what changes.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// How long a request waits for a runtime that restarts: as long as that may take.
const HOLD: Duration = super::runtime::START_TIMEOUT;

/// How long requests under way have to end before a restart, or the platform's end, ends them.
pub const DRAIN: Duration = Duration::from_secs(3);

/// Changes that come so soon after one another share a restart,
const QUIET: Duration = Duration::from_millis(100);

/// which no change waits for longer than this.
const PATIENCE: Duration = Duration::from_millis(500);

/// Lets requests through to the runtime. One that comes after a change waits until the runtime knows of the change, so that
/// whoever has uploaded a script gets its answers; one that came before is served by the runtime that there is. While the
/// runtime restarts, all wait.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<State>>);

#[derive(Debug, Default)]
struct State {
    /// Where the runtime is, while it runs.
    runtime: Option<SocketAddr>,
    /// How many changes there have been,
    changes: u64,
    /// and how many of them the runtime knows.
    known: u64,
    /// How many requests are under way.
    under_way: usize,
}

/// The right to be on the way to the runtime, until it is dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Gate,
    /// Where the runtime is.
    pub runtime: SocketAddr,
}

impl Gate {
    /// A gate that is shut.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }

    /// Waits until a request that comes now may go; `None` if that takes too long.
    pub async fn enter(&self) -> Option<Pass> {
        self.enter_after(self.changes()).await
    }

    /// The same for a request that only needs to know so many changes.
    pub async fn enter_after(&self, wanted: u64) -> Option<Pass> {
        let mut state = self.0.subscribe();
        let deadline = Instant::now() + HOLD;
        loop {
            let mut open = None;
            self.0.send_if_modified(|state| {
                open = state.runtime.filter(|_| state.known >= wanted);
                state.under_way += usize::from(open.is_some());
                false
            });
            if let Some(runtime) = open {
                return Some(Pass { gate: self.clone(), runtime });
            }
            tokio::select! {
                changed = state.changed() => changed.expect("the gate holds the sender"),
                () = sleep_until(deadline) => return None,
            }
        }
    }

    /// Says that something has changed that the runtime must take up.
    pub fn change(&self) {
        self.0.send_modify(|state| state.changes += 1);
    }

    /// How many changes there have been.
    pub fn changes(&self) -> u64 {
        self.0.borrow().changes
    }

    /// Waits until there is something to take up, and a little longer for what comes with it.
    pub async fn changed(&self) {
        let mut state = self.0.subscribe();
        state.wait_for(|state| state.changes > state.known).await.expect("the gate holds the sender");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let seen = state.borrow_and_update().changes;
            let another = state.wait_for(|state| state.changes > seen);
            if timeout(QUIET, another).await.is_err() {
                return;
            }
        }
    }

    /// Lets nobody in, and returns when nobody is under way any more, or their time is over.
    pub async fn shut(&self) {
        self.shut_at_once();
        let mut state = self.0.subscribe();
        // Who is still there then is cut off.
        let _ = timeout(DRAIN, state.wait_for(|state| state.under_way == 0)).await;
    }

    /// Lets nobody in.
    pub fn shut_at_once(&self) {
        self.0.send_modify(|state| state.runtime = None);
    }

    /// Lets in who waits: the runtime is there, and knows this many changes.
    pub fn open(&self, runtime: SocketAddr, known: u64) {
        self.0.send_modify(|state| {
            state.runtime = Some(runtime);
            state.known = known;
        });
    }

    /// Where the runtime is, while it runs and somebody waits for it.
    pub fn awaited(&self) -> Option<SocketAddr> {
        let state = self.0.borrow();
        state.runtime.filter(|_| state.under_way > 0)
    }

    /// Where the runtime is, while it runs.
    pub fn runtime(&self) -> Option<SocketAddr> {
        self.0.borrow().runtime
    }
}

impl Pass {
    /// The body of a reply, which is under way until it has ended.
    pub fn until_end<B>(self, body: B) -> Body
    where
        B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
    {
        Body::new(UnderWay { body, _pass: self })
    }
}

/// The body of a reply, which is under way until it has ended.
struct UnderWay<B> {
    body: B,
    /// Dropped with the body.
    _pass: Pass,
}

impl<B: HttpBody + Unpin> HttpBody for UnderWay<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.0.send_modify(|state| state.under_way -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNTIME: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    /// Whether a request gets through within a moment.
    async fn passes(gate: &Gate) -> bool {
        timeout(Duration::from_millis(1), gate.enter()).await.is_ok_and(|pass| pass.is_some())
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_after_a_change_waits_for_a_runtime_that_knows_it() {
        let gate = Gate::new();
        assert!(!passes(&gate).await, "there is no runtime yet");
        gate.open(RUNTIME, 0);
        assert!(passes(&gate).await);
        gate.change();
        assert!(!passes(&gate).await, "the runtime does not know the change");
        let waits = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter().await }
        });
        tokio::task::yield_now().await;
        // Another change, which came later, does not hold up who came before it.
        gate.change();
        gate.open(RUNTIME, 1);
        assert!(waits.await.expect("no panic").is_some());
        assert!(!passes(&gate).await);
        gate.open(RUNTIME, 2);
        assert!(passes(&gate).await);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let gate = Gate::new();
        let before = Instant::now();
        assert!(gate.enter().await.is_none());
        assert_eq!(before.elapsed(), HOLD);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_that_shuts_waits_for_who_is_under_way_but_not_for_ever() {
        let gate = Gate::new();
        gate.open(RUNTIME, 0);
        let pass = gate.enter().await.expect("it is open");
        let before = Instant::now();
        tokio::join!(gate.shut(), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(pass);
        });
        assert_eq!(before.elapsed(), Duration::from_secs(1));
        assert!(!passes(&gate).await);

        gate.open(RUNTIME, 0);
        let _pass = gate.enter().await.expect("it is open");
        let before = Instant::now();
        gate.shut().await;
        assert_eq!(before.elapsed(), DRAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn changes_that_come_together_are_taken_up_together() {
        let gate = Gate::new();
        let changes = |times: u32| {
            let gate = gate.clone();
            async move {
                for _ in 0..times {
                    gate.change();
                    tokio::time::sleep(QUIET / 2).await;
                }
            }
        };
        let before = Instant::now();
        tokio::join!(gate.changed(), changes(3));
        assert_eq!((gate.changes(), before.elapsed()), (3, QUIET * 2));
        gate.open(RUNTIME, 3);
        // Nobody can put it off for ever.
        let before = Instant::now();
        tokio::select! {
            () = gate.changed() => {}
            () = changes(1000) => {}
        }
        assert!(before.elapsed() <= PATIENCE + QUIET, "{:?}", before.elapsed());
    }
}

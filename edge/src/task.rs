//! Runs futures. They may wait for promises of the runtime, one at a time ([`settled`]), and for nothing else.
//!
//! wasm-bindgen's own executor is not used: for each promise that it waits for it makes two JavaScript functions, a microtask
//! and an entry in a finalization registry, which is a third of what a small request costs.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use js_sys::{Date, Promise};
use wasm_bindgen::prelude::*;

type Task = Pin<Box<dyn Future<Output = Result<JsValue, JsValue>>>>;

/// Between a future and what runs it.
#[derive(Default)]
struct Exchange {
    /// What the future waits for from now on.
    awaited: Option<Promise>,
    /// What came of it.
    settled: Option<Result<JsValue, JsValue>>,
    /// When the future went on, in milliseconds since 1970; nothing if it has not waited yet.
    resumed: Option<f64>,
}

thread_local! {
    /// Of the future that is being polled.
    static EXCHANGE: RefCell<Exchange> = RefCell::default();

    /// The futures that wait.
    static WAITING: RefCell<Slots> = RefCell::default();

    /// The number of this instance of the Wasm: after a panic, another comes in its place.
    static INSTANCE: u32 = next_instance();
}

/// What is lost while a future waits that will never go on, because its client has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Little: a few such futures may be left behind.
    Little,
    /// Memory or a place that others wait for: it is dropped when JavaScript's garbage is collected.
    Much,
}

/// How many futures may be left behind. To watch over one costs as much as three headers.
const LEFT_BEHIND: u32 = 32;

/// Futures by number.
#[derive(Default)]
struct Slots {
    tasks: Vec<Option<Task>>,
    free: Vec<u32>,
}

/// Begins to run a future, and answers what comes of it: at once if it need not wait, as a promise if it must or fails. What comes
/// of it must not be a promise itself.
///
/// Not a `Result`, here as little as in `resume`: to unpack one, JavaScript calls out of the engine.
pub fn run(holds: Holds, future: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> JsValue {
    let mut task: Task = Box::pin(future);
    match poll(&mut task, None, None) {
        Step::Done(outcome) => outcome.unwrap_or_else(|reason| Promise::reject(&reason).into()),
        Step::Wait(promise) => {
            let number = WAITING.with_borrow_mut(|waiting| waiting.add(task));
            // Those that are left behind keep their numbers: there are no more of them than this.
            let drive = if holds == Holds::Much || number >= LEFT_BEHIND { watch } else { drive };
            drive(INSTANCE.with(|instance| *instance), number, &promise).into()
        }
    }
}

/// Begins to run a future, and answers a promise of what comes of it.
pub fn spawn(future: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Promise {
    Promise::resolve(&run(Holds::Much, future))
}

/// Boxes a future, so that its code stays a function of its own, which V8 compiles when it first runs. Unboxed, the code of a route
/// becomes part of its caller's, and the first request waits until that of all routes is compiled.
pub fn apart<'a, T>(future: impl Future<Output = T> + 'a) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    Box::pin(future)
}

/// Waits for what a call promises. A call that throws, instead of answering a promise that is rejected, fails likewise.
pub async fn settled(call: Result<Promise, JsValue>) -> Result<JsValue, JsValue> {
    let mut promise = Some(call?);
    std::future::poll_fn(move |_| {
        EXCHANGE.with_borrow_mut(|exchange| {
            if let Some(promise) = promise.take() {
                let other = exchange.awaited.replace(promise);
                assert!(other.is_none(), "a future waits for one promise at a time");
                return Poll::Pending;
            }
            exchange.settled.take().map_or(Poll::Pending, Poll::Ready)
        })
    })
    .await
}

/// The moment in milliseconds since 1970, as the future that runs finds it. Deployed, the clock stands still while a Worker computes
/// (<https://developers.cloudflare.com/workers/runtime-apis/performance/>): a future that has waited is told the time with what came
/// of it.
#[must_use]
pub fn now() -> f64 {
    EXCHANGE.with_borrow(|exchange| exchange.resumed).unwrap_or_else(Date::now)
}

/// A future that runs beside the one that began it.
pub struct Begun<T> {
    running: Promise,
    outcome: Rc<Cell<Option<T>>>,
}

impl<T: 'static> Begun<T> {
    /// Begins to run it.
    pub fn new(future: impl Future<Output = T> + 'static) -> Self {
        let outcome = Rc::new(Cell::new(None));
        let filled = outcome.clone();
        let running = spawn(async move {
            filled.set(Some(future.await));
            Ok(JsValue::UNDEFINED)
        });
        Self { running, outcome }
    }

    /// Waits for its outcome.
    pub async fn end(self) -> T {
        // It fails only where the Worker does, and then nothing gets here.
        drop(settled(Ok(self.running)).await);
        self.outcome.take().expect("it has ended")
    }
}

/// How many futures wait.
#[cfg(feature = "faults")]
#[must_use]
pub fn waiting() -> usize {
    WAITING.with_borrow(|waiting| waiting.tasks.iter().flatten().count())
}

enum Step {
    Done(Result<JsValue, JsValue>),
    Wait(Promise),
}

fn poll(task: &mut Task, settled: Option<Result<JsValue, JsValue>>, resumed: Option<f64>) -> Step {
    // Another future may be in the middle of its own poll: the one that began this one.
    let outer = EXCHANGE.replace(Exchange { awaited: None, settled, resumed });
    let polled = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let exchange = EXCHANGE.replace(outer);
    match polled {
        Poll::Ready(outcome) => Step::Done(outcome),
        Poll::Pending => Step::Wait(exchange.awaited.expect("a future waits for promises alone")),
    }
}

/// For `task.js` alone: goes on with a future of an instance, at a moment in milliseconds since 1970. What it waited for was
/// fulfilled (0), was rejected (1), or will never be heard of (2). Answers [`Waiting`] as long as it is not at its end, and
/// [`Failed`] if it failed.
///
/// An export, because for a closure's every call JavaScript gathers the arguments and hands them out again.
#[wasm_bindgen]
#[must_use]
pub fn resume(instance: u32, number: u32, value: JsValue, outcome: u8, now: f64) -> JsValue {
    // The future of an instance that is no more must not go on as another's of the same number.
    let task = if instance == INSTANCE.with(|instance| *instance) {
        WAITING.with_borrow_mut(|waiting| waiting.take(number))
    } else {
        None
    };
    let Some(mut task) = task else {
        return Failed::new(&"the Worker has failed meanwhile, at another request".into()).into();
    };
    let settled = match outcome {
        0 => Ok(value),
        1 => Err(value),
        _ => {
            WAITING.with_borrow_mut(|waiting| waiting.free.push(number));
            return JsValue::UNDEFINED;
        }
    };
    let step = poll(&mut task, Some(settled), Some(now));
    WAITING.with_borrow_mut(|waiting| match step {
        Step::Wait(promise) => {
            waiting.tasks[number as usize] = Some(task);
            Waiting::new(&promise).into()
        }
        Step::Done(outcome) => {
            waiting.free.push(number);
            outcome.unwrap_or_else(|reason| Failed::new(&reason).into())
        }
    })
}

impl Slots {
    fn add(&mut self, task: Task) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.tasks.push(None);
            u32::try_from(self.tasks.len() - 1).expect("memory ends before")
        });
        self.tasks[number as usize] = Some(task);
        number
    }

    fn take(&mut self, number: u32) -> Option<Task> {
        self.tasks.get_mut(number as usize)?.take()
    }
}

#[wasm_bindgen(module = "/src/task.js")]
extern "C" {
    type Waiting;

    #[wasm_bindgen(constructor)]
    fn new(promise: &Promise) -> Waiting;

    type Failed;

    #[wasm_bindgen(constructor)]
    fn new(reason: &JsValue) -> Failed;

    #[wasm_bindgen(js_name = nextInstance)]
    fn next_instance() -> u32;

    fn drive(instance: u32, task: u32, awaited: &Promise) -> Promise;

    fn watch(instance: u32, task: u32, awaited: &Promise) -> Promise;
}

//! Gives workerd its own processor. Otherwise the operating system would keep moving it between processors. This
//! changes how often workerd is woken up, and wake-ups are a large part of its CPU time.

use std::ffi::OsStr;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tokio::process::Command;

/// Stands for the current process in the system calls below.
const SELF: Pid = Pid::from_raw(0);

/// The processor that is reserved for workerd.
static RESERVED: OnceLock<usize> = OnceLock::new();

/// Reserves the first processor for workerd. The load and the storage get the others. Must be called once, before any
/// thread is started, as threads inherit their processors.
pub fn reserve_one() -> Result<()> {
    let mut available = sched_getaffinity(SELF).context("cannot list the processors")?;
    let numbers: Vec<usize> =
        (0..CpuSet::count()).filter(|number| available.is_set(*number).unwrap_or(false)).collect();
    if let [first, _, ..] = numbers[..] {
        available.unset(first).context("invalid processor number")?;
        sched_setaffinity(SELF, &available).context("cannot choose processors")?;
        RESERVED.set(first).expect("this is called once");
    } else {
        eprintln!("warning: workerd, the load and the storage share one processor, so the times are unreliable");
    }
    Ok(())
}

/// Creates the command that runs a program on the reserved processor.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    match RESERVED.get() {
        Some(number) => {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", &number.to_string()]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

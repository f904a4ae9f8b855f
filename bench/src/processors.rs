//! Gives workerd a processor of its own. If the operating system chose the processor, it would change its choice all the
//! time, and with it how often workerd is woken up, which is a large part of its CPU time.

use std::ffi::OsStr;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tokio::process::Command;

/// The process id by which the calls below mean this process.
const SELF: Pid = Pid::from_raw(0);

/// The processor of the runtimes.
static RUNTIMES: OnceLock<usize> = OnceLock::new();

/// Leaves the first processor to the runtimes. The load and the storage get the others. Must be called once, before there
/// are threads, as threads inherit their processors.
pub fn reserve_one() -> Result<()> {
    let mut own = sched_getaffinity(SELF).context("cannot list the processors")?;
    let numbers: Vec<usize> = (0..CpuSet::count()).filter(|number| own.is_set(*number).unwrap_or(false)).collect();
    if let [first, _, ..] = numbers[..] {
        own.unset(first).context("invalid processor number")?;
        sched_setaffinity(SELF, &own).context("cannot choose processors")?;
        RUNTIMES.set(first).expect("this is called once");
    } else {
        eprintln!("warning: the runtimes, the load and the storage share one processor, so the times mean little");
    }
    Ok(())
}

/// A program that runs on the reserved processor.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    match RUNTIMES.get() {
        Some(number) => {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", &number.to_string()]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

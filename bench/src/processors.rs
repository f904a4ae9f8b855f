//! Who runs on which processor. Where the operating system decides, it does so anew all the time, and how often workerd is
//! woken, which is much of its CPU time, changes with it.

use std::ffi::OsStr;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tokio::process::Command;

/// This process.
const SELF: Pid = Pid::from_raw(0);

/// Leaves one processor to the runtimes, if there are two or more: the load and the storage have the others.
pub fn keep_off_the_runtimes() -> Result<()> {
    let mut own = sched_getaffinity(SELF).context("cannot see which processors there are")?;
    let numbers: Vec<usize> = (0..CpuSet::count()).filter(|number| own.is_set(*number).unwrap_or(false)).collect();
    if let [first, _, ..] = numbers[..] {
        own.unset(first).context("a processor has a number")?;
        sched_setaffinity(SELF, &own).context("cannot choose processors")?;
        RUNTIMES.set(first).expect("this is called once");
    } else {
        eprintln!("warning: there is one processor for the runtimes, the load and the storage: the figures say little");
    }
    Ok(())
}

/// A program that is to run on the runtimes' processor.
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

static RUNTIMES: std::sync::OnceLock<usize> = std::sync::OnceLock::new();

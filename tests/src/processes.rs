//! Processes on this machine, as lines of `ps`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Returns a platform's processes: those with its state folder on their command line, and their descendants, because
/// workerd and esbuild do not have it there.
#[must_use]
pub fn processes(state: &Path) -> Vec<String> {
    let ps = Command::new("ps").args(["-A", "-o", "pid=,ppid=,args="]).output().expect("ps runs");
    let lines: Vec<String> = String::from_utf8_lossy(&ps.stdout).lines().map(|line| line.trim().to_owned()).collect();
    let field = |line: &str, index: usize| line.split_whitespace().nth(index).unwrap_or_default().to_owned();
    let mut family: Vec<String> =
        lines.iter().filter(|line| line.contains(&*state.to_string_lossy())).cloned().collect();
    let mut next = 0;
    while next < family.len() {
        let parent = field(&family[next], 0);
        family.extend(
            lines.iter().filter(|line| field(line, 1) == parent && !family.contains(line)).cloned().collect::<Vec<_>>(),
        );
        next += 1;
    }
    family
}

/// Waits until processes have ended. Panics after 15 seconds.
pub async fn expect_gone(pids: &[String]) {
    let started = Instant::now();
    loop {
        let ps = Command::new("ps").args(["-o", "pid=,stat=,args=", "-p", &pids.join(",")]).output().expect("ps runs");
        let text = String::from_utf8_lossy(&ps.stdout).into_owned();
        // A zombie has ended, but its parent has not waited for it yet.
        let left: Vec<&str> = text.lines().filter(|line| !line.contains("<defunct>")).collect();
        if left.is_empty() {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(15), "still running: {left:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Returns the processes' ids.
#[must_use]
pub fn pids(processes: &[String]) -> Vec<String> {
    processes.iter().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Returns the resident memory, in bytes, of those processes whose line contains a text.
#[must_use]
pub fn memory(processes: &[String], text: &str) -> u64 {
    let matching: Vec<String> = processes.iter().filter(|line| line.contains(text)).cloned().collect();
    let ps = Command::new("ps").args(["-o", "rss=", "-p", &pids(&matching).join(",")]).output().expect("ps runs");
    let sizes = String::from_utf8_lossy(&ps.stdout).into_owned();
    sizes.lines().map(|line| line.trim().parse::<u64>().expect("a number of KiB") << 10).sum()
}

/// Returns the memory of all processes of a platform, in bytes. What they share counts once: it is the proportional set
/// size of `proc_pid_smaps(5)`.
#[must_use]
pub fn memory_in_use(state: &Path) -> u64 {
    let size = |pid: String| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let kib = text.lines().find_map(|line| line.strip_prefix("Pss:"))?.split_whitespace().next()?;
        Some(kib.parse::<u64>().ok()? << 10)
    };
    pids(&processes(state)).into_iter().filter_map(size).sum()
}

/// Returns how many files processes have open.
#[must_use]
pub fn descriptors(processes: &[String]) -> usize {
    let open = |pid: String| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    pids(processes).into_iter().map(open).sum()
}

/// Returns the TCP ports that processes listen on, from Linux's `/proc`: `proc_net_tcp(5)` and `proc_pid_fd(5)`.
#[must_use]
pub fn ports(processes: &[String]) -> Vec<u16> {
    let open = |pid: String| fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = pids(processes).into_iter().flat_map(open).filter_map(|entry| fs::read_link(entry.path()).ok());
    let sockets: Vec<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let table = fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp can be read");
    let listening = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let is_theirs = *state == "0A" && sockets.contains(&format!("socket:[{inode}]"));
        let port = u16::from_str_radix(address.split_once(':')?.1, 16).ok()?;
        is_theirs.then_some(port)
    });
    listening.collect()
}

//! Runs other programs.

use std::io::ErrorKind;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a program until it exits. Fails unless it succeeds. `hint` says what to do if the program is not installed.
pub fn run(command: &mut Command, hint: &str) -> Result<()> {
    let status = command.status().map_err(|error| explain(command, error, hint))?;
    if !status.success() {
        bail!("`{}` failed ({status})", display(command));
    }
    Ok(())
}

/// Runs a program, and returns its standard output. Fails like [`run`].
pub fn output(command: &mut Command, hint: &str) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| explain(command, error, hint))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", display(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("the output of `{}` is not UTF-8", display(command)))
}

fn explain(command: &Command, error: std::io::Error, hint: &str) -> anyhow::Error {
    let program = command.get_program().to_string_lossy().into_owned();
    if error.kind() == ErrorKind::NotFound {
        anyhow::anyhow!("`{program}` is not installed: {hint}")
    } else {
        anyhow::Error::new(error).context(format!("cannot run `{program}`"))
    }
}

fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

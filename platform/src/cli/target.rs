//! Whose platform it is: that of an account, or the one on this machine.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use cloudflare_api::{Account, Cloudflare, Error};
use platform::customers::Customers;
use url::Url;

use super::output::{OutputFormat, UsageError, print_note};
use super::paths::default_state;

/// Where the platform is. Without any of these, wrangler's own variables say it: `CLOUDFLARE_API_TOKEN`,
/// `CLOUDFLARE_ACCOUNT_ID` and `CLOUDFLARE_API_BASE_URL`.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Where the platform is")]
pub struct ApiTarget {
    /// The platform on this machine, which `cargo xtask dev` runs
    #[arg(long, global = true)]
    pub local: bool,

    /// With --local: its state folder [default: .platform in the repository]
    #[arg(long, value_name = "DIR", global = true)]
    pub state: Option<PathBuf>,

    /// The dispatcher's name; what is bound to it says where customers' scripts and records are
    #[arg(long, value_name = "NAME", default_value = "dispatcher", global = true)]
    pub dispatcher: String,
}

impl ApiTarget {
    /// Clap cannot say this of what may stand before and after the command's name.
    pub fn check(&self) -> Result<(), UsageError> {
        if self.state.is_some() && !self.local {
            return Err(UsageError("--state is for the platform on this machine: say --local as well".to_owned()));
        }
        Ok(())
    }

    /// The customers of this platform.
    pub async fn customers(&self, output: OutputFormat) -> Result<Customers> {
        let account = if self.local {
            let variables = Variables::read(&self.state())?;
            Account::from_variables(|name| variables.get(name))?
        } else {
            Account::from_environment().map_err(|error| match error {
                Error::NotConfigured(_) => anyhow!("{error}, or use --local for the platform on this machine"),
                other => other.into(),
            })?
        };
        let mut cloudflare = Cloudflare::new(account);
        if output == OutputFormat::Text {
            // Else it would seem to hang.
            cloudflare = cloudflare
                .on_retry(|why| print_note(format_args!("the API is asked again, which may take a while: {why}")));
        }
        Customers::find(cloudflare, &self.dispatcher).await
    }

    /// Where the platform serves requests.
    pub fn url(&self, given: Option<Url>) -> Result<Url> {
        if let Some(url) = given {
            return Ok(url);
        }
        let url = if self.local {
            Variables::read(&self.state())?.get("PLATFORM_URL")
        } else {
            env::var("PLATFORM_URL").ok().filter(|url| !url.is_empty())
        };
        let url = url.context("where is the platform? Say it with --url, as PLATFORM_URL, or use --local")?;
        url.parse().with_context(|| format!("PLATFORM_URL is not a URL: {url}"))
    }

    /// The state folder of the platform on this machine.
    pub fn state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(default_state)
    }
}

/// The variables that a local platform writes down for shells and for this tool.
#[derive(Debug, PartialEq, Eq)]
struct Variables(BTreeMap<String, String>);

impl Variables {
    fn read(state: &Path) -> Result<Self> {
        let path = state.join("env");
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("{} cannot be used", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("there is no {}: run `cargo xtask dev` first, or name its state folder (--state)", path.display())
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Parses lines of the form `export NAME=value`, whose value may be in single quotes.
    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let variables = lines.map(|line| {
            let assignment = line.strip_prefix("export ").unwrap_or(line);
            let (name, value) = assignment.split_once('=').with_context(|| format!("no variable: {line}"))?;
            let unquoted = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
            Ok((name.trim().to_owned(), unquoted.unwrap_or(value).to_owned()))
        });
        Ok(Self(variables.collect::<Result<_>>()?))
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn target(state: &Path) -> ApiTarget {
        ApiTarget { local: true, state: Some(state.to_owned()), dispatcher: "dispatcher".to_owned() }
    }

    #[test]
    fn the_local_platforms_variables_are_as_a_shell_reads_them() {
        let text = "# made\n\nexport CLOUDFLARE_API_TOKEN='a=b c'\nexport PLATFORM_URL=http://127.0.0.1:8787\nEMPTY=\n";
        let variables = Variables::parse(text).expect("variables");
        assert_eq!(variables.get("CLOUDFLARE_API_TOKEN").as_deref(), Some("a=b c"));
        assert_eq!(variables.get("EMPTY"), None);
        assert!(Variables::parse("export X").is_err());

        let state = TempDir::new().expect("a folder");
        fs::write(state.path().join("env"), text).expect("written");
        let url = target(state.path()).url(None).expect("a URL");
        assert_eq!(url.as_str(), "http://127.0.0.1:8787/");
        let given: Url = "http://elsewhere/".parse().expect("a URL");
        assert_eq!(target(state.path()).url(Some(given.clone())).expect("a URL"), given);
    }

    #[tokio::test]
    async fn a_platform_that_was_never_started_is_said() {
        let state = TempDir::new().expect("a folder");
        let error = target(state.path()).customers(OutputFormat::Text).await.expect_err("nothing there").to_string();
        assert!(error.contains("run `cargo xtask dev` first"), "{error}");
        fs::write(state.path().join("env"), "export CLOUDFLARE_API_TOKEN=x").expect("written");
        let error = target(state.path()).customers(OutputFormat::Text).await.expect_err("half of it").to_string();
        assert!(error.starts_with("CLOUDFLARE_ACCOUNT_ID is not set"), "{error}");
        fs::write(state.path().join("env"), "export PLATFORM_URL=nowhere").expect("written");
        assert!(target(state.path()).url(None).expect_err("no URL").to_string().contains("is not a URL"));
    }
}

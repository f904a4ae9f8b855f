//! Selects the platform: in a Cloudflare account, or the local platform.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use cloudflare_api::{AccountCredentials, Cloudflare, Error};
use platform::customers::Customers;
use url::Url;

use super::output::{OutputFormat, UsageError, print_note};
use super::paths::default_state;

/// The arguments that select the platform. Without `--local`, the account is that of the environment variables that
/// wrangler reads: `CLOUDFLARE_API_TOKEN`, `CLOUDFLARE_ACCOUNT_ID` and `CLOUDFLARE_API_BASE_URL`.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Platform")]
pub struct ApiTarget {
    /// Use the local platform, which `cargo xtask dev` runs
    #[arg(long, global = true)]
    pub local: bool,

    /// With --local: the local platform's state folder [default: .platform in the repository]
    #[arg(long, value_name = "DIR", global = true)]
    pub state: Option<PathBuf>,

    /// The dispatcher's name. Its bindings name the dispatch namespace and the KV namespace with the customers' records
    #[arg(long, value_name = "NAME", default_value = "dispatcher", global = true)]
    pub dispatcher: String,
}

impl ApiTarget {
    /// Checks that `--state` comes with `--local`. Clap cannot check this for global arguments.
    pub fn check(&self) -> Result<(), UsageError> {
        if self.state.is_some() && !self.local {
            return Err(UsageError("--state is for the local platform: add --local".to_owned()));
        }
        Ok(())
    }

    /// Connects to the platform.
    pub async fn customers(&self, output: OutputFormat) -> Result<Customers> {
        let account = if self.local {
            let variables = Variables::read(&self.state())?;
            AccountCredentials::from_variables(|name| variables.get(name))?
        } else {
            AccountCredentials::from_environment().map_err(|error| match error {
                Error::NotConfigured(_) => anyhow!("{error}, or use --local for the local platform"),
                other => other.into(),
            })?
        };
        let mut cloudflare = Cloudflare::new(account);
        if output == OutputFormat::Text {
            // Without this note, the tool would seem to hang.
            cloudflare = cloudflare.on_retry(|reason| {
                print_note(format_args!("retrying requests to the API, which may take a while: {reason}"));
            });
        }
        Customers::connect(cloudflare, &self.dispatcher).await
    }

    /// Returns the URL at which the platform serves requests.
    pub fn url(&self, argument: Option<Url>) -> Result<Url> {
        if let Some(url) = argument {
            return Ok(url);
        }
        let url = if self.local {
            Variables::read(&self.state())?.get("PLATFORM_URL")
        } else {
            env::var("PLATFORM_URL").ok().filter(|url| !url.is_empty())
        };
        let url = url.context("the platform's URL is missing: use --url or --local, or set PLATFORM_URL")?;
        url.parse().with_context(|| format!("PLATFORM_URL is not a URL: {url}"))
    }

    /// The state folder of the local platform.
    pub fn state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(default_state)
    }
}

/// The variables in the local platform's `env` file, which shells and this tool read.
#[derive(Debug, PartialEq, Eq)]
struct Variables(BTreeMap<String, String>);

impl Variables {
    fn read(state: &Path) -> Result<Self> {
        let path = state.join("env");
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("cannot parse {}", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!(
                    "there is no {}: run `cargo xtask dev` first, or set the state folder with --state",
                    path.display()
                )
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Parses lines of the form `export NAME=value`. The value may be in single quotes.
    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let variables = lines.map(|line| {
            let assignment = line.strip_prefix("export ").unwrap_or(line);
            let (name, value) =
                assignment.split_once('=').with_context(|| format!("not a variable assignment: {line}"))?;
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
    fn the_local_platforms_variables_are_parsed_as_a_shell_would() {
        let text =
            "# comment\n\nexport CLOUDFLARE_API_TOKEN='a=b c'\nexport PLATFORM_URL=http://127.0.0.1:8787\nEMPTY=\n";
        let variables = Variables::parse(text).expect("variables");
        assert_eq!(variables.get("CLOUDFLARE_API_TOKEN").as_deref(), Some("a=b c"));
        assert_eq!(variables.get("EMPTY"), None);
        assert!(Variables::parse("export X").is_err());

        let state = TempDir::new().expect("a folder");
        fs::write(state.path().join("env"), text).expect("written");
        let url = target(state.path()).url(None).expect("a URL");
        assert_eq!(url.as_str(), "http://127.0.0.1:8787/");
        let argument: Url = "http://elsewhere/".parse().expect("a URL");
        assert_eq!(target(state.path()).url(Some(argument.clone())).expect("a URL"), argument);
    }

    #[tokio::test]
    async fn a_missing_or_incomplete_env_file_is_an_error() {
        let state = TempDir::new().expect("a folder");
        let error = target(state.path()).customers(OutputFormat::Text).await.expect_err("no file").to_string();
        assert!(error.contains("run `cargo xtask dev` first"), "{error}");
        fs::write(state.path().join("env"), "export CLOUDFLARE_API_TOKEN=x").expect("written");
        let error = target(state.path()).customers(OutputFormat::Text).await.expect_err("incomplete").to_string();
        assert!(error.starts_with("CLOUDFLARE_ACCOUNT_ID is not set"), "{error}");
        fs::write(state.path().join("env"), "export PLATFORM_URL=nowhere").expect("written");
        assert!(target(state.path()).url(None).expect_err("no URL").to_string().contains("is not a URL"));
    }
}

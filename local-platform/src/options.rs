//! What a local platform is told.

use std::path::PathBuf;

use shared::customer::UserId;

use super::address_block::AddressBlock;

/// What to run, and where.
#[derive(Debug)]
pub struct Options {
    /// The repository's root, whose Workers are built and whose npm packages are installed.
    pub repository: PathBuf,
    /// A folder with other builds of the dispatcher and the customer Worker, which run in place of the repository's.
    pub builds: Option<PathBuf>,
    /// Where the platform keeps its storage between runs. One platform uses it at a time.
    pub state: PathBuf,
    /// The dispatcher's port on 127.0.0.1; 0 for any that is free.
    pub port: u16,
    /// The port of the local Cloudflare API on 127.0.0.1; 0 for any that is free.
    pub api_port: u16,
    /// What clients of that API must have; made at the first start and kept in the state folder if `None`.
    pub api_token: Option<String>,
    /// Give the dispatcher customers' records, `CUSTOMERS`, even if its wrangler file does not.
    pub records: bool,
    /// How the dispatcher knows who is asking.
    pub auth: Auth,
    /// Variables of the dispatcher, besides those of its wrangler file.
    pub vars: Vec<Var>,
    /// Customers that are made if they are not there, or whose Worker is one of their own in this run. If there are none, and
    /// never were any: `user1` and `user2`.
    pub customers: Vec<Customer>,
    /// Wrangler files of Workers to run beside them, that no request from outside reaches by itself.
    pub others: Vec<PathBuf>,
    /// Addresses besides public ones that customers' Workers may connect to.
    pub allow: Vec<AddressBlock>,
    /// Where what the Workers print goes; standard output if `None`.
    pub log: Option<PathBuf>,
}

/// How the dispatcher knows who is asking, its variable `AUTH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Auth {
    /// It believes `X-User-ID`.
    TrustedHeader,
    /// By a token; the secrets are made at the first start and kept in the state folder, see [`platform::token`].
    Token,
}

/// A variable of the dispatcher.
#[derive(Clone, Debug)]
pub struct Var {
    /// Its name,
    pub(super) name: String,
    /// and its value.
    pub(super) value: String,
}

impl std::str::FromStr for Var {
    type Err = &'static str;

    /// Parses `NAME:VALUE`, as `wrangler dev --var` takes it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((name, value)) if !name.is_empty() => Ok(Self { name: name.to_owned(), value: value.to_owned() }),
            _ => Err("a variable is NAME:VALUE"),
        }
    }
}

/// A customer of the local platform.
#[derive(Debug, Clone)]
pub struct Customer {
    /// Its id, the name of its script in the dispatch namespace.
    pub id: UserId,
    /// A Worker of its own in place of the customer Worker: a JavaScript module, which gets the same storage, or a wrangler
    /// file (`.toml`), which says all itself but for the name.
    pub worker: Option<PathBuf>,
}

impl std::str::FromStr for Customer {
    type Err = shared::customer::InvalidUserId;

    /// Parses `user1`, `user1=path/to/worker.js` or `user1=path/to/wrangler.toml`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, worker) = text.split_once('=').map_or((text, None), |(id, worker)| (id, Some(PathBuf::from(worker))));
        Ok(Self { id: id.parse()?, worker })
    }
}

//! The options of a local platform.

use std::path::PathBuf;
use std::time::Duration;

use shared::customer::UserId;

use super::address_block::AddressBlock;

/// The options of a local platform.
#[derive(Debug)]
pub struct Options {
    /// The repository's root. The Workers in it must be built, and its npm packages installed.
    pub repository: PathBuf,
    /// A folder with other builds of the dispatcher, the customer Worker and the outbound Worker, to be used instead of
    /// the repository's.
    pub builds: Option<PathBuf>,
    /// The folder in which storage is kept between runs. Only one platform can use it at a time.
    pub state: PathBuf,
    /// The dispatcher's port on 127.0.0.1; 0 for any free port.
    pub port: u16,
    /// The local Cloudflare API's port on 127.0.0.1; 0 for any free port.
    pub api_port: u16,
    /// The token that the API's clients must send. If `None`, one is generated at the first start and kept in the state
    /// folder.
    pub api_token: Option<String>,
    /// Whether the dispatcher gets the binding `CUSTOMERS` to customers' records even if its wrangler file does not
    /// have it.
    pub records: bool,
    /// How the dispatcher authenticates requests.
    pub auth: Auth,
    /// Variables of the dispatcher, in addition to those of its wrangler file.
    pub vars: Vec<Var>,
    /// Customers to create if they do not exist, or whose Worker is replaced for this run. If no customers are named at
    /// the first start, `user1` and `user2` are created.
    pub customers: Vec<Customer>,
    /// Wrangler files of further Workers to run in the hub. Requests from outside do not reach them directly.
    pub others: Vec<PathBuf>,
    /// Non-public addresses that customers' Workers may connect to.
    pub allow: Vec<AddressBlock>,
    /// The time after which a process without connections is ended, unless it has Durable Objects. Tests shorten it.
    pub idle: Duration,
    /// The file for the output of the hub and of all Workers; standard output if `None`.
    pub log: Option<PathBuf>,
}

impl Options {
    /// The usual value of `idle`.
    pub const IDLE: Duration = Duration::from_mins(2);
}

/// How the dispatcher authenticates requests: its variable `AUTH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Auth {
    /// It trusts the header `X-User-ID`.
    TrustedHeader,
    /// It requires a token. The secrets are generated at the first start and kept in the state folder; see
    /// [`platform::token`].
    Token,
}

/// A variable of the dispatcher.
#[derive(Clone, Debug)]
pub struct Var {
    /// The variable's name.
    pub(super) name: String,
    /// The variable's value.
    pub(super) value: String,
}

impl std::str::FromStr for Var {
    type Err = &'static str;

    /// Parses `NAME:VALUE`, the format of `wrangler dev --var`.
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
    /// The customer's user id, which is also the name of its script in the dispatch namespace.
    pub id: UserId,
    /// A Worker to run instead of the customer Worker. A JavaScript module gets the customer's storage. A wrangler file
    /// (`.toml`) is used as it is, except for its name.
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

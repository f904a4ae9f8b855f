//! Where customers' Workers may go.

use serde::Serialize;

use crate::json;

/// The hosts that customers' Workers may reach, as `ALLOWED_HOSTS` lists them: `api.example.com`, or `*.example.com` for all
/// under `example.com` but not itself; with commas or blanks between them. Ports do not count.
#[derive(Clone, Copy, Debug)]
pub struct AllowedHosts<'a>(&'a str);

impl<'a> AllowedHosts<'a> {
    /// The list as it is configured.
    #[must_use]
    pub fn new(list: &'a str) -> Self {
        Self(list)
    }

    /// Whether a host is on it. The host is as a parsed URL has it, in lower case and without a port.
    #[must_use]
    pub fn allow(&self, host: &str) -> bool {
        // A dot at the end makes a name absolute, and no other.
        let host = host.strip_suffix('.').unwrap_or(host);
        let mut entries = self
            .0
            .split(|separator: char| separator == ',' || separator.is_ascii_whitespace())
            .filter(|entry| !entry.is_empty());
        entries.any(|entry| {
            let entry = entry.to_ascii_lowercase();
            match entry.strip_prefix('*') {
                Some(suffix) => suffix.starts_with('.') && host.len() > suffix.len() && host.ends_with(suffix),
                None => entry == host,
            }
        })
    }
}

/// A request of a customer's Worker, as the log has it: neither path nor query, which are the customer's own.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundLog<'a> {
    /// `info`.
    pub level: &'static str,
    /// What ties it to a problem that the Worker got.
    pub request_id: &'a str,
    /// Whose Worker it was.
    pub user_id: Option<&'a str>,
    /// That customer's plan.
    pub plan: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// Where it wanted to go.
    pub host: &'a str,
    /// What it got.
    pub status: u16,
    /// From the request to the reply's headers, in milliseconds.
    pub ms: u32,
}

impl OutboundLog<'_> {
    /// The line.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::to_text(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_on_the_list_are_allowed_and_no_others() {
        let hosts = AllowedHosts::new("api.example.com, *.S3.example  127.0.0.1");
        for host in ["api.example.com", "api.example.com.", "a.s3.example", "a.b.s3.example", "127.0.0.1"] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in [
            "",
            ".",
            "*",
            "example.com",
            "x.api.example.com",
            "api.example.com.evil.example",
            "s3.example",
            ".s3.example",
            "evils3.example",
            "127.0.0.10",
            "api.example.com,",
        ] {
            assert!(!hosts.allow(host), "{host}");
        }
        for list in ["", " ", ",", "*", "*example.com"] {
            assert!(!AllowedHosts::new(list).allow("api.example.com"), "{list}");
        }
    }

    proptest! {
        /// A star is for all under a name: not for the name itself, nor for one that only ends like it.
        #[test]
        fn a_host_is_on_the_list_or_not(
            list in prop::collection::vec("(\\*\\.)?[a-b]{1,2}(\\.[a-b]{1,2}){0,2}", 0..4),
            separator in "[, ]{1,3}",
            host in "[a-b]{1,2}(\\.[a-b]{1,2}){0,3}|.{0,12}",
        ) {
            let text = list.join(&separator);
            let allowed = AllowedHosts::new(&text).allow(&host);
            let name = host.strip_suffix('.').unwrap_or(&host);
            let labels: Vec<&str> = name.split('.').collect();
            let listed = list.iter().any(|entry| match entry.strip_prefix("*.") {
                Some(under) => {
                    let under: Vec<&str> = under.split('.').collect();
                    labels.len() > under.len() && labels.ends_with(&under)
                }
                None => entry == name,
            });
            prop_assert_eq!(allowed, listed, "{} in {}", host, text);
        }
    }
}

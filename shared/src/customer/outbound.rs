//! Outbound requests of customers' Workers.

use serde::Serialize;

use crate::json;

/// The hosts that customers' Workers may call, as the variable `ALLOWED_HOSTS` lists them, separated by commas or
/// whitespace. `*.example.com` allows all hosts under `example.com`, but not `example.com` itself. Every port of a host
/// is allowed.
#[derive(Clone, Copy, Debug)]
pub struct AllowedHosts<'a>(&'a str);

impl<'a> AllowedHosts<'a> {
    /// Creates the list from the variable's text.
    #[must_use]
    pub fn new(list: &'a str) -> Self {
        Self(list)
    }

    /// Returns whether a host is allowed. `host` must come from a parsed URL: in lower case and without a port.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        // A trailing dot makes the name absolute; it is still the same host.
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

/// The log line of a request that a customer's Worker sent. It has no path and no query, because they may contain the
/// customer's data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundLog<'a> {
    /// `info`.
    pub level: &'static str,
    /// The request id. A problem that the Worker receives has the same id.
    pub request_id: &'a str,
    /// The customer whose Worker sent the request.
    pub user_id: Option<&'a str>,
    /// The customer's plan.
    pub plan: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// The requested host.
    pub host: &'a str,
    /// The status of the reply.
    pub status: u16,
    /// The time from the request to the reply's headers, in milliseconds.
    pub ms: u32,
}

impl OutboundLog<'_> {
    /// Returns the log line, as JSON.
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
            assert!(hosts.allows(host), "{host}");
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
            assert!(!hosts.allows(host), "{host}");
        }
        for list in ["", " ", ",", "*", "*example.com"] {
            assert!(!AllowedHosts::new(list).allows("api.example.com"), "{list}");
        }
    }

    proptest! {
        /// `*.name` allows every host under the name, but neither the name itself nor a host that only ends with the
        /// same letters.
        #[test]
        fn only_listed_hosts_are_allowed(
            list in prop::collection::vec("(\\*\\.)?[a-b]{1,2}(\\.[a-b]{1,2}){0,2}", 0..4),
            separator in "[, ]{1,3}",
            host in "[a-b]{1,2}(\\.[a-b]{1,2}){0,3}|.{0,12}",
        ) {
            let text = list.join(&separator);
            let allowed = AllowedHosts::new(&text).allows(&host);
            let name = host.strip_suffix('.').unwrap_or(&host);
            let labels: Vec<&str> = name.split('.').collect();
            let listed = list.iter().any(|entry| match entry.strip_prefix("*.") {
                Some(parent) => {
                    let parent: Vec<&str> = parent.split('.').collect();
                    labels.len() > parent.len() && labels.ends_with(&parent)
                }
                None => entry == name,
            });
            prop_assert_eq!(allowed, listed, "{} in {}", host, text);
        }
    }
}

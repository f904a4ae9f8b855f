//! HTTP clients.

use url::{Host, Url};

/// Creates a client for a URL. For a URL on this machine it ignores proxies, which could not reach it.
#[must_use]
pub fn client(url: &Url) -> reqwest::Client {
    let builder = reqwest::Client::builder();
    let builder = if is_local(url) { builder.no_proxy() } else { builder };
    builder.build().expect("the system's certificates are readable")
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_local() {
        for (url, local) in [
            ("http://127.0.0.1:8788/client/v4", true),
            ("http://[::1]:8788/", true),
            ("http://localhost:8787/", true),
            ("http://api.localhost/", true),
            ("https://api.cloudflare.com/client/v4", false),
            ("http://127.0.0.1.example/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(is_local(&url.parse().expect(url)), local, "{url}");
        }
    }
}

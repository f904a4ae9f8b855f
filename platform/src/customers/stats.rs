//! Fetches a customer's stats from the platform.

use anyhow::{Context, Result, bail};
use cloudflare_api::http;
use serde_json::Value;
use shared::customer::UserId;
use url::Url;

/// Sends a customer's `GET /stats` to the platform at this URL, with a token if there is one, and returns the reply's
/// JSON.
pub async fn stats(platform: &Url, id: &UserId, token: Option<&str>) -> Result<Value> {
    let mut url = platform.clone();
    url.path_segments_mut()
        .map_err(|()| anyhow::anyhow!("{platform} cannot be the platform's URL"))?
        .pop_if_empty()
        .push("stats");
    let mut request = http::client(&url).get(url.clone()).header("X-User-ID", id.as_str());
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let reply = request.send().await.with_context(|| format!("the platform at {platform} does not reply"))?;
    let status = reply.status();
    let text = reply.text().await.with_context(|| format!("the reply of the platform at {platform} broke off"))?;
    let body: Option<Value> = serde_json::from_str(&text).ok();
    match body {
        Some(body) if status.is_success() => Ok(body),
        Some(problem) if problem["detail"].is_string() => {
            let code = problem["code"].as_str().unwrap_or("no code");
            bail!("{} [{status}, {code}]", problem["detail"].as_str().unwrap_or_default())
        }
        _ => bail!("{url} returned {status} and a body that is not the platform's"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::extract::Request;
    use axum::http::StatusCode;
    use axum::routing::any;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn stats_are_fetched_for_the_customer_and_problems_become_errors() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let platform: Url = format!("http://{}", listener.local_addr().expect("an address")).parse().expect("a URL");
        let reply = async |request: Request| {
            let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
            let echo =
                json!({"path": request.uri().path(), "for": header("X-User-ID"), "token": header("Authorization")});
            match header("X-User-ID") {
                Some("user1") => (StatusCode::OK, echo.to_string()),
                Some("user2") => {
                    let problem = json!({"detail": "there is no such user", "code": "unknown_user"});
                    (StatusCode::NOT_FOUND, problem.to_string())
                }
                Some("user3") => (StatusCode::OK, "<html>".to_owned()),
                _ => (StatusCode::BAD_GATEWAY, "{}".to_owned()),
            }
        };
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(any(reply))).await });

        let fetch = async |id: &str| stats(&platform, &id.parse().expect("an id"), Some("t")).await;
        let expected = json!({"path": "/stats", "for": "user1", "token": "Bearer t"});
        assert_eq!(fetch("user1").await.expect("stats"), expected);
        let error = |result: Result<Value>| result.expect_err("no stats").to_string();
        assert_eq!(error(fetch("user2").await), "there is no such user [404 Not Found, unknown_user]");
        assert!(error(fetch("user3").await).ends_with("returned 200 OK and a body that is not the platform's"));
        assert!(error(fetch("user4").await).contains("502"));
        let nowhere = "http://127.0.0.1:1".parse().expect("a URL");
        let no_reply = stats(&nowhere, &"a".parse().expect("an id"), None).await;
        assert_eq!(error(no_reply), "the platform at http://127.0.0.1:1/ does not reply");
    }
}

//! Preconditions of writes, which are checked atomically with the write.

use futures::future::join_all;
use reqwest::RequestBuilder;
use reqwest::multipart::{Form, Part};
use tests::{Customer, Reply, expect_problem, expect_success, noise};

async fn etag(user: &Customer, key: &str) -> String {
    Reply::to(user.head(&format!("/files?key={key}"))).await.header("ETag").to_owned()
}

fn put(user: &Customer, key: &str, content: &str) -> RequestBuilder {
    user.put(&format!("/files?key={key}")).body(content.to_owned())
}

fn form(user: &Customer, key: &str, content: &str) -> RequestBuilder {
    let file = Part::text(content.to_owned()).file_name("f");
    user.post("/files").multipart(Form::new().text("key", key.to_owned()).part("file", file))
}

#[tokio::test]
async fn a_failed_precondition_changes_nothing() {
    let user = Customer::new("user1");
    for (write, key) in [(put as fn(&Customer, &str, &str) -> RequestBuilder, "if-put"), (form, "if-form")] {
        let expect_refused = async |headers: &[(&str, &str)], content: &str| {
            let request =
                headers.iter().fold(write(&user, key, content), |request, (name, value)| request.header(*name, *value));
            expect_problem(request, 412, "precondition_failed").await;
        };
        expect_refused(&[("If-Match", "*")], "replaces only").await;
        expect_refused(&[("If-Match", "\"5d4f21cd656c7f1e7f49e9988521304a\"")], "replaces only this version").await;
        assert_eq!(Reply::to(user.get(&format!("/files?key={key}"))).await.status, 404);

        expect_success(write(&user, key, "one").header("If-None-Match", "*")).await;
        for create in ["*", "*, *", "\"x\", *", "*,"] {
            expect_refused(&[("If-None-Match", create)], "creates only").await;
        }
        expect_refused(&[("If-None-Match", "*"), ("If-None-Match", "*")], "creates only").await;
        for name in ["If-Match", "If-None-Match"] {
            expect_problem(write(&user, key, "unclear").header(name, ","), 400, "invalid_parameter").await;
        }
        let one = etag(&user, key).await;
        expect_refused(&[("If-None-Match", &one)], "replaces only other versions").await;
        expect_refused(&[("If-None-Match", &format!("\"x\", {one}"))], "replaces only other versions").await;
        expect_refused(&[("If-Match", "\"5d4f21cd656c7f1e7f49e9988521304a\"")], "replaces only this version").await;
        expect_refused(&[("If-Match", &format!("W/{one}"))], "weak").await;
        expect_refused(&[("If-Match", "nonsense!")], "not an etag").await;
        let tag = one.trim_matches('"');
        for tags in [format!("\"a,{tag}\""), format!("\"{tag},a\""), "\"*\"".to_owned(), "\"a,*\", \"b\"".to_owned()] {
            expect_refused(&[("If-Match", &tags)], "a comma does not end a tag").await;
        }
        expect_refused(&[("If-None-Match", &format!("\"a,b\", {one}"))], "replaces only other versions").await;
        expect_refused(&[("If-None-Match", "\"a,b\", *")], "creates only").await;
        expect_refused(&[("If-Match", "\"\"")], "empty").await;
        expect_refused(&[("If-Unmodified-Since", "Mon, 01 Jan 2001 00:00:00 GMT")], "older").await;
        assert_eq!(Reply::to(user.get(&format!("/files?key={key}"))).await.text(), "one");

        expect_success(write(&user, key, "two").header("If-Match", format!("\"x\", {one}"))).await;
        expect_refused(&[("If-Match", &one)], "no longer this version").await;
        expect_success(write(&user, key, "three").header("If-Match", "*")).await;
        expect_success(write(&user, key, "four").header("If-None-Match", "\"x\"")).await;
        let tag = etag(&user, key).await.trim_matches('"').to_owned();
        for tags in [format!("\"x,{tag}\", \"y\""), format!("W/\"{tag},*\""), "\"*\"".to_owned()] {
            expect_success(write(&user, key, "four").header("If-None-Match", tags)).await;
        }
        let modified = Reply::to(user.head(&format!("/files?key={key}"))).await.header("Last-Modified").to_owned();
        expect_success(write(&user, key, "five").header("If-Unmodified-Since", modified)).await;
        expect_success(write(&user, key, "five").header("If-None-Match", "\"\"")).await;
        // R2 cannot represent this date.
        expect_success(write(&user, key, "five").header("If-Unmodified-Since", "Fri, 31 Dec 9999 23:59:59 GMT")).await;
        // `If-Modified-Since` has no meaning for a write.
        expect_success(write(&user, key, "six").header("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")).await;
        assert_eq!(Reply::to(user.get(&format!("/files?key={key}"))).await.text(), "six");
        let both = write(&user, key, "seven")
            .header("If-None-Match", "*")
            .header("If-Unmodified-Since", "Fri, 01 Jan 2100 00:00:00 GMT");
        expect_problem(both, 400, "invalid_parameter").await;
    }
}

/// The check and the write are atomic: of 20 concurrent writes exactly one succeeds, and its content is stored.
#[tokio::test]
async fn exactly_one_concurrent_conditional_write_succeeds() {
    let user = &Customer::new("user2");
    for round in 0..5 {
        let key = &*format!("race/{round}");
        let write = async |content: String, name: &'static str, value: String| {
            let status = Reply::to(put(user, key, &content).header(name, value)).await.status.as_u16();
            (content, status)
        };
        let created =
            join_all((0..20).map(|writer| write(format!("created by {writer}"), "If-None-Match", "*".to_owned())))
                .await;
        let one = expect_one_winner(user, key, created).await;
        assert!(one.starts_with("created"));
        let etag = etag(user, key).await;
        let replaced =
            join_all((0..20).map(|writer| write(format!("replaced by {writer}"), "If-Match", etag.clone()))).await;
        assert!(expect_one_winner(user, key, replaced).await.starts_with("replaced"));
    }
}

async fn expect_one_winner(user: &Customer, key: &str, attempts: Vec<(String, u16)>) -> String {
    assert!(attempts.iter().all(|(_, status)| [200, 412].contains(status)), "{attempts:?}");
    let winners: Vec<&String> =
        attempts.iter().filter(|(_, status)| *status == 200).map(|(content, _)| content).collect();
    assert_eq!(winners.len(), 1, "{attempts:?}");
    assert_eq!(Reply::to(user.get(&format!("/files?key={key}"))).await.text(), winners[0]);
    winners[0].clone()
}

#[tokio::test]
async fn multipart_uploads_and_deletes_refuse_preconditions() {
    let user = Customer::new("user2");
    for (name, value) in [
        ("If-None-Match", "*"),
        ("If-None-Match", "*, *"),
        ("If-None-Match", "\"x!\""),
        ("If-Match", "*"),
        ("If-Match", "W/\"x\""),
        ("If-Unmodified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"),
        ("If-Modified-Since", "Mon, 01 Jan 2001 00:00:00 GMT"),
    ] {
        expect_success(put(&user, "if-parts", "old")).await;
        let file = Part::bytes(noise(12_000_000, 7)).file_name("f");
        let large = user.post("/files").multipart(Form::new().text("key", "if-parts").part("file", file));
        let upload = "key=if-parts&uploadId=x";
        for request in [
            large,
            user.delete("/files?key=if-parts"),
            user.post("/files/uploads?key=if-parts"),
            user.put(&format!("/files/uploads?{upload}&partNumber=1")).body("x"),
            user.post_json(&format!("/files/uploads/complete?{upload}"), r#"{"parts":[{"partNumber":1,"etag":"x"}]}"#),
        ] {
            // `If-Match: *` is refused although it holds.
            expect_problem(request.header(name, value), 400, "condition_not_supported").await;
        }
        assert_eq!(Reply::to(user.get("/files?key=if-parts")).await.text(), "old");
    }
}

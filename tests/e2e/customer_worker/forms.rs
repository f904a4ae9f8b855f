//! `POST /files` with forms of any size, and `PUT /files`.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, RequestBuilder};
use tests::{Customer, Reply, chunked, expect_problem, expect_success, noise, storage};

const MIB: usize = 1024 * 1024;

const KEY: &str = "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nKEY\r\n";
const FILE: &str =
    "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\nContent-Type: image/x\r\n\r\n";
const END: &str = "\r\n--x--\r\n";

/// Returns a form as raw bytes, with `key` before `file`.
fn raw_form(key: &str, content: &[u8]) -> Bytes {
    [KEY.replace("KEY", key).as_bytes(), FILE.as_bytes(), content, END.as_bytes()].concat().into()
}

/// Creates a request with a form as raw bytes.
fn post_raw(user: &Customer, body: impl Into<Body>) -> RequestBuilder {
    user.post("/files").header("Content-Type", "multipart/form-data; boundary=x").body(body)
}

async fn expect_content(user: &Customer, key: &str, content: &[u8]) {
    let reply = Reply::to(user.get(&format!("/files?key={key}"))).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body == content, "{} bytes of {key} came back", reply.body.len());
}

/// The lengths are just below and above those at which forms are parsed and files are stored differently.
#[tokio::test]
async fn a_file_of_any_length_comes_back() {
    let user = Customer::new("user2");
    for length in [0, 1, MIB - 400, MIB, MIB + 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 13 * MIB + 7] {
        let content = noise(length, length as u64);
        for body in [Body::from(raw_form("length", &content)), chunked(raw_form("length", &content))] {
            let stored = expect_success(post_raw(&user, body)).await.json();
            assert_eq!((&stored["size"], &stored["contentType"]), (&length.into(), &"image/x".into()));
            expect_content(&user, "length", &content).await;
        }
        expect_success(user.put("/files?key=length").header("Content-Length", length).body(content.clone())).await;
        expect_content(&user, "length", &content).await;
    }
}

/// The content resembles the boundary, and is sent in pieces of several sizes.
#[tokio::test]
async fn content_that_looks_like_a_boundary_is_content() {
    let user = Customer::new("user2");
    let near = b"\r\n--\r\n-x--\r\n-\r\n--y\r\n\r\r\n--";
    let content: Vec<u8> = near.iter().copied().cycle().take(6 * MIB).collect();
    expect_success(post_raw(&user, raw_form("near", &content))).await;
    expect_content(&user, "near", &content).await;

    let content = &content[..3000];
    for length in [1, 2, 7, 64] {
        let form = raw_form("near", content);
        let pieces: Vec<_> = form.chunks(length).map(|piece| Ok::<_, io::Error>(form.slice_ref(piece))).collect();
        expect_success(post_raw(&user, Body::wrap_stream(stream::iter(pieces)))).await;
        expect_content(&user, "near", content).await;
    }
}

#[tokio::test]
async fn put_requires_content_length() {
    let user = Customer::new("user1");
    expect_success(user.put("/files?key=put-length").body("old")).await;
    expect_problem(user.put("/files?key=put-length").body(chunked("new")), 411, "length_required").await;
    // An absent length is not 0: a mistake must not empty a file.
    expect_problem(user.put("/files?key=put-length"), 411, "length_required").await;
    expect_content(&user, "put-length", b"old").await;
    expect_success(user.put("/files?key=put-length").header("Content-Length", 0)).await;
    expect_content(&user, "put-length", b"").await;
}

/// A large file is not buffered until its key is known.
#[tokio::test]
async fn a_large_file_must_follow_its_key() {
    let user = Customer::new("user1");
    let form = |length: usize| {
        let content = noise(length, 8);
        let form = [FILE.as_bytes(), &content, b"\r\n", KEY.replace("KEY", "late").as_bytes(), b"--x--\r\n"].concat();
        (content, form)
    };
    let (content, small) = form(4 * MIB);
    expect_success(post_raw(&user, small)).await;
    expect_content(&user, "late", &content).await;
    let (_, large) = form(6 * MIB);
    for body in [Body::from(large.clone()), chunked(large)] {
        let reply = expect_problem(post_raw(&user, body), 400, "key_after_file").await;
        assert!(reply.json()["detail"].as_str().expect("text").contains("send it first"), "{reply}");
    }
    expect_content(&user, "late", &content).await;
}

#[tokio::test]
async fn a_key_must_be_utf8() {
    let user = Customer::new("user1");
    let key = KEY.replace("KEY", "");
    let (before, after) = key.split_at(key.len() - 2);
    let form = [before.as_bytes(), b"a\xff", after.as_bytes(), FILE.as_bytes(), b"content", END.as_bytes()].concat();
    expect_problem(post_raw(&user, form), 400, "invalid_key").await;
}

/// Errors after a large file are detected when its parts are in R2 already.
#[tokio::test]
async fn a_bad_large_form_keeps_the_old_file_and_leaves_no_parts() {
    let user = Customer::new("user1");
    expect_success(user.put("/files?key=bad-large").body("old")).await;
    let content = noise(11 * MIB, 9);
    let key = KEY.replace("KEY", "bad-large");
    let start = [key.as_bytes(), FILE.as_bytes(), &content].concat();
    for (end, code) in [
        ("", "invalid_form"),
        ("\r\n", "invalid_form"),
        ("\r\n--x", "invalid_form"),
        ("\r\n--xx--\r\n", "invalid_form"),
        (&*format!("\r\n{key}--x--\r\n"), "invalid_form"),
        (&*format!("\r\n{FILE}{END}"), "invalid_form"),
        ("\r\n--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--\r\n", "invalid_form"),
    ] {
        for body in [Body::from([&*start, end.as_bytes()].concat()), chunked([&*start, end.as_bytes()].concat())] {
            expect_problem(post_raw(&user, body), 400, code).await;
        }
    }
    expect_content(&user, "bad-large", b"old").await;
    expect_no_unfinished_upload("bad-large").await;
}

/// Clients disconnect at any point of an upload.
#[tokio::test]
async fn aborted_uploads_keep_the_old_file_and_leave_no_parts() {
    let user = &Customer::new("cut-off");
    let old = noise(100_000, 10);
    expect_success(user.put("/files?key=cut").body(old.clone())).await;
    let form = &raw_form("cut", &noise(14 * MIB, 11));
    // Random, but the same in every run.
    let offsets = noise(20 * 3, 12);
    let offsets: Vec<usize> = offsets
        .chunks(3)
        .map(|bytes| bytes.iter().fold(0, |offset, byte| offset * 256 + usize::from(*byte)) % form.len())
        .collect();
    stream::iter(offsets.iter().enumerate())
        .for_each_concurrent(5, async |(number, offset)| {
            let start = form.slice(..*offset);
            let pieces: Vec<_> = start.chunks(500_000).map(|piece| Ok(start.slice_ref(piece))).collect();
            // The pieces need time to arrive before the connection is closed.
            let disconnect = stream::once(async {
                tokio::time::sleep(Duration::from_secs(2)).await;
                Err(io::Error::other("disconnected"))
            });
            let body = Body::wrap_stream(stream::iter(pieces).chain(disconnect));
            let request = match number % 3 {
                0 => post_raw(user, body),
                1 => post_raw(user, body).header("Content-Length", form.len()),
                _ => user.put("/files?key=cut").body(body).header("Content-Length", form.len()),
            };
            assert!(request.send().await.is_err(), "disconnected at {offset}");
        })
        .await;
    expect_no_unfinished_upload("cut").await;
    expect_content(user, "cut", &old).await;
    // The next upload succeeds.
    let content = noise(6 * MIB, 13);
    expect_success(post_raw(user, raw_form("cut", &content))).await;
    expect_content(user, "cut", &content).await;
}

/// Waits until no multipart upload of a key is unfinished, because uploads are aborted some time after their clients
/// disconnect.
async fn expect_no_unfinished_upload(key: &str) {
    let sql = format!("SELECT upload_id FROM _mf_multipart_uploads WHERE key = '{key}' AND state = 0");
    for _ in 0..100 {
        if storage::query("r2", &sql).is_empty() {
            let created = format!("SELECT upload_id FROM _mf_multipart_uploads WHERE key = '{key}'");
            assert!(
                !storage::query("r2", &created).is_empty(),
                "no multipart upload was created, so the check proves nothing"
            );
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("unfinished uploads of {key}: {:?}", storage::query("r2", &sql));
}

/// Of concurrent uploads to one key, one is the file, never a mixture.
#[tokio::test]
async fn concurrent_uploads_do_not_mix() {
    let user = &Customer::new("user2");
    let contents: Vec<Vec<u8>> = (0..4).map(|seed| noise(7 * MIB + seed, 20 + seed as u64)).collect();
    let uploads = contents.iter().map(|content| expect_success(post_raw(user, raw_form("at-once", content))));
    futures::future::join_all(uploads).await;
    let reply = Reply::to(user.get("/files?key=at-once")).await;
    assert!(contents.contains(&reply.body), "{} bytes", reply.body.len());
}

/// Fields other than `key` and `file` are ignored, however large they are.
#[tokio::test]
async fn unknown_fields_are_ignored() {
    let user = Customer::new("user1");
    let other = Part::bytes(noise(3 * MIB, 30)).file_name("other");
    let form = Form::new().part("thumbnail", other).text("key", "other").text("comment", "x".repeat(MIB));
    let form = form.part("file", Part::text("content").file_name("f"));
    expect_success(user.post("/files").multipart(form)).await;
    expect_content(&user, "other", b"content").await;
}

/// Browsers send a file input without a chosen file as an empty part with an empty file name.
#[tokio::test]
async fn a_file_input_without_a_file_replaces_nothing() {
    let user = Customer::new("user1");
    let part = |parameters: &str, content: &str| {
        let head = format!("Content-Disposition: form-data; name=\"file\"{parameters}\r\n");
        format!("--x\r\n{head}Content-Type: application/octet-stream\r\n\r\n{content}\r\n")
    };
    let (key, end) = (KEY.replace("KEY", "not-chosen"), "--x--\r\n");
    // Longer than a form that is parsed in one piece.
    let padding = format!("--x\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n{}\r\n", "x".repeat(2 * MIB));
    expect_success(user.put("/files?key=not-chosen").body("old")).await;
    for parameters in ["; filename=\"\"", "; filename=", "; filename*=UTF-8''", "; filename=\"\"; filename*=UTF-8''"] {
        let file = part(parameters, "");
        for form in [
            format!("{key}{file}{end}"),
            format!("{file}{key}{end}"),
            format!("{key}{padding}{file}{end}"),
            format!("{key}{file}{padding}{end}"),
        ] {
            for body in [Body::from(form.clone()), chunked(form.clone())] {
                let reply = expect_problem(post_raw(&user, body), 400, "invalid_form").await;
                assert!(reply.text().contains("`file`"), "{reply}");
            }
        }
    }
    expect_problem(post_raw(&user, format!("{key}{}{end}", part("", ""))), 400, "invalid_form").await;
    expect_content(&user, "not-chosen", b"old").await;
    // A part with a name or with content is a file.
    for (parameters, content) in [
        ("; filename=\"f\"", ""),
        ("; filename=\" \"", ""),
        ("; filename=\"\"; filename*=UTF-8''f", ""),
        ("; filename=\"\"", "content"),
        ("; filename=\"\"", "\r\n"),
    ] {
        for form in [
            format!("{key}{}{end}", part(parameters, content)),
            format!("{key}{padding}{}{end}", part(parameters, content)),
        ] {
            for body in [Body::from(form.clone()), chunked(form.clone())] {
                expect_success(user.put("/files?key=not-chosen").body("old")).await;
                expect_success(post_raw(&user, body)).await;
                expect_content(&user, "not-chosen", content.as_bytes()).await;
            }
        }
    }
}

/// The Worker decodes neither base64 nor other charsets.
#[tokio::test]
async fn fields_in_base64_or_another_charset_are_refused() {
    let user = Customer::new("user1");
    expect_success(user.put("/files?key=decoded").body("old")).await;
    let form = |header_of_key: &str, header_of_file: &str| {
        let key = KEY.replace("KEY", "decoded").replacen("\r\n\r\n", &format!("\r\n{header_of_key}\r\n"), 1);
        let file = FILE.replacen("\r\n\r\n", &format!("\r\n{header_of_file}\r\n"), 1);
        format!("{key}{file}bmV3{END}")
    };
    for (header_of_key, header_of_file) in [
        ("", "Content-Transfer-Encoding: base64\r\n"),
        ("", "content-transfer-encoding: Quoted-Printable\r\n"),
        ("Content-Transfer-Encoding: base64\r\n", ""),
        ("Content-Type: text/plain; charset=iso-8859-1\r\n", ""),
        ("Content-Type: text/plain; charset=\"UTF-16\"\r\n", ""),
    ] {
        let form = form(header_of_key, header_of_file);
        for body in [Body::from(form.clone()), chunked(form.clone())] {
            expect_problem(post_raw(&user, body), 400, "invalid_form").await;
        }
    }
    expect_content(&user, "decoded", b"old").await;
    for (header_of_key, header_of_file) in [
        ("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", ""),
        ("", "Content-Transfer-Encoding: binary\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n"),
    ] {
        expect_success(post_raw(&user, form(header_of_key, header_of_file))).await;
        expect_content(&user, "decoded", b"bmV3").await;
    }
}

//! Who is let in.

use crate::served::Served;

#[tokio::test]
async fn nothing_is_shown_to_who_did_not_open_the_link() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder).await;
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/api/jobs"),
        ("GET", "/api/events"),
        ("POST", "/api/films?name=a.mp4"),
        ("GET", "/watch/0123456789abcdef"),
        ("GET", "/no/such"),
    ] {
        for cookie in ["", "parallax_80=x", &served.cookie[..served.cookie.len() - 1]] {
            let answer = served.send(method, path, &[("cookie", cookie)], b"").await;
            assert_eq!(answer.status, 401, "{method} {path} {cookie}");
        }
    }
    let index = served.get("/").await;
    assert_eq!(index.status, 200);
    assert!(index.body.contains("Drop films"), "{index:?}");
    served.stop().await;
}

#[tokio::test]
async fn a_link_is_exchanged_once_for_a_cookie_that_scripts_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder).await;
    let link = served.link();
    let stranger = [("cookie", "")];
    let wrong = served.send("GET", "/?token=0", &stranger, b"").await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (403, None));
    let entered = served.send("GET", &format!("/?token={link}"), &stranger, b"").await;
    assert_eq!((entered.status, entered.header("location")), (303, Some("/")), "{entered:?}");
    let cookie = entered.header("set-cookie").unwrap();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    let again = served.send("GET", &format!("/?token={link}"), &stranger, b"").await;
    assert_eq!(again.status, 403, "a link that was used");
    assert_ne!(served.link(), link, "there is another one");
    served.stop().await;
}

#[tokio::test]
async fn other_sites_and_other_names_are_refused_with_the_cookie_too() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder).await;
    let film = served.drop_film("clip.mp4").await;
    for foreign in [
        ("host", "evil.example"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
        // Another port of the same machine is of the same site, and its requests carry the cookie.
        ("origin", "http://127.0.0.1:1"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "cross-site"),
    ] {
        for (method, path) in [
            ("GET", "/".to_owned()),
            ("GET", "/api/jobs".to_owned()),
            ("GET", "/assets/app.js".to_owned()),
            ("DELETE", format!("/api/films/{film}")),
        ] {
            let answer = served.send(method, &path, &[foreign], b"").await;
            assert_eq!(answer.status, 403, "{method} {path} {foreign:?}");
        }
    }
    let missing =
        served.send("DELETE", &format!("/api/films/{film}"), &[("origin", "")], b"").await;
    assert_eq!(missing.status, 403);
    let own = served.send("DELETE", &format!("/api/films/{film}"), &[], b"").await;
    assert_eq!(own.status, 204, "the film was there all the time");
    served.stop().await;
}

#[tokio::test]
async fn every_answer_forbids_what_pages_do_not_need() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder).await;
    for path in ["/", "/assets/app.js", "/api/jobs", "/no/such", "/?token=x"] {
        let answer = served.get(path).await;
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    let index = served.get("/").await.body;
    for inline in ["<script>", " style=", " onclick=", "http://", "https://"] {
        assert!(!index.contains(inline), "{inline} in {index}");
    }
    served.stop().await;
}

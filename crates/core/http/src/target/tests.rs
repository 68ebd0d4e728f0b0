//! Targets and what is made of them.

use super::*;

#[test]
fn targets_are_taken_apart() {
    check(
        r#"
            GET /                                | / path=/
            GET /a/b?c=d                         | /a/b?c=d path=/a/b
            GET /?                               | /? path=/
            GET //a                              | //a path=//a
            GET /a//b/                           | /a//b/ path=/a//b/
            GET /a?/../b                         | /a?/../b path=/a
            GET /a?b=%                           | /a?b=% path=/a
            GET /a?b\c                          | /a?b\c path=/a
            GET /a?b?c                           | /a?b?c path=/a
            GET /a%20b                           | /a%20b path=/a%20b
            GET /...                             | /... path=/...
            GET /.a/..b/a./b..                   | /.a/..b/a./b.. path=/.a/..b/a./b..
            GET /.well-known/x                   | /.well-known/x path=/.well-known/x
            GET /a;..;b                          | /a;..;b path=/a;..;b
            GET /a%2fb                           | /a%2fb path=/a%2fb
            GET /{a}|b^`"<>                     | /{a}|b^`"<> path=/{a}|b^`"<>
            GET http://h                         | / path=/ for h port 80
            GET HTTP://h/                        | / path=/ for h port 80
            GET https://h:1/x?y                  | /x?y path=/x for h:1 port 443
            GET http://h?y                       | ?y path=/ for h port 80
            GET http://[::1]:8/                  | / path=/ for [::1]:8 port 80
            OPTIONS *                            | * path=/
            OPTIONS /x                           | /x path=/x
            OPTIONS http://h                     | * path=/ for h port 80
            OPTIONS http://h/                    | / path=/ for h port 80
        "#,
    );
}

#[test]
fn targets_with_two_readings_are_refused() {
    check(
        r"
            GET *                                | AsteriskWithoutOptions
            OPTIONS **                           | FormInvalid
            GET a                                | FormInvalid
            GET ?a                               | FormInvalid
            GET example.com:443                  | FormInvalid
            GET http:/a                          | FormInvalid
            GET 1http://h/                       | FormInvalid
            GET ://h/                            | FormInvalid
            GET ftp://h/                         | SchemeUnknown
            GET ws://h/                          | SchemeUnknown
            GET http:///a                        | Empty
            GET http://                          | Empty
            GET http://u@h/                      | Invalid
            GET http://u:p@h/                    | Invalid
            GET http://h:x/                      | Invalid
            GET http://h\a/                     | Invalid
            GET /a#b                             | Fragment
            GET /a?b#c                           | Fragment
            GET http://h#b                       | Fragment
            GET /é                          | NotVisibleAscii
            GET /a?é                        | NotVisibleAscii
            GET /.                               | DotSegment
            GET /..                              | DotSegment
            GET /./a                             | DotSegment
            GET /../a                            | DotSegment
            GET /a/..                            | DotSegment
            GET /a/../b?c                        | DotSegment
            GET /a/.?c                           | DotSegment
            GET /a/%2e                           | DotSegment
            GET /a/%2E%2e/b                      | DotSegment
            GET /a/.%2e/b                        | DotSegment
            GET /a/%2e./b                        | DotSegment
            GET /a/..;x/b                        | DotSegment
            GET /a/.;/b                          | DotSegment
            GET /a/..%3bx/b                      | DotSegment
            GET /a/..%2fb                        | DotSegment
            GET /a%2f..%2Fb                      | DotSegment
            GET /a%2f..                          | DotSegment
            GET /a/..%5cb                        | DotSegment
            GET /a%5c..%5cb                      | DotSegment
            GET http://h/../a                    | DotSegment
            GET /a\b                            | Backslash
            GET /a/..\b                         | Backslash
            GET /a%                              | EncodingInvalid
            GET /a%4                             | EncodingInvalid
            GET /a%4g                            | EncodingInvalid
            GET /a%u0041                         | EncodingInvalid
            GET /a%00                            | EncodingInvalid
        ",
    );
}

#[track_caller]
fn check(table: &str) {
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (request, expected) = row.rsplit_once(" | ").unwrap();
        let (method, target) = request.trim().split_once(' ').unwrap();
        let read = match read_target(Method::read(method), target) {
            Ok(Target { text, path, absolute: None }) => format!("{text} path={path}"),
            Ok(Target { text, path, absolute: Some(absolute) }) => format!(
                "{text} path={path} for {} port {}",
                absolute.authority.text, absolute.default_port
            ),
            Err(refusal) => format!("{refusal:?}"),
        };
        let expected = expected.trim();
        let nested = [format!("Target({expected})"), format!("Host({expected})")];
        assert!(read == expected || nested.contains(&read), "{read} in row: {row}");
    }
}

//! Raw requests through the real gateway: what RFC 9110 and 9112 make of each, and what
//! reaches the server behind.
//!
//! A row is `request => outcome`. In a request `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH` stand
//! for bytes, and `{…*N}` repeats what is before the `*` so many times. An outcome is the
//! statuses that the client gets, then `close` if the connection must end, then pieces that
//! the server must have received (`+piece`) or must not have (`-piece`), separated by `|`.
//! The server must have executed exactly as many requests as there are statuses below 400;
//! a refusal always ends the connection.
//!
//! Not here: how a head is cut into pieces (`mainstay-http` cuts it everywhere).

use mainstay_e2e::client::Client;
use mainstay_e2e::gateway::Accept;
use mainstay_e2e::{Broken, Gateway, Origin, Setup};

#[test]
fn well_formed_requests_are_served() -> anyhow::Result<()> {
    check(
        r"
        GET /small HTTP/1.1\r\nHost: a\r\n\r\n => 200 | +GET /small HTTP/1.1\r\n | +Host: a\r\n | +Via: 1.1
        GET /small HTTP/1.1\r\nHost:a\r\n\r\n => 200 | +Host: a\r\n
        GET /small HTTP/1.1\r\nhOST: \t a \t\r\n\r\n => 200 | +Host: a\r\n
        GET /small?y HTTP/1.1\r\nHost: a:8080\r\n\r\n => 200 | +GET /small?y HTTP/1.1\r\n | +Host: a:8080\r\n
        GET /small HTTP/1.1\r\nHost: [::1]:1\r\n\r\n => 200 | +Host: [::1]:1\r\n
        HEAD /small HTTP/1.1\r\nHost: a\r\n\r\n => 200 | +HEAD /small
        PURGE /small HTTP/1.1\r\nHost: a\r\n\r\n => 200 | +PURGE /small
        get /small HTTP/1.1\r\nHost: a\r\n\r\n => 200 | +get /small
        M!#$%&'*+-.^_`~ /small HTTP/1.1\r\nHost: a\r\n\r\n => 200 | +M!#$%&'*+-.^_`~ /small
        \r\nGET /small HTTP/1.1\r\nHost: a\r\n\r\n => 200
        \r\n\r\nGET /small HTTP/1.1\r\nHost: a\r\n\r\n => 200
        GET /small HTTP/1.1\r\nHost: a\r\nX: \r\nY:\r\nZ: \xe9\t\xff\r\n\r\n => 200 | +Z: \xe9\t\xff\r\n
        GET /small HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 2\r\n\r\n => 200 | +X: 1\r\n | +X: 2\r\n
        GET /small HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=d\r\n\r\n => 200 | +Cookie: a=b; c=d\r\n
        GET /small?a=%20%2F%3f HTTP/1.1\r\nHost: a\r\n\r\n => 200 | +/small?a=%20%2F%3f HTTP/1.1
        GET /small?a=[x]{y} HTTP/1.1\r\nHost: a\r\n\r\n => 200
        GET http://a/small HTTP/1.1\r\nHost: a\r\n\r\n => 200 | +GET /small HTTP/1.1\r\n | +Host: a\r\n
        GET http://A:80/small HTTP/1.1\r\nHost: a\r\n\r\n => 200
        GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n => 200 close
        GET /small HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n => 200 close
        GET /small HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n => 200 close
        GET /small HTTP/1.1\r\nHost: a\r\nConnection: \r\n\r\n => 200
        GET /small HTTP/1.0\r\n\r\n => 200 close | +GET /small HTTP/1.1\r\n
        GET /small HTTP/1.0\r\nHost: a\r\n\r\n => 200 close | +Host: a\r\n
        GET /small HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n => 200
        GET /small HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive, close\r\n\r\n => 200 close
        GET http://a/small HTTP/1.0\r\n\r\n => 200 close | +Host: a\r\n
        ",
    )
}

#[test]
fn several_requests_on_a_connection_are_each_their_own() -> anyhow::Result<()> {
    check(
        r"
        GET /small HTTP/1.1\r\nHost: a\r\n\r\nGET /small HTTP/1.1\r\nHost: b\r\n\r\n => 200 200 | +Host: a\r\n | +Host: b\r\n
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /small HTTP/1.1\r\nHost: b\r\n\r\n => 200 200
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /small HTTP/1.1\r\nHost: b\r\n\r\n => 200 200
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET /small HTTP/1.1\r\nHost: b\r\n\r\n => 200 200
        GET /small HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /small HTTP/1.1\r\nHost: b\r\n\r\n => 200 200
        GET /small HTTP/1.1\r\nHost: a\r\n\r\nGET /small HTTP/1.1\nHost: b\r\n\r\n => 200 400
        GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /small HTTP/1.1\r\nHost: smuggled\r\n\r\n => 200 close | -smuggled
        GET /small HTTP/1.0\r\nHost: a\r\n\r\nGET /small HTTP/1.1\r\nHost: smuggled\r\n\r\n => 200 close | -smuggled
        {GET /small HTTP/1.1\r\nHost: a\r\n\r\n*5} => 200 200 200 200 200
        ",
    )
}

#[test]
fn lengths_have_one_reading() -> anyhow::Result<()> {
    check(
        r"
        POST /echo HTTP/1.1\r\nHost: a\r\n\r\n => 200
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n => 200 | +Content-Length: 0\r\n
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello => 200 | +Content-Length: 5\r\n | +\r\n\r\nhello
        GET /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello => 200
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n => 200 | +chunked\r\n | +hello\r\n
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tCHUNKED \r\n\r\n0\r\n\r\n => 200
        POST /echo HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello => 200 close

        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: \xb2\r\n\r\nhello => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n => 400
        POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;x=1\r\n\r\n0\r\n\r\n => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n => 501
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n => 501
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n => 501
        POST /echo HTTP/1.1\r\nHost: a\r\nContent_Length: 7\r\nContent-Length: 5\r\n\r\nhello => 200 | -Content_Length
        ",
    )
}

#[test]
fn chunks_have_one_reading() -> anyhow::Result<()> {
    check_chunked(
        r"
        0\r\n\r\n => 200
        5\r\nhello\r\n0\r\n\r\n => 200 | +hello
        005\r\nhello\r\n0\r\n\r\n => 200 | +hello
        A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n => 200
        5;name=value\r\nhello\r\n0;last\r\n\r\n => 200 | +hello
        0\r\nX-Sum: 1\r\n\r\n => 200 | +X-Sum: 1

        \r\n => 400
        x\r\n => 400
        -5\r\nhello\r\n0\r\n\r\n => 400
        +5\r\nhello\r\n0\r\n\r\n => 400
        0x5\r\nhello\r\n0\r\n\r\n => 400
        5 \r\nhello\r\n0\r\n\r\n => 400
        \x205\r\nhello\r\n0\r\n\r\n => 400
        5\nhello\r\n0\r\n\r\n => 400
        5\rhello\r\n0\r\n\r\n => 400
        5\r\nhello!\r\n0\r\n\r\n => 400
        5\r\nhell\r\n0\r\n\r\n => 400
        5\r\nhello\n0\r\n\r\n => 400
        10000000000000000\r\nhello\r\n0\r\n\r\n => 400
        5;;\r\nhello\r\n0\r\n\r\n => 400
        5;a=\r\nhello\r\n0\r\n\r\n => 400
        5;{a*10000}\r\nhello\r\n0\r\n\r\n => 400
        5;a\nb\r\nhello\r\n0\r\n\r\n => 400
        0\r\n\n => 400
        0\r\n X: y\r\n\r\n => 400
        0\r\nX : y\r\n\r\n => 400
        0\r\nX: \0\r\n\r\n => 400
        0\r\nContent-Length: 5\r\n\r\n => 400
        0\r\nTransfer-Encoding: chunked\r\n\r\n => 400
        0\r\nHost: b\r\n\r\n => 400
        ",
    )
}

#[test]
fn heads_that_are_not_what_the_grammar_says_are_refused() -> anyhow::Result<()> {
    check(
        r"
        GET /small HTTP/1.1\nHost: a\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\n\n => 400
        GET /small HTTP/1.1\nHost: a\n\n => 400
        GET /small HTTP/1.1\r\nHost: a\nX: y\r\n\r\n => 400
        \nGET /small HTTP/1.1\r\nHost: a\r\n\r\n => 400
        \rGET /small HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET /small HTTP/1.1\rHost: a\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\rX: y\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n => 400
        GET /small\0 HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost : a\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost\t: a\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\nX Y: a\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\n b\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\nX:\r\n y\r\n\r\n => 400
        GET /small HTTP/1.1\r\n Host: a\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\nX(y): x\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\nX\xe9: x\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\nXyz\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\n{X: y\r\n*101}\r\n => 431
        GET /small HTTP/1.1\r\nHost: a\r\nX: {y*17000}\r\n\r\n => 431
        ",
    )
}

#[test]
fn request_lines_are_read_strictly() -> anyhow::Result<()> {
    check(
        r"
        GET /small\r\n\r\n => 400
        GET\r\n\r\n => 400
        GET  /small HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET /small  HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET /small HTTP/1.1 \r\nHost: a\r\n\r\n => 400
        \x20GET /small HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET /a b HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET /small http/1.1\r\nHost: a\r\n\r\n => 400
        GET /small HTTP/1.10\r\nHost: a\r\n\r\n => 400
        GET /small HTTX/1.1\r\nHost: a\r\n\r\n => 400
        G(T /small HTTP/1.1\r\nHost: a\r\n\r\n => 400
        \x16\x03\x01\x02\x00\x01 => 400
        GET /small HTTP/1.2\r\nHost: a\r\n\r\n => 505
        GET /small HTTP/2.0\r\nHost: a\r\n\r\n => 505
        PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n => 505
        CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n => 405
        TRACE /small HTTP/1.1\r\nHost: a\r\n\r\n => 405
        {A*33} /small HTTP/1.1\r\nHost: a\r\n\r\n => 501
        GET /{a*9000} HTTP/1.1\r\nHost: a\r\n\r\n => 414
        ",
    )
}

#[test]
fn targets_and_hosts_are_read_strictly() -> anyhow::Result<()> {
    check(
        r"
        GET http://a/small HTTP/1.1\r\n\r\n => 400
        GET http://a/small HTTP/1.1\r\nHost: b\r\n\r\n => 400
        GET http://a:81/small HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET http://b/small HTTP/1.0\r\nHost: a\r\n\r\n => 400
        GET /small HTTP/1.1\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n => 400
        GET /small HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost:\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a, b\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a b\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a/b\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: u@a\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a:x\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: {a*256}\r\n\r\n => 400
        GET http://u@a/small HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET ftp://a/small HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET /small#x HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET * HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET small HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET /a/../small HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET /a/%2e%2E/small HTTP/1.1\r\nHost: a\r\n\r\n => 400
        GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n => 400
        ",
    )
}

#[test]
fn fields_of_the_connection_go_no_further() -> anyhow::Result<()> {
    check(
        r"
        GET /small HTTP/1.1\r\nHost: a\r\nConnection: X-Mine\r\nX-Mine: secret\r\n\r\n => 200 | -secret
        GET /small HTTP/1.1\r\nHost: a\r\nKeep-Alive: timeout=777\r\n\r\n => 200 | -timeout
        GET /small HTTP/1.1\r\nHost: a\r\nTE: trailers, deflate\r\n\r\n => 200 | -deflate
        GET /small HTTP/1.1\r\nHost: a\r\nProxy-Connection: odd\r\n\r\n => 200 | -odd
        GET /small HTTP/1.1\r\nHost: a\r\nProxy-Authorization: secret\r\n\r\n => 200 | -secret
        GET /small HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n => 200 | -websocket
        GET /small HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n => 200 | -h2c
        GET /small HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n => 200 | -6.6.6.6 | +X-Forwarded-For: 127.0.0.1\r\n
        GET /small HTTP/1.1\r\nHost: a\r\nForwarded: for=6.6.6.6\r\n\r\n => 200 | -6.6.6.6 | +for=127.0.0.1
        GET /small HTTP/1.1\r\nHost: a\r\nX-Real-IP: 6.6.6.6\r\n\r\n => 200 | -6.6.6.6
        GET /small HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 6.6.6.6\r\n\r\n => 200 | -6.6.6.6
        GET /small HTTP/1.1\r\nHost: a\r\nX-Request-Id: theirs\r\n\r\n => 200 | -theirs | +X-Request-Id: 
        GET /small HTTP/1.1\r\nHost: a\r\nVia: 1.0 other\r\n\r\n => 200 | +other | +Via: 1.1
        GET /small HTTP/1.1\r\nHost: a\r\nConnection: Host\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\nConnection: x-forwarded-for\r\n\r\n => 400
        GET /small HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n => 400
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 200-ok\r\n\r\nx => 417
        ",
    )
}

/// Rows whose requests are only the body of a chunked POST.
fn check_chunked(table: &str) -> anyhow::Result<()> {
    const HEAD: &str = r"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let with_head = |row: &str| match row.trim() {
        "" => String::new(),
        row => format!("{HEAD}{row}\n"),
    };
    check(&table.lines().map(with_head).collect::<String>())
}

/// Sends every request of the table, and reports all rows that came out otherwise.
fn check(table: &str) -> anyhow::Result<()> {
    let origin = Origin::start()?;
    origin.record_bytes();
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut wrong = Vec::new();
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let Some((request, outcome)) = row.rsplit_once(" => ") else {
            anyhow::bail!("not a row: {row}");
        };
        if let Err(error) = check_row(&origin, &gateway, &unescape(request), outcome) {
            wrong.push(format!("{row}\n    {error:#}"));
        }
    }
    anyhow::ensure!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

fn check_row(
    origin: &Origin,
    gateway: &Gateway,
    request: &[u8],
    outcome: &str,
) -> anyhow::Result<()> {
    let mut parts = outcome.split(" | ");
    let words: Vec<&str> = parts.next().unwrap_or_default().split(' ').collect();
    let statuses: Vec<u16> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let accepted = statuses.iter().filter(|status| **status < 400).count() as u64;
    let (before, executed) = (origin.received(), origin.requests());

    let mut client = Client::connect(gateway.address("web"))?;
    client.send(request)?;
    let method = if request.starts_with(b"HEAD") { "HEAD" } else { "GET" };
    for expected in &statuses {
        let found = client.response(method)?.head.status;
        anyhow::ensure!(found == *expected, "status {found}, not {expected}");
    }
    let refused = statuses.iter().any(|status| *status >= 400);
    if refused || words.contains(&"close") {
        match client.socket().expect_end() {
            // What was not read of a refused request may turn the end into a reset.
            Ok(()) | Err(Broken::Reset) => {}
            Err(broken) => anyhow::bail!("the connection does not end: {broken}"),
        }
    }
    let executed = origin.requests() - executed;
    anyhow::ensure!(executed == accepted, "the server executed {executed}, not {accepted}");
    let received = news(&before, &origin.received());
    for part in parts {
        let (sign, piece) = part.split_at_checked(1).unwrap_or_default();
        let piece = unescape(piece);
        let found = received.windows(piece.len()).any(|w| w.eq_ignore_ascii_case(&piece));
        anyhow::ensure!(found == (sign == "+"), "{part}: the server received\n{}", show(&received));
    }
    Ok(())
}

/// What arrived on all connections since `before`.
fn news(before: &[Vec<u8>], now: &[Vec<u8>]) -> Vec<u8> {
    let known = |place: usize| before.get(place).map_or(0, Vec::len);
    now.iter()
        .enumerate()
        .flat_map(|(place, bytes)| bytes.iter().skip(known(place)).copied())
        .collect()
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads a request as a row writes it.
fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let after_first = rest.get(first.len_utf8()..).unwrap_or_default();
        let repeated = after_first.split_once('}').filter(|_| first == '{');
        let repeated = repeated.and_then(|(inner, after)| {
            let (part, times) = inner.rsplit_once('*')?;
            Some((unescape(part).repeat(times.parse().ok()?), after))
        });
        let (piece, after) = match (repeated, first) {
            (Some(repeated), _) => repeated,
            (None, '\\') => unescape_one(after_first),
            (None, plain) => (plain.to_string().into_bytes(), after_first),
        };
        bytes.extend(piece);
        rest = after;
    }
    bytes
}

/// Reads what follows a backslash.
fn unescape_one(text: &str) -> (Vec<u8>, &str) {
    let rest = text.get(1..).unwrap_or_default();
    let byte = match text.as_bytes().first() {
        Some(b'r') => b'\r',
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'0') => 0,
        Some(b'x') => {
            let (digits, rest) = rest.split_at_checked(2).unwrap_or_default();
            return (vec![u8::from_str_radix(digits, 16).unwrap_or_default()], rest);
        }
        Some(other) => *other,
        None => b'\\',
    };
    (vec![byte], rest)
}

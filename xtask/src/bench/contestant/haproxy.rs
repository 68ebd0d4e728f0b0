//! HAProxy: one thread, connections to the server always reused, `option httplog`.

use super::Setup;
use crate::bench::write;

pub(super) fn configure(setup: &Setup<'_>, address: &str) -> anyhow::Result<Vec<String>> {
    let folder = setup.folder.display();
    let backend = setup.backend;
    // A buffer takes a whole message of every scenario. The log goes to a ring in a mapped file:
    // one line for each request and no system call, the cheapest that it offers.
    let text = format!(
        "
global
  nbthread 1
  maxconn 8192
  tune.bufsize 131072
  log ring@access format rfc5424 local0

ring access
  format rfc5424
  maxlen 1200
  size 16777216
  backing-file {folder}/access.ring

defaults
  mode http
  log global
  option httplog
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-request 10s
  timeout http-keep-alive 60s

frontend web
  bind {address} backlog 4096
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  unique-id-format %{{+X}}o%pid-%rt-%Ts
  unique-id-header X-Request-Id
  default_backend servers

backend servers
  server one {backend} pool-max-conn 512 pool-purge-delay 60s
"
    );
    let path = write(setup.folder, "haproxy.cfg", &text)?;
    Ok(vec!["-db".to_owned(), "-f".to_owned(), path.display().to_string()])
}

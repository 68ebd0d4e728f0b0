//! nginx: one worker, persistent connections on both sides, a buffered JSON access log.

use super::Setup;
use crate::bench::write;

pub(super) fn configure(setup: &Setup<'_>, address: &str) -> anyhow::Result<Vec<String>> {
    let folder = setup.folder.display();
    let backend = setup.backend;
    // Bodies are taken whole before they are passed on (its default): with a buffer that holds
    // them that is cheaper for it than passing them on piece by piece.
    // `user root`: the temporary folder is ours alone. Requests on one connection are not
    // limited (its default closes it after 1,000), for that would be paid with connections.
    let text = format!(
        r#"
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; multi_accept on; use epoll; }}
http {{
  log_format json escape=json '{{"time":"$time_iso8601","id":"$request_id",'
    '"client":"$remote_addr","method":"$request_method","host":"$host","target":"$request_uri",'
    '"protocol":"$server_protocol","status":$status,"sent":$bytes_sent,'
    '"received":$request_length,"seconds":$request_time,"server":"$upstream_addr",'
    '"server_seconds":"$upstream_response_time"}}';
  access_log {folder}/access.log json buffer=64k flush=1s;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_timeout 60s;
  keepalive_requests 1000000000;
  client_body_buffer_size 128k;
  proxy_max_temp_file_size 0;
  upstream backend {{
    server {backend};
    keepalive 512;
    keepalive_requests 1000000000;
    keepalive_timeout 60s;
  }}
  server {{
    listen {address} backlog=4096;
    location / {{
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Request-Id $request_id;
      proxy_buffer_size 16k;
      proxy_buffers 16 16k;
    }}
  }}
}}
"#
    );
    let path = write(setup.folder, "nginx.conf", &text)?;
    let prefix = setup.folder.display().to_string();
    Ok(vec!["-p".to_owned(), prefix, "-c".to_owned(), path.display().to_string()])
}

//! Connections to PostgreSQL that are encrypted, and servers that are not believed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::error::Error;
use std::fs;
use std::sync::Arc;

use mainstay_database::{Limits, Location, Store, StoreError, open};
use mainstay_postgres::{Certificate, Server};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// What the certificates of these tests are for.
const NAME: &str = "db.test";

/// Somebody who signs certificates, in a file.
struct Authority {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        fs::write(directory.path().join("db-ca.pem"), certificate.pem()).unwrap();
        Self { directory, issuer: Issuer::new(parameters, key) }
    }

    /// A server with a certificate of this authority.
    fn server(&self, name: &str) -> Server {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let chain = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        Server::on_loopback(Some(Certificate { chain: &chain, key: &key.serialize_pem() }))
    }

    /// What `parameters` lead to.
    fn opened(&self, server: &Server, parameters: &str) -> Result<Arc<dyn Store>, String> {
        let location: Location = address(server, "postgres", parameters).parse().unwrap();
        opened(&location.beside(self.directory.path()))
    }
}

fn address(server: &Server, user: &str, parameters: &str) -> String {
    format!("postgres://{user}@{NAME}/postgres?hostaddr={}&{parameters}", server.loopback())
}

/// Opens and uses a database; what people read if that fails.
fn opened(location: &Location) -> Result<Arc<dyn Store>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open(location, &Limits::default()).await.map_err(|error| chain(&error))?;
        store.now().await.map_err(|error| chain(&error))?;
        Ok(store)
    })
}

fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Fails unless every connection over the network was encrypted. The server lets no other in,
/// and counts those that it has.
fn assert_encrypted(server: &Server) {
    server.sql(
        "DO $$ BEGIN
           ASSERT (SELECT count(*) > 0 AND bool_and(ssl.ssl)
                   FROM pg_stat_ssl ssl JOIN pg_stat_activity USING (pid)
                   WHERE client_addr IS NOT NULL), 'plain connections';
         END $$",
    );
}

#[test]
fn a_server_that_is_known_is_spoken_to_encrypted() {
    let authority = Authority::new();
    let server = authority.server(NAME);
    for parameters in [
        "",
        "sslmode=prefer",
        "sslmode=require",
        "sslmode=verify-ca&sslrootcert=db-ca.pem",
        "sslmode=verify-full&sslrootcert=db-ca.pem",
    ] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let location: Location = address(&server, "postgres", parameters).parse().unwrap();
            let location = location.beside(authority.directory.path());
            let store = open(&location, &Limits::default()).await.unwrap();
            store.now().await.unwrap();
            assert_encrypted(&server);
        });
    }
    let plain = authority.opened(&server, "sslmode=disable").unwrap_err();
    assert!(plain.contains("no encryption"), "{plain}");
}

#[test]
fn a_password_is_bound_to_the_connection() {
    let authority = Authority::new();
    let server = authority.server(NAME);
    server.sql("CREATE ROLE fleet SUPERUSER LOGIN PASSWORD 'wave'");
    let parameters = "sslmode=require&channel_binding=require";
    let location = address(&server, "fleet:wave", parameters);
    opened(&location.parse().unwrap()).unwrap();
}

#[test]
fn a_server_of_somebody_else_is_refused() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = stranger.server(NAME);
    for mode in ["verify-ca", "verify-full"] {
        let parameters = format!("sslmode={mode}&sslrootcert=db-ca.pem");
        let refused = authority.opened(&server, &parameters).unwrap_err();
        assert!(refused.contains("TLS handshake: invalid peer certificate"), "{refused}");
    }
    authority.opened(&server, "sslmode=require").unwrap();
}

#[test]
fn a_certificate_for_another_name_is_refused_where_names_count() {
    let authority = Authority::new();
    let server = authority.server("other.test");
    let refused =
        authority.opened(&server, "sslmode=verify-full&sslrootcert=db-ca.pem").unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
    authority.opened(&server, "sslmode=verify-ca&sslrootcert=db-ca.pem").unwrap();
}

#[test]
fn a_copy_of_the_servers_own_certificate_will_do() {
    // As `openssl req -x509` makes it: signed by itself, and an authority too.
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let chain = parameters.self_signed(&key).unwrap().pem();
    let server =
        Server::on_loopback(Some(Certificate { chain: &chain, key: &key.serialize_pem() }));
    let parameters = "sslmode=verify-full&sslrootcert=none.pem";
    let location: Location = address(&server, "postgres", parameters).parse().unwrap();
    opened(&location.clone().with_roots(&chain)).unwrap();
    let refused = opened(&location).unwrap_err();
    assert!(refused.contains("cannot read the certificates in none.pem"), "{refused}");
    let refused = opened(&location.with_roots("nothing")).unwrap_err();
    assert!(refused.contains("there is no certificate that vouches"), "{refused}");
}

#[test]
fn a_server_without_encryption_is_refused_where_it_is_required() {
    let authority = Authority::new();
    let server = Server::on_loopback(None);
    for parameters in ["sslmode=require", "sslmode=verify-full&sslrootcert=db-ca.pem"] {
        let refused = authority.opened(&server, parameters).unwrap_err();
        assert!(refused.ends_with("server does not support TLS"), "{refused}");
    }
    for parameters in ["", "sslmode=disable"] {
        authority.opened(&server, parameters).unwrap();
    }
}
